//! The document and the door say the same.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::document;

/// Where an operation lies -> the operation.
fn operations() -> BTreeMap<String, &'static Value> {
    let paths = document()["paths"].as_object().unwrap();
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

#[test]
fn every_endpoint_is_documented_and_nothing_else() {
    let endpoints = crate::api::deis::endpoints().endpoints();
    let served: BTreeSet<String> = endpoints
        .iter()
        .flat_map(|endpoint| endpoint.methods.iter().map(|method| format!("{method} /v1{}", endpoint.described_path())))
        .collect();
    let documented: BTreeSet<String> = operations().into_keys().collect();
    let missing: Vec<&String> = served.difference(&documented).collect();
    assert!(missing.is_empty(), "served, but not in paths(...) of openapi/mod.rs: {missing:#?}");
    let extra: Vec<&String> = documented.difference(&served).collect();
    assert!(extra.is_empty(), "documented, but not in the table of endpoints: {extra:#?}");
}

/// The table is for readers of the code, the document for everybody else.
#[test]
fn the_table_names_the_commands_that_the_document_names() {
    let table = include_str!("../mod.rs");
    let rows: Vec<(String, &str)> = table.lines().filter_map(row).collect();
    assert!(rows.len() >= operations().len(), "the table could not be read: {rows:?}");
    for (place, commands) in rows {
        let documented = operations()[&place]["x-deis-command"].as_str();
        let commands = commands.split(" (").next().unwrap_or_default().replace(", ", ", deis ");
        assert_eq!(documented, (commands != "no command").then_some(commands.as_str()), "{place}");
    }
}

/// `.get("/apps/{app}", apps::show) // deis info, open`
fn row(line: &str) -> Option<(String, &str)> {
    let (call, commands) = line.trim().strip_prefix('.')?.split_once(" // ")?;
    let (method, rest) = call.split_once("(\"")?;
    let path = rest.split_once('"')?.0.replace("{*", "{");
    Some((format!("{} /v1{path}", method.split('_').next()?.to_uppercase()), commands))
}

#[test]
fn every_operation_is_described() {
    let mut names = BTreeSet::new();
    for (place, operation) in operations() {
        let name = operation["operationId"].as_str().unwrap();
        assert!(names.insert(name), "{place}: {name} is another's operationId, too");
        assert!(operation["summary"].as_str().is_some_and(|text| !text.is_empty()), "{place}: no doc comment");
        let tag = &operation["tags"][0];
        let tags = document()["tags"].as_array().unwrap();
        assert!(tags.iter().any(|known| known["name"] == *tag), "{place}: tag {tag} has no sentence in openapi/mod.rs");
        let described: BTreeSet<&str> = (operation["parameters"].as_array().unwrap().iter())
            .filter(|parameter| parameter["in"] == "path")
            .filter_map(|parameter| parameter["name"].as_str())
            .collect();
        let named = place.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}')).collect();
        assert_eq!(described, named, "{place}: openapi/components.rs describes the parameters of paths");
        for (status, answer) in operation["responses"].as_object().unwrap() {
            let is_described =
                answer["$ref"].is_string() || answer["description"].as_str().is_some_and(|text| !text.is_empty());
            assert!(is_described, "{place}: {status} has no description");
        }
    }
}

#[test]
fn every_reference_leads_somewhere() {
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
    references(document(), &mut found);
    assert!(found.len() > 20, "{found:?}");
    for reference in found {
        let pointer = reference.strip_prefix('#').unwrap();
        assert!(document().pointer(pointer).is_some(), "{reference} leads nowhere");
    }
}

#[test]
fn bodies_come_in_three_types() {
    for (place, operation) in operations() {
        let Some(content) = operation["requestBody"]["content"].as_object() else { continue };
        let types: Vec<&String> = content.keys().collect();
        if place.contains("/archives") {
            assert_eq!(types, ["application/octet-stream"], "{place}: an archive is no set of fields");
            continue;
        }
        assert_eq!(types, ["application/json", "application/x-www-form-urlencoded", "multipart/form-data"], "{place}");
    }
    let forms = &document()["components"]["schemas"]["ConfigChangesForm"]["properties"]["values"]["anyOf"];
    assert_eq!(forms.as_array().unwrap().len(), 1, "a form has no objects: {forms}");
}
