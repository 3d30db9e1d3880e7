//! The members of an `app.json`, which may have been written for another program altogether.

use serde_json::{Map, Value};

use super::InvalidAppJson;

/// Reads members, and keeps a line about each that is of another kind than ours.
#[derive(Debug, Default)]
pub(super) struct Members {
    pub(super) warnings: Vec<String>,
}

impl Members {
    /// An object; `null` and an absent one ask for nothing. What is of another kind is some other program's.
    pub(super) fn object(&mut self, place: &str, value: Option<Value>) -> Map<String, Value> {
        match value {
            Some(Value::Object(object)) => object,
            None | Some(Value::Null) => Map::new(),
            Some(other) => {
                self.ignored(place, &format!("is {} and not an object", kind(&other)));
                Map::new()
            }
        }
    }

    /// The entries that are not `null` of a list; a text or an object stands for a list of one.
    pub(super) fn list(&mut self, place: &str, value: Option<Value>) -> Vec<Value> {
        match value {
            Some(Value::Array(entries)) => entries.into_iter().filter(|entry| !entry.is_null()).collect(),
            Some(one @ (Value::String(_) | Value::Object(_))) => vec![one],
            None | Some(Value::Null) => Vec::new(),
            Some(other) => {
                self.ignored(place, &format!("is {} and not a list", kind(&other)));
                Vec::new()
            }
        }
    }

    /// Says that a member is not ours.
    pub(super) fn ignored(&mut self, place: &str, problem: &str) {
        self.warnings.push(format!("app.json: {place} {problem}: ignored, as meant for another program."));
    }
}

/// A command: a text, or an object that has one (`{"command": "..."}`); `None` for an empty one and for `null`.
///
/// # Errors
/// Names the member: what would have been run cannot be guessed.
pub(super) fn command(place: &str, value: Option<Value>) -> Result<Option<String>, InvalidAppJson> {
    match value {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text).filter(|text| !text.trim().is_empty())),
        Some(Value::Object(mut object)) if object.contains_key("command") => {
            command(&format!("{place}.command"), object.remove("command"))
        }
        Some(other) => {
            Err(InvalidAppJson(format!("{place} is {}; write the command as one text, \"...\"", kind(&other))))
        }
    }
}

/// What a value is, with its article.
pub(super) fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}
