//! Asking an instance: once, and often until the first yes. Always from the host.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use futures_util::future::try_join_all;
use http_body_util::{BodyExt, Empty};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1;
use hyper::header::{HOST, USER_AGENT};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};

use super::{RolloutSettings, Target, spec};
use crate::engine::{Container, Engine, EngineError, ExitStatus};
use crate::model::{Check, HttpQuestion, Question};

/// Between two attempts at first: short, so that a fast app is switched to at once.
const FIRST_PAUSE: Duration = Duration::from_millis(25);
/// Between two attempts at a slow start.
const LONGEST_PAUSE: Duration = Duration::from_millis(250);
/// So much of a body is looked through for what it has to contain.
const BODY_MAX: usize = 1 << 20;
/// So much of a command's output is quoted.
const QUOTED: usize = 300;

/// Who is asked.
#[derive(Debug, Clone)]
pub(super) struct Subject {
    container: String,
    ip: Option<IpAddr>,
    port: u16,
    host: String,
    /// Whether commands need the environment that a slug's entry point sets up.
    is_slug: bool,
}

/// Why an instance is not healthy.
#[derive(Debug)]
pub(super) enum ProbeError {
    /// It ended.
    Exited(ExitStatus),
    /// Time is up.
    TimedOut(Box<Failed>),
    /// The engine failed.
    Engine(EngineError),
}

/// A check that an instance did not pass in time.
#[derive(Debug)]
pub(super) struct Failed {
    pub check: Check,
    /// What came of the last attempt.
    pub last: String,
    /// How long the instance was given.
    pub limit: Duration,
}

impl Subject {
    /// An instance of the target in its container.
    pub fn new(settings: &RolloutSettings, target: &Target, container: &Container) -> Self {
        Self {
            container: container.id.clone(),
            ip: container.ip,
            port: spec::port(target),
            host: format!("{}.{}", target.app.name, settings.domain),
            is_slug: target.build.kind == crate::model::BuildKind::Slug,
        }
    }

    /// Polls until every check has passed, each in its own time; yields those that failed and may.
    /// Cancel-safe: it changes nothing.
    ///
    /// # Errors
    /// [`ProbeError::Exited`] as soon as the container ends, [`ProbeError::TimedOut`] for the first check whose time is up.
    pub async fn until_healthy(
        &self,
        engine: &dyn Engine,
        checks: &[Check],
        boot_timeout: Duration,
    ) -> Result<Vec<Failed>, ProbeError> {
        let passing = try_join_all(checks.iter().map(async |check| {
            match self.until_passed(engine, check, check.startup_limit(boot_timeout)).await {
                Ok(()) => Ok(None),
                Err(failed) if check.only_warns => Ok(Some(failed)),
                Err(failed) => Err(ProbeError::TimedOut(Box::new(failed))),
            }
        }));
        tokio::select! {
            biased;
            passed = passing => Ok(passed?.into_iter().flatten().collect()),
            ended = engine.wait_container(&self.container) => match ended {
                Ok(status) => Err(ProbeError::Exited(status)),
                Err(error) => Err(ProbeError::Engine(error)),
            },
        }
    }

    async fn until_passed(&self, engine: &dyn Engine, check: &Check, limit: Duration) -> Result<(), Failed> {
        let began = Instant::now();
        sleep(check.initial_delay.min(limit)).await;
        if let Question::Uptime(time) = check.question {
            sleep(time).await;
            return Ok(());
        }
        let mut in_a_row = 0;
        loop {
            let last = match self.ask(engine, check).await {
                Ok(()) => {
                    in_a_row += 1;
                    if in_a_row >= check.successes {
                        return Ok(());
                    }
                    format!("{in_a_row} of {} successes in a row", check.successes)
                }
                Err(why) => {
                    in_a_row = 0;
                    why
                }
            };
            if began.elapsed() >= limit {
                return Err(Failed { check: check.clone(), last, limit });
            }
            sleep((began.elapsed() / 20).clamp(FIRST_PAUSE, LONGEST_PAUSE)).await;
        }
    }

    /// One attempt, in the check's own time.
    ///
    /// # Errors
    /// What came instead of a yes: `answered 500`.
    pub async fn ask(&self, engine: &dyn Engine, check: &Check) -> Result<(), String> {
        let attempt = async {
            match &check.question {
                Question::Http(question) => self.get(question).await,
                Question::Listening(port) => self.connect(*port).await.map(drop),
                Question::Command(words) => self.execute(engine, words, check.timeout).await,
                Question::Uptime(_) => Ok(()),
            }
        };
        // The engine needs a moment more, to end a command that takes too long.
        let margin =
            if matches!(check.question, Question::Command(_)) { Duration::from_secs(30) } else { Duration::ZERO };
        let late = || format!("no answer in {} s", check.timeout.as_secs());
        timeout(check.timeout + margin, attempt).await.unwrap_or_else(|_| Err(late()))
    }

    async fn connect(&self, port: Option<u16>) -> Result<TcpStream, String> {
        let ip = self.ip.ok_or("the container has no address")?;
        let address = SocketAddr::new(ip, port.unwrap_or(self.port));
        TcpStream::connect(address).await.map_err(|error| format!("connecting: {error}"))
    }

    async fn get(&self, question: &HttpQuestion) -> Result<(), String> {
        let stream = self.connect(question.port).await?;
        let (mut sender, connection) =
            http1::handshake(TokioIo::new(stream)).await.map_err(|error| format!("connecting: {error}"))?;
        let mut request = Request::get(question.path.as_str()).header(USER_AGENT, "Slipway-Health-Check");
        if !question.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("host")) {
            request = request.header(HOST, self.host.as_str());
        }
        for (name, value) in &question.headers {
            request = request.header(name, value);
        }
        let request = request.body(Empty::<Bytes>::new()).map_err(|error| format!("the request: {error}"))?;
        let asking = async {
            let answer = sender.send_request(request).await.map_err(|error| format!("no answer: {error}"))?;
            judge(question, answer).await
        };
        // The connection moves only while it is polled, and may end with what it has handed over still to be read.
        tokio::pin!(asking);
        tokio::select! {
            judged = &mut asking => judged,
            _ended = connection => asking.await,
        }
    }

    async fn execute(&self, engine: &dyn Engine, words: &[String], limit: Duration) -> Result<(), String> {
        let words = if self.is_slug { spec::in_slug(words) } else { words.to_vec() };
        match engine.exec(&self.container, &words, limit).await {
            Ok(executed) if executed.status == 0 => Ok(()),
            Ok(executed) => {
                let output = executed.output.split_whitespace().collect::<Vec<_>>().join(" ");
                let from = output.char_indices().rev().nth(QUOTED - 1).map_or(0, |(start, _)| start);
                let said = if output.is_empty() { "nothing" } else { &output[from..] };
                Err(format!("ended with status {}, saying: {said}", executed.status))
            }
            Err(EngineError::TimedOut { .. }) => Err(format!("did not end in {} s", limit.as_secs())),
            Err(error) => Err(error.to_string()),
        }
    }
}

/// Whether an answer is a yes; the body is read only where something is expected of it.
async fn judge(question: &HttpQuestion, answer: Response<Incoming>) -> Result<(), String> {
    let status = answer.status();
    if !question.accepts(status.as_u16()) {
        return Err(format!("answered {status}"));
    }
    let content = question.content.as_bytes();
    if content.is_empty() {
        return Ok(());
    }
    let mut body = answer.into_body();
    let mut read: Vec<u8> = Vec::new();
    let has_it = |read: &[u8]| read.windows(content.len()).any(|window| window == content);
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| format!("answered {status}, then broke off: {error}"))?;
        let Ok(data) = frame.into_data() else { continue };
        // What is new, and what may be the beginning of a match before it.
        let from = (read.len() + 1).saturating_sub(content.len());
        read.extend_from_slice(&data);
        if has_it(&read[from..]) {
            return Ok(());
        }
        if read.len() > BODY_MAX {
            break;
        }
    }
    Err(format!("answered {status} without '{}' in its body", question.content))
}
