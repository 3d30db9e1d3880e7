//! Switches, domains, and claims during a switch.

use super::*;

fn claim(table: &Table) -> Result<Claim, Refusal> {
    match table.find("app.localhost", &[])? {
        Found::App(claim) => Ok(claim),
        Found::Platform => panic!("that is another host"),
    }
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
    match table.find(host, &[]) {
        Ok(Found::App(claim)) => Some(claim.upstream().instance()),
        Ok(Found::Platform) => panic!("{host} is the platform"),
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
    assert_eq!(table.find("www.example.com", &[]).expect_err("the old domain is gone"), Refusal::UnknownHost);
    table.set_domains(&app(), &domains(&["www.example.com"]));
    assert_eq!(table.find("www.example.com", &[]).expect_err("nothing runs"), Refusal::NoUpstream);
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
    assert!(matches!(table.find("slipway.apps.example.com", &[]), Ok(Found::Platform)));
    assert_eq!(table.find("shop.apps.example.com", &[]).expect_err("nothing runs"), Refusal::NoUpstream);
    for host in ["apps.example.com", "x.apps.example.com", "www.example.com"] {
        assert_eq!(table.find(host, &[]).expect_err("nobody's"), Refusal::UnknownHost);
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
