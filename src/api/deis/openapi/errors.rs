//! The errors of the door: each defined once, with an example, and attached to endpoints by [`super::rules`].

use serde_json::{Map, Value, json};

use super::components::answer_headers;

/// Name of the component, status, when it is answered, schemas of its body, an example.
type Row = (&'static str, u16, &'static str, &'static [&'static str], fn() -> Value);

const ROWS: [Row; 14] = [
    (
        "BadRequest",
        400,
        "The body cannot be read, a field breaks its rule, or the request makes no sense at present.",
        &["FieldErrors", "Detail"],
        || json!({"id": ["App IDs can only contain [a-z0-9-]."]}),
    ),
    (
        "Unauthenticated",
        401,
        "There is no token, or not a good one.",
        &["Detail"],
        || json!({"detail": "Authentication credentials were not provided."}),
    ),
    (
        "Forbidden",
        403,
        "The caller may not do that.",
        &["Detail"],
        || json!({"detail": "You do not have permission to perform this action."}),
    ),
    ("NotFound", 404, "There is no such thing.", &["Detail"], || json!({"detail": "Not found"})),
    (
        "NotAllowed",
        405,
        "The client is of a version that is not served, or the path has no such method.",
        &["VersionMismatch", "Detail"],
        || json!({"error": "Client and server versions do not match. Client version: 99 Server version: 1"}),
    ),
    (
        "TooSlow",
        408,
        "The body did not arrive within a minute.",
        &["Detail"],
        || json!({"detail": "The request body did not arrive in time."}),
    ),
    (
        "Conflict",
        409,
        "Something else stands in the way.",
        &["Detail"],
        || json!({"detail": "The account still owns apps."}),
    ),
    (
        "TooLarge",
        413,
        "The body is too large.",
        &["Detail"],
        || json!({"detail": format!("The request body has more than {} bytes.", crate::api::BODY_MAX)}),
    ),
    (
        "TargetTooLong",
        414,
        "The path and query are too long.",
        &["Detail"],
        || json!({"detail": format!("The request target has more than {} bytes.", crate::api::limits::TARGET_MAX)}),
    ),
    (
        "UnsupportedMediaType",
        415,
        "The body is neither JSON nor a form.",
        &["Detail"],
        || json!({"detail": "Unsupported media type 'text/plain' in request."}),
    ),
    (
        "Throttled",
        429,
        "Too many attempts; wait.",
        &["Detail"],
        || json!({"detail": "Request was throttled. Expected available in 7 seconds."}),
    ),
    (
        "HeadersTooLarge",
        431,
        "The headers are too large.",
        &["Detail"],
        || json!({"detail": format!("The request headers have more than {} bytes.", crate::api::limits::HEADERS_MAX)}),
    ),
    (
        "Internal",
        500,
        "The server is at fault; its log says why.",
        &["Detail"],
        || json!({"detail": crate::platform::Error::Internal(anyhow::anyhow!("")).to_string()}),
    ),
    (
        "Unavailable",
        503,
        "The deploy failed and the old release goes on serving, the app is busy, or the container engine does not answer.",
        &["Detail"],
        || json!({"detail": "web.1 exited with status 1"}),
    ),
];

/// A reference to the error of this status.
pub(super) fn reference(status: u16) -> Option<Value> {
    let (name, ..) = ROWS.iter().find(|(_, of, ..)| *of == status)?;
    Some(json!({"$ref": format!("#/components/responses/{name}")}))
}

/// The errors as components.
pub(super) fn responses() -> Value {
    let response = |(name, status, description, schemas, example): Row| {
        let references: Vec<Value> =
            schemas.iter().map(|name| json!({"$ref": format!("#/components/schemas/{name}")})).collect();
        let schema = match references.as_slice() {
            [one] => one.clone(),
            several => json!({"anyOf": several}),
        };
        let mut headers = answer_headers();
        if status == 414 || status == 431 {
            // It is answered before anybody has looked at the path.
            headers.remove("Allow");
        }
        if status == 401 {
            headers.insert("WWW-Authenticate".to_owned(), json!({"$ref": "#/components/headers/Challenge"}));
        }
        if status == 429 {
            headers.insert("Retry-After".to_owned(), json!({"$ref": "#/components/headers/RetryAfter"}));
        }
        let content = json!({"application/json": {"schema": schema, "example": example()}});
        (
            name.to_owned(),
            json!({"description": description, "headers": headers, "content": content, "x-status": status.to_string()}),
        )
    };
    Value::Object(ROWS.into_iter().map(response).collect())
}

/// The shapes of errors.
pub(super) fn schemas() -> Map<String, Value> {
    let text = |name: &str, description: &str| {
        json!({
            "type": "object", "description": description, "required": [name], "additionalProperties": false,
            "properties": {name: {"type": "string"}},
        })
    };
    let fields = json!({
        "type": "object", "minProperties": 1,
        "description": "What is wrong with each field, by the field's name; `non_field_errors` for the whole.",
        "additionalProperties": {"type": "array", "minItems": 1, "items": {"type": "string"}},
    });
    [
        ("Detail", text("detail", "What went wrong, in a sentence.")),
        ("VersionMismatch", text("error", "Client and server do not fit each other.")),
        ("FieldErrors", fields),
    ]
    .map(|(name, schema)| (name.to_owned(), schema))
    .into_iter()
    .collect()
}
