//! Addresses that bob has the server fetch from, although they are not his to ask.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::json;

use super::alice_and_bob;
use crate::support::{Options, Repo, Slipway};

/// Something that only this machine should reach; it counts who comes.
struct Service {
    port: u16,
    visits: Arc<AtomicUsize>,
}

impl Service {
    fn start() -> Self {
        Self::answering("HTTP/1.1 418 teapot\r\ncontent-length: 6\r\n\r\nsecret".to_owned())
    }

    /// One that sends everybody on.
    fn redirecting(to: &str) -> Self {
        Self::answering(format!("HTTP/1.1 302 Found\r\nlocation: {to}\r\ncontent-length: 0\r\n\r\n"))
    }

    fn answering(answer: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("the loopback has ports");
        let (port, visits) = (listener.local_addr().expect("it is bound").port(), Arc::new(AtomicUsize::new(0)));
        let count = Arc::clone(&visits);
        // Ends with the test's process: nothing else tells it to.
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                count.fetch_add(1, Ordering::SeqCst);
                let mut stream = stream;
                let _ = stream.read(&mut [0; 1024]);
                let _ = stream.write_all(answer.as_bytes());
            }
        });
        Self { port, visits }
    }

    fn visits(&self) -> usize {
        self.visits.load(Ordering::SeqCst)
    }
}

#[tokio::test]
async fn nothing_that_only_the_server_reaches_is_asked_for_a_tenant() {
    let server = Slipway::start().await;
    let (alice, bob) = alice_and_bob(&server).await;
    let (hers, _repo) = alice.serving("docker-web").await;
    let container =
        server.docker().client().inspect_container(&hers.container().await.id, None).await.expect("it runs");
    let networks = container.network_settings.and_then(|settings| settings.networks).expect("it has one");
    let address = networks.values().find_map(|network| network.ip_address.clone()).expect("it has an address");
    let (service, closed) = (Service::start(), 1_u16);
    let his = bob.create("his").await;
    let repo = Repo::of("static-site");

    let mut said = Vec::new();
    for port in [service.port, closed] {
        for host in
            ["127.0.0.1", "localhost", "0x7f.1", "[::1]", "[::ffff:127.0.0.1]", "127.0.0.1:PORT\\@8.8.8.8", &address]
        {
            let authority = if host.contains("PORT") { host.to_owned() } else { format!("{host}:PORT") };
            let authority = authority.replace("PORT", &port.to_string());
            his.set(&json!({ "BUILDPACK_URL": format!("http://{authority}/pack.tgz") })).await;
            let pushed = his.push(&repo).await.failed().output();
            assert!(!pushed.contains("secret") && !pushed.contains("refused the connection"), "{pushed}");
            if host == "127.0.0.1" {
                said.push(
                    pushed
                        .replace(&format!(":{port}"), ":PORT")
                        .lines()
                        .filter(|l| l.contains('!'))
                        .collect::<String>(),
                );
            }
            his.post("/log-drains", &json!({ "url": format!("syslog://{authority}") })).await.expect(400);
        }
        let image = format!("127.0.0.1:{port}/x/y:1");
        let refused = his.post("/builds", &json!({ "image": image })).await;
        assert!(
            refused.status >= 400 && !refused.text.contains("secret") && !refused.text.contains("418"),
            "{refused:?}"
        );
    }
    assert_eq!(service.visits(), 0);
    assert_eq!(said[0], said[1], "an open port and a closed one look alike");
}

#[tokio::test]
async fn what_the_operator_allows_is_asked() {
    let service = Service::start();
    let allowed = format!("127.0.0.1:{}", service.port);
    let server = Slipway::start_with(Options::default().env("SLIPWAY_OUTBOUND_ALLOW", &allowed)).await;
    let (_alice, bob) = alice_and_bob(&server).await;
    let his = bob.create("his").await;
    his.set(&json!({ "BUILDPACK_URL": format!("http://{allowed}/pack.tgz") })).await;
    let pushed = his.push(&Repo::of("static-site")).await.failed().output();
    assert!(service.visits() > 0 && !pushed.contains("secret"), "{pushed}");
}

#[tokio::test]
async fn an_allowed_address_leads_to_no_other() {
    let private = Service::start();
    let target = format!("http://127.0.0.1:{}/pack.tgz", private.port);
    let public = Service::redirecting(&target);
    let allowed = format!("127.0.0.1:{}", public.port);
    let server = Slipway::start_with(Options::default().env("SLIPWAY_OUTBOUND_ALLOW", &allowed)).await;
    let (_alice, bob) = alice_and_bob(&server).await;
    let his = bob.create("his").await;
    his.set(&json!({ "BUILDPACK_URL": format!("http://{allowed}/pack.tgz") })).await;
    his.push(&Repo::of("static-site")).await.failed();
    // git follows redirects, too, unless it is told otherwise.
    his.set(&json!({ "BUILDPACK_URL": format!("http://{allowed}/pack.git") })).await;
    his.push(&Repo::of("static-site")).await.failed();
    his.set(&json!({ "BUILDPACK_URL": null })).await;
    let repo = Repo::of("static-site");
    repo.commit_file(
        ".gitmodules",
        &format!("[submodule \"part\"]\n\tpath = part\n\turl = http://{allowed}/part.git\n"),
    );
    let commit = repo.head();
    repo.git(&["update-index", "--add", "--cacheinfo", &format!("160000,{commit},part")]);
    repo.git(&["commit", "-q", "-m", "Use a part"]);
    his.push(&repo).await.failed();
    assert!(public.visits() >= 3, "each of them was asked");
    assert_eq!(private.visits(), 0);
}
