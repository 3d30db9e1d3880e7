//! Requests through the router, against nginx as a proxy to the same upstream on the same core.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::process::Command;

use crate::machine::{find, two_cores};
use crate::process::{Daemon, free_port, listens, run};
use crate::report::{Aim, Row, Section, Unit};
use crate::stats::{Samples, sides};
use crate::world::{World, host};
use crate::wrk::Wrk;

const ROUNDS: usize = 9;
/// One measurement of one proxy.
const RUN: Duration = Duration::from_secs(2);
const WARM_UP: Duration = Duration::from_secs(1);

/// A kind of load.
struct Load {
    name: &'static str,
    connections: usize,
    /// A connection for each request instead of one for all.
    is_new_each_time: bool,
    proxies: usize,
}

const LOADS: [Load; 3] = [
    Load { name: "64 connections", connections: 64, is_new_each_time: false, proxies: 3 },
    Load { name: "32 connections", connections: 32, is_new_each_time: false, proxies: 2 },
    Load { name: "64 clients, a connection per request", connections: 64, is_new_each_time: true, proxies: 2 },
];

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
    let (dressed, plain) = (free_port()?, free_port()?);
    fs::write(folder.join("nginx.conf"), nginx_conf(&address, dressed, plain))?;
    let mut nginx = start_nginx(&folder, core).await?;
    nginx.until(Duration::from_secs(10), || listens(plain)).await?;
    // Started on its core, as nginx is: both decide by that how many threads they work with.
    world.server.restart(Some(core)).await?;
    world.page(&world.nginx)?.until("any").await?;
    pin(upstream, other_core).await?;
    let slipway = Proxy { address: world.server.addresses.http.clone(), pid: world.server.pid() };
    let nginx_at = |port: u16| Proxy { address: format!("127.0.0.1:{port}"), pid: nginx.pid() };
    let proxies = [slipway, nginx_at(dressed), nginx_at(plain)];
    let mut rows = Vec::new();
    let host = host(&world.nginx);
    let bench = Bench { proxies, host, core: other_core };
    for load in &LOADS {
        rows.extend(bench.measure(load).await?);
    }
    Ok(Section {
        title: "Requests through the router",
        how: "The upstream is an nginx with a body of 68 bytes, deployed to Slipway as a Dockerfile app; both proxies \
              send requests to that one container. The proxy is started on one core, wrk and upstream on the other, keep-alive on both \
              sides of the proxy. The nginx of the baseline has one worker and does the same work: it sets `Host`, \
              `X-Forwarded-For`, `-Proto`, `-Port` and `X-Request-Id`, and says the latter to the client. The lines \
              marked \"bare\" compare with an nginx that sets nothing but `Host`. Where wrk and the upstream \
              are busier than the proxy, or the machine has other work, requests per second say less about a proxy than \
              requests for each second that its process ran."
            .to_owned(),
        baseline: "nginx",
        rows,
        steps: Vec::new(),
    })
}

/// Who is measured.
struct Proxy {
    address: String,
    pid: u32,
}

/// Who is measured, and from where.
struct Bench {
    /// Slipway, nginx that does the same, nginx that does less.
    proxies: [Proxy; 3],
    host: String,
    /// Where wrk runs.
    core: usize,
}

impl Bench {
    async fn measure(&self, load: &Load) -> Result<Vec<Row>> {
        let nothing = vec![Samples::default(); load.proxies];
        let (mut rates, mut capacities, mut p99s) = (nothing.clone(), nothing.clone(), nothing);
        for proxy in &self.proxies[..load.proxies] {
            self.wrk(load, proxy, WARM_UP).await?;
        }
        for round in 0..ROUNDS {
            let mut order: Vec<usize> = (0..load.proxies).collect();
            if sides(round) != sides(0) {
                order.reverse();
            }
            for number in order {
                let measured = self.wrk(load, &self.proxies[number], RUN).await?;
                rates[number].push(measured.requests_per_second);
                capacities[number].push(measured.requests_per_cpu_second);
                p99s[number].push(measured.p99_milliseconds);
            }
        }
        let mut rows = Vec::new();
        for (number, kind) in ["", " (bare)"].iter().enumerate().take(load.proxies - 1) {
            let row = |what: &str, unit: Unit, samples: &[Samples]| {
                let name = format!("{what}, {}{kind}", load.name);
                Row::compared(name, unit, samples[0].clone(), samples[number + 1].clone())
            };
            let has_aim = !load.is_new_each_time && kind.is_empty();
            let aimed = |row: Row| if has_aim { row.aim(Aim::RatioAtLeast(0.85)) } else { row };
            rows.push(aimed(row("requests/s", Unit::PerSecond, &rates)));
            rows.push(aimed(row("requests per CPU second", Unit::PerSecond, &capacities)));
            rows.push(row("p99", Unit::FineMilliseconds, &p99s));
        }
        Ok(rows)
    }

    async fn wrk(&self, load: &Load, proxy: &Proxy, time: Duration) -> Result<Measured> {
        let close = load.is_new_each_time.then(|| "Connection: close".to_owned());
        let wrk = Wrk {
            core: self.core,
            connections: load.connections,
            headers: [format!("Host: {}", self.host)].into_iter().chain(close).collect(),
            script: None,
            url: format!("http://{}/", proxy.address),
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

fn nginx_conf(upstream: &str, dressed: u16, plain: u16) -> String {
    let headers = "proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
            proxy_set_header X-Forwarded-Proto $scheme;
            proxy_set_header X-Forwarded-Port $server_port;
            proxy_set_header X-Request-Id $request_id;
            add_header X-Request-Id $request_id;";
    let server = |port: u16, headers: &str| {
        format!(
            "server {{
        listen 127.0.0.1:{port} backlog=4096;
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
    let (dressed, plain) = (server(dressed, headers), server(plain, ""));
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
