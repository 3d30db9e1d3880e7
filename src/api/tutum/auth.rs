//! Who is calling (spec §2).

use axum::extract::{FromRequestParts, Request, State};
use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;

use super::error::Error;
use super::roles;
use crate::model::User;
use crate::platform::{GrantedCaller, Platform};

/// Who is calling, once [`authenticate`] has let the request through.
#[derive(Clone)]
pub(super) struct Caller(pub User);

impl<S: Send + Sync> FromRequestParts<S> for Caller {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Error> {
        parts.extensions.get::<Self>().cloned().ok_or(Error::Unauthenticated)
    }
}

/// Lets only holders of a key through.
pub(super) async fn authenticate(State(platform): State<Platform>, mut request: Request, next: Next) -> Response {
    match caller(&platform, request.headers()).await {
        Ok(user) => {
            request.extensions_mut().insert(Caller(user));
            next.run(request).await
        }
        Err(error) => error.into_response(),
    }
}

async fn caller(platform: &Platform, headers: &HeaderMap) -> Result<User, Error> {
    let (username, key) = api_key(headers).ok_or(Error::Unauthenticated)?;
    match platform.user_for_api_key(username, key).await? {
        Some(user) => Ok(user),
        None => granted(platform, username, key).await,
    }
}

/// The owner of the application that a container with a role belongs to (spec §11.3).
async fn granted(platform: &Platform, username: &str, token: &str) -> Result<User, Error> {
    let GrantedCaller { user, scopes } = platform.caller_of_grant(token).await?;
    let is_good = user.is_active
        && user.username.as_str() == username
        && scopes.iter().any(|scope| roles::scope_of(scope).is_some());
    if is_good { Ok(user) } else { Err(Error::Unauthenticated) }
}

/// What follows the word `scheme`, in any case of its letters.
fn credentials<'a>(headers: &'a HeaderMap, scheme: &str) -> Option<&'a str> {
    let (word, rest) = headers.get(AUTHORIZATION)?.to_str().ok()?.trim().split_once(' ')?;
    word.eq_ignore_ascii_case(scheme).then_some(rest.trim())
}

/// `ApiKey USERNAME:APIKEY`
fn api_key(headers: &HeaderMap) -> Option<(&str, &str)> {
    both(credentials(headers, "apikey")?)
}

/// `Basic`, as RFC 7617 has it.
pub(super) fn basic(headers: &HeaderMap) -> Option<(String, String)> {
    let decoded = BASE64_STANDARD.decode(credentials(headers, "basic")?).ok()?;
    let text = String::from_utf8(decoded).ok()?;
    both(&text).map(|(name, password)| (name.to_owned(), password.to_owned()))
}

/// Split at the first colon; both parts have something in them.
fn both(text: &str) -> Option<(&str, &str)> {
    text.split_once(':').filter(|(name, secret)| !name.is_empty() && !secret.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(value: &str) -> HeaderMap {
        [(AUTHORIZATION, value.parse().unwrap())].into_iter().collect()
    }

    #[test]
    fn keys_and_what_can_be_wrong_with_them() {
        let check =
            |header: &str, expect: Option<(&str, &str)>| assert_eq!(api_key(&headers(header)), expect, "{header:?}");
        check("ApiKey bob:abc", Some(("bob", "abc")));
        check("apikey bob:abc", Some(("bob", "abc")));
        check("APIKEY  bob:a:b ", Some(("bob", "a:b")));
        for wrong in
            ["ApiKey", "ApiKey ", "ApiKey bob", "ApiKey bob:", "ApiKey :abc", "Token abc", "Basic Ym9iOmFiYw==", ""]
        {
            check(wrong, None);
        }
        assert_eq!(api_key(&HeaderMap::new()), None);
    }

    #[test]
    fn names_and_passwords() {
        let check = |header: &str, expect: Option<(&str, &str)>| {
            let expect = expect.map(|(name, password)| (name.to_owned(), password.to_owned()));
            assert_eq!(basic(&headers(header)), expect, "{header:?}");
        };
        check("Basic Ym9iOmFiYw==", Some(("bob", "abc")));
        check("basic Ym9iOmE6Yg==", Some(("bob", "a:b")));
        for wrong in ["Basic", "Basic !", "Basic Ym9i", "Basic /w==", "ApiKey bob:abc"] {
            check(wrong, None);
        }
    }
}
