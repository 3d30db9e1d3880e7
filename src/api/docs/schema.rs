//! What a schema demands, in words.

use serde_json::Value;

use super::html::escape;

/// Longest regular expression that helps a reader.
const PATTERN_MAX: usize = 40;

/// What is behind a reference.
pub(super) fn resolve<'a>(document: &'a Value, value: &'a Value) -> &'a Value {
    let pointer = value["$ref"].as_str().and_then(|reference| reference.strip_prefix('#'));
    pointer.and_then(|pointer| document.pointer(pointer)).unwrap_or(value)
}

/// The rules of a value as HTML: its type, bounds, pattern, choices.
pub(super) fn rules(document: &Value, schema: &Value) -> String {
    let schema = resolve(document, schema);
    for choices in ["anyOf", "oneOf"] {
        if let Some(choices) = schema[choices].as_array() {
            return choices.iter().map(|choice| rules(document, choice)).collect::<Vec<_>>().join(", or ");
        }
    }
    if let Some(only) = schema.get("const") {
        return code(only);
    }
    if let Some(choices) = schema["enum"].as_array() {
        return format!("one of {}", choices.iter().map(code).collect::<Vec<_>>().join(", "));
    }
    let mut parts = vec![kind(document, schema)];
    parts.extend(length(schema));
    parts.extend(bounds(schema));
    let pattern = schema["pattern"].as_str().filter(|text| text.len() <= PATTERN_MAX && !text.contains(r"\u"));
    parts.extend(pattern.map(|pattern| format!("like <code>{}</code>", escape(pattern))));
    parts.join(", ")
}

fn code(value: &Value) -> String {
    let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    format!("<code>{}</code>", escape(&text))
}

fn kind(document: &Value, schema: &Value) -> String {
    if schema["contentMediaType"] == "application/json" {
        return "text that holds such a map as JSON".to_owned();
    }
    match (schema["format"].as_str(), schema["type"].as_array()) {
        (Some("uuid"), _) => return "uuid".to_owned(),
        (Some("date-time"), _) => return "moment in RFC 3339".to_owned(),
        // A text whose digits may come as a number is a text to whoever reads this.
        (_, Some(types)) if *types == ["string", "integer"] => return "text".to_owned(),
        (_, Some(types)) => {
            let names: Vec<&str> = types.iter().map(|name| word(name.as_str().unwrap_or_default())).collect();
            return names.join(", ");
        }
        _ => {}
    }
    match schema["type"].as_str() {
        Some("array") => format!("list of {}", rules(document, &schema["items"])),
        Some("object") if schema["patternProperties"].is_object() => {
            let values = schema["patternProperties"].as_object().and_then(|patterns| patterns.values().next());
            format!("map of {}", values.map_or_else(String::new, |value| rules(document, value)))
        }
        Some("object") if schema["additionalProperties"].is_object() => {
            format!("map of {}", rules(document, &schema["additionalProperties"]))
        }
        Some(name) => word(name).to_owned(),
        None => "anything".to_owned(),
    }
}

fn word(name: &str) -> &str {
    match name {
        "string" => "text",
        "integer" => "whole number",
        "number" => "number",
        "boolean" => "true or false",
        "object" => "map",
        name => name,
    }
}

fn length(schema: &Value) -> Option<String> {
    match (schema["minLength"].as_u64(), schema["maxLength"].as_u64()) {
        (Some(1), None) => Some("not empty".to_owned()),
        (None, Some(most)) => Some(format!("at most {most} characters")),
        (Some(least), Some(most)) => Some(format!("{least} to {most} characters")),
        _ => None,
    }
}

fn bounds(schema: &Value) -> Option<String> {
    if schema["type"].is_array() {
        return None;
    }
    // The bounds of machine words are nobody's business.
    let bound = |name: &str| schema[name].as_i64().filter(|bound| bound.unsigned_abs() < u64::from(u32::MAX));
    match (bound("minimum"), bound("maximum")) {
        (Some(least), Some(most)) => Some(format!("{least} to {most}")),
        (Some(least), None) => Some(format!("at least {least}")),
        (None, Some(most)) => Some(format!("at most {most}")),
        (None, None) => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn rules_in_words() {
        let check = |schema: Value, expect: &str| assert_eq!(rules(&json!({}), &schema), expect, "{schema}");
        check(json!({"type": "string", "minLength": 1, "maxLength": 63}), "text, 1 to 63 characters");
        check(json!({"type": ["string", "integer"], "minimum": 0, "maxLength": 5}), "text, at most 5 characters");
        check(json!({"type": "integer", "minimum": 0, "maximum": 1024}), "whole number, 0 to 1024");
        check(json!({"type": "integer", "minimum": i64::MIN, "maximum": i64::MAX}), "whole number");
        check(json!({"enum": ["up", "down"]}), "one of <code>up</code>, <code>down</code>");
        check(json!({"anyOf": [{"type": "integer"}, {"const": "last"}]}), "whole number, or <code>last</code>");
        check(json!({"type": "object", "additionalProperties": {"type": "string"}}), "map of text");
        check(json!({"type": ["string", "null"]}), "text, null");
        check(json!({"type": "string", "pattern": "^<$"}), "text, like <code>^&lt;$</code>");
        check(json!({}), "anything");
    }
}
