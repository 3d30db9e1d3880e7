//! The document and the door say the same.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::document;
use crate::api::openapi;

/// Where an operation lies -> the operation.
fn operations() -> BTreeMap<String, &'static Value> {
    openapi::operations(document())
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
        let documented = operations()[&place]["x-client-command"].as_str();
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
    openapi::assert_described(document());
}

#[test]
fn every_reference_leads_somewhere() {
    openapi::assert_complete(document());
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
