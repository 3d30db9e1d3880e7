//! Links: what the containers of one group are told about those of another (spec §10.2, §10.3).

use super::super::GroupId;
use super::{Environment, LinkUrl, PublishedPort};

/// A link from one group to another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupLink {
    /// The group that is told.
    pub from: GroupId,
    /// The group that it is told about.
    pub to: GroupId,
    /// The link's name as it was given; `None` when it was not, and the unique name of `to` stands for it.
    pub name: Option<String>,
    /// The unique name of `to`.
    pub to_unique_name: String,
}

impl GroupLink {
    /// What the names of the link's variables begin with.
    pub fn prefix(&self) -> String {
        variable_prefix(self.name.as_deref().unwrap_or(&self.to_unique_name))
    }
}

/// What the names of a link's variables begin with: upper case, and an underscore for whatever is neither letter nor digit.
pub fn variable_prefix(name: &str) -> String {
    let upper = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' };
    name.chars().map(upper).collect()
}

/// The variables of one running instance: number `number`, at host name `address`, with these published ports, of a group
/// whose environment a person set to `set`.
pub fn instance_variables(
    prefix: &str,
    number: u32,
    address: &str,
    ports: &[PublishedPort],
    set: &Environment,
) -> Environment {
    let mut ports = ports.to_vec();
    ports.sort_by_key(|port| (port.inner, port.protocol));
    let own = format!("{prefix}_{number}");
    let mut variables: Environment =
        set.iter().map(|(name, value)| (format!("{own}_ENV_{name}"), value.clone())).collect();
    for port in &ports {
        let (protocol, outer) = (port.protocol.as_str(), port.outer);
        let url = format!("{protocol}://{address}:{outer}");
        variables.entry(format!("{own}_PORT")).or_insert_with(|| url.clone());
        let name = format!("{own}_PORT_{}_{}", port.inner, protocol.to_ascii_uppercase());
        variables.insert(format!("{name}_ADDR"), address.to_owned());
        variables.insert(format!("{name}_PORT"), outer.to_string());
        variables.insert(format!("{name}_PROTO"), protocol.to_owned());
        variables.insert(name, url);
    }
    variables
}

/// The variable that leads to the description of a linked group.
pub fn url_variable(prefix: &str, terms: &LinkUrl, to: GroupId) -> (String, String) {
    (format!("{prefix}_{}", terms.suffix), terms.url.replace("{group}", &to.to_string()))
}

#[cfg(test)]
mod tests {
    use super::super::Protocol;
    use super::*;

    fn port(inner: u16, protocol: Protocol, outer: u16) -> PublishedPort {
        PublishedPort { inner, protocol, outer }
    }

    #[test]
    fn the_lowest_port_is_the_ports_own() {
        let ports = [port(80, Protocol::Tcp, 49154), port(53, Protocol::Udp, 49156), port(53, Protocol::Tcp, 49155)];
        let set = Environment::from([("GREETING".to_owned(), "hello".to_owned())]);
        let found = instance_variables(&variable_prefix("my-web-app"), 2, "a.example.test", &ports, &set);
        let found: Vec<String> = found.iter().map(|(name, value)| format!("{name}={value}")).collect();
        assert_eq!(
            found,
            [
                "MY_WEB_APP_2_ENV_GREETING=hello",
                "MY_WEB_APP_2_PORT=tcp://a.example.test:49155",
                "MY_WEB_APP_2_PORT_53_TCP=tcp://a.example.test:49155",
                "MY_WEB_APP_2_PORT_53_TCP_ADDR=a.example.test",
                "MY_WEB_APP_2_PORT_53_TCP_PORT=49155",
                "MY_WEB_APP_2_PORT_53_TCP_PROTO=tcp",
                "MY_WEB_APP_2_PORT_53_UDP=udp://a.example.test:49156",
                "MY_WEB_APP_2_PORT_53_UDP_ADDR=a.example.test",
                "MY_WEB_APP_2_PORT_53_UDP_PORT=49156",
                "MY_WEB_APP_2_PORT_53_UDP_PROTO=udp",
                "MY_WEB_APP_2_PORT_80_TCP=tcp://a.example.test:49154",
                "MY_WEB_APP_2_PORT_80_TCP_ADDR=a.example.test",
                "MY_WEB_APP_2_PORT_80_TCP_PORT=49154",
                "MY_WEB_APP_2_PORT_80_TCP_PROTO=tcp",
            ]
        );
        assert!(instance_variables("A", 1, "a", &[], &Environment::new()).is_empty());
    }

    #[test]
    fn a_link_without_a_name_has_that_of_its_group() {
        let (from, to) = (GroupId::new(), GroupId::new());
        let link = |name: Option<&str>| GroupLink {
            from,
            to,
            name: name.map(str::to_owned),
            to_unique_name: "db_1.x".to_owned(),
        };
        assert_eq!(link(None).prefix(), "DB_1_X");
        assert_eq!(link(Some("d\u{e9}b")).prefix(), "D_B");
        let terms = LinkUrl { suffix: "API_URL".into(), url: "http://h/{group}/".into() };
        assert_eq!(url_variable("DB", &terms, to), ("DB_API_URL".to_owned(), format!("http://h/{to}/")));
    }
}
