//! An HTTP answer, with everything that a client could look at.

use hyper::ext::ReasonPhrase;
use reqwest::header::HeaderMap;
use serde_json::Value;

/// Status line, headers and body.
#[derive(Debug)]
pub struct Answer {
    /// What was asked, for messages.
    pub asked: String,
    /// Status code.
    pub status: u16,
    /// The words behind it, as they came over the wire.
    pub reason: String,
    pub headers: HeaderMap,
    pub text: String,
}

impl Answer {
    /// Sends the request and reads the whole answer.
    pub async fn to(request: reqwest::RequestBuilder, asked: impl Into<String>) -> Result<Self, String> {
        let asked = asked.into();
        let failed = |error: reqwest::Error| format!("{asked}: {error:?}");
        let response = request.send().await.map_err(failed)?;
        let status = response.status();
        // The client keeps the words only where they are not the usual ones.
        let reason = match response.extensions().get::<ReasonPhrase>() {
            Some(reason) => String::from_utf8_lossy(reason.as_bytes()).into_owned(),
            None => status.canonical_reason().unwrap_or_default().to_owned(),
        };
        let headers = response.headers().clone();
        let text = response.text().await.map_err(failed)?;
        Ok(Self { status: status.as_u16(), reason, headers, text, asked })
    }

    /// This answer, if it has that status.
    #[track_caller]
    pub fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{} answered {} {}: {}", self.asked, self.status, self.reason, self.text);
        self
    }

    /// The body as JSON.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text)
            .unwrap_or_else(|error| panic!("{}: no JSON ({error}): {}", self.asked, self.text))
    }

    /// A header's value; empty when there is none.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap_or("(not ASCII)"))
    }

    /// `400 BAD REQUEST`
    pub fn line(&self) -> String {
        format!("{} {}", self.status, self.reason)
    }
}
