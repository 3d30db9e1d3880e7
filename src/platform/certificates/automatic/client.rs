//! How an authority is spoken to: bounded in time and size, and what it says about when to come again is not lost.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::header::RETRY_AFTER;
use http_body_util::{BodyExt, Limited};
use instant_acme::{Account, AccountCredentials, BodyWrapper, BytesResponse, Error, HttpClient, NewAccount};

use super::order::AcmeError;

/// How long one answer may take.
const ANSWER_LIMIT: Duration = Duration::from_secs(30);
/// Most bytes of an answer; a chain of certificates has some thousands.
const ANSWER_BYTES: usize = 1 << 20;

/// Makes an account at the authority; yields its credentials, too, for [`restore`]. Asking for one agrees to the authority's
/// terms of service.
pub(super) async fn register(directory: &str, email: &str, wait: &Wait) -> Result<(Account, String), AcmeError> {
    let contact = format!("mailto:{email}");
    let new = NewAccount { contact: &[&contact], terms_of_service_agreed: true, only_return_existing: false };
    let builder = Account::builder_with_http(Box::new(Client::new(wait)?));
    let (account, credentials) = builder.create(&new, directory.to_owned(), None).await?;
    let credentials = serde_json::to_string(&credentials).map_err(Error::from)?;
    Ok((account, credentials))
}

/// The account of these credentials.
pub(super) async fn restore(credentials: &str, wait: &Wait) -> Result<Account, AcmeError> {
    let credentials: AccountCredentials = serde_json::from_str(credentials).map_err(Error::from)?;
    Ok(Account::builder_with_http(Box::new(Client::new(wait)?)).from_credentials(credentials).await?)
}

/// Until when an authority wants to be left alone, if it said so. Cheap to clone; clones are the same.
#[derive(Debug, Clone, Default)]
pub(super) struct Wait(Arc<Mutex<Option<SystemTime>>>);

impl Wait {
    /// How long that still is.
    pub fn left(&self) -> Option<Duration> {
        let until = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        until?.duration_since(SystemTime::now()).ok()
    }

    /// Keeps `Retry-After` of an answer that says "too often" or "not now" (RFC 8555 §6.6); in seconds or as a date.
    fn note(&self, answer: &http::response::Parts) {
        if ![429, 503].contains(&answer.status.as_u16()) {
            return;
        }
        let Some(text) = answer.headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok()) else { return };
        let seconds = text.trim().parse().ok().map(|seconds| SystemTime::now() + Duration::from_secs(seconds));
        let until = seconds.or_else(|| httpdate::parse_http_date(text).ok());
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = until;
    }
}

struct Client {
    http: reqwest::Client,
    wait: Wait,
}

impl Client {
    fn new(wait: &Wait) -> Result<Self, AcmeError> {
        let client = reqwest::Client::builder().https_only(true).timeout(ANSWER_LIMIT).build();
        let http = client.map_err(|error| Error::Other(error.into()))?;
        Ok(Self { http, wait: wait.clone() })
    }
}

impl HttpClient for Client {
    fn request(
        &self,
        request: http::Request<BodyWrapper<Bytes>>,
    ) -> Pin<Box<dyn Future<Output = Result<BytesResponse, Error>> + Send>> {
        let (http, wait) = (self.http.clone(), self.wait.clone());
        Box::pin(async move { exchange(http, wait, request).await.map_err(Error::Other) })
    }
}

async fn exchange(
    client: reqwest::Client,
    wait: Wait,
    request: http::Request<BodyWrapper<Bytes>>,
) -> Result<BytesResponse, Box<dyn std::error::Error + Send + Sync>> {
    let (head, body) = request.into_parts();
    let body = body.collect().await?.to_bytes();
    let asked = client.request(head.method, head.uri.to_string()).headers(head.headers).body(body);
    let response: http::Response<reqwest::Body> = asked.send().await?.into();
    let (parts, body) = response.into_parts();
    let body = Limited::new(body, ANSWER_BYTES).collect().await?.to_bytes();
    wait.note(&parts);
    Ok(BytesResponse { parts, body: Box::new(body) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_authority_says_how_long_it_wants_to_be_left_alone() {
        let check = |status: u16, retry_after: &str, expect: std::ops::Range<u64>| {
            let wait = Wait::default();
            let answer = http::Response::builder().status(status).header(RETRY_AFTER, retry_after);
            wait.note(&answer.body(()).unwrap().into_parts().0);
            let left = wait.left().map_or(0, |left| left.as_secs());
            assert!(expect.contains(&left), "{status} {retry_after}: {left}");
        };
        check(429, "3600", 3590..3601);
        check(503, &httpdate::fmt_http_date(SystemTime::now() + Duration::from_secs(120)), 100..121);
        check(429, "soon", 0..1);
        check(200, "3600", 0..1);
    }
}
