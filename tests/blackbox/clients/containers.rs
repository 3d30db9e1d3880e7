//! scale, ps, logs, run

use super::Story;
use crate::support::{Generation, LONG, wait_until};

/// `scale` starts and stops containers, and shows what runs then.
pub async fn scale(story: &Story<'_>) {
    let (bob, web, latest) = (&story.bob, story.web, story.next().await - 1);
    let up = |name: &str| format!("{name} up (v{latest})");
    let (first, second) = (up(&format!("{web}.1")), up(&format!("{web}.2")));
    let said = ["Scaling processes... but first, coffee!", "done in ", &first, &second];
    bob.can(&format!("scale {web}=2"), &said).await;
    assert_eq!(story.app().containers_of(web).await.len(), 2);
    if bob.generation == Generation::Second {
        bob.can("ps:scale worker=1", &[&first, &second, &up("worker.1")]).await;
        bob.can("ps:scale worker=0 web=2", &[]).await;
    }
    let output = bob.can(&format!("ps:scale {web}=1"), &[&first]).await;
    assert!(!output.contains(&second), "{output}");
    let unknown = "Container type nothing does not exist in application";
    bob.cannot("scale nothing=1", &["400 BAD REQUEST", "Detail:", unknown]).await;
    bob.cannot(&format!("scale {web}=-1"), &["400 BAD REQUEST", "Must be greater than or equal to zero"]).await;

    bob.can(&format!("scale {web}=0"), &["done in "]).await;
    story.app().ask("/").await.expect(503);
    bob.can(&format!("scale {web}=1"), &["done in "]).await;
    story.app().page().await;
}

/// `logs` has what the platform did and what the app said.
pub async fn logs(story: &Story<'_>) {
    let (bob, web) = (&story.bob, story.web);
    bob.can("logs", &["deis[api]: bob created initial release", &format!("deis[api]: bob scaled containers {web}=2")])
        .await;
    let tag = format!("{}[{web}.", story.app);
    story.app().ask("/a-page-for-the-log").await;
    wait_until("the app's output is in its log", LONG, async || {
        let output = bob.can("apps:logs", &[]).await;
        let is_there = output.lines().any(|line| line.contains(&tag) && line.contains("a-page-for-the-log"));
        if is_there { Ok(()) } else { Err(output) }
    })
    .await;
}

/// `run` prints what the command printed and ends as it ended.
pub async fn run(story: &Story<'_>) {
    let (bob, app) = (&story.bob, &story.app);
    bob.can("run echo hello", &["Running `echo hello`...\nhello\n"]).await;
    let finished = bob.run(&["run", "echo to both >&2; exit 3"]).await.failed().says(&["to both"]);
    assert_eq!(finished.code, Some(3));
    bob.run(&["run", "echo 'Hello, 世界'"]).await.succeeded().says(&["\nHello, 世界\n"]);
    let (version, head) = (story.next().await - 1, bob.repo.head());
    let env = [format!("\nDEIS_APP={app}\n"), format!("\nDEIS_RELEASE=v{version}\n"), format!("\nGIT_SHA={head}\n")];
    bob.run(&["run", "env"]).await.succeeded().says(&env.each_ref().map(String::as_str));
    bob.run(&["apps:run", "--", "ls", "-a"]).await.succeeded().says(&["VERSION"]);
    bob.can("logs", &["deis[api]: bob runs 'echo hello'"]).await;
}
