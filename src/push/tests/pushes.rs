//! What pushes do: what is deployed, what is refused, and with which words.

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn a_push_is_deployed_before_its_branch_moves() {
    let world = World::new().await;
    let first = world.commit("wait").await;
    // Seen while the deploy waits: output is live.
    let running = world.push_until(&["main"], "       waiting").await;
    assert_eq!(world.tip("main"), None, "the branch waits for the deploy");
    world.platform.go.add_permits(1);
    let (success, said) = running.end().await;
    assert!(success, "{said}");
    let order = ["-----> Deploying", "       waiting", "       done"].map(|line| said.find(line).expect(line));
    assert!(order.is_sorted(), "{said}");
    assert_eq!(world.tip("main").as_ref(), Some(&first));

    let second = world.commit("ok").await;
    assert!(world.push(&["-o", "redeploy", "-o", "key=a b", "HEAD:main"]).await.status.success());
    assert_eq!(world.tip("main").as_ref(), Some(&second));
    let [one, two] = &world.deploys()[..] else { panic!("{:?}", world.deploys()) };
    assert_eq!((one.user.as_str(), one.app.as_str(), one.old.as_ref()), ("bob", "app", None));
    assert_eq!((&one.commit, one.reference.as_str(), one.moved), (&first, "refs/heads/main", Some(true)));
    assert_eq!((two.old.as_ref(), &two.commit, two.moved), (Some(&first), &second, Some(true)));
    assert_eq!((&one.options, &two.options), (&vec![], &vec!["redeploy".to_owned(), "key=a b".to_owned()]));

    world.platform.go.add_permits(1);
    assert!(world.push(&["-f", "HEAD~1:main"]).await.status.success(), "going back is a deploy too");
    assert!(world.push(&["main:master"]).await.status.success());
    assert_eq!(world.tip("master").as_ref(), Some(&second));
    assert!(heard(&world.push(&["main:master"]).await).contains("Everything up-to-date"));
    world.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_deploy_leaves_nothing_and_the_commit_can_be_pushed_again() {
    let world = World::new().await;
    world.commit("fail").await;
    for _ in 0..2 {
        let output = world.push(&["main"]).await;
        let said = heard(&output);
        assert!(!output.status.success());
        assert!(said.contains("remote:  !     The build failed.\nremote:  !     Fix it."), "{said}");
        assert!(said.contains("! [remote rejected] main -> main (pre-receive hook declined)"), "{said}");
        assert_eq!(world.tip("main"), None);
        assert!(world.holds_nothing());
    }
    assert_eq!(world.deploys().len(), 2);
    world.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn other_references_are_refused_with_the_command_to_type() {
    let world = World::new().await;
    world.commit("ok").await;
    world.git("work", &["tag", "light"]).await;
    world.git("work", &["tag", "-a", "heavy", "-m", "heavy"]).await;
    world.git("work", &["branch", "dev"]).await;
    let commit = world.git("work", &["rev-parse", "HEAD"]).await;
    let refused = async |arguments: &[&str], line: &str| {
        let output = world.push(arguments).await;
        let said = heard(&output);
        assert!(!output.status.success() && said.contains(&format!("remote:  !     {line}")), "{arguments:?}: {said}");
        assert!(world.holds_nothing(), "{arguments:?}");
    };
    let not = "Only main and master are deployed, not";
    refused(&["dev"], &format!("{not} 'refs/heads/dev'. Type: git push <remote> dev:main")).await;
    refused(&["heavy"], &format!("{not} 'refs/tags/heavy'")).await;
    refused(&["main", "dev"], "Only main or master is deployed, one per push, not 'refs/heads/dev' and 1 more.").await;
    refused(&["main", "main:master"], "Only one of main and master can be deployed by a push.").await;
    refused(&["HEAD^{tree}:refs/heads/main"], "").await;
    let tag = world.git("work", &["rev-parse", "heavy"]).await;
    let advice = format!(
        "{} is an annotated tag, and a branch takes a commit. Type: git push <remote> {}:refs/heads/main",
        &tag[..10],
        &commit[..10]
    );
    refused(&["heavy:refs/heads/main"], &advice).await;
    assert_eq!(world.deploys().len(), 0);

    // The commands that were advised do work.
    for (advised, master) in [("heavy~0:refs/heads/main", "light:refs/heads/master")] {
        assert!(world.push(&[advised]).await.status.success());
        assert!(world.push(&[master]).await.status.success());
    }
    assert_eq!((world.tip("main").as_ref(), world.tip("master").as_ref()), (Some(&commit), Some(&commit)));
    let output = world.push(&[":main"]).await;
    assert!(
        heard(&output).contains("remote:  !     The deploy branch 'main' cannot be deleted."),
        "{}",
        heard(&output)
    );
    assert_eq!(world.tip("main"), Some(commit));
    world.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tags_come_along_with_the_branch_that_is_deployed() {
    let world = World::new().await;
    let first = world.commit("ok").await;
    world.git("work", &["tag", "-a", "v1", "-m", "first"]).await;
    world.git("work", &["tag", "light"]).await;
    world.git("work", &["config", "push.followTags", "true"]).await;
    let output = world.push(&["main"]).await;
    assert!(output.status.success(), "{}", heard(&output));
    assert_eq!(world.tip("main").as_ref(), Some(&first));
    assert_eq!(world.tag("v1").as_deref(), Some(&world.git("work", &["rev-parse", "v1"]).await[..]));
    assert_eq!(world.deploys()[0].moved, Some(true));

    // The branch is there already: git sends the tag alone.
    world.git("work", &["tag", "-a", "v2", "-m", "second"]).await;
    let output = world.push(&["main"]).await;
    let said = heard(&output);
    assert!(!output.status.success() && said.contains("git push --no-follow-tags <remote> main"), "{said}");
    assert!(world.push(&["--no-follow-tags", "main"]).await.status.success());
    assert_eq!(world.deploys().len(), 1);

    // A refused deploy takes its tags along; the next one brings them.
    world.commit("fail").await;
    assert!(!world.push(&["--tags", "main"]).await.status.success());
    assert_eq!((world.tag("v2"), world.tag("light")), (None, None));
    let last = world.commit("ok").await;
    assert!(world.push(&["--tags", "--atomic", "main"]).await.status.success());
    assert!(world.tag("v2").is_some() && world.tag("light") == Some(first));
    assert_eq!(world.tip("main"), Some(last));
    world.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shallow_clone_is_refused_unless_its_history_is_here() {
    let world = World::new().await;
    world.commit("ok").await;
    world.commit("ok").await;
    let source = format!("file://{}", world.path("work").display());
    world.git(".", &["clone", "-q", "--depth", "1", &source, "shallow"]).await;
    let push = || finish(world.command("shallow", &["push", &world.url("app").leak()[..], "main"]));
    let output = push().await;
    assert!(heard(&output).contains("Type: git fetch --unshallow && git push"), "{}", heard(&output));
    assert!(!output.status.success() && world.holds_nothing() && world.deploys().is_empty());
    assert!(world.push(&["main"]).await.status.success());
    world.git("shallow", &["commit", "-q", "--allow-empty", "-m", "more"]).await;
    let output = push().await;
    assert!(output.status.success(), "{}", heard(&output));
    assert!(!world.repository().join("shallow").exists());
    world.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_app_can_be_cloned_back_even_while_it_is_empty() {
    let world = World::new().await;
    let clone = async |folder: &str| {
        let output = finish(world.command(".", &["clone", &world.url("app"), folder])).await;
        assert!(output.status.success(), "{}", heard(&output));
        heard(&output)
    };
    assert!(clone("empty").await.contains("You appear to have cloned an empty repository"));
    fs::write(world.path("work/HEAD"), "harmless").unwrap();
    let commit = world.commit("ok").await;
    assert!(world.push(&["main"]).await.status.success());
    clone("full").await;
    assert_eq!(world.git("full", &["rev-parse", "HEAD"]).await, commit);
    assert_eq!(fs::read_to_string(world.path("full/HEAD")).unwrap(), "harmless");
    world.git("empty", &["pull", "-q", "origin", "main"]).await;
    world.close().await;
}

/// Bytes that do not compress.
fn noise(length: usize) -> Vec<u8> {
    let mut state = 88_172_645_463_325_252_u64;
    let step = |_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    (0..length / 8).flat_map(step).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_push_passes() {
    let world = World::new().await;
    fs::write(world.path("work/noise"), noise(20 << 20)).unwrap();
    let commit = world.commit("ok").await;
    let output = world.push(&["main"]).await;
    assert!(output.status.success(), "{}", heard(&output));
    assert_eq!(world.tip("main"), Some(commit));
    world.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_push_over_the_limit_is_refused_in_words() {
    let world = World::with_limit(1 << 20).await;
    // More than all queues on the way hold, so that the pusher is still sending when git refuses.
    fs::write(world.path("work/noise"), noise(12 << 20)).unwrap();
    world.commit("ok").await;
    let shared = world.shared_ssh_line();
    let mut push = world.command("work", &["push", &world.url("app"), "main"]);
    let output = finish(push.env("GIT_SSH_COMMAND", &shared)).await;
    let heard = heard(&output);
    assert!(!output.status.success() && heard.contains(" !     A push may have 1 MiB here."), "{heard}");
    assert!(heard.contains("! [remote rejected] main -> main (unpacker error)"), "{heard}");
    let mut check = Command::new("sh");
    let check = finish(check.arg("-c").arg(format!("{shared} -O check any"))).await;
    assert!(check.status.success(), "the connection ended with its channel");
    assert!(world.deploys().is_empty());
    wait_until("the refused objects are gone", || world.holds_nothing()).await;
    world.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pushes_to_one_app_wait_for_each_other_and_other_apps_do_not() {
    let world = World::new().await;
    world.commit("wait").await;
    let first = world.push_until(&["main"], "       waiting").await;
    world.git("work", &["checkout", "-q", "--detach"]).await;
    world.commit("ok").await;
    let (app, other) = (world.url("app"), world.url("other"));
    let mut second = world.command("work", &["push", &app, "HEAD:refs/heads/main"]).spawn().unwrap();
    let output = finish(world.command("work", &["push", &other, "HEAD:refs/heads/main"])).await;
    assert!(output.status.success(), "{}", heard(&output));
    assert!(second.try_wait().unwrap().is_none(), "the same app is locked");
    world.platform.go.add_permits(1);
    assert!(first.end().await.0);
    // The branch moved while it waited: git refuses the loser.
    assert!(!tokio::time::timeout(LIMIT, second.wait()).await.unwrap().unwrap().success());
    let moved: Vec<_> = world.deploys().into_iter().map(|deploy| (deploy.app, deploy.moved)).collect();
    let expect = [("app", true), ("other", true), ("app", false)].map(|(app, moved)| (app.to_owned(), Some(moved)));
    assert_eq!(moved, expect);
    world.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_channels_of_one_connection_work_at_the_same_time() {
    let world = World::new().await;
    world.commit("wait").await;
    let ssh = world.shared_ssh_line();
    let push = |app: &str| {
        let mut command = world.command("work", &["push", &world.url(app), "main"]);
        command.env("GIT_SSH_COMMAND", &ssh);
        command
    };
    let begun = |count: usize| world.deploys().len() == count;
    let (mut one, mut two) = (push("app"), push("other"));
    let one = tokio::spawn(async move { one.output().await.unwrap() });
    wait_until("the first deploy begins", || begun(1)).await;
    assert!(world.path("mux").exists(), "the connection is shared");
    let two = tokio::spawn(async move { two.output().await.unwrap() });
    wait_until("the second deploy begins", || begun(2)).await;
    world.platform.go.add_permits(2);
    for task in [one, two] {
        let output = tokio::time::timeout(LIMIT, task).await.unwrap().unwrap();
        assert!(output.status.success(), "{}", heard(&output));
    }
    world.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repository_of_another_hash_is_told_what_to_do() {
    let world = World::new().await;
    world.git(".", &["init", "-q", "--object-format=sha256", "-b", "main", "other-hash"]).await;
    world.git("other-hash", &["commit", "-q", "--allow-empty", "-m", "one"]).await;
    let url = world.url("app");
    // Git is gone when the line comes; its ssh is not.
    let output = finish(world.command("other-hash", &["push", &url, "main"])).await;
    let said = heard(&output);
    assert!(!output.status.success() && said.contains("--object-format=sha1 -b main ../copy"), "{said}");
    world.git(".", &["init", "-q", "--object-format=sha1", "-b", "main", "copy"]).await;
    let mut copy = Command::new("sh");
    copy.arg("-c")
        .arg("git fast-export --all | git -C ../copy fast-import --quiet")
        .current_dir(world.path("other-hash"));
    assert!(copy.status().await.unwrap().success());
    let output = finish(world.command("copy", &["push", &url, "main"])).await;
    assert!(output.status.success(), "{}", heard(&output));
    world.close().await;
}
