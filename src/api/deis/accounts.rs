//! Accounts: register, login, password, token, cancel (spec §3, §23).

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};

use super::auth::{Caller, caller};
use super::body::{Fields, Problem, Problems};
use super::error::Error;
use super::openapi::fields::{USERNAME, body, flag, text};
use super::wire;
use crate::api::client::{ClientAddress, IsLocal};
use crate::api::email::{EMAIL_MAX, is_email};
use crate::model::{USERNAME_MAX, Username};
use crate::platform::{self, Asker, NewAccount, Platform};

/// Longest setup token.
const SETUP_TOKEN_MAX: usize = 64;
/// Longest first or last name (Django's user model).
const NAME_MAX: usize = 30;
/// What [`email`] takes, but for hosts with letters outside of ASCII.
const EMAIL: &str = r"^$|^[^\s\u0000-\u0020\u007F-\u00A0@]+@(localhost|LABEL(\.LABEL)+)$";
const LABEL: &str = "[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?";

body! {
    /// What register takes.
    Registration:
        text("username").required().max(USERNAME_MAX).pattern(USERNAME).says("How the account logs in.").example("bob"),
        text("password").required().says("Any text.").example("correct horse"),
        text("email").max(EMAIL_MAX).pattern(&EMAIL.replace("LABEL", LABEL)).says("May be left out or empty.")
            .example("bob@example.com"),
        text("first_name").max(NAME_MAX).example("Bob"),
        text("last_name").max(NAME_MAX).example("Builder"),
        text("setup_token").max(SETUP_TOKEN_MAX).says("For the first account, where it does not come over the API's own address."),
}

body! {
    /// What login takes.
    Credentials:
        text("username").required().example("bob"),
        text("password").required().example("correct horse"),
}

body! {
    /// What passwd takes.
    NewPassword:
        text("password").not_blank().says("The present one; needed but for somebody else's account.")
            .example("correct horse"),
        text("new_password").required().says("Any text.").example("battery staple"),
        text("username").max(USERNAME_MAX).says("Somebody else's account, for administrators."),
}

body! {
    /// Whose token to renew; the caller's, if the body is empty.
    Renewal:
        text("username").max(USERNAME_MAX).says("Somebody else's account, for administrators."),
        flag("all").says("Those of all accounts, for administrators."),
}

/// Register an account
///
/// The first account of a server is an administrator; it has to come over the API's own address, or with the setup token that
/// the server printed. Where registration is not open, the token of an administrator counts
/// although none is asked for. There is no token in the answer: log in next.
///
/// Client: `deis register`
#[utoipa::path(
    post, path = "/auth/register", tag = "auth", request_body = Registration,
    responses((status = 201, description = "The account.", body = wire::User), (status = 403), (status = 429))
)]
pub(super) async fn register(
    State(platform): State<Platform>,
    ClientAddress(address): ClientAddress,
    IsLocal(is_local): IsLocal,
    headers: HeaderMap,
    fields: Fields,
) -> Result<(StatusCode, Json<wire::User>), Error> {
    let by = caller(&platform, &headers).await.ok();
    let setup_token = fields.optional("setup_token", SETUP_TOKEN_MAX)?.filter(|token| !token.is_empty());
    let asker = Asker { by: by.as_ref(), address, is_local, setup_token };
    let user = platform.register(&asker, account(&fields)?).await?;
    Ok((StatusCode::CREATED, Json(user.into())))
}

/// Log in
///
/// The token is the same at every login until it is renewed. Wrong credentials are answered 400, and whoever tries too many
/// has to wait.
///
/// Client: `deis login`
#[utoipa::path(
    post, path = "/auth/login", tag = "auth", request_body = Credentials,
    responses((status = 200, description = "The account's token.", body = wire::Token), (status = 429))
)]
pub(super) async fn log_in(
    State(platform): State<Platform>,
    ClientAddress(from): ClientAddress,
    fields: Fields,
) -> Result<Json<wire::Token>, Error> {
    let mut problems = Problems::default();
    let username = problems.noted(fields.required("username", usize::MAX));
    let password = problems.noted(fields.required("password", usize::MAX));
    problems.into_result()?;
    let token = platform.log_in(&username, &password, from).await?;
    Ok(Json(wire::Token { token }))
}

/// Change a password
///
/// Tokens stay as they are. An administrator may name somebody else's account, and then needs no old password (API 1.4).
///
/// Client: `deis passwd`
#[utoipa::path(
    post, path = "/auth/passwd", tag = "auth", request_body = NewPassword,
    responses(
        (status = 200, description = "It is changed.", body = wire::PasswordSet),
        (status = 403), (status = 404), (status = 429),
    )
)]
pub(super) async fn change_password(
    State(platform): State<Platform>,
    Caller(user): Caller,
    ClientAddress(from): ClientAddress,
    fields: Fields,
) -> Result<Json<wire::PasswordSet>, Error> {
    let mut problems = Problems::default();
    let other = problems.noted(fields.optional("username", USERNAME_MAX));
    let other = other.filter(|name| *name != user.username.as_str());
    let new = problems.noted(fields.required("new_password", usize::MAX));
    let current = match other {
        Some(_) => String::new(),
        None => problems.noted(fields.required("password", usize::MAX)),
    };
    problems.into_result()?;
    let changed = match other {
        Some(name) => platform.set_password(&platform.administrator(&user)?, &name, new).await,
        None => platform.change_password(&user, current, new, from).await,
    };
    changed.map_err(|error| match error {
        platform::Error::WrongCredentials => Error::Refused("Current password does not match".to_owned()),
        other => other.into(),
    })?;
    Ok(Json(wire::PasswordSet::default()))
}

/// Cancel one's account
///
/// It goes at once, with its apps and all that belongs to them, its keys and its token.
///
/// Client: `deis auth:cancel`
#[utoipa::path(
    delete, path = "/auth/cancel", tag = "auth",
    responses((status = 204, description = "The account is gone."), (status = 400), (status = 409), (status = 503))
)]
pub(super) async fn cancel(State(platform): State<Platform>, Caller(user): Caller) -> Result<StatusCode, Error> {
    platform.cancel_account(&user).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Renew a token
///
/// The old one is refused from now on. Administrators may renew that of somebody else, or those of all accounts, which yields
/// their own (API 1.5).
///
/// Client: `deis auth:regenerate`
#[utoipa::path(
    post, path = "/auth/tokens", tag = "auth", request_body = Renewal,
    responses((status = 200, description = "The new token.", body = wire::Token), (status = 403), (status = 404))
)]
pub(super) async fn renew_token(
    State(platform): State<Platform>,
    Caller(user): Caller,
    fields: Fields,
) -> Result<Json<wire::Token>, Error> {
    let mut problems = Problems::default();
    let name = problems.noted(fields.optional("username", USERNAME_MAX));
    let is_for_all = problems.noted(fields.flag("all"));
    problems.into_result()?;
    let token = match name.filter(|name| *name != user.username.as_str()) {
        _ if is_for_all => platform.renew_all_tokens(&platform.administrator(&user)?).await?,
        Some(name) => platform.renew_token_of(&platform.administrator(&user)?, &name).await?,
        None => platform.renew_token(&user).await?,
    };
    Ok(Json(wire::Token { token }))
}

fn account(fields: &Fields) -> Result<NewAccount, Error> {
    let mut problems = Problems::default();
    let username = username(fields);
    problems.note(&username);
    let password = problems.noted(fields.required("password", usize::MAX));
    let email = problems.noted(email(fields));
    let first_name = problems.noted(fields.optional("first_name", NAME_MAX)).unwrap_or_default();
    let last_name = problems.noted(fields.optional("last_name", NAME_MAX)).unwrap_or_default();
    problems.into_result()?;
    Ok(NewAccount { username: username?, password, email, first_name, last_name, is_superuser: false })
}

fn username(fields: &Fields) -> Result<Username, Problem> {
    let text = fields.required("username", USERNAME_MAX)?;
    text.parse().map_err(|_| Problem::new("username", "Enter a valid username."))
}

/// Optional, as in Deis 1.0; the clients always send it, maybe empty.
fn email(fields: &Fields) -> Result<String, Problem> {
    let text = fields.optional("email", EMAIL_MAX)?.unwrap_or_default();
    let is_valid = text.is_empty() || is_email(&text);
    if is_valid { Ok(text) } else { Err(Problem::new("email", "Enter a valid email address.")) }
}
