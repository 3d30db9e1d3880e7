//! The Tutum door: every endpoint, state and rule, against real containers, and the original SDK.

mod applications;
mod containers;
mod crash;
mod doors;
mod frame;
mod keys;
mod links;
mod policies;
mod rules;
mod sdk;
mod states;

use serde_json::Value;

use crate::support::{Answer, Tutum};

/// The port that the sample app listens on: the image that it stands on says so in `PORT`. The image exposes that one and
/// another.
const PORT: u16 = 5000;

/// The outer port of a container's sample app.
fn outer_port(container: &Value) -> u16 {
    let ports = container["container_ports"].as_array().expect("a list");
    let port = ports.iter().find(|port| port["inner_port"] == PORT).unwrap_or_else(|| panic!("no port: {container}"));
    port["outer_port"].as_u64().and_then(|port| port.try_into().ok()).unwrap_or_else(|| panic!("no number: {port}"))
}

/// Asks a container at its outer port on this host.
async fn try_ask(person: &Tutum<'_>, container: &Value, path: &str) -> Result<Answer, String> {
    let address = format!("http://127.0.0.1:{}{path}", outer_port(container));
    Answer::to(person.server.http().get(&address), format!("GET {address}")).await
}

/// Has a container's process end with this exit code, once it listens. Its answer may be lost with it.
async fn exit(person: &Tutum<'_>, container: &Value, code: i32) {
    ask(person, container, "/").await;
    let _ = try_ask(person, container, &format!("/exit?code={code}")).await;
}

/// Asks a container, until it answers.
async fn ask(person: &Tutum<'_>, container: &Value, path: &str) -> Answer {
    let what = format!("{} answers", container["unique_name"]);
    crate::support::wait_until(&what, crate::support::SHORT, async || try_ask(person, container, path).await).await
}
