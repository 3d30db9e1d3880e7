//! What follows from where an endpoint lies: its key, its parameters, its errors, its answers' headers.

use serde_json::{Map, Value, json};

use super::{components, errors};
use crate::api::openapi::{Answers, Envelope, Site, complete_operations, path_parameters, schema_of};
use crate::api::routes::{Access, Endpoint};

const ANSWERS: Answers = Answers {
    lists: Envelope {
        prefix: "ListOf_",
        wrap: |entry| {
            let meta = json!({"limit": 25, "next": null, "offset": 0, "previous": null, "total_count": 1});
            json!({"meta": meta, "objects": [entry]})
        },
    },
    headers: components::answer_headers,
    error: errors::reference,
};

/// Completes every operation and sets the paths below the door's mount.
pub(super) fn apply(document: &mut Value, endpoints: &[Endpoint]) {
    complete_operations(document, endpoints, "/api/v1", complete);
}

/// A schema that is another one and more gets the members of both, since readers and programs look for them in one place;
/// the other one gets its part of the example.
pub(super) fn flatten(document: &mut Value) {
    let schemas = document["components"]["schemas"].clone();
    for (name, schema) in schemas.as_object().into_iter().flatten() {
        let Some(parts) = schema["allOf"].as_array() else { continue };
        let (mut properties, mut required, mut bases) = (Map::new(), Vec::new(), Vec::new());
        for part in parts {
            let base = part["$ref"].as_str().map(|reference| reference.trim_start_matches("#/components/schemas/"));
            let part = base.map_or(part, |base| &schemas[base]);
            properties.extend(part["properties"].as_object().cloned().unwrap_or_default());
            required.extend(part["required"].as_array().cloned().unwrap_or_default());
            bases.extend(base);
        }
        let find = |member: &str| std::iter::once(schema).chain(parts).find_map(|part| part.get(member)).cloned();
        let examples = find("examples").unwrap_or_else(|| json!([]));
        for base in bases {
            let is_own = |(member, _): &(&String, &Value)| schemas[base]["properties"].get(member.as_str()).is_some();
            let members = examples[0].as_object().into_iter().flatten().filter(is_own);
            let example: Map<String, Value> = members.map(|(name, value)| (name.clone(), value.clone())).collect();
            document["components"]["schemas"][base]["examples"] = json!([example]);
        }
        document["components"]["schemas"][name] = json!({
            "type": "object", "description": find("description"), "properties": properties, "required": required,
            "examples": examples,
        });
    }
}

fn complete(site: &Site, operation: &mut Value, schemas: &Value) {
    let has_body = operation.get("requestBody").is_some();
    let is_list = schema_of(&operation["responses"]["200"]).contains(ANSWERS.lists.prefix);
    operation["x-callers"] = json!(callers(site));
    match site.access {
        Access::Public if takes_password(site) => operation["security"] = json!([{"password": []}]),
        Access::Public => operation["security"] = json!([]),
        Access::Caller | Access::Builder => {}
    }
    let mut parameters: Vec<Value> = path_parameters(site.path).filter_map(components::path_parameter).collect();
    if is_list {
        parameters.extend(components::list_parameters(site.path));
    }
    operation["parameters"] = Value::Array(parameters);
    if has_body {
        complete_body(&mut operation["requestBody"], schemas);
    }
    ANSWERS.complete(operation, schemas, &errors_at(site, is_list, has_body));
}

fn takes_password(site: &Site) -> bool {
    site.path == "/auth/"
}

fn callers(site: &Site) -> &'static str {
    match site.access {
        Access::Public if takes_password(site) => "Whoever knows the account's password",
        Access::Public => "Anyone",
        Access::Caller | Access::Builder => "Any account, for what is its own",
    }
}

/// Statuses that an operation here can answer beside its own.
fn errors_at(site: &Site, is_list: bool, has_body: bool) -> Vec<u16> {
    let (is_public, is_change) = (site.access == Access::Public, site.method != "get");
    let mut errors = vec![405, 414, 431, 500];
    errors.extend((!is_public || takes_password(site)).then_some(401));
    errors.extend(site.path.contains('{').then_some(404));
    errors.extend((is_list || is_change).then_some(400));
    errors.extend((is_change && !is_public).then_some(503));
    errors.extend(has_body.then_some([408, 413, 415]).into_iter().flatten());
    errors
}

/// Gives a body its example, and says whether it may be left out.
fn complete_body(body: &mut Value, schemas: &Value) {
    let content = &mut body["content"]["application/json"];
    let reference = content["schema"]["$ref"].as_str().unwrap_or_default();
    let schema = &schemas[reference.trim_start_matches("#/components/schemas/")];
    content["example"] = json!(schema["examples"].get(0));
    body["required"] = json!(schema.get("required").is_some() || schema.get("anyOf").is_some());
}
