//! Groups over a real database and the engine in memory: their life, faults, crashes, policies.

mod crashes;
mod of_apps;
mod policies;
pub(in crate::platform) mod world;

use std::collections::BTreeSet;

use super::*;
use crate::model::{
    CredentialTerms, GroupInstanceState, LinkUrl, Protocol, REGISTRY_PASSWORD, REGISTRY_USERNAME, User,
};
use crate::platform::Error;
use world::{IMAGE, World, new_group};

#[tokio::test]
async fn a_group_lives_and_its_containers_keep_what_they_have() {
    let world = World::new().await;
    let made = world.platform.create_group(&world.user, NewGroup { wanted: 2, ..new_group() }).await.unwrap();
    let view = &made.view;
    assert_eq!((view.state, view.instances.len(), view.counts.current), (GroupState::Starting, 2, 2));
    assert_eq!((view.group.name.as_str(), view.group.unique_name.as_str()), ("hello", "hello"));
    assert_eq!(view.group.deployed_at, None);
    let id = view.group.id;
    let running = world.until(id, GroupState::Running).await.view;
    assert!(running.group.deployed_at.is_some() && running.group.started_at.is_some());
    assert_eq!(running.group.ports.iter().map(|port| port.inner).collect::<Vec<_>>(), [5000]);
    assert_eq!(running.web_host.as_deref(), Some("hello.example.com"));
    let mut before = Vec::new();
    for instance in &running.instances {
        let one = world.one(*instance).await;
        assert_eq!((one.ports.len(), one.ports[0].inner, one.exit_code), (1, 5000, None));
        before.push((world.container(*instance).unwrap(), one.ports));
    }
    assert_ne!(before[0].1, before[1].1, "each has ports of its own");

    let stopping = world.platform.stop_group(&world.user, id).await.unwrap().view;
    assert_eq!(stopping.state, GroupState::Stopping);
    let stopped = world.until(id, GroupState::Stopped).await.view;
    assert!(stopped.group.stopped_at.is_some());
    let one = world.one(stopped.instances[0]).await;
    assert_eq!(
        (one.exit_code, one.exit_message.as_deref()),
        (Some(143), Some("Exit code 143 (Ended by signal SIGTERM)"))
    );
    let refused = world.platform.stop_group(&world.user, id).await.unwrap_err();
    assert!(matches!(&refused, Error::Refused(text) if text.contains("while it is stopped")), "{refused:?}");

    world.platform.start_group(&world.user, id).await.unwrap();
    let again = world.until(id, GroupState::Running).await.view;
    assert!(again.group.started_at > stopped.group.stopped_at);
    for (instance, before) in again.instances.iter().zip(before) {
        let one = world.one(*instance).await;
        assert_eq!((world.container(*instance).unwrap(), one.ports), before, "the same container, the same ports");
        assert_eq!(one.exit_code, None);
    }
}

#[tokio::test]
async fn a_group_is_scaled_by_its_highest_numbers() {
    let world = World::new().await;
    let id = world.running("web", 2).await;
    let kept = world.detail(id).await.view.instances;
    let change = GroupChange { wanted: Some(4), ..GroupChange::default() };
    let scaling = world.platform.update_group(&world.user, id, change).await.unwrap().view;
    assert_eq!((scaling.state, scaling.instances.len(), scaling.group.wanted), (GroupState::Scaling, 4, 4));
    world.until(id, GroupState::Running).await;
    let change = GroupChange { wanted: Some(1), restart: Some(Policy::Always), ..GroupChange::default() };
    let scaling = world.platform.update_group(&world.user, id, change).await.unwrap().view;
    assert_eq!((scaling.instances.len(), scaling.group.policies.restart), (1, Policy::Always));
    let running = world.until(id, GroupState::Running).await.view;
    assert_eq!(running.instances, kept[..1]);
    assert_eq!(world.engine.containers_now().len(), 1);
    let same = GroupChange { wanted: Some(1), ..GroupChange::default() };
    assert_eq!(world.platform.update_group(&world.user, id, same).await.unwrap().view.state, GroupState::Running);
    let much = GroupChange { wanted: Some(101), ..GroupChange::default() };
    let refused = world.platform.update_group(&world.user, id, much).await.unwrap_err();
    assert!(matches!(refused, Error::Invalid { field: "wanted", .. }), "{refused:?}");
}

#[tokio::test]
async fn of_two_actions_at_once_one_wins() {
    let world = World::new().await;
    let id = world.running("web", 1).await;
    let stops = (0..6).map(|_| world.platform.stop_group(&world.user, id));
    let done = futures_util::future::join_all(stops).await;
    assert_eq!(done.iter().filter(|done| done.is_ok()).count(), 1, "{done:?}");
    assert!(done.iter().flat_map(|done| done.as_ref().err()).all(|error| matches!(error, Error::Refused(_))));
    world.until(id, GroupState::Stopped).await;
}

#[tokio::test]
async fn one_instance_is_stopped_started_and_terminated() {
    let world = World::new().await;
    let id = world.running("web", 2).await;
    let instances = world.detail(id).await.view.instances;
    let [first, second] = instances[..] else { panic!("{instances:?}") };
    let stopping = world.platform.stop_group_instance(&world.user, first).await.unwrap();
    assert_eq!(stopping.view.instance.state, GroupInstanceState::Stopping);
    world.until(id, GroupState::PartlyRunning).await;
    world.until_one(first, "it is stopped", |one| one.state == GroupInstanceState::Stopped).await;
    let told = world.platform.group_instance(&world.user, first).await.unwrap().link_variables;
    assert!(told.is_empty(), "{told:?}");
    world.platform.start_group_instance(&world.user, first).await.unwrap();
    world.until(id, GroupState::Running).await;

    world.platform.terminate_group_instance(&world.user, first).await.unwrap();
    let gone = world.until_one(first, "it is gone", |one| one.state == GroupInstanceState::Terminated).await;
    assert!(gone.destroyed_at.is_some() && gone.ports.is_empty());
    let view = world.detail(id).await.view;
    assert_eq!((view.state, view.group.wanted, view.instances), (GroupState::Running, 1, vec![second]));
    let refused = world.platform.start_group_instance(&world.user, first).await.unwrap_err();
    assert!(matches!(refused, Error::Refused(_)), "{refused:?}");
    // The gap is filled by the next one.
    let change = GroupChange { wanted: Some(2), ..GroupChange::default() };
    world.platform.update_group(&world.user, id, change).await.unwrap();
    let view = world.until(id, GroupState::Running).await.view;
    assert_eq!((world.one(view.instances[0]).await.number, view.instances[1]), (1, second));
}

#[tokio::test]
async fn a_terminated_group_is_shown_for_a_while_and_its_name_is_free() {
    let world = World::new().await;
    let (id, other) = (world.running("web", 2).await, world.running("web", 1).await);
    assert_eq!(world.detail(other).await.view.group.unique_name, "web-2");
    let instances = world.detail(id).await.view.instances;
    let ending = world.platform.terminate_group(&world.user, id).await.unwrap().view;
    assert_eq!((ending.state, ending.instances.len()), (GroupState::Terminating, 2));
    let gone = world.until(id, GroupState::Terminated).await.view;
    assert_eq!(gone.instances, instances);
    assert!(gone.group.destroyed_at.is_some());
    assert_eq!(world.engine.containers_now().len(), 1);
    let refused = world.platform.terminate_group(&world.user, id).await.unwrap_err();
    assert!(matches!(refused, Error::Refused(_)), "{refused:?}");
    let third = world.running("web", 1).await;
    assert_eq!(world.detail(third).await.view.group.unique_name, "web");
    let filter = GroupFilter { name: Some("web".into()), ..GroupFilter::default() };
    let page = crate::store::Page { offset: 1, limit: 1 };
    let listed = world.platform.groups(&world.user, &filter, page).await.unwrap();
    assert_eq!((listed.total, listed.entries.len(), listed.entries[0].group.id), (3, 1, other));
    let filter = GroupInstanceFilter {
        states: Some(vec![GroupInstanceState::Running]),
        group: GroupFilter { unique_name: Some("web-2".into()), ..GroupFilter::default() },
        ..GroupInstanceFilter::default()
    };
    let listed = world.platform.group_instances(&world.user, &filter, crate::store::Page::ALL).await.unwrap();
    assert_eq!((listed.total, listed.entries[0].unique_name.as_str()), (1, "web-2-1"));
    assert_eq!(listed.entries[0].address, "web-2-1-bob.example.com");
}

#[tokio::test]
async fn an_image_that_is_not_there_shows_as_stopped_instances() {
    let world = World::new().await;
    let new = NewGroup { image: "example/none".to_owned(), ..new_group() };
    let made = world.platform.create_group(&world.user, new).await.unwrap().view;
    let id = made.group.id;
    let stopped = world.until(id, GroupState::Stopped).await.view;
    let one = world.one(stopped.instances[0]).await;
    assert_eq!((one.exit_code, stopped.group.deployed_at), (None, None));
    assert!(one.exit_message.as_ref().is_some_and(|text| text.contains("example/none:latest")), "{one:?}");
    world.engine.add_image("example/none:latest", &[]);
    world.platform.start_group(&world.user, id).await.unwrap();
    world.until(id, GroupState::Running).await;
}

#[tokio::test]
async fn a_linked_group_is_told_what_runs_and_holds_its_credential() {
    let world = World::new().await;
    let set = [("PASSWORD", "secret"), (REGISTRY_USERNAME, "x"), (REGISTRY_PASSWORD, "x")];
    let set = set.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    let new = NewGroup { name: Some("my-db".into()), wanted: 2, environment: set, ..new_group() };
    let database = world.platform.create_group(&world.user, new).await.unwrap().view.group.id;
    world.until(database, GroupState::Running).await;
    let terms = Terms {
        link_url: Some(LinkUrl { suffix: "URL".into(), url: "http://slipway.example.com:1/x/{group}/".into() }),
        credential: Some(CredentialTerms { variable: "AUTH".into(), value: "Key {owner}:{token}".into() }),
    };
    let new = NewGroup {
        name: Some("web".into()),
        environment: [("A".to_owned(), "mine".to_owned()), ("MY_DB_1_PORT".to_owned(), "mine".to_owned())].into(),
        links: vec![NewLink { to: LinkTarget::UniqueName("my-db".into()), name: None }],
        grants: vec!["global".into()],
        terms,
        size: Size { name: "XS".into(), memory_bytes: Some(256 << 20), cpu_shares: Some(256) },
        command: Some("sh -c 'echo hi'".into()),
        ..new_group()
    };
    let id = world.platform.create_group(&world.user, new.clone()).await.unwrap().view.group.id;
    let detail = world.until(id, GroupState::Running).await;
    assert_eq!((detail.links.len(), detail.links[0].to), (1, database));
    assert_eq!(world.detail(database).await.linked_from[0].from, id);
    let spec = world.engine.spec(&world.container(detail.view.instances[0]).unwrap());
    assert_eq!(spec.env["A"], "mine");
    assert_eq!(spec.env["MY_DB_1_PORT"], "mine", "what a person sets wins");
    assert_eq!(spec.env["MY_DB_URL"], format!("http://slipway.example.com:1/x/{database}/"));
    assert_eq!(spec.env["MY_DB_2_PORT_5000_TCP_ADDR"], "my-db-2-bob.example.com");
    assert_eq!(spec.env["MY_DB_1_ENV_PASSWORD"], "secret");
    assert!(!spec.env.keys().any(|name| name.contains("REGISTRY")), "that is for Slipway alone");
    assert_eq!(spec.command.as_deref().unwrap(), ["sh", "-c", "echo hi"]);
    assert_eq!((spec.resources.memory_bytes, spec.resources.cpu_shares), (Some(256 << 20), Some(256)));
    let names: BTreeSet<&str> = spec.host_names.iter().map(String::as_str).collect();
    assert_eq!(names, ["my-db-1-bob.example.com", "my-db-2-bob.example.com", "slipway.example.com"].into());
    assert_eq!(spec.published.len(), 1);

    let token = spec.env["AUTH"].strip_prefix("Key bob:").unwrap().to_owned();
    let caller = world.platform.caller_of_grant(&token).await.unwrap();
    assert_eq!((caller.user.username.as_str(), caller.scopes), ("bob", vec!["global".to_owned()]));
    let shown = world.platform.group_instance(&world.user, detail.view.instances[0]).await.unwrap();
    assert!(!shown.environment.contains_key("AUTH") && shown.environment.contains_key("MY_DB_URL"));
    world.platform.terminate_group(&world.user, database).await.unwrap();
    world.until(database, GroupState::Terminated).await;
    assert!(world.detail(id).await.links.is_empty());
    world.platform.terminate_group(&world.user, id).await.unwrap();
    world.until(id, GroupState::Terminated).await;
    assert!(matches!(world.platform.caller_of_grant(&token).await, Err(Error::WrongCredentials)));
    let refused = world.platform.create_group(&world.user, new).await.unwrap_err();
    assert!(matches!(refused, Error::Invalid { field: "links", .. }), "{refused:?}");
}

#[tokio::test]
async fn instances_that_are_deployed_one_by_one_know_those_before_them() {
    let world = World::new().await;
    let new = NewGroup { is_sequential: true, wanted: 3, ..new_group() };
    let id = world.platform.create_group(&world.user, new).await.unwrap().view.group.id;
    let instances = world.until(id, GroupState::Running).await.view.instances;
    for (index, instance) in instances.iter().enumerate() {
        let env = world.engine.spec(&world.container(*instance).unwrap()).env;
        let known: Vec<u32> = (1..=3).filter(|n| env.contains_key(&format!("HELLO_{n}_PORT"))).collect();
        assert_eq!(known, (1..=u32::try_from(index).unwrap()).collect::<Vec<_>>());
    }
}

#[tokio::test]
async fn a_redeployment_replaces_all_unless_its_image_cannot_be_had() {
    let world = World::new().await;
    let id = world.running("web", 2).await;
    let before = world.detail(id).await.view.instances;
    world.platform.redeploy_group(&world.user, id, Some("none".into())).await.unwrap();
    let view = world.until(id, GroupState::Running).await.view;
    assert_eq!((view.instances, view.group.image.as_str()), (before.clone(), IMAGE));

    world.engine.add_image("example/hello:2.0", &[5000]);
    let replacing = world.platform.redeploy_group(&world.user, id, Some("2.0".into())).await.unwrap().view;
    assert_eq!(replacing.state, GroupState::Redeploying);
    let view = world.until(id, GroupState::Running).await.view;
    assert_eq!(view.group.image, "example/hello:2.0");
    assert!(view.instances.len() == 2 && view.instances.iter().all(|one| !before.contains(one)));
    assert_eq!(world.one(view.instances[0]).await.image, "example/hello:2.0");
    let refused = world.platform.redeploy_group(&world.user, id, Some("-".into())).await.unwrap_err();
    assert!(matches!(refused, Error::Invalid { field: "tag", .. }), "{refused:?}");

    let old = view.instances[0];
    let shown = world.platform.redeploy_group_instance(&world.user, old, None).await.unwrap();
    assert_eq!(shown.view.instance.state, GroupInstanceState::Terminating);
    world.until_one(old, "it is gone", |one| one.state == GroupInstanceState::Terminated).await;
    let now = world.until(id, GroupState::Running).await.view;
    assert_eq!((now.instances.len(), now.group.wanted), (2, 2));
}

#[tokio::test]
async fn a_port_of_the_host_that_is_asked_for_is_one_groups() {
    let world = World::new().await;
    let port = GroupPort { inner: 5000, protocol: Protocol::Tcp, outer: Some(free_port()) };
    let new = NewGroup { ports: Some(vec![port]), ..new_group() };
    let id = world.platform.create_group(&world.user, new.clone()).await.unwrap().view.group.id;
    let view = world.until(id, GroupState::Running).await.view;
    assert_eq!(Some(world.one(view.instances[0]).await.ports[0].outer), port.outer);
    let taken = world.platform.create_group(&world.user, new).await.unwrap_err();
    assert!(matches!(taken, Error::Taken { field: "ports" }), "{taken:?}");
    let change = GroupChange { wanted: Some(2), ..GroupChange::default() };
    let refused = world.platform.update_group(&world.user, id, change).await.unwrap_err();
    assert!(matches!(refused, Error::Invalid { field: "wanted", .. }), "{refused:?}");
    // Its successor gets it once it is gone.
    world.platform.redeploy_group(&world.user, id, None).await.unwrap();
    let view = world.until(id, GroupState::Running).await.view;
    assert_eq!(Some(world.one(view.instances[0]).await.ports[0].outer), port.outer);
}

/// A port that nothing on this machine uses now.
fn free_port() -> u16 {
    std::net::TcpListener::bind(("0.0.0.0", 0)).unwrap().local_addr().unwrap().port()
}

#[tokio::test]
async fn somebody_elses_group_does_not_exist() {
    let world = World::new().await;
    let id = world.running("web", 1).await;
    let stranger = User { id: crate::model::UserId::new(), ..world.user.clone() };
    assert!(matches!(world.platform.group(&stranger, id).await, Err(Error::NotFound(_))));
    assert!(matches!(world.platform.stop_group(&stranger, id).await, Err(Error::NotFound(_))));
    let one = world.detail(id).await.view.instances[0];
    assert!(matches!(world.platform.group_instance(&stranger, one).await, Err(Error::NotFound(_))));
    assert!(matches!(world.platform.stop_group_instance(&stranger, one).await, Err(Error::NotFound(_))));
}
