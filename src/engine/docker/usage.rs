//! How much disk volumes take.
//!
//! The client library only knows the answer of engines from API 1.52 on, so this one question is asked without it.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::{Instant, sleep};

use super::Docker;
use super::act::Act;
use super::session::EngineAddress;
use crate::engine::EngineError;

/// Reading all volumes takes as long as the disk does; the engine measures its images on the way.
const MEASURE_LIMIT: Duration = Duration::from_secs(600);

/// The engine answers one such question at a time; between two tries.
const BUSY_PAUSE: Duration = Duration::from_millis(500);

/// From this API version on it can be asked for volumes only.
const TYPES_SINCE: (usize, usize) = (1, 42);

/// The last API version whose answer has this shape.
const SHAPE_UNTIL: (usize, usize) = (1, 51);

/// Longest answer that is read: some hundred bytes per image, container, volume and step of the build cache.
const ANSWER_MAX: usize = 256 << 20;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Usage {
    volumes: Option<Vec<VolumeUsage>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct VolumeUsage {
    name: String,
    usage_data: Option<Size>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Size {
    /// -1 where the volume's driver does not tell.
    size: i64,
}

impl Docker {
    pub(super) async fn measure_volumes(&self) -> Result<BTreeMap<String, u64>, EngineError> {
        let act = Act::on("measuring", "the engine's", "volumes");
        let deadline = Instant::now() + MEASURE_LIMIT;
        loop {
            let asked = tokio::time::timeout_at(deadline, self.ask_usage()).await;
            let (status, body) = match asked.map_err(|_| act.timed_out(MEASURE_LIMIT))? {
                Ok(answer) => answer,
                Err(error) => return Err(EngineError::Unreachable(format!("{error:#} ({})", act.action()))),
            };
            match status {
                200 => return sizes(&body).map_err(|error| act.refused(error.to_string())),
                _ if String::from_utf8_lossy(&body).contains("already running") => sleep(BUSY_PAUSE).await,
                _ => return Err(act.refused(String::from_utf8_lossy(&body).trim())),
            }
        }
    }

    fn usage_path(&self) -> String {
        let version = self.client.client_version();
        let version = (version.major_version, version.minor_version).min(SHAPE_UNTIL);
        let only = if version >= TYPES_SINCE { "?type=volume" } else { "" };
        format!("/v{}.{}/system/df{only}", version.0, version.1)
    }

    async fn ask_usage(&self) -> anyhow::Result<(u16, Bytes)> {
        let path = self.usage_path();
        match &self.address {
            EngineAddress::Unix(socket) => get(UnixStream::connect(socket).await?, &path).await,
            EngineAddress::Tcp(host) => get(TcpStream::connect(host).await?, &path).await,
        }
    }
}

/// One request on a connection of its own; yields status and body.
async fn get(stream: impl AsyncRead + AsyncWrite + Unpin + Send, path: &str) -> anyhow::Result<(u16, Bytes)> {
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let request = http::Request::get(path).header("host", "engine").body(Empty::<Bytes>::new())?;
    let asking = async {
        let response = sender.send_request(request).await?;
        let status = response.status().as_u16();
        let body = Limited::new(response.into_body(), ANSWER_MAX).collect().await;
        let body = body.map_err(|error| anyhow::anyhow!("reading the engine's answer: {error}"))?;
        Ok((status, body.to_bytes()))
    };
    tokio::pin!(connection, asking);
    // The connection moves the bytes; when it ends first, the answer fails for that reason or is there already.
    tokio::select! {
        answer = &mut asking => answer,
        _ = &mut connection => asking.await,
    }
}

fn sizes(body: &[u8]) -> serde_json::Result<BTreeMap<String, u64>> {
    let usage: Usage = serde_json::from_slice(body)?;
    let sized = |volume: VolumeUsage| Some((volume.name, u64::try_from(volume.usage_data?.size).ok()?));
    Ok(usage.volumes.unwrap_or_default().into_iter().filter_map(sized).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn volumes_that_cannot_be_measured_are_left_out() {
        let body = br#"{"LayersSize": 1, "Volumes": [
            {"Name": "a", "UsageData": {"Size": 12, "RefCount": 1}},
            {"Name": "b", "UsageData": {"Size": -1, "RefCount": -1}},
            {"Name": "c"}]}"#;
        assert_eq!(sizes(body).unwrap(), BTreeMap::from([("a".to_owned(), 12)]));
        assert_eq!(sizes(br#"{"Volumes": null}"#).unwrap(), BTreeMap::new());
    }
}
