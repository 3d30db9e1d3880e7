//! git push through the remote that the client made, builds:create

use super::Story;
use crate::support::Generation;

/// A push to the client's own remote deploys; the documents of Deis push master.
pub async fn push(story: &Story<'_>) {
    let (bob, app, next) = (&story.bob, &story.app, story.next().await);
    let head = bob.repo.head();
    let pushed = bob.git("push deis HEAD:refs/heads/master").await.succeeded();
    pushed.says(&[&format!("{app}:v{next} deployed to Slipway"), &format!("http://{app}.localhost")]);
    let page = story.app().page().await;
    assert_eq!((&page["version"], &page["sha"]), (&"1".into(), &head.into()));
    bob.can("ps", &[&format!("--- {}:", story.web), &format!("{}.1 up (v{next})", story.web)]).await;
    let build = story.app().get("/builds").await["results"][0]["uuid"].as_str().expect("a uuid").to_owned();
    bob.can("builds:list", &[&format!("=== {app} Builds"), &build]).await;

    story.eve.git(&format!("remote add deis ssh://git@127.0.0.1:2222/{app}.git")).await.succeeded();
    story.eve.git("push deis HEAD:refs/heads/master").await.failed();
}

/// `pull` deploys an image that was built elsewhere.
pub async fn pull(story: &Story<'_>) {
    let bob = &story.bob;
    let next = story.next().await;
    let image = story.server.foreign_image("docker-web").await;
    let done = format!("Creating build... done, v{next}");
    if bob.generation == Generation::Second {
        // It would send the Procfile of this folder, which is about another program.
        let procfile = "web: FROM_PROCFILE=1 exec python3 server.py";
        bob.run(&["pull", &image, "--procfile", procfile]).await.succeeded().says(&[&done]);
        assert_eq!(story.app().ask("/env/FROM_PROCFILE").await.json()["FROM_PROCFILE"], "1");
    } else {
        bob.can(&format!("pull {image}"), &[&done]).await;
    }
    assert_eq!(story.app().page().await["release"], format!("v{next}"));
    bob.can("releases", &[&format!("bob deployed {image}")]).await;
    let nowhere = ["503 SERVICE UNAVAILABLE", "Detail:", "slipway-test/nowhere"];
    bob.cannot(&format!("builds:create slipway-test/nowhere:1 --app={}", story.app), &nowhere).await;
    assert_eq!(story.next().await, next + 1);
}
