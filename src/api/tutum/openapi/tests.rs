//! The document and the door say the same.

use std::collections::BTreeSet;

use super::document;
use crate::api::openapi;

#[test]
fn every_endpoint_is_documented_and_nothing_else() {
    let endpoints = crate::api::tutum::endpoints().endpoints();
    let path = |endpoint: &crate::api::routes::Endpoint| match endpoint.described_path() {
        path if path.ends_with(".json") => path,
        path => format!("{path}/"),
    };
    let served: BTreeSet<String> = endpoints
        .iter()
        .flat_map(|endpoint| endpoint.methods.iter().map(move |method| format!("{method} /api/v1{}", path(endpoint))))
        .collect();
    let documented: BTreeSet<String> = openapi::operations(document()).into_keys().collect();
    assert_eq!(served, documented, "table of endpoints, and paths(...) of openapi/mod.rs");
}

/// The table is for readers of the code, the document for everybody else.
#[test]
fn the_table_names_the_calls_that_the_document_names() {
    let table = include_str!("../mod.rs");
    let operations = openapi::operations(document());
    let mut rows = 0;
    for line in table.lines() {
        let Some((call, said)) = line.trim().strip_prefix('.').and_then(|line| line.split_once(" // ")) else {
            continue;
        };
        let (method, rest) = call.split_once("(\"").unwrap();
        let path = rest.split_once('"').unwrap().0;
        let slash = if path.ends_with(".json") { "" } else { "/" };
        let place = format!("{} /api/v1{path}{slash}", method.split('_').next().unwrap().to_uppercase());
        let documented = operations[&place]["x-client-command"].as_str();
        assert_eq!(documented, (said != "no call").then_some(said), "{place}");
        rows += 1;
    }
    assert_eq!(rows, operations.len());
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
fn resources_have_all_their_members_in_one_place() {
    for name in ["Application", "Container"] {
        let schema = &document()["components"]["schemas"][name];
        for member in ["state", "link_variables", "uuid"] {
            assert!(schema["properties"][member].is_object(), "{name}.{member}: {schema}");
        }
        assert!(schema["examples"][0].is_object(), "{name} has no example");
        let row = &document()["components"]["schemas"][format!("{name}Row")]["examples"][0];
        assert!(row["uuid"].is_string() && row["link_variables"].is_null(), "{row}");
    }
}
