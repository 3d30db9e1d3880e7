//! Node.js: start scripts, frameworks, sites that are built, plain programs.

use crate::tree::{Tree, refused, starts};

/// A package.json: dependencies and scripts, a line each.
fn manifest(dependencies: &[&str], scripts: &[(&str, &str)]) -> String {
    let dependencies: Vec<String> = dependencies.iter().map(|name| format!("    \"{name}\": \"1\"")).collect();
    let scripts: Vec<String> = scripts.iter().map(|(name, text)| format!("    \"{name}\": \"{text}\"")).collect();
    format!(
        "{{\n  \"dependencies\": {{\n{}\n  }},\n  \"scripts\": {{\n{}\n  }}\n}}\n",
        dependencies.join(",\n"),
        scripts.join(",\n")
    )
}

const BUILD: (&str, &str) = ("build", "x build");

#[track_caller]
fn node(manifest: &str, files: &[(&str, &str)], expected: &str) {
    let mut files = files.to_vec();
    files.push(("package.json", manifest));
    starts("nodejs", &files, expected);
}

/// The folder that is to be served, and whether it has pages.
#[track_caller]
fn site(manifest: &str, files: &[(&str, &str)], folder: &str, has_pages: bool) {
    let mut files = files.to_vec();
    files.push(("package.json", manifest));
    let answer = Tree::of(&files).start("nodejs").expect("it is a site");
    assert!(answer.contains("web\t.slipway/static/serve\t"), "{answer}");
    assert!(answer.lines().any(|line| line == format!("=site\t{folder}")), "{answer}");
    assert_eq!(answer.contains("=pages\tyes"), has_pages, "{answer}");
}

#[test]
fn the_start_script_is_first_and_server_js_is_what_npm_takes_without_one() {
    let start = manifest(&["next"], &[("start", "node -r ./x index.mjs --v=$npm_package_version")]);
    node(
        &start,
        &[("server.js", "")],
        "npm start: node -r ./x index.mjs --v=$npm_package_version (package.json line 6)",
    );
    node(
        &manifest(&["vite"], &[BUILD]),
        &[("server.js", ""), ("index.html", "")],
        "npm start: node server.js (server.js is there and package.json has no start script: npm's default)",
    );
    let answer = Tree::of(&[("package.json", &start)]).start("nodejs").unwrap();
    assert!(answer.contains("=npm\tstart") && answer.contains("web\t.slipway/nodejs/start\t"), "{answer}");
    refused(
        "nodejs",
        &[("package.json", &manifest(&[], &[("start", "bun run server.ts")]))],
        &["runs bun (package.json line 6)", "npm install bun"],
    );
    node(
        &manifest(&["bun"], &[("start", "bun run server.ts")]),
        &[],
        "npm start: bun run server.ts (package.json line 6)",
    );
}

#[test]
fn a_start_script_for_development_gives_way_to_what_is_built() {
    for (package, start, folder, has_pages) in [
        ("react-scripts", "react-scripts start", "build", false),
        ("react-scripts", "PORT=3001 npx react-scripts start", "build", false),
        ("vite", "vite", "dist", false),
        ("vite", "vite --port 3000", "dist", false),
        ("vite", "vite preview", "dist", false),
        ("@angular/core", "ng serve", "?", false),
        ("@vue/cli-service", "vue-cli-service serve --open", "dist", false),
        ("gatsby", "gatsby develop", "public", true),
        ("@docusaurus/core", "docusaurus start", "build", true),
        ("astro", "astro dev", "dist", true),
        ("@11ty/eleventy", "eleventy --serve", "_site", true),
        ("parcel", "parcel src/index.html", "dist", false),
    ] {
        site(&manifest(&[package], &[("start", start), BUILD]), &[("index.html", "")], folder, has_pages);
    }
    for start in [
        "vite preview --host --port $PORT",
        "node vite",
        "vite build && node server",
        "next start",
        "nest start && x",
        "serve -s build",
    ] {
        node(
            &manifest(&["vite", "next"], &[("start", start), BUILD]),
            &[("index.html", "")],
            &format!("npm start: {start} (package.json line 7)"),
        );
    }
    node(
        &manifest(&["@nestjs/core"], &[("start", "nest start"), ("start:prod", "node dist/main"), BUILD]),
        &[],
        "npm run start:prod: node dist/main (package.json line 7; the start script, package.json line 6, runs a server for development)",
    );
}

#[test]
fn frameworks_are_started_by_their_production_server() {
    let scripts = [BUILD];
    for (packages, files, expected) in [
        (&["next"][..], &[][..], "next start -H 0.0.0.0 -p $PORT (Next.js: next in package.json line 3)"),
        (
            &["next"],
            &[("next.config.mjs", "export default {\n  output: 'standalone',\n}")],
            "HOSTNAME=0.0.0.0 node .next/standalone/server.js (Next.js: next in package.json line 3; output in next.config.mjs line 2)",
        ),
        (&["vue", "nuxt"], &[], "HOST=0.0.0.0 node .output/server/index.mjs (Nuxt: nuxt in package.json line 4)"),
        (
            &["@remix-run/serve"],
            &[("vite.config.ts", "")],
            "remix-serve build/server/index.js (Remix: @remix-run/serve in package.json line 3)",
        ),
        (&["@remix-run/serve"], &[], "remix-serve build/index.js (Remix: @remix-run/serve in package.json line 3)"),
        (
            &["@react-router/serve"],
            &[("react-router.config.ts", "export default { ssr: true }")],
            "react-router-serve ./build/server/index.js (React Router: @react-router/serve in package.json line 3)",
        ),
        (
            &["astro"],
            &[(
                "astro.config.mjs",
                "import node from '@astrojs/node';\nexport default {adapter: node({mode: 'standalone'})}",
            )],
            "HOST=0.0.0.0 node ./dist/server/entry.mjs (Astro: astro in package.json line 3; adapter in astro.config.mjs line 1)",
        ),
        (
            &["@sveltejs/kit", "vite"],
            &[("svelte.config.js", "import adapter from '@sveltejs/adapter-node';\n")],
            "node build (SvelteKit: @sveltejs/kit in package.json line 3; adapter in svelte.config.js line 1)",
        ),
        (
            &["@angular/core", "@angular/ssr"],
            &[("angular.json", "{\"projects\": {\"shop\": {}}}")],
            "node dist/shop/server/server.mjs (Angular: @angular/core in package.json line 3; @angular/ssr in package.json line 4)",
        ),
    ] {
        node(&manifest(packages, &scripts), files, expected);
    }
}

#[test]
fn sites_are_served_from_the_folder_that_is_built() {
    let page = ("index.html", "");
    site(&manifest(&["vite"], &[BUILD]), &[page], "dist", false);
    site(&manifest(&["vite"], &[BUILD]), &[page, ("vite.config.ts", "build: { outDir: 'www/' }")], "www", false);
    let config = ("vite.config.js", "export default { root: 'web', build: { outDir: '../out' } }");
    site(&manifest(&["vite"], &[BUILD]), &[("web/index.html", ""), config], "out", false);
    site(&manifest(&["next"], &[BUILD]), &[("next.config.js", "module.exports = { output: 'export' }")], "out", true);
    site(&manifest(&["nuxt"], &[("build", "nuxt generate")]), &[], ".output/public", true);
    site(&manifest(&["astro", "vite"], &[BUILD]), &[], "dist", true);
    let adapter = "import adapter from '@sveltejs/adapter-static';\nadapter({ pages: 'site', fallback: '404.html' })";
    site(&manifest(&["@sveltejs/kit"], &[BUILD]), &[("svelte.config.js", adapter)], "site", true);
    let adapter = "import adapter from '@sveltejs/adapter-static';\nadapter({ fallback: 'index.html' })";
    site(&manifest(&["@sveltejs/kit"], &[BUILD]), &[("svelte.config.js", adapter)], "build", false);
    site(&manifest(&["vitepress"], &[("build", "vitepress build docs")]), &[], "docs/.vitepress/dist", true);
    let config = ("react-router.config.ts", "export default { ssr: false }");
    site(&manifest(&["@react-router/serve"], &[BUILD]), &[config], "build/client", false);
    site(&manifest(&[], &[BUILD]), &[], "?", false);
    site(&manifest(&["vite"], &[BUILD]), &[("static.json", "{}"), page], ".", false);
    let built = Tree::of(&[("package.json", &manifest(&["vite"], &[])), page]).start("nodejs").unwrap();
    assert!(built.contains("=build\tvite build"), "{built}");
}

#[test]
fn adapters_for_other_platforms_are_refused_with_the_one_to_take() {
    let manifest = |name: &str| manifest(&[name], &[BUILD]);
    let config = ("svelte.config.js", "import adapter from '@sveltejs/adapter-auto';");
    refused(
        "nodejs",
        &[("package.json", &manifest("@sveltejs/kit")), config],
        &["adapter-auto (svelte.config.js line 1)", "npm install -D @sveltejs/adapter-node"],
    );
    let config = ("astro.config.mjs", "import vercel from '@astrojs/vercel/serverless';");
    refused(
        "nodejs",
        &[("package.json", &manifest("astro")), config],
        &["built for vercel (astro.config.mjs line 1)", "npx astro add node"],
    );
    let config = ("astro.config.mjs", "import node from '@astrojs/node';\nadapter: node({ mode: 'middleware' })");
    refused("nodejs", &[("package.json", &manifest("astro")), config], &["as middleware (astro.config.mjs line 2)"]);
}

#[test]
fn plain_programs_and_committed_pages_come_last() {
    node(
        "{\n\"main\": \"./lib/web.js\"}",
        &[("lib/web.js", ""), ("index.js", "")],
        "node lib/web.js (package.json line 2)",
    );
    node("{\"main\": \"lib\"}", &[("lib/index.js", "")], "node lib (package.json line 1)");
    node(
        "{\"main\": \"dist/web.js\",\n\"scripts\": {\"build\": \"tsc\"}}",
        &[],
        "node dist/web.js (package.json line 1)",
    );
    node(
        "{\"main\": \"gone.js\"}",
        &[("index.js", "")],
        "node index.js (index.js is there, and package.json has no start script)",
    );
    site("{}", &[("public/index.html", ""), ("index.html", "")], "public", true);
    site("{}", &[("index.html", "")], ".", true);
    refused(
        "nodejs",
        &[("package.json", &manifest(&["x"], &[])), ("index.html", "")],
        &["Nothing says what starts this app"],
    );
    refused(
        "nodejs",
        &[("package.json", "{}"), ("bot.js", ""), ("x.config.js", "")],
        &["Nothing says what starts this app", "  web: node bot.js"],
    );
    refused(
        "nodejs",
        &[
            ("package.json", "{\"workspaces\": [\"packages/*\"]}"),
            ("packages/api/package.json", "{\"name\": \"@shop/api\", \"scripts\": {\"start\": \"node .\"}}"),
        ],
        &["  web: npm start --workspace=@shop/api"],
    );
    // What an installation writes, or what is no package.json at all, is not for this to say.
    for text in ["{\"scripts\": {\"postinstall\": \"x\"}}", "{", "[]", "{\"scripts\": 5, \"dependencies\": []}"] {
        let answer = Tree::of(&[("package.json", text)]).start("nodejs");
        assert!(answer.is_ok() || text.contains("dependencies"), "{text}: {answer:?}");
    }
}
