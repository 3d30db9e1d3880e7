//! Which trees the buildpacks for Python and for static sites take.

use std::path::Path;
use std::process::Command;

use crate::tree::Tree;

/// Whether `bin/detect` of a buildpack accepts empty files of these names.
fn accepts(buildpack: &str, names: &[&str]) -> bool {
    let files: Vec<(&str, &str)> = names.iter().map(|name| (*name, "")).collect();
    let tree = Tree::of(&files);
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("buildpacks").join(buildpack).join("bin/detect");
    Command::new("bash").arg(program).arg(tree.path()).output().expect("bash is installed").status.success()
}

#[test]
fn a_program_in_python_alone_is_an_app_and_beside_anything_else_a_helper() {
    for names in [&["main.py"][..], &["app.py", "README.md"], &["requirements.txt", "package.json"], &["uv.lock"]] {
        assert!(accepts("python", names), "{names:?}");
    }
    let others = [
        "Procfile",
        "package.json",
        "Gemfile",
        "go.mod",
        "index.html",
        "public/index.html",
        "index.php",
        "static.json",
    ];
    for other in others {
        assert!(!accepts("python", &["main.py", other]), "{other}");
    }
    assert!(!accepts("python", &["tool.py"]) && !accepts("python", &["pyproject.toml"]));
}

#[test]
fn a_folder_of_pages_is_a_site_where_no_package_json_is() {
    for folder in ["public_html", "public", "dist", "build", "_site", "out", "."] {
        let page = format!("{folder}/index.html");
        assert!(accepts("static", &[&page]) && !accepts("static", &[&page, "package.json"]), "{page}");
    }
    assert!(
        accepts("static", &["static.json"])
            && accepts("static", &[".static"])
            && !accepts("static", &["docs/index.html"])
    );
}
