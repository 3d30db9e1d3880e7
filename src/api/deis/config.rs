//! Config: values, limits and tags (spec §5).

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use serde_json::Value;

use super::body::{Fields, Problem, Problems};
use super::error::Error;
use super::path::AppInPath;
use super::{headers, wire};
use crate::model::ConfigValue;
use crate::platform::{ConfigChange, Platform};

/// `GET /apps/<app>/config`
pub(super) async fn show(
    State(platform): State<Platform>,
    AppInPath(handle): AppInPath,
) -> Result<Json<wire::Config>, Error> {
    let config = platform.config(&handle).await?;
    Ok(Json(wire::Config::new(handle.app(), config)))
}

/// `POST /apps/<app>/config`. Keys whose value is null go, maps that are not mentioned stay.
pub(super) async fn change(
    State(platform): State<Platform>,
    AppInPath(handle): AppInPath,
    fields: Fields,
) -> Result<impl IntoResponse, Error> {
    let (config, release) = platform.set_config(&handle, requested(&fields)?).await?;
    let body = wire::Config::new(handle.app(), config);
    Ok((StatusCode::CREATED, headers::release(release.version), Json(body)))
}

fn requested(fields: &Fields) -> Result<ConfigChange, Error> {
    let mut problems = Problems::default();
    let change = ConfigChange {
        values: problems.noted(changes(fields, "values")),
        memory: problems.noted(changes(fields, "memory")),
        cpu: problems.noted(changes(fields, "cpu")),
        tags: problems.noted(changes(fields, "tags")),
    };
    problems.into_result()?;
    Ok(change)
}

fn changes(fields: &Fields, name: &'static str) -> Result<BTreeMap<String, Option<ConfigValue>>, Problem> {
    let map = fields.map(name)?.unwrap_or_default();
    map.into_iter()
        .map(|(key, value)| match config_value(value) {
            Some(value) => Ok((key, value)),
            None => Err(Problem::new(name, format!("The value of {key} must be text, a number, a boolean or null."))),
        })
        .collect()
}

/// The value with its type, `Some(None)` for null, `None` for what cannot be a value.
fn config_value(value: Value) -> Option<Option<ConfigValue>> {
    Some(Some(match value {
        Value::Null => return Some(None),
        Value::Bool(value) => ConfigValue::Bool(value),
        Value::String(text) => ConfigValue::Text(text),
        Value::Number(number) => match (number.as_i64(), number.as_u64(), number.as_f64()) {
            (Some(value), _, _) => ConfigValue::Integer(value),
            // Instances see text: the digits as they came are worth more than a rounded number.
            (None, Some(value), _) => ConfigValue::Text(value.to_string()),
            (None, None, value) => ConfigValue::Float(value?),
        },
        Value::Array(_) | Value::Object(_) => return None,
    }))
}
