//! Requests through the router, against nginx and HAProxy as proxies to the same upstream on the same core.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::process::Command;

use crate::machine::{find, two_cores, undisturbed};
use crate::population;
use crate::process::{Daemon, free_port, listens, run};
use crate::report::{Aim, Row, Section, Unit};
use crate::stats::{Samples, sides};
use crate::world::{World, host};
use crate::wrk::Wrk;

const ROUNDS: usize = 7;
/// One measurement of one proxy.
const RUN: Duration = Duration::from_secs(2);
const WARM_UP: Duration = Duration::from_secs(1);
/// Apps of others, beside the one that is asked for.
const MANY_APPS: [i64; 2] = [100, 10_000];

/// A kind of load.
struct Load {
    name: &'static str,
    connections: usize,
    /// A connection for each request instead of one for all.
    is_new_each_time: bool,
    is_tls: bool,
    path: &'static str,
    /// How many of the baselines it is measured against.
    baselines: usize,
    /// Of the rate and of the p99, as ratios to nginx.
    has_aim: bool,
}

const KEPT: Load = Load {
    name: "64 connections",
    connections: 64,
    is_new_each_time: false,
    is_tls: false,
    path: "/",
    baselines: 3,
    has_aim: true,
};

const LOADS: [Load; 7] = [
    KEPT,
    Load { name: "32 connections", connections: 32, baselines: 2, ..KEPT },
    Load { name: "64 clients, a connection per request", is_new_each_time: true, baselines: 2, has_aim: false, ..KEPT },
    Load { name: "1 MiB, 16 connections", connections: 16, path: "/big", baselines: 2, ..KEPT },
    Load { name: "TLS, 64 connections", is_tls: true, baselines: 2, ..KEPT },
    Load {
        name: "TLS, 32 clients, a connection per request",
        connections: 32,
        is_tls: true,
        is_new_each_time: true,
        baselines: 2,
        ..KEPT
    },
    Load { name: "TLS, 1 MiB, 16 connections", connections: 16, is_tls: true, path: "/big", baselines: 2, ..KEPT },
];

/// What the rows call the baselines.
const BASELINES: [&str; 3] = ["", " (HAProxy)", " (bare nginx)"];

/// What came of one run of wrk.
struct Measured {
    requests_per_second: f64,
    /// For each second of time on a core that the proxy itself took.
    requests_per_cpu_second: f64,
    p99_milliseconds: f64,
}

/// Measures.
pub async fn measure(world: &mut World) -> Result<Section> {
    let (core, other_core) = two_cores()?;
    let (address, upstream) = world.docker.instance(&world.nginx).await?;
    let folder = world.path("proxy");
    fs::create_dir(&folder).context("making a folder for nginx")?;
    let ports = Ports::free()?;
    write_certificate(&folder)?;
    fs::write(folder.join("nginx.conf"), nginx_conf(&address, &ports))?;
    fs::write(folder.join("haproxy.cfg"), haproxy_conf(&address, &ports))?;
    let mut nginx = start_nginx(&folder, core).await?;
    nginx.until(Duration::from_secs(10), || listens(ports.plain)).await?;
    let mut haproxy = start_haproxy(&folder, core)?;
    haproxy.until(Duration::from_secs(10), || listens(ports.haproxy)).await?;
    // Started on its core, as nginx is: both decide by that how many threads they work with.
    world.server.restart(Some(core)).await?;
    world.page(&world.nginx)?.until("any").await?;
    pin(upstream, other_core).await?;
    let at = |port: u16, tls: u16, daemon: &Daemon| Proxy {
        address: format!("127.0.0.1:{port}"),
        tls: format!("127.0.0.1:{tls}"),
        pid: daemon.pid(),
    };
    let baselines = [
        at(ports.dressed, ports.dressed_tls, &nginx),
        at(ports.haproxy, ports.haproxy_tls, &haproxy),
        at(ports.plain, ports.dressed_tls, &nginx),
    ];
    let mut bench = Bench { slipway: slipway(world), baselines, host: host(&world.nginx), core: other_core };
    let mut rows = Vec::new();
    for load in &LOADS {
        rows.extend(bench.measure(load).await?);
    }
    rows.extend(bench.among_many(world, core).await?);
    Ok(Section {
        title: "Requests through the router",
        how: "The upstream is an nginx with a body of 68 bytes and a file of 1 MiB, deployed to Slipway as a Dockerfile app; all \
              proxies send requests to that one container. The proxy is started on one core, wrk and upstream on the other, keep-alive \
              on both sides of the proxy. The nginx of the baseline has one worker and does the same work for headers: it sets `Host`, \
              `X-Forwarded-For`, `-Proto`, `-Port` and `X-Request-Id`, and says the latter to the client; so does HAProxy, with one \
              thread. Slipway also counts each request and leaves up to 500 access lines a second, which the others do not. The lines \
              marked \"bare\" compare with an nginx that sets nothing but `Host`. TLS is 1.3 with an ECDSA certificate everywhere. \
              \"Among\" compares Slipway with itself, with one app in its table. A round in which the machine's host took more \
              than 2 % of the processors away is measured again, up to five times. Where wrk and the upstream are busier than \
              the proxy, or the machine has other work, requests per second say less about a proxy than requests for each \
              second that its process ran."
            .to_owned(),
        baseline: "nginx",
        rows,
        steps: Vec::new(),
    })
}

fn slipway(world: &World) -> Proxy {
    let addresses = &world.server.addresses;
    Proxy { address: addresses.http.clone(), tls: addresses.https.clone(), pid: world.server.pid() }
}

/// Who is measured.
struct Proxy {
    address: String,
    tls: String,
    pid: u32,
}

/// Who is measured, and from where.
struct Bench {
    slipway: Proxy,
    /// In the order of [`BASELINES`].
    baselines: [Proxy; 3],
    host: String,
    /// Where wrk runs.
    core: usize,
}

/// What came of the rounds of one proxy.
#[derive(Default, Clone)]
struct Rounds {
    rates: Samples,
    capacities: Samples,
    p99s: Samples,
}

impl Rounds {
    fn push(&mut self, measured: &Measured) {
        self.rates.push(measured.requests_per_second);
        self.capacities.push(measured.requests_per_cpu_second);
        self.p99s.push(measured.p99_milliseconds);
    }
}

impl Bench {
    async fn measure(&self, load: &Load) -> Result<Vec<Row>> {
        let proxies: Vec<&Proxy> = std::iter::once(&self.slipway).chain(&self.baselines[..load.baselines]).collect();
        for proxy in &proxies {
            self.wrk(load, proxy, WARM_UP).await?;
        }
        let mut rounds = vec![Rounds::default(); proxies.len()];
        for round in 0..ROUNDS {
            let mut order: Vec<usize> = (0..proxies.len()).collect();
            if sides(round) != sides(0) {
                order.reverse();
            }
            for number in order {
                rounds[number].push(&self.wrk(load, proxies[number], RUN).await?);
            }
        }
        let (ours, baselines) = rounds.split_first().context("Slipway is always measured")?;
        let mut rows = Vec::new();
        for (theirs, kind) in baselines.iter().zip(BASELINES) {
            let row = |what: &str, unit: Unit, ours: &Samples, theirs: &Samples| {
                Row::compared(format!("{what}, {}{kind}", load.name), unit, ours.clone(), theirs.clone())
            };
            let has_aim = load.has_aim && kind.is_empty();
            let aimed = |row: Row, aim: Aim| if has_aim { row.aim(aim) } else { row };
            // TLS is to be at least equal.
            let least = Aim::RatioAtLeast(if load.is_tls { 1.0 } else { 0.95 });
            rows.push(aimed(row("requests/s", Unit::PerSecond, &ours.rates, &theirs.rates), least));
            rows.push(row("requests per CPU second", Unit::PerSecond, &ours.capacities, &theirs.capacities));
            rows.push(aimed(row("p99", Unit::FineMilliseconds, &ours.p99s, &theirs.p99s), Aim::RatioAtMost(1.2)));
        }
        Ok(rows)
    }

    /// The same with more and more apps of others in the table, against what it was with few.
    async fn among_many(&mut self, world: &mut World, core: usize) -> Result<Vec<Row>> {
        let mut rows = Vec::new();
        let mut few = Rounds::default();
        for _ in 0..ROUNDS {
            few.push(&self.wrk(&KEPT, &self.slipway, RUN).await?);
        }
        let mut there = 0;
        for apps in MANY_APPS {
            world.server.stop();
            let url = format!("sqlite://{}", world.server.data_dir().join("slipway.db").display());
            population::add_apps(&url, "bench", there + 1, apps).await?;
            there = apps;
            world.server.restart(Some(core)).await?;
            world.page(&world.nginx)?.until("any").await?;
            self.slipway = slipway(world);
            self.wrk(&KEPT, &self.slipway, WARM_UP).await?;
            let mut many = Rounds::default();
            for _ in 0..ROUNDS {
                many.push(&self.wrk(&KEPT, &self.slipway, RUN).await?);
            }
            let row = |what: &str, unit: Unit, ours: Samples, theirs: &Samples| {
                Row::compared(format!("{what}, among {apps} apps"), unit, ours, theirs.clone())
            };
            let flat = Aim::RatioAtLeast(0.9);
            rows.push(row("requests/s", Unit::PerSecond, many.rates, &few.rates));
            let capacity = row("requests per CPU second", Unit::PerSecond, many.capacities, &few.capacities);
            rows.push(capacity.aim(flat));
        }
        Ok(rows)
    }

    async fn wrk(&self, load: &Load, proxy: &Proxy, time: Duration) -> Result<Measured> {
        undisturbed(async || self.wrk_once(load, proxy, time).await).await
    }

    async fn wrk_once(&self, load: &Load, proxy: &Proxy, time: Duration) -> Result<Measured> {
        let close = load.is_new_each_time.then(|| "Connection: close".to_owned());
        let (scheme, address) = if load.is_tls { ("https", &proxy.tls) } else { ("http", &proxy.address) };
        let wrk = Wrk {
            core: self.core,
            connections: load.connections,
            headers: [format!("Host: {}", self.host)].into_iter().chain(close).collect(),
            script: None,
            url: format!("{scheme}://{address}{}", load.path),
        };
        let began = cpu_seconds(proxy.pid)?;
        let measured = wrk.run(time).await?;
        let cpu = cpu_seconds(proxy.pid)? - began;
        let requests_per_cpu_second = measured.requests_per_second * time.as_secs_f64() / cpu;
        Ok(Measured {
            requests_per_second: measured.requests_per_second,
            requests_per_cpu_second,
            p99_milliseconds: measured.p99_milliseconds,
        })
    }
}

/// How long a process has run on a core, in all its threads (`schedstat`, in nanoseconds).
///
/// Unlike requests per second this says the same whatever else the machine does, and whether or not wrk and the upstream
/// keep up with the proxy.
fn cpu_seconds(pid: u32) -> Result<f64> {
    let mut nanoseconds = 0.0;
    for thread in std::fs::read_dir(format!("/proc/{pid}/task"))? {
        // A thread may end meanwhile.
        let stat = std::fs::read_to_string(thread?.path().join("schedstat")).unwrap_or_default();
        nanoseconds += stat.split(' ').next().unwrap_or_default().parse().unwrap_or(0.0);
    }
    Ok(nanoseconds / 1e9)
}

/// Lets a process, all its threads and all that they start run on this core only.
async fn pin(pid: u32, core: usize) -> Result<()> {
    run(Command::new("taskset").args(["-a", "-c", "-p", &core.to_string(), &pid.to_string()])).await.map(drop)
}

async fn start_nginx(folder: &Path, core: usize) -> Result<Daemon> {
    let program = find("nginx").context("no nginx")?;
    let mut command = std::process::Command::new("taskset");
    command
        .args(["-c", &core.to_string()])
        .arg(program)
        .args(["-e", "stderr", "-p"])
        .arg(folder)
        .args(["-c", "nginx.conf"]);
    Daemon::start("nginx", &mut command, folder)
}

fn start_haproxy(folder: &Path, core: usize) -> Result<Daemon> {
    let program = find("haproxy").context("no haproxy")?;
    let mut command = std::process::Command::new("taskset");
    command.args(["-c", &core.to_string()]).arg(program).args(["-db", "-f", "haproxy.cfg"]).current_dir(folder);
    Daemon::start("haproxy", &mut command, folder)
}

/// Where the baselines listen.
struct Ports {
    dressed: u16,
    dressed_tls: u16,
    plain: u16,
    haproxy: u16,
    haproxy_tls: u16,
}

impl Ports {
    fn free() -> Result<Self> {
        Ok(Self {
            dressed: free_port()?,
            dressed_tls: free_port()?,
            plain: free_port()?,
            haproxy: free_port()?,
            haproxy_tls: free_port()?,
        })
    }
}

/// Of the same kind as Slipway's own: ECDSA with P-256.
fn write_certificate(folder: &Path) -> Result<()> {
    let key = rcgen::KeyPair::generate()?;
    let certificate = rcgen::CertificateParams::new(vec!["localhost".to_owned()])?.self_signed(&key)?.pem();
    fs::write(folder.join("own.pem"), &certificate)?;
    fs::write(folder.join("own.key"), key.serialize_pem())?;
    Ok(fs::write(folder.join("both.pem"), format!("{certificate}{}", key.serialize_pem()))?)
}

fn haproxy_conf(upstream: &str, ports: &Ports) -> String {
    let Ports { haproxy, haproxy_tls, .. } = ports;
    format!(
        "global
    nbthread 1
    maxconn 4096
defaults
    mode http
    timeout connect 5s
    timeout client 60s
    timeout server 60s
frontend all
    bind 127.0.0.1:{haproxy} backlog 4096
    bind 127.0.0.1:{haproxy_tls} backlog 4096 ssl crt both.pem ssl-min-ver TLSv1.3
    unique-id-format %{{+X}}o%ci%cp%Ts%rt
    unique-id-header X-Request-Id
    option forwardfor
    http-request set-header X-Forwarded-Proto %[ssl_fc,iif(https,http)]
    http-request set-header X-Forwarded-Port %[dst_port]
    http-response set-header X-Request-Id %[unique-id]
    default_backend app
backend app
    http-reuse always
    server app {upstream}:5000 pool-max-conn 512
"
    )
}

fn nginx_conf(upstream: &str, ports: &Ports) -> String {
    let headers = "proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
            proxy_set_header X-Forwarded-Proto $scheme;
            proxy_set_header X-Forwarded-Port $server_port;
            proxy_set_header X-Request-Id $request_id;
            add_header X-Request-Id $request_id;";
    let server = |port: u16, tls: Option<u16>, headers: &str| {
        let tls = tls.map_or_else(String::new, |port| {
            format!(
                "listen 127.0.0.1:{port} ssl backlog=4096;
        ssl_certificate own.pem;
        ssl_certificate_key own.key;
        ssl_protocols TLSv1.3;"
            )
        });
        format!(
            "server {{
        listen 127.0.0.1:{port} backlog=4096;
        {tls}
        location / {{
            proxy_pass http://app;
            proxy_http_version 1.1;
            proxy_set_header Connection \"\";
            proxy_set_header Host $host;
            {headers}
        }}
    }}"
        )
    };
    let dressed = server(ports.dressed, Some(ports.dressed_tls), headers);
    let plain = server(ports.plain, None, "");
    format!(
        "daemon off;
master_process off;
pid nginx.pid;
error_log stderr error;
events {{ worker_connections 4096; }}
http {{
    access_log off;
    keepalive_requests 100000000;
    client_body_temp_path body;
    proxy_temp_path proxy;
    fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;
    upstream app {{
        server {upstream}:5000;
        keepalive 512;
        keepalive_requests 100000000;
    }}
    {dressed}
    {plain}
}}
"
    )
}
