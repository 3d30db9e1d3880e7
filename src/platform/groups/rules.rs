//! What a group may be made of. Everything is checked before anything is done.

use std::collections::BTreeSet;

use super::NewGroup;
use crate::model::{CommandLine, GROUP_COUNT_MAX, GROUP_NAME_MAX, GroupPort, group_name_of_image, variable_prefix};
use crate::platform::Error;

/// Longest image repository (Docker's rule).
const REPOSITORY_MAX: usize = 255;
/// Longest tag.
const TAG_MAX: usize = 128;
/// Longest value of a variable in bytes: what the kernel takes as one environment string.
const VALUE_MAX: usize = 128 * 1024 - 1;

/// What was given, in order.
#[derive(Debug)]
pub(super) struct Checked {
    pub name: String,
    /// With a tag.
    pub image: String,
    pub command: Option<CommandLine>,
    pub entrypoint: Option<CommandLine>,
    pub ports: Vec<GroupPort>,
}

pub(super) fn check(new: &NewGroup) -> Result<Checked, Error> {
    let (repository, tag) = split_image(&new.image).map_err(|problem| Error::invalid("image", problem))?;
    let name = match &new.name {
        Some(name) => checked_name(name)?,
        None => group_name_of_image(repository),
    };
    if !(1..=GROUP_COUNT_MAX).contains(&new.wanted) {
        return Err(Error::invalid("wanted", format!("{} is not a number from 1 to {GROUP_COUNT_MAX}", new.wanted)));
    }
    let line = |field, text: &Option<String>| {
        let parsed = text.as_deref().map(CommandLine::parse).transpose();
        parsed.map_err(|error| Error::invalid(field, format!("'{}': {error}", text.as_deref().unwrap_or_default())))
    };
    let ports = checked_ports(new)?;
    check_environment(new)?;
    check_link_names(new)?;
    if !new.grants.is_empty() && new.terms.credential.is_none() {
        return Err(Error::invalid("grants", "a grant needs a variable to carry its credential"));
    }
    Ok(Checked {
        name,
        image: format!("{repository}:{}", tag.unwrap_or("latest")),
        command: line("command", &new.command)?,
        entrypoint: line("entrypoint", &new.entrypoint)?,
        ports,
    })
}

fn checked_name(name: &str) -> Result<String, Error> {
    let is_valid = (1..=GROUP_NAME_MAX).contains(&name.len())
        && name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
    if !is_valid {
        let rule = format!("use 1 to {GROUP_NAME_MAX} letters, digits, '-' and '_', a letter or digit first");
        return Err(Error::invalid("name", format!("'{name}' is not a name: {rule}")));
    }
    Ok(name.to_owned())
}

/// Repository and tag of an image reference `[host[:port]/][namespace/]name[:tag]`.
///
/// # Errors
/// Why it is none.
pub(super) fn split_image(reference: &str) -> Result<(&str, Option<&str>), String> {
    let problem = || format!("'{reference}' is not an image reference such as name:tag or host:5000/space/name:tag");
    let (repository, tag) = match reference.rsplit_once(':') {
        Some((repository, tag)) if !tag.contains('/') => (repository, Some(tag)),
        _ => (reference, None),
    };
    let (host, path) = match repository.split_once('/') {
        Some((host, path)) if host.contains(['.', ':']) || host == "localhost" => (Some(host), path),
        _ => (None, repository),
    };
    let is_part = |part: &str| {
        let is_outer = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
        part.starts_with(is_outer)
            && part.ends_with(is_outer)
            && part.chars().all(|c| is_outer(c) || matches!(c, '.' | '_' | '-'))
    };
    let is_host = |host: &str| {
        let (name, port) = host.split_once(':').unwrap_or((host, "1"));
        let is_name = |label: &str| !label.is_empty() && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        name.split('.').all(is_name) && port.parse::<u16>().is_ok_and(|port| port > 0)
    };
    let is_valid = repository.len() <= REPOSITORY_MAX
        && host.is_none_or(is_host)
        && path.split('/').all(is_part)
        && tag.is_none_or(is_tag);
    if is_valid { Ok((repository, tag)) } else { Err(problem()) }
}

/// Whether a text may be the tag of an image.
pub(super) fn is_tag(tag: &str) -> bool {
    (1..=TAG_MAX).contains(&tag.len())
        && tag.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_')
        && tag.bytes().all(|b| b.is_ascii_alphanumeric() || b"_.-".contains(&b))
}

fn checked_ports(new: &NewGroup) -> Result<Vec<GroupPort>, Error> {
    let mut ports = new.ports.clone().unwrap_or_default();
    ports.sort_unstable();
    let mut seen = BTreeSet::new();
    for port in &ports {
        if port.inner == 0 || port.outer == Some(0) {
            return Err(Error::invalid("ports", "0 is not a port"));
        }
        if !seen.insert((port.inner, port.protocol)) {
            return Err(Error::invalid("ports", format!("{}/{} is given twice", port.inner, port.protocol)));
        }
        if port.outer.is_some() && new.wanted > 1 {
            return Err(Error::invalid("ports", "a port of the host can be asked for with one container only"));
        }
    }
    let outer: Vec<_> = ports.iter().filter_map(|port| Some((port.protocol, port.outer?))).collect();
    if outer.len() != outer.iter().collect::<BTreeSet<_>>().len() {
        return Err(Error::invalid("ports", "one port of the host cannot lead to two ports of the container"));
    }
    Ok(ports)
}

fn check_environment(new: &NewGroup) -> Result<(), Error> {
    let reserved = new.terms.credential.as_ref().map(|terms| terms.variable.as_str());
    for (name, value) in &new.environment {
        let is_name = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        if !is_name {
            let text = format!("'{name}' is not a variable: use letters, digits and _, not starting with a digit");
            return Err(Error::invalid("environment", text));
        }
        if Some(name.as_str()) == reserved {
            return Err(Error::invalid("environment", format!("{name} is set by the platform; call yours otherwise")));
        }
        if value.contains('\0') {
            return Err(Error::invalid("environment", format!("the value of {name} contains a NUL character")));
        }
        if name.len() + 1 + value.len() > VALUE_MAX {
            let text = format!("the value of {name} is longer than {VALUE_MAX} bytes");
            return Err(Error::invalid("environment", text));
        }
    }
    Ok(())
}

/// Names of links that were given; those of the others are known once their groups are.
fn check_link_names(new: &NewGroup) -> Result<(), Error> {
    for name in new.links.iter().filter_map(|link| link.name.as_deref()) {
        let is_valid = (1..=GROUP_NAME_MAX).contains(&name.chars().count())
            && variable_prefix(name).starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
        if !is_valid {
            let text =
                format!("'{name}' is not a name for a link: begin with a letter, and use at most {GROUP_NAME_MAX}");
            return Err(Error::invalid("links", text));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Protocol;

    fn new(image: &str) -> NewGroup {
        NewGroup { image: image.to_owned(), wanted: 1, ..NewGroup::default() }
    }

    fn field(new: &NewGroup) -> &'static str {
        match check(new) {
            Err(Error::Invalid { field, .. }) => field,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn images_are_references_with_a_tag() {
        let check =
            |text: &str, expect: Option<(&str, Option<&str>)>| assert_eq!(split_image(text).ok(), expect, "{text}");
        check("hello", Some(("hello", None)));
        check("a/b:1.0", Some(("a/b", Some("1.0"))));
        check("r.test:5000/a/b", Some(("r.test:5000/a/b", None)));
        check("r.test:5000/a/b:x_1", Some(("r.test:5000/a/b", Some("x_1"))));
        check("localhost/a", Some(("localhost/a", None)));
        for bad in ["", "A", "a b", "a:", "a:-x", "/a", "a//b", "a/", "r.test:x/a", "r.test:0/a", "-a", "a@sha256:00"] {
            check(bad, None);
        }
    }

    #[test]
    fn a_group_gets_a_name_and_a_tag() {
        let checked = check(&new("r.test:5000/a/my.app")).unwrap();
        assert_eq!((checked.name.as_str(), checked.image.as_str()), ("my-app", "r.test:5000/a/my.app:latest"));
    }

    #[test]
    fn what_breaks_a_rule_names_its_field() {
        let good = || new("hello");
        assert_eq!(field(&NewGroup { name: Some("-x".into()), ..good() }), "name");
        assert_eq!(field(&NewGroup { name: Some("x".repeat(65)), ..good() }), "name");
        assert_eq!(field(&NewGroup { wanted: 0, ..good() }), "wanted");
        assert_eq!(field(&NewGroup { wanted: 101, ..good() }), "wanted");
        assert_eq!(field(&NewGroup { command: Some("a 'b".into()), ..good() }), "command");
        assert_eq!(field(&NewGroup { environment: [("1A".into(), "x".into())].into(), ..good() }), "environment");
        let port = |inner, outer| GroupPort { inner, protocol: Protocol::Tcp, outer };
        assert_eq!(field(&NewGroup { ports: Some(vec![port(80, None), port(80, Some(8080))]), ..good() }), "ports");
        assert_eq!(field(&NewGroup { ports: Some(vec![port(80, Some(8080))]), wanted: 2, ..good() }), "ports");
        assert_eq!(field(&NewGroup { ports: Some(vec![port(0, None)]), ..good() }), "ports");
    }
}
