//! TLS by hand: certificates made for a test, and a client that looks at what it is shown.

use std::sync::Arc;

use rcgen::{CertificateParams, DnType, KeyPair};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme, SupportedProtocolVersion};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::{SHORT, Slipway};

/// A certificate that signs itself, and its key.
pub struct Pair {
    pub certificate: String,
    pub key: String,
}

impl Pair {
    /// For these names, the first of them as its common name.
    pub fn of(names: &[&str]) -> Self {
        let key = KeyPair::generate().expect("a key");
        let listed: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(listed).expect("names");
        params.distinguished_name.push(DnType::CommonName, names[0]);
        let certificate = params.self_signed(&key).expect("a certificate").pem();
        Self { certificate, key: key.serialize_pem() }
    }

    /// As `certs:add` sends it.
    pub fn upload(&self) -> Value {
        json!({ "certificate": self.certificate.trim(), "key": self.key.trim() })
    }

    /// The certificate by itself.
    pub fn der(&self) -> CertificateDer<'static> {
        CertificateDer::from_pem_slice(self.certificate.as_bytes()).expect("PEM")
    }
}

/// What came of a connection.
pub struct Shown {
    certificate: CertificateDer<'static>,
    /// The answer to a GET of `/` for the same name.
    pub answer: String,
}

impl Shown {
    /// Whether it was this certificate.
    pub fn is(&self, pair: &Pair) -> bool {
        self.certificate == pair.der()
    }
}

impl Slipway {
    /// Connects to the router by TLS, asks for `name` and gets `/` of it. The certificate is taken whatever it is.
    pub async fn shown(&self, name: &str, version: &'static SupportedProtocolVersion) -> Shown {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let mut config = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(&[version])
            .expect("versions that it has")
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Anything(provider)))
            .with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        let server_name = ServerName::try_from(name.to_owned()).expect("a name");
        let exchange = async {
            let stream = TcpStream::connect(self.addresses().https).await?;
            let mut stream = TlsConnector::from(Arc::new(config)).connect(server_name, stream).await?;
            let session = stream.get_ref().1;
            assert_eq!(session.protocol_version(), Some(version.version));
            assert_eq!(session.alpn_protocol(), Some(&b"http/1.1"[..]));
            let certificate = session.peer_certificates().expect("a certificate")[0].clone().into_owned();
            let request = format!("GET / HTTP/1.1\r\nHost: {name}\r\nConnection: close\r\n\r\n");
            stream.write_all(request.as_bytes()).await?;
            let mut answer = Vec::new();
            stream.read_to_end(&mut answer).await?;
            Ok::<_, std::io::Error>(Shown { certificate, answer: String::from_utf8_lossy(&answer).into_owned() })
        };
        timeout(SHORT, exchange).await.expect("an answer comes in time").expect("the connection holds")
    }
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
