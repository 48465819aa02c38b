//! PEM data: certificates and private keys out of it, and what people give instead.

use std::fs::OpenOptions;
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use base64ct::{Base64, Encoding};
use nix::fcntl::OFlag;
use rustls::RootCertStore;
use rustls::pki_types::pem::{self, PemObject, SectionKind};
use rustls::pki_types::{
    CertificateDer, PrivateKeyDer, PrivatePkcs1KeyDer, PrivatePkcs8KeyDer, PrivateSec1KeyDer,
};
use zeroize::{Zeroize, Zeroizing};

use super::dial::out_of_resources;
use crate::error::{Error, ErrorKind, Stage};
use crate::log::{Level, log};

/// The largest PEM data taken. The bundle of a whole Linux distribution has a quarter of this.
const PEM_MAX: usize = 1024 * 1024;

/// The longest label that is one. The longest with a meaning here has 21 characters.
const LABEL_MAX: usize = 40;

pub(super) fn root_store(pem: &[u8], name: &str) -> Result<RootCertStore, Error> {
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
    if text.lines().any(hides_certificate) {
        // The reader would pass over it without a word.
        return Err(
            "has a certificate whose -----BEGIN does not begin a line: two files joined without a \
             line end between them, or a byte order mark or white space before it"
                .to_owned(),
        );
    }
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
///
/// Messages repeat it, so it is one that exists: a key whose line ends were lost is a single line
/// that begins and ends like a label's, and must not get into a log.
fn label(line: &str) -> Option<&str> {
    let is_plain = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == ' ';
    line.trim_end()
        .strip_prefix("-----BEGIN ")?
        .strip_suffix("-----")
        .filter(|label| label.len() <= LABEL_MAX && label.chars().all(is_plain))
}

/// Whether a certificate begins on `line` so that the reader does not see it.
fn hides_certificate(line: &str) -> bool {
    const BEGIN: &str = "-----BEGIN CERTIFICATE-----";
    let bare = line.trim_start_matches(|c: char| c.is_whitespace() || c == '\u{feff}');
    let is_behind_another = || line.contains("----------BEGIN CERTIFICATE-----");
    !line.starts_with(BEGIN) && (bare.starts_with(BEGIN) || is_behind_another())
}

fn damaged(name: &str, number: usize, error: &pem::Error) -> Error {
    unusable(format!("{name}: certificate {number} {}", problem(error)))
}

/// What is wrong, without a piece of the data, as the error itself would have it.
fn problem(error: &pem::Error) -> &'static str {
    match error {
        pem::Error::Base64Decode(_) => "is damaged: it is not valid base64",
        pem::Error::MissingSectionEnd { .. } => "is cut off: its -----END line is missing",
        pem::Error::IllegalSectionStart { .. } => {
            "is damaged: its -----BEGIN line does not end with ----- or has lost its line end"
        }
        _ => "is damaged",
    }
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

/// `what` is what messages call the file.
pub(super) fn read_file(what: &str, path: &Path) -> Result<Vec<u8>, Error> {
    read_secret_file(what, path).map(|mut content| std::mem::take(&mut *content))
}

/// As [`read_file`], for what must not stay in memory.
pub(super) fn read_secret_file(what: &str, path: &Path) -> Result<Zeroizing<Vec<u8>>, Error> {
    let mut content = Zeroizing::new(Vec::new());
    OpenOptions::new()
        .read(true)
        // A FIFO would be waited for until somebody writes into it.
        .custom_flags(OFlag::O_NONBLOCK.bits())
        .open(path)
        .and_then(|file| {
            let about = file.metadata()?;
            if !about.is_file() {
                return Err(io::Error::other("it is not a regular file"));
            }
            let len = about.len().min(PEM_MAX as u64);
            // So that it never grows, which would leave a copy behind.
            content.reserve_exact(usize::try_from(len).unwrap_or_default() + 64);
            // One byte more than is taken, so that the check of the size sees it.
            file.take(PEM_MAX as u64 + 1).read_to_end(&mut content)
        })
        .map_err(|error| {
            let problem = format!("cannot read {what} {}: {error}", shown_path(path));
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

/// The certificates in `pem`, the client's own first.
pub(super) fn certificates(pem: &[u8], name: &str) -> Result<Vec<CertificateDer<'static>>, Error> {
    check_shape(pem).map_err(|problem| unusable(format!("{name} {problem}")))?;
    let mut chain = Vec::new();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        let certificate = certificate.map_err(|error| damaged(name, chain.len() + 1, &error))?;
        chain.push(certificate);
    }
    Ok(chain)
}

/// A private key in DER. Its memory is overwritten when it is dropped, which rustls' type leaves to
/// whoever uses it.
pub(super) struct PrivateKey(PrivateKeyDer<'static>);

impl Drop for PrivateKey {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl PrivateKey {
    pub(super) fn der(&self) -> &PrivateKeyDer<'static> {
        &self.0
    }
}

/// The private key in `pem`: PKCS#8, PKCS#1 or SEC1. Not read as certificates are, because that
/// leaves copies behind.
pub(super) fn private_key(pem: &[u8], name: &str) -> Result<PrivateKey, Error> {
    let refuse = |problem: &str| Err(unusable(format!("{name} {problem}")));
    if pem.iter().all(u8::is_ascii_whitespace) {
        return refuse("is empty");
    }
    if pem.len() > PEM_MAX {
        return refuse("is larger than any key");
    }
    let Ok(text) = std::str::from_utf8(pem) else {
        return refuse("is not text: PEM is needed");
    };
    let labels = || text.lines().filter_map(label);
    let encrypted = labels().any(|label| label == "ENCRYPTED PRIVATE KEY")
        || text
            .lines()
            .any(|line| line.starts_with("Proc-Type: 4,ENCRYPTED"));
    if encrypted {
        return refuse("is encrypted: the library has no way to ask for a passphrase");
    }
    if !labels().any(|label| label.ends_with("PRIVATE KEY")) {
        return match labels().next() {
            Some(label) => refuse(&format!("is a {label}, not a PRIVATE KEY")),
            None => refuse("has no private key: no line says -----BEGIN PRIVATE KEY-----"),
        };
    }
    for (label, form) in [
        (
            "PRIVATE KEY",
            (|der| PrivatePkcs8KeyDer::from(der).into()) as fn(Vec<u8>) -> _,
        ),
        ("RSA PRIVATE KEY", |der| {
            PrivatePkcs1KeyDer::from(der).into()
        }),
        ("EC PRIVATE KEY", |der| PrivateSec1KeyDer::from(der).into()),
    ] {
        if labels().any(|found| found == label) {
            return match body(text, label) {
                Ok(der) => Ok(PrivateKey(form(der))),
                Err(problem) => refuse(problem),
            };
        }
    }
    refuse("is a private key of an unknown kind")
}

/// The bytes of the first block with this label.
fn body(text: &str, wanted: &str) -> Result<Vec<u8>, &'static str> {
    let mut lines = text.lines().skip_while(|line| label(line) != Some(wanted));
    lines.next();
    // As large as they can become, because growing would leave copies of the key behind.
    let mut digits = Zeroizing::new(String::with_capacity(text.len()));
    loop {
        match lines.next().map(str::trim_end) {
            None => return Err("is cut off: its -----END line is missing"),
            Some(line) if line.starts_with("-----END ") => break,
            Some(line) => digits.push_str(line),
        }
    }
    let mut bytes = Zeroizing::new(vec![0; digits.len()]);
    let len = Base64::decode(&*digits, &mut bytes)
        .map_err(|_| "is damaged: it is not valid base64")?
        .len();
    // Whose memory is overwritten by its owner; the rest of this one is still zero.
    bytes.truncate(len);
    Ok(std::mem::take(&mut *bytes))
}

pub(super) fn unusable(problem: impl Into<String>) -> Error {
    Error::new(ErrorKind::TlsConfig, Stage::Tls, problem)
}
