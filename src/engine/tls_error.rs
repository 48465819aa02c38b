//! What a TLS failure means, in words that name the cause and the remedy.

use std::io;
use std::time::UNIX_EPOCH;

use rustls::pki_types::UnixTime;
use rustls::{
    AlertDescription, CertificateError, InvalidMessage, OtherError, PeerIncompatible,
    PeerMisbehaved,
};

use super::clock;
use super::pem::shown_path;
use super::verifier::Finding;
use crate::error::{Error, ErrorKind, Stage, hint};
use crate::proto::trust::{TlsOptions, TlsVersions, Trust};

/// The rustls error inside an IO error, if there is one.
pub(super) fn inner(error: &io::Error) -> Option<&rustls::Error> {
    error.get_ref()?.downcast_ref()
}

/// Why the handshake with a server, whose certificate had to be good for `name`, failed.
pub(super) fn in_handshake(error: &io::Error, name: &str, options: &TlsOptions) -> Error {
    if let Some(error) = inner(error) {
        return from_rustls(error, name, options).with_tls_detail(error);
    }
    let (kind, text) = match error.kind() {
        io::ErrorKind::UnexpectedEof => (
            ErrorKind::ClosedByPeer,
            "the peer closed the connection during the handshake: perhaps it does not speak TLS \
             on this port"
                .to_owned(),
        ),
        _ => (
            ErrorKind::Network,
            format!("the connection broke during the handshake: {error}"),
        ),
    };
    Error::new(kind, Stage::Tls, text).with_os_error(error.raw_os_error())
}

/// A TLS failure on a connection that had been established.
pub(super) fn after_handshake(error: &rustls::Error) -> Error {
    let failure = match error {
        // A server of TLS 1.3 that refuses the client does so after the client's last word. What it
        // says tells whether it was shown a certificate (RFC 8446, 4.4.2.4 and 6.2), but for rules.
        rustls::Error::AlertReceived(AlertDescription::AccessDenied) => handshake(
            "the server's rules do not let this device in (alert AccessDenied): they may look at \
             its certificate, or want one",
        ),
        rustls::Error::AlertReceived(alert) if refuses_client(*alert) => {
            from_alert(*alert, *alert != AlertDescription::CertificateRequired)
        }
        error => Error::new(
            ErrorKind::Network,
            Stage::Tls,
            format!("the encrypted stream broke: {error}"),
        )
        .with_hint(hint::STREAM_BROKE),
    };
    failure.with_tls_detail(error)
}

fn from_rustls(error: &rustls::Error, name: &str, options: &TlsOptions) -> Error {
    use rustls::Error as Tls;
    match error {
        Tls::InvalidCertificate(problem) => {
            certificate(certificate_text(problem, name, &options.trust))
        }
        Tls::NoCertificatesPresented => certificate("the server has shown no certificate"),
        Tls::FailedToGetCurrentTime => certificate(
            "this device's clock is before 1970, so that no certificate can be judged: set the \
             clock",
        ),
        Tls::InvalidMessage(
            InvalidMessage::InvalidContentType | InvalidMessage::UnknownProtocolVersion,
        ) => handshake(format!(
            "the peer does not speak TLS on this port ({error})"
        )),
        Tls::PeerIncompatible(
            PeerIncompatible::ServerDoesNotSupportTls12Or13
            | PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig,
        ) => handshake(no_version(options.versions)),
        Tls::PeerMisbehaved(
            PeerMisbehaved::ResumptionOfferedWithVariedCipherSuite
            | PeerMisbehaved::ResumptionOfferedWithVariedEms
            | PeerMisbehaved::ResumptionOfferedWithIncompatibleCipherSuite,
        ) => handshake(format!(
            "the server goes on with an earlier TLS session in another way than it began ({error}), \
             as when several servers share their tickets but not their settings: that session is \
             forgotten now, and the next attempt begins a new one"
        )),
        Tls::AlertReceived(AlertDescription::ProtocolVersion) => {
            handshake(no_version(options.versions))
        }
        Tls::AlertReceived(alert) => from_alert(*alert, options.client.is_some()),
        Tls::FailedToGetRandomBytes => Error::new(
            ErrorKind::NoResources,
            Stage::Tls,
            "the system has no random bytes to give",
        ),
        error => handshake(format!("the handshake failed: {error}")),
    }
}

fn no_version(versions: TlsVersions) -> &'static str {
    match versions {
        TlsVersions::Both => OLD_VERSION,
        TlsVersions::Only12 => "the server does not speak TLS 1.2, the only version allowed here",
        TlsVersions::Only13 => "the server does not speak TLS 1.3, the only version allowed here",
    }
}

const OLD_VERSION: &str = "the server speaks no TLS version from 1.2 on, and older ones are unsafe";

/// What an alert of the server means. `has_certificate`: whether this device has one to show.
fn from_alert(alert: AlertDescription, has_certificate: bool) -> Error {
    let name = alert.as_str().unwrap_or("unknown alert");
    let why = match alert {
        AlertDescription::CertificateExpired => {
            "it has ended, or the server's clock is wrong, or an intermediate certificate has ended"
        }
        AlertDescription::CertificateRevoked => "it has been revoked",
        AlertDescription::UnknownCA => {
            "the server does not trust who signed it, or an intermediate certificate is missing"
        }
        AlertDescription::BadCertificate
        | AlertDescription::CertificateUnknown
        | AlertDescription::UnsupportedCertificate => {
            "it is damaged, or not of a kind that the server takes"
        }
        AlertDescription::AccessDenied => "the server's rules do not let it in",
        AlertDescription::CertificateRequired | AlertDescription::NoCertificate => {
            "it was not shown, because the server takes no signature with its kind of key"
        }
        alert => return handshake(alert_text(alert, name)),
    };
    if has_certificate {
        let text = format!("the server refused this device's certificate (alert {name}): {why}");
        return handshake(text).with_hint(hint::OWN_CERTIFICATE);
    }
    let text = format!(
        "the server refused this device (alert {name}): perhaps it wants a client certificate, and \
         there is none to show"
    );
    handshake(text).with_hint(hint::NO_CERTIFICATE)
}

/// Whether a server that sends it refuses the client. Others, which can come at any time, are about
/// the stream.
fn refuses_client(alert: AlertDescription) -> bool {
    matches!(
        alert,
        AlertDescription::CertificateExpired
            | AlertDescription::CertificateRevoked
            | AlertDescription::UnknownCA
            | AlertDescription::BadCertificate
            | AlertDescription::CertificateUnknown
            | AlertDescription::UnsupportedCertificate
            | AlertDescription::CertificateRequired
            | AlertDescription::NoCertificate
            | AlertDescription::HandshakeFailure
    )
}

fn alert_text(alert: AlertDescription, name: &str) -> String {
    match alert {
        AlertDescription::ProtocolVersion => OLD_VERSION.to_owned(),
        AlertDescription::HandshakeFailure | AlertDescription::InsufficientSecurity => format!(
            "the server refused the handshake (alert {name}): perhaps it has no cipher suite with \
             ECDHE and AEAD, or could not go on with an earlier TLS session, which is forgotten now"
        ),
        AlertDescription::UnrecognisedName => {
            format!("the server does not know the name asked for (alert {name})")
        }
        _ => format!("the server broke off TLS (alert {name})"),
    }
}

fn certificate_text(problem: &CertificateError, name: &str, trust: &[Trust]) -> String {
    match problem {
        CertificateError::ExpiredContext { time, not_after } => format!(
            "the server's certificate expired on {}: {}",
            date(*not_after),
            clock_says(*time)
        ),
        CertificateError::Expired => {
            format!(
                "the server's certificate has expired: {}",
                clock_says(wall())
            )
        }
        CertificateError::NotValidYetContext { time, not_before } => format!(
            "the server's certificate is not valid before {}: {}, perhaps the clock is behind",
            date(*not_before),
            clock_says(*time)
        ),
        CertificateError::NotValidYet => format!(
            "the server's certificate is not valid yet: {}, perhaps the clock is behind",
            clock_says(wall())
        ),
        CertificateError::NotValidForNameContext { presented, .. } if presented.is_empty() => {
            format!(
                "the server's certificate is not for {name}: it has no subject alternative names, \
                 and a common name alone is not enough"
            )
        }
        CertificateError::NotValidForNameContext { presented, .. } => format!(
            "the server's certificate is not for {name}, but for {}",
            presented_names(presented)
        ),
        CertificateError::NotValidForName => {
            format!("the server's certificate is not for {name}")
        }
        CertificateError::UnknownIssuer => unknown_issuer(trust),
        CertificateError::BadSignature => {
            "the server's certificate names a trusted root as its issuer and is not signed by it: \
             the root given is an older one of the same name, or the certificate is forged"
                .to_owned()
        }
        CertificateError::Other(OtherError(other)) if other.is::<Finding>() => other.to_string(),
        CertificateError::Other(other) if other.to_string() == "CaUsedAsEndEntity" => {
            "the server shows a CA certificate as its own: it needs one issued for a server"
                .to_owned()
        }
        CertificateError::UnsupportedSignatureAlgorithmContext {
            signature_algorithm_id,
            ..
        } => bad_algorithm(signature_algorithm_id),
        other => format!("the server's certificate was not accepted: {other}"),
    }
}

/// Object identifiers of signatures that are no longer safe, as they stand in certificates. Source:
/// RFC 8017, appendix C; RFC 5758, 3.2; RFC 3279, 2.2.2.
const UNSAFE: [(&[u8], &str); 4] = [
    (&[0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 1, 1, 5], "SHA-1"),
    (&[0x2A, 0x86, 0x48, 0xCE, 0x3D, 4, 1], "SHA-1"),
    (&[0x2A, 0x86, 0x48, 0xCE, 0x38, 4, 3], "SHA-1"),
    (&[0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 1, 1, 4], "MD5"),
];

/// `id` begins with the tag and the length of the object identifier.
fn bad_algorithm(id: &[u8]) -> String {
    let found = UNSAFE
        .iter()
        .find(|(known, _)| id.get(2..).is_some_and(|id| id.starts_with(known)));
    let how = match found {
        Some((_, name)) => format!("with {name}, which can be forged"),
        None => "in a way that is not known here".to_owned(),
    };
    format!(
        "the server's certificate, or one that signed it, is itself signed {how}: it must be \
         issued anew, with SHA-256 or better under RSA or ECDSA P-256 or P-384"
    )
}

fn unknown_issuer(trust: &[Trust]) -> String {
    if trust == [Trust::BuiltIn] {
        return "the server's certificate does not lead to a root built in (the platform signs port \
                8883 with its own root, 1883 and 443 with GlobalSign's): a private platform's CA is \
                given with aliot_endpoint_set_ca_pem"
            .to_owned();
    }
    let sources: Vec<String> = trust
        .iter()
        .map(|source| match source {
            Trust::BuiltIn => "a root built in".to_owned(),
            Trust::Pem(_) => "a CA given with aliot_endpoint_set_ca_pem".to_owned(),
            Trust::File(path) => format!("a CA in {}", shown_path(path)),
            Trust::System => "a root of the system".to_owned(),
        })
        .collect();
    format!(
        "the server's certificate does not lead to {}, or an intermediate certificate is missing",
        sources.join(" or ")
    )
}

/// A few of the names, without what rustls writes around them: `DnsName("a.example")`,
/// `IpAddress(192.0.2.1)`.
fn presented_names(presented: &[String]) -> String {
    const SHOWN: usize = 5;
    let mut names: Vec<&str> = presented
        .iter()
        .take(SHOWN)
        .map(|name| {
            let mut parts = name.split(['(', ')', '"']).filter(|part| !part.is_empty());
            parts.nth(1).unwrap_or(name)
        })
        .collect();
    if presented.len() > SHOWN {
        names.push("others");
    }
    names.join(", ")
}

/// Whether the device's clock can be right at all. Without a date no certificate can be judged.
///
/// # Errors
///
/// `TlsCertificate` says what the clock says, and before what it cannot be.
pub(super) fn check_clock() -> Result<(), Error> {
    let (now, floor) = (wall(), clock::floor());
    if now.as_secs() >= floor.as_secs() {
        return Ok(());
    }
    Err(certificate(format!(
        "this device's clock says {}, which is wrong: it is not before {}. No certificate can be \
         judged: set the clock, or give the library a better one with aliot_clock_set_callback",
        date(now),
        date_text(floor.as_secs())
    )))
}

/// The date in seconds since 1970, as certificates are judged by.
pub(super) fn now_s() -> u64 {
    wall().as_secs()
}

fn clock_says(time: UnixTime) -> String {
    let wrong = if time.as_secs() < clock::floor().as_secs() {
        ", which is wrong: set the clock"
    } else {
        ""
    };
    format!("this device's clock says {}{wrong}", date(time))
}

fn wall() -> UnixTime {
    UnixTime::since_unix_epoch(
        clock::wall_clock()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default(),
    )
}

fn date(time: UnixTime) -> String {
    date_text(time.as_secs())
}

/// Seconds since 1970 as `2028-01-28 12:00:00 UTC`. Source: Hinnant, "chrono-compatible low-level
/// date algorithms", `civil_from_days`.
pub(super) fn date_text(secs: u64) -> String {
    let (days, second) = (secs / 86_400, secs % 86_400);
    // Eras of 400 years, years from 1 March, so that the leap day is a year's last.
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * march_month + 2) / 5 + 1;
    let month = if march_month < 10 {
        march_month + 3
    } else {
        march_month - 9
    };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    format!(
        "{year:04}-{month:02}-{day:02} {:02}:{:02}:{:02} UTC",
        second / 3600,
        second / 60 % 60,
        second % 60
    )
}

fn certificate(text: impl Into<String>) -> Error {
    Error::new(ErrorKind::TlsCertificate, Stage::Tls, text)
}

fn handshake(text: impl Into<String>) -> Error {
    Error::new(ErrorKind::TlsHandshake, Stage::Tls, text)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn dates_are_those_of_the_calendar() {
        for (secs, text) in [
            (0, "1970-01-01 00:00:00 UTC"),
            (951_782_400, "2000-02-29 00:00:00 UTC"),
            (1_577_836_799, "2019-12-31 23:59:59 UTC"),
            (1_832_673_600, "2028-01-28 12:00:00 UTC"),
            (2_635_223_818, "2053-07-04 06:36:58 UTC"),
            (4_107_542_400, "2100-03-01 00:00:00 UTC"),
        ] {
            assert_eq!(date_text(secs), text);
        }
    }

    #[test]
    fn a_clock_that_was_never_set_is_called_wrong() {
        let problem = CertificateError::NotValidYetContext {
            time: UnixTime::since_unix_epoch(Duration::from_secs(86_400)),
            not_before: UnixTime::since_unix_epoch(Duration::from_secs(1_700_000_000)),
        };
        let text = certificate_text(&problem, "a.example", &[Trust::BuiltIn]);
        assert!(
            text.contains("1970-01-02 00:00:00 UTC, which is wrong"),
            "{text}"
        );
        assert!(
            text.contains("not valid before 2023-11-14 22:13:20 UTC"),
            "{text}"
        );
    }
}
