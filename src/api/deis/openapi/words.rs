//! Values that many answers hold, for `#[schema(value_type = ...)]` on a field whose Rust type says less.

use serde_json::json;

use super::fields::{ENV_NAME, PROCESS_TYPE};
use crate::api::openapi::words;

words! {
    /// `2014-01-01T00:00:00UTC` (spec §1.8).
    Moment = json!({
        "type": "string", "pattern": "^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}UTC$",
        "description": "A moment, in whole seconds and with a literal `UTC`.", "examples": ["2014-01-01T00:00:00UTC"],
    });
    /// 36 characters in lower case.
    Uuid = json!({
        "type": "string", "format": "uuid", "description": "A stable identity.",
        "pattern": "^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$",
        "examples": ["de1bf5b5-4a72-4f94-a10c-d2a3741cdf75"],
    });
    /// Environment values by name.
    Values = json!({
        "type": "object", "propertyNames": {"pattern": ENV_NAME}, "additionalProperties": {"type": ["string", "number", "boolean"]},
        "description": "Environment values by name, with the type that they were set with.",
    });
    /// Something per process type.
    PerType = json!({
        "type": "object", "additionalProperties": {"type": ["string", "number", "boolean"]},
        "description": "A value per process type.",
    });
    /// Commands per process type.
    Commands = json!({
        "type": "object", "propertyNames": {"pattern": PROCESS_TYPE}, "additionalProperties": {"type": "string"},
        "description": "The command of each process type.",
    });
    /// Counts per process type.
    Counts = json!({
        "type": "object", "propertyNames": {"pattern": PROCESS_TYPE},
        "additionalProperties": {"type": "integer", "minimum": 1},
        "description": "How many containers of each process type there should be; types without any are left out.",
    });
}
