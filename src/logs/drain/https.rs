//! Delivery by POST, as Heroku's logplex does (<https://devcenter.heroku.com/articles/log-drains#https-drains>).

use reqwest::header::CONTENT_TYPE;
use reqwest::{Client, Response, StatusCode, Url};
use tokio::time::timeout;

use super::task::{Batch, Trouble};
use super::{DrainSettings, LogDrains, connect, frame};
use crate::model::{AppName, DrainUrl, LogDrainId};
use crate::outbound::failure;

/// Most bytes of an answer that are read, so that its connection can be used again.
const ANSWER_BYTES: usize = 64 << 10;

/// A receiver that is posted to.
pub(super) struct Https {
    /// Made for the addresses that the host had; made anew after a failure.
    client: Option<Client>,
}

impl Https {
    pub(super) fn new() -> Self {
        Self { client: None }
    }

    /// Posts a batch. The same batch carries the same frame id in every try, so that a receiver can tell a repetition.
    pub(super) async fn deliver(
        &mut self,
        drains: &LogDrains,
        (id, url): (LogDrainId, &DrainUrl),
        app: &AppName,
        batch: &Batch,
    ) -> Result<(), Trouble> {
        let settings = &drains.0.settings;
        let client = match self.client.take() {
            Some(client) => client,
            None => client(drains, url).await.map_err(Trouble::Again)?,
        };
        let mut body = Vec::new();
        batch.lines.iter().for_each(|line| frame::encode(app, line, "\n", &mut body));
        let address = Url::parse(url.as_str()).map_err(|error| Trouble::Again(error.to_string()))?;
        let request = client
            .post(address)
            .header(CONTENT_TYPE, "application/logplex-1")
            .header("Logplex-Msg-Count", batch.lines.len())
            .header("Logplex-Frame-Id", &batch.id)
            .header("Logplex-Drain-Token", format!("d.{id}"))
            .body(body);
        let asked = async { read(request.send().await?).await };
        let status = match timeout(settings.deliver, asked).await {
            Ok(Ok(status)) => status,
            Ok(Err(error)) => return Err(Trouble::Again(format!("cannot deliver: {}", failure(&error)))),
            Err(_) => {
                let limit = settings.deliver.as_secs_f32();
                return Err(Trouble::Again(format!("no answer within {limit} s")));
            }
        };
        self.client = Some(client);
        outcome(status)
    }

    /// Forgets the addresses.
    pub(super) fn reset(&mut self) {
        self.client = None;
    }
}

/// What an answer means for the batch.
fn outcome(status: StatusCode) -> Result<(), Trouble> {
    let text = format!("the receiver answers {status}");
    match status.as_u16() {
        _ if status.is_success() => Ok(()),
        // These say that the batch is at fault: it would be refused for ever, and hold up all that follow.
        400 | 413 | 422 => Err(Trouble::Refused(text)),
        300..400 => Err(Trouble::Again(format!("{text}; give the drain the address that it redirects to"))),
        _ => Err(Trouble::Again(text)),
    }
}

async fn client(drains: &LogDrains, url: &DrainUrl) -> Result<Client, String> {
    let settings: &DrainSettings = &drains.0.settings;
    let client = connect::pin(url, settings).await?.http_client();
    let made = client
        .connect_timeout(settings.connect)
        .pool_max_idle_per_host(1)
        .use_preconfigured_tls((*drains.tls().await).clone())
        .build();
    made.map_err(|error| failure(&error).to_owned())
}

async fn read(mut answer: Response) -> Result<StatusCode, reqwest::Error> {
    let mut read = 0;
    while let Some(chunk) = answer.chunk().await? {
        read += chunk.len();
        if read > ANSWER_BYTES {
            break;
        }
    }
    Ok(answer.status())
}
