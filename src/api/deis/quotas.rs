//! Quotas, Slipway's own; Deis had none.

use axum::Json;
use axum::extract::State;
use serde::Deserialize;
use serde_json::{Value, json};

use super::auth::Caller;
use super::body::{Fields, Problem, Problems, digits};
use super::error::Error;
use super::openapi::fields::{Field, body};
use super::path::InPath;
use super::wire;
use crate::model::{Quota, QuotaKind};
use crate::platform::{Platform, QuotaChange};

body! {
    /// Limits to set for one account: a number, for sizes also a text such as `32GiB`, and 0 or `unlimited` for none. Those
    /// that are not mentioned stay; null goes back to the operator's.
    QuotaLimits:
        limit(QuotaKind::Apps).says("Apps that the account owns."),
        limit(QuotaKind::Instances).says("Wanted instances of all its apps."),
        limit(QuotaKind::Memory).says("Memory that those may use together."),
        limit(QuotaKind::Config).says("Bytes of one version of the config of one app."),
        limit(QuotaKind::Keys).says("SSH keys."),
        limit(QuotaKind::Domains).says("Domains of all its apps."),
        limit(QuotaKind::Certificates).says("Uploaded certificates."),
        limit(QuotaKind::Collaborators).says("Collaborators of all its apps."),
        limit(QuotaKind::Repositories).says("Bytes of the repositories of all its apps."),
        limit(QuotaKind::Builds).says("Builds that go on at once."),
        limit(QuotaKind::WaitingBuilds).says("Builds that wait for their turn."),
        limit(QuotaKind::Git).says("Git processes at once."),
        limit(QuotaKind::Ports).says("Published ports of the host."),
        limit(QuotaKind::Disk).says("Bytes that containers and builds of its apps have on the disk."),
        limit(QuotaKind::Releases).says("Latest releases of one app that are kept, each with its config."),
        limit(QuotaKind::CronRuns).says("Runs of scheduled commands that go on at once."),
        Field::new("granted_ports", json!({"type": "array", "items": {"type": "integer", "minimum": 1, "maximum": 65535}, "maxItems": 100}))
            .says("Ports of the host outside of `SLIPWAY_PORT_RANGE` that the account may publish, in place of those before.")
            .example(json!([25])),
}

fn limit(kind: QuotaKind) -> Field {
    let pattern =
        if kind.is_bytes() { "^([0-9]{1,9}( ?[KMGT](i?B)?)?|unlimited)$" } else { "^([0-9]{1,9}|unlimited)$" };
    let number = json!({"type": "integer", "minimum": 0, "maximum": i64::MAX});
    Field::new(kind.as_str(), json!({"anyOf": [number, {"type": "string", "pattern": pattern}, {"type": "null"}]}))
}

/// The path's last part, a user's name.
#[derive(Deserialize)]
pub(super) struct Named {
    username: String,
}

/// Show one's own quotas
///
/// What the caller may have, and how much they have. Sizes are bytes; for `config` it is the largest of any app.
#[utoipa::path(
    get, path = "/quotas", tag = "quotas",
    responses((status = 200, description = "All of them.", body = wire::Quotas))
)]
pub(super) async fn of_caller(
    State(platform): State<Platform>,
    Caller(user): Caller,
) -> Result<Json<wire::Quotas>, Error> {
    Ok(Json(platform.quotas(&user).await?.into()))
}

/// Show somebody's quotas
#[utoipa::path(
    get, path = "/admin/quotas/{username}", tag = "quotas",
    responses((status = 200, description = "All of them.", body = wire::Quotas))
)]
pub(super) async fn of_account(
    State(platform): State<Platform>,
    Caller(user): Caller,
    InPath(Named { username }): InPath<Named>,
) -> Result<Json<wire::Quotas>, Error> {
    let by = platform.administrator(&user)?;
    Ok(Json(platform.quotas_of(&by, &username).await?.into()))
}

/// Change somebody's quotas
///
/// They hold from now on. What the account has beyond a lower limit stays.
#[utoipa::path(
    patch, path = "/admin/quotas/{username}", tag = "quotas", request_body = QuotaLimits,
    responses((status = 200, description = "All quotas, as they are now.", body = wire::Quotas))
)]
pub(super) async fn change(
    State(platform): State<Platform>,
    Caller(user): Caller,
    InPath(Named { username }): InPath<Named>,
    fields: Fields,
) -> Result<Json<wire::Quotas>, Error> {
    let by = platform.administrator(&user)?;
    Ok(Json(platform.set_quotas(&by, &username, requested(&fields)?).await?.into()))
}

fn requested(fields: &Fields) -> Result<QuotaChange, Error> {
    let (mut problems, mut change) = (Problems::default(), QuotaChange::default());
    for kind in QuotaKind::ALL {
        match fields.value(kind.as_str()) {
            None => {}
            Some(Value::Null) => change.limits.push((kind, None)),
            Some(value) => {
                if let Some(limit) = problems.noted(quota(kind, value).map(Some)) {
                    change.limits.push((kind, Some(limit)));
                }
            }
        }
    }
    if let Some(value) = fields.value("granted_ports") {
        let ports = serde_json::from_value(value.clone());
        let ports = ports.map_err(|_| Problem::new("granted_ports", "Give a list of ports."));
        change.granted_ports = problems.noted(ports.map(Some));
    }
    problems.into_result()?;
    Ok(change)
}

fn quota(kind: QuotaKind, value: &Value) -> Result<Quota, Problem> {
    let text = match value {
        Value::Number(number) => digits(number),
        Value::String(text) => Some(text.clone()),
        _ => None,
    };
    let shown = text.clone().unwrap_or_else(|| value.to_string());
    let parsed = text.map_or(Err("is not a number, a size or unlimited"), |text| Quota::parse(kind, &text));
    parsed.map_err(|problem| Problem::new(kind.as_str(), format!("'{shown}' {problem}.")))
}
