//! Where a drain's receiver is, and how to get there.

use std::sync::Arc;

use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::{DrainSettings, LogDrains};
use crate::model::{DrainKind, DrainUrl};
use crate::outbound::Pinned;

/// A way to the receiver.
pub(super) trait Pipe: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Pipe for T {}

/// The receiver's addresses, checked. They are looked at again for every connection: a name may come to mean another machine.
pub(super) async fn pin(url: &DrainUrl, settings: &DrainSettings) -> Result<Pinned, String> {
    let target = url.target().map_err(|why| format!("The receiver cannot be asked: {why}."))?;
    let pinned = settings.outbound.resolve(&target).await;
    pinned.map_err(|why| format!("The receiver is not asked: {why}."))
}

/// A connection to a syslog receiver, ready for the first byte.
pub(super) async fn open(drains: &LogDrains, url: &DrainUrl) -> Result<Box<dyn Pipe>, String> {
    let settings = &drains.0.settings;
    let connected = pin(url, settings).await?.connect_tcp(settings.connect).await;
    let stream = connected.map_err(|why| format!("cannot connect to {}: {why}", url.host()))?;
    if url.kind() == DrainKind::SyslogTls {
        return secure(stream, url.host(), settings, drains.tls().await).await;
    }
    Ok(Box::new(stream))
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
        Ok(Err(error)) => {
            let is_certificate = error.to_string().contains("certificate");
            let why =
                if is_certificate { "its certificate is not trusted, or of another name" } else { "it breaks off" };
            Err(format!("TLS with {host} fails: {why}"))
        }
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
