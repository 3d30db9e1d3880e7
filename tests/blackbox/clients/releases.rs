//! releases, releases:info, rollback

use super::Story;

pub async fn look_and_roll_back(story: &Story<'_>) {
    let (bob, app) = (&story.bob, &story.app);
    let heading = format!("=== {app} Releases");
    let output = bob.can("releases", &[&heading, "bob created initial release", "bob deployed "]).await;
    let first = output.lines().find(|line| line.starts_with("v1 ")).expect("the first release");
    assert!(["Just now", " ago ", "Yesterday at "].iter().any(|when| first.contains(when)), "{first}");
    bob.can("releases:info v2", &["\"version\": 2", "\"summary\": \"bob added ", "\"build\": null"]).await;
    bob.can("releases:info 1", &["\"version\": 1", "bob created initial release"]).await;
    bob.cannot("releases:info v99", &["404 NOT FOUND", "Not found"]).await;

    // The one after it greets with "bonjour".
    let (latest, back) = (story.next().await - 1, story.pushed().await + 1);
    let pulled = story.app().get(&format!("/releases/v{latest}")).await["build"].clone();
    let done = |version: u64| format!("done, v{version}");
    bob.can(&format!("rollback v{back}"), &[&format!("Rolling back to v{back}... {}", done(latest + 1))]).await;
    let page = story.app().page().await;
    assert_eq!((&page["release"], &page["config"]), (&format!("v{}", latest + 1).into(), &"bonjour".into()));
    bob.can("releases:rollback", &[&format!("Rolling back one release... {}", done(latest + 2))]).await;
    let release = story.app().get(&format!("/releases/v{}", latest + 2)).await;
    assert_eq!(release["build"], pulled);
    bob.can("releases", &[&format!("bob rolled back to v{back}"), &format!("bob rolled back to v{latest}")]).await;
    bob.cannot("rollback v99", &["404 NOT FOUND"]).await;
    bob.cannot("rollback v0", &["400 BAD REQUEST", "version cannot be below 0"]).await;
    assert_eq!(story.app().versions().await[0], latest + 2);
}
