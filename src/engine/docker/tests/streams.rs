//! Output and events, as they happen.

use futures_util::{StreamExt, TryStreamExt};

use super::support::{Corner, within};
use crate::engine::{ContainerLog, ContainerState, Engine, EngineError, ExitStatus, LogOutput};

#[tokio::test]
async fn output_comes_in_whole_lines_from_both_streams() {
    let corner = Corner::new().await;
    corner.image(&[]).await;
    let script =
        r#"echo one; sleep 0.2; echo two >&2; sleep 0.2; perl -e 'print "x" x 100000, "\n\xff\r\n"; print "no end"'"#;
    let spec = corner.spec("talks", script);
    corner.run(&spec).await;
    let logs = corner.docker.logs(&spec.name, 0, false).try_collect::<Vec<ContainerLog>>().await.unwrap();
    let lines = logs.iter().map(|line| (line.output, line.text.clone())).collect::<Vec<_>>();
    let expected = [
        (LogOutput::Stdout, "one".to_owned()),
        (LogOutput::Stderr, "two".to_owned()),
        (LogOutput::Stdout, "x".repeat(100_000)),
        (LogOutput::Stdout, "\u{fffd}".to_owned()),
        (LogOutput::Stdout, "no end".to_owned()),
    ];
    assert!(lines == expected, "{:?}", lines.iter().map(|(output, text)| (output, text.len())).collect::<Vec<_>>());
    assert!(logs.is_sorted_by_key(|line| line.nanos) && logs[0].nanos > 0);

    let later = logs[0].nanos / 1_000_000_000 + 60;
    assert!(corner.docker.logs(&spec.name, later, false).try_collect::<Vec<_>>().await.unwrap().is_empty());
    let missing = corner.docker.logs(&corner.name("nobody"), 0, true).next().await;
    assert!(matches!(missing, Some(Err(EngineError::NotFound { .. }))), "{missing:?}");
}

#[tokio::test]
async fn attached_before_the_start_one_gets_every_byte() {
    let corner = Corner::new().await;
    corner.image(&[]).await;
    let spec = corner.spec("raw", r#"exec 2>&1; echo one; echo two >&2; perl -e 'print "\xff\r\n", "x" x 100000'"#);
    let id = corner.docker.create_container(&spec).await.unwrap();
    let chunks = corner.docker.attach(&id).await.unwrap();
    corner.docker.start_container(&id).await.unwrap();
    let bytes = within("it ends", chunks.try_collect::<Vec<_>>()).await.unwrap().concat();
    assert!(bytes == [b"one\ntwo\n\xff\r\n".as_slice(), &[b'x'; 100_000]].concat(), "{} bytes", bytes.len());
    let missing = corner.docker.attach(&corner.name("nobody")).await.map(drop);
    assert!(matches!(missing, Err(EngineError::NotFound { .. })), "{missing:?}");
}

#[tokio::test]
async fn output_is_followed_until_the_end() {
    let corner = Corner::new().await;
    corner.image(&[]).await;
    let spec = corner.spec("follow", "echo ready; while ! cat /data/go 2>&-; do sleep 0.1; done; exit 3");
    let id = corner.start(&spec).await;
    let mut lines = corner.docker.logs(&id, 0, true);
    assert_eq!(within("it is ready", lines.next()).await.unwrap().unwrap().text, "ready");
    let go = crate::engine::small_archive([(std::path::Path::new("go"), 0o644, b"went\n".as_slice())], 0).unwrap();
    corner.docker.upload(&id, "/data", crate::engine::byte_stream(go)).await.unwrap();
    assert_eq!(within("it goes on", lines.next()).await.unwrap().unwrap().text, "went");
    assert!(within("it ends", lines.next()).await.is_none());
    assert_eq!(corner.docker.wait_container(&id).await.unwrap().code, 3);
}

#[tokio::test]
async fn events_tell_of_labelled_containers_only() {
    let corner = Corner::new().await;
    corner.image(&[]).await;
    let mut labels = corner.labels();
    labels.insert("colour".to_owned(), "blue".to_owned());
    // What happens before the stream is first polled is not lost.
    let events = corner.docker.events(&labels);
    let stranger = corner.start(&corner.spec("stranger", "exit 0")).await;
    corner.docker.remove_container(&stranger).await.unwrap();

    let mut spec = corner.spec("greedy", r#"exec perl -e '$x = "x" x (200 << 20)'"#);
    spec.resources.memory_bytes = Some(32 << 20);
    spec.labels = labels.clone();
    let id = corner.start(&spec).await;
    corner.docker.wait_container(&id).await.unwrap();
    corner.docker.remove_container(&id).await.unwrap();

    let mut is_over = false;
    let until_the_end = events.take_while(|event| {
        let goes_on = !is_over;
        is_over = event.as_ref().is_ok_and(|event| event.action == "destroy");
        std::future::ready(goes_on)
    });
    // The stream itself has no end: one more event is needed to notice that the last one came.
    let nudge = async {
        let mut spec = corner.spec("nudge", "exit 0");
        spec.labels = labels.clone();
        let id = corner.start(&spec).await;
        corner.docker.remove_container(&id).await.unwrap();
        std::future::pending::<()>().await;
    };
    let collected = async {
        tokio::select! {
            events = until_the_end.try_collect::<Vec<_>>() => events,
            () = nudge => unreachable!("it never ends"),
        }
    };
    let events = within("all events come", collected).await.unwrap();
    assert!(events.iter().all(|event| event.container == id && event.labels == spec.labels), "{events:?}");
    let mut actions = events.iter().map(|event| event.action.as_str()).collect::<Vec<_>>();
    assert_eq!((actions.first(), actions.last()), (Some(&"start"), Some(&"destroy")));
    // Some kernels do not tell the engine of it.
    actions.retain(|action| *action != "oom");
    assert_eq!(actions, ["start", "die", "destroy"]);
}

/// The engine itself tells too early.
#[tokio::test]
async fn a_death_that_was_told_of_is_listed() {
    let corner = Corner::new().await;
    corner.image(&[]).await;
    for round in 0..5 {
        let mut labels = corner.labels();
        labels.insert("round".to_owned(), round.to_string());
        let mut events = corner.docker.events(&labels);
        let mut spec = corner.spec(&format!("ends-{round}"), "exit 3");
        spec.labels = labels.clone();
        let id = corner.start(&spec).await;
        while within("it ends", events.next()).await.unwrap().unwrap().action != "die" {}
        let listed = corner.docker.containers(&labels).await.unwrap();
        let ended = ContainerState::Exited(ExitStatus { code: 3, out_of_memory: false });
        assert_eq!(listed.iter().map(|it| (&it.id, &it.state)).collect::<Vec<_>>(), [(&id, &ended)], "round {round}");
    }
}
