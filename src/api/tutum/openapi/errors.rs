//! The errors of the door: each defined once, with an example, and attached to endpoints by [`super::rules`].

use serde_json::{Map, Value, json};

use super::components::answer_headers;
use crate::api::openapi::{ErrorRow, error_components, error_reference, header_references};

const ROWS: &[ErrorRow] = &[
    ErrorRow {
        name: "BadRequest",
        status: 400,
        when: "The body cannot be read, a member breaks its rule, or the object is in no state for that.",
        schemas: &["Error", "RegistrationError"],
        example: || json!({"error": "container_size has to be one of XS, S, M, L, XL.", "field": "container_size"}),
    },
    ErrorRow {
        name: "Unauthenticated",
        status: 401,
        when: "There are no credentials, or not good ones.",
        schemas: &["Error"],
        example: || json!({"error": "Wrong or missing credentials. Send the header Authorization: ApiKey USERNAME:APIKEY."}),
    },
    ErrorRow {
        name: "OverQuota",
        status: 403,
        when: "The account has as much as it may have.",
        schemas: &["Error"],
        example: || json!({"error": "bob has 50 of 50 apps: ask an administrator to raise it (PATCH /v1/admin/quotas/bob)"}),
    },
    ErrorRow {
        name: "NotFound",
        status: 404,
        when: "There is no such thing, or it is somebody else's.",
        schemas: &["Error"],
        example: || json!({"error": "There is no such thing here."}),
    },
    ErrorRow {
        name: "NotAllowed",
        status: 405,
        when: "The path has no such method.",
        schemas: &["Error"],
        example: || json!({"error": "PUT is not offered here; see the header Allow."}),
    },
    ErrorRow {
        name: "TooSlow",
        status: 408,
        when: "The body did not arrive within a minute.",
        schemas: &["Error"],
        example: || json!({"error": "The body did not arrive in time."}),
    },
    ErrorRow {
        name: "TooLarge",
        status: 413,
        when: "The body is too large.",
        schemas: &["Error"],
        example: || json!({"error": format!("The body has more than {} bytes.", crate::api::BODY_MAX)}),
    },
    ErrorRow {
        name: "TargetTooLong",
        status: 414,
        when: "The path and query are too long.",
        schemas: &["Error"],
        example: || json!({"error": format!("The request target has more than {} bytes.", crate::api::limits::TARGET_MAX)}),
    },
    ErrorRow {
        name: "UnsupportedMediaType",
        status: 415,
        when: "The body is no JSON.",
        schemas: &["Error"],
        example: || json!({"error": "The body is of type 'text/plain'; send application/json."}),
    },
    ErrorRow {
        name: "Throttled",
        status: 429,
        when: "Too many attempts; wait.",
        schemas: &["Error"],
        example: || json!({"error": "Too many attempts; try again in 7 s."}),
    },
    ErrorRow {
        name: "HeadersTooLarge",
        status: 431,
        when: "The headers are too large.",
        schemas: &["Error"],
        example: || json!({"error": format!("The headers have more than {} bytes.", crate::api::limits::HEADERS_MAX)}),
    },
    ErrorRow {
        name: "Internal",
        status: 500,
        when: "The server is at fault; its log says why.",
        schemas: &["Error"],
        example: || json!({"error": crate::platform::Error::Internal(anyhow::anyhow!("")).to_string()}),
    },
    ErrorRow {
        name: "Unavailable",
        status: 503,
        when: "The container engine does not answer.",
        schemas: &["Error"],
        example: || json!({"error": "the container engine does not answer"}),
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
            405 => headers.extend(header_references(&[("Allow", "Allow")])),
            429 => headers.extend(header_references(&[("Retry-After", "RetryAfter")])),
            _ => {}
        }
        headers
    })
}

/// The shapes of errors.
pub(super) fn schemas() -> Map<String, Value> {
    let error = json!({
        "type": "object", "required": ["error"], "additionalProperties": false,
        "properties": {
            "error": {"type": "string", "description": "What is wrong, in a sentence."},
            "field": {"type": "string", "description": "Which member or parameter it is about, if it is one."},
        },
    });
    let registration = json!({
        "type": "object", "required": ["register"], "additionalProperties": false,
        "description": "What is wrong with a registration, by member.",
        "properties": {"register": {
            "type": "object", "additionalProperties": {"type": "array", "items": {"type": "string"}},
        }},
    });
    [("Error".to_owned(), error), ("RegistrationError".to_owned(), registration)].into_iter().collect()
}
