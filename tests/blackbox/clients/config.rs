//! config:set, config:list, config:unset, config:pull, config:push

use super::Story;
use crate::support::Generation;

/// Config can come before there is anything to run.
pub async fn before_the_first_build(story: &Story<'_>) {
    let (bob, app) = (&story.bob, &story.app);
    bob.can("config", &[&format!("=== {app} Config"), "No configuration"]).await;
    let said = ["Creating config... done, v2", &format!("=== {app}"), "GREETING: hello", "NUMBER: 10"];
    bob.can("config:set GREETING=hello NUMBER=10", &said).await;
    bob.can("config:list --oneline", &["GREETING=hello NUMBER=10\n"]).await;
    assert_eq!(story.app().get("/config").await["values"]["NUMBER"], 10, "the client sends numbers as numbers");
    bob.can("config:unset NUMBER", &["Creating config... done, v3", "GREETING: hello"]).await;
    bob.cannot("config:set 1BAD=x", &["400 BAD REQUEST", "values"]).await;
    bob.run(&["config:set", "GREETING=Guten Tag, Welt = 世界"]).await.succeeded().says(&["done, v4", "Welt = 世界"]);
    bob.can("config:list", &["GREETING      Guten Tag, Welt = 世界"]).await;
    bob.can("config:set GREETING=hello", &["done, v5"]).await;
}

/// Every change is a release that is rolled out.
pub async fn change_a_running_app(story: &Story<'_>) {
    let (bob, next) = (&story.bob, story.next().await);
    assert_eq!(story.app().page().await["config"], "hello");
    bob.can("config:set GREETING=bonjour", &[&format!("done, v{next}"), "GREETING: bonjour"]).await;
    let page = story.app().page().await;
    assert_eq!((&page["release"], &page["config"]), (&format!("v{next}").into(), &"bonjour".into()));

    let file = bob.repo.tree().join(".env");
    let read = || std::fs::read_to_string(&file).expect("the client wrote it");
    bob.can("config:pull", &[]).await;
    assert_eq!(read(), "GREETING=bonjour\n");
    std::fs::write(&file, "GREETING=salut\n").expect("our own folder");
    bob.can("config:pull", &[]).await;
    assert_eq!(read(), "GREETING=salut\n");
    let done = format!("done, v{}", next + 1);
    if bob.generation == Generation::Second {
        bob.can("config:push", &[&done, "GREETING: salut"]).await;
        assert_eq!(story.app().page().await["config"], "salut");
    } else {
        bob.can("config:set GREETING=salut", &[&done]).await;
    }
    std::fs::write(&file, "GREETING=lost\n").expect("our own folder");
    bob.can("config:pull --overwrite", &[]).await;
    assert_eq!(read(), "GREETING=salut\n");
    std::fs::remove_file(&file).expect("our own file");
}
