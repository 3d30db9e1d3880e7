//! Scaling (spec §8).

use axum::extract::State;
use axum::http::StatusCode;
use serde_json::{Value, json};
use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

use super::body::Fields;
use super::error::Error;
use super::openapi::fields::{self, PROCESS_TYPE};
use super::path::AppInPath;
use crate::model::Formation;
use crate::platform::Platform;

/// Wanted counts by process type.
pub(super) enum WantedCounts {}

impl PartialSchema for WantedCounts {
    fn schema() -> RefOr<Schema> {
        fields::raw(json!({
            "type": "object", "propertyNames": {"pattern": PROCESS_TYPE},
            "description": "How many containers of each process type there should be.",
            "additionalProperties": {"anyOf": [
                {"type": "number", "minimum": -0.9, "exclusiveMaximum": 501, "description": "A fraction is dropped."},
                {"type": "string", "pattern": r"^ *(\+?0*([0-9]{1,2}|[1-4][0-9]{2}|500)|-0+) *$"},
                {"type": "boolean", "description": "One or none."},
            ]},
            "examples": [{"web": 2, "worker": 1}],
        }))
    }
}

impl ToSchema for WantedCounts {}

/// Scale an app
///
/// Types that are not mentioned keep their count. Only types that the build declares can be scaled, and `cmd`. The answer
/// comes when the new containers are up.
///
/// Client: `deis scale`
#[utoipa::path(
    post, path = "/apps/{app}/scale", tag = "containers", request_body = WantedCounts,
    responses((status = 204, description = "There are as many as asked for."))
)]
pub(super) async fn scale(
    State(platform): State<Platform>,
    AppInPath(handle): AppInPath,
    fields: Fields,
) -> Result<StatusCode, Error> {
    platform.scale(&handle, formation(&fields)?).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// All counts are checked before any type is looked at, as Deis does.
fn formation(fields: &Fields) -> Result<Formation, Error> {
    let refused = |text: &str| Error::Refused(text.to_owned());
    let mut counts = Vec::new();
    for (name, value) in fields.iter() {
        counts.push((name, count(value).ok_or_else(|| refused("Invalid scaling format"))?));
    }
    if counts.iter().any(|(_, count)| *count < 0) {
        return Err(refused("Must be greater than or equal to zero"));
    }
    let known = counts.into_iter().map(|(name, count)| match name.parse() {
        Ok(process) => Ok((process, u32::try_from(count).unwrap_or(u32::MAX))),
        Err(_) => Err(Error::Refused(format!("Container type {name} does not exist in application"))),
    });
    known.collect::<Result<_, _>>().map(Formation)
}

/// What Python's `int()` makes of a JSON value: text of digits, and numbers without their fraction.
fn count(value: &Value) -> Option<i128> {
    match value {
        Value::Bool(value) => Some(i128::from(*value)),
        #[expect(clippy::cast_possible_truncation, reason = "dropping the fraction is the conversion")]
        Value::Number(number) => number.as_i128().or_else(|| number.as_f64().map(|value| value as i128)),
        Value::String(text) => text.trim().parse().ok(),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_what_python_makes_of_them() {
        let check = |value: Value, expect: Option<i128>| assert_eq!(count(&value), expect, "{value}");
        check(json!(2), Some(2));
        check(json!("2"), Some(2));
        check(json!(" +2 "), Some(2));
        check(json!(1.7), Some(1));
        check(json!(-0.5), Some(0));
        check(json!(true), Some(1));
        check(json!(-1), Some(-1));
        check(json!("-1"), Some(-1));
        check(json!(u64::MAX), Some(i128::from(u64::MAX)));
        check(json!("1.7"), None);
        check(json!("two"), None);
        check(json!(""), None);
        check(json!(null), None);
        check(json!([1]), None);
    }
}
