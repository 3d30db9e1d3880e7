//! Switches, domains, and claims during a switch.

use std::net::SocketAddr;

use super::*;

/// Who answers at `host`; the platform is `Ok(None)`.
fn find(table: &Table, host: &str) -> Result<Option<Claim>, Refusal> {
    match table.find(host, &HeaderMap::new(), &[])? {
        Found::App(_, claim) => claim.map(Some).ok_or(Refusal::NoUpstream),
        Found::Platform => Ok(None),
    }
}

fn claim(table: &Table) -> Result<Claim, Refusal> {
    find(table, "app.localhost").map(|claim| claim.expect("that is another host"))
}

fn app() -> AppName {
    "app".parse().expect("an app name")
}

fn address() -> SocketAddr {
    "127.0.0.1:1".parse().expect("an address")
}

#[test]
fn a_publish_keeps_what_stays_and_closes_what_is_left_out() {
    let (table, stays, goes) = (Table::new("localhost"), InstanceId::new(), InstanceId::new());
    table.publish(&app(), vec![(stays, address()), (goes, address())]);
    let held = [claim(&table).expect("a claim"), claim(&table).expect("a claim")];
    let left_out = table.publish(&app(), vec![(InstanceId::new(), address()), (stays, address())]);
    assert_eq!(left_out.iter().map(|old| old.instance()).collect::<Vec<_>>(), [goes]);
    assert!(left_out[0].claim().is_none());
    let kept = held.iter().find(|claim| claim.upstream().instance() == stays).expect("each was claimed once");
    assert_eq!(kept.upstream().in_flight(), 1);
    assert!(kept.upstream().claim().is_some());
    let moved = table.publish(&app(), vec![(stays, "127.0.0.1:2".parse().expect("an address"))]);
    assert_eq!(moved.len(), 2, "the same instance at another address is another upstream");
}

#[test]
fn an_upstream_that_was_cut_while_listed_is_passed_over() {
    let table = Table::new("localhost");
    table.publish(&app(), vec![(InstanceId::new(), address()), (InstanceId::new(), address())]);
    let first = Arc::clone(claim(&table).expect("a claim").upstream());
    first.cut();
    for _ in 0..4 {
        assert_ne!(claim(&table).expect("the other one").upstream().instance(), first.instance());
    }
    claim(&table).expect("the other one").upstream().cut();
    assert_eq!(claim(&table).expect_err("none is left"), Refusal::NoUpstream);
}

fn domains(names: &[&str]) -> Vec<DomainName> {
    names.iter().map(|name| name.parse().expect("a domain")).collect()
}

fn serving(table: &Table, host: &str) -> Option<InstanceId> {
    match find(table, host) {
        Ok(Some(claim)) => Some(claim.upstream().instance()),
        Ok(None) => panic!("{host} is the platform"),
        Err(Refusal::UnknownHost) => None,
        Err(refusal) => panic!("{host}: {refusal:?}"),
    }
}

#[test]
fn domains_lead_to_their_app_and_follow_its_switches() {
    let (table, first, second, other) =
        (Table::new("localhost"), InstanceId::new(), InstanceId::new(), InstanceId::new());
    let shop: AppName = "shop".parse().expect("an app name");
    table.publish(&app(), vec![(first, address())]);
    table.publish(&shop, vec![(other, address())]);
    table.set_domains(&app(), &domains(&["www.example.com", "*.example.com"]));
    table.set_domains(&shop, &domains(&["shop.example.com"]));
    let check = |host: &str, expect: Option<InstanceId>| assert_eq!(serving(&table, host), expect, "{host}");
    for host in ["www.example.com", "any.example.com", "app.localhost"] {
        check(host, Some(first));
    }
    check("shop.example.com", Some(other));
    for host in ["example.com", "a.b.example.com", "com", "nobody.localhost", "*.example.com.x"] {
        check(host, None);
    }
    table.publish(&app(), vec![(second, address())]);
    check("www.example.com", Some(second));
    check("any.example.com", Some(second));
    check("shop.example.com", Some(other));
    table.set_domains(&shop, &[]);
    check("shop.example.com", Some(second));
    table.set_domains(&app(), &domains(&["www.example.com"]));
    check("www.example.com", Some(second));
    check("any.example.com", None);
    table.remove_app(&app());
    check("www.example.com", None);
    table.set_domains(&app(), &domains(&["www.example.com"]));
    check("www.example.com", None);
    table.add_app(&app());
    assert_eq!(find(&table, "www.example.com").expect_err("the old domain is gone"), Refusal::UnknownHost);
    table.set_domains(&app(), &domains(&["www.example.com"]));
    assert_eq!(find(&table, "www.example.com").expect_err("nothing runs"), Refusal::NoUpstream);
}

/// Two apps are published in either order after a domain went from one to the other.
#[test]
fn a_domain_that_changed_hands_stays_with_its_new_app() {
    let (table, first, other) = (Table::new("localhost"), InstanceId::new(), InstanceId::new());
    let shop: AppName = "shop".parse().expect("an app name");
    table.publish(&app(), vec![(first, address())]);
    table.publish(&shop, vec![(other, address())]);
    table.set_domains(&app(), &domains(&["www.example.com"]));
    table.set_domains(&shop, &domains(&["www.example.com"]));
    assert_eq!(serving(&table, "www.example.com"), Some(other));
    table.set_domains(&app(), &[]);
    table.publish(&app(), vec![(first, address())]);
    assert_eq!(serving(&table, "www.example.com"), Some(other));
}

#[test]
fn no_domain_takes_a_host_of_the_platform() {
    let table = Table::new("Apps.Example.com");
    table.publish(&app(), vec![(InstanceId::new(), address())]);
    table.add_app(&"shop".parse().expect("an app name"));
    let names = ["slipway.apps.example.com", "shop.apps.example.com", "apps.example.com", "*.example.com"];
    table.set_domains(&app(), &domains(&names));
    assert!(matches!(find(&table, "slipway.apps.example.com"), Ok(None)));
    assert_eq!(find(&table, "shop.apps.example.com").expect_err("nothing runs"), Refusal::NoUpstream);
    for host in ["apps.example.com", "x.apps.example.com", "www.example.com"] {
        assert_eq!(find(&table, host).expect_err("nobody's"), Refusal::UnknownHost);
    }
}

/// Requests claim while the app is switched over and over; what a switch left out stays empty once it was drained.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_claim_lands_on_an_upstream_that_was_drained() {
    let table = Table::new("localhost");
    table.publish(&app(), vec![(InstanceId::new(), address())]);
    let is_over = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let threads: Vec<_> = (0..3)
        .map(|_| {
            let (table, is_over) = (table.clone(), Arc::clone(&is_over));
            std::thread::spawn(move || {
                while !is_over.load(Ordering::SeqCst) {
                    drop(claim(&table).expect("there is always an upstream"));
                }
            })
        })
        .collect();
    for _ in 0..500 {
        let left_out = table.publish(&app(), vec![(InstanceId::new(), address())]);
        let drained = tokio::time::timeout(std::time::Duration::from_secs(10), left_out[0].drained());
        drained.await.expect("it drains");
        assert_eq!(left_out[0].in_flight(), 0);
        assert!(left_out[0].claim().is_none());
    }
    is_over.store(true, Ordering::SeqCst);
    for thread in threads {
        thread.join().expect("no claim failed");
    }
}

#[test]
fn settings_hold_at_every_host_of_the_app_and_outlive_a_publish() {
    let table = Table::new("localhost");
    table.publish(&app(), vec![(InstanceId::new(), address())]);
    table.set_domains(&app(), &domains(&["www.example.com", "*.example.com"]));
    let (id, routing) = (AppId::new(), Routing { max_connections: 7, ..Routing::default() });
    table.set_routing([(&app(), id, &routing)]);
    let check = |step: &str| {
        for host in ["app.localhost", "www.example.com", "any.example.com"] {
            let Ok(Found::App(found, Some(_))) = table.find(host, &HeaderMap::new(), &[]) else {
                panic!("{step}: {host}")
            };
            assert_eq!((found.id(), found.settings.max_requests), (Some(id), 7), "{step}: {host}");
        }
    };
    check("set");
    table.publish(&app(), vec![(InstanceId::new(), address())]);
    check("published");
    table.set_domains(&app(), &domains(&["www.example.com", "*.example.com", "other.org"]));
    check("renamed");
    table.remove_app(&app());
    table.set_routing([(&app(), id, &routing)]);
    assert_eq!(find(&table, "app.localhost").expect_err("it is gone"), Refusal::UnknownHost);
}

#[test]
fn an_app_in_maintenance_claims_nobody() {
    let table = Table::new("localhost");
    table.publish(&app(), vec![(InstanceId::new(), address())]);
    let held = claim(&table).expect("a claim");
    table.set_routing([(&app(), AppId::new(), &Routing { maintenance: true, ..Routing::default() })]);
    assert_eq!(claim(&table).expect_err("nobody"), Refusal::NoUpstream);
    assert_eq!(held.upstream().in_flight(), 1);
    table.set_routing([(&app(), AppId::new(), &Routing::default())]);
    assert_eq!(claim(&table).expect("back").upstream().instance(), held.upstream().instance());
}

#[test]
fn a_cookie_leads_to_its_instance_while_that_may_be_used() {
    let (table, instances) = (Table::new("localhost"), [InstanceId::new(), InstanceId::new(), InstanceId::new()]);
    table.publish(&app(), instances.map(|instance| (instance, address())).to_vec());
    let mut headers = HeaderMap::new();
    let cookie = sticky::Token::of(instances[1]).cookie(false);
    headers.insert("cookie", cookie);
    let found = |tried: &[InstanceId]| match table.find("app.localhost", &headers, tried) {
        Ok(Found::App(_, Some(claim))) => claim.upstream().instance(),
        other => panic!("{other:?}"),
    };
    let sticky = Routing { sticky: true, ..Routing::default() };
    assert!((0..6).any(|_| found(&[]) != instances[1]), "a cookie means nothing until it is asked for");
    table.set_routing([(&app(), AppId::new(), &sticky)]);
    assert!((0..6).all(|_| found(&[]) == instances[1]));
    assert_ne!(found(&[instances[1]]), instances[1], "one that was tried is not tried again");
    table.retire(&app(), instances[1]);
    assert!((0..6).all(|_| found(&[]) != instances[1]));
}
