//! HTTPS: HTTP/2 and HTTP/1.1 over TLS.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, Request, Response, Version};
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::sign::CertifiedKey;
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme, SupportedProtocolVersion};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::support::{Answer, Running, TestServer, full, soon};
use crate::model::Timestamp;
use crate::route::{Certificates, Challenges, RouterConfig, Servable, Shown, tls};

async fn https() -> (Running, String) {
    let (certificate, key) = tls::self_signed("example.test").expect("a certificate");
    let own = tls::certified_key(&certificate, &key).expect("usable");
    let config = tls::server_config(Certificates::new(own, Challenges::default()));
    (Running::start_with(RouterConfig::default(), Some(config)).await, certificate)
}

async fn connect(router: &Running, certificate: &str, protocol: &[u8]) -> TlsStream<TcpStream> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(certificate.as_bytes()).expect("PEM")).expect("a certificate");
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![protocol.to_vec()];
    let stream = TcpStream::connect(router.address).await.expect("the router accepts");
    let name = ServerName::try_from("app.example.test").expect("a name");
    let connected = TlsConnector::from(Arc::new(config)).connect(name, stream);
    soon("the handshake", connected).await.expect("the certificate covers every app")
}

/// One GET by HTTPS and HTTP/1.1: status and headers.
pub async fn get(router: &Running, certificate: &str, host: &str) -> (u16, HeaderMap) {
    let stream = connect(router, certificate, b"http/1.1").await;
    let (mut sender, driver) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.expect("a connection");
    let driver = tokio::spawn(driver);
    let request = Request::get("/").header("host", host).body(Empty::<Bytes>::new()).expect("a request");
    let response = soon("an answer", sender.send_request(request)).await.expect("an answer");
    driver.abort();
    (response.status().as_u16(), response.headers().clone())
}

/// Tells the version and headers that the app saw.
async fn witness() -> TestServer {
    TestServer::http(|request: Request<Incoming>| async move {
        let head = |headers: &HeaderMap, name: &str| {
            headers.get_all(name).iter().map(|value| value.to_str().expect("text").to_owned()).collect::<Vec<_>>()
        };
        let headers = request.headers().clone();
        let (version, uri) = (request.version(), request.uri().clone());
        let body = request.into_body().collect().await.expect("whole").to_bytes();
        Response::new(full(format!(
            "{version:?} {uri} {:?} {:?} {:?} {}",
            head(&headers, "host"),
            head(&headers, "cookie"),
            head(&headers, "x-forwarded-proto"),
            String::from_utf8_lossy(&body),
        )))
    })
    .await
}

#[tokio::test]
async fn an_http2_request_reaches_an_http1_app() {
    let (router, certificate) = https().await;
    let app = witness().await;
    router.publish("app", &[app.address]);
    let stream = connect(&router, &certificate, b"h2").await;
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    let (mut sender, driver) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.expect("a connection");
    let driver = tokio::spawn(driver);
    let request = Request::post("https://App.example.test/p?q=1")
        .header("cookie", "a=1")
        .header("cookie", "b=2")
        .body(full("sent"))
        .expect("a request");
    let response = soon("an answer", sender.send_request(request)).await.expect("an answer");
    assert_eq!(response.version(), Version::HTTP_2);
    let answer = Answer::of(response).await;
    assert_eq!(answer.body, r#"HTTP/1.1 /p?q=1 ["App.example.test"] ["a=1; b=2"] ["https"] sent"#);
    let request = Request::get("https://nobody.example.test/").body(full("")).expect("a request");
    let response = soon("an answer", sender.send_request(request)).await.expect("an answer");
    assert_eq!(Answer::of(response).await.refusal(), (404, "unknown-host"));
    let request = Request::get("https://app.example.test/").header("host", "x").body(full("")).expect("a request");
    let response = soon("an answer", sender.send_request(request)).await.expect("an answer");
    assert_eq!(Answer::of(response).await.refusal(), (400, "bad-request"));
    driver.abort();
}

#[tokio::test]
async fn http1_over_tls_works_too() {
    let (router, certificate) = https().await;
    let app = witness().await;
    router.publish("app", &[app.address]);
    let stream = connect(&router, &certificate, b"http/1.1").await;
    let (mut sender, driver) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.expect("a connection");
    let driver = tokio::spawn(driver);
    let request = Request::get("/").header("host", "app.example.test").body(Empty::<Bytes>::new()).expect("a request");
    let answer = Answer::of(soon("an answer", sender.send_request(request)).await.expect("an answer")).await;
    assert_eq!(answer.body, r#"HTTP/1.1 / ["app.example.test"] [] ["https"] "#);
    driver.abort();
}

/// Which certificate a client that asks for `name` in that version is shown, and the protocol that was agreed on.
async fn shown(router: &Running, name: &str, version: &'static SupportedProtocolVersion) -> (Vec<u8>, Vec<u8>) {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&[version])
        .expect("versions")
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anything(provider)))
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let stream = TcpStream::connect(router.address).await.expect("the router accepts");
    let name = ServerName::try_from(name.to_owned()).expect("a name");
    let connected = TlsConnector::from(Arc::new(config)).connect(name, stream);
    let stream = soon("the handshake", connected).await.expect("a handshake");
    let session = stream.get_ref().1;
    assert_eq!(session.protocol_version(), Some(version.version));
    let certificates = session.peer_certificates().expect("a certificate");
    (certificates[0].to_vec(), session.alpn_protocol().expect("a protocol").to_vec())
}

/// Takes any certificate, but checks that the server has its key.
#[derive(Debug)]
struct Anything(Arc<CryptoProvider>);

impl ServerCertVerifier for Anything {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

#[tokio::test]
async fn the_name_that_a_client_asks_for_chooses_the_certificate() {
    let key = |name: &str| {
        let (certificate, key) = tls::self_signed(name).expect("a certificate");
        tls::certified_key(&certificate, &key).expect("usable")
    };
    let (own, www, star) = (key("own.test"), key("www.example.org"), key("example.org"));
    let der = |key: &CertifiedKey| key.cert[0].to_vec();
    let (own_der, www_der, star_der) = (der(&own), der(&www), der(&star));
    let certificates = Certificates::new(own, Challenges::default());
    let router = Running::start_with(RouterConfig::default(), Some(tls::server_config(certificates.clone()))).await;
    let check = async |name: &str, expect: &[u8]| {
        for version in [&TLS12, &TLS13] {
            let (found, protocol) = shown(&router, name, version).await;
            assert!(found == expect, "{name} in {version:?}");
            assert_eq!(protocol, b"h2");
        }
    };
    check("www.example.org", &own_der).await;
    let servable =
        |key: CertifiedKey| Arc::new(Servable { expires_at: Timestamp::from_millis(i64::MAX), key: Arc::new(key) });
    certificates.replace(Shown {
        exact: [("www.example.org".to_owned(), vec![servable(www)])].into(),
        wildcards: [("example.org".to_owned(), vec![servable(star)])].into(),
    });
    check("www.example.org", &www_der).await;
    check("WWW.example.org", &www_der).await;
    check("any.example.org", &star_der).await;
    for name in ["example.org", "a.any.example.org", "app.example.test", "127.0.0.1"] {
        check(name, &own_der).await;
    }
    certificates.replace(Shown::default());
    check("www.example.org", &own_der).await;
}

#[tokio::test]
async fn a_stop_does_not_wait_for_a_handshake_that_never_comes() {
    let (mut router, _) = https().await;
    let _silent = TcpStream::connect(router.address).await.expect("the router accepts");
    router.stop.cancel();
    soon("serve returns", &mut router.served).await.expect("no panic");
}
