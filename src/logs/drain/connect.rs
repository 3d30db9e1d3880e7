//! Where a drain's receiver is, and how to get there.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::{DrainSettings, LogDrains};
use crate::model::{DrainKind, DrainUrl, is_own_address};

/// A way to the receiver.
pub(super) trait Pipe: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Pipe for T {}

/// The receiver's addresses. They are looked at anew for every connection: a name may come to mean another machine.
pub(super) async fn addresses(url: &DrainUrl, settings: &DrainSettings) -> Result<Vec<SocketAddr>, String> {
    let (host, port) = (url.host(), url.port());
    let found = match host.parse::<IpAddr>() {
        Ok(address) => vec![SocketAddr::new(address, port)],
        Err(_) => match timeout(settings.connect, tokio::net::lookup_host((host, port))).await {
            Ok(Ok(found)) => found.collect(),
            Ok(Err(_)) => Vec::new(),
            Err(_) => return Err(format!("Looking up the host '{host}' takes too long.")),
        },
    };
    if found.is_empty() {
        return Err(format!("The host '{host}' is not found."));
    }
    if !settings.allows_own_addresses && found.iter().any(|address| is_own_address(address.ip())) {
        return Err(format!(
            "'{host}' is this server's own address: name another machine, or have the operator set \
             SLIPWAY_FETCH_FROM_SELF=yes."
        ));
    }
    Ok(found)
}

/// A connection to a syslog receiver, ready for the first byte.
pub(super) async fn open(drains: &LogDrains, url: &DrainUrl) -> Result<Box<dyn Pipe>, String> {
    let settings = &drains.0.settings;
    let mut trouble = String::new();
    for address in addresses(url, settings).await? {
        match timeout(settings.connect, TcpStream::connect(address)).await {
            Ok(Ok(stream)) if url.kind() == DrainKind::SyslogTls => {
                return secure(stream, url.host(), settings, drains.tls().await).await;
            }
            Ok(Ok(stream)) => return Ok(Box::new(stream)),
            Ok(Err(error)) => trouble = format!("cannot connect to {address}: {error}"),
            Err(_) => trouble = format!("{address} does not answer within {} s", settings.connect.as_secs_f32()),
        }
    }
    Err(trouble)
}

async fn secure(
    stream: TcpStream,
    host: &str,
    settings: &DrainSettings,
    tls: Arc<ClientConfig>,
) -> Result<Box<dyn Pipe>, String> {
    let name = ServerName::try_from(host.to_owned()).map_err(|_| format!("'{host}' is no name for TLS"))?;
    match timeout(settings.connect, TlsConnector::from(tls).connect(name, stream)).await {
        Ok(Ok(stream)) => Ok(Box::new(stream)),
        Ok(Err(error)) => Err(format!("TLS with {host} fails: {error}")),
        Err(_) => Err(format!("TLS with {host} takes longer than {} s", settings.connect.as_secs_f32())),
    }
}

/// Trusts what the system trusts. Certificates that cannot be read are left out, and the server's log says so.
pub(super) fn tls_config(trusted: &[CertificateDer<'static>]) -> ClientConfig {
    let found = rustls_native_certs::load_native_certs();
    for error in &found.errors {
        tracing::warn!(%error, "cannot read a certificate that the system trusts");
    }
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(found.certs.into_iter().chain(trusted.iter().cloned()));
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let versions = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    versions.expect("the provider has the usual ciphers").with_root_certificates(roots).with_no_client_auth()
}
