//! certs:add, certs:list, certs:remove, which only client 1.5.2 has

use rcgen::{CertificateParams, DnType, KeyPair};
use tokio::process::Command;

use super::Story;
use crate::support::{Finished, Running, fresh_name};

/// A certificate is used for the domain that it names, from the command on that adds it.
pub async fn add_and_remove(story: &Story<'_>) {
    let (bob, domain) = (&story.bob, format!("{}.example.com", fresh_name("tls")));
    let (certificate, key) = self_signed(story, &domain);
    bob.can("certs", &["No certs"]).await;
    bob.can(&format!("domains:add {domain}"), &["done"]).await;
    ask(story, &domain).await.failed();
    bob.can(&format!("certs:add {certificate} {key}"), &["Adding SSL endpoint... done", &domain]).await;
    let page = ask(story, &domain).await.succeeded();
    assert!(page.has(&format!("\"app\": \"{}\"", story.app)), "{}", page.output());
    let listed = bob.can("certs:list", &["Common Name", "Expires"]).await;
    let line = listed.lines().find(|line| line.starts_with(&domain)).unwrap_or_else(|| panic!("{listed}"));
    assert!(line.ends_with("UTC"), "{line}");

    bob.cannot(&format!("certs:add {certificate} {key}"), &["400 BAD REQUEST"]).await;
    let (_, other) = self_signed(story, &format!("{}.example.com", fresh_name("tls")));
    bob.cannot(&format!("certs:add {certificate} {other}"), &["400 BAD REQUEST", "key"]).await;
    bob.cannot(&format!("certs:add {key} {key}"), &["400 BAD REQUEST", "certificate"]).await;
    story.eve.cannot(&format!("certs:remove {domain}"), &["404 NOT FOUND"]).await;
    bob.can(&format!("certs:remove {domain}"), &[&format!("Removing {domain}... Done.")]).await;
    bob.cannot(&format!("certs:remove {domain}"), &["404 NOT FOUND", "Not found"]).await;
    bob.can("certs:list", &["No certs"]).await;
    ask(story, &domain).await.failed();
    bob.can(&format!("domains:remove {domain}"), &["done"]).await;
}

/// Asks for the app's page over HTTPS, with bob's certificate as the only one that is trusted.
async fn ask(story: &Story<'_>, domain: &str) -> Finished {
    let https = story.server.addresses().https;
    let mut command = Command::new("curl");
    command.args(["-sS", "--fail", "--noproxy", "*", "--max-time", "30", "--cacert"]);
    command.arg(story.bob.home().join(format!("{domain}.crt")));
    command.args(["--resolve", &format!("{domain}:{}:{}", https.port(), https.ip())]);
    Running::start(command.arg(format!("https://{domain}:{}/", https.port()))).finish().await
}

/// Files with a certificate for the domain and its key, in bob's home folder.
fn self_signed(story: &Story<'_>, domain: &str) -> (String, String) {
    let key = KeyPair::generate().expect("a key can be made");
    let mut params = CertificateParams::new([domain.to_owned()]).expect("a domain is a name");
    params.distinguished_name.push(DnType::CommonName, domain);
    let certificate = params.self_signed(&key).expect("it can sign itself");
    let write = |extension: &str, text: String| {
        let path = story.bob.home().join(format!("{domain}.{extension}"));
        std::fs::write(&path, text).expect("our own folder");
        path.display().to_string()
    };
    (write("crt", certificate.pem()), write("key", key.serialize_pem()))
}
