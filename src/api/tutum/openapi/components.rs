//! What many endpoints share: how a key is sent, what paths name, which parameters lists take, which headers answers carry.

use serde_json::{Map, Value, json};

use crate::api::openapi::header_references;
use crate::api::tutum::headers::{CACHING, VARYING};

/// Headers of every answer, by the name of their component.
const EVERY_ANSWER: [(&str, &str); 3] =
    [("Cache-Control", "CacheControl"), ("Vary", "Vary"), ("X-Request-Id", "RequestId")];

/// Filters of lists of applications: what they have to match.
const FILTERS: [(&str, &str); 5] = [
    ("name", "the name"),
    ("unique_name", "the unique name"),
    ("state", "the state, as in `Partly running`"),
    ("uuid", "the uuid"),
    ("uuid__startswith", "the beginning of the uuid"),
];

/// Parameters of paths. A name means the same in every path.
pub(super) fn path_parameter(name: &str) -> Option<Value> {
    let (description, schema) = match name {
        "uuid" => {
            let pattern = "^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$";
            let example = "6fe5029e-c125-4088-9b9a-4e74da20ac58";
            (
                "The uuid, in lower case.",
                json!({"type": "string", "format": "uuid", "pattern": pattern, "examples": [example]}),
            )
        }
        "scope" => ("The scope of the role.", json!({"type": "string", "const": "global", "examples": ["global"]})),
        _ => return None,
    };
    Some(json!({"name": name, "in": "path", "required": true, "description": description, "schema": schema}))
}

/// Parameters of lists: pages of every list, filters of those that have some.
pub(super) fn list_parameters(path: &str) -> Vec<Value> {
    let mut parameters =
        vec![json!({"$ref": "#/components/parameters/Limit"}), json!({"$ref": "#/components/parameters/Offset"})];
    let filter = |prefix: &str, whose: &str, (name, what): (&str, &str)| {
        let description = format!("Only those of which {what}{whose} is this.");
        json!({"name": format!("{prefix}{name}"), "in": "query", "description": description, "schema": {"type": "string"}})
    };
    if matches!(path, "/application/" | "/container/") {
        parameters.extend(FILTERS.map(|one| filter("", "", one)));
    }
    if path == "/container/" {
        parameters.extend(FILTERS.map(|one| filter("application__", " of the application", one)));
    }
    parameters
}

/// Adds the components that [`super::rules`] refers to.
pub(super) fn add(document: &mut Value) {
    let components = &mut document["components"];
    let number = |name: &str, schema: Value, sentence: &str| json!({"name": name, "in": "query", "description": sentence, "schema": schema});
    components["parameters"] = json!({
        "Limit": number(
            "limit",
            json!({"type": "integer", "minimum": 0, "default": 25, "examples": [25]}),
            "Most entries of a page. 0 and whatever is above 100 count as 100.",
        ),
        "Offset": number(
            "offset",
            json!({"type": "integer", "minimum": 0, "default": 0, "examples": [0]}),
            "How many entries to skip.",
        ),
    });
    components["headers"] = headers();
    components["responses"] = super::errors::responses();
    components["securitySchemes"] = json!({
        "apikey": {
            "type": "apiKey", "in": "header", "name": "Authorization",
            "description": "The word `ApiKey`, a space, the account's name, a colon and a key, which `GET /api/v1/auth/` and \
                            `slipway user api-key` yield.",
        },
        "password": {
            "type": "http", "scheme": "basic", "description": "The account's name or e-mail address, and its password.",
        },
    });
    if let Some(schemas) = components["schemas"].as_object_mut() {
        schemas.extend(super::errors::schemas());
    }
}

fn headers() -> Value {
    let header =
        |description: &str, schema: Value| json!({"description": description, "required": true, "schema": schema});
    let only = |value: &str| json!({"type": "string", "const": value});
    json!({
        "CacheControl": header("Nothing is to be kept without asking again.", only(CACHING)),
        "Vary": header("What answers depend on.", only(VARYING)),
        "RequestId": header(
            "The request's `X-Request-Id`, or a new one; the server's log has it.",
            json!({"type": "string", "examples": ["0b9c2f4e-52b5-4a52-9c37-6bb0f9a1f7b3"]}),
        ),
        "Allow": header("The methods of this path.", json!({"type": "string", "examples": ["GET, POST, HEAD"]})),
        "RetryAfter": header("Seconds to wait.", json!({"type": "string", "pattern": "^[0-9]+$"})),
    })
}

/// References to the headers of every answer.
pub(super) fn answer_headers() -> Map<String, Value> {
    header_references(&EVERY_ANSWER)
}
