//! Apps seen as groups, and managed groups seen as apps.

use super::*;
use crate::model::{ConfigValue, Formation, ProcessType};
use crate::platform::deploy::target;
use crate::platform::formation::Condition;
use crate::platform::{BuiltImage, ConfigChange, Which};

fn counts(process: &ProcessType, count: u32) -> Formation {
    Formation([(process.clone(), count)].into())
}

#[tokio::test]
async fn an_app_is_a_group_per_process_type() {
    let world = World::new().await;
    world.engine.serve_on_start(IMAGE);
    let (platform, user) = (&world.platform, &world.user);
    platform.create_app(user, Some("blog".parse().unwrap())).await.unwrap();
    let none = platform.groups(user, &GroupFilter::default(), crate::store::Page::ALL).await.unwrap();
    assert_eq!(none.total, 0, "an app without a build is no group");
    let handle = platform.app(user, "blog").await.unwrap();
    platform.deploy_image(&handle, BuiltImage { image: IMAGE.to_owned(), ..BuiltImage::default() }).await.unwrap();
    let listed = platform.groups(user, &GroupFilter::default(), crate::store::Page::ALL).await.unwrap();
    assert_eq!(listed.total, 1);
    let view = &listed.entries[0];
    assert_eq!((view.group.unique_name.as_str(), view.group.image.as_str()), ("blog", IMAGE));
    assert_eq!((view.state, view.group.wanted, view.instances.len()), (GroupState::Running, 1, 1));
    assert_eq!(view.group.policies.restart, Policy::Always);
    let id = view.group.id;

    platform.stop_group(user, id).await.unwrap();
    world.until(id, GroupState::Stopped).await;
    assert!(world.engine.running_now().is_empty());
    assert_eq!(platform.instances(&handle).await.unwrap()[0].condition, Condition::Down);
    platform.start_group(user, id).await.unwrap();
    world.until(id, GroupState::Running).await;
    assert_eq!(world.engine.running_now().len(), 1);

    platform.stop_group(user, id).await.unwrap();
    world.until(id, GroupState::Stopped).await;
    platform.restart(&handle, Which::All).await.unwrap();
    world.until(id, GroupState::Running).await;
    let change = GroupChange { wanted: Some(2), ..GroupChange::default() };
    platform.update_group(user, id, change).await.unwrap();
    assert_eq!(world.until(id, GroupState::Running).await.view.instances.len(), 2);
    assert_eq!(platform.app_view(&handle).await.unwrap().formation.count(&ProcessType::cmd()), 2);
    platform.terminate_group(user, id).await.unwrap();
    world.until(id, GroupState::Terminated).await;
    assert!(platform.app(user, "blog").await.is_err());
}

#[tokio::test]
async fn a_managed_group_is_an_app_that_runs_its_own_command() {
    let world = World::new().await;
    let id = world.running("shop", 1).await;
    let (platform, user) = (&world.platform, &world.user);
    let handle = platform.app(user, "shop").await.unwrap();
    let cmd = ProcessType::cmd();
    let conditions = async || {
        let views = platform.instances(&handle).await.unwrap();
        views.into_iter().map(|view| view.condition).collect::<Vec<_>>()
    };
    assert_eq!(conditions().await, [Condition::Up]);
    platform.scale(&handle, counts(&cmd, 2)).await.unwrap();
    assert_eq!(world.until(id, GroupState::Running).await.view.group.wanted, 2);
    assert_eq!(world.engine.running_now().len(), 2);

    platform.stop_group(user, id).await.unwrap();
    let before = world.until(id, GroupState::Stopped).await.view.instances;
    assert_eq!(conditions().await, [Condition::Down, Condition::Down]);
    let change = ConfigChange {
        values: [("A".to_owned(), Some(ConfigValue::Text("new".into())))].into(),
        memory: [("cmd".to_owned(), Some(ConfigValue::Text("32M".into())))].into(),
        ..ConfigChange::default()
    };
    platform.set_config(&handle, change).await.unwrap();
    let detail = world.until(id, GroupState::Running).await;
    assert!(detail.view.instances.iter().all(|one| !before.contains(one)));
    assert_eq!(detail.environment["A"], "new");
    let spec = world.engine.spec(&world.container(detail.view.instances[0]).unwrap());
    assert_eq!((spec.env["A"].as_str(), spec.env.contains_key("PORT")), ("new", false));
    assert_eq!(spec.resources.memory_bytes, Some(32 << 20), "limits that the app sets are the group's");

    let restarted = platform.restart(&handle, Which::All).await.unwrap();
    assert_eq!(restarted.len(), 2);
    world.engine.add_image("example/other:3", &[80]);
    let other = BuiltImage { image: "example/other:3".to_owned(), ..BuiltImage::default() };
    platform.deploy_image(&handle, other).await.unwrap();
    let view = world.until(id, GroupState::Running).await.view;
    assert_eq!((view.group.image.as_str(), view.instances.len()), ("example/other:3", 2));
    let contents = crate::release::current(&world.store, handle.app().id).await.unwrap();
    assert_eq!(target(handle.app(), &contents).unwrap().build.image, "example/other:3");

    platform.destroy_app(&handle.as_owner().unwrap()).await.unwrap();
    assert_eq!(world.detail(id).await.view.state, GroupState::Terminated);
    assert!(world.engine.containers_now().is_empty());
}
