//! A tree of a few files, and what a buildpack says of it.

use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

/// Exit status by which `lib/start` refuses a tree.
const REFUSED: i32 = 3;

/// Files by path, in a folder of their own; config vars are those of `env/`.
pub struct Tree(TempDir);

impl Tree {
    /// Writes the files. A path that begins with `+` is executable.
    pub fn of(files: &[(&str, &str)]) -> Self {
        let dir = tempfile::tempdir().expect("a temporary folder can be made");
        for (name, text) in files {
            let path = dir.path().join(name.trim_start_matches('+'));
            std::fs::create_dir_all(path.parent().expect("it lies in the folder")).expect("our own folder");
            std::fs::write(&path, text).expect("our own folder");
            if name.starts_with('+') {
                use std::os::unix::fs::PermissionsExt;
                std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).expect("our own file");
            }
        }
        Self(dir)
    }

    /// Where it lies.
    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// What `lib/start` of a buildpack prints: all it says, or the refusal.
    pub fn start(&self, buildpack: &str) -> Result<String, String> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let output = Command::new("python3")
            .env("PYTHONPATH", root.join("buildpacks/lib"))
            .arg("-B")
            .arg(root.join("buildpacks").join(buildpack).join("lib/start"))
            .args([self.path().to_path_buf(), self.path().join("env")])
            .output()
            .expect("python3 is installed");
        let text = String::from_utf8(output.stdout).expect("it speaks UTF-8").trim_end().to_owned();
        match output.status.code() {
            Some(0) => Ok(text),
            Some(REFUSED) => Err(text),
            status => panic!("status {status:?}: {text}{}", String::from_utf8_lossy(&output.stderr)),
        }
    }
}

/// Asserts that a tree is started by a command for a reason, told as the push tells it.
#[track_caller]
pub fn starts(buildpack: &str, files: &[(&str, &str)], expected: &str) {
    let answer = Tree::of(files).start(buildpack).unwrap_or_else(|refusal| panic!("{files:#?}\nrefused: {refusal}"));
    let web = answer.lines().find_map(|line| line.strip_prefix("web\t"));
    let mut fields = web.unwrap_or_else(|| panic!("{files:#?}\nno web process: {answer}")).split('\t');
    let (command, reason) = (fields.next().expect("a command"), fields.next().expect("a reason"));
    assert_eq!(format!("{} ({reason})", fields.next().unwrap_or(command)), expected, "{files:#?}");
}

/// Asserts that a tree is refused, with these parts in what is said.
#[track_caller]
pub fn refused(buildpack: &str, files: &[(&str, &str)], parts: &[&str]) {
    let refusal = Tree::of(files).start(buildpack).expect_err("nothing says what starts it");
    for part in parts {
        assert!(refusal.contains(part), "'{part}' is not in: {refusal}");
    }
}
