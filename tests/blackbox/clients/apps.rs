//! create, apps, open, destroy

use super::Story;
use crate::support::{Generation, fresh_name};

/// `create`, named by its owner, by the platform and by the folder.
pub async fn create(story: &Story<'_>) {
    let (bob, app) = (&story.bob, &story.app);
    bob.can(&format!("create {app}"), &[&format!("done, created {app}"), "Git remote deis added"]).await;
    // git shows where the rule in its configuration leads; what the client wrote is the hard-coded port.
    let written = bob.git("config remote.deis.url").await.succeeded().output();
    assert_eq!(written.trim(), format!("ssh://git@127.0.0.1:2222/{app}.git"));
    bob.cannot(&format!("create {app}"), &["400 BAD REQUEST", "id", "This field must be unique."]).await;
    bob.cannot("create Bad_Name", &["400 BAD REQUEST", "App IDs can only contain [a-z0-9-]."]).await;

    let output = bob.can("create --no-remote", &["remote available at ssh://git@127.0.0.1:2222/"]).await;
    let named = output.split_once("created ").and_then(|(_, rest)| rest.lines().next()).expect("its name").to_owned();
    let (adjective, noun) = named.split_once('-').expect("two words");
    let is_word = |word: &str| !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_lowercase());
    assert!(is_word(adjective) && is_word(noun), "{named}");

    let folder = bob.home().join(fresh_name("Folder"));
    std::fs::create_dir(&folder).expect("our own folder");
    let name = folder.file_name().and_then(|name| name.to_str()).expect("ASCII").to_lowercase();
    bob.run_at(&folder, &["create"]).await.succeeded().says(&[&format!("done, created {name}")]);

    bob.can("apps", &["=== Apps", app, &named, &name]).await;
    story.ada.can("apps:list", &[app, &named, &name]).await;
    assert_eq!(story.eve.can("apps:list", &[]).await.trim(), "=== Apps");
    for gone in [&named, &name] {
        destroy_other(story, gone).await;
    }
    assert_eq!(bob.can("apps:list", &[]).await.trim(), format!("=== Apps\n{app}"));
    if bob.generation == Generation::Second {
        more_remotes(story).await;
    }
}

/// From outside the working copy: client 1.0.2 removes the remote of the repository it is in, whatever app is destroyed.
async fn destroy_other(story: &Story<'_>, app: &str) {
    let words = ["destroy", &format!("--app={app}"), &format!("--confirm={app}")];
    let destroyed = story.bob.run_at(story.bob.home(), &words).await.succeeded();
    destroyed.says(&[&format!("Destroying {app}..."), "done in "]);
}

/// What client 1.5.2 does beyond that.
async fn more_remotes(story: &Story<'_>) {
    let bob = &story.bob;
    let other = fresh_name("other");
    let buildpack = "https://example.com/buildpack.git";
    let command = format!("create {other} --remote=production --buildpack={buildpack}");
    bob.can(&command, &[&format!("BUILDPACK_URL: {buildpack}"), "Git remote production added"]).await;
    bob.can(&format!("config --app={other}"), &[buildpack]).await;
    destroy_other(story, &other).await;
}

/// What the client says about an app that has nothing to run, and about one that is not there.
pub async fn nothing_runs_before_the_first_build(story: &Story<'_>) {
    let (bob, app) = (&story.bob, &story.app);
    bob.can("ps", &[&format!("=== {app} Processes")]).await;
    bob.can("builds", &[&format!("=== {app} Builds")]).await;
    bob.can("logs", &["bob created initial release"]).await;
    bob.cannot("scale web=1", &["400 BAD REQUEST", "Detail:", "No build associated with this release"]).await;
    let no_build = "No build associated with this release to run this command";
    bob.cannot("run ls", &["Running `ls`...", "400 BAD REQUEST", "Detail:", no_build]).await;
    for command in ["logs", "ps", "config", "releases"] {
        bob.cannot(&format!("{command} --app=no-such-app"), &["404 NOT FOUND", "Detail:", "Not found"]).await;
    }
    bob.app(app).ask("/").await.expect(503);
}

/// `open` hands the app's address to the browser.
pub async fn open(story: &Story<'_>) {
    story.bob.can("open", &[]).await;
    assert_eq!(story.bob.opened(), format!("http://{}.localhost/\n", story.app));
}

/// `destroy` asks for the app's name first.
pub async fn destroy(story: &Story<'_>) {
    let (bob, app) = (&story.bob, &story.app);
    let warning = "WARNING: Potentially Destructive Action";
    bob.type_in("destroy", "something-else\n").await.succeeded().says(&[warning, "Destroy aborted"]);
    story.app().page().await;
    let typed = format!("{app}\n");
    let destroying = format!("Destroying {app}...");
    bob.type_in("destroy", &typed).await.succeeded().says(&[&destroying, "done in ", "Git remote deis removed"]);
    assert_eq!(bob.can("apps", &[]).await.trim(), "=== Apps");
    assert_eq!(story.app().ask("/").await.status, 404);
    assert_eq!(story.app().containers().await, []);
    let again = format!("apps:destroy --app={app} --confirm={app}");
    match bob.generation {
        Generation::First => drop(bob.can(&again, &["done in "]).await),
        Generation::Second => bob.cannot(&again, &["404 NOT FOUND", "Not found"]).await,
    }
}
