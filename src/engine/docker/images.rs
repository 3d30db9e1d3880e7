//! Images: look up, fetch, import, name, forget, list.

use std::collections::HashMap;
use std::time::Duration;

use bollard::auth::DockerCredentials;
use bollard::errors::Error;
use bollard::models::{CreateImageInfo, HealthConfig, ImageInspect};
use bollard::query_parameters::{
    CreateImageOptionsBuilder, ListImagesOptionsBuilder, RemoveImageOptions, TagImageOptionsBuilder,
};
use futures_util::{StreamExt, TryStreamExt, stream};

use super::act::{Act, broke_off};
use super::transfer::Upload;
use super::{CALL_LIMIT, Docker, TRANSFER_LIMIT, label_filter, unless_gone};
use crate::engine::{ByteStream, EngineError, Image, Labels, LineSink, PullFailure, RegistryLogin};
use crate::model::{Check, GroupPort, Protocol, health};

/// A pull that says nothing for this long has stalled.
const PULL_SILENCE: Duration = Duration::from_secs(300);

/// How the engine's last line about a pull that succeeded begins.
const PULLED: &str = "Status: ";

/// How many images are looked at at once.
const LOOKUPS: usize = 8;

impl Docker {
    pub(super) async fn inspect_image(&self, reference: &str) -> Result<Image, EngineError> {
        let act = Act::on("looking up", "image", reference);
        Ok(image(act.within(CALL_LIMIT, self.client.inspect_image(reference)).await?))
    }

    pub(super) async fn pull(
        &self,
        reference: &str,
        login: Option<&RegistryLogin>,
        on_line: LineSink<'_>,
    ) -> Result<Image, EngineError> {
        let act = Act::on("pulling", "image", reference);
        let refused = |message: &str| {
            tracing::info!(reference, message, "an image was not pulled");
            EngineError::PullFailed { reference: reference.to_owned(), failure: pull_failure(message) }
        };
        if reference.contains('@') {
            // An engine that has the manifest already, from somebody else's pull, asks no registry for it.
            let asked = self.client.inspect_registry_image(reference, login.map(credentials));
            act.raw_within(CALL_LIMIT, asked).await?.map_err(|error| match error {
                Error::DockerResponseServerError { message, .. } => refused(&message),
                other => act.failed(other),
            })?;
        }
        let full = with_tag(reference);
        let options = CreateImageOptionsBuilder::default().from_image(&full).build();
        let mut messages = Box::pin(self.client.create_image(Some(options), None, login.map(credentials)));
        // A layer repeats its status for every few bytes it moves; only changes are worth a line.
        let mut said = HashMap::new();
        let mut is_done = false;
        loop {
            let next = tokio::time::timeout(PULL_SILENCE, messages.next());
            let Some(message) = next.await.map_err(|_| act.timed_out(PULL_SILENCE))? else { break };
            // What breaks off behind the result is looked at by the image, as any other result.
            if is_done && message.as_ref().is_err_and(broke_off) {
                break;
            }
            let CreateImageInfo { id, status, .. } = message.map_err(|error| match error {
                Error::DockerResponseServerError { message, .. } | Error::DockerStreamError { error: message } => {
                    refused(&message)
                }
                other => act.failed(other),
            })?;
            let (id, status) = (id.unwrap_or_default(), status.unwrap_or_default());
            is_done |= id.is_empty() && status.starts_with(PULLED);
            if said.insert(id.clone(), status.clone()).as_ref() == Some(&status) || status.is_empty() {
                continue;
            }
            if id.is_empty() { on_line(&status) } else { on_line(&format!("{id}: {status}")) }
        }
        self.inspect_image(reference).await
    }

    pub(super) async fn import(
        &self,
        reference: &str,
        rootfs: ByteStream,
        changes: &[String],
    ) -> Result<Image, EngineError> {
        let act = Act::on("importing", "image", reference);
        let (repository, tag) = split_reference(reference);
        let options = CreateImageOptionsBuilder::default().from_src("-").repo(repository).tag(tag);
        let options = options.changes(changes.to_vec()).build();
        let (upload, body) = Upload::new(rootfs);
        let import = self.client.create_image(Some(options), Some(body), None);
        let done = act.raw_within(TRANSFER_LIMIT, import.try_for_each(|_| async { Ok(()) })).await?;
        done.map_err(|error| upload.failed(&act, error))?;
        self.inspect_image(reference).await
    }

    pub(super) async fn tag(&self, reference: &str, new_reference: &str) -> Result<(), EngineError> {
        let (repository, tag) = split_reference(new_reference);
        let options = TagImageOptionsBuilder::default().repo(repository).tag(tag).build();
        let act = Act::on("naming", "image", reference);
        act.within(CALL_LIMIT, self.client.tag_image(reference, Some(options))).await
    }

    pub(super) async fn untag(&self, reference: &str) -> Result<(), EngineError> {
        let act = Act::on("removing", "image", reference);
        let removal = self.client.remove_image(reference, None::<RemoveImageOptions>, None);
        unless_gone(act.removal(TRANSFER_LIMIT, removal).await)
    }

    pub(super) async fn list_images(&self, labels: &Labels) -> Result<Vec<Image>, EngineError> {
        let act = Act::on("listing", "images", "by label");
        let options = ListImagesOptionsBuilder::default().filters(&label_filter(labels)).build();
        let found = act.within(CALL_LIMIT, self.client.list_images(Some(options))).await?;
        let images = stream::iter(found).map(|summary| async move {
            match self.inspect_image(&summary.id).await {
                Ok(image) => Ok(Some(image)),
                Err(EngineError::NotFound { .. }) => Ok(None),
                Err(error) => Err(error),
            }
        });
        images.buffered(LOOKUPS).try_filter_map(|image| async { Ok(image) }).try_collect().await
    }
}

/// What the engine's words about a failed pull come to. It has no other way to tell; the words are those of its client for
/// registries and of the network library below.
fn pull_failure(message: &str) -> PullFailure {
    const UNREACHABLE: [&str; 11] = [
        "no such host",
        "connection refused",
        "connection reset",
        "timeout",
        "dial tcp",
        "name resolution",
        "network is unreachable",
        "no route to host",
        "deadline exceeded",
        "server misbehaving",
        "request canceled while waiting",
    ];
    const DENIED: [&str; 6] = ["unauthorized", "denied", "forbidden", "authentication", "credentials", "401"];
    const MISSING: [&str; 4] = ["not found", "unknown", "404", "no such"];
    let message = message.to_ascii_lowercase();
    let says = |words: &[&str]| words.iter().any(|word| message.contains(word));
    if says(&UNREACHABLE) {
        PullFailure::Unreachable
    } else if says(&DENIED) {
        PullFailure::Denied
    } else if says(&MISSING) {
        PullFailure::Missing
    } else {
        PullFailure::Unusable
    }
}

fn credentials(login: &RegistryLogin) -> DockerCredentials {
    DockerCredentials {
        username: Some(login.username.clone()),
        password: Some(login.password.clone()),
        ..DockerCredentials::default()
    }
}

fn image(found: ImageInspect) -> Image {
    let config = found.config.unwrap_or_default();
    let mut ports = config.exposed_ports.iter().flatten().filter_map(|port| tcp_port(port)).collect::<Vec<_>>();
    ports.sort_unstable();
    ports.dedup();
    let mut exposed = config.exposed_ports.iter().flatten().filter_map(|port| declared_port(port)).collect::<Vec<_>>();
    exposed.sort_unstable();
    exposed.dedup();
    Image {
        exposed,
        command: config.cmd.unwrap_or_default(),
        entrypoint: config.entrypoint.unwrap_or_default(),
        id: found.id.unwrap_or_default(),
        tags: found.repo_tags.unwrap_or_default(),
        digests: found.repo_digests.unwrap_or_default(),
        ports,
        triggers: config.on_build.unwrap_or_default(),
        labels: config.labels.unwrap_or_default().into_iter().collect(),
        size_bytes: found.size.unwrap_or_default(),
        layers: found.root_fs.and_then(|root| root.layers).unwrap_or_default(),
        health: config.healthcheck.map(healthcheck).unwrap_or_default(),
    }
}

/// What a `HEALTHCHECK` asks for; nothing for `HEALTHCHECK NONE`. What it leaves open has the engine's defaults.
fn healthcheck(found: HealthConfig) -> Vec<Check> {
    let words: Vec<String> = match found.test.as_deref() {
        Some([kind, words @ ..]) if kind == "CMD" && !words.is_empty() => words.to_vec(),
        Some([kind, text]) if kind == "CMD-SHELL" => vec!["/bin/sh".to_owned(), "-c".to_owned(), text.clone()],
        _ => return Vec::new(),
    };
    let time = |nanos: Option<i64>, default: Duration| match nanos.and_then(|nanos| u64::try_from(nanos).ok()) {
        None | Some(0) => default,
        Some(nanos) => Duration::from_nanos(nanos),
    };
    let retries = found.retries.and_then(|retries| u32::try_from(retries).ok()).filter(|retries| *retries > 0);
    health::of_image(
        &words,
        time(found.interval, Duration::from_secs(30)),
        time(found.timeout, Duration::from_secs(30)),
        time(found.start_period, Duration::ZERO),
        retries.unwrap_or(3),
    )
}

/// The port of `5000/tcp`; without a protocol it is TCP.
fn tcp_port(declared: &str) -> Option<u16> {
    match declared.split_once('/') {
        Some((port, "tcp")) => port.parse().ok(),
        Some(_) => None,
        None => declared.parse().ok(),
    }
}

/// The port of `53/udp`; without a protocol it is TCP, and any other protocol cannot be published.
fn declared_port(declared: &str) -> Option<GroupPort> {
    let (port, protocol) = declared.split_once('/').unwrap_or((declared, "tcp"));
    Some(GroupPort { inner: port.parse().ok()?, protocol: protocol.parse::<Protocol>().ok()?, outer: None })
}

/// Repository and tag of a reference; a colon before the last slash belongs to a registry's port.
pub(super) fn split_reference(reference: &str) -> (&str, &str) {
    match reference.rsplit_once(':') {
        Some((repository, tag)) if !tag.contains('/') => (repository, tag),
        _ => (reference, "latest"),
    }
}

/// The reference with a tag: without one the engine would fetch every tag of the repository.
fn with_tag(reference: &str) -> String {
    if reference.contains('@') {
        return reference.to_owned();
    }
    let (repository, tag) = split_reference(reference);
    format!("{repository}:{tag}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_split_at_the_tag() {
        assert_eq!(split_reference("debian"), ("debian", "latest"));
        assert_eq!(split_reference("slipway/blog:v3"), ("slipway/blog", "v3"));
        assert_eq!(split_reference("localhost:5000/blog"), ("localhost:5000/blog", "latest"));
        assert_eq!(split_reference("localhost:5000/blog:v3"), ("localhost:5000/blog", "v3"));
        assert_eq!(with_tag("debian"), "debian:latest");
        assert_eq!(with_tag("debian@sha256:abc"), "debian@sha256:abc");
    }

    #[test]
    fn failed_pulls_are_told_apart() {
        for (message, expect) in [
            (
                "Get \"https://r.test/v2/\": dial tcp: lookup r.test on 192.0.2.53:53: no such host",
                PullFailure::Unreachable,
            ),
            (
                "Get \"http://127.0.0.1:1/v2/\": dial tcp 127.0.0.1:1: connect: connection refused",
                PullFailure::Unreachable,
            ),
            ("net/http: request canceled while waiting for connection", PullFailure::Unreachable),
            ("Get \"http://127.0.0.1:5000/v2/a/manifests/1\": no basic auth credentials", PullFailure::Denied),
            (
                "pull access denied for a/b, repository does not exist or may require 'docker login'",
                PullFailure::Denied,
            ),
            ("unauthorized: authentication required", PullFailure::Denied),
            ("manifest for r.test/a:1 not found: manifest unknown: manifest unknown", PullFailure::Missing),
            ("error parsing HTTP 418 response body: invalid character 'I'", PullFailure::Unusable),
        ] {
            assert_eq!(pull_failure(message), expect, "{message}");
        }
    }

    #[test]
    fn a_healthcheck_has_the_engines_defaults() {
        let of = |test: &[&str]| {
            healthcheck(HealthConfig {
                test: Some(test.iter().map(|&word| word.to_owned()).collect()),
                retries: Some(0),
                start_period: Some(5_000_000_000),
                ..HealthConfig::default()
            })
        };
        assert_eq!(of(&["NONE"]), []);
        assert_eq!(of(&[]), []);
        let [startup, liveness] = &of(&["CMD", "check", "-v"])[..] else { panic!("not two checks") };
        assert_eq!(startup.to_string(), "command 'check -v'");
        assert_eq!((startup.at_least.as_secs(), startup.timeout.as_secs()), (5, 30));
        assert_eq!((liveness.attempts, liveness.interval.as_secs()), (3, 30));
        assert_eq!(of(&["CMD-SHELL", "exit 0"])[0].to_string(), "command '/bin/sh -c exit 0'");
    }

    #[test]
    fn only_tcp_ports_count() {
        assert_eq!(tcp_port("5000/tcp"), Some(5000));
        assert_eq!(tcp_port("53/udp"), None);
        assert_eq!(tcp_port("80"), Some(80));
        assert_eq!(tcp_port("99999/tcp"), None);
    }
}
