//! Accounts, as far as this API knows them: a password yields a key, and there is a form to register (spec §2.3, §2.8).

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use serde::Serialize;
use utoipa::ToSchema;

use super::auth::basic;
use super::body::Object;
use super::error::Error;
use super::list::{ListOf, Query};
use super::openapi::bodies::Registration;
use crate::api::client::{ClientAddress, IsLocal};
use crate::api::email::{EMAIL_MAX, is_email};
use crate::platform::{self, Asker, NewAccount, Platform};

/// A key, which is shown once.
#[derive(Serialize, ToSchema)]
#[schema(examples(json!({"key": "0123456789abcdef0123456789abcdef01234567", "username": "bob"})))]
pub(super) struct ApiKey {
    /// 40 hex digits.
    key: String,
    /// The account's name, whatever it was called in the request.
    username: String,
}

/// An account that was made.
#[derive(Serialize, ToSchema)]
#[schema(examples(json!({"email": "bob@example.com", "username": "bob"})))]
pub(super) struct Registered {
    email: String,
    username: String,
}

/// Get a key
///
/// The name, or the e-mail address, and the password come as HTTP Basic. Each call yields another key; of an account the
/// latest 20 are good. On the server itself `slipway user api-key` prints one.
///
/// Client: `tutum login`
#[utoipa::path(
    get, path = "/auth/", tag = "auth",
    responses((status = 200, description = "A list of one key.", body = ListOf<ApiKey>), (status = 429))
)]
pub(super) async fn log_in(
    State(platform): State<Platform>,
    ClientAddress(from): ClientAddress,
    headers: HeaderMap,
    query: Query,
) -> Result<Json<ListOf<ApiKey>>, Error> {
    let (name, password) = basic(&headers).ok_or(Error::Unauthenticated)?;
    let (username, key) = platform.mint_api_key(&name, &password, from).await?;
    Ok(query.page_of(vec![ApiKey { key, username: username.to_string() }], |key| key))
}

/// Register an account
///
/// Where registration is open. The account is the same for all APIs of the server.
///
/// Client: `tutum login`
#[utoipa::path(
    post, path = "/register/", tag = "auth", request_body = Registration,
    responses((status = 201, description = "The account.", body = Registered), (status = 429))
)]
pub(super) async fn register(
    State(platform): State<Platform>,
    ClientAddress(address): ClientAddress,
    IsLocal(is_local): IsLocal,
    object: Object,
) -> Result<(StatusCode, Json<Registered>), Error> {
    let wrong = |field, message: &str| Error::Registration { field, message: message.to_owned() };
    let text = |name| match object.text(name) {
        Ok(Some(text)) if !text.is_empty() => Ok(text.to_owned()),
        Ok(_) => Err(wrong(name, "This is required.")),
        Err(_) => Err(wrong(name, "This has to be text.")),
    };
    let username = text("username")?;
    let username =
        username.parse().map_err(|error: crate::model::InvalidUsername| wrong("username", &error.to_string()))?;
    let password = text("password1")?;
    if text("password2")? != password {
        return Err(wrong("password2", "The two passwords differ."));
    }
    let email = text("email")?;
    if email.len() > EMAIL_MAX || !is_email(&email) {
        return Err(wrong("email", "This is no e-mail address."));
    }
    let account = NewAccount {
        username,
        password,
        email,
        first_name: String::new(),
        last_name: String::new(),
        is_superuser: false,
    };
    let asker = Asker { address, is_local, ..Asker::default() };
    let user = platform.register(&asker, account).await.map_err(|error| match error {
        platform::Error::Taken { field } => wrong(field, "Another account has it."),
        platform::Error::Denied(text) => wrong("username", &text),
        other => other.into(),
    })?;
    let registered = Registered { email: user.email, username: user.username.to_string() };
    Ok((StatusCode::CREATED, Json(registered)))
}
