//! Health: what an instance has to show before it gets requests, and for as long as it lives.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::setting::{InvalidSetting, shortened};
use super::{ConfigVars, ProcessType};

/// Most failures in a row that a check may ask for.
pub const ATTEMPTS_MAX: u32 = 1000;
/// Longest of each time of a check, and of all that a start may take.
pub const TIME_MAX: Duration = Duration::from_secs(3600);
/// Failures in a row that make an instance sick, unless the check says otherwise (Dokku).
pub const ATTEMPTS: u32 = 3;
/// Between two attempts of a liveness check, unless it says otherwise (Dokku).
pub const INTERVAL: Duration = Duration::from_secs(5);
/// How long one attempt may take, unless the check says otherwise (Dokku).
pub const TIMEOUT: Duration = Duration::from_secs(5);
/// Longest path of a check, and longest text that an answer has to contain.
pub const TEXT_MAX: usize = 1024;

/// When a check is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CheckKind {
    /// Until its first success; only then does the instance count as healthy.
    Startup,
    /// For the life of the instance.
    Liveness,
}

/// What is asked of an instance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Question {
    /// A GET.
    Http(HttpQuestion),
    /// A command in the instance's container; status 0 is a yes.
    Command(Vec<String>),
    /// Whether the port accepts connections; the instance's own `PORT` when `None`.
    Listening(Option<u16>),
    /// Whether it keeps running for so long.
    Uptime(Duration),
}

/// A GET, and which answers are a yes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HttpQuestion {
    /// Path and query, from the first `/` on.
    pub path: String,
    /// The instance's own `PORT` when `None`.
    pub port: Option<u16>,
    /// Headers beside the platform's own; a `Host` among them goes before the app's.
    pub headers: Vec<(String, String)>,
    /// Statuses that are a yes, as ranges with both ends.
    pub statuses: Vec<(u16, u16)>,
    /// What the body has to contain; anything when empty.
    pub content: String,
}

impl HttpQuestion {
    /// A GET of `path` that is to answer 200 to 399.
    pub fn get(path: &str) -> Self {
        let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
        Self { path, port: None, headers: Vec::new(), statuses: vec![(200, 399)], content: String::new() }
    }

    /// Whether this status is a yes.
    pub fn accepts(&self, status: u16) -> bool {
        self.statuses.iter().any(|(from, to)| (*from..=*to).contains(&status))
    }
}

/// One check of the instances of a process type.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Check {
    /// When it is made.
    pub kind: CheckKind,
    /// What is asked.
    pub question: Question,
    /// Liveness: failures in a row that make an instance sick.
    pub attempts: u32,
    /// Startup: successes in a row that make it healthy.
    pub successes: u32,
    /// Liveness: between the end of an attempt and the next.
    pub interval: Duration,
    /// How long one attempt may take.
    pub timeout: Duration,
    /// From the start of the instance to the first attempt.
    pub initial_delay: Duration,
    /// Startup: how long the instance may take from there; the platform's boot timeout when `None`.
    pub limit: Option<Duration>,
    /// Startup: the limit is never below this.
    pub at_least: Duration,
    /// A failure is only written into the app's log.
    pub only_warns: bool,
}

impl Check {
    /// A check with the defaults of everything but what it asks.
    pub fn new(kind: CheckKind, question: Question) -> Self {
        Self {
            kind,
            question,
            attempts: ATTEMPTS,
            successes: 1,
            interval: INTERVAL,
            timeout: TIMEOUT,
            initial_delay: Duration::ZERO,
            limit: None,
            at_least: Duration::ZERO,
            only_warns: false,
        }
    }

    /// How long an instance may take from its start until it passes, when the platform gives it `boot_timeout`.
    pub fn startup_limit(&self, boot_timeout: Duration) -> Duration {
        let limit = match self.question {
            Question::Uptime(time) => time,
            _ => self.limit.unwrap_or(boot_timeout).max(self.at_least),
        };
        self.initial_delay.saturating_add(limit)
    }
}

impl fmt::Display for Check {
    /// `GET /up`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.question {
            Question::Http(HttpQuestion { path, port: None, .. }) => write!(f, "GET {path}"),
            Question::Http(HttpQuestion { path, port: Some(port), .. }) => write!(f, "GET {path} on port {port}"),
            Question::Command(words) => write!(f, "command '{}'", shortened(&words.join(" "))),
            Question::Listening(None) => f.write_str("its port"),
            Question::Listening(Some(port)) => write!(f, "port {port}"),
            Question::Uptime(time) => write!(f, "running for {} s", time.as_secs_f64()),
        }
    }
}

/// What a build says of the health of its instances.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BuildHealth {
    /// What the tree's `app.json` asks for, by process type.
    #[serde(default)]
    pub app: BTreeMap<ProcessType, Vec<Check>>,
    /// What the image's own `HEALTHCHECK` asks for.
    #[serde(default)]
    pub image: Vec<Check>,
}

impl BuildHealth {
    /// Whether it says nothing.
    pub fn is_empty(&self) -> bool {
        self.app.is_empty() && self.image.is_empty()
    }
}

/// Checks that mean what an image's `HEALTHCHECK` means: at the start until the first success, then at its own interval.
///
/// The start may take as long as its start period, if that is longer than the platform's boot timeout. Times are brought
/// into the bounds of this module: nobody can be told that the image's are out of them.
pub fn of_image(
    command: &[String],
    interval: Duration,
    timeout: Duration,
    start_period: Duration,
    retries: u32,
) -> Vec<Check> {
    let bounded = |time: Duration| time.clamp(Duration::from_secs(1), TIME_MAX);
    let startup = Check {
        timeout: bounded(timeout),
        at_least: start_period.min(TIME_MAX),
        ..Check::new(CheckKind::Startup, Question::Command(command.to_vec()))
    };
    let liveness = Check {
        kind: CheckKind::Liveness,
        attempts: retries.clamp(1, ATTEMPTS_MAX),
        interval: bounded(interval),
        ..startup.clone()
    };
    vec![startup, liveness]
}

const URL: &str = "HEALTHCHECK_URL";
const PORT: &str = "HEALTHCHECK_PORT";
const INITIAL_DELAY: &str = "HEALTHCHECK_INITIAL_DELAY";
const ONE_TIMEOUT: &str = "HEALTHCHECK_TIMEOUT";
const PERIOD: &str = "HEALTHCHECK_PERIOD_SECONDS";
const SUCCESSES: &str = "HEALTHCHECK_SUCCESS_THRESHOLD";
const FAILURES: &str = "HEALTHCHECK_FAILURE_THRESHOLD";

/// The period of liveness checks that config vars ask for (Deis Workflow).
const PERIOD_DEFAULT: Duration = Duration::from_secs(10);

/// The checks that config vars ask for, none without `HEALTHCHECK_URL`: Deis 1.9's names (spec §18), and those that Deis
/// Workflow added. As in Deis 1.9 they are about the start alone, unless `HEALTHCHECK_PERIOD_SECONDS` or
/// `HEALTHCHECK_FAILURE_THRESHOLD` asks for more.
///
/// # Errors
/// The first config var whose value makes no sense.
pub fn of_config(values: &ConfigVars) -> Result<Vec<Check>, InvalidSetting> {
    let text = |name: &str| values.get(name).map(ToString::to_string).filter(|text| !text.is_empty());
    let Some(path) = text(URL) else { return Ok(Vec::new()) };
    let number = |name: &str| text(name).map(|value| whole(name, &value)).transpose();
    let seconds = |name: &str| number(name).map(|count| count.map(|count| Duration::from_secs(u64::from(count))));
    checked_path(&path)?;
    let mut question = HttpQuestion::get(&path);
    question.port = number(PORT)?.map(|port| u16::try_from(port).expect("it was read within its bounds"));
    let startup = Check {
        timeout: seconds(ONE_TIMEOUT)?.unwrap_or(TIMEOUT),
        initial_delay: seconds(INITIAL_DELAY)?.unwrap_or_default(),
        successes: number(SUCCESSES)?.unwrap_or(1),
        ..Check::new(CheckKind::Startup, Question::Http(question))
    };
    let (period, failures) = (seconds(PERIOD)?, number(FAILURES)?);
    if period.is_none() && failures.is_none() {
        return Ok(vec![startup]);
    }
    let liveness = Check {
        kind: CheckKind::Liveness,
        interval: period.unwrap_or(PERIOD_DEFAULT),
        attempts: failures.unwrap_or(ATTEMPTS),
        ..startup.clone()
    };
    Ok(vec![startup, liveness])
}

/// Whether a config var of that name may have that value, as far as health goes.
///
/// # Errors
/// [`InvalidSetting`] says what to give instead.
pub(super) fn check_var(name: &str, value: &str) -> Result<(), InvalidSetting> {
    match name {
        _ if value.is_empty() => Ok(()),
        URL => checked_path(value),
        PORT | INITIAL_DELAY | ONE_TIMEOUT | PERIOD | SUCCESSES | FAILURES => whole(name, value).map(drop),
        _ => Ok(()),
    }
}

fn whole(name: &str, value: &str) -> Result<u32, InvalidSetting> {
    let seconds = u32::try_from(TIME_MAX.as_secs()).expect("an hour is few seconds");
    let (bounds, unit) = match name {
        PORT => (1..=u32::from(u16::MAX), "a port"),
        SUCCESSES | FAILURES => (1..=ATTEMPTS_MAX, "a whole number"),
        INITIAL_DELAY => (0..=seconds, "whole seconds"),
        _ => (1..=seconds, "whole seconds"),
    };
    let number = value.trim().parse().ok().filter(|number| bounds.contains(number));
    number.ok_or_else(|| {
        InvalidSetting::new(name, value, format!("give {unit} from {} to {}", bounds.start(), bounds.end()))
    })
}

fn checked_path(path: &str) -> Result<(), InvalidSetting> {
    let expected = "give a path of the app, such as /healthz";
    if is_path(path) { Ok(()) } else { Err(InvalidSetting::new(URL, path, expected)) }
}

/// Whether this can stand in a request line: visible ASCII, and no whole URL.
pub fn is_path(path: &str) -> bool {
    path.len() <= TEXT_MAX && path.bytes().all(|b| b.is_ascii_graphic() && b != b'#') && !path.contains("://")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ConfigValue;

    fn vars(pairs: &[(&str, &str)]) -> ConfigVars {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), ConfigValue::Text((*value).to_owned()))).collect()
    }

    #[test]
    fn config_vars_of_deis_become_checks() {
        assert_eq!(of_config(&vars(&[])), Ok(vec![]));
        assert_eq!(of_config(&vars(&[(URL, ""), (ONE_TIMEOUT, "2")])), Ok(vec![]));
        let plain = of_config(&vars(&[(URL, "up?full=1")])).unwrap();
        assert_eq!(plain, [Check::new(CheckKind::Startup, Question::Http(HttpQuestion::get("/up?full=1")))]);
        let all =
            [(URL, "/up"), (PORT, "81"), (INITIAL_DELAY, "3"), (ONE_TIMEOUT, "2"), (PERIOD, "7"), (SUCCESSES, "4")];
        let [startup, liveness] = &of_config(&vars(&all)).unwrap()[..] else { panic!("not two checks") };
        assert_eq!(startup.to_string(), "GET /up on port 81");
        assert_eq!((startup.successes, startup.initial_delay.as_secs(), startup.timeout.as_secs()), (4, 3, 2));
        assert_eq!((liveness.kind, liveness.interval.as_secs(), liveness.attempts), (CheckKind::Liveness, 7, 3));
        assert_eq!(of_config(&vars(&[(URL, "/"), (FAILURES, "9")])).unwrap()[1].attempts, 9);
    }

    #[test]
    fn values_that_make_no_sense_are_named() {
        let check = |name: &str, value: &str, expect: &str| {
            let error = check_var(name, value).unwrap_err().to_string();
            assert!(error.contains(name) && error.contains(expect), "{error}");
            assert!(of_config(&vars(&[(URL, "/"), (name, value)])).is_err(), "{name}={value}");
        };
        check(URL, "http://example.com/up", "give a path");
        check(URL, "/a b", "give a path");
        check(PORT, "70000", "from 1 to 65535");
        check(ONE_TIMEOUT, "0", "whole seconds from 1 to 3600");
        check(INITIAL_DELAY, "-1", "from 0 to 3600");
        check(PERIOD, "5s", "whole seconds");
        check(SUCCESSES, "0", "from 1 to 1000");
        for (name, value) in [("OTHER", "x y"), (URL, ""), (PORT, ""), (INITIAL_DELAY, "0")] {
            assert_eq!(check_var(name, value), Ok(()));
        }
    }

    #[test]
    fn the_time_for_a_start_is_the_platforms_unless_the_check_has_its_own() {
        let boot = Duration::from_secs(60);
        let mut check = Check::new(CheckKind::Startup, Question::Listening(None));
        assert_eq!(check.startup_limit(boot), boot);
        check.initial_delay = Duration::from_secs(5);
        assert_eq!(check.startup_limit(boot).as_secs(), 65);
        check.limit = Some(Duration::from_secs(20));
        assert_eq!(check.startup_limit(boot).as_secs(), 25);
        let image = of_image(&["true".to_owned()], Duration::ZERO, boot, Duration::from_secs(90), 0);
        assert_eq!(image[0].startup_limit(boot).as_secs(), 90);
        assert_eq!((image[1].attempts, image[1].interval.as_secs()), (1, 1));
    }

    #[test]
    fn what_is_stored_is_read_back() {
        let image = of_image(&["curl".to_owned(), "-f".to_owned()], INTERVAL, TIMEOUT, Duration::ZERO, 3);
        let app = of_config(&vars(&[(URL, "/up"), (PERIOD, "7")])).unwrap();
        let health = BuildHealth { app: [(ProcessType::web(), app)].into(), image };
        let text = serde_json::to_string(&health).unwrap();
        assert_eq!(serde_json::from_str::<BuildHealth>(&text).unwrap(), health);
        assert!(serde_json::from_str::<BuildHealth>("{}").unwrap().is_empty());
    }
}
