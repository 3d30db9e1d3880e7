//! What follows from where an endpoint lies: its key, its parameters, its errors, its answers' headers.

use serde_json::{Map, Value, json};

use super::{components, errors};
use crate::api::openapi::{Envelope, complete_answer, schema_of, take_command};
use crate::api::routes::{Access, Endpoint};

/// How lists are made here.
const LISTS: Envelope = Envelope {
    prefix: "ListOf_",
    wrap: |entry| {
        let meta = json!({"limit": 25, "next": null, "offset": 0, "previous": null, "total_count": 1});
        json!({"meta": meta, "objects": [entry]})
    },
};

/// Completes every operation and sets the paths below the door's mount.
pub(super) fn apply(document: &mut Value, endpoints: &[Endpoint]) {
    let schemas = document["components"]["schemas"].clone();
    let paths = document["paths"].take();
    let mut completed = Map::new();
    for (path, mut item) in paths.as_object().cloned().unwrap_or_default() {
        // The table has no slash at the end, which makes no difference to requests.
        let is_it = |endpoint: &&Endpoint| endpoint.described_path() == path.trim_end_matches('/');
        let access = endpoints.iter().find(is_it).map_or(Access::Caller, |endpoint| endpoint.access);
        item["x-place"] = json!(endpoints.iter().position(|endpoint| is_it(&endpoint)));
        for (method, operation) in item.as_object_mut().into_iter().flatten().filter(|(name, _)| *name != "x-place") {
            complete(method, &path, access, operation, &schemas);
        }
        completed.insert(format!("/api/v1{path}"), item);
    }
    document["paths"] = Value::Object(completed);
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

fn complete(method: &str, path: &str, access: Access, operation: &mut Value, schemas: &Value) {
    let has_body = operation.get("requestBody").is_some();
    let is_list = schema_of(&operation["responses"]["200"]).contains(LISTS.prefix);
    let tag = operation["tags"][0].as_str().unwrap_or_default().to_owned();
    let name = operation["operationId"].as_str().unwrap_or_default().to_owned();
    operation["operationId"] = json!(format!("{tag}_{name}"));
    let has_password = path == "/auth/";
    operation["x-callers"] = match access {
        Access::Public if has_password => json!("Whoever knows the account's password"),
        Access::Public => json!("Anyone"),
        Access::Caller | Access::Builder => json!("Any account, for what is its own"),
    };
    match access {
        Access::Public if has_password => operation["security"] = json!([{"password": []}]),
        Access::Public => operation["security"] = json!([]),
        Access::Caller | Access::Builder => {}
    }
    take_command(operation);
    let named = path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
    let mut parameters: Vec<Value> = named.filter_map(components::path_parameter).collect();
    if is_list {
        parameters.extend(components::list_parameters(path));
    }
    operation["parameters"] = Value::Array(parameters);
    if has_body {
        let reference = operation["requestBody"]["content"]["application/json"]["schema"]["$ref"].as_str();
        let schema = &schemas[reference.unwrap_or_default().trim_start_matches("#/components/schemas/")];
        let is_required = schema.get("required").is_some() || schema.get("anyOf").is_some();
        let example = schema["examples"].get(0).cloned();
        operation["requestBody"]["required"] = json!(is_required);
        operation["requestBody"]["content"]["application/json"]["example"] = json!(example);
    }
    for (status, response) in operation["responses"].as_object_mut().into_iter().flatten() {
        match status.parse().ok().and_then(errors::reference) {
            Some(error) if response["content"].is_null() => *response = error,
            _ => complete_answer(response, components::answer_headers(), schemas, &LISTS),
        }
    }
    let mut statuses = vec![405, 414, 431, 500];
    statuses.extend((access != Access::Public || has_password).then_some(401));
    statuses.extend(path.contains('{').then_some(404));
    statuses.extend((is_list || method != "get").then_some(400));
    statuses.extend((method != "get" && access == Access::Caller).then_some(503));
    statuses.extend(has_body.then_some([408, 413, 415]).into_iter().flatten());
    let Some(responses) = operation["responses"].as_object_mut() else { return };
    for status in statuses {
        if let Some(reference) = errors::reference(status) {
            responses.entry(status.to_string()).or_insert(reference);
        }
    }
}
