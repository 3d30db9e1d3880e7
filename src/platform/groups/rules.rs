//! What a group may be made of. Everything is checked before anything is done.

use std::collections::BTreeSet;

use super::NewGroup;
use crate::model::{
    CommandLine, GROUP_COUNT_MAX, GROUP_NAME_MAX, GroupPort, ImageReference, group_name_of_image, variable_prefix,
};
use crate::platform::Error;

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

pub(super) fn check(new: &NewGroup, image: &ImageReference) -> Result<Checked, Error> {
    let name = match &new.name {
        Some(name) => checked_name(name)?,
        None => group_name_of_image(&image.repository()),
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
        image: tagged(image)?.to_string(),
        command: line("command", &new.command)?,
        entrypoint: line("entrypoint", &new.entrypoint)?,
        ports,
    })
}

/// The reference with the tag that it means.
///
/// # Errors
/// [`Error::Invalid`] for a digest: a group's image can be given another tag (`redeploy`).
fn tagged(image: &ImageReference) -> Result<ImageReference, Error> {
    if image.to_string().contains('@') {
        return Err(Error::invalid("image", format!("'{image}' has a digest: name the image by a tag")));
    }
    if !image.is_untagged() {
        return Ok(image.clone());
    }
    image.with_tag("latest").map_err(|error| Error::invalid("image", error.to_string()))
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

    fn checked(new: &NewGroup) -> Result<Checked, Error> {
        check(new, &new.image.parse().unwrap())
    }

    fn field(new: &NewGroup) -> &'static str {
        match checked(new) {
            Err(Error::Invalid { field, .. }) => field,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_group_gets_a_name_and_a_tag() {
        let checked = checked(&new("r.test:5000/a/my.app")).unwrap();
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
