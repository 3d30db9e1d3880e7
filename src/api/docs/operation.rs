//! One endpoint of the page.

use serde_json::Value;

use super::html::{self, escape, inline, prose};
use super::schema::{resolve, rules};
use super::{Door, curl};

/// Where a schema says in which order its properties were declared.
const ORDER: &str = "x-order";

/// The name by which the page links to an operation.
pub(super) fn anchor(door: &str, operation: &Value) -> String {
    escape(&format!("{door}-{}", operation["operationId"].as_str().unwrap_or_default()))
}

/// All about one operation.
pub(super) fn section(door: &Door, method: &str, path: &str, operation: &Value) -> String {
    let document = door.document;
    let text = |name: &str| operation[name].as_str().unwrap_or_default();
    let parameters: Vec<&Value> = operation["parameters"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|parameter| resolve(document, parameter))
        .collect();
    let id = anchor(door.id, operation);
    format!(
        "<section class=\"endpoint\" id=\"{id}\">\n\
         <h3><a href=\"#{id}\">{}</a></h3>\n\
         <p class=\"route\"><span class=\"m {method}\">{method}</span> <code>{}</code></p>\n\
         <dl class=\"facts\">{}<div><dt>Who</dt><dd>{}</dd></div></dl>\n{}{}{}\
         <h4>Request</h4>\n{}{}</section>\n",
        escape(text("summary")),
        html::path(path),
        command(text("x-client-command")),
        escape(text("x-callers")),
        prose(text("description")),
        parameters_table(document, &parameters),
        body(document, operation),
        html::code(&curl::command(method, path, operation, &parameters, door.credentials)),
        answers(door, operation),
    )
}

fn command(commands: &str) -> String {
    if commands.is_empty() {
        return String::new();
    }
    let commands: Vec<String> = commands.split(", ").map(|one| format!("<code>{}</code>", escape(one))).collect();
    format!("<div><dt>Client</dt><dd>{}</dd></div>", commands.join(", "))
}

/// One row of a table: name, whether it has to be there, rules, sentence.
fn row(document: &Value, name: &str, is_required: bool, schema: &Value, sentence: &str) -> String {
    let mark = if is_required { " <span class=\"required\">required</span>" } else { "" };
    format!(
        "<tr><th scope=\"row\"><code>{}</code>{mark}</th><td>{}<span class=\"rule\">{}</span></td></tr>\n",
        escape(name),
        if sentence.is_empty() { String::new() } else { format!("{} ", inline(sentence)) },
        rules(document, schema),
    )
}

fn table(title: &str, rows: &str) -> String {
    if rows.is_empty() { String::new() } else { format!("<h4>{title}</h4>\n<table>\n{rows}</table>\n") }
}

/// Without the version's header, which every endpoint has.
fn parameters_table(document: &Value, parameters: &[&Value]) -> String {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let rows: String = (parameters.iter())
        .filter(|parameter| parameter["in"] != "header")
        .map(|parameter| {
            let name = match parameter["in"].as_str() {
                Some("query") => format!("?{}=", text(&parameter["name"])),
                _ => format!("{{{}}}", text(&parameter["name"])),
            };
            let is_required = parameter["in"] != "path" && parameter["required"] == true;
            row(document, &name, is_required, &parameter["schema"], &text(&parameter["description"]))
        })
        .collect();
    table("Parameters", &rows)
}

fn body(document: &Value, operation: &Value) -> String {
    let schema = &operation["requestBody"]["content"]["application/json"]["schema"];
    if schema.is_null() {
        return String::new();
    }
    let schema = resolve(document, schema);
    let fields = fields(document, schema);
    if !fields.is_empty() {
        return table("Body", &fields);
    }
    let sentence = schema["description"].as_str().unwrap_or_default();
    let each = row(document, "any name", false, &schema["additionalProperties"], sentence);
    table("Body", &each)
}

/// A row per property: first those that have to be there, in the order in which they are declared.
fn fields(document: &Value, schema: &Value) -> String {
    let is_required =
        |name: &str| schema["required"].as_array().is_some_and(|names| names.iter().any(|one| one == name));
    let mut properties: Vec<(&String, &Value)> = schema["properties"].as_object().into_iter().flatten().collect();
    let place =
        |name: &str, list: &str| schema[list].as_array().and_then(|names| names.iter().position(|one| one == name));
    properties.sort_by_key(|(name, _)| {
        [place(name, "required"), place(name, ORDER)].map(|place| place.unwrap_or(usize::MAX))
    });
    let line = |(name, property): (&String, &Value)| {
        let own = property["description"].as_str();
        let sentence = own.or(resolve(document, property)["description"].as_str()).unwrap_or_default();
        row(document, name, is_required(name), property, sentence)
    };
    properties.into_iter().map(line).collect()
}

/// Answers with an example, then the errors as a list.
fn answers(door: &Door, operation: &Value) -> String {
    let responses = operation["responses"].as_object().into_iter().flatten();
    let (errors, answers): (Vec<_>, Vec<_>) = responses.partition(|(_, answer)| answer["$ref"].is_string());
    let answers: String =
        answers.into_iter().map(|(status, response)| answer(door.document, status, response)).collect();
    let error = |(status, response): (&String, &Value)| {
        let sentence = resolve(door.document, response)["description"].as_str().unwrap_or_default();
        format!(
            "<li><a class=\"status bad\" href=\"#{}-error-{status}\" title=\"{}\">{status}</a></li>\n",
            door.id,
            escape(sentence)
        )
    };
    let errors: String = errors.into_iter().map(error).collect();
    format!("<h4>Answers</h4>\n{answers}<ul class=\"errors\"><li>Errors</li>\n{errors}</ul>\n")
}

fn answer(document: &Value, status: &str, response: &Value) -> String {
    let sentence = inline(response["description"].as_str().unwrap_or_default());
    let Some((media, content)) = response["content"].as_object().and_then(|content| content.iter().next()) else {
        return format!(
            "<div class=\"answer\"><p><span class=\"status good\">{status}</span> {sentence} No body.</p></div>\n"
        );
    };
    let media = if media == "application/json" { String::new() } else { format!(" <code>{}</code>", escape(media)) };
    let schema = resolve(document, &content["schema"]);
    // What lists are made of is more telling than that they are lists.
    let entries = ["results", "objects"].map(|name| resolve(document, &schema["properties"][name]["items"]));
    let entry = entries.into_iter().find(|entry| entry.is_object());
    let fields = fields(document, entry.unwrap_or(schema)).replace(" <span class=\"required\">required</span>", "");
    let details = match fields.is_empty() {
        true => String::new(),
        false => format!("<details><summary>Fields</summary>\n<table>\n{fields}</table>\n</details>\n"),
    };
    format!(
        "<div class=\"answer\"><p><span class=\"status good\">{status}</span> {sentence}{media}{}</p>\n{}{details}</div>\n",
        own_headers(response),
        html::json(&content["example"]),
    )
}

/// Headers that not every answer has.
fn own_headers(response: &Value) -> String {
    let headers = response["headers"].as_object().into_iter().flatten().filter(|(_, header)| header["$ref"].is_null());
    let text = |(name, header): (&String, &Value)| {
        format!(" <code>{}</code> is {}", escape(name), inline(header["description"].as_str().unwrap_or_default()))
    };
    headers.map(text).collect()
}
