//! The public HTTP side: the API as its clients use it, and apps as their visitors do.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use reqwest::{Client, Method};
use serde_json::{Value, json};
use tokio::time::{MissedTickBehavior, interval};

use crate::server::Addresses;

/// Between two requests of who waits for a release, on both sides.
const POLL: Duration = Duration::from_millis(10);
/// How long a deploy may take.
const DEPLOY_LIMIT: Duration = Duration::from_secs(60);
/// How long one request to the API may take.
const CALL_LIMIT: Duration = Duration::from_secs(60);
/// How long one request to an app may take.
const ASK_LIMIT: Duration = Duration::from_secs(5);

/// Calls the API as one person.
#[derive(Debug, Clone)]
pub struct Api {
    client: Client,
    base: String,
    token: String,
}

impl Api {
    /// Registers a person and signs in.
    pub async fn register(addresses: &Addresses) -> Result<Self> {
        Self::register_as(addresses, "bench").await
    }

    /// Registers somebody and signs in.
    pub async fn register_as(addresses: &Addresses, name: &str) -> Result<Self> {
        let client = Client::builder().no_proxy().timeout(CALL_LIMIT).build()?;
        let mut api = Self { client, base: format!("http://{}/v1", addresses.api), token: String::new() };
        let person = json!({ "username": name, "password": "only-for-this-run", "email": "bench@example.com" });
        api.post("/auth/register/", &person).await?;
        let answer = api.post("/auth/login/", &person).await?;
        api.token = answer["token"].as_str().context("the answer to the sign-in holds no token")?.to_owned();
        Ok(api)
    }

    /// What the person proves themselves with.
    pub fn token(&self) -> &str {
        &self.token
    }

    /// Sets config values.
    pub async fn set_config(&self, app: &str, values: &Value) -> Result<()> {
        self.post(&format!("/apps/{app}/config"), &json!({ "values": values })).await.map(drop)
    }

    /// Adds a public key.
    pub async fn add_key(&self, public: &str) -> Result<()> {
        self.post("/keys/", &json!({ "id": "bench", "public": public })).await.map(drop)
    }

    /// Creates an app.
    pub async fn create_app(&self, app: &str) -> Result<()> {
        self.post("/apps/", &json!({ "id": app })).await.map(drop)
    }

    /// Destroys an app.
    pub async fn destroy_app(&self, app: &str) -> Result<()> {
        let request = self.client.delete(format!("{}/apps/{app}", self.base));
        let answer = request.header("Authorization", format!("token {}", self.token)).send().await?;
        if !answer.status().is_success() {
            bail!("DELETE /apps/{app} answered {}: {}", answer.status(), answer.text().await?);
        }
        Ok(())
    }

    /// Sets how many instances of each type run; yields once they do.
    pub async fn scale(&self, app: &str, counts: &Value) -> Result<()> {
        self.post(&format!("/apps/{app}/scale"), counts).await.map(drop)
    }

    /// Rolls an app back; yields once that is done.
    pub async fn rollback(&self, app: &str, version: u64) -> Result<()> {
        self.post(&format!("/apps/{app}/releases/rollback/"), &json!({ "version": version })).await.map(drop)
    }

    async fn post(&self, path: &str, body: &Value) -> Result<Value> {
        let mut request = self.client.request(Method::POST, format!("{}{path}", self.base)).json(body);
        if !self.token.is_empty() {
            request = request.header("Authorization", format!("token {}", self.token));
        }
        let response = request.send().await.with_context(|| format!("POST {path}"))?;
        let (status, text) = (response.status(), response.text().await?);
        if !status.is_success() {
            bail!("POST {path} answered {status}: {text}");
        }
        Ok(serde_json::from_str(&text).unwrap_or_default())
    }
}

/// A place where an app answers.
#[derive(Debug, Clone)]
pub struct Page {
    client: Client,
    url: String,
    host: String,
}

impl Page {
    /// An app at `address`, which tells apps by their host names.
    pub fn new(address: &str, host: &str) -> Result<Self> {
        // A connection per request on both sides: one that is kept would go on reaching the old instance by hand.
        let client = Client::builder().no_proxy().pool_max_idle_per_host(0).timeout(ASK_LIMIT).build()?;
        Ok(Self { client, url: format!("http://{address}/"), host: host.to_owned() })
    }

    /// The release that answers, if one does.
    pub async fn release(&self) -> Option<String> {
        let response = self.client.get(&self.url).header("Host", &self.host).send().await.ok()?;
        let page: Value = response.error_for_status().ok()?.json().await.ok()?;
        Some(page["release"].as_str()?.to_owned())
    }

    /// Asks until `release` answers; yields when it first did.
    pub async fn until(&self, release: &str) -> Result<Instant> {
        let mut ticks = ticks();
        let mut last = None;
        let began = Instant::now();
        while began.elapsed() < DEPLOY_LIMIT {
            ticks.tick().await;
            last = self.release().await;
            if last.as_deref() == Some(release) {
                return Ok(Instant::now());
            }
        }
        bail!("{release} of {} does not answer after {} s, but {last:?}", self.host, DEPLOY_LIMIT.as_secs())
    }

    /// Asks as often as [`Page::until`] does, for ever: a by-hand deploy has to share the machine with as many requests.
    pub async fn keep_asking(&self) -> Result<std::convert::Infallible> {
        let mut ticks = ticks();
        loop {
            ticks.tick().await;
            self.release().await;
        }
    }
}

fn ticks() -> tokio::time::Interval {
    let mut ticks = interval(POLL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}
