//! perms:create, perms:list, perms:delete, for an app and for administrators

use super::Story;

/// What somebody else's app is answered with, as one that does not exist.
const MISSING: &[&str] = &["404 NOT FOUND", "Detail:", "Not found"];
const FORBIDDEN: &[&str] = &["403 FORBIDDEN", "Detail:", "You do not have permission to perform this action."];

/// eve is let in, works on the app, and is put out again.
pub async fn share(story: &Story<'_>) {
    let (bob, eve, app) = (&story.bob, &story.eve, &story.app);
    let for_app = |command: &str| format!("{command} --app={app}");
    for command in ["info", "config:set A=1", "releases", "logs", "scale web=1", "perms:create eve", "rollback v6"] {
        eve.cannot(&for_app(command), MISSING).await;
    }
    bob.can("perms", &["\"users\": []"]).await;
    bob.can("perms:create eve", &[&format!("Adding eve to {app} collaborators... done")]).await;
    bob.can("perms:list", &["\"users\": [\n    \"eve\"\n  ]"]).await;
    bob.cannot("perms:create nobody", &["404 NOT FOUND", "Not found"]).await;

    eve.can("apps", &[app]).await;
    let next = story.next().await;
    eve.can(&for_app("config:set EVE=was-here"), &[&format!("done, v{next}"), "EVE: was-here"]).await;
    eve.can(&for_app("releases"), &["eve added EVE"]).await;
    eve.repo.commit_file("VERSION", "of-eve");
    let pushed = eve.git("push --force deis HEAD:refs/heads/master").await.succeeded();
    pushed.says(&[&format!("{app}:v{} deployed to Slipway", next + 1)]);
    assert_eq!(story.app().page().await["version"], "of-eve");
    eve.cannot(&for_app("sharing:add ada"), FORBIDDEN).await;
    eve.cannot(&for_app(&format!("destroy --confirm={app}")), FORBIDDEN).await;

    bob.can("sharing", &["\"eve\""]).await;
    bob.can("sharing:remove eve", &[&format!("Removing eve from {app} collaborators... done")]).await;
    bob.cannot("perms:delete eve", FORBIDDEN).await;
    eve.cannot(&for_app("info"), MISSING).await;
    eve.git("push deis HEAD~1:refs/heads/other").await.failed();
}

/// An administrator may do everything with every app.
pub async fn appoint(story: &Story<'_>) {
    let (ada, bob, eve, app) = (&story.ada, &story.bob, &story.eve, &story.app);
    for command in ["perms:list --admin", "perms:create bob --admin", "perms:delete ada --admin"] {
        bob.cannot(command, FORBIDDEN).await;
    }
    ada.can("perms:list --admin", &["\"count\": 1", "\"username\": \"ada\"", "\"is_superuser\": true"]).await;
    ada.can("perms:create eve --admin", &["Adding eve to system administrators... done"]).await;
    ada.can("perms:list --admin", &["\"username\": \"ada\"", "\"username\": \"eve\""]).await;
    eve.can(&format!("releases --app={app}"), &[&format!("=== {app} Releases")]).await;
    ada.can("perms:delete eve --admin", &["Remove eve from system administrators... done"]).await;
    eve.cannot(&format!("releases --app={app}"), MISSING).await;
    ada.cannot("perms:create nobody --admin", &["404 NOT FOUND"]).await;
}
