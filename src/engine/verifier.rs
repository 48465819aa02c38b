//! The verification of servers: the usual one, then the pins, and a word on keys that are too weak.

use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, DigitallySignedStruct, Error, OtherError, SignatureScheme};
use sha2::{Digest, Sha256};

use super::expiry::Anchor;
use crate::proto::certificate::{Certificate, common_name, rsa_bits};

/// The fewest bits of an RSA key whose signatures are accepted: ring's rule.
const RSA_BITS: usize = 2048;

/// Verifies as usual, and then looks whether the key is one that was pinned. What the usual
/// verification refuses stays refused.
#[derive(Debug)]
pub(super) struct Verifier {
    inner: Arc<WebPkiServerVerifier>,
    /// The roots of `inner`.
    anchors: Arc<[Anchor]>,
    /// Empty: any key.
    pins: Vec<[u8; 32]>,
}

/// What this verifier finds by itself, for the text of an error.
#[derive(Clone, Debug)]
pub(super) enum Finding {
    /// The server's key is none of those that were pinned; its SHA-256.
    NotPinned(String),
    /// An RSA key of so many bits.
    WeakKey(usize),
    /// The same, of a root of this name.
    WeakRoot(Option<String>, usize),
}

impl std::fmt::Display for Finding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NotPinned(hash) => write!(
                f,
                "the server's key is not one that was pinned: its SHA-256 is {hash}"
            ),
            Self::WeakKey(bits) => write!(
                f,
                "the server's certificate, or one that signed it, has an RSA key of {bits} bits, \
                 which can be broken: the server needs a certificate with RSA of {RSA_BITS} bits \
                 or more, or ECDSA"
            ),
            Self::WeakRoot(name, bits) => {
                let name = name.as_ref().map(|name| format!(", {name:?},"));
                write!(
                    f,
                    "the root of the server's certificate{} has an RSA key of {bits} bits, which can \
                     be broken: the server needs a certificate under a root with RSA of {RSA_BITS} \
                     bits or more, or ECDSA, and this device that root",
                    name.unwrap_or_default()
                )
            }
        }
    }
}

impl std::error::Error for Finding {}

impl From<Finding> for Error {
    fn from(finding: Finding) -> Self {
        CertificateError::Other(OtherError(Arc::new(finding))).into()
    }
}

impl Verifier {
    pub(super) fn new(
        inner: Arc<WebPkiServerVerifier>,
        anchors: Arc<[Anchor]>,
        pins: Vec<[u8; 32]>,
    ) -> Self {
        Self {
            inner,
            anchors,
            pins,
        }
    }

    /// As [`explain`], for the key of the root. Of several roots of one name each was tried: only if
    /// all of them are too weak that is the cause.
    fn explain_root(&self, error: Error, shown: &[&CertificateDer<'_>]) -> Error {
        if error != Error::InvalidCertificate(CertificateError::BadSignature) {
            return error;
        }
        let shown = shown.iter().filter_map(|der| Certificate::parse(der));
        let issuers: Vec<_> = shown.map(|certificate| certificate.issuer).collect();
        let bits = |root: &&Anchor| root.rsa_bits.unwrap_or(usize::MAX);
        let roots = self.anchors.iter();
        let strongest = roots
            .filter(|root| issuers.contains(&root.subject.as_slice()))
            .max_by_key(bits);
        match strongest {
            Some(root) if bits(&root) < RSA_BITS => {
                Finding::WeakRoot(common_name(&root.subject), bits(&root)).into()
            }
            _ => error,
        }
    }
}

/// A weak key makes every signature under it a bad one, as if it were forged: says which it was.
fn explain<'a>(error: Error, keys: impl IntoIterator<Item = &'a CertificateDer<'a>>) -> Error {
    if error != Error::InvalidCertificate(CertificateError::BadSignature) {
        return error;
    }
    let bits = |der: &CertificateDer<'_>| rsa_bits(Certificate::parse(der)?.public_key);
    match keys.into_iter().filter_map(bits).min() {
        Some(bits) if bits < RSA_BITS => Finding::WeakKey(bits).into(),
        _ => error,
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let verified = self
            .inner
            .verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
            .map_err(|error| {
                let shown: Vec<_> = std::iter::once(end_entity).chain(intermediates).collect();
                self.explain_root(explain(error, intermediates), &shown)
            })?;
        if self.pins.is_empty() {
            return Ok(verified);
        }
        let key = Certificate::parse(end_entity)
            .ok_or(CertificateError::BadEncoding)?
            .public_key;
        let found: [u8; 32] = Sha256::digest(key).into();
        if self.pins.contains(&found) {
            return Ok(verified);
        }
        Err(Finding::NotPinned(hex::encode(found)).into())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let verified = self.inner.verify_tls12_signature(message, cert, dss);
        verified.map_err(|error| explain(error, [cert]))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let verified = self.inner.verify_tls13_signature(message, cert, dss);
        verified.map_err(|error| explain(error, [cert]))
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}

#[cfg(test)]
mod tests {
    use rustls::pki_types::pem::PemObject as _;

    use super::*;
    use crate::engine::roots;

    /// GlobalSign's R1 and R6, its E46, and the platform's own among them.
    #[test]
    fn the_bits_of_the_roots_are_counted() {
        let mut found: Vec<_> = CertificateDer::pem_slice_iter(roots::PEM)
            .map(|der| rsa_bits(Certificate::parse(&der.unwrap()).unwrap().public_key))
            .collect();
        found.sort_unstable();
        found.dedup();
        assert_eq!(found, [None, Some(2048), Some(4096)]);
    }
}
