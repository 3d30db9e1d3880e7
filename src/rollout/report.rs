//! Why an instance did not become healthy, in lines that a person can act on.

use super::probe::{Probe, ProbeError};
use super::{Rollouts, Target, spec};
use crate::engine::{ExitStatus, ListeningPort};
use crate::model::Instance;

/// Lines of the instance's own output that a report quotes.
const QUOTED_LINES: usize = 15;

impl Rollouts {
    /// Says which process failed and how: exit code, out of memory, expected and found ports, last probe answer, output.
    pub(super) async fn report(
        &self,
        target: &Target,
        instance: &Instance,
        container: &str,
        probe: &Probe,
        error: &ProbeError,
    ) -> Vec<String> {
        let name = instance.label();
        let mut lines = match error {
            ProbeError::Engine(error) => vec![format!("{name}: {error}")],
            ProbeError::Exited(status) => {
                let until = match probe {
                    Probe::Port(port) | Probe::Http { port, .. } => format!("it listened on port {port} (its $PORT)"),
                    Probe::Running(settle) => format!("it had run for {} s", settle.as_secs()),
                };
                vec![format!("{name} {} before {until}", ended(*status, target, instance, self))]
            }
            ProbeError::TimedOut(last) => {
                let ports = self.0.engine.listening_ports(container).await.unwrap_or_default();
                timed_out(&name, probe, &ports, last, self.0.settings.boot_timeout.as_secs())
            }
        };
        if matches!(error, ProbeError::Exited(_)) {
            self.0.collector.settled(instance.id).await;
        }
        let output = self.0.collector.last_lines(container, QUOTED_LINES).await;
        if output.is_empty() {
            lines.push(format!("{name} printed nothing"));
        } else {
            lines.push(format!("last output of {name}:"));
            lines.extend(output.iter().map(|line| format!("  {line}")));
        }
        lines
    }
}

/// How a container ended, as the end of a sentence.
fn ended(status: ExitStatus, target: &Target, instance: &Instance, rollouts: &Rollouts) -> String {
    if status.out_of_memory {
        let limit = spec::container(&rollouts.0.settings, target, instance).resources.memory_bytes.unwrap_or_default();
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

fn timed_out(name: &str, probe: &Probe, ports: &[ListeningPort], last: &str, limit: u64) -> Vec<String> {
    let (Probe::Port(port) | Probe::Http { port, .. }) = probe else {
        return vec![format!("{name} did not settle within {limit} s")];
    };
    let found = ports.iter().map(|port| port.0.to_string()).collect::<Vec<_>>().join(", ");
    let on_port: Vec<&ListeningPort> = ports.iter().filter(|found| found.0.port() == *port).collect();
    if ports.is_empty() {
        vec![
            format!("{name} did not listen on port {port} within {limit} s; it listens on no port"),
            format!(
                "make it listen on 0.0.0.0 and the port in $PORT ({port}), or declare it in a Procfile as a type other than web"
            ),
        ]
    } else if on_port.is_empty() {
        vec![
            format!("{name} did not listen on port {port} within {limit} s; it listens on {found}"),
            format!("make it listen on 0.0.0.0 and the port in $PORT ({port}), or declare that port with EXPOSE"),
        ]
    } else if on_port.iter().all(|found| found.0.ip().is_loopback()) {
        vec![
            format!("{name} listens on {found}, which nothing outside its container can reach"),
            format!("make it listen on 0.0.0.0:{port}"),
        ]
    } else {
        vec![format!("{name} listens on port {port} but was not healthy within {limit} s; last answer: {last}")]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_what_was_expected_and_what_was_found() {
        let check = |ports: &[&str], expect: &str| {
            let ports: Vec<_> = ports.iter().map(|p| ListeningPort(p.parse().unwrap())).collect();
            let lines = timed_out("web.1", &Probe::Port(5000), &ports, "refused", 60);
            assert!(lines[0].contains(expect), "{lines:?}");
        };
        check(&[], "did not listen on port 5000 within 60 s; it listens on no port");
        check(&["0.0.0.0:9999"], "it listens on 0.0.0.0:9999");
        check(&["127.0.0.1:5000"], "nothing outside its container can reach");
        check(&["0.0.0.0:5000"], "last answer: refused");
    }

    #[test]
    fn exit_statuses_are_named() {
        let status = |code, out_of_memory| describe(ExitStatus { code, out_of_memory });
        assert_eq!(status(3, false), "exited with status 3");
        assert_eq!(status(137, false), "was ended by signal 9 (exit status 137)");
        assert_eq!(status(137, true), "ran out of memory (exit status 137)");
    }
}
