//! Archives to and from the engine, and images made of containers.

use std::collections::HashMap;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex};

use bollard::models::{ContainerConfig, ImageConfig};
use bollard::query_parameters::{
    CommitContainerOptionsBuilder, DownloadFromContainerOptionsBuilder, InspectContainerOptions,
    UploadToContainerOptionsBuilder,
};
use bytes::Bytes;
use futures_util::{Stream, StreamExt, stream};
use http_body::Frame;
use http_body_util::{Either, Full, StreamBody};

use super::act::Act;
use super::images::split_reference;
use super::{CALL_LIMIT, Docker, TRANSFER_LIMIT};
use crate::engine::{ByteStream, EngineError, Image, Labels};

/// The client library's request body; it does not name the type in public.
pub(super) type RequestBody =
    Either<Full<Bytes>, StreamBody<Pin<Box<dyn Stream<Item = Result<Frame<Bytes>, io::Error>> + Send>>>>;

/// Remembers why the producer of a request body failed: all the engine would say is that the request broke off.
#[derive(Debug)]
pub(super) struct Upload {
    broken: Arc<Mutex<Option<io::Error>>>,
}

impl Upload {
    pub(super) fn new(source: ByteStream) -> (Self, RequestBody) {
        let broken = Arc::new(Mutex::new(None));
        let seen = Arc::clone(&broken);
        let body = source.map(move |chunk| {
            chunk.map_err(|error| {
                let copy = io::Error::new(error.kind(), error.to_string());
                *seen.lock().expect("no panic while holding it") = Some(error);
                copy
            })
        });
        (Self { broken }, bollard::body_try_stream(body))
    }

    /// The error of the request, or of what fed it.
    pub(super) fn failed(&self, act: &Act, error: bollard::errors::Error) -> EngineError {
        match self.broken.lock().expect("no panic while holding it").take() {
            Some(source) => EngineError::Io { action: act.action(), source },
            None => act.failed(error),
        }
    }
}

impl Docker {
    pub(super) async fn put_archive(
        &self,
        container: &str,
        path: &str,
        archive: ByteStream,
    ) -> Result<(), EngineError> {
        let act = Act::on("uploading to", path, &format!("in container {container}"));
        let options = UploadToContainerOptionsBuilder::default().path(path).build();
        let (upload, body) = Upload::new(archive);
        let call = self.client.upload_to_container(container, Some(options), body);
        act.raw_within(TRANSFER_LIMIT, call).await?.map_err(|error| upload.failed(&act, error))
    }

    pub(super) async fn get_archive(&self, container: &str, path: &str) -> Result<ByteStream, EngineError> {
        let act = Act::on("downloading", path, &format!("in container {container}"));
        let options = DownloadFromContainerOptionsBuilder::default().path(path).build();
        let mut chunks = Box::pin(self.client.download_from_container(container, Some(options)));
        // The first chunk tells whether the path exists at all.
        let first = act.raw_within(CALL_LIMIT, async { chunks.next().await.transpose() }).await?;
        let first = first.map_err(|error| act.failed(error))?;
        Ok(Box::pin(stream::iter(first.map(Ok)).chain(chunks.map(|chunk| chunk.map_err(io::Error::other)))))
    }

    pub(super) async fn commit(
        &self,
        container: &str,
        reference: &str,
        labels: &Labels,
        changes: &[String],
    ) -> Result<Image, EngineError> {
        let act = Act::on("committing", "container", container);
        let inspect = self.client.inspect_container(container, None::<InspectContainerOptions>);
        let made_from = act.within(CALL_LIMIT, inspect).await?;
        let parent = self.client.inspect_image(made_from.image.as_deref().unwrap_or_default());
        let parent = act.within(CALL_LIMIT, parent).await?.config.unwrap_or_default();
        let config = committed(parent, made_from.config.unwrap_or_default(), labels);

        let (repository, tag) = split_reference(reference);
        let mut options = CommitContainerOptionsBuilder::default().container(container).repo(repository).tag(tag);
        let changes = changes.join("\n");
        if !changes.is_empty() {
            options = options.changes(&changes);
        }
        act.within(TRANSFER_LIMIT, self.client.commit_container(options.build(), config)).await?;
        self.inspect_image(reference).await
    }
}

/// The configuration to commit with: the parent image's.
///
/// The engine fills whatever is left empty here from the container, so what only the container had is overridden: a
/// build's environment may hold secrets, and its labels would make the image look like the build's leftover.
fn committed(parent: ImageConfig, container: ContainerConfig, labels: &Labels) -> ContainerConfig {
    let mut env = parent.env.unwrap_or_default();
    for own in container.env.unwrap_or_default() {
        let name = own.split('=').next().unwrap_or_default();
        if !env.iter().any(|set| set.split('=').next() == Some(name)) {
            env.push(format!("{name}="));
        }
    }
    let inherited = container.labels.unwrap_or_default().into_keys().map(|label| (label, String::new()));
    let mut all_labels = inherited.collect::<HashMap<_, _>>();
    all_labels.extend(parent.labels.unwrap_or_default());
    all_labels.extend(labels.iter().map(|(label, value)| (label.clone(), value.clone())));
    ContainerConfig {
        user: parent.user.filter(|user| !user.is_empty()).or_else(|| Some("0".to_owned())),
        working_dir: parent.working_dir.filter(|dir| !dir.is_empty()).or_else(|| Some("/".to_owned())),
        env: Some(env),
        cmd: parent.cmd,
        // Not null: null would be filled from the container.
        entrypoint: Some(parent.entrypoint.unwrap_or_default()),
        exposed_ports: parent.exposed_ports,
        volumes: parent.volumes,
        healthcheck: parent.healthcheck,
        stop_signal: parent.stop_signal,
        labels: Some(all_labels),
        ..ContainerConfig::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_only_the_container_had_stays_out_of_the_image() {
        let list = |items: &[&str]| Some(items.iter().map(|&item| item.to_owned()).collect::<Vec<_>>());
        let map = |pairs: &[(&str, &str)]| {
            Some(pairs.iter().map(|&(key, value)| (key.to_owned(), value.to_owned())).collect::<HashMap<_, _>>())
        };
        let parent = ImageConfig {
            env: list(&["PATH=/bin"]),
            labels: map(&[("stack", "12")]),
            cmd: list(&["sh"]),
            ..ImageConfig::default()
        };
        let container = ContainerConfig {
            env: list(&["PATH=/bin", "TOKEN=secret=1"]),
            labels: map(&[("stack", "12"), ("operation", "ab12")]),
            user: Some("2000:2000".to_owned()),
            entrypoint: list(&["/build"]),
            ..ContainerConfig::default()
        };
        let labels = Labels::from([("build".to_owned(), "7".to_owned())]);
        let config = committed(parent, container, &labels);
        assert_eq!(config.env, list(&["PATH=/bin", "TOKEN="]));
        assert_eq!(config.labels, map(&[("stack", "12"), ("operation", ""), ("build", "7")]));
        assert_eq!(config.user.as_deref(), Some("0"));
        assert_eq!((config.entrypoint, config.cmd), (list(&[]), list(&["sh"])));
    }
}
