//! Values that many answers hold, for `#[schema(value_type = ...)]` on a field whose Rust type says less.

use serde_json::json;

use crate::api::openapi::words;

words! {
    /// `Mon, 24 Mar 2014 23:58:15 +0000` (spec §1.13).
    Moment = json!({
        "type": "string", "pattern": "^[A-Z][a-z]{2}, [1-9][0-9]? [A-Z][a-z]{2} [0-9]{4} [0-9]{2}:[0-9]{2}:[0-9]{2} \\+0000$",
        "description": "A moment, in whole seconds and always UTC.", "examples": ["Mon, 24 Mar 2014 23:58:15 +0000"],
    });
    /// 36 characters in lower case.
    Uuid = json!({
        "type": "string", "format": "uuid", "description": "A stable identity.",
        "pattern": "^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$",
        "examples": ["6fe5029e-c125-4088-9b9a-4e74da20ac58"],
    });
    /// When a policy applies.
    AutoPolicy = json!({
        "type": "string", "enum": ["OFF", "ON_FAILURE", "ALWAYS"],
        "description": "Never, when the exit code is not 0, or whatever the exit code.",
    });
    /// An entry that no list has.
    Nothing = json!({"type": "object", "description": "There is none."});
}
