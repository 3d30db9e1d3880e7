//! How pushes end early: interrupted pushers, killed gits, a stopping server.

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn an_interrupted_push_is_cancelled_at_once_and_leaves_nothing() {
    let world = World::new().await;
    world.commit("wait").await;
    for signal in [Signal::INT, Signal::KILL] {
        let running = world.push_until(&["main"], "       waiting").await;
        let interrupted = Instant::now();
        running.signal(signal);
        wait_until("the deploy is cancelled", || world.deploys().last().unwrap().cancelled.is_some()).await;
        let cancelled = world.deploys().last().unwrap().cancelled.unwrap();
        let delay = cancelled.saturating_duration_since(interrupted);
        assert!(delay < Duration::from_secs(3), "{signal:?} was noticed after {delay:?}");
        assert!(!running.end().await.0);
        wait_until("git cleans up", || world.holds_nothing()).await;
    }
    world.platform.go.add_permits(1);
    assert!(world.push(&["main"]).await.status.success(), "the same commit can be pushed again");
    world.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_release_that_was_cut_moves_its_branch_without_the_pusher() {
    let world = World::new().await;
    let commit = world.commit("released").await;
    let running = world.push_until(&["main"], "       waiting").await;
    running.signal(Signal::INT);
    assert!(!running.end().await.0);
    world.platform.go.add_permits(1);
    wait_until("the lease is finished", || world.deploys()[0].moved.is_some()).await;
    assert_eq!(world.deploys()[0].moved, Some(true));
    assert_eq!(world.tip("main"), Some(commit));
    world.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pusher_who_does_not_read_holds_up_nobody() {
    let world = World::new().await;
    let commit = world.commit("released").await;
    let running = world.push_until(&["main"], "       waiting").await;
    running.signal(Signal::STOP);
    fs::write(world.path("work/deploy"), "loud").unwrap();
    world.platform.go.add_permits(1);
    wait_until("the lease is finished", || world.deploys()[0].moved == Some(true)).await;
    running.signal(Signal::KILL);
    assert_eq!(world.tip("main"), Some(commit));

    world.commit("loud").await;
    let running = world.push_until(&["main"], "-----> Deploying").await;
    running.signal(Signal::STOP);
    wait_until("the platform is done", || world.deploys()[1].has_returned).await;
    running.signal(Signal::KILL);
    wait_until("the lease is finished", || world.deploys()[1].moved.is_some()).await;
    world.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_said_arrives_in_order_however_much_it_is() {
    let world = World::new().await;
    world.commit("loud").await;
    let output = world.push(&["main"]).await;
    assert!(output.status.success());
    let said = heard(&output);
    let number = |line: &str| line.strip_prefix("remote:        line ")?.split(' ').next()?.parse::<u32>().ok();
    let numbers: Vec<u32> = said.lines().filter_map(number).collect();
    let left_out: u32 = said
        .lines()
        .filter_map(|line| line.strip_prefix("remote:        (")?.split(' ').next()?.parse::<u32>().ok())
        .sum();
    assert!(numbers.is_sorted());
    assert_eq!(numbers.len() as u32 + left_out, 100_000);
    assert!(said.contains("remote:        done"));
    world.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_git_that_dies_under_its_push_cancels_it() {
    let world = World::new().await;
    world.commit("wait").await;
    let running = world.push_until(&["main"], "       waiting").await;
    for pid in processes_of(&world.repository()) {
        // It may be a child that has just gone with its parent.
        let _ = rustix::process::kill_process(pid, Signal::KILL);
    }
    assert!(!running.end().await.0);
    wait_until("the deploy is cancelled", || world.deploys()[0].cancelled.is_some()).await;
    assert_eq!(world.tip("main"), None);
    world.platform.go.add_permits(1);
    assert!(world.push(&["main"]).await.status.success());
    world.close().await;
}

/// Processes with the repository on their command line.
fn processes_of(repository: &Path) -> Vec<Pid> {
    let path = repository.to_str().unwrap();
    let matches = |pid: &i32| {
        let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&line).contains(path)
    };
    let pids = fs::read_dir("/proc").unwrap().filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<i32>().ok());
    pids.filter(matches).filter_map(Pid::from_raw).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopping_server_cancels_its_pushes_and_takes_no_new_ones() {
    let world = World::new().await;
    world.commit("wait").await;
    let running = world.push_until(&["main"], "       waiting").await;
    world.stop.cancel();
    let (success, said) = running.end().await;
    assert!(!success && said.contains("remote:  !     Cancelled."), "{said}");
    assert!(world.holds_nothing());
    let output = world.push(&["main"]).await;
    assert!(!output.status.success() && !heard(&output).contains("remote:"), "{}", heard(&output));
    assert_eq!(world.deploys().len(), 1);
    world.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopping_server_lets_a_cut_release_move_its_branch() {
    let world = World::new().await;
    let commit = world.commit("released").await;
    let running = world.push_until(&["main"], "       waiting").await;
    world.stop.cancel();
    world.platform.go.add_permits(1);
    let (success, said) = running.end().await;
    assert!(success, "{said}");
    assert_eq!(world.tip("main"), Some(commit));
    assert_eq!(world.deploys()[0].moved, Some(true));
    world.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_connection_does_not_hold_up_a_stop() {
    let world = World::new().await;
    let _silent = tokio::net::TcpStream::connect(world.address).await.unwrap();
    let begun = Instant::now();
    world.close().await;
    assert!(begun.elapsed() < Duration::from_secs(10));
}
