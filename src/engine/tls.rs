//! TLS settings: which roots are trusted, and one shared configuration for each set of them.

use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use rustls::client::Resumption;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::{self, PemObject, SectionKind};
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, RootCertStore};
use sha2::{Digest, Sha256};

use super::dial::out_of_resources;
use super::roots;
use crate::error::{Error, ErrorKind, Stage};
use crate::log::{Level, log};
use crate::proto::endpoint::Trust;

/// TLS sessions remembered for each set of roots, shared by all clients that use it.
const SESSIONS: usize = 256;

/// Sets of roots whose configuration is kept between connections. Nearly every process has one.
const CONFIGS: usize = 64;

/// The largest CA data taken. The bundle of a whole Linux distribution has a quarter of this.
const PEM_MAX: usize = 1024 * 1024;

type Fingerprint = [u8; 32];

static SHARED: Configs = Configs::new();

/// The configuration for `trust`.
///
/// The same certificates give the same configuration, whoever asks and whether they come from
/// memory or from a file: the sessions in it survive reconnects, and ten thousand clients share
/// one. A file is read at each call, which blocks; new content takes effect at once.
///
/// # Errors
///
/// `TlsConfig` if the file cannot be read or the certificates cannot be used. Nothing falls back to
/// other roots or to plain text.
pub(crate) fn client_config(trust: &Trust) -> Result<Arc<ClientConfig>, Error> {
    match trust {
        Trust::BuiltIn => SHARED.get(roots::PEM, "the built-in CA data"),
        Trust::Pem(pem) => SHARED.get(pem, CA_DATA),
        Trust::File(path) => {
            SHARED.get(&read_file(path)?, &format!("CA file {}", shown_path(path)))
        }
    }
}

/// Counts the certificates in `pem` that can serve as roots.
///
/// # Errors
///
/// `TlsConfig`, with a text that says what is wrong, if there is none or the data is damaged.
pub(crate) fn check_pem(pem: &[u8]) -> Result<usize, Error> {
    root_store(pem, CA_DATA).map(|store| store.len())
}

/// What messages call certificates that came from memory.
const CA_DATA: &str = "the CA data";

/// Configurations by the content they were built from, the latest used first.
pub(super) struct Configs(Mutex<Vec<(Fingerprint, Arc<ClientConfig>)>>);

impl Configs {
    pub(super) const fn new() -> Self {
        Self(Mutex::new(Vec::new()))
    }

    /// `name` is what messages call `pem`.
    pub(super) fn get(&self, pem: &[u8], name: &str) -> Result<Arc<ClientConfig>, Error> {
        let fingerprint: Fingerprint = Sha256::digest(pem).into();
        if let Some(config) = self.recall(&fingerprint) {
            return Ok(config);
        }
        let config = build(root_store(pem, name)?)?;
        let mut built = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Another thread may have been quicker; its sessions are as good.
        if let Some((_, earlier)) = built.iter().find(|(known, _)| *known == fingerprint) {
            return Ok(Arc::clone(earlier));
        }
        built.truncate(CONFIGS - 1);
        built.insert(0, (fingerprint, Arc::clone(&config)));
        Ok(config)
    }

    fn recall(&self, fingerprint: &Fingerprint) -> Option<Arc<ClientConfig>> {
        let mut built = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let at = built.iter().position(|(known, _)| known == fingerprint)?;
        built.get_mut(..=at)?.rotate_right(1);
        built.first().map(|(_, config)| Arc::clone(config))
    }
}

fn build(store: RootCertStore) -> Result<Arc<ClientConfig>, Error> {
    // Named, because the default provider is a process-wide setting that belongs to the application.
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS13, &TLS12])
        .map_err(|error| unusable(format!("TLS 1.2 and 1.3 are not available: {error}")))?
        .with_root_certificates(store)
        .with_no_client_auth();
    config.resumption = Resumption::in_memory_sessions(SESSIONS);
    Ok(Arc::new(config))
}

fn root_store(pem: &[u8], name: &str) -> Result<RootCertStore, Error> {
    check_shape(pem).map_err(|problem| unusable(format!("{name} {problem}")))?;
    let mut store = RootCertStore::empty();
    let mut number = 0;
    let mut refused = None;
    for section in <(SectionKind, Vec<u8>)>::pem_slice_iter(pem) {
        let (kind, der) = section.map_err(|error| damaged(name, number + 1, &error))?;
        if kind != SectionKind::Certificate {
            continue;
        }
        number += 1;
        if let Err(error) = store.add(CertificateDer::from(der)) {
            log(
                Level::Warn,
                "tls",
                format_args!("{name}: certificate {number} is not used: {error}"),
            );
            refused.get_or_insert((number, error));
        }
    }
    match refused {
        Some((number, error)) if store.is_empty() => Err(unusable(format!(
            "{name}: certificate {number} is not an X.509 certificate: {error}"
        ))),
        _ if store.is_empty() => Err(unusable(format!("{name} {NO_CERTIFICATE}"))),
        _ => Ok(store),
    }
}

const NO_CERTIFICATE: &str = "has no certificate: no line says -----BEGIN CERTIFICATE-----";

/// Tells apart what people give instead of PEM certificates. The error completes "the CA data …".
fn check_shape(pem: &[u8]) -> Result<(), String> {
    if pem.iter().all(u8::is_ascii_whitespace) {
        return Err("is empty".to_owned());
    }
    if pem.len() > PEM_MAX {
        return Err(format!("is larger than the {PEM_MAX} bytes that are taken"));
    }
    // Every certificate in DER is a sequence with a two-byte length.
    if pem.starts_with(&[0x30, 0x82]) {
        return Err("is in DER form: PEM is needed (openssl x509 -inform der converts)".to_owned());
    }
    let text = String::from_utf8_lossy(pem);
    let labels: Vec<&str> = text.lines().filter_map(label).collect();
    if labels.contains(&"CERTIFICATE") {
        return Ok(());
    }
    Err(match labels.first() {
        Some(label) if label.ends_with("PRIVATE KEY") => {
            format!("is a private key ({label}), not a certificate")
        }
        Some(label) => format!("is a {label}, not a CERTIFICATE"),
        None => NO_CERTIFICATE.to_owned(),
    })
}

/// The label of a PEM block that begins on `line`.
fn label(line: &str) -> Option<&str> {
    line.trim_end()
        .strip_prefix("-----BEGIN ")?
        .strip_suffix("-----")
}

fn damaged(name: &str, number: usize, error: &pem::Error) -> Error {
    let problem = match error {
        pem::Error::Base64Decode(_) => "is damaged: it is not valid base64".to_owned(),
        pem::Error::MissingSectionEnd { .. } => {
            "is cut off: its -----END CERTIFICATE----- line is missing".to_owned()
        }
        other => format!("is damaged: {other}"),
    };
    unusable(format!("{name}: certificate {number} {problem}"))
}

/// Most of a path that a message repeats, in characters.
const PATH_SHOWN: usize = 200;

/// The path for a message: on one line, without control characters, and not without end.
pub(super) fn shown_path(path: &Path) -> String {
    let text = path.display().to_string();
    let mut shown: String = text.escape_debug().take(PATH_SHOWN).collect();
    if text.len() > PATH_SHOWN {
        shown.push_str(&format!("… ({} bytes)", text.len()));
    }
    shown
}

fn read_file(path: &Path) -> Result<Vec<u8>, Error> {
    let mut content = Vec::new();
    File::open(path)
        .and_then(|file| {
            // One byte more than is taken, so that the check of the size sees it.
            file.take(PEM_MAX as u64 + 1).read_to_end(&mut content)
        })
        .map_err(|error| {
            let problem = format!("cannot read CA file {}: {error}", shown_path(path));
            let failure = if out_of_resources(&error) {
                // Nothing is wrong with the file.
                Error::new(ErrorKind::NoResources, Stage::Tls, problem)
            } else {
                unusable(problem)
            };
            failure.with_os_error(error.raw_os_error())
        })?;
    Ok(content)
}

fn unusable(problem: impl Into<String>) -> Error {
    Error::new(ErrorKind::TlsConfig, Stage::Tls, problem)
}
