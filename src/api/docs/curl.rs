//! The same request on a command line.

use serde_json::Value;

/// Longest body that is given on one line.
const LINE_MAX: usize = 60;

/// What one types for this operation, with the example's values and the door's usual credentials.
pub(super) fn command(method: &str, path: &str, operation: &Value, parameters: &[&Value], credentials: &str) -> String {
    let mut address = path.to_owned();
    for parameter in parameters.iter().filter(|parameter| parameter["in"] == "path") {
        let name = parameter["name"].as_str().unwrap_or_default();
        if let Some(example) = parameter["schema"]["examples"].get(0) {
            address = address.replace(&format!("{{{name}}}"), &encoded(&plain(example)));
        }
    }
    let mut lines = vec![match method {
        "get" => format!("curl \"$CONTROLLER{address}\""),
        _ => format!("curl -X {} \"$CONTROLLER{address}\"", method.to_uppercase()),
    }];
    let is_public = operation["security"].as_array().is_some_and(Vec::is_empty);
    let scheme = operation["security"][0].as_object().and_then(|schemes| schemes.keys().next());
    match scheme.map(String::as_str) {
        _ if is_public => {}
        Some("builder") => lines.push("-H \"X-Deis-Builder-Auth: $BUILDER_KEY\"".to_owned()),
        Some("password") => lines.push("-u \"$USERNAME:$PASSWORD\"".to_owned()),
        _ => lines.push(format!("-H \"Authorization: {credentials}\"")),
    }
    let example = &operation["requestBody"]["content"]["application/json"]["example"];
    if !example.is_null() {
        lines.push("-H \"Content-Type: application/json\"".to_owned());
        let short = spaced(example);
        let text = match short.len() {
            0..=LINE_MAX => short,
            _ => serde_json::to_string_pretty(example).unwrap_or(short),
        };
        lines.push(format!("-d '{}'", text.replace('\'', r"'\''")));
    }
    lines.join(" \\\n  ")
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// Safe in a path.
fn encoded(text: &str) -> String {
    let keep = |b: u8| b.is_ascii_alphanumeric() || b"-._~@:".contains(&b);
    text.bytes().map(|b| if keep(b) { char::from(b).to_string() } else { format!("%{b:02X}") }).collect()
}

/// JSON on one line, with a space after `:` and `,`.
fn spaced(value: &Value) -> String {
    match value {
        Value::Object(members) => {
            let members: Vec<String> = members
                .iter()
                .map(|(name, value)| format!("{}: {}", Value::from(name.as_str()), spaced(value)))
                .collect();
            format!("{{{}}}", members.join(", "))
        }
        Value::Array(items) => format!("[{}]", items.iter().map(spaced).collect::<Vec<_>>().join(", ")),
        value => value.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_one_types() {
        let app = json!({"in": "path", "name": "app", "schema": {"examples": ["it's"]}});
        let body = json!({"requestBody": {"content": {"application/json": {"example": {"a": "it's", "b": [1, 2]}}}}});
        let text = "curl -X POST \"$CONTROLLER/apps/it%27s\" \\\n  -H \"Authorization: token $TOKEN\" \\\n  \
                    -H \"Content-Type: application/json\" \\\n  -d '{\"a\": \"it'\\''s\", \"b\": [1, 2]}'";
        assert_eq!(command("post", "/apps/{app}", &body, &[&app], "token $TOKEN"), text);
        assert_eq!(command("get", "/x", &json!({"security": []}), &[], "token $TOKEN"), "curl \"$CONTROLLER/x\"");
    }
}
