//! Files that steer a build, under names that nothing reads: a push that would go another way without a word.

/// The names that count.
const STEERING: [&str; 4] = ["Dockerfile", "Procfile", "app.json", "slipway-build.toml"];

/// What built-in buildpacks look for, with other ways in which people write it. Only a tree that has none of these is looked
/// at: what is built by one of them may have any other file.
const LOOKED_FOR: [(&str, &[&str]); 11] = [
    ("requirements.txt", &["requirement.txt", "requirements", "requirements.text", "requirments.txt", "requirement"]),
    ("package.json", &[]),
    ("Gemfile", &["gemfile.rb"]),
    ("composer.json", &[]),
    ("go.mod", &[]),
    ("Cargo.toml", &[]),
    ("pom.xml", &[]),
    ("Pipfile", &[]),
    ("pyproject.toml", &[]),
    ("static.json", &[]),
    ("index.html", &["index.htm"]),
];

/// The first file that was meant to be one that the build reads, and that one's name. `names` are those of the files at the top;
/// `is_detected`, whether a buildpack has to be found by them.
pub(super) fn misspelt(names: &[String], is_detected: bool) -> Option<(&str, &'static str)> {
    let has = |right: &str| names.iter().any(|name| name == right);
    let find = |right: &'static str, others: &[&str]| {
        let is_meant = |name: &&String| {
            let lower = name.to_lowercase();
            // Editors add it where nobody sees it.
            let lower = lower.strip_suffix(".txt").filter(|_| !right.ends_with(".txt")).unwrap_or(&lower);
            **name != *right && (lower == right.to_lowercase() || others.contains(&lower))
        };
        let found = names.iter().find(is_meant).filter(|_| !has(right));
        found.map(|found| (found.as_str(), right))
    };
    let dashed = |right: &'static str| match right {
        "Dockerfile" => find(right, &["docker-file", "docker_file", "dokerfile", "dockefile"]),
        "Procfile" => find(right, &["proc-file", "proc_file", "procfiles", "procfile.yml"]),
        _ => find(right, &[]),
    };
    let steering = STEERING.iter().find_map(|right| dashed(right));
    let has_any = LOOKED_FOR.iter().any(|(right, _)| has(right));
    steering.or_else(|| {
        let looked_for = LOOKED_FOR.iter().filter(|_| is_detected && !has_any);
        looked_for.into_iter().find_map(|(right, others)| find(right, others))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_nothing_reads_is_found_with_the_right_one() {
        let check = |names: &[&str], expect: Option<(&str, &str)>| {
            let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
            assert_eq!(misspelt(&names, true), expect, "{names:?}");
        };
        for name in ["DockerFile", "DOCKERFILE", "Dockerfile.txt", "dockerfile.txt", "docker-file"] {
            check(&["app.py", name], Some((name, "Dockerfile")));
            check(&["Dockerfile", name], None);
        }
        for name in ["procfile", "PROCFILE", "ProcFile", "Procfile.txt"] {
            check(&["requirements.txt", name], Some((name, "Procfile")));
            check(&["Procfile", name], None);
        }
        check(&["App.json", "package.json"], Some(("App.json", "app.json")));
        check(&["app.json.txt"], Some(("app.json.txt", "app.json")));
        check(&["requirement.txt", "Procfile"], Some(("requirement.txt", "requirements.txt")));
        check(&["Requirements.txt"], Some(("Requirements.txt", "requirements.txt")));
        check(&["Package.json"], Some(("Package.json", "package.json")));
        check(&["gemfile"], Some(("gemfile", "Gemfile")));
        check(&["requirements.txt.txt"], None);
        check(&["requirement.txt", "package.json"], None);
        check(&["Dockerfile.dev", "profile", "README.md", "main.go", "go.sum"], None);
        check(&[], None);
        assert_eq!(misspelt(&["requirement.txt".to_owned()], false), None);
        assert_eq!(misspelt(&["procfile".to_owned()], false), Some(("procfile", "Procfile")));
    }
}
