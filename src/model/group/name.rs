//! Names of groups and of their instances (spec §7, §16.3).

use super::super::{APP_NAME_MAX, AppName, InvalidAppName};
use super::GROUP_NAME_MAX;

/// The name of a group that was made without one: the image's last part, without tag and digest; characters that a name
/// cannot have become hyphens.
pub fn group_name_of_image(image: &str) -> String {
    let last = image.rsplit('/').next().unwrap_or(image);
    let last = last.split(['@', ':']).next().unwrap_or(last);
    let is_allowed = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    let name: String = last.chars().map(|c| if is_allowed(c) { c } else { '-' }).take(GROUP_NAME_MAX).collect();
    let name = name.trim_start_matches(['-', '_']);
    if name.is_empty() { "app".to_owned() } else { name.to_owned() }
}

/// The `n`th name to try for a group: the name itself, then `name-2`, `name-3` ...
pub fn numbered_name(name: &str, n: u32) -> String {
    if n < 2 { name.to_owned() } else { format!("{name}-{n}") }
}

/// The app name that stands for a unique name in host names and among all apps: lower case, underscores become hyphens,
/// shortened where it must be, at the end of `name` and not of its number.
///
/// # Errors
/// For names that the platform keeps for itself.
pub fn slug_of(name: &str, n: u32) -> Result<AppName, InvalidAppName> {
    let folded = fold(name);
    let number = if n < 2 { String::new() } else { format!("-{n}") };
    let kept = folded.get(..APP_NAME_MAX - number.len()).unwrap_or(&folded).trim_end_matches('-');
    format!("{kept}{number}").parse()
}

/// The host name under which the published ports of an instance are reached: `<unique name>-<owner>.<domain>` with the
/// first part made fit for a label, at most 63 characters (spec §7).
pub fn address_of(unique_name: &str, owner: &str, domain: &str) -> String {
    let owner: String = owner.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
    let label = fold(&format!("{unique_name}-{owner}"));
    let label = label.get(..APP_NAME_MAX).unwrap_or(&label).trim_end_matches('-');
    format!("{label}.{domain}")
}

fn fold(name: &str) -> String {
    name.to_ascii_lowercase().replace('_', "-").trim_matches('-').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_from_images() {
        let check = |image: &str, expect: &str| assert_eq!(group_name_of_image(image), expect, "{image}");
        check("my-web-app", "my-web-app");
        check("tutum/hello-world:1.0", "hello-world");
        check("registry.test:5000/a/b.c", "b-c");
        check("a@sha256:00", "a");
        check("a/_", "app");
    }

    #[test]
    fn slugs_are_app_names_whatever_the_name() {
        let check = |name: &str, n: u32, expect: &str| assert_eq!(slug_of(name, n).unwrap().as_str(), expect, "{name}");
        check("My_App", 1, "my-app");
        check("My_App", 2, "my-app-2");
        check("a_", 1, "a");
        check(&"x".repeat(64), 1, &"x".repeat(63));
        check(&"x".repeat(64), 12, &format!("{}-12", "x".repeat(60)));
        assert_eq!(slug_of("slipway", 1), Err(InvalidAppName::Reserved));
        assert_eq!(slug_of("slipway", 2).unwrap().as_str(), "slipway-2");
        assert_eq!((numbered_name("a", 1), numbered_name("a", 3)), ("a".to_owned(), "a-3".to_owned()));
    }

    #[test]
    fn addresses_are_host_names() {
        assert_eq!(address_of("my-web-app-2", "admin", "example.test"), "my-web-app-2-admin.example.test");
        assert_eq!(address_of("My_App-1", "a.b@c", "example.test"), "my-app-1-a-b-c.example.test");
        let long = address_of(&"x".repeat(70), "bob", "example.test");
        assert_eq!(long.split('.').next().unwrap().len(), 63);
    }
}
