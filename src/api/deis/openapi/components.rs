//! What many endpoints share: how a token is sent, what paths name, which headers answers carry.

use serde_json::{Map, Value, json};

use super::fields::{APP_NAME, CERTIFICATE_NAME, DOMAIN, USERNAME};
use crate::api::openapi::header_references;

/// Headers of every answer, by the name of their component.
pub(super) const EVERY_ANSWER: [(&str, &str); 5] = [
    ("X_DEIS_API_VERSION", "ApiVersion"),
    ("X_DEIS_PLATFORM_VERSION", "PlatformVersion"),
    ("Access-Control-Allow-Origin", "AllowOrigin"),
    ("Allow", "Allow"),
    ("X-Request-Id", "RequestId"),
];

/// Parameters of paths. A name means the same in every path.
pub(super) fn path_parameter(name: &str) -> Option<Value> {
    let (description, schema) = match name {
        "app" => {
            ("The app's name.", json!({"type": "string", "pattern": APP_NAME, "maxLength": 63, "examples": ["hello"]}))
        }
        "id" => {
            let schema = json!({
                "type": "string", "pattern": r"^[^\u0000]*[^\u0000/]$", "minLength": 1, "examples": ["bob@laptop"],
            });
            ("The key's id, which may hold slashes. Only a slash at its end does not count.", schema)
        }
        "version" => {
            let schema = json!({"type": "string", "pattern": "^v[0-9]{1,18}$", "examples": ["v2"]});
            ("The release's number with a `v` before it.", schema)
        }
        "type" => ("The process type.", json!({"type": "string", "minLength": 1, "examples": ["web"]})),
        "num" => {
            let schema = json!({"type": "integer", "minimum": 0, "maximum": u32::MAX, "examples": [1]});
            ("The container's number within its type.", schema)
        }
        "task" => {
            let schema = json!({"type": "string", "pattern": "^[A-Za-z0-9_-]{1,63}$", "examples": ["backup"]});
            ("The id of the scheduled command.", schema)
        }
        "domain" => {
            let schema =
                json!({"type": "string", "pattern": DOMAIN, "maxLength": 253, "examples": ["www.example.com"]});
            ("The domain.", schema)
        }
        "uuid" => (
            "The uuid of the build or of the log drain.",
            json!({"type": "string", "format": "uuid", "examples": ["de1bf5b5-4a72-4f94-a10c-d2a3741cdf75"]}),
        ),
        "common_name" => {
            let schema = json!({"type": "string", "pattern": CERTIFICATE_NAME, "examples": ["www.example.com"]});
            ("What the certificate is called by.", schema)
        }
        "username" => {
            let schema = json!({"type": "string", "pattern": USERNAME, "maxLength": 30, "examples": ["carol"]});
            ("The account's name.", schema)
        }
        _ => return None,
    };
    Some(json!({"name": name, "in": "path", "required": true, "description": description, "schema": schema}))
}

/// Adds the components that [`super::rules`] refers to.
pub(super) fn add(document: &mut Value) {
    let components = &mut document["components"];
    components["parameters"] = json!({"ClientVersion": client_version(), "Page": page()});
    components["headers"] = headers();
    components["responses"] = super::errors::responses();
    components["securitySchemes"] = security_schemes();
    if let Some(schemas) = components["schemas"].as_object_mut() {
        schemas.extend(super::errors::schemas());
    }
}

fn client_version() -> Value {
    json!({
        "name": "X-Deis-Version", "in": "header", "required": false,
        "description": "Which generation of clients is calling: `1.0` for 1.0.x, `1` for 1.1 to 1.9. Libraries leave it \
                        out. Any other is answered 405 before anything else is looked at.",
        "schema": {"type": "string", "enum": ["1.0", "1"]},
        "example": "1",
    })
}

fn page() -> Value {
    json!({
        "name": "page", "in": "query", "required": false,
        "description": "Which hundred of the list: a number from 1, or `last`. A page that does not exist is answered 404.",
        "schema": {"anyOf": [{"type": "integer", "minimum": 1, "maximum": 1_000_000_000}, {"type": "string", "const": "last"}]},
        "example": 1,
    })
}

fn security_schemes() -> Value {
    json!({
        "token": {
            "type": "apiKey", "in": "header", "name": "Authorization",
            "description": "The word `token`, a space and the 40 hex digits that `POST /v1/auth/login` answers. The token of an \
                            account is the same at every login until it is renewed.",
        },
        "builder": {
            "type": "apiKey", "in": "header", "name": "X-Deis-Builder-Auth",
            "description": "The key that the server and the operator's builder share.",
        },
    })
}

fn headers() -> Value {
    let header = |description: &str, schema: Value, is_required: bool| json!({"description": description, "required": is_required, "schema": schema});
    let text = |example: &str| json!({"type": "string", "examples": [example]});
    json!({
        "ApiVersion": header("The API's version; clients warn when it is not theirs.", json!({"type": "string", "const": "1.2"}), true),
        "PlatformVersion": header("The Deis release that had this API.", text("1.5.2"), true),
        "AllowOrigin": header("Any web page may call.", json!({"type": "string", "const": "*"}), true),
        "Allow": header("The methods of this path.", text("GET, POST, HEAD, OPTIONS"), true),
        "RequestId": header(
            "The request's `X-Request-Id`, or a new one; the server's log has it.",
            text("0b9c2f4e-52b5-4a52-9c37-6bb0f9a1f7b3"),
            true,
        ),
        "RetryAfter": header("Seconds to wait.", json!({"type": "string", "pattern": "^[0-9]+$"}), true),
        "Challenge": header("How to authenticate.", json!({"type": "string", "const": "Token"}), true),
    })
}

/// References to the headers of every answer.
pub(super) fn answer_headers() -> Map<String, Value> {
    header_references(&EVERY_ANSWER)
}
