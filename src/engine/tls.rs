//! TLS settings: one shared configuration for each set of roots, pins, versions and client
//! certificate.

use std::borrow::Cow;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, UNIX_EPOCH};

use rustls::client::{
    ClientSessionMemoryCache, ClientSessionStore as _, Resumption, WebPkiServerVerifier,
};
use rustls::crypto::ring::sign::any_supported_type;
use rustls::crypto::{CryptoProvider, KeyProvider};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::sign::{CertifiedKey, SigningKey, SingleCertAndKey};
use rustls::time_provider::TimeProvider;
use rustls::version::{TLS12, TLS13};
use rustls::{
    CipherSuite, ClientConfig, InconsistentKeys, RootCertStore, SupportedCipherSuite,
    SupportedProtocolVersion,
};
use sha2::{Digest, Sha256};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use zeroize::Zeroizing;

use super::expiry::{self, Anchor, Notice};
use super::pem::{private_key, read_file, read_secret_file, root_store, shown_path, unusable};
use super::socket::Socket;
use super::verifier::Verifier;
use super::{clock, roots, tls_error};
use crate::error::Error;
use crate::proto::certificate::Certificate;
use crate::proto::trust::{ClientCertificate, TlsOptions, TlsVersions, Trust};

/// TLS sessions remembered for each configuration, shared by all clients that use it.
const SESSIONS: usize = 256;

/// Configurations that are kept between connections. Nearly every process has one.
const CONFIGS: usize = 64;

type Fingerprint = [u8; 32];

static SHARED: Configs = Configs::new();

/// A configuration, and what is known of its roots.
#[derive(Debug)]
pub(crate) struct Settings {
    config: Arc<ClientConfig>,
    /// Those of `config`.
    sessions: Arc<ClientSessionMemoryCache>,
    pub(crate) anchors: Arc<[Anchor]>,
    /// When the device's own certificate ends, in seconds since 1970. `None` without one.
    own_ends: Option<u64>,
}

impl Settings {
    /// What there is to say about a certificate that ends `within` some time: one that the server
    /// has `shown`, a root, or the device's own.
    pub(super) fn notice(&self, shown: &[CertificateDer<'_>], within: Duration) -> Option<Notice> {
        let now = tls_error::now_s();
        expiry::notice(shown, &self.anchors, self.own_ends, now, within)
    }

    /// Shakes hands with the server `name` at the other end of `stream`.
    ///
    /// Whatever ends that early costs the sessions of that name: one of them may be the reason, and
    /// would be tried again for as long as the process lives. Source: RFC 5246, 7.2.2.
    pub(super) async fn connect(
        &self,
        name: ServerName<'static>,
        stream: Socket,
    ) -> io::Result<TlsStream<Socket>> {
        let mut attempt = Attempt {
            sessions: &self.sessions,
            name,
            has_succeeded: false,
        };
        let stream = TlsConnector::from(Arc::clone(&self.config))
            .connect(attempt.name.clone(), stream)
            .await?;
        attempt.has_succeeded = true;
        Ok(stream)
    }
}

/// A handshake, which may fail or be given up.
struct Attempt<'a> {
    sessions: &'a ClientSessionMemoryCache,
    name: ServerName<'static>,
    has_succeeded: bool,
}

impl Drop for Attempt<'_> {
    fn drop(&mut self) {
        if !self.has_succeeded {
            self.sessions.remove_tls12_session(&self.name);
            while self.sessions.take_tls13_ticket(&self.name).is_some() {}
        }
    }
}

/// The settings for `options`.
///
/// The same content gives the same configuration, whoever asks and whether it comes from memory or
/// from files: the sessions in it survive reconnects, and ten thousand clients share one. Files are
/// read at each call, which blocks; new content takes effect at once.
///
/// # Errors
///
/// `TlsConfig` if a file cannot be read or something cannot be used. Nothing falls back to other
/// roots or to plain text.
pub(crate) fn settings(options: &TlsOptions) -> Result<Arc<Settings>, Error> {
    SHARED.get(&Material::read(options)?)
}

/// Counts the certificates in `pem` that can serve as roots.
///
/// # Errors
///
/// `TlsConfig`, with a text that says what is wrong, if there is none or the data is damaged.
#[cfg(test)]
pub(super) fn check_pem(pem: &[u8]) -> Result<usize, Error> {
    root_store(pem, CA_DATA).map(|store| store.len())
}

/// What messages call certificates that came from memory.
const CA_DATA: &str = "the CA data";

/// Where systems keep the roots of all their programs, the first that is there counts.
const SYSTEM_BUNDLES: [&str; 6] = [
    "/etc/ssl/certs/ca-certificates.crt", // Debian, Alpine, OpenWrt, Yocto
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem", // Fedora
    "/etc/pki/tls/certs/ca-bundle.crt",   // Fedora, older
    "/etc/ssl/ca-bundle.pem",             // openSUSE
    "/etc/ssl/cert.pem",                  // BSD, macOS
    "/usr/local/share/certs/ca-root-nss.crt", // FreeBSD
];

/// Everything that a configuration is made of, as bytes.
pub(super) struct Material<'a> {
    /// PEM, and what messages call it.
    pub(super) roots: Vec<(Cow<'a, [u8]>, String)>,
    pub(super) pins: &'a [[u8; 32]],
    pub(super) versions: TlsVersions,
    /// Certificate chain and key as PEM, each with what messages call it.
    pub(super) client: Option<ClientMaterial>,
}

pub(super) struct ClientMaterial {
    certificate: (Vec<u8>, String),
    key: (Zeroizing<Vec<u8>>, String),
}

impl<'a> Material<'a> {
    fn read(options: &'a TlsOptions) -> Result<Self, Error> {
        let roots = options.trust.iter().map(|trust| match trust {
            Trust::BuiltIn => Ok((roots::PEM.into(), "the built-in CA data".to_owned())),
            Trust::Pem(pem) => Ok((pem.as_ref().into(), CA_DATA.to_owned())),
            Trust::File(path) => read_named("CA file", path),
            Trust::System => read_named("CA file", &system_bundle()?),
        });
        Ok(Self {
            roots: roots.collect::<Result<_, Error>>()?,
            pins: &options.pins,
            versions: options.versions,
            client: match &options.client {
                None => None,
                Some(ClientCertificate::Pem { certificate, key }) => Some(ClientMaterial {
                    certificate: (certificate.to_vec(), "the client certificate".to_owned()),
                    key: (Zeroizing::clone(key), "the client's key".to_owned()),
                }),
                Some(ClientCertificate::Files { certificate, key }) => Some(ClientMaterial {
                    certificate: (
                        read_file("certificate file", certificate)?,
                        format!("certificate file {}", shown_path(certificate)),
                    ),
                    key: (
                        read_secret_file("key file", key)?,
                        format!("key file {}", shown_path(key)),
                    ),
                }),
            },
        })
    }

    fn fingerprint(&self) -> Fingerprint {
        let mut digest = Sha256::new();
        let mut add = |bytes: &[u8]| {
            digest.update((bytes.len() as u64).to_le_bytes());
            digest.update(bytes);
        };
        add(&[self.versions as u8, self.client.is_some().into()]);
        if let Some(client) = &self.client {
            add(&client.certificate.0);
            add(&client.key.0);
        }
        add(self.pins.as_flattened());
        for (pem, _) in &self.roots {
            match pem {
                Cow::Borrowed(pem) if std::ptr::eq(*pem, roots::PEM) => {
                    // Nearly every client has these, and connects with them again and again.
                    static BUILT_IN: OnceLock<Fingerprint> = OnceLock::new();
                    add(BUILT_IN.get_or_init(|| Sha256::digest(pem).into()));
                }
                pem => add(&Sha256::digest(pem)),
            }
        }
        digest.finalize().into()
    }
}

fn read_named(what: &str, path: &Path) -> Result<(Cow<'static, [u8]>, String), Error> {
    let pem = read_file(what, path)?;
    Ok((pem.into(), format!("{what} {}", shown_path(path))))
}

fn system_bundle() -> Result<PathBuf, Error> {
    let mut bundles = SYSTEM_BUNDLES.iter().map(PathBuf::from);
    bundles.find(|path| path.exists()).ok_or_else(|| {
        unusable(format!(
            "the system has no roots where they usually are: {}",
            SYSTEM_BUNDLES.join(", ")
        ))
    })
}

/// Settings by the content they were built from, the latest used first.
pub(super) struct Configs(Mutex<Vec<(Fingerprint, Arc<Settings>)>>);

impl Configs {
    pub(super) const fn new() -> Self {
        Self(Mutex::new(Vec::new()))
    }

    pub(super) fn get(&self, material: &Material<'_>) -> Result<Arc<Settings>, Error> {
        let fingerprint = material.fingerprint();
        if let Some(settings) = self.recall(&fingerprint) {
            return Ok(settings);
        }
        let settings = Arc::new(build(material)?);
        let mut built = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Another thread may have been quicker; its sessions are as good.
        if let Some((_, earlier)) = built.iter().find(|(known, _)| *known == fingerprint) {
            return Ok(Arc::clone(earlier));
        }
        built.truncate(CONFIGS - 1);
        built.insert(0, (fingerprint, Arc::clone(&settings)));
        Ok(settings)
    }

    fn recall(&self, fingerprint: &Fingerprint) -> Option<Arc<Settings>> {
        let mut built = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let at = built.iter().position(|(known, _)| known == fingerprint)?;
        built.get_mut(..=at)?.rotate_right(1);
        built.first().map(|(_, settings)| Arc::clone(settings))
    }
}

/// Every suite there is, the quickest first: most servers take the first that they know. All are
/// strong enough; AES-256 is half as quick as AES-128, and SHA-384 has no instructions of its own.
///
/// Source: RFC 8446, 9.1: AES-128-GCM is the suite that everybody has; ChaCha20 is for processors that
/// have no AES instructions (RFC 8439, 1).
pub(super) fn cipher_suites(has_aes: bool) -> Vec<SupportedCipherSuite> {
    let mut suites = rustls::crypto::ring::default_provider().cipher_suites;
    suites.sort_by_key(|suite| {
        let rank = match suite.suite() {
            CipherSuite::TLS13_AES_128_GCM_SHA256
            | CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256
            | CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256 => i8::from(!has_aes),
            CipherSuite::TLS13_CHACHA20_POLY1305_SHA256
            | CipherSuite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256
            | CipherSuite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256 => i8::from(has_aes),
            _ => 2,
        };
        (suite.tls13().is_none(), rank)
    });
    suites
}

/// `false` as well where that cannot be known.
fn has_aes_instructions() -> bool {
    #[cfg(target_arch = "x86_64")]
    return std::arch::is_x86_feature_detected!("aes");
    #[cfg(target_arch = "aarch64")]
    return std::arch::is_aarch64_feature_detected!("aes");
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    return false;
}

fn build(material: &Material<'_>) -> Result<Settings, Error> {
    let mut store = RootCertStore::empty();
    let mut anchors = Vec::new();
    for (pem, name) in &material.roots {
        store.extend(root_store(pem, name)?.roots);
        anchors.extend(Anchor::all_in(pem));
    }
    // Named, because the default provider is a process-wide setting that belongs to the application.
    let provider = Arc::new(CryptoProvider {
        key_provider: &NoKeys,
        cipher_suites: cipher_suites(has_aes_instructions()),
        ..rustls::crypto::ring::default_provider()
    });
    let versions: &[&SupportedProtocolVersion] = match material.versions {
        TlsVersions::Both => &[&TLS13, &TLS12],
        TlsVersions::Only12 => &[&TLS12],
        TlsVersions::Only13 => &[&TLS13],
    };
    let verifier =
        WebPkiServerVerifier::builder_with_provider(Arc::new(store), Arc::clone(&provider))
            .build()
            .map_err(|error| unusable(format!("the roots cannot be used: {error}")))?;
    let builder = ClientConfig::builder_with_details(provider, Arc::new(DeviceClock))
        .with_protocol_versions(versions)
        .map_err(|error| unusable(format!("TLS 1.2 and 1.3 are not available: {error}")))?;
    // Adds to the verification and takes nothing away.
    let anchors: Arc<[Anchor]> = anchors.into();
    let verifier = Verifier::new(verifier, Arc::clone(&anchors), material.pins.to_vec());
    let builder = builder
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier));
    let mut own_ends = None;
    let mut config = match &material.client {
        None => builder.with_no_client_auth(),
        // No code for signing either.
        Some(_) if !cfg!(feature = "client-certificate") => {
            return Err(Error::left_out("client-certificate"));
        }
        Some(ClientMaterial { certificate, key }) => {
            let chain = super::pem::certificates(&certificate.0, &certificate.1)?;
            let own = chain.first().and_then(|der| Certificate::parse(der));
            own_ends = own.map(|certificate| certificate.not_after);
            let private = private_key(&key.0, &key.1)?;
            // What with_client_auth_cert does, but for the DER, which it would leave behind.
            let certified = any_supported_type(private.der())
                .map(|signing| CertifiedKey::new(chain, signing))
                .and_then(|certified| match certified.keys_match() {
                    Ok(()) | Err(rustls::Error::InconsistentKeys(InconsistentKeys::Unknown)) => {
                        Ok(certified)
                    }
                    Err(error) => Err(error),
                })
                .map_err(|error| client_unusable(&error, &certificate.1, &key.1))?;
            builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(certified)))
        }
    };
    let sessions = Arc::new(ClientSessionMemoryCache::new(SESSIONS));
    config.resumption = Resumption::store(Arc::clone(&sessions) as _);
    Ok(Settings {
        config: Arc::new(config),
        sessions,
        anchors,
        own_ends,
    })
}

fn client_unusable(error: &rustls::Error, certificate: &str, key: &str) -> Error {
    let problem = match error {
        rustls::Error::InconsistentKeys(_) => {
            format!("{key} does not belong to {certificate}")
        }
        rustls::Error::General(_) => {
            format!(
                "{key} cannot be used: it is damaged, or neither RSA, ECDSA P-256 or P-384 nor Ed25519"
            )
        }
        error => format!("{certificate} and {key} cannot be used: {error}"),
    };
    unusable(problem)
}

/// Reads no key: those of client certificates are read where they can be wiped, and without that
/// feature the code for it is left out.
#[derive(Debug)]
struct NoKeys;

impl KeyProvider for NoKeys {
    fn load_private_key(
        &self,
        _: PrivateKeyDer<'static>,
    ) -> Result<Arc<dyn SigningKey>, rustls::Error> {
        Err(rustls::Error::General("no key is read here".to_owned()))
    }
}

/// The date by which certificates are judged.
#[derive(Debug)]
struct DeviceClock;

impl TimeProvider for DeviceClock {
    fn current_time(&self) -> Option<UnixTime> {
        let time = clock::wall_clock().duration_since(UNIX_EPOCH).ok()?;
        Some(UnixTime::since_unix_epoch(time))
    }
}
