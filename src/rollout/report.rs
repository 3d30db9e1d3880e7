//! Why an instance did not become healthy, in lines that a person can act on.

use super::health::Contract;
use super::probe::{Failed, ProbeError};
use super::{RolloutSettings, Rollouts, Target, spec, start_hints};
use crate::engine::{ExitStatus, Init, ListeningPort};
use crate::model::{BuildKind, Instance, Question};

/// Lines of the instance's own output that a report quotes.
const QUOTED_LINES: usize = 15;

impl Rollouts {
    /// Says which process failed and how: exit code, out of memory, expected and found ports, last probe answer, output.
    pub(super) async fn report(
        &self,
        target: &Target,
        instance: &Instance,
        container: &str,
        contract: &Contract,
        error: &ProbeError,
    ) -> Vec<String> {
        let name = instance.label();
        let mut lines = match error {
            ProbeError::Engine(error) => vec![format!("{name}: {error}")],
            ProbeError::Exited(status) => {
                let until = until(contract, spec::port(target));
                vec![format!("{name} {} before {until}", ended(*status, &self.0.settings, target, instance))]
            }
            ProbeError::TimedOut(failed) => {
                let ports = self.0.engine.listening_ports(container).await.unwrap_or_default();
                timed_out(&name, failed, spec::port(target), &ports, target.build.kind)
            }
        };
        if matches!(error, ProbeError::Exited(_)) {
            self.0.collector.settled(instance.id).await;
        }
        let output = self.0.collector.last_lines(container, QUOTED_LINES).await;
        if matches!(error, ProbeError::Exited(_)) {
            lines.extend(advice(target.build.kind, spec::init(target), &output));
        }
        if output.is_empty() {
            lines.push(format!("{name} printed nothing"));
        } else {
            lines.push(format!("last output of {name}:"));
            lines.extend(output.iter().map(|line| format!("  {line}")));
        }
        if let ProbeError::Exited(status) = error {
            lines.extend(start_hints::hint(status.code, &output));
        }
        lines
    }
}

/// What to do about an end whose cause the output tells.
fn advice(kind: BuildKind, init: Init, output: &[String]) -> Option<String> {
    let says = |texts: &[&str]| {
        let is_said = |line: &&String| texts.iter().any(|text| line.to_lowercase().contains(text));
        output.iter().find(is_said).map(String::as_str)
    };
    if kind != BuildKind::Slug {
        says(&["pid 1", "pid1", "process 1"]).filter(|_| init != Init::Own)?;
        return Some("if it has to be process 1, set the config var SLIPWAY_INIT=no and deploy again".to_owned());
    }
    let npm = "packages of devDependencies are not part of what runs: move it to dependencies, or set the config var \
               NPM_CONFIG_PRODUCTION=false (YARN_PRODUCTION=false, PNPM_SKIP_PRUNING=true), and push again";
    let bundler = "gems of the groups development and test are not part of what runs: move it out of its group in the Gemfile, \
                   type bundle lock and push again";
    if says(&["cannot find module", "cannot find package", "err_module_not_found"]).is_some() {
        return Some(format!("is it a package of the app's? {npm}"));
    }
    if says(&["bundler: command not found", "cannot load such file", "gem::missingspecerror"]).is_some() {
        return Some(format!("is it a gem of the app's? {bundler}"));
    }
    let missing = says(&[": not found", ": command not found"])?;
    Some(format!("does the program of '{}' come with a package? {npm}; {bundler}", missing.trim()))
}

/// What an instance ended before, by the first check that it had to pass.
fn until(contract: &Contract, own_port: u16) -> String {
    let port = |port: &Option<u16>| match port.unwrap_or(own_port) {
        port if port == own_port => format!("it listened on port {port} (its $PORT)"),
        port => format!("it listened on port {port}"),
    };
    match contract.startup.first().map(|check| &check.question) {
        Some(Question::Http(question)) => port(&question.port),
        Some(Question::Listening(asked)) => port(asked),
        Some(Question::Uptime(time)) => format!("it had run for {} s", time.as_secs()),
        Some(Question::Command(_)) | None => "it was healthy".to_owned(),
    }
}

/// How a container ended, as the end of a sentence; running out of memory with the limit.
pub(super) fn ended(status: ExitStatus, settings: &RolloutSettings, target: &Target, instance: &Instance) -> String {
    if status.out_of_memory {
        let limit = spec::memory(settings, target, &instance.process);
        return format!("ran out of memory (limit {} MiB; exit status {})", limit >> 20, status.code);
    }
    describe(status)
}

/// `exited with status 3`, `was ended by signal 9`.
pub fn describe(status: ExitStatus) -> String {
    match status.code {
        _ if status.out_of_memory => format!("ran out of memory (exit status {})", status.code),
        129..=192 => format!("was ended by signal {} (exit status {})", status.code - 128, status.code),
        code => format!("exited with status {code}"),
    }
}

fn timed_out(name: &str, failed: &Failed, own_port: u16, ports: &[ListeningPort], kind: BuildKind) -> Vec<String> {
    let Failed { check, last, limit } = failed;
    let limit = limit.as_secs();
    let port = match &check.question {
        Question::Http(question) => question.port,
        Question::Listening(port) => *port,
        Question::Command(_) | Question::Uptime(_) => {
            return vec![format!("{name} was not healthy within {limit} s: {check} {last}")];
        }
    };
    let port = port.unwrap_or(own_port);
    if port != own_port && !ports.iter().any(|found| found.0.port() == port) {
        return vec![format!("{name} did not listen on port {port} within {limit} s, which its check {check} asks")];
    }
    let found = ports.iter().map(|port| port.0.to_string()).collect::<Vec<_>>().join(", ");
    let on_port: Vec<&ListeningPort> = ports.iter().filter(|found| found.0.port() == port).collect();
    if ports.is_empty() {
        vec![
            format!("{name} did not listen on port {port} within {limit} s; it listens on no port"),
            format!(
                "make it listen on 0.0.0.0 and the port in $PORT ({port}), or declare it in a Procfile as a type other than web"
            ),
        ]
    } else if on_port.is_empty() {
        let on_others: Vec<u16> = ports.iter().map(|found| found.0.port()).collect();
        vec![
            format!("{name} did not listen on port {port} within {limit} s; it listens on {found}"),
            elsewhere(port, &on_others, kind),
        ]
    } else if on_port.iter().all(|found| found.0.ip().is_loopback()) {
        vec![
            format!("{name} listens on {found}, which nothing outside its container can reach"),
            format!("make it listen on 0.0.0.0:{port}"),
        ]
    } else {
        let asked = if matches!(check.question, Question::Http(_)) { format!("{check} ") } else { String::new() };
        vec![format!("{name} listens on port {port} but was not healthy within {limit} s; last answer: {asked}{last}")]
    }
}

/// What to do about an instance that listens on another port. An image may be made for one, which can be named; where all
/// ports that it has are those of somebody else's image, that is the only way.
fn elsewhere(port: u16, found: &[u16], kind: BuildKind) -> String {
    let listen = format!("make it listen on 0.0.0.0 and the port in $PORT ({port})");
    match (kind, found) {
        (BuildKind::Slug, _) => listen,
        (_, [one]) => format!("{listen}, or set the config var PORT={one} and deploy again"),
        _ => format!("{listen}, or set the config var PORT to the one that serves and deploy again"),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::model::{Check, CheckKind, HttpQuestion};

    #[test]
    fn says_what_was_expected_and_what_was_found() {
        let about = |question: Question, ports: &[&str], expect: &str| {
            let ports: Vec<_> = ports.iter().map(|p| ListeningPort(p.parse().unwrap())).collect();
            let check = Check::new(CheckKind::Startup, question);
            let failed = Failed { check, last: "refused".to_owned(), limit: Duration::from_secs(60) };
            let lines = timed_out("web.1", &failed, 5000, &ports, BuildKind::Dockerfile);
            assert!(lines[0].contains(expect), "{lines:?}");
        };
        let check = |ports: &[&str], expect: &str| about(Question::Listening(None), ports, expect);
        check(&[], "did not listen on port 5000 within 60 s; it listens on no port");
        check(&["0.0.0.0:9999"], "it listens on 0.0.0.0:9999");
        check(&["127.0.0.1:5000"], "nothing outside its container can reach");
        check(&["0.0.0.0:5000"], "last answer: refused");
        let get = || Question::Http(HttpQuestion::get("/up"));
        about(get(), &["0.0.0.0:5000"], "was not healthy within 60 s; last answer: GET /up refused");
        about(get(), &[], "did not listen on port 5000");
        about(Question::Listening(Some(81)), &["0.0.0.0:5000"], "port 81 within 60 s, which its check port 81 asks");
        about(Question::Command(vec!["look".into()]), &[], "not healthy within 60 s: command 'look' refused");
    }

    #[test]
    fn advice_on_ports_suits_what_was_built() {
        let check = |found: &[u16], kind, expect: &str| {
            let listen = "make it listen on 0.0.0.0 and the port in $PORT (5000)";
            assert_eq!(elsewhere(5000, found, kind), format!("{listen}{expect}"));
        };
        check(&[8000], BuildKind::Slug, "");
        check(&[8000], BuildKind::Dockerfile, ", or set the config var PORT=8000 and deploy again");
        check(&[80, 443], BuildKind::Image, ", or set the config var PORT to the one that serves and deploy again");
    }

    #[test]
    fn what_was_left_out_of_a_slug_is_told() {
        let check = |kind, line: &str, expect: &str| {
            let found = advice(kind, Init::ByImage, &["starting".to_owned(), line.to_owned()]).unwrap_or_default();
            assert!(found.contains(expect), "{line}: {found}");
            assert_eq!(found.is_empty(), expect.is_empty(), "{line}: {found}");
        };
        use BuildKind::{Dockerfile, Slug};
        check(Slug, "sh: 1: nodemon: not found", "move it to dependencies");
        check(Slug, "bash: line 1: ts-node: command not found", "devDependencies");
        check(Slug, "Error: Cannot find module 'express'", "NPM_CONFIG_PRODUCTION=false");
        check(Slug, "bundler: command not found: rspec", "out of its group in the Gemfile");
        check(Slug, "cannot load such file -- pry (LoadError)", "development and test");
        check(Slug, "no DATABASE_URL", "");
        check(Dockerfile, "s6-overlay-suexec: fatal: can only run as pid 1", "SLIPWAY_INIT=no");
        check(Dockerfile, "sh: 1: nodemon: not found", "");
    }

    #[test]
    fn exit_statuses_are_named() {
        let status = |code, out_of_memory| describe(ExitStatus { code, out_of_memory });
        assert_eq!(status(3, false), "exited with status 3");
        assert_eq!(status(137, false), "was ended by signal 9 (exit status 137)");
        assert_eq!(status(137, true), "ran out of memory (exit status 137)");
    }
}
