//! The errors of the door: each defined once, with an example, and attached to endpoints by [`super::rules`].

use serde_json::{Map, Value, json};

use super::components::answer_headers;
use crate::api::openapi::{ErrorRow, error_components, error_reference, header_references};

const ROWS: &[ErrorRow] = &[
    ErrorRow {
        name: "BadRequest",
        status: 400,
        when: "The body cannot be read, a field breaks its rule, or the request makes no sense at present.",
        schemas: &["FieldErrors", "Detail"],
        example: || json!({"id": ["App IDs can only contain [a-z0-9-]."]}),
    },
    ErrorRow {
        name: "Unauthenticated",
        status: 401,
        when: "There is no token, or not a good one.",
        schemas: &["Detail"],
        example: || json!({"detail": "Authentication credentials were not provided."}),
    },
    ErrorRow {
        name: "Forbidden",
        status: 403,
        when: "The caller may not do that.",
        schemas: &["Detail"],
        example: || json!({"detail": "You do not have permission to perform this action."}),
    },
    ErrorRow {
        name: "NotFound",
        status: 404,
        when: "There is no such thing.",
        schemas: &["Detail"],
        example: || json!({"detail": "Not found"}),
    },
    ErrorRow {
        name: "NotAllowed",
        status: 405,
        when: "The client is of a version that is not served, or the path has no such method.",
        schemas: &["VersionMismatch", "Detail"],
        example: || json!({"error": "Client and server versions do not match. Client version: 99 Server version: 1"}),
    },
    ErrorRow {
        name: "TooSlow",
        status: 408,
        when: "The body did not arrive within a minute.",
        schemas: &["Detail"],
        example: || json!({"detail": "The request body did not arrive in time."}),
    },
    ErrorRow {
        name: "Conflict",
        status: 409,
        when: "Something else stands in the way.",
        schemas: &["Detail"],
        example: || json!({"detail": "The account still owns apps."}),
    },
    ErrorRow {
        name: "TooLarge",
        status: 413,
        when: "The body is too large.",
        schemas: &["Detail"],
        example: || json!({"detail": format!("The request body has more than {} bytes.", crate::api::BODY_MAX)}),
    },
    ErrorRow {
        name: "TargetTooLong",
        status: 414,
        when: "The path and query are too long.",
        schemas: &["Detail"],
        example: || json!({"detail": format!("The request target has more than {} bytes.", crate::api::limits::TARGET_MAX)}),
    },
    ErrorRow {
        name: "UnsupportedMediaType",
        status: 415,
        when: "The body is neither JSON nor a form.",
        schemas: &["Detail"],
        example: || json!({"detail": "Unsupported media type 'text/plain' in request."}),
    },
    ErrorRow {
        name: "Throttled",
        status: 429,
        when: "Too many attempts; wait.",
        schemas: &["Detail"],
        example: || json!({"detail": "Request was throttled. Expected available in 7 seconds."}),
    },
    ErrorRow {
        name: "HeadersTooLarge",
        status: 431,
        when: "The headers are too large.",
        schemas: &["Detail"],
        example: || json!({"detail": format!("The request headers have more than {} bytes.", crate::api::limits::HEADERS_MAX)}),
    },
    ErrorRow {
        name: "Internal",
        status: 500,
        when: "The server is at fault; its log says why.",
        schemas: &["Detail"],
        example: || json!({"detail": crate::platform::Error::Internal(anyhow::anyhow!("")).to_string()}),
    },
    ErrorRow {
        name: "Unavailable",
        status: 503,
        when: "The deploy failed and the old release goes on serving, the app is busy, or the container engine does not answer.",
        schemas: &["Detail"],
        example: || json!({"detail": "web.1 exited with status 1"}),
    },
];

/// A reference to the error of this status.
pub(super) fn reference(status: u16) -> Option<Value> {
    error_reference(ROWS, status)
}

/// The errors as components.
pub(super) fn responses() -> Value {
    error_components(ROWS, |status| {
        let mut headers = answer_headers();
        match status {
            // They are answered before anybody has looked at the path.
            414 | 431 => drop(headers.remove("Allow")),
            401 => headers.extend(header_references(&[("WWW-Authenticate", "Challenge")])),
            429 => headers.extend(header_references(&[("Retry-After", "RetryAfter")])),
            _ => {}
        }
        headers
    })
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
