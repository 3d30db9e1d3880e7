//! Builds images from a Dockerfile context.

use std::collections::{BTreeMap, HashMap};
use std::io;

use bollard::errors::Error;
use bollard::models::BuildInfo;
use bollard::query_parameters::{BuildImageOptions, BuildImageOptionsBuilder, BuilderVersion};
use futures_util::StreamExt;
use tokio::sync::mpsc;

use super::Docker;
use super::act::{Act, broke_off};
use super::build_output::BuildOutput;
use super::session::{self, EngineAddress};
use super::transfer::{RequestBody, Upload};
use crate::engine::{ByteStream, EngineError, Image, ImageBuild, LineSink};

/// Which of the engine's two builders.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Builder {
    BuildKit,
    Classic,
}

/// What the builders put in front of the part of an error that helps.
const WRAPPINGS: [&str; 4] = [
    "failed to solve with frontend dockerfile.v0: ",
    "failed to solve: ",
    "failed to create LLB definition: ",
    "rpc error: code = Unknown desc = ",
];

impl Docker {
    /// Builds until done: how long a build may take is the caller's business. Dropping the future hangs up, which stops
    /// the build on the engine's side.
    pub(super) async fn build(
        &self,
        builder: Builder,
        build: &ImageBuild,
        context: ByteStream,
        on_line: LineSink<'_>,
    ) -> Result<Image, EngineError> {
        let act = Act::on("building", "image", &build.tag);
        let (upload, body) = Upload::new(context);
        if builder == Builder::Classic && !build.secrets.0.is_empty() {
            return Err(EngineError::BuildFailed(
                "this engine builds without BuildKit, which build secrets need: Docker Engine has it \
                 from 18.09 on"
                    .to_owned(),
            ));
        }
        let secrets = Some(&build.secrets.0).filter(|secrets| !secrets.is_empty());
        let session = secrets.map(|secrets| (self.address.clone(), secrets.clone()));
        let mut messages = request(self.client.clone(), options(builder, build), body, session)
            .map_err(|source| EngineError::Io { action: act.action(), source })?;
        let mut output = BuildOutput::default();
        let read = read(&mut messages, &mut output, on_line).await;
        output.finish(on_line);
        let broken = read.map_err(|error| build_error(&act, &upload, error))?;
        let Some(id) = output.image() else {
            return Err(EngineError::BuildFailed("the engine ended the build without an image".to_owned()));
        };
        match (self.inspect_image(&build.tag).await, broken) {
            (image, None) => image,
            (Ok(image), Some(_)) if image.id == id => Ok(image),
            (_, Some(error)) => Err(build_error(&act, &upload, error)),
        }
    }
}

/// Reads the answer to its end. Returns how it broke off where that came after the result: whether the image is there is then
/// to be seen at the image.
async fn read(
    messages: &mut mpsc::Receiver<Result<BuildInfo, Error>>,
    output: &mut BuildOutput,
    on_line: LineSink<'_>,
) -> Result<Option<Error>, Error> {
    while let Some(message) = messages.recv().await {
        match message {
            Ok(message) => output.take(message, on_line),
            Err(error) if output.image().is_some() && broke_off(&error) => return Ok(Some(error)),
            Err(error) => return Err(error),
        }
    }
    Ok(None)
}

/// Sends a build request, on a thread with a runtime of its own, which ends when the build does or when the receiver is
/// dropped.
///
/// For each BuildKit session the client library spawns a task that nobody can reach; it keeps a connection to the engine
/// for as long as its runtime lives.
fn request(
    client: bollard::Docker,
    options: BuildImageOptions,
    body: RequestBody,
    secrets: Option<(EngineAddress, BTreeMap<String, String>)>,
) -> io::Result<mpsc::Receiver<Result<BuildInfo, Error>>> {
    let (sender, receiver) = mpsc::channel(64);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let build = async move {
        let mut own_session = None;
        if let (Some((address, secrets)), Some(id)) = (secrets, &options.session) {
            match session::open(&address, id, secrets).await {
                Ok(session) => own_session = Some(session),
                Err(err) => {
                    // Nobody is left to hear it when this fails.
                    let _ = sender.send(Err(Error::IOError { err })).await;
                    return;
                }
            }
        }
        let serving = async {
            if let Some(session) = own_session {
                session.await;
            }
            std::future::pending::<()>().await;
        };
        let mut messages = client.build_image(options, None, Some(body)).boxed();
        let forward = async {
            while let Some(message) = messages.next().await {
                if sender.send(message).await.is_err() {
                    break;
                }
            }
        };
        tokio::select! {
            () = forward => {}
            () = sender.closed() => {}
            () = serving => {}
        }
    };
    std::thread::Builder::new().name("image-build".to_owned()).spawn(move || runtime.block_on(build))?;
    Ok(receiver)
}

fn options(builder: Builder, build: &ImageBuild) -> BuildImageOptions {
    let options = BuildImageOptionsBuilder::default()
        .t(&build.tag)
        .dockerfile(&build.dockerfile)
        .buildargs(&build.args.clone().into_iter().collect::<HashMap<_, _>>())
        .labels(&build.labels.clone().into_iter().collect::<HashMap<_, _>>())
        .nocache(build.no_cache)
        .target(build.target.as_deref().unwrap_or_default())
        .rm(true)
        .forcerm(true);
    let options = match &build.mark {
        Some(mark) => options.extrahosts(&format!("{mark}:127.0.0.1")),
        None => options,
    };
    if builder == Builder::BuildKit {
        let session = uuid::Uuid::new_v4().to_string();
        return options.version(BuilderVersion::BuilderBuildKit).session(&session).build();
    }
    let mut options = options.build();
    // The client library counts in 32 bits; a bound beyond that becomes 2 GiB rather than none.
    let bound = |value: i64| i32::try_from(value).unwrap_or(i32::MAX);
    options.memory = build.resources.memory_bytes.map(bound);
    options.memswap = options.memory;
    options.cpushares = build.resources.cpu_shares.map(bound);
    options
}

/// Sorts the end of a build: a Dockerfile that does not build is the author's to fix, an engine that is gone is not.
fn build_error(act: &Act, upload: &Upload, error: Error) -> EngineError {
    match error {
        Error::DockerStreamError { error } => EngineError::BuildFailed(cleaned(&error)),
        Error::DockerResponseServerError { message, .. } => EngineError::BuildFailed(cleaned(&message)),
        other => upload.failed(act, other),
    }
}

/// The engine's message without its wrappings.
fn cleaned(message: &str) -> String {
    let mut rest = message.trim();
    while let Some(inner) = WRAPPINGS.iter().find_map(|wrapping| rest.strip_prefix(wrapping)) {
        rest = inner;
    }
    rest.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_lose_their_wrappings() {
        let message = "failed to solve with frontend dockerfile.v0: failed to create LLB definition: dockerfile parse \
                       error line 2: unknown instruction: RUNN\n";
        assert_eq!(cleaned(message), "dockerfile parse error line 2: unknown instruction: RUNN");
        assert_eq!(
            cleaned("executor failed running [/bin/sh -c false]: exit code: 1"),
            "executor failed running [/bin/sh -c false]: exit code: 1"
        );
    }

    #[tokio::test]
    async fn an_answer_that_breaks_off_behind_its_result_has_a_result() {
        let image = || {
            let id = bollard::models::ImageId { id: Some("sha256:ab".to_owned()) };
            Ok(BuildInfo { aux: Some(bollard::models::BuildInfoAux::Default(id)), ..BuildInfo::default() })
        };
        let line = || Ok(BuildInfo { stream: Some("Successfully tagged a\n".to_owned()), ..BuildInfo::default() });
        let cut = || Err(Error::IOError { err: io::Error::other("bytes remaining on stream") });
        let said = || Err(Error::DockerStreamError { error: "exit code: 1".to_owned() });
        let check = async |answer: Vec<Result<BuildInfo, Error>>, expect: Result<bool, ()>, id: Option<&str>| {
            let (sender, mut messages) = mpsc::channel(8);
            for message in answer {
                sender.send(message).await.unwrap();
            }
            drop(sender);
            let mut output = BuildOutput::default();
            let read = read(&mut messages, &mut output, &|_| {}).await;
            assert_eq!(read.map(|broken| broken.is_some()).map_err(drop), expect);
            assert_eq!(output.image(), id);
        };
        check(vec![line(), image(), line()], Ok(false), Some("sha256:ab")).await;
        check(vec![image(), line(), cut()], Ok(true), Some("sha256:ab")).await;
        check(vec![line(), cut()], Err(()), None).await;
        check(vec![image(), said()], Err(()), Some("sha256:ab")).await;
    }

    #[test]
    fn bounds_go_to_the_classic_builder_only() {
        let resources = crate::engine::Resources { memory_bytes: Some(1 << 20), cpu_shares: Some(512), pids: Some(9) };
        let build = ImageBuild { resources, ..ImageBuild::default() };
        let classic = options(Builder::Classic, &build);
        assert_eq!((classic.memory, classic.memswap, classic.cpushares), (Some(1 << 20), Some(1 << 20), Some(512)));
        assert_eq!(classic.session, None);
        let buildkit = options(Builder::BuildKit, &build);
        assert_eq!(buildkit.memory, None);
        assert_ne!(buildkit.session, options(Builder::BuildKit, &build).session);
    }
}
