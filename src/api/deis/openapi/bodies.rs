//! Bodies come as JSON, URL-encoded or multipart: what a handler documents once is laid out in all three.

use serde_json::{Map, Value, json};

const SCHEMAS: &str = "#/components/schemas/";

/// Gives every request body its three types. In forms everything is text, so where a field of the JSON body is a map or
/// text that holds one, the forms have the text only.
pub(super) fn in_all_types(document: &mut Value) {
    let mut schemas = document["components"]["schemas"].as_object().cloned().unwrap_or_default();
    let paths = document["paths"].as_object_mut().into_iter().flat_map(Map::values_mut);
    let operations = paths.filter_map(Value::as_object_mut).flat_map(Map::values_mut);
    for body in operations.filter_map(|operation| operation.get_mut("requestBody")) {
        let reference = body["content"]["application/json"]["schema"]["$ref"].as_str().unwrap_or_default();
        let name = reference.trim_start_matches(SCHEMAS).to_owned();
        let Some(schema) = schemas.get(&name).cloned() else { continue };
        let form = form(&schema);
        let form_name = if form == schema { name.clone() } else { format!("{name}Form") };
        body["required"] = json!(schema.get("required").is_some());
        body["content"] = json!({
            "application/json": content(&name, &schema),
            "application/x-www-form-urlencoded": content(&form_name, &form),
            "multipart/form-data": content(&form_name, &form),
        });
        schemas.insert(form_name, form);
    }
    document["components"]["schemas"] = Value::Object(schemas);
}

fn content(name: &str, schema: &Value) -> Value {
    let mut content = json!({"schema": {"$ref": format!("{SCHEMAS}{name}")}});
    if let Some(example) = schema["examples"].get(0) {
        content["example"] = example.clone();
    }
    content
}

/// The schema of the same body as a form.
fn form(schema: &Value) -> Value {
    let mut form = schema.clone();
    for (name, property) in form.get_mut("properties").and_then(Value::as_object_mut).into_iter().flatten() {
        let Some(choices) = property.get_mut("anyOf").and_then(Value::as_array_mut) else { continue };
        let before = choices.len();
        choices.retain(|choice| choice["type"] != "object");
        if choices.len() == before {
            continue;
        }
        let as_text = schema["properties"][name]["examples"].get(0).map(Value::to_string);
        if let Some(text) = as_text {
            property["examples"] = json!([text]);
        }
    }
    let texts: Map<String, Value> = (form["examples"].get(0).and_then(Value::as_object).into_iter().flatten())
        .map(|(name, value)| (name.clone(), if value.is_object() { json!(value.to_string()) } else { value.clone() }))
        .collect();
    if form.get("examples").is_some() {
        form["examples"] = json!([texts]);
    }
    form
}
