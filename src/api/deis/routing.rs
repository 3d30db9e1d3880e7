//! Routing settings, Slipway's own; Deis had none.

use axum::Json;
use axum::extract::State;
use serde_json::{Value, json};

use super::body::{Fields, Problem, Problems, digits};
use super::error::Error;
use super::openapi::fields::{Field, body};
use super::path::AppInPath;
use super::wire;
use crate::model::{InvalidRouting, RoutingField, RoutingRule};
use crate::platform::{Platform, RoutingChanges};

body! {
    /// Settings to change. Those that are not mentioned stay; null goes back to the default.
    RoutingSettings:
        setting(RoutingField::Maintenance)
            .says("Every request is answered 503 in place of the app.").example(true),
        setting(RoutingField::MaintenancePage)
            .says("HTML that is shown meanwhile. Slipway's own page by default.").example("<h1>Back at noon</h1>"),
        setting(RoutingField::Https)
            .says("`redirect` sends plain HTTP to HTTPS: 301 for GET and HEAD, else 308. `optional` by default."),
        setting(RoutingField::HstsSeconds)
            .says("For how long browsers are told, over HTTPS, to use nothing else. 0, not at all, by default."),
        setting(RoutingField::HstsSubdomains)
            .says("Whether that holds for the names below, too. Not by default."),
        setting(RoutingField::Sticky)
            .says("A cookie keeps a client at one instance while that lives. Off by default."),
        setting(RoutingField::MaxBodyBytes)
            .says("Largest body of a request; 413 beyond. 1 GiB by default."),
        setting(RoutingField::RequestTimeoutSeconds)
            .says("For the app to begin its answer; 504 then. 60 by default."),
        setting(RoutingField::IdleTimeoutSeconds)
            .says("Between two pieces of a body, of a request or an answer. 300 by default."),
        setting(RoutingField::MaxConnections)
            .says("Requests at once, websockets included; 503 beyond. 4096 by default."),
        setting(RoutingField::AccessLog)
            .says("Whether each request leaves a line in the app's log. On by default."),
}

fn setting(field: RoutingField) -> Field {
    let value = match field.rule() {
        RoutingRule::Flag => json!([
            {"type": "boolean"},
            {"type": "string", "pattern": "^([Tt][Rr][Uu][Ee]|[Ff][Aa][Ll][Ss][Ee]|[01])$"},
        ]),
        RoutingRule::Number { least, most } => json!([
            {"type": "integer", "minimum": least, "maximum": most},
            {"type": "string", "pattern": "^[0-9]{1,13}$"},
        ]),
        RoutingRule::Https => json!([{"type": "string", "enum": ["optional", "redirect"]}]),
        RoutingRule::Text { most } => {
            json!([{"type": "string", "minLength": 1, "maxLength": most, "pattern": r"^[^\u0000]*$"}])
        }
    };
    let Value::Array(mut choices) = value else { unreachable!("each rule yields a list") };
    choices.push(json!({"type": "null"}));
    Field::new(field.as_str(), json!({"anyOf": choices}))
}

/// Show routing settings
///
/// All of them: what was chosen, and the defaults of the rest.
#[utoipa::path(
    get, path = "/apps/{app}/routing", tag = "routing",
    responses((status = 200, description = "The settings.", body = wire::Routing))
)]
pub(super) async fn show(
    State(platform): State<Platform>,
    AppInPath(handle): AppInPath,
) -> Result<Json<wire::Routing>, Error> {
    Ok(Json(wire::Routing::new(platform.routing(&handle).await?)))
}

/// Change routing settings
///
/// The router has them at once; there is no release, and nothing restarts.
#[utoipa::path(
    patch, path = "/apps/{app}/routing", tag = "routing", request_body = RoutingSettings,
    responses((status = 200, description = "All settings, as they are now.", body = wire::Routing))
)]
pub(super) async fn change(
    State(platform): State<Platform>,
    AppInPath(handle): AppInPath,
    fields: Fields,
) -> Result<Json<wire::Routing>, Error> {
    let routing = platform.set_routing(&handle, requested(&fields)?).await?;
    Ok(Json(wire::Routing::new(routing)))
}

fn requested(fields: &Fields) -> Result<RoutingChanges, Error> {
    let (mut problems, mut changes) = (Problems::default(), RoutingChanges::new());
    for field in RoutingField::ALL {
        let Some(value) = fields.value(field.as_str()) else { continue };
        let change = match value {
            Value::Null => Ok(None),
            value => text(field, value).map(Some),
        };
        changes.push((field, problems.noted(change)));
    }
    problems.into_result()?;
    Ok(changes)
}

/// The value as the platform takes it; forms have text for everything.
fn text(field: RoutingField, value: &Value) -> Result<String, Problem> {
    let text = match (field.rule(), value) {
        (RoutingRule::Flag, Value::Bool(value)) => Some(value.to_string()),
        (RoutingRule::Flag, Value::String(text)) if text == "1" => Some("true".to_owned()),
        (RoutingRule::Flag, Value::String(text)) if text == "0" => Some("false".to_owned()),
        (RoutingRule::Flag, Value::String(text)) => Some(text.to_ascii_lowercase()),
        (RoutingRule::Number { .. }, Value::Number(number)) => digits(number),
        (_, Value::String(text)) => Some(text.clone()),
        _ => None,
    };
    let taken = text.filter(|text| crate::model::Routing::default().set(field, text).is_ok());
    taken.ok_or_else(|| {
        let shown = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        Problem::new(field.as_str(), InvalidRouting::new(field, &shown).to_string())
    })
}
