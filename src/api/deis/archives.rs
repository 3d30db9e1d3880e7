//! Deploying an uploaded archive, for those who have no git at hand; no client of the specification does it.

use std::io::{self, Read};
use std::time::Duration;

use axum::Json;
use axum::body::{Body, Bytes};
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, StatusCode};
use axum::response::IntoResponse;
use futures_util::stream::{self, Stream};
use futures_util::{StreamExt, TryStreamExt};
use serde::Deserialize;
use serde_json::json;
use tokio::time::timeout;
use tokio_util::io::{StreamReader, SyncIoBridge};
use tokio_util::sync::CancellationToken;
use utoipa::openapi::{RefOr, Schema};
use utoipa::{IntoParams, PartialSchema, ToSchema};

use super::error::Error;
use super::openapi::fields;
use super::path::AppInPath;
use super::{headers, wire};
use crate::platform::{ArchiveRequest, Platform, Progress};

/// How long an upload may pause.
const IDLE_TIMEOUT: Duration = Duration::from_secs(60);

/// How an archive is deployed.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Options {
    /// Build from nothing, as `git push -o no-cache` does.
    #[serde(default, rename = "no-cache")]
    no_cache: bool,
    /// Build although nothing has changed, as `git push -o redeploy` does.
    #[serde(default)]
    redeploy: bool,
}

/// The bytes of an archive.
pub(super) enum Archive {}

impl PartialSchema for Archive {
    fn schema() -> RefOr<Schema> {
        fields::raw(json!({"type": "string", "format": "binary"}))
    }
}

impl ToSchema for Archive {}

/// Deploy an archive
///
/// The body is a `tar.gz` (or a tar) of what a repository would hold; a folder that holds everything else is taken off. It is
/// built, released and rolled out like a push, by the same rules, and its build record is kept. The answer comes when its
/// release is up. A client that hangs up calls the build off.
#[utoipa::path(
    post, path = "/apps/{app}/archives", tag = "builds", params(Options),
    request_body(content = Archive, content_type = "application/octet-stream", description = "The archive's bytes."),
    responses((
        status = 201, description = "The build; its release is up.", body = wire::Build,
        headers(
            ("X-Deis-Release" = i64, description = "the number of the new release."),
            ("Deis-Release" = i64, description = "the same number, for clients from 1.7."),
        )
    ))
)]
pub(super) async fn deploy(
    State(platform): State<Platform>,
    AppInPath(handle): AppInPath,
    options: Result<Query<Options>, QueryRejection>,
    head: HeaderMap,
    body: Body,
) -> Result<impl IntoResponse, Error> {
    let Query(options) = options.map_err(|_| {
        Error::Refused("no-cache and redeploy are true or false; write them like ?redeploy=true".to_owned())
    })?;
    refuse_forms(&head)?;
    let cancel = CancellationToken::new();
    let _hung_up = cancel.clone().drop_guard();
    let request = ArchiveRequest { strip_top_folder: true, no_cache: options.no_cache, redeploy: options.redeploy };
    let archive = SyncIoBridge::new(StreamReader::new(Box::pin(unhurried(body, IDLE_TIMEOUT))))
        .take(platform.settings().max_push_bytes);
    let (build, release) = platform.deploy_archive(&handle, archive, request, Progress::none(), cancel).await?;
    let body = wire::Build::new(handle.app(), build);
    Ok((StatusCode::CREATED, headers::release(release.version), Json(body)))
}

/// A form around the archive would be taken for the archive. curl calls everything URL-encoded that it is not told to call
/// otherwise, so that type says nothing.
fn refuse_forms(head: &HeaderMap) -> Result<(), Error> {
    let media = head.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let kind = media.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let is_text = ["multipart/form-data", "application/json"].contains(&kind.as_str()) || kind.starts_with("text/");
    if is_text { Err(Error::UnsupportedMediaType(media.to_owned())) } else { Ok(()) }
}

/// The body's bytes; a client that falls silent is given up.
fn unhurried(body: Body, idle_timeout: Duration) -> impl Stream<Item = io::Result<Bytes>> {
    let chunks = body.into_data_stream().map_err(io::Error::other);
    stream::unfold(Some(chunks), move |chunks| async move {
        let mut chunks = chunks?;
        match timeout(idle_timeout, chunks.next()).await {
            Ok(chunk) => Some((chunk?, Some(chunks))),
            Err(_) => {
                let fault = format!("nothing came for {} s", idle_timeout.as_secs());
                Some((Err(io::Error::new(io::ErrorKind::TimedOut, fault)), None))
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_surely_no_archive_is_refused_by_its_type() {
        let check = |media: &str, is_taken: bool| {
            let head = HeaderMap::from_iter([(CONTENT_TYPE, media.parse().unwrap())]);
            assert_eq!(refuse_forms(&head).is_ok(), is_taken, "{media}");
        };
        check("application/gzip", true);
        check("application/x-www-form-urlencoded", true);
        check("application/octet-stream", true);
        check("multipart/form-data; boundary=X", false);
        check("Application/JSON", false);
        check("text/plain", false);
        assert!(refuse_forms(&HeaderMap::new()).is_ok());
    }

    #[tokio::test]
    async fn an_upload_that_falls_silent_fails() {
        let begun = stream::once(async { Ok::<_, io::Error>(Bytes::from_static(b"abc")) });
        let body = Body::from_stream(begun.chain(stream::pending()));
        let read: Vec<io::Result<Bytes>> = unhurried(body, Duration::from_millis(20)).collect().await;
        assert_eq!(read[0].as_ref().unwrap(), "abc");
        assert_eq!(read[1].as_ref().unwrap_err().kind(), io::ErrorKind::TimedOut);
        assert_eq!(read.len(), 2);
    }
}
