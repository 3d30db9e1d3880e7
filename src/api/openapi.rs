//! What the doors' descriptions of themselves are made of.

use serde_json::{Map, Value, json};
use utoipa::openapi::schema::SchemaType;
use utoipa::openapi::{ObjectBuilder, RefOr, Schema};

use super::routes::{Access, Endpoint};

/// Under which name [`raw`] hides a schema from the builder.
const RAW: &str = "x-raw";

/// Declares values by their schema.
macro_rules! words {
    ($($(#[$doc:meta])* $name:ident = $schema:expr;)+) => {$(
        $(#[$doc])*
        pub(in crate::api) enum $name {}

        impl utoipa::PartialSchema for $name {
            fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::Schema> {
                $crate::api::openapi::raw($schema)
            }
        }

        impl utoipa::ToSchema for $name {}
    )+};
}
pub(super) use words;

/// A schema exactly as it shall stand in the document: the builder's own types do not know every keyword.
pub(super) fn raw(schema: Value) -> RefOr<Schema> {
    let extensions = [(RAW, schema)].into_iter().collect();
    ObjectBuilder::new().schema_type(SchemaType::AnyValue).extensions(Some(extensions)).into()
}

/// Puts what [`raw`] wrapped where it belongs.
pub(super) fn unwrap_raw(value: &mut Value) {
    if let Some(schema) = value.get_mut(RAW) {
        *value = schema.take();
    }
    match value {
        Value::Object(members) => members.values_mut().for_each(unwrap_raw),
        Value::Array(items) => items.iter_mut().for_each(unwrap_raw),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// An error of a door: it is defined once, with an example, and attached to the endpoints that can answer it.
pub(super) struct ErrorRow {
    /// Name of the component.
    pub name: &'static str,
    pub status: u16,
    /// When it is answered, in a sentence.
    pub when: &'static str,
    /// Schemas of its body, one of which holds.
    pub schemas: &'static [&'static str],
    pub example: fn() -> Value,
}

/// The errors as components; `headers` are those of an answer of that status.
pub(super) fn error_components(rows: &[ErrorRow], headers: impl Fn(u16) -> Map<String, Value>) -> Value {
    let component = |row: &ErrorRow| {
        let references: Vec<Value> =
            row.schemas.iter().map(|name| json!({"$ref": format!("#/components/schemas/{name}")})).collect();
        let schema = match references.as_slice() {
            [one] => one.clone(),
            several => json!({"anyOf": several}),
        };
        let content = json!({"application/json": {"schema": schema, "example": (row.example)()}});
        let status = row.status.to_string();
        let response =
            json!({"description": row.when, "headers": headers(row.status), "content": content, "x-status": status});
        (row.name.to_owned(), response)
    };
    Value::Object(rows.iter().map(component).collect())
}

/// A reference to the error of this status.
pub(super) fn error_reference(rows: &[ErrorRow], status: u16) -> Option<Value> {
    let row = rows.iter().find(|row| row.status == status)?;
    Some(json!({"$ref": format!("#/components/responses/{}", row.name)}))
}

/// References to headers that are components, from (name of the header, name of its component).
pub(super) fn header_references(headers: &[(&str, &str)]) -> Map<String, Value> {
    let reference = |(name, component): &(&str, &str)| {
        ((*name).to_owned(), json!({"$ref": format!("#/components/headers/{component}")}))
    };
    headers.iter().map(reference).collect()
}

/// Where an operation lies.
pub(super) struct Site<'a> {
    /// Lower case, as in the document.
    pub method: &'a str,
    /// Below the door's mount.
    pub path: &'a str,
    pub access: Access,
}

/// Completes every operation, given the document's schemas, and sets the paths below `mount`. Each path says its place in the
/// table of endpoints.
pub(super) fn complete_operations(
    document: &mut Value,
    endpoints: &[Endpoint],
    mount: &str,
    complete: impl Fn(&Site, &mut Value, &Value),
) {
    let schemas = document["components"]["schemas"].clone();
    let paths = document["paths"].take();
    let mut completed = Map::new();
    for (path, mut item) in paths.as_object().cloned().unwrap_or_default() {
        // The table has no slash at the end, which makes no difference to requests.
        let place = endpoints.iter().position(|endpoint| endpoint.described_path() == path.trim_end_matches('/'));
        let access = place.map_or(Access::Caller, |place| endpoints[place].access);
        for (method, operation) in item.as_object_mut().into_iter().flatten() {
            let tag = operation["tags"][0].as_str().unwrap_or_default();
            let name = operation["operationId"].as_str().unwrap_or_default();
            operation["operationId"] = json!(format!("{tag}_{name}"));
            take_command(operation);
            complete(&Site { method, path: &path, access }, operation, &schemas);
        }
        item["x-place"] = json!(place);
        completed.insert(format!("{mount}{path}"), item);
    }
    document["paths"] = Value::Object(completed);
}

/// The names of the parameters in a path.
pub(super) fn path_parameters(path: &str) -> impl Iterator<Item = &str> {
    path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
}

/// How a door answers: its lists, the headers of its successes and its errors.
pub(super) struct Answers {
    pub lists: Envelope,
    pub headers: fn() -> Map<String, Value>,
    /// A reference to the error of a status.
    pub error: fn(u16) -> Option<Value>,
}

impl Answers {
    /// Completes what an operation says it answers, and adds the errors of these statuses.
    pub(super) fn complete(&self, operation: &mut Value, schemas: &Value, errors: &[u16]) {
        let Some(responses) = operation["responses"].as_object_mut() else { return };
        for (status, response) in responses.iter_mut() {
            match status.parse().ok().and_then(self.error) {
                Some(error) if response["content"].is_null() => *response = error,
                _ => complete_answer(response, (self.headers)(), schemas, &self.lists),
            }
        }
        for status in errors {
            if let Some(reference) = (self.error)(*status) {
                responses.entry(status.to_string()).or_insert(reference);
            }
        }
    }
}

/// The line of a handler's doc comment that names what the door's client offers.
const COMMAND: &str = "Client: ";

/// What the doc comment says of the client becomes a member of its own.
fn take_command(operation: &mut Value) {
    let text = operation["description"].as_str().unwrap_or_default().to_owned();
    let (commands, rest): (Vec<&str>, Vec<&str>) = text.split("\n\n").partition(|part| part.starts_with(COMMAND));
    if let Some(command) = commands.first() {
        operation["x-client-command"] = json!(command[COMMAND.len()..].replace('`', ""));
    }
    operation["description"] = json!(rest.join("\n\n"));
}

/// How a door's lists are made: what their schemas begin with, and the list of one entry.
pub(super) struct Envelope {
    pub prefix: &'static str,
    pub wrap: fn(Value) -> Value,
}

/// Gives an answer of success its headers, and an example out of its schema.
fn complete_answer(response: &mut Value, mut headers: Map<String, Value>, schemas: &Value, envelope: &Envelope) {
    headers.extend(response["headers"].as_object().cloned().unwrap_or_default());
    response["headers"] = Value::Object(headers);
    let schema = &response["content"]["application/json"]["schema"];
    let found = match schema["items"]["$ref"].as_str() {
        Some(entry) => example(entry, schemas, envelope).map(|entry| json!([entry])),
        None => example(schema_of(response), schemas, envelope),
    };
    if let Some(found) = found {
        response["content"]["application/json"]["example"] = found;
    }
}

/// The reference to the schema of an answer; empty when there is none.
pub(super) fn schema_of(response: &Value) -> &str {
    response["content"]["application/json"]["schema"]["$ref"].as_str().unwrap_or_default()
}

/// The example of what is behind a reference.
fn example(reference: &str, schemas: &Value, envelope: &Envelope) -> Option<Value> {
    let name = reference.trim_start_matches("#/components/schemas/");
    match name.strip_prefix(envelope.prefix) {
        None => schemas[name]["examples"].get(0).cloned(),
        Some(entry) => example(entry, schemas, envelope).map(envelope.wrap),
    }
}

/// Where the operations of a document lie (`GET /v1/apps`) -> the operation.
#[cfg(test)]
pub(super) fn operations(document: &'static Value) -> std::collections::BTreeMap<String, &'static Value> {
    let paths = document["paths"].as_object().unwrap();
    let operation = |(path, item): (&String, &'static Value)| {
        let path = path.clone();
        item.as_object()
            .unwrap()
            .iter()
            .filter(|(name, _)| *name != "x-place")
            .map(move |(method, operation)| (format!("{} {path}", method.to_uppercase()), operation))
    };
    paths.iter().flat_map(operation).collect()
}

/// Every operation has a name of its own, a title, a tag that is explained, and its path's parameters and its answers
/// described.
#[cfg(test)]
pub(super) fn assert_described(document: &'static Value) {
    use std::collections::BTreeSet;
    let mut names = BTreeSet::new();
    for (place, operation) in operations(document) {
        let name = operation["operationId"].as_str().unwrap();
        assert!(names.insert(name), "{place}: {name} is another's operationId, too");
        assert!(operation["summary"].as_str().is_some_and(|text| !text.is_empty()), "{place}: no doc comment");
        let tag = &operation["tags"][0];
        let tags = document["tags"].as_array().unwrap();
        assert!(tags.iter().any(|known| known["name"] == *tag), "{place}: tag {tag} has no sentence in openapi/mod.rs");
        let described: BTreeSet<&str> = (operation["parameters"].as_array().into_iter().flatten())
            .filter(|parameter| parameter["in"] == "path")
            .filter_map(|parameter| parameter["name"].as_str())
            .collect();
        assert_eq!(
            described,
            path_parameters(&place).collect(),
            "{place}: openapi/components.rs describes the parameters of paths"
        );
        for (status, answer) in operation["responses"].as_object().unwrap() {
            let is_described =
                answer["$ref"].is_string() || answer["description"].as_str().is_some_and(|text| !text.is_empty());
            assert!(is_described, "{place}: {status} has no description");
        }
    }
}

/// Every reference in a document leads somewhere.
#[cfg(test)]
pub(super) fn assert_complete(document: &Value) {
    use std::collections::BTreeSet;
    fn references<'a>(value: &'a Value, found: &mut BTreeSet<&'a str>) {
        match value {
            Value::Object(members) => {
                found.extend(members.get("$ref").and_then(Value::as_str));
                members.values().for_each(|member| references(member, found));
            }
            Value::Array(items) => items.iter().for_each(|item| references(item, found)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
    let mut found = BTreeSet::new();
    references(document, &mut found);
    assert!(found.len() > 20, "{found:?}");
    for reference in found {
        let pointer = reference.strip_prefix('#').unwrap();
        assert!(document.pointer(pointer).is_some(), "{reference} leads nowhere");
    }
}
