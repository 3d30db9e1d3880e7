//! What follows from where an endpoint lies: its token, its callers, its parameters, its errors, its answers' headers.

use serde_json::{Value, json};

use super::{components, errors};
use crate::api::openapi::{Answers, Envelope, Site, complete_operations, path_parameters, schema_of};
use crate::api::routes::{Access, Endpoint};

const ANSWERS: Answers = Answers {
    lists: Envelope {
        prefix: "PageOf_",
        wrap: |entry| json!({"count": 1, "next": null, "previous": null, "results": [entry]}),
    },
    headers: components::answer_headers,
    error: errors::reference,
};

/// Completes every operation and sets the paths below the door's mount.
pub(super) fn apply(document: &mut Value, endpoints: &[Endpoint]) {
    complete_operations(document, endpoints, "/v1", complete);
}

fn is_below_app(site: &Site) -> bool {
    site.path.starts_with("/apps/{app}")
}

fn is_for_administrators(site: &Site) -> bool {
    site.path.starts_with("/admin/") || site.path == "/users"
}

/// Spec §1.9.
fn callers(site: &Site) -> &'static str {
    let is_shared = ["/build-records/", "/log-drains/"].iter().any(|part| site.path.contains(part));
    let is_owners = (site.method == "delete" && !is_shared)
        || (site.method == "post" && ["/apps/{app}", "/apps/{app}/perms"].contains(&site.path));
    match () {
        () if site.access == Access::Public => "Anyone",
        () if site.access == Access::Builder => "The operator's builder",
        () if is_for_administrators(site) => "Administrators",
        () if is_below_app(site) && is_owners => "The app's owner, administrators",
        () if is_below_app(site) => "The app's owner and collaborators, administrators",
        () => "Any account",
    }
}

/// Statuses that an operation here can answer beside its own.
fn errors_at(site: &Site, has_page: bool, has_body: bool) -> Vec<u16> {
    let mut errors = vec![405, 414, 431, 500];
    if site.access != Access::Public {
        errors.push(401);
    }
    // An app that the caller may not use is not there; what only its owner may do is done by other methods than `get`.
    if (is_below_app(site) && site.method != "get") || is_for_administrators(site) || site.access == Access::Builder {
        errors.push(403);
    }
    if has_page || site.access == Access::Builder || site.path.contains('{') {
        errors.push(404);
    }
    if site.method == "post" || site.method == "patch" {
        errors.push(400);
    }
    if has_body {
        errors.extend([408, 413, 415]);
    }
    if is_below_app(site) && (site.method != "get" || site.path.contains("/containers")) {
        errors.push(503);
    }
    errors
}

fn complete(site: &Site, operation: &mut Value, schemas: &Value) {
    let has_page = is_list(operation);
    let has_body = operation.get("requestBody").is_some();
    match site.access {
        Access::Public => operation["security"] = json!([]),
        Access::Builder => operation["security"] = json!([{"builder": []}]),
        Access::Caller => {}
    }
    operation["x-callers"] = json!(callers(site));
    operation["parameters"] = Value::Array(parameters(site.path, has_page, operation["parameters"].take()));
    ANSWERS.complete(operation, schemas, &errors_at(site, has_page, has_body));
}

fn parameters(path: &str, has_page: bool, own: Value) -> Vec<Value> {
    let mut parameters: Vec<Value> = path_parameters(path).filter_map(components::path_parameter).collect();
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
