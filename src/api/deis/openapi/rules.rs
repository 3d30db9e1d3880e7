//! What follows from where an endpoint lies: its token, its callers, its parameters, its errors, its answers' headers.

use serde_json::{Map, Value, json};

use super::{components, errors};
use crate::api::openapi::{Envelope, complete_answer, schema_of, take_command};
use crate::api::routes::{Access, Endpoint};

/// How lists are made here.
const LISTS: Envelope = Envelope {
    prefix: "PageOf_",
    wrap: |entry| json!({"count": 1, "next": null, "previous": null, "results": [entry]}),
};

/// Completes every operation and sets the paths below the door's mount.
pub(super) fn apply(document: &mut Value, endpoints: &[Endpoint]) {
    let schemas = document["components"]["schemas"].clone();
    let paths = document["paths"].take();
    let mut completed = Map::new();
    for (path, mut item) in paths.as_object().cloned().unwrap_or_default() {
        let served = endpoints.iter().find(|endpoint| endpoint.described_path() == path);
        let access = served.map_or(Access::Caller, |endpoint| endpoint.access);
        item["x-place"] = json!(endpoints.iter().position(|endpoint| endpoint.described_path() == path));
        for (method, operation) in item.as_object_mut().into_iter().flatten().filter(|(name, _)| *name != "x-place") {
            complete(&Site { method, path: &path, access }, operation, &schemas);
        }
        completed.insert(format!("/v1{path}"), item);
    }
    document["paths"] = Value::Object(completed);
}

/// Where an operation lies.
struct Site<'a> {
    /// Lower case, as in the document.
    method: &'a str,
    path: &'a str,
    access: Access,
}

impl Site<'_> {
    fn is_below_app(&self) -> bool {
        self.path.starts_with("/apps/{app}")
    }

    fn is_for_administrators(&self) -> bool {
        self.path.starts_with("/admin/") || self.path == "/users"
    }

    /// Spec §1.9.
    fn callers(&self) -> &'static str {
        let is_shared = ["/build-records/", "/log-drains/"].iter().any(|part| self.path.contains(part));
        let is_owners = (self.method == "delete" && !is_shared)
            || (self.method == "post" && ["/apps/{app}", "/apps/{app}/perms"].contains(&self.path));
        match () {
            () if self.access == Access::Public => "Anyone",
            () if self.access == Access::Builder => "The operator's builder",
            () if self.is_for_administrators() => "Administrators",
            () if self.is_below_app() && is_owners => "The app's owner, administrators",
            () if self.is_below_app() => "The app's owner and collaborators, administrators",
            () => "Any account",
        }
    }

    /// Statuses that an operation here can answer beside its own.
    fn errors(&self, has_page: bool, has_body: bool) -> Vec<u16> {
        let mut errors = vec![405, 414, 431, 500];
        if self.access != Access::Public {
            errors.push(401);
        }
        if self.is_below_app() || self.is_for_administrators() || self.access == Access::Builder {
            errors.push(403);
        }
        if has_page || self.access == Access::Builder || self.path.contains('{') {
            errors.push(404);
        }
        if self.method == "post" || self.method == "patch" {
            errors.push(400);
        }
        if has_body {
            errors.extend([408, 413, 415]);
        }
        if self.is_below_app() && (self.method != "get" || self.path.contains("/containers")) {
            errors.push(503);
        }
        errors
    }
}

fn complete(site: &Site, operation: &mut Value, schemas: &Value) {
    let has_page = is_list(operation);
    let has_body = operation.get("requestBody").is_some();
    let tag = operation["tags"][0].as_str().unwrap_or_default().to_owned();
    let name = operation["operationId"].as_str().unwrap_or_default().to_owned();
    operation["operationId"] = json!(format!("{tag}_{name}"));
    match site.access {
        Access::Public => operation["security"] = json!([]),
        Access::Builder => operation["security"] = json!([{"builder": []}]),
        Access::Caller => {}
    }
    operation["x-callers"] = json!(site.callers());
    take_command(operation);
    operation["parameters"] = Value::Array(parameters(site.path, has_page, operation["parameters"].take()));
    for (status, response) in operation["responses"].as_object_mut().into_iter().flatten() {
        match status.parse().ok().and_then(errors::reference) {
            Some(error) if response["content"].is_null() => *response = error,
            _ => complete_answer(response, components::answer_headers(), schemas, &LISTS),
        }
    }
    let Some(responses) = operation["responses"].as_object_mut() else { return };
    for status in site.errors(has_page, has_body) {
        if let Some(reference) = errors::reference(status) {
            responses.entry(status.to_string()).or_insert(reference);
        }
    }
}

fn parameters(path: &str, has_page: bool, own: Value) -> Vec<Value> {
    let named = path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
    let mut parameters: Vec<Value> = named.filter_map(components::path_parameter).collect();
    if has_page {
        parameters.push(json!({"$ref": "#/components/parameters/Page"}));
    }
    parameters.extend(own.as_array().into_iter().flatten().cloned().map(without_null));
    parameters.push(json!({"$ref": "#/components/parameters/ClientVersion"}));
    parameters
}

/// A list answers a page of something.
fn is_list(operation: &Value) -> bool {
    schema_of(&operation["responses"]["200"]).contains("/PageOf_")
}

/// A parameter that may be left out has no value null.
fn without_null(mut parameter: Value) -> Value {
    if let Some(types) = parameter["schema"]["type"].as_array() {
        parameter["schema"]["type"] = types.iter().find(|name| *name != "null").cloned().unwrap_or_default();
    }
    parameter
}
