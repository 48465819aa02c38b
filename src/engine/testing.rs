//! What the tests of this layer share: certificates made on the spot, servers, a runtime.

use std::collections::BTreeMap;
use std::fs;
use std::future::{Future, poll_fn};
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::danger::ClientCertVerifier;
use rustls::{ServerConfig, SupportedProtocolVersion};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::dial::{Target, dial};
use super::link::Link;
use crate::error::{Error, Stage};
use crate::proto::trust::{TlsOptions, Trust};

/// Runs a test that must end within a minute, on a machine that does much besides.
pub(super) fn run<T>(test: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
        .block_on(async { tokio::time::timeout(Duration::from_secs(60), test).await })
        .expect("the test hangs")
}

/// A certification authority of this test's own.
pub(super) struct Ca(CertifiedIssuer<'static, KeyPair>);

impl Ca {
    pub(super) fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    pub(super) fn pem(&self) -> String {
        self.0.pem()
    }

    pub(super) fn trust(&self) -> Trust {
        Trust::Pem(self.pem().into_bytes().into())
    }

    /// A server certificate for `names`, which may be addresses.
    pub(super) fn server(&self, names: &[&str]) -> ServerConfig {
        self.server_with(names, rustls::ALL_VERSIONS, |_| ())
    }

    pub(super) fn server_with(
        &self,
        names: &[&str],
        versions: &[&'static SupportedProtocolVersion],
        adjust: impl FnOnce(&mut CertificateParams),
    ) -> ServerConfig {
        let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        adjust(&mut params);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.0).unwrap();
        server_config(certificate.der().clone(), &key, versions)
    }

    pub(super) fn der(&self) -> CertificateDer<'static> {
        self.0.der().clone()
    }

    /// A server that asks its clients for certificates.
    pub(super) fn server_verifying(
        &self,
        names: &[&str],
        version: &'static SupportedProtocolVersion,
        verifier: Arc<dyn ClientCertVerifier>,
    ) -> ServerConfig {
        let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new(names)
            .unwrap()
            .signed_by(&key, &self.0)
            .unwrap();
        ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(&[version])
            .unwrap()
            .with_client_cert_verifier(verifier)
            .with_single_cert(
                vec![certificate.der().clone()],
                PrivateKeyDer::Pkcs8(key.serialize_der().into()),
            )
            .unwrap()
    }

    /// A server that shows the certificate of the authority itself.
    pub(super) fn server_with_the_ca_itself(&self) -> ServerConfig {
        server_config(self.0.der().clone(), self.0.key(), rustls::ALL_VERSIONS)
    }
}

pub(super) fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

fn server_config(
    certificate: CertificateDer<'static>,
    key: &KeyPair,
    versions: &[&'static SupportedProtocolVersion],
) -> ServerConfig {
    ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(versions)
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![certificate],
            PrivateKeyDer::Pkcs8(key.serialize_der().into()),
        )
        .unwrap()
}

pub(super) async fn listen() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

/// A TLS server that sends back what it receives, connection after connection.
pub(super) async fn echo(config: ServerConfig) -> SocketAddr {
    let (listener, address) = listen().await;
    let acceptor = TlsAcceptor::from(Arc::new(config));
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let Ok(stream) = acceptor.accept(stream).await else {
                    return;
                };
                let (mut reader, mut writer) = tokio::io::split(stream);
                let _ = tokio::io::copy(&mut reader, &mut writer).await;
                let _ = writer.shutdown().await;
            });
        }
    });
    address
}

/// A peer that sends `bytes` as soon as it has received something, and closes.
pub(super) async fn answer_with(bytes: &'static [u8]) -> SocketAddr {
    let (listener, address) = listen().await;
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut received = [0; 4096];
        let _ = stream.read(&mut received).await;
        let _ = stream.write_all(bytes).await;
    });
    address
}

pub(super) fn trusting(trust: Trust) -> TlsOptions {
    TlsOptions {
        trust: vec![trust],
        ..TlsOptions::default()
    }
}

pub(super) fn target(address: SocketAddr, trust: Trust) -> Target {
    Target {
        host: address.ip().to_string(),
        port: address.port(),
        server_name: None,
        tls: Arc::new(trusting(trust)),
        way: Arc::default(),
        max_packet_len: 0,
        plaintext: false,
        connect_timeout: Duration::from_secs(5),
        avoid: None,
        user_timeout: None,
    }
}

/// As [`target`], verified as `name`.
pub(super) fn named(address: SocketAddr, trust: Trust, name: &str) -> Target {
    Target {
        server_name: Some(name.to_owned()),
        ..target(address, trust)
    }
}

/// Names of the tests: what they stand for, and how long it takes to learn it.
static NAMES: Mutex<BTreeMap<String, (Duration, Vec<SocketAddr>)>> = Mutex::new(BTreeMap::new());

/// Makes `host` a name of these addresses for all dials of the process.
pub(super) fn name(host: &str, takes: Duration, addresses: &[SocketAddr]) {
    let what = (takes, addresses.to_vec());
    NAMES.lock().unwrap().insert(host.to_owned(), what);
}

/// `None`: it is no name of a test.
pub(super) async fn look_up(host: &str) -> Option<Vec<SocketAddr>> {
    let (takes, addresses) = NAMES.lock().unwrap().get(host).cloned()?;
    tokio::time::sleep(takes).await;
    Some(addresses)
}

pub(super) async fn connect(target: &Target) -> Result<Link, Error> {
    dial(target, &mut |_: Stage| ()).await
}

/// The stages of a dial in order, and how it ended.
pub(super) async fn stages(target: &Target) -> (Vec<Stage>, Result<Link, Error>) {
    let mut stages = Vec::new();
    let result = dial(target, &mut |stage: Stage| stages.push(stage)).await;
    (stages, result)
}

/// A client and its end of the same connection on the server.
pub(super) async fn pair(ca: &Ca, config: ServerConfig) -> (Link, TlsStream<TcpStream>) {
    let (listener, address) = listen().await;
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let server = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        acceptor.accept(stream).await.unwrap()
    });
    let link = connect(&target(address, ca.trust())).await.unwrap();
    (link, server.await.unwrap())
}

impl Link {
    pub(super) async fn read(&mut self) -> io::Result<Vec<u8>> {
        let mut buffer = vec![0; 65_536];
        let count = poll_fn(|cx| self.poll_read(cx, &mut buffer)).await?;
        buffer.truncate(count);
        Ok(buffer)
    }

    pub(super) async fn write(&mut self, slices: &[&[u8]]) -> io::Result<usize> {
        let slices: Vec<IoSlice<'_>> = slices.iter().map(|slice| IoSlice::new(slice)).collect();
        let count = poll_fn(|cx| self.poll_write_vectored(cx, &slices)).await?;
        poll_fn(|cx| self.poll_flush(cx)).await?;
        Ok(count)
    }

    pub(super) async fn shutdown(&mut self) -> io::Result<()> {
        poll_fn(|cx| self.poll_shutdown(cx)).await
    }

    /// Sends a word and waits for it to come back.
    pub(super) async fn echo(&mut self) {
        assert_eq!(self.write(&[b"he", b"llo"]).await.unwrap(), 5);
        let mut received = Vec::new();
        while received.len() < 5 {
            received.extend(self.read().await.unwrap());
        }
        assert_eq!(received, b"hello");
    }
}

/// A file that is removed at the end of its test.
pub(super) struct TempFile(pub(super) String);

impl TempFile {
    pub(super) fn new(name: &str, content: &str) -> Self {
        let name = format!("aliot-{}-{name}.pem", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::write(&path, content).unwrap();
        Self(path.to_str().unwrap().to_owned())
    }

    pub(super) fn trust(&self) -> Trust {
        Trust::File(self.0.as_str().into())
    }
}

impl Drop for TempFile {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}
