//! Certificates that end soon: those the server shows, and the roots they lead to.

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use std::time::Duration;

use super::tls_error::date_text;
use crate::proto::certificate::{Certificate, common_name, rsa_bits};

/// A root, as far as a warning or an error needs it. The TLS library does not look at the end of a
/// root, and does not say that it refuses a key.
#[derive(Clone, Debug)]
pub(crate) struct Anchor {
    pub(super) subject: Vec<u8>,
    not_after: u64,
    /// `None` for other keys than RSA.
    pub(super) rsa_bits: Option<usize>,
}

impl Anchor {
    /// The roots in `pem` that can be read.
    pub(super) fn all_in(pem: &[u8]) -> Vec<Self> {
        CertificateDer::pem_slice_iter(pem)
            .filter_map(|der| {
                let der = der.ok()?;
                let certificate = Certificate::parse(&der)?;
                Some(Self {
                    subject: certificate.subject.to_vec(),
                    not_after: certificate.not_after,
                    rsa_bits: rsa_bits(certificate.public_key),
                })
            })
            .collect()
    }
}

/// A certificate ends soon.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Notice {
    /// Seconds since 1970.
    pub(crate) ends: u64,
    pub(crate) text: String,
}

/// What there is to say about the certificates `shown` at the time `now`, in seconds since 1970, if
/// the end of one is no further away than `within`. The one that ends first counts.
pub(super) fn notice(
    shown: &[CertificateDer<'_>],
    anchors: &[Anchor],
    now: u64,
    within: Duration,
) -> Option<Notice> {
    let shown: Vec<_> = shown
        .iter()
        .filter_map(|der| Certificate::parse(der))
        .collect();
    let leaf = shown.first()?;
    let what = |what: &str, name: &[u8]| match common_name(name) {
        Some(name) => format!("{what} {name:?}"),
        None => what.to_owned(),
    };
    // Of several roots that would do, the TLS library took one: the last to end is enough.
    let root = anchors
        .iter()
        .filter(|anchor| {
            shown
                .iter()
                .any(|certificate| certificate.issuer == anchor.subject)
        })
        .max_by_key(|anchor| anchor.not_after)
        .map(|anchor| (anchor.not_after, what("the root", &anchor.subject)));
    let intermediates = shown.iter().skip(1).map(|certificate| {
        let name = what("the intermediate certificate", certificate.subject);
        (certificate.not_after, name)
    });
    let leaf = (leaf.not_after, "the server's certificate".to_owned());
    let (ends, what) = std::iter::once(leaf)
        .chain(intermediates)
        .chain(root)
        .min_by_key(|(ends, _)| *ends)?;
    if within.is_zero() || ends > now.saturating_add(within.as_secs()) {
        return None;
    }
    let date = date_text(ends);
    let text = if ends <= now {
        format!("{what} ended on {date}; other devices may no longer accept it")
    } else {
        let days = (ends - now) / 86_400;
        format!("{what} ends on {date}, in {days} days")
    };
    Some(Notice { ends, text })
}
