//! Networks and connections: what is reached from a build or an app, and who can take all places.

use std::net::SocketAddr;

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

use super::alice_and_bob;
use crate::support::{Authority, LONG, Options, Repo, Slipway, by_name, fresh_name, wait_until};

/// Serves files at port 7000, and says where, in words that are not in this text, which the engine shows.
const SERVE: &str = "import http.server, socket; s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); \
                     s.connect(('192.0.2.1', 9)); print('serving' + ' at ' + s.getsockname()[0] + '!', flush=True); \
                     http.server.HTTPServer(('', 7000), http.server.SimpleHTTPRequestHandler).serve_forever()";

/// A Python app whose build runs `script` first.
fn slug_build(script: &str) -> Repo {
    let repo = Repo::of("pyapp");
    repo.write("requirements.txt", "");
    repo.write("bin/pre_compile", &format!("#!/bin/bash\npython3 -c \"{script}\"\n"));
    repo.git(&["add", "-A"]);
    repo.git(&["update-index", "--chmod=+x", "bin/pre_compile"]);
    repo.git(&["commit", "-q", "-m", "Run a program"]);
    repo
}

/// A Dockerfile app whose build runs `script`.
fn dockerfile_build(script: &str) -> Repo {
    let repo = Repo::of("docker-web");
    let marker = fresh_name("step");
    let step = format!("RUN : {marker}; python3 -c \"{script}\"\nEXPOSE");
    repo.edit("Dockerfile", "EXPOSE", &step);
    repo.commit("Run a program");
    repo
}

/// Tries to reach a port; says `it is apart` or `it is reached`.
fn reach(address: &str) -> String {
    format!(
        "import socket; s = socket.socket(); s.settimeout(3); \
         print('it is ' + ('apart' if s.connect_ex(('{address}', 7000)) else 'reached'), flush=True)"
    )
}

async fn a_build_is_not_reached_from_another(build: fn(&str) -> Repo) {
    let server = Slipway::start_with(Options::default().env("SLIPWAY_BUILD_CONCURRENCY", "2")).await;
    let (alice, bob) = alice_and_bob(&server).await;
    let (hers, his) = (alice.create("hers").await, bob.create("his").await);
    let repo = build(SERVE);
    let mut serving = hers.start_push(&repo);
    serving.line("serving at ").await;
    let said = serving.said("serving at ");
    let at = said.split_once("serving at ").and_then(|(_, rest)| rest.split_once('!')).expect("an address").0;
    // The host reaches it: it does serve.
    wait_until("it serves", LONG, async || {
        TcpStream::connect(format!("{at}:7000")).await.map(drop).map_err(|error| error.to_string())
    })
    .await;
    his.push(&build(&reach(at))).await.says(&["it is apart"]);
    serving.interrupt().await;
}

#[tokio::test]
async fn a_buildpack_build_is_not_reached_from_another() {
    a_build_is_not_reached_from_another(slug_build).await;
}

#[tokio::test]
async fn a_step_of_a_dockerfile_is_not_reached_from_another() {
    a_build_is_not_reached_from_another(dockerfile_build).await;
}

#[tokio::test]
async fn a_build_has_no_raw_sockets_and_leaves_no_network() {
    let server = Slipway::start().await;
    let (_, bob) = alice_and_bob(&server).await;
    let his = bob.create("his").await;
    let script = "caps = [line.split()[1] for line in open('/proc/self/status') if line.startswith('CapBnd')][0]; \
                  print('raw sockets: ' + str(int(caps, 16) >> 13 & 1), flush=True)";
    his.push(&slug_build(script)).await.says(&["raw sockets: 0"]);
    let label = format!("io.slipway.server={}", server.id().await);
    wait_until("the build's network has gone", LONG, async || {
        let networks = server.docker().objects(&[&label]).await.networks;
        match networks.iter().find(|name| name.contains("slipway-build-")) {
            None => Ok(()),
            Some(name) => Err(name.clone()),
        }
    })
    .await;
}

#[tokio::test]
async fn a_build_does_not_reach_the_api() {
    let server = Slipway::start().await;
    let (_, bob) = alice_and_bob(&server).await;
    let (api, http) = (server.addresses().api.port(), server.addresses().http.port());
    server.stop().await;
    let options = Options::default().env("SLIPWAY_API_ADDR", &format!("0.0.0.0:{api}"));
    server.restart_with(options.env("SLIPWAY_HTTP_ADDR", &format!("0.0.0.0:{http}"))).await;
    let status = bob.get("/apps").await.status;
    assert_eq!(status, 200, "the API is there for others");
    let script = format!(
        "import http.client, socket, struct; \
         routes = [line.split() for line in open('/proc/net/route')][1:]; \
         word = [route[2] for route in routes if route[1] == '00000000'][0]; \
         host = socket.inet_ntoa(struct.pack('<L', int(word, 16))); \
         ask = lambda port: (lambda c: (c.request('GET', '/v1/apps', headers={{'Host': 'slipway.localhost', \
         'Authorization': 'token {}'}}), c.getresponse().status)[1])(http.client.HTTPConnection(host, port, timeout=10)); \
         print('told ' + str([ask({api}), ask({http})]), flush=True)",
        bob.token
    );
    for build in [slug_build, dockerfile_build] {
        let app = bob.create("his").await;
        app.push(&build(&script)).await.says(&["told [403, 403]"]);
    }
}

#[tokio::test]
async fn no_build_sends_raw_packets() {
    let server = Slipway::start().await;
    let (_, bob) = alice_and_bob(&server).await;
    server.cli(&["doctor"], &[]).await.says(&["takes the capability NET_RAW from steps of Dockerfiles"]);
    // Not even root gets what is not in the bounding set; 13 is CAP_NET_RAW (capabilities(7)).
    let script = "held = [line.split()[1] for line in open('/proc/self/status') if line.startswith('CapBnd')][0]; \
        print('raw', int(held, 16) >> 13 & 1, flush=True)";
    for build in [slug_build, dockerfile_build] {
        let app = bob.create("his").await;
        app.push(&build(script)).await.says(&["raw 0"]);
    }
}

#[tokio::test]
async fn metadata_services_are_closed_to_apps_and_doctor_looks_after_it() {
    let server = Slipway::start().await;
    let (alice, _) = alice_and_bob(&server).await;
    server.cli(&["doctor"], &[]).await.says(&["metadata services are kept apart by the firewall"]);
    let (app, _) = alice.serving("docker-web").await;
    let id = app.container().await.id;
    for address in ["169.254.169.254", "169.254.170.2", "100.100.100.200"] {
        let code = format!(
            "import errno, socket; s = socket.socket(); s.settimeout(10); \
             print(errno.errorcode.get(s.connect_ex(('{address}', 80))))"
        );
        // A network without that service would not answer at all.
        assert_eq!(server.docker().exec(&id, &["python3", "-c", &code]).await.trim(), "ECONNREFUSED", "{address}");
    }
}

#[tokio::test]
async fn no_client_makes_the_server_compute_in_a_finite_field() {
    let server = Slipway::start().await;
    let mut stream = TcpStream::connect(server.addresses().ssh).await.expect("it listens");
    stream.write_all(b"SSH-2.0-Test\r\n").await.expect("it reads");
    let mut banner = Vec::new();
    while !banner.ends_with(b"\r\n") {
        banner.push(stream.read_u8().await.expect("a line"));
    }
    // RFC 4253 §6 and §7.1: length, length of the padding, type, cookie, and the first list of names.
    stream.read_u32().await.expect("a packet");
    let mut start = [0; 18];
    stream.read_exact(&mut start).await.expect("a packet");
    assert_eq!(start[1], 20, "SSH_MSG_KEXINIT");
    let mut names = vec![0; stream.read_u32().await.expect("a length") as usize];
    stream.read_exact(&mut names).await.expect("names");
    let names = String::from_utf8(names).expect("ASCII");
    let exchanges: Vec<_> =
        names.split(',').filter(|name| !name.starts_with("kex-") && *name != "ext-info-s").collect();
    let expect = ["mlkem768x25519-sha256", "curve25519-sha256", "curve25519-sha256@libssh.org", "ecdh-sha2-nistp256"];
    assert_eq!(exchanges, expect);
    let (alice, _) = alice_and_bob(&server).await;
    for exchange in expect.iter().filter(|name| !name.starts_with("mlkem")) {
        let option = format!("KexAlgorithms={exchange}");
        alice.ssh(&["-o", &option], &[]).await.says(&["alice"]);
    }
    alice.ssh(&["-o", "KexAlgorithms=diffie-hellman-group14-sha256"], &[]).await.failed();
}

/// Connections from another address than everybody else's, on which nothing is said.
async fn idle_connections(to: SocketAddr, count: usize) -> Vec<TcpStream> {
    let mut streams = Vec::new();
    for _ in 0..count {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.bind("127.0.0.2:0".parse().expect("an address")).expect("all of 127/8 is ours");
        streams.push(socket.connect(to).await.expect("it listens"));
    }
    streams
}

#[tokio::test]
async fn connections_that_say_nothing_keep_nobody_out() {
    let server = Slipway::start().await;
    let (alice, _) = alice_and_bob(&server).await;
    let app = alice.create("hers").await;
    let addresses = server.addresses();
    let ssh = idle_connections(addresses.ssh, 600).await;
    let api = idle_connections(addresses.api, 1100).await;
    app.push(&Repo::of("docker-web")).await.succeeded();
    alice.get("/apps").await.expect(200);
    drop((ssh, api));
}

#[tokio::test]
async fn names_that_lead_nowhere_are_not_asked_for() {
    let authority = Authority::start().await;
    let options = authority.options().env("SLIPWAY_DOMAIN", "slip.test").env("SLIPWAY_ACME_LOOKUP", "yes");
    let server = Slipway::start_with(options).await;
    let (_, bob) = alice_and_bob(&server).await;
    let app = bob.create("his").await;
    app.post("/domains", &json!({ "domain": "bogus.example.invalid" })).await.expect(201);
    let list = wait_until("the name is put off", LONG, async || {
        let list = app.get("/certs").await;
        let is_failed = by_name(&list).get("bogus.example.invalid").is_some_and(|entry| entry["status"] == "failed");
        if is_failed { Ok(list) } else { Err(list.to_string()) }
    })
    .await;
    assert!(list.to_string().contains("the name leads nowhere"), "{list}");
    assert!(!authority.log().contains("bogus.example.invalid"), "the authority heard of it:\n{}", authority.log());
}
