//! Whom the device trusts and how it proves itself: what TLS is told. Checked by the layers above,
//! which know TLS.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use crate::{Endpoint, Error};

/// One source of roots. A server's certificate must lead to one of them.
#[derive(Clone, Eq, PartialEq)]
pub enum Trust {
    /// The roots of the platform, built in.
    BuiltIn,
    /// The roots in these bytes, as PEM.
    Pem(Arc<[u8]>),
    /// The roots in this file, as PEM, read again at each connect.
    File(PathBuf),
    /// The roots of the operating system, read again at each connect.
    System,
}

/// The bytes of a PEM appear as their number: someone may have put a private key there.
impl fmt::Debug for Trust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BuiltIn => f.write_str("BuiltIn"),
            Self::Pem(pem) => write!(f, "Pem({} bytes)", pem.len()),
            Self::File(path) => f.debug_tuple("File").field(path).finish(),
            Self::System => f.write_str("System"),
        }
    }
}

/// TLS versions that are spoken.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum TlsVersions {
    /// 1.2 and 1.3.
    #[default]
    Both = 0,
    /// 1.2 alone.
    Only12 = 1,
    /// 1.3 alone.
    Only13 = 2,
}

/// A client certificate with its key, as PEM.
#[derive(Clone)]
pub(crate) enum ClientCertificate {
    /// In memory.
    Pem {
        certificate: Arc<[u8]>,
        key: Arc<Zeroizing<Vec<u8>>>,
    },
    /// In files, read again at each connect.
    Files { certificate: PathBuf, key: PathBuf },
}

impl fmt::Debug for ClientCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pem { .. } => f.write_str("Pem(***)"),
            Self::Files { certificate, key } => write!(f, "Files({certificate:?}, {key:?})"),
        }
    }
}

/// Everything that TLS is told.
#[derive(Clone, Debug)]
pub(crate) struct TlsOptions {
    /// Never empty.
    pub(crate) trust: Vec<Trust>,
    /// SHA-256 of the public keys that the server may have; empty for any.
    pub(crate) pins: Vec<[u8; 32]>,
    pub(crate) versions: TlsVersions,
    pub(crate) client: Option<ClientCertificate>,
    /// How long before its end a certificate, the client's too, is warned about; zero for never.
    pub(crate) expiry_warning: Duration,
}

const DAY: Duration = Duration::from_secs(86_400);

impl Default for TlsOptions {
    fn default() -> Self {
        Self {
            trust: vec![Trust::BuiltIn],
            pins: Vec::new(),
            versions: TlsVersions::default(),
            client: None,
            expiry_warning: DAY * 30,
        }
    }
}

impl TlsOptions {
    /// Whether a file must be read to know them all.
    pub(crate) fn reads_files(&self) -> bool {
        let reads = |trust: &Trust| matches!(trust, Trust::File(_) | Trust::System);
        let files = matches!(self.client, Some(ClientCertificate::Files { .. }));
        files || self.trust.iter().any(reads)
    }
}

impl Endpoint {
    /// Speaks these TLS versions. Default [`TlsVersions::Both`].
    pub fn set_tls_versions(&mut self, versions: TlsVersions) {
        self.tls_mut().versions = versions;
    }

    /// Warns, by the event [`CertificateExpiresSoon`](crate::EventKind::CertificateExpiresSoon), so
    /// many days before the server's certificate, the root it leads to, or the client certificate
    /// ends: 0 to 3650, 0 for never. Default 30.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidArgument`](crate::ErrorKind::InvalidArgument) for more. The endpoint then
    /// refuses to be used.
    pub fn set_expiry_warning_days(&mut self, days: u16) -> Result<(), Error> {
        self.tls_setting(|endpoint| {
            if days > 3650 {
                let problem = format_args!("is {days}: 0 to 3650 is allowed");
                return Err(Error::argument("days", problem));
            }
            endpoint.tls_mut().expiry_warning = DAY * u32::from(days);
            Ok(())
        })
    }

    /// Accepts a server only if the SHA-256 of its public key (SubjectPublicKeyInfo) is this one or
    /// one that was pinned before: 64 hexadecimal digits, colons between them are ignored. The
    /// certificate must be good in every other way too.
    ///
    /// Pin the next key as well as the present one, or the device is locked out when it changes.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidArgument`](crate::ErrorKind::InvalidArgument) if it is something else. The
    /// endpoint then refuses to be used: to connect without the pin would be a surprise.
    pub fn pin_server_key(&mut self, sha256: &str) -> Result<(), Error> {
        self.tls_setting(|endpoint| {
            let digits = sha256.replace(':', "");
            let mut pin = [0; 32];
            hex::decode_to_slice(&digits, &mut pin).map_err(|_| {
                Error::argument(
                    "sha256",
                    "is not the 64 hexadecimal digits of a SHA-256, as openssl dgst -sha256 prints it",
                )
            })?;
            endpoint.tls_mut().pins.push(pin);
            Ok(())
        })
    }

    /// Where the roots come from.
    pub fn trust(&self) -> &[Trust] {
        &self.tls().trust
    }

    /// A text that stands for the client certificate, if there is one.
    pub(crate) fn client_certificate_key(&self) -> Option<String> {
        Some(match self.tls().client.as_ref()? {
            ClientCertificate::Pem { certificate, .. } => {
                format!("certificate {}", hex::encode(Sha256::digest(certificate)))
            }
            ClientCertificate::Files { certificate, .. } => {
                format!("certificate {}", certificate.display())
            }
        })
    }

    /// Whether a client certificate is shown.
    pub fn has_client_certificate(&self) -> bool {
        self.tls().client.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint() -> Endpoint {
        Endpoint::host("a.example", 8883).unwrap()
    }

    fn pem(certificate: &[u8]) -> Option<ClientCertificate> {
        Some(ClientCertificate::Pem {
            certificate: certificate.into(),
            key: Arc::new(Zeroizing::new(b"s3cret".to_vec())),
        })
    }

    fn files() -> Option<ClientCertificate> {
        let [certificate, key] = ["cert.pem", "key.pem"].map(PathBuf::from);
        Some(ClientCertificate::Files { certificate, key })
    }

    #[test]
    fn files_are_read_only_if_some_are_named() {
        let mut options = TlsOptions::default();
        assert!(!options.reads_files());
        options.client = pem(b"x");
        assert!(!options.reads_files());
        options.client = files();
        assert!(options.reads_files());
        for (trust, reads) in [
            (Trust::Pem(Arc::from(&b"x"[..])), false),
            (Trust::File("ca.pem".into()), true),
            (Trust::System, true),
        ] {
            let mut options = TlsOptions::default();
            options.trust.push(trust);
            assert_eq!(options.reads_files(), reads, "{options:?}");
        }
    }

    #[test]
    fn debug_names_what_is_trusted_and_shows_no_key() {
        let mut options = TlsOptions {
            trust: vec![
                Trust::BuiltIn,
                Trust::System,
                Trust::File("ca.pem".into()),
                Trust::Pem(Arc::from(&b"12345"[..])),
            ],
            client: pem(b"x"),
            ..TlsOptions::default()
        };
        let text = format!("{options:?}");
        assert!(text.contains(r#"[BuiltIn, System, File("ca.pem"), Pem(5 bytes)]"#));
        assert!(text.contains("Some(Pem(***))"), "{text}");
        options.client = files();
        let text = format!("{options:?}");
        assert!(text.contains(r#"Files("cert.pem", "key.pem")"#), "{text}");
    }

    #[test]
    fn versions_and_the_warning_are_those_that_were_set() {
        let mut endpoint = endpoint();
        assert_eq!(endpoint.trust(), [Trust::BuiltIn]);
        assert_eq!(endpoint.tls().versions, TlsVersions::Both);
        endpoint.set_tls_versions(TlsVersions::Only13);
        assert_eq!(endpoint.tls().versions, TlsVersions::Only13);
        assert_eq!(endpoint.tls().expiry_warning.as_secs(), 30 * 86_400);
        for (days, seconds) in [(0, 0), (1, 86_400), (3650, 315_360_000)] {
            endpoint.set_expiry_warning_days(days).unwrap();
            assert_eq!(endpoint.tls().expiry_warning.as_secs(), seconds);
        }
        assert!(endpoint.set_expiry_warning_days(3651).is_err());
    }

    #[test]
    fn a_pin_is_64_digits_with_or_without_colons() {
        let mut endpoint = endpoint();
        endpoint.pin_server_key(&"aB".repeat(32)).unwrap();
        let colons = ["01"; 32].join(":");
        endpoint.pin_server_key(&colons).unwrap();
        assert_eq!(endpoint.tls().pins, [[0xAB; 32], [0x01; 32]]);
        for wrong in ["", "aB", &"aB".repeat(33), &"xy".repeat(32)] {
            assert!(endpoint.pin_server_key(wrong).is_err(), "{wrong}");
        }
        assert_eq!(endpoint.tls().pins.len(), 2);
    }

    #[test]
    fn certificates_are_told_apart_for_the_connect_budget() {
        let mut endpoint = endpoint();
        assert!(!endpoint.has_client_certificate());
        assert_eq!(endpoint.client_certificate_key(), None);
        let mut key_of = |client| {
            endpoint.tls_mut().client = client;
            assert!(endpoint.has_client_certificate());
            endpoint.client_certificate_key().unwrap()
        };
        assert_eq!(key_of(files()), "certificate cert.pem");
        let [one, other] = [&b"1"[..], b"2"].map(|pem_text| key_of(pem(pem_text)));
        assert!(one != other && one.starts_with("certificate "));
        assert_eq!(one, key_of(pem(b"1")));
    }
}
