//! Accounts, and who is calling (spec §1.4, §3).

use axum::Json;
use axum::extract::{FromRequestParts, Request, State};
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::body::{Fields, Problem, Problems};
use super::error::Error;
use super::wire;
use crate::model::{USERNAME_MAX, User, Username};
use crate::platform::{NewAccount, Platform};

/// Longest first or last name (Django's user model).
const NAME_MAX: usize = 30;
/// Longest e-mail address (RFC 5321 §4.5.3.1).
const EMAIL_MAX: usize = 254;

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

async fn caller(platform: &Platform, headers: &HeaderMap) -> Result<User, Error> {
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

/// `POST /auth/register`. A token is not asked for, but an administrator's counts where registration is not open.
pub(super) async fn register(
    State(platform): State<Platform>,
    headers: HeaderMap,
    fields: Fields,
) -> Result<(StatusCode, Json<wire::User>), Error> {
    let by = caller(&platform, &headers).await.ok();
    let user = platform.register(by.as_ref(), account(&fields)?).await?;
    Ok((StatusCode::CREATED, Json(user.into())))
}

/// `POST /auth/login`
pub(super) async fn log_in(State(platform): State<Platform>, fields: Fields) -> Result<Json<wire::Token>, Error> {
    let mut problems = Problems::default();
    let username = problems.noted(fields.required("username", usize::MAX));
    let password = problems.noted(fields.required("password", usize::MAX));
    problems.into_result()?;
    let token = platform.log_in(&username, &password).await?;
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
    let is_valid =
        text.is_empty() || text.rsplit_once('@').is_some_and(|(local, host)| is_local(local) && is_host(host));
    if is_valid { Ok(text) } else { Err(Problem::new("email", "Enter a valid email address.")) }
}

fn is_local(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| !c.is_whitespace() && !c.is_control() && c != '@')
}

fn is_host(text: &str) -> bool {
    let is_label = |label: &str| {
        !label.is_empty()
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.chars().all(|c| c.is_alphanumeric() || c == '-')
    };
    text == "localhost" || (text.contains('.') && text.split('.').all(is_label))
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

    #[test]
    fn addresses() {
        for good in ["a@example.com", "a+b@x-y.example.co", "é@exämple.de", "a@localhost"] {
            let (local, host) = good.rsplit_once('@').unwrap();
            assert!(is_local(local) && is_host(host), "{good}");
        }
        for bad in ["@example.com", "a b@example.com", "a@b@example.com", "a@example", "a@-x.com", "a@x..com", "a@.com"]
        {
            let (local, host) = bad.rsplit_once('@').unwrap();
            assert!(!(is_local(local) && is_host(host)), "{bad}");
        }
    }
}
