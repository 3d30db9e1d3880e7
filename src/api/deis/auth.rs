//! Who is calling (spec §1.4).

use axum::extract::{FromRequestParts, Request, State};
use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::error::Error;
use crate::model::User;
use crate::platform::Platform;

/// Who is calling, once [`authenticate`] has let the request through.
#[derive(Clone)]
pub(super) struct Caller(pub User);

impl<S: Send + Sync> FromRequestParts<S> for Caller {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Error> {
        parts.extensions.get::<Self>().cloned().ok_or(Error::Unauthenticated(NO_CREDENTIALS))
    }
}

const NO_CREDENTIALS: &str = "Authentication credentials were not provided.";

/// Lets only holders of a token through.
pub(super) async fn authenticate(State(platform): State<Platform>, mut request: Request, next: Next) -> Response {
    match caller(&platform, request.headers()).await {
        Ok(user) => {
            request.extensions_mut().insert(Caller(user));
            next.run(request).await
        }
        Err(error) => error.into_response(),
    }
}

pub(super) async fn caller(platform: &Platform, headers: &HeaderMap) -> Result<User, Error> {
    let user = platform.user_for_token(token(headers).map_err(Error::Unauthenticated)?).await?;
    let user = user.ok_or(Error::Unauthenticated("Invalid token"))?;
    if user.is_active { Ok(user) } else { Err(Error::Unauthenticated("User inactive or deleted")) }
}

/// The token in `Authorization: token <digits>`, or why there is none.
fn token(headers: &HeaderMap) -> Result<&str, &'static str> {
    let header = headers.get(AUTHORIZATION).ok_or(NO_CREDENTIALS)?;
    let mut words = header.to_str().map_err(|_| "Invalid token")?.split_ascii_whitespace();
    if !words.next().is_some_and(|scheme| scheme.eq_ignore_ascii_case("token")) {
        return Err(NO_CREDENTIALS);
    }
    let token = words.next().ok_or("Invalid token header. No credentials provided.")?;
    match words.next() {
        None => Ok(token),
        Some(_) => Err("Invalid token header. Token string should not contain spaces."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_and_what_can_be_wrong_with_them() {
        let check = |header: &str, expect: Result<&str, &str>| {
            let headers = [(AUTHORIZATION, header.parse().unwrap())].into_iter().collect();
            assert_eq!(token(&headers), expect, "{header:?}");
        };
        check("token abc", Ok("abc"));
        check("Token abc", Ok("abc"));
        check("TOKEN  abc ", Ok("abc"));
        check("token", Err("Invalid token header. No credentials provided."));
        check("token a b", Err("Invalid token header. Token string should not contain spaces."));
        check("Basic abc", Err(NO_CREDENTIALS));
        check("", Err(NO_CREDENTIALS));
        assert_eq!(token(&HeaderMap::new()), Err(NO_CREDENTIALS));
    }
}
