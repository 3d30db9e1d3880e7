//! Links as bodies have them (spec §10.3).

use serde_json::Value;

use super::body::Object;
use super::error::Error;
use super::paths;
use crate::model::User;
use crate::platform::{LinkTarget, NewLink, Platform};

/// The links that a body asks for.
pub(super) async fn read(platform: &Platform, user: &User, object: &Object) -> Result<Vec<NewLink>, Error> {
    let mut links = Vec::new();
    for item in object.list(MEMBER)?.unwrap_or_default() {
        let LinkTo { to, name, is_object } = read_link(item)?;
        let name = match (name, is_object) {
            // Whoever gives an object is shown one, and that has a name.
            (None, true) => Some(unique_name(platform, user, &to).await?),
            (name, _) => name,
        };
        links.push(NewLink { to, name });
    }
    Ok(links)
}

async fn unique_name(platform: &Platform, user: &User, to: &LinkTarget) -> Result<String, Error> {
    match to {
        LinkTarget::UniqueName(name) => Ok(name.clone()),
        LinkTarget::Id(id) => match platform.group(user, *id).await {
            Ok(found) => Ok(found.view.group.unique_name),
            Err(crate::platform::Error::NotFound(_)) => {
                Err(Error::invalid(MEMBER, format!("there is no application {id} to link to.")))
            }
            Err(error) => Err(error.into()),
        },
    }
}

const MEMBER: &str = "linked_to_application";

/// An item of the list.
#[derive(Debug, Clone, PartialEq, Eq)]
struct LinkTo {
    to: LinkTarget,
    name: Option<String>,
    is_object: bool,
}

/// Reads one item of the list: text, or an object with a name.
fn read_link(item: &Value) -> Result<LinkTo, Error> {
    let wrong = |text: &str| Error::invalid(MEMBER, text);
    match item {
        Value::String(text) => Ok(LinkTo { to: target(text), name: None, is_object: false }),
        Value::Object(members) => {
            let object = Object::new(members.clone());
            let to = object.value("to_application").and_then(Value::as_str);
            let to =
                to.ok_or_else(|| wrong("a link has to have the member to_application, a URI, UUID or unique name."))?;
            let name = match object.value("name").map(Value::as_str) {
                None => None,
                Some(Some(name)) => Some(name.to_owned()),
                Some(None) => return Err(wrong("the name of a link has to be text.")),
            };
            Ok(LinkTo { to: target(to), name, is_object: true })
        }
        _ => Err(wrong("each link has to be the URI of an application, or an object with to_application and name.")),
    }
}

fn target(text: &str) -> LinkTarget {
    let id = paths::application_of(text).unwrap_or(text).parse();
    id.map_or_else(|_| LinkTarget::UniqueName(text.to_owned()), LinkTarget::Id)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn links_in_every_form() {
        let uuid = "6fe5029e-c125-4088-9b9a-4e74da20ac58";
        let id = LinkTarget::Id(uuid.parse().unwrap());
        let by_name = LinkTarget::UniqueName("my-db".to_owned());
        let check = |item: Value, to: &LinkTarget, name: Option<&str>, is_object: bool| {
            let expect = LinkTo { to: to.clone(), name: name.map(str::to_owned), is_object };
            assert_eq!(read_link(&item).unwrap(), expect, "{item}");
        };
        check(json!(format!("/api/v1/application/{uuid}/")), &id, None, false);
        check(json!(uuid), &id, None, false);
        check(json!("my-db"), &by_name, None, false);
        check(json!({"to_application": format!("/api/v1/application/{uuid}/"), "name": "db"}), &id, Some("db"), true);
        check(json!({"to_application": uuid}), &id, None, true);
        check(json!({"to_application": "my-db", "name": null}), &by_name, None, true);
        for wrong in [json!(5), json!({}), json!({"to_application": 5}), json!({"to_application": "a", "name": 1})] {
            assert!(read_link(&wrong).is_err(), "{wrong}");
        }
    }
}
