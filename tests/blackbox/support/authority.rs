//! An authority that makes certificates, Debian's `pebble`, which refuses some requests for their nonce, as real ones do now
//! and then; and the DNS that it looks names up in.

use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use rcgen::{CertificateParams, KeyPair};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::process::{Child, Command};

use super::Options;
use super::wait::{SHORT, wait_until};

/// Of a hundred requests so many are refused for their nonce.
const BAD_NONCES: &str = "10";

/// Runs until it is dropped. All names lead to this machine, unless told otherwise.
pub struct Authority {
    dir: TempDir,
    http: reqwest::Client,
    directory: SocketAddr,
    management: SocketAddr,
    dns_management: SocketAddr,
    /// Where it looks for the server whose names it certifies.
    router: SocketAddr,
    router_tls: SocketAddr,
    processes: Vec<Child>,
}

/// An address that nothing listens at now. Somebody else may take it, which would show at once.
fn free_address() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("the loopback has ports");
    listener.local_addr().expect("it is bound")
}

impl Authority {
    /// Starts both.
    pub async fn start() -> Self {
        let dir = tempfile::Builder::new().prefix("slipway-authority-").tempdir().expect("a folder can be made");
        let key = KeyPair::generate().expect("a key");
        let names = ["localhost", "127.0.0.1"].map(str::to_owned);
        let params = CertificateParams::new(names).expect("names");
        let certificate = params.self_signed(&key).expect("a certificate").pem();
        fs::write(dir.path().join("own.pem"), &certificate).expect("our own folder");
        fs::write(dir.path().join("own.key"), key.serialize_pem()).expect("our own folder");
        let root = reqwest::Certificate::from_pem(certificate.as_bytes()).expect("PEM");
        let http = reqwest::Client::builder().no_proxy().add_root_certificate(root).build().expect("a client");
        let free = || free_address();
        let mut authority = Self {
            dir,
            http,
            directory: free(),
            management: free(),
            dns_management: free(),
            router: free(),
            router_tls: free(),
            processes: Vec::new(),
        };
        authority.spawn().await;
        authority
    }

    async fn spawn(&mut self) {
        let dns = free_address();
        let path = |name: &str| self.dir.path().join(name);
        let config = json!({"pebble": {
            "listenAddress": self.directory, "managementListenAddress": self.management,
            "certificate": path("own.pem"), "privateKey": path("own.key"),
            "httpPort": self.router.port(), "tlsPort": self.router_tls.port(),
            "ocspResponderURL": "", "externalAccountBindingRequired": false,
        }});
        fs::write(path("pebble.json"), config.to_string()).expect("our own folder");
        let (dns, dns_management) = (dns.to_string(), self.dns_management.to_string());
        let resolver = [
            "-defaultIPv4",
            "127.0.0.1",
            "-defaultIPv6",
            "",
            "-http01",
            "",
            "-https01",
            "",
            "-tlsalpn01",
            "",
            "-dns01",
            &dns,
            "-management",
            &dns_management,
        ];
        let config = path("pebble.json");
        let pebble = ["-config", config.to_str().expect("UTF-8"), "-dnsserver", &dns, "-strict"];
        let processes = vec![self.run("pebble-challtestsrv", &resolver), self.run("pebble", &pebble)];
        self.processes = processes;
        wait_until("the authority answers", SHORT, async || {
            let answer = self.http.get(self.directory_url()).send().await;
            answer.map_err(|error| format!("{error:?}\n{}", self.log()))
        })
        .await;
    }

    fn run(&self, program: &str, arguments: &[&str]) -> Child {
        let log = fs::File::options().create(true).append(true).open(self.log_file()).expect("our own folder");
        let mut command = Command::new(program);
        command.args(arguments).env("PEBBLE_VA_NOSLEEP", "1").env("PEBBLE_WFE_NONCEREJECT", BAD_NONCES);
        command.stdin(Stdio::null()).stderr(log.try_clone().expect("a file")).stdout(log).kill_on_drop(true);
        command.spawn().unwrap_or_else(|error| panic!("{program}: {error}; make test installs it"))
    }

    fn directory_url(&self) -> String {
        format!("https://{}/dir", self.directory)
    }

    fn log_file(&self) -> PathBuf {
        self.dir.path().join("log")
    }

    /// What both have said.
    pub fn log(&self) -> String {
        fs::read_to_string(self.log_file()).unwrap_or_default()
    }

    /// What a server is started with whose router it finds.
    pub fn options(&self) -> Options {
        let own = self.dir.path().join("own.pem");
        Options::default()
            .env("SLIPWAY_ACME_EMAIL", "admin@example.com")
            .env("SLIPWAY_ACME_DIRECTORY", &self.directory_url())
            // The names are known to the authority's name server only.
            .env("SLIPWAY_ACME_LOOKUP", "no")
            .env("SLIPWAY_HTTP_ADDR", &self.router.to_string())
            .env("SLIPWAY_HTTPS_ADDR", &self.router_tls.to_string())
            .env("SSL_CERT_FILE", Path::to_str(&own).expect("UTF-8"))
    }

    /// From now on the name leads to another address, where nobody listens.
    pub async fn lead_nowhere(&self, name: &str) {
        let url = format!("http://{}/add-a", self.dns_management);
        let request = self.http.post(url).json(&json!({"host": format!("{name}."), "addresses": ["127.255.0.1"]}));
        let answer = request.send().await.expect("the resolver answers");
        assert!(answer.status().is_success(), "{answer:?}");
    }

    /// A client that trusts this authority's certificates, and nobody else's, and finds all of `names` at the router.
    pub async fn visitor(&self, names: &[&str]) -> reqwest::Client {
        let root = self.http.get(format!("https://{}/roots/0", self.management)).send().await.expect("it answers");
        let root = reqwest::Certificate::from_pem(&root.bytes().await.expect("it answers")).expect("PEM");
        let client = reqwest::Client::builder().no_proxy().tls_built_in_root_certs(false).add_root_certificate(root);
        let client = names.iter().fold(client, |client, name| client.resolve(name, self.router_tls));
        // Each connection shows which certificate is served now.
        client.pool_max_idle_per_host(0).timeout(SHORT).build().expect("a client")
    }

    /// What a visitor gets at `https://NAME/`: the status, or why there is no connection.
    pub async fn visit(&self, visitor: &reqwest::Client, name: &str) -> Result<u16, String> {
        let url = format!("https://{name}:{}/", self.router_tls.port());
        let answer = visitor.get(url).send().await.map_err(|error| format!("{error:?}"))?;
        Ok(answer.status().as_u16())
    }

    /// Ends both.
    pub async fn stop(&mut self) {
        for process in &mut self.processes {
            process.kill().await.expect("our own child");
        }
        self.processes.clear();
    }

    /// How many certificates it has made.
    pub fn issued(&self) -> usize {
        self.log().matches("Issued certificate serial").count()
    }
}

/// How it stands with an app's certificates: name -> entry.
pub fn by_name(list: &Value) -> std::collections::BTreeMap<String, Value> {
    let entries = list["results"].as_array().cloned().unwrap_or_default();
    entries.into_iter().map(|entry| (entry["name"].as_str().unwrap_or_default().to_owned(), entry)).collect()
}
