"""What Node.js frameworks build, and what starts it: told by the dependency and by the settings in the tree."""

import re

from starts import Refused


def setting(tree, names, pattern):
    """(text, place) of the first group of a pattern in the first of these files that has it, or None."""
    for name in names:
        found = re.search(pattern, tree.text(name))
        if found:
            return found[1], tree.at(name, pattern)
    return None


def config(name):
    return [f"{name}.config.{ending}" for ending in ("js", "mjs", "ts", "cjs", "mts", "cts")]


def folder_of(tree, names, key, default):
    """The folder that a setting such as `outDir: "dist"` names."""
    found = setting(tree, names, rf"""\b{key}\s*:\s*["'`](?:\./)?([\w./-]+?)/?["'`]""")
    return found[0] if found and ".." not in found[0] and not found[0].startswith("/") else default


def next_js(app, reason):
    output = setting(app.tree, config("next"), r"""\boutput\s*:\s*["'](export|standalone)["']""")
    app.built_by("next build")
    if output and output[0] == "export":
        app.site(folder_of(app.tree, config("next"), "distDir", "out"), f"{reason}; output in {output[1]}", pages=True)
    elif output:
        app.answer.note("standalone", "yes")
        app.web("HOSTNAME=0.0.0.0 node .next/standalone/server.js", f"{reason}; output in {output[1]}")
    else:
        app.web("next start -H 0.0.0.0 -p $PORT", reason)


def nuxt(app, reason):
    if re.match(r"\D*2\b", app.packages["nuxt"]):
        app.built_by("nuxt build")
        app.web("nuxt start -H 0.0.0.0 -p $PORT", reason)
        return
    app.built_by("nuxt build")
    generates = re.search(r"\bgenerate\b", app.scripts.get(app.build_script or "", ""))
    if generates:
        app.site(".output/public", f"{reason}; the script {app.build_script} generates, {app.tree.key_at('package.json', 'scripts', app.build_script)}", pages=True)
    else:
        app.web("HOST=0.0.0.0 node .output/server/index.mjs", reason)


def remix(app, reason):
    by_vite = app.tree.first(*config("vite"))
    app.built_by("remix vite:build" if by_vite else "remix build")
    app.web(f"remix-serve build/{'server/' if by_vite else ''}index.js", reason)


def react_router(app, reason):
    app.built_by("react-router build")
    alone = setting(app.tree, config("react-router"), r"\bssr\s*:\s*(false)\b")
    if alone:
        app.site("build/client", f"{reason}; ssr in {alone[1]}")
    else:
        app.web("react-router-serve ./build/server/index.js", reason)


def astro(app, reason):
    folder = folder_of(app.tree, config("astro"), "outDir", "dist")
    adapter = setting(app.tree, config("astro"), r"""["']@astrojs/(node|vercel|netlify|cloudflare|deno)(?:/[\w/]+)?["']""")
    app.built_by("astro build")
    if adapter is None:
        app.site(folder, reason, pages=True)
    elif adapter[0] == "node":
        middleware = setting(app.tree, config("astro"), r"""\bmode\s*:\s*["'](middleware)["']""")
        if middleware:
            raise Refused(f"This Astro app is built as middleware ({middleware[1]}), and package.json has no start script for the server around it.",
                          "Write mode: 'standalone' there, or a start script; then commit and push again.")
        app.web(f"HOST=0.0.0.0 node ./{folder}/server/entry.mjs", f"{reason}; adapter in {adapter[1]}")
    else:
        raise Refused(f"This Astro app is built for {adapter[0]} ({adapter[1]}).",
                      "Type npx astro add node and take the other adapter out, or take adapter and output out for a static site; then commit and push again.")


def svelte_kit(app, reason):
    names = [*config("svelte"), *config("vite")]
    adapter = setting(app.tree, names, r"""["']((?:@[\w.-]+/)?(?:svelte-)?adapter-[\w-]+)["']""")
    app.built_by("vite build")
    if adapter and adapter[0].endswith("adapter-node"):
        app.web(f"node {folder_of(app.tree, names, 'out', 'build')}", f"{reason}; adapter in {adapter[1]}")
    elif adapter and adapter[0].endswith("adapter-static"):
        fallback = setting(app.tree, names, r"""\bfallback\s*:\s*["'](index)\.html["']""")
        app.site(folder_of(app.tree, names, "pages", "build"), f"{reason}; adapter in {adapter[1]}", pages=not fallback)
    else:
        raise Refused(f"This SvelteKit app is built by {adapter[0] if adapter else 'no adapter'} ({adapter[1] if adapter else 'svelte.config.js'}), which makes nothing that runs here.",
                      "Type npm install -D @sveltejs/adapter-node (or adapter-static for a static site) and import it there instead; then commit and push again.")


def angular(app, reason):
    name = setting(app.tree, ["angular.json"], r'"projects"\s*:\s*\{\s*"([^"]+)"')
    app.built_by("ng build")
    if "@angular/ssr" in app.packages and name:
        app.web(f"node dist/{name[0]}/server/server.mjs", f"{reason}; @angular/ssr in {app.place('@angular/ssr')}")
    else:
        app.site("?", reason)


def vite(app, reason):
    root = folder_of(app.tree, config("vite"), r"(?<!\.)root", "")
    page = f"{root}/index.html" if root else "index.html"
    if not app.tree.has(page):
        # A library, or the assets of another program.
        return False
    found = setting(app.tree, config("vite"), r"""\boutDir\s*:\s*["'`]([\w./-]+)["'`]""")
    parts = []
    for part in [*root.split("/"), *(found[0] if found else "dist").split("/")]:
        if part == ".." and parts:
            parts.pop()
        elif part not in ("", ".", ".."):
            parts.append(part)
    app.built_by("vite build")
    app.site("/".join(parts), reason)
    return True


def vitepress(app, reason):
    docs = re.search(r"\bvitepress build ([\w./-]+)", app.scripts.get(app.build_script or "", "")) or \
        re.search(r"\bvitepress build ([\w./-]+)", app.scripts.get("docs:build", ""))
    docs = docs[1].strip("./") if docs else ("" if app.tree.has_folder(".vitepress") else "docs")
    app.built_by(f"vitepress build {docs}")
    app.site(f"{docs}/.vitepress/dist".lstrip("/"), reason, pages=True)


def site(folder, command, pages=False, names=(), key=""):
    """A framework that builds a folder of files."""
    def build(app, reason):
        app.built_by(command)
        app.site(folder_of(app.tree, names, key, folder) if key else folder, reason, pages)
    return build


# In the order in which they are looked at: those that build on others, Vite above all, come first.
FRAMEWORKS = [
    ("next", "Next.js", next_js),
    ("nuxt", "Nuxt", nuxt),
    ("@remix-run/serve", "Remix", remix),
    ("@react-router/serve", "React Router", react_router),
    ("astro", "Astro", astro),
    ("@sveltejs/kit", "SvelteKit", svelte_kit),
    ("gatsby", "Gatsby", site("public", "gatsby build", pages=True)),
    ("@docusaurus/core", "Docusaurus", site("build", "docusaurus build", pages=True)),
    ("vitepress", "VitePress", vitepress),
    ("react-scripts", "Create React App", site("build", "react-scripts build")),
    ("@angular/core", "Angular", angular),
    ("@vue/cli-service", "Vue CLI", site("dist", "vue-cli-service build", names=config("vue"), key="outputDir")),
    ("@11ty/eleventy", "Eleventy", site("_site", "eleventy", pages=True)),
    ("vite", "Vite", vite),
    ("parcel", "Parcel", site("dist", "parcel build")),
]


def find(app, why):
    """Answers by the first framework that is among the dependencies; false where there is none."""
    for package, label, take in FRAMEWORKS:
        if package in app.packages and take(app, f"{label}: {package} in {app.place(package)}{why}") is not False:
            return True
    return False
