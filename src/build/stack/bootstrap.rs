//! A minimal Debian made on this host, where no registry gives one.

use std::process::Stdio;

use futures_util::stream;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::process::{Child, Command};

use super::BuildError;
use crate::build::output::detail;
use crate::engine::{ByteStream, Engine, LineSink};

/// Arguments of `mmdebstrap`, after which comes the tar archive on its standard output. Documents that no program reads
/// stay out; copyright files stay in.
pub(super) const BOOTSTRAP: [&str; 8] = [
    "--variant=minbase",
    "--include=ca-certificates",
    "--dpkgopt=path-exclude=/usr/share/doc/*",
    "--dpkgopt=path-include=/usr/share/doc/*/copyright",
    "--dpkgopt=path-exclude=/usr/share/man/*",
    "--dpkgopt=path-exclude=/usr/share/locale/*",
    "--format=tar",
    "bookworm",
];

/// Bootstraps a minimal Debian on this host and imports it.
pub(super) async fn bootstrap(
    engine: &dyn Engine,
    reference: &str,
    changes: &[String],
    on_line: LineSink<'_>,
) -> Result<(), BuildError> {
    let mut child = Command::new("mmdebstrap")
        .args(BOOTSTRAP)
        .arg("-")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => BuildError::Refused(
                "the base image cannot be pulled, and mmdebstrap is not installed; type: apt-get install mmdebstrap"
                    .into(),
            ),
            _ => BuildError::Io { action: "starting mmdebstrap".into(), source: error },
        })?;
    let rootfs = stdout_stream(&mut child);
    let messages = child.stderr.take().expect("stderr was asked for");
    let (imported, last) = tokio::join!(engine.import_image(reference, rootfs, changes), report(messages, on_line));
    let status = child.wait().await.map_err(BuildError::io("waiting for mmdebstrap"))?;
    if !status.success() {
        // The import cannot know that its input was cut short.
        engine.remove_image(reference).await?;
        return Err(BuildError::Failed {
            stage: "mmdebstrap".into(),
            status: if last.is_empty() { status.to_string() } else { last },
            hint: "It runs as root and needs a Debian package mirror; then type: slipway stack build".into(),
        });
    }
    imported?;
    Ok(())
}

/// The archive as it is written.
fn stdout_stream(child: &mut Child) -> ByteStream {
    let stdout = child.stdout.take().expect("stdout was asked for");
    Box::pin(stream::try_unfold(stdout, |mut stdout| async move {
        let mut chunk = bytes::BytesMut::with_capacity(256 << 10);
        let count = stdout.read_buf(&mut chunk).await?;
        Ok((count > 0).then(|| (chunk.freeze(), stdout)))
    }))
}

/// Passes on the program's messages; yields the last one.
async fn report(messages: impl tokio::io::AsyncRead + Unpin, on_line: LineSink<'_>) -> String {
    let mut lines = BufReader::new(messages).lines();
    let mut last = String::new();
    while let Ok(Some(line)) = lines.next_line().await {
        detail(on_line, &line);
        last = line;
    }
    last
}
