//! Certificates that end soon: those the server shows, the roots they lead to, and the device's own.

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

/// A certificate that may end soon.
struct Candidate {
    ends: u64,
    what: String,
    /// The device's own.
    is_own: bool,
}

impl Candidate {
    fn new(ends: u64, what: &str, name: &[u8]) -> Self {
        let what = match common_name(name) {
            Some(name) => format!("{what} {name:?}"),
            None => what.to_owned(),
        };
        Self {
            ends,
            what,
            is_own: false,
        }
    }
}

/// What there is to say about the certificates `shown`, the roots and the device's own certificate,
/// which ends at `own_ends`, at the time `now`, in seconds since 1970, if the end of one is no further
/// away than `within`. The one that ends first counts; one that has ended, and with which the
/// connection came about all the same, only if there is no other.
pub(super) fn notice(
    shown: &[CertificateDer<'_>],
    anchors: &[Anchor],
    own_ends: Option<u64>,
    now: u64,
    within: Duration,
) -> Option<Notice> {
    if within.is_zero() {
        return None;
    }
    let shown: Vec<_> = shown
        .iter()
        .filter_map(|der| Certificate::parse(der))
        .collect();
    let leaf = shown
        .first()
        .map(|leaf| Candidate::new(leaf.not_after, "the server's certificate", &[]));
    // Of several roots that would do, the TLS library took one: the last to end is enough.
    let root = anchors
        .iter()
        .filter(|anchor| {
            shown
                .iter()
                .any(|certificate| certificate.issuer == anchor.subject)
        })
        .max_by_key(|anchor| anchor.not_after)
        .map(|anchor| Candidate::new(anchor.not_after, "the root", &anchor.subject));
    let intermediates = shown.iter().skip(1).map(|certificate| {
        Candidate::new(
            certificate.not_after,
            "the intermediate certificate",
            certificate.subject,
        )
    });
    let own = own_ends.map(|ends| Candidate {
        is_own: true,
        ..Candidate::new(ends, "this device's own certificate", &[])
    });
    let last = now.saturating_add(within.as_secs());
    let Candidate { ends, what, is_own } = leaf
        .into_iter()
        .chain(intermediates)
        .chain(root)
        .chain(own)
        .filter(|candidate| candidate.ends <= last)
        .min_by_key(|candidate| (candidate.ends <= now, candidate.ends))?;
    let date = date_text(ends);
    let text = match (ends.checked_sub(now).filter(|left| *left > 0), is_own) {
        (None, false) => format!("{what} ended on {date}; other devices may no longer accept it"),
        (None, true) => format!(
            "{what} ended on {date}: give the device a new one, for servers that judge it refuse it"
        ),
        (Some(left), false) => format!("{what} ends on {date}, in {}", days(left)),
        (Some(left), true) => format!(
            "{what} ends on {date}, in {}: give the device a new one before, or the server will \
             refuse it",
            days(left)
        ),
    };
    Some(Notice { ends, text })
}

fn days(seconds: u64) -> String {
    match seconds / 86_400 {
        0 => "less than a day".to_owned(),
        1 => "1 day".to_owned(),
        days => format!("{days} days"),
    }
}
