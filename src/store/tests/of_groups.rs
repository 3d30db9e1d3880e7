//! Process groups, their instances, ports and links.

use super::*;
use crate::store::group_instances::{Move, Of};

on_both!(
    groups_come_back_as_they_were_recorded,
    an_instance_moves_on_from_the_states_that_are_named,
    of_two_moves_at_once_one_wins,
    a_port_of_the_host_is_one_instances,
    links_are_told_from_both_sides_until_one_end_goes,
    what_was_terminated_is_shown_for_five_minutes,
    credentials_are_void_at_the_end,
    types_of_deployed_apps_have_no_group_at_first,
);

fn new_group(app: &App, name: &str) -> ProcessGroup {
    ProcessGroup {
        id: GroupId::new(),
        app_id: app.id,
        process: ProcessType::cmd(),
        owner_id: app.owner_id,
        owner: app.owner.clone(),
        name: name.to_owned(),
        unique_name: name.to_owned(),
        is_managed: true,
        image: "hello:1".to_owned(),
        wanted: 2,
        should_run: true,
        command: Some(CommandLine::parse("sh -c 'echo hi'").unwrap()),
        entrypoint: None,
        image_command: vec!["/run.sh".to_owned()],
        image_entrypoint: Vec::new(),
        ports: vec![GroupPort { inner: 80, protocol: Protocol::Tcp, outer: None }],
        takes_image_ports: false,
        size: Size { name: "XS".to_owned(), memory_bytes: Some(256 << 20), cpu_shares: None },
        policies: Policies { restart: Policy::Always, replace: Policy::OnFailure, destroy: Policy::Off },
        is_sequential: true,
        grants: vec!["global".to_owned()],
        terms: Terms {
            link_url: Some(LinkUrl { suffix: "URL".to_owned(), url: "http://h/{group}/".to_owned() }),
            credential: None,
        },
        domain: None,
        created_at: Timestamp::now(),
        deployed_at: None,
        started_at: None,
        stopped_at: None,
        destroyed_at: None,
    }
}

fn new_one(group: &ProcessGroup, number: u32) -> GroupInstance {
    GroupInstance {
        id: InstanceId::new(),
        group_id: group.id,
        app_id: group.app_id,
        release_id: ReleaseId::new(),
        number,
        state: GroupInstanceState::Starting,
        is_automatic: false,
        image: group.image.clone(),
        exit_code: None,
        exit_message: None,
        ports: Vec::new(),
        created_at: Timestamp::now(),
        deployed_at: None,
        started_at: None,
        stopped_at: None,
        destroyed_at: None,
    }
}

async fn group(db: &Database, owner: &User, name: &str) -> (App, ProcessGroup) {
    let app = app(db, owner, name).await;
    let group = new_group(&app, name);
    process_groups::insert(db.store.pool(), &group).await.unwrap();
    (app, group)
}

async fn one(db: &Database, group: &ProcessGroup, number: u32) -> InstanceId {
    let new = new_one(group, number);
    group_instances::insert(db.store.pool(), &new).await.unwrap();
    new.id
}

async fn groups_come_back_as_they_were_recorded(db: Database) {
    let alice = user(&db, "alice").await;
    let (app, new) = group(&db, &alice, "hello").await;
    let pool = db.store.pool();
    let found = process_groups::by_id(pool, new.id).await.unwrap().unwrap();
    assert_eq!(format!("{found:?}"), format!("{new:?}"));
    let again = process_groups::insert(pool, &new_group(&app, "other")).await;
    assert!(matches!(again, Err(StoreError::Duplicate)), "{again:?}");
    assert!(process_groups::is_name_taken(pool, "hello").await.unwrap());
    assert!(!process_groups::is_name_taken(pool, "hell").await.unwrap());

    let policies = Policies { restart: Policy::Off, replace: Policy::Always, destroy: Policy::OnFailure };
    process_groups::set_policies(pool, new.id, &policies).await.unwrap();
    let exposed = [GroupPort { inner: 53, protocol: Protocol::Udp, outer: None }];
    process_groups::set_image_facts(pool, new.id, &["a".into()], &["b c".into()], &exposed).await.unwrap();
    process_groups::mark(pool, new.id, process_groups::Completed::Deployment).await.unwrap();
    let mut tx = db.store.begin().await.unwrap();
    let counts = Formation([(ProcessType::cmd(), 2)].into());
    formations::replace(&mut tx, app.id, &counts).await.unwrap();
    process_groups::set_wanted(&mut tx, &new, 5).await.unwrap();
    tx.commit().await.unwrap();
    let found = process_groups::managed_of_app(pool, app.id).await.unwrap().unwrap();
    assert_eq!((found.policies, found.wanted), (policies, 5));
    assert_eq!(found.ports, new.ports, "ports that were asked for stay");
    assert_eq!((found.image_command, found.image_entrypoint), (vec!["a".to_owned()], vec!["b c".to_owned()]));
    assert!(found.deployed_at.is_some() && found.started_at == found.deployed_at && found.stopped_at.is_none());
    assert_eq!(formations::get(pool, app.id).await.unwrap().count(&ProcessType::cmd()), 5);

    let bob = user(&db, "bob").await;
    apps::set_owner(pool, app.id, bob.id).await.unwrap();
    assert!(process_groups::of_owner(pool, alice.id).await.unwrap().is_empty());
    assert_eq!(process_groups::of_owner(pool, bob.id).await.unwrap()[0].owner, bob.username);
    let mut tx = db.store.begin().await.unwrap();
    users::delete(&mut tx, alice.id).await.unwrap();
    tx.commit().await.unwrap();
    assert!(process_groups::by_id(pool, new.id).await.unwrap().is_some(), "it is the new owner's");
}

async fn an_instance_moves_on_from_the_states_that_are_named(db: Database) {
    use GroupInstanceState::{Running, Starting, Stopped, Stopping, Terminated, Terminating};
    let (_, group) = group(&db, &user(&db, "alice").await, "hello").await;
    let id = one(&db, &group, 1).await;
    let pool = db.store.pool();
    let moved = async |from: &[GroupInstanceState], to: Move| {
        let moved = group_instances::advance(pool, id, from, &to).await.unwrap();
        (moved, group_instances::get(&db.store, id).await.unwrap().unwrap())
    };
    let (did, _) = moved(&[Running], Move::Stop).await;
    assert!(!did, "it is not running");
    let (did, now) = moved(&[Starting], Move::Run).await;
    assert!(did && now.state == Running && now.started_at.is_some() && now.deployed_at == now.started_at);
    let (_, now) = moved(&[Running], Move::Ended(3, "Exit code 3".into())).await;
    assert_eq!((now.state, now.exit_code, now.is_automatic), (Stopped, Some(3), true));
    assert_eq!(now.exit_message.as_deref(), Some("Exit code 3"));
    tick().await;
    let (_, now) = moved(&[Stopped], Move::Start).await;
    assert_eq!((now.state, now.exit_code, now.exit_message, now.is_automatic), (Starting, None, None, false));
    let (_, again) = moved(&[Starting], Move::Run).await;
    assert!(again.started_at > again.deployed_at, "the first deployment is remembered");
    moved(&[Starting, Running], Move::Stop).await;
    let (_, now) = moved(&[Stopping], Move::Ended(143, "Exit code 143".into())).await;
    assert_eq!((now.state, now.exit_code, now.is_automatic), (Stopped, Some(143), false));
    moved(&[Stopped], Move::Start).await;
    let (_, now) = moved(&[Starting], Move::NotStarted("no such image".into())).await;
    assert_eq!((now.state, now.exit_code, now.exit_message.as_deref()), (Stopped, None, Some("no such image")));
    moved(&[Stopped], Move::Terminate).await;
    let found = group_instances::find(&db.store, Of::States(&[Terminating])).await.unwrap();
    assert_eq!(found.iter().map(|one| one.id).collect::<Vec<_>>(), [id]);
    let (_, now) = moved(&[Terminating], Move::Gone).await;
    assert!(now.state == Terminated && now.destroyed_at.is_some());
}

async fn of_two_moves_at_once_one_wins(db: Database) {
    let (_, group) = group(&db, &user(&db, "alice").await, "hello").await;
    let id = one(&db, &group, 1).await;
    let from = [GroupInstanceState::Starting];
    let stops = (0..8).map(|_| group_instances::advance(db.store.pool(), id, &from, &Move::Stop));
    let done = futures_util::future::join_all(stops).await;
    assert_eq!(done.into_iter().filter(|won| *won.as_ref().unwrap()).count(), 1);
}

async fn a_port_of_the_host_is_one_instances(db: Database) {
    let (_, group) = group(&db, &user(&db, "alice").await, "hello").await;
    let (first, second) = (one(&db, &group, 1).await, one(&db, &group, 2).await);
    let pool = db.store.pool();
    let port = |protocol, outer| PublishedPort { inner: 80, protocol, outer };
    group_instances::reserve_port(pool, first, port(Protocol::Tcp, 50_000)).await.unwrap();
    group_instances::reserve_port(pool, second, port(Protocol::Udp, 50_000)).await.unwrap();
    let taken = group_instances::reserve_port(pool, second, port(Protocol::Tcp, 50_000)).await;
    assert!(matches!(taken, Err(StoreError::Duplicate)), "{taken:?}");
    assert!(group_instances::is_port_reserved(pool, Protocol::Tcp, 50_000).await.unwrap());
    let all = group_instances::find(&db.store, Of::Group(group.id)).await.unwrap();
    assert_eq!(all[0].ports, [port(Protocol::Tcp, 50_000)]);
    assert_eq!(all[1].ports, [port(Protocol::Udp, 50_000)]);
    group_instances::release_ports(pool, first).await.unwrap();
    group_instances::reserve_port(pool, second, port(Protocol::Tcp, 50_000)).await.unwrap();
}

async fn links_are_told_from_both_sides_until_one_end_goes(db: Database) {
    let alice = user(&db, "alice").await;
    let ((_, web), (db_app, data)) = (group(&db, &alice, "web").await, group(&db, &alice, "db").await);
    let link = |name: Option<&str>| GroupLink {
        from: web.id,
        to: data.id,
        name: name.map(str::to_owned),
        to_unique_name: "db".to_owned(),
    };
    let links = [link(Some("master")), link(None)];
    let mut tx = db.store.begin().await.unwrap();
    process_groups::insert_links(&mut tx, &links).await.unwrap();
    tx.commit().await.unwrap();
    let pool = db.store.pool();
    assert_eq!(process_groups::links_from(pool, web.id).await.unwrap(), links);
    assert_eq!(process_groups::links_to(pool, data.id).await.unwrap(), links);
    assert!(process_groups::links_from(pool, data.id).await.unwrap().is_empty());
    let mut tx = db.store.begin().await.unwrap();
    process_groups::mark_destroyed_of_app(&mut tx, db_app.id).await.unwrap();
    tx.commit().await.unwrap();
    assert!(process_groups::links_from(pool, web.id).await.unwrap().is_empty());
}

async fn what_was_terminated_is_shown_for_five_minutes(db: Database) {
    let alice = user(&db, "alice").await;
    let (app, group) = group(&db, &alice, "hello").await;
    let id = one(&db, &group, 1).await;
    let pool = db.store.pool();
    let mut tx = db.store.begin().await.unwrap();
    group_instances::all_gone(&mut tx, app.id).await.unwrap();
    process_groups::mark_destroyed_of_app(&mut tx, app.id).await.unwrap();
    apps::delete(&mut *tx, app.id).await.unwrap();
    tx.commit().await.unwrap();
    let shown = process_groups::of_owner(pool, alice.id).await.unwrap();
    assert!(shown.len() == 1 && shown[0].is_terminated());
    let gone = group_instances::find(&db.store, Of::Owner(alice.id)).await.unwrap();
    assert!(gone.len() == 1 && gone[0].state == GroupInstanceState::Terminated);
    assert!(!process_groups::is_name_taken(pool, "hello").await.unwrap(), "its name is free at once");
    assert!(group_instances::ids(pool).await.unwrap().is_empty());

    let age = async |millis: i64| {
        for table in ["process_groups", "group_instances"] {
            let sql = sqlx::AssertSqlSafe(format!("UPDATE {table} SET destroyed_at = $1"));
            sqlx::query(sql).bind(Timestamp::now().millis() - millis).execute(pool).await.unwrap();
        }
    };
    age(TOMBSTONE_MILLIS - 10_000).await;
    assert!(process_groups::by_id(pool, group.id).await.unwrap().is_some());
    assert!(group_instances::get(&db.store, id).await.unwrap().is_some());
    age(TOMBSTONE_MILLIS).await;
    assert!(process_groups::by_id(pool, group.id).await.unwrap().is_none());
    assert!(group_instances::get(&db.store, id).await.unwrap().is_none());
    let mut tx = db.store.begin().await.unwrap();
    process_groups::delete_old(&mut tx).await.unwrap();
    tx.commit().await.unwrap();
    age(0).await;
    assert!(process_groups::by_id(pool, group.id).await.unwrap().is_none(), "the rows are gone");
}

async fn credentials_are_void_at_the_end(db: Database) {
    let (_, group) = group(&db, &user(&db, "alice").await, "hello").await;
    let id = one(&db, &group, 1).await;
    let (pool, sealer) = (db.store.pool(), db.store.sealer());
    assert_eq!(group_instances::environment(pool, sealer, id).await.unwrap(), None);
    let environment: Environment = [("A".to_owned(), "secret".to_owned())].into();
    group_instances::set_environment(pool, sealer, id, &environment, Some(&digest("token"))).await.unwrap();
    assert_eq!(group_instances::environment(pool, sealer, id).await.unwrap(), Some(environment));
    assert_eq!(group_instances::by_credential(pool, &digest("token")).await.unwrap(), Some(group.id));
    assert_eq!(group_instances::by_credential(pool, &digest("other")).await.unwrap(), None);
    for (from, to) in [(GroupInstanceState::Starting, Move::Terminate), (GroupInstanceState::Terminating, Move::Gone)] {
        assert!(group_instances::advance(pool, id, &[from], &to).await.unwrap());
    }
    assert_eq!(group_instances::by_credential(pool, &digest("token")).await.unwrap(), None);
}

async fn types_of_deployed_apps_have_no_group_at_first(db: Database) {
    let alice = user(&db, "alice").await;
    let app = app(&db, &alice, "hello").await;
    let pool = db.store.pool();
    assert!(process_groups::unnamed_of_owner(pool, alice.id).await.unwrap().is_empty());
    let mut tx = db.store.begin().await.unwrap();
    let counts = Formation([(ProcessType::web(), 1), (ProcessType::cmd(), 0)].into());
    formations::replace(&mut tx, app.id, &counts).await.unwrap();
    tx.commit().await.unwrap();
    process_groups::insert(pool, &new_group(&app, "hello-cmd")).await.unwrap();
    let unnamed = process_groups::unnamed_of_owner(pool, alice.id).await.unwrap();
    assert_eq!(unnamed, [(app.id, ProcessType::web())]);
    assert!(process_groups::of_process(pool, app.id, &ProcessType::cmd()).await.unwrap().is_some());
    assert!(process_groups::of_process(pool, app.id, &ProcessType::web()).await.unwrap().is_none());
}
