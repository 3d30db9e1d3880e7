//! `healthchecks` of `app.json`: what instances of each process type have to show.
//!
//! The format is Dokku's (<https://dokku.com/docs/deployment/zero-downtime-deploys/>), with the member `status` beside it.
//! Members of a check that Slipway has no use for (`description`, `onFailure`, ...) are passed over, and so are checks of
//! type `readiness`, as Dokku does on a single machine.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::time::Duration;

use serde_json::{Map, Value};

use super::app_json::InvalidAppJson;
use crate::model::health::{ATTEMPTS, ATTEMPTS_MAX, INTERVAL, TEXT_MAX, TIME_MAX, TIMEOUT, is_path};
use crate::model::{Check, CheckKind, HttpQuestion, ProcessType, Question};

/// Most checks of one process type.
const CHECKS_MAX: usize = 20;
/// What a check is about that names nothing (Dokku).
const UPTIME: Duration = Duration::from_secs(10);

/// Reads the member.
pub(super) fn parse(member: &BTreeMap<String, Value>) -> Result<BTreeMap<ProcessType, Vec<Check>>, InvalidAppJson> {
    let mut all = BTreeMap::new();
    for (name, value) in member {
        let wrong = |problem: &str| InvalidAppJson(format!("healthchecks.{name} {problem}"));
        let process: ProcessType = name.parse().map_err(|error| InvalidAppJson(format!("healthchecks: {error}")))?;
        let entries = value.as_array().ok_or_else(|| wrong("is not a list of checks"))?;
        if entries.len() > CHECKS_MAX {
            return Err(wrong(&format!("has more than {CHECKS_MAX} checks")));
        }
        let mut checks = Vec::new();
        for (index, entry) in entries.iter().enumerate() {
            let place = format!("healthchecks.{name}[{index}]");
            let object = entry.as_object().ok_or_else(|| InvalidAppJson(format!("{place} is not an object")))?;
            checks.extend(Entry { place, object }.check()?);
        }
        if !checks.is_empty() {
            all.insert(process, checks);
        }
    }
    Ok(all)
}

/// One check as the file has it.
struct Entry<'a> {
    place: String,
    object: &'a Map<String, Value>,
}

impl Entry<'_> {
    /// The check; `None` for one that Slipway has no use for.
    fn check(&self) -> Result<Option<Check>, InvalidAppJson> {
        let kind = match self.text("type")?.unwrap_or_default() {
            "" | "startup" => CheckKind::Startup,
            "liveness" => CheckKind::Liveness,
            "readiness" => return Ok(None),
            other => return Err(self.wrong("type", &format!("is '{other}'; there are startup and liveness"))),
        };
        let question = self.question()?;
        // Slipway sees by itself that an instance ends.
        if kind == CheckKind::Liveness && matches!(question, Question::Uptime(_)) {
            return Ok(None);
        }
        let attempts = self.count("attempts", 1..=u64::from(ATTEMPTS_MAX))?;
        let wait = self.seconds("wait", 0)?;
        let timeout = self.seconds("timeout", 1)?.unwrap_or(TIMEOUT);
        let attempts_or = attempts.and_then(|count| u32::try_from(count).ok()).unwrap_or(ATTEMPTS);
        // As long as Dokku would take at most; a check that says nothing of it has the platform's boot timeout.
        let says = attempts.is_some() || wait.is_some();
        let limit = says.then(|| (wait.unwrap_or(INTERVAL) + timeout).saturating_mul(attempts_or));
        let initial_delay = self.seconds("initialDelay", 0)?.unwrap_or_default();
        if kind == CheckKind::Startup && initial_delay + limit.unwrap_or_default() > TIME_MAX {
            let most = TIME_MAX.as_secs();
            return Err(
                self.whole(&format!("takes more than {most} s with all its attempts; ask for fewer or shorter ones"))
            );
        }
        Ok(Some(Check {
            attempts: attempts_or,
            interval: wait.unwrap_or(INTERVAL).max(Duration::from_secs(1)),
            timeout,
            initial_delay,
            limit,
            only_warns: self.flag("warn")?,
            ..Check::new(kind, question)
        }))
    }

    fn question(&self) -> Result<Question, InvalidAppJson> {
        let port = self.count("port", 1..=u64::from(u16::MAX))?.and_then(|port| u16::try_from(port).ok());
        let uptime = self.count("uptime", 0..=TIME_MAX.as_secs())?.filter(|seconds| *seconds > 0);
        let command = self.command()?;
        let is_listening = self.flag("listening")?;
        let has_path = self.text("path")?.is_some();
        let asked = [has_path, command.is_some(), is_listening, uptime.is_some()];
        if asked.into_iter().filter(|is_asked| *is_asked).count() > 1 {
            return Err(self.whole("names several of path, command, listening and uptime; make a check of each"));
        }
        let content = self.text("content")?.unwrap_or_default();
        if !content.is_empty() && (command.is_some() || is_listening || uptime.is_some()) {
            return Err(self.wrong("content", "goes with path only"));
        }
        if let Some(words) = command {
            Ok(Question::Command(words))
        } else if is_listening {
            Ok(Question::Listening(port))
        } else if let Some(seconds) = uptime {
            Ok(Question::Uptime(Duration::from_secs(seconds)))
        } else if has_path || !content.is_empty() {
            self.http(port, content).map(Question::Http)
        } else {
            Ok(Question::Uptime(UPTIME))
        }
    }

    fn http(&self, port: Option<u16>, content: &str) -> Result<HttpQuestion, InvalidAppJson> {
        let path = self.text("path")?.unwrap_or("/");
        if !is_path(path) {
            return Err(self.wrong("path", &format!("is '{path}'; give a path of the app, such as /healthz")));
        }
        if content.len() > TEXT_MAX {
            return Err(self.wrong("content", &format!("is longer than {TEXT_MAX} bytes")));
        }
        match self.text("scheme")?.unwrap_or_default() {
            "" | "http" => {}
            other => return Err(self.wrong("scheme", &format!("is '{other}'; instances are asked by http"))),
        }
        let mut question = HttpQuestion { port, content: content.to_owned(), ..HttpQuestion::get(path) };
        question.headers = self.headers()?;
        if let Some(statuses) = self.statuses()? {
            question.statuses = statuses;
        }
        Ok(question)
    }

    /// Words, or a text for a shell.
    fn command(&self) -> Result<Option<Vec<String>>, InvalidAppJson> {
        let words = match self.object.get("command") {
            None | Some(Value::Null) => return Ok(None),
            Some(Value::String(text)) if text.trim().is_empty() => return Ok(None),
            Some(Value::String(text)) => vec!["/bin/sh".to_owned(), "-c".to_owned(), text.clone()],
            Some(Value::Array(words)) => {
                let words: Option<Vec<String>> = words.iter().map(|word| word.as_str().map(str::to_owned)).collect();
                words.ok_or_else(|| self.wrong("command", "is not a list of texts"))?
            }
            Some(_) => return Err(self.wrong("command", "is neither a text nor a list of texts")),
        };
        if words.iter().any(|word| word.contains('\0')) || words.first().is_some_and(String::is_empty) {
            return Err(self.wrong("command", "cannot be run"));
        }
        Ok((!words.is_empty()).then_some(words))
    }

    fn headers(&self) -> Result<Vec<(String, String)>, InvalidAppJson> {
        let list = match self.object.get("httpHeaders") {
            None | Some(Value::Null) => return Ok(Vec::new()),
            Some(value) => value.as_array().ok_or_else(|| self.wrong("httpHeaders", "is not a list"))?,
        };
        let header = |entry: &Value| {
            let (name, value) = (entry.get("name")?.as_str()?, entry.get("value")?.as_str()?);
            let is_name = !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
            let is_value = value.len() <= TEXT_MAX && value.bytes().all(|b| b == b' ' || b.is_ascii_graphic());
            (is_name && is_value).then(|| (name.to_owned(), value.to_owned()))
        };
        let headers: Option<Vec<_>> = list.iter().map(header).collect();
        headers.ok_or_else(|| {
            self.wrong("httpHeaders", "has an entry that is no {\"name\": ..., \"value\": ...} of a header")
        })
    }

    /// `204`, `"200-299"`, or a list of these.
    fn statuses(&self) -> Result<Option<Vec<(u16, u16)>>, InvalidAppJson> {
        let value = match self.object.get("status") {
            None | Some(Value::Null) => return Ok(None),
            Some(Value::Array(list)) if list.is_empty() => return Ok(None),
            Some(Value::Array(list)) => list.clone(),
            Some(single) => vec![single.clone()],
        };
        let range = |value: &Value| {
            let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            let (from, to) = text.split_once('-').unwrap_or((&text, &text));
            let (from, to) = (from.trim().parse().ok()?, to.trim().parse().ok()?);
            (100 <= from && from <= to && to <= 599).then_some((from, to))
        };
        let ranges: Option<Vec<_>> = value.iter().map(range).collect();
        let expected = "is not a status such as 200, a range such as \"200-299\", or a list of these";
        ranges.map(Some).ok_or_else(|| self.wrong("status", expected))
    }

    fn text(&self, name: &str) -> Result<Option<&str>, InvalidAppJson> {
        match self.object.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) if text.is_empty() => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(self.wrong(name, "is not a text")),
        }
    }

    fn flag(&self, name: &str) -> Result<bool, InvalidAppJson> {
        match self.object.get(name) {
            None | Some(Value::Null) => Ok(false),
            Some(value) => value.as_bool().ok_or_else(|| self.wrong(name, "is neither true nor false")),
        }
    }

    fn seconds(&self, name: &str, least: u64) -> Result<Option<Duration>, InvalidAppJson> {
        Ok(self.count(name, least..=TIME_MAX.as_secs())?.map(Duration::from_secs))
    }

    fn count(&self, name: &str, bounds: RangeInclusive<u64>) -> Result<Option<u64>, InvalidAppJson> {
        let Some(value) = self.object.get(name).filter(|value| !value.is_null()) else { return Ok(None) };
        match value.as_u64().filter(|count| bounds.contains(count)) {
            Some(count) => Ok(Some(count)),
            None => {
                let (least, most) = (bounds.start(), bounds.end());
                Err(self.wrong(name, &format!("is {value}; give a whole number from {least} to {most}")))
            }
        }
    }

    fn wrong(&self, member: &str, problem: &str) -> InvalidAppJson {
        InvalidAppJson(format!("{}.{member} {problem}", self.place))
    }

    fn whole(&self, problem: &str) -> InvalidAppJson {
        InvalidAppJson(format!("{} {problem}", self.place))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<BTreeMap<ProcessType, Vec<Check>>, String> {
        parse(&serde_json::from_str(text).unwrap()).map_err(|error| error.to_string())
    }

    fn web(check: &str) -> Check {
        let mut all = read(&format!(r#"{{"web": [{check}]}}"#)).unwrap();
        all.remove(&ProcessType::web()).unwrap().remove(0)
    }

    #[test]
    fn dokkus_checks_are_read() {
        let check = web(
            r#"{"type": "startup", "name": "up", "description": "x", "path": "/up", "port": 81, "attempts": 3, "wait": 2,
                "timeout": 4, "initialDelay": 1, "content": "fine", "onFailure": {"url": "x"}, "status": [204, "300-303"],
                "httpHeaders": [{"name": "Host", "value": "example.com"}], "warn": true}"#,
        );
        let expect = HttpQuestion {
            path: "/up".to_owned(),
            port: Some(81),
            headers: vec![("Host".to_owned(), "example.com".to_owned())],
            statuses: vec![(204, 204), (300, 303)],
            content: "fine".to_owned(),
        };
        assert_eq!(check.question, Question::Http(expect));
        let seconds = [check.timeout, check.initial_delay, check.limit.unwrap()].map(|time| time.as_secs());
        assert_eq!((seconds, check.only_warns), ([4, 1, 18], true));

        assert_eq!(web(r#"{"path": "up"}"#), Check::new(CheckKind::Startup, Question::Http(HttpQuestion::get("/up"))));
        assert_eq!(web(r#"{"listening": true}"#).question, Question::Listening(None));
        assert_eq!(web(r#"{"uptime": 7}"#).question, Question::Uptime(Duration::from_secs(7)));
        assert_eq!(web(r#"{"name": "only"}"#).question, Question::Uptime(UPTIME));
        assert_eq!(web(r#"{"content": "hi"}"#).to_string(), "GET /");
        let command = |text: &str| web(&format!(r#"{{"command": {text}}}"#)).to_string();
        assert_eq!(command(r#"["/check", "-v"]"#), "command '/check -v'");
        assert_eq!(command(r#""exit 0""#), "command '/bin/sh -c exit 0'");
        let liveness = web(r#"{"type": "liveness", "path": "/up", "attempts": 5, "wait": 0}"#);
        assert_eq!((liveness.kind, liveness.attempts, liveness.interval.as_secs()), (CheckKind::Liveness, 5, 1));
    }

    #[test]
    fn checks_that_slipway_has_no_use_for_are_passed_over() {
        for text in [r#"{"type": "readiness", "path": "/up"}"#, r#"{"type": "liveness", "uptime": 3}"#] {
            assert_eq!(read(&format!(r#"{{"web": [{text}]}}"#)), Ok(BTreeMap::new()), "{text}");
        }
    }

    #[test]
    fn what_is_wrong_is_named() {
        let check = |entry: &str, expect: &str| {
            let error = read(&format!(r#"{{"web": [{{"path": "/"}}, {entry}]}}"#)).unwrap_err();
            assert!(error.starts_with("app.json: healthchecks.web[1]") && error.contains(expect), "{error}");
        };
        check("1", "is not an object");
        check(r#"{"type": "ready"}"#, ".type is 'ready'; there are startup and liveness");
        check(r#"{"path": "/", "command": ["x"]}"#, "several of path, command");
        check(r#"{"path": "http://x/"}"#, ".path is 'http://x/'");
        check(r#"{"path": 1}"#, ".path is not a text");
        check(r#"{"path": "/", "port": 0}"#, ".port is 0; give a whole number from 1 to 65535");
        check(r#"{"path": "/", "scheme": "https"}"#, ".scheme is 'https'");
        check(r#"{"path": "/", "status": 999}"#, ".status is not a status");
        check(r#"{"path": "/", "httpHeaders": [{"name": "a b", "value": ""}]}"#, ".httpHeaders has an entry");
        check(r#"{"listening": "yes"}"#, ".listening is neither true nor false");
        check(r#"{"uptime": 5, "content": "x"}"#, ".content goes with path only");
        check(r#"{"command": [1]}"#, ".command is not a list of texts");
        check(r#"{"path": "/", "attempts": 0}"#, ".attempts is 0");
        check(r#"{"path": "/", "timeout": 1.5}"#, ".timeout is 1.5");
        check(r#"{"path": "/", "attempts": 1000, "wait": 60}"#, "takes more than 3600 s");
        let error = |text: &str| read(text).unwrap_err();
        assert!(error(r#"{"web": {}}"#).contains("healthchecks.web is not a list"));
        assert!(error(r#"{"a b": []}"#).contains("'a b' is not a process type"));
    }
}
