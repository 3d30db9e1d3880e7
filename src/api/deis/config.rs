//! Config: values, limits and tags (spec §5).

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use serde_json::{Value, json};

use super::body::{Fields, Problem, Problems};
use super::error::Error;
use super::openapi::fields::{Member, body, map};
use super::path::AppInPath;
use super::{headers, wire};
use crate::model::ConfigValue;
use crate::platform::{ConfigChange, Platform};

body! {
    /// What is laid over the config of the latest release.
    ConfigChanges:
        map("values", &Member::config_value()).says("Environment values by name, at most 128 KiB each.")
            .example(json!({"GREETING": "Hello", "OLD": null})),
        map("memory", &memory()).says("Most memory per process type: a number and a unit, B, K, M or G.")
            .example(json!({"web": "512M"})),
        map("cpu", &cpu()).says("Relative CPU shares per process type, 0 to 1024.").example(json!({"web": 512})),
        map("tags", &tag()).says("Which hosts to run on: what they have to be labelled with."),
}

/// A process type, as far as limits look at it.
const LIMITED: &str = r#"^[a-z][^"\\\u0000-\u001F]*$"#;

fn member(name: &'static str, value: Value, text: impl Into<String>) -> Member {
    Member { name, value, text: text.into(), is_null_anywhere: false }
}

fn memory() -> Member {
    let value = json!({"type": ["string", "null"], "pattern": "^[0-9]{1,18}[BKMGbkmg]$"});
    member(LIMITED, value, r#""[0-9]{1,18}[BKMGbkmg]"|null"#)
}

fn cpu() -> Member {
    let shares = "([0-9]{1,3}|10[01][0-9]|102[0-4])";
    let number = json!({"type": "integer", "minimum": 0, "maximum": 1024});
    let value = json!({"anyOf": [number, {"type": "string", "pattern": format!("^0*{shares}$")}, {"type": "null"}]});
    member(LIMITED, value, format!(r#""0*{shares}"|0|[1-9][0-9]{{0,2}}|10[01][0-9]|102[0-4]|null"#))
}

fn tag() -> Member {
    let text = json!({"type": "string", "pattern": "^[A-Za-z0-9_]+$"});
    let value = json!({"anyOf": [text, {"type": "integer", "minimum": 0}, {"type": "boolean"}, {"type": "null"}]});
    member("^[a-z]+$", value, r#""[A-Za-z0-9_]+"|0|[1-9][0-9]{0,14}|true|false|null"#)
}

/// Show config
///
/// That of the latest release.
///
/// Client: `deis config:list`, `deis limits:list`, `deis tags:list`
#[utoipa::path(
    get, path = "/apps/{app}/config", tag = "config",
    responses((status = 200, description = "The config.", body = wire::Config))
)]
pub(super) async fn show(
    State(platform): State<Platform>,
    AppInPath(handle): AppInPath,
) -> Result<Json<wire::Config>, Error> {
    let config = platform.config(&handle).await?;
    Ok(Json(wire::Config::new(handle.app(), config)))
}

/// Change config, limits and tags
///
/// In each map, names with a value are set, names with null go, others stay; maps that are not mentioned stay as they are. Every
/// change is a new release. If the app runs, the answer comes when the release has been rolled out; if it does not come up, the old
/// release goes on serving and the change is gone.
///
/// Client: `deis config:set`, `deis config:unset`, `deis limits:set`, `deis limits:unset`, `deis tags:set`, `deis tags:unset`
#[utoipa::path(
    post, path = "/apps/{app}/config", tag = "config", request_body = ConfigChanges,
    responses((
        status = 201, description = "The whole new config.", body = wire::Config,
        headers(
            ("X-Deis-Release" = i64, description = "the number of the new release."),
            ("Deis-Release" = i64, description = "the same number, for clients from 1.7."),
        )
    ))
)]
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
