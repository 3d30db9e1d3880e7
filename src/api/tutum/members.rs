//! The members of bodies that make or change an application (spec §5.1, §5.2): their types in JSON, and what only this API
//! spells so. All other rules are the platform's.

use std::collections::BTreeSet;

use serde_json::Value;

use super::body::{Object, whole};
use super::error::Error;
use super::{image, roles, sizes};
use crate::model::{
    CredentialTerms, DomainName, Environment, GROUP_COUNT_MAX, GroupPort, LinkUrl, Policies, Policy, Protocol, Size,
    Terms,
};
use crate::platform::{GroupChange, NewGroup};

/// What a new application shall be, but for its links.
pub(super) fn new_application(object: &Object, sizes: &[Size], api_url: &str) -> Result<NewGroup, Error> {
    let policy = |name| policy(object, name).map(Option::unwrap_or_default);
    Ok(NewGroup {
        name: object.text("name")?.map(str::to_owned),
        image: image(object)?,
        wanted: object.number("target_num_containers", 1, GROUP_COUNT_MAX)?.unwrap_or(1),
        command: command(object, "run_command")?,
        entrypoint: command(object, "entrypoint")?,
        ports: ports(object)?,
        size: size(object, sizes)?,
        environment: environment(object)?,
        links: Vec::new(),
        policies: Policies {
            restart: policy("autorestart")?,
            replace: policy("autoreplace")?,
            destroy: policy("autodestroy")?,
        },
        is_sequential: object.flag("sequential_deployment")?.unwrap_or_default(),
        grants: grants(object)?,
        terms: terms(api_url),
        domain: host(object)?,
    })
}

/// What shall be different about an application. What cannot be changed is not looked at.
pub(super) fn change(object: &Object) -> Result<GroupChange, Error> {
    Ok(GroupChange {
        wanted: object.number("target_num_containers", 0, GROUP_COUNT_MAX)?,
        restart: policy(object, "autorestart")?,
        replace: policy(object, "autoreplace")?,
        destroy: policy(object, "autodestroy")?,
        domain: host(object)?,
    })
}

/// The words that this API has promised for what is put into containers (spec §10.2, §11.2).
pub(super) fn terms(api_url: &str) -> Terms {
    let credential = CredentialTerms { variable: "TUTUM_AUTH".to_owned(), value: "ApiKey {owner}:{token}".to_owned() };
    Terms { link_url: Some(link_url(api_url)), credential: Some(credential) }
}

/// The variable of a link that leads to the linked application.
pub(super) fn link_url(api_url: &str) -> LinkUrl {
    let url = format!("{}/api/v1/application/{{group}}/", api_url.trim_end_matches('/'));
    LinkUrl { suffix: "TUTUM_API_URL".to_owned(), url }
}

/// `image` wins where both are given.
fn image(object: &Object) -> Result<String, Error> {
    let text = object.text("image")?.or(object.text("image_tag")?);
    let text = text.ok_or_else(|| Error::invalid("image", "image is required, like tutum/hello-world:latest."))?;
    image::reference(text).ok_or_else(|| Error::invalid("image", format!("there is no image at '{text}'.")))
}

/// The empty text is what answers show where the image has none, so it says nothing here.
fn command(object: &Object, name: &'static str) -> Result<Option<String>, Error> {
    Ok(object.text(name)?.filter(|text| !text.trim().is_empty()).map(str::to_owned))
}

fn size(object: &Object, sizes: &[Size]) -> Result<Size, Error> {
    sizes::find(sizes, object.text("container_size")?).cloned().ok_or_else(|| {
        let names: Vec<&str> = sizes.iter().map(|size| size.name.as_str()).collect();
        Error::invalid("container_size", format!("container_size has to be one of {}.", names.join(", ")))
    })
}

fn policy(object: &Object, name: &'static str) -> Result<Option<Policy>, Error> {
    let Some(text) = object.text(name)? else { return Ok(None) };
    let found = POLICIES.iter().find(|(word, _)| *word == text).map(|(_, policy)| *policy);
    found.map(Some).ok_or_else(|| Error::invalid(name, format!("{name} has to be OFF, ON_FAILURE or ALWAYS.")))
}

/// Policies as this API spells them.
const POLICIES: [(&str, Policy); 3] =
    [("OFF", Policy::Off), ("ON_FAILURE", Policy::OnFailure), ("ALWAYS", Policy::Always)];

/// How this API spells a policy.
pub(super) fn policy_word(policy: Policy) -> &'static str {
    POLICIES.iter().find(|(_, known)| *known == policy).map_or("OFF", |(word, _)| word)
}

fn host(object: &Object) -> Result<Option<DomainName>, Error> {
    let parsed = object.text("web_public_dns")?.map(DomainName::as_typed).transpose();
    parsed.map_err(|why| {
        let rule = "web_public_dns has to be a host name like www.example.com";
        Error::invalid("web_public_dns", format!("{rule}: {why}."))
    })
}

/// The objects of a list.
fn objects(object: &Object, name: &'static str, rule: &str) -> Result<Option<Vec<Object>>, Error> {
    let Some(items) = object.list(name)? else { return Ok(None) };
    let read = |item: &Value| match item {
        Value::Object(members) => Ok(Object::new(members.clone())),
        _ => Err(Error::invalid(name, rule)),
    };
    items.iter().map(read).collect::<Result<_, _>>().map(Some)
}

fn ports(object: &Object) -> Result<Option<Vec<GroupPort>>, Error> {
    let rule = "container_ports has to be a list of objects like {\"protocol\": \"tcp\", \"inner_port\": 80}.";
    let items = objects(object, "container_ports", rule)?;
    items.map(|items| items.iter().map(port).collect()).transpose()
}

fn port(item: &Object) -> Result<GroupPort, Error> {
    let wrong = |text: &str| Error::invalid("container_ports", text);
    let number = |value: &Value| whole(value).and_then(|n| u16::try_from(n).ok()).filter(|number| *number > 0);
    let protocol = match item.value("protocol").map(Value::as_str) {
        None | Some(Some("tcp")) => Protocol::Tcp,
        Some(Some("udp")) => Protocol::Udp,
        Some(_) => return Err(wrong("the protocol of a port has to be tcp or udp.")),
    };
    let inner = item.value("inner_port").ok_or_else(|| wrong("each port has to have an inner_port."))?;
    let inner = number(inner).ok_or_else(|| wrong("inner_port has to be a whole number from 1 to 65535."))?;
    let outer = match item.value("outer_port").map(number) {
        None => None,
        Some(Some(outer)) => Some(outer),
        Some(None) => return Err(wrong("outer_port has to be a whole number from 1 to 65535.")),
    };
    Ok(GroupPort { inner, protocol, outer })
}

/// Of a key that is given twice the last one counts.
fn environment(object: &Object) -> Result<Environment, Error> {
    let rule = "container_envvars has to be a list of objects like {\"key\": \"NAME\", \"value\": \"text\"}.";
    let mut values = Environment::new();
    for item in objects(object, "container_envvars", rule)?.unwrap_or_default() {
        let text = |name| item.value(name).and_then(Value::as_str).map(str::to_owned);
        let (Some(key), Some(value)) = (text("key"), text("value")) else {
            return Err(Error::invalid("container_envvars", rule));
        };
        values.insert(key, value);
    }
    Ok(values)
}

fn grants(object: &Object) -> Result<Vec<String>, Error> {
    let mut scopes = BTreeSet::new();
    for item in object.list("roles")?.unwrap_or_default() {
        let scope = item.as_str().and_then(roles::scope_of);
        scopes.insert(scope.ok_or_else(|| Error::invalid("roles", "there is no such role; see /api/v1/role/."))?);
    }
    Ok(scopes.into_iter().map(str::to_owned).collect())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn object(value: Value) -> Object {
        let Value::Object(members) = value else { panic!("{value}") };
        Object::new(members)
    }

    fn read(mut value: Value) -> Result<NewGroup, Error> {
        if value.get("image").is_none() && value.get("image_tag").is_none() {
            value["image"] = json!("a/hello");
        }
        new_application(&object(value), &sizes::defaults(), "http://slipway.example.com/")
    }

    /// The member that is wrong.
    fn fault(value: Value) -> &'static str {
        match read(value.clone()) {
            Err(Error::Invalid { field, .. }) => field,
            Err(error) => panic!("{value}: {error:?}"),
            Ok(_) => panic!("{value} was taken"),
        }
    }

    #[test]
    fn only_the_image_is_required() {
        let new = read(json!({"image_tag": "/api/v1/image/tutum/hello-world/tag/1/"})).unwrap();
        assert_eq!((new.image.as_str(), new.name), ("tutum/hello-world:1", None));
        assert_eq!((new.size.name.as_str(), new.wanted, new.is_sequential), ("XS", 1, false));
        assert!(new.command.is_none() && new.entrypoint.is_none() && new.ports.is_none() && new.domain.is_none());
        assert!(new.environment.is_empty() && new.grants.is_empty());
        assert_eq!(new.policies, Policies::default());
        assert_eq!(new.terms.link_url.unwrap().url, "http://slipway.example.com/api/v1/application/{group}/");
        assert_eq!(read(json!({"image": "a", "image_tag": "b"})).unwrap().image, "a");
        assert_eq!(read(json!({"image": null, "image_tag": "b"})).unwrap().image, "b");
        assert_eq!(fault(json!({"image": null, "image_tag": null})), "image");
        assert_eq!(fault(json!({"image": "/api/v1/image/a/"})), "image");
        assert_eq!(fault(json!({"image": 5})), "image");
    }

    #[test]
    fn sizes_counts_commands_and_policies() {
        assert_eq!(read(json!({"container_size": "L"})).unwrap().size.memory_bytes, Some(2 << 30));
        assert_eq!(fault(json!({"container_size": "xs"})), "container_size");
        assert_eq!(read(json!({"target_num_containers": 100})).unwrap().wanted, 100);
        for count in [json!(0), json!(101), json!("2"), json!(1.5), json!(-1), json!(true)] {
            assert_eq!(fault(json!({"target_num_containers": count})), "target_num_containers");
        }
        let new = read(json!({"run_command": "sh -c 'a b'", "entrypoint": "", "autorestart": "ALWAYS"})).unwrap();
        assert_eq!((new.command.as_deref(), new.entrypoint), (Some("sh -c 'a b'"), None));
        assert_eq!(new.policies.restart, Policy::Always);
        for name in ["autorestart", "autoreplace", "autodestroy"] {
            assert_eq!(fault(json!({name: "always"})), name);
            assert_eq!(fault(json!({name: true})), name);
        }
    }

    #[test]
    fn ports_and_environments() {
        let given = json!([{"protocol": "udp", "inner_port": 53}, {"inner_port": 53, "outer_port": 8053}]);
        let ports = read(json!({"container_ports": given})).unwrap().ports.unwrap();
        let port = |protocol, outer| GroupPort { inner: 53, protocol, outer };
        assert_eq!(ports, [port(Protocol::Udp, None), port(Protocol::Tcp, Some(8053))]);
        assert_eq!(read(json!({"container_ports": []})).unwrap().ports, Some(Vec::new()));
        for wrong in [
            json!(80),
            json!([80]),
            json!([{"protocol": "tcp"}]),
            json!([{"protocol": "icmp", "inner_port": 1}]),
            json!([{"inner_port": 0}]),
            json!([{"inner_port": 65536}]),
            json!([{"inner_port": 1, "outer_port": 0}]),
        ] {
            assert_eq!(fault(json!({"container_ports": wrong})), "container_ports", "{wrong}");
        }
        let given = json!([{"key": "A", "value": "1"}, {"key": "B", "value": ""}, {"key": "A", "value": "2"}]);
        let values = read(json!({"container_envvars": given})).unwrap().environment;
        assert_eq!(values.into_iter().collect::<Vec<_>>(), [("A".into(), "2".into()), ("B".into(), String::new())]);
        for wrong in [json!({"A": "1"}), json!(["A=1"]), json!([{"key": "A"}]), json!([{"key": "A", "value": 1}])] {
            assert_eq!(fault(json!({"container_envvars": wrong})), "container_envvars", "{wrong}");
        }
    }

    #[test]
    fn roles_hosts_and_flags() {
        for role in ["global", "/api/v1/role/global/"] {
            assert_eq!(read(json!({"roles": [role, "global"]})).unwrap().grants, ["global"]);
        }
        for wrong in [json!("global"), json!(["full"]), json!([1]), json!(["/api/v1/role/full/"])] {
            assert_eq!(fault(json!({"roles": wrong})), "roles");
        }
        let host = read(json!({"web_public_dns": "www.example.com"})).unwrap().domain;
        assert_eq!(host.unwrap().as_str(), "www.example.com");
        assert_eq!(fault(json!({"web_public_dns": "not a host"})), "web_public_dns");
        assert!(read(json!({"sequential_deployment": true})).unwrap().is_sequential);
        assert_eq!(fault(json!({"sequential_deployment": "yes"})), "sequential_deployment");
    }

    #[test]
    fn changes() {
        let ignored = json!({"image": "b", "name": "-", "container_envvars": 5, "target_num_containers": null});
        let none = change(&object(ignored)).unwrap();
        assert!(none.wanted.is_none() && none.restart.is_none() && none.domain.is_none());
        let some = change(&object(json!({"target_num_containers": 0, "autodestroy": "ON_FAILURE"}))).unwrap();
        assert_eq!((some.wanted, some.destroy, some.replace), (Some(0), Some(Policy::OnFailure), None));
        assert!(change(&object(json!({"target_num_containers": 101}))).is_err());
        assert!(change(&object(json!({"autoreplace": "SOMETIMES"}))).is_err());
    }
}
