//! Client certificates: every kind and form of key, and what is wrong with one.

use std::sync::Arc;

use rcgen::{CertificateParams, DnType, KeyPair, date_time_ymd};
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls::version::{TLS12, TLS13};

use super::dial::Target;
use super::link::Link;
use super::testing::{Ca, answer_with, connect, echo, named, provider, run};
use super::tests_matrix::{Issuer, LATE, NAME, authority, openssl, rsa};
use super::tls_error::after_handshake;
use crate::error::{Error, ErrorKind, Stage, hint};
use crate::proto::trust::Trust;
use crate::{Endpoint, Secret};

/// A certificate of `by` for a device, with its key in every form that PEM has for it.
fn device(by: &Issuer, key: &KeyPair) -> (String, Vec<Secret>) {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, "device");
    let certificate = params.signed_by(key, by).unwrap().pem();
    let pkcs8 = key.serialize_pem();
    let mut keys = vec![Secret::new(pkcs8.clone())];
    // PKCS#1 for RSA, SEC1 for elliptic curves.
    keys.extend(openssl(&["pkey", "-traditional"], &pkcs8).map(Secret::new));
    (certificate, keys)
}

/// What a server knows devices by, whose certificates `by` has signed.
pub(super) fn verifier(by: &Issuer) -> Arc<dyn ClientCertVerifier> {
    let mut roots = RootCertStore::empty();
    let root = CertificateDer::from(by.der().to_vec());
    roots.add(root).unwrap();
    WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider())
        .build()
        .unwrap()
}

/// Shows a certificate of `by` to the server, which `adjust` has made something of.
pub(super) fn show(
    target: &mut Target,
    ca: &Ca,
    by: &Issuer,
    adjust: impl FnOnce(&mut CertificateParams),
) {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::default();
    adjust(&mut params);
    let certificate = params.signed_by(&key, by).unwrap().pem();
    let mut endpoint = Endpoint::host(NAME, 1).unwrap();
    endpoint.set_ca_pem(ca.pem().as_bytes()).unwrap();
    endpoint
        .set_client_certificate_pem(certificate.as_bytes(), key.serialize_pem().as_bytes())
        .unwrap();
    target.tls = endpoint.tls().clone();
}

async fn refusal(target: &Target) -> Error {
    let mut link = match connect(target).await {
        Err(error) => return error,
        // With TLS 1.3 the client is done before the server has judged it.
        Ok(link) => link,
    };
    loop {
        if let Err(error) = link.read().await {
            return Link::error(&error);
        }
    }
}

#[test]
fn a_certificate_that_a_server_refuses_is_called_the_devices_own() {
    run(async {
        let (devices, others) = (
            authority("devices", None, LATE),
            authority("others", None, LATE),
        );
        let ca = Ca::new("server");
        for version in [&TLS12, &TLS13] {
            for (by, ends, alert, why) in [
                (&devices, 2021, "CertificateExpired", "it has ended"),
                (&others, 2090, "UnknownCA", "does not trust who signed it"),
            ] {
                let config = ca.server_verifying(&[NAME], version, verifier(&devices));
                let mut target = named(echo(config).await, ca.trust(), NAME);
                show(&mut target, &ca, by, |params| {
                    params.not_after = date_time_ymd(ends, 3, 4);
                });
                let error = refusal(&target).await;
                assert_eq!(error.kind(), ErrorKind::TlsHandshake, "{error}");
                assert_eq!(error.stage(), Stage::Tls);
                let text = error.to_string();
                let expected = format!("refused this device's certificate (alert {alert}): ");
                assert!(text.contains(&expected) && text.contains(why), "{text}");
                assert_eq!(error.hint(), Some(hint::OWN_CERTIFICATE), "{text}");
            }
        }
    });
}

/// An alert in its record.
const fn alert(code: u8) -> [u8; 7] {
    [0x15, 3, 3, 0, 2, 2, code]
}

/// Source of the codes: RFC 8446, 6.
#[test]
fn alerts_about_a_client_certificate_depend_on_whether_there_is_one() {
    const ALERTS: [([u8; 7], &str); 9] = [
        (alert(41), "it was not shown"),
        (alert(42), "it is damaged"),
        (alert(43), "it is damaged"),
        (alert(44), "it has been revoked"),
        (alert(45), "it has ended"),
        (alert(46), "it is damaged"),
        (alert(48), "does not trust who signed it"),
        (alert(49), "the server's rules do not let it in"),
        (alert(116), "it was not shown"),
    ];
    run(async {
        let (devices, ca) = (authority("devices", None, LATE), Ca::new("server"));
        for (bytes, why) in &ALERTS {
            let mut target = named(answer_with(bytes).await, ca.trust(), NAME);
            let error = connect(&target).await.unwrap_err();
            let text = error.to_string();
            assert!(
                text.contains("perhaps it wants a client certificate"),
                "{text}"
            );
            assert_eq!(error.hint(), Some(hint::NO_CERTIFICATE), "{text}");

            show(&mut target, &ca, &devices, |_| ());
            target.port = answer_with(bytes).await.port();
            let error = connect(&target).await.unwrap_err();
            let text = error.to_string();
            let expected = "the server refused this device's certificate (alert ";
            assert!(text.contains(expected) && text.contains(why), "{text}");
            assert_eq!(error.hint(), Some(hint::OWN_CERTIFICATE), "{text}");
        }
        // Any other alert says nothing of certificates.
        let error = connect(&named(answer_with(&OTHER).await, ca.trust(), NAME)).await;
        let error = error.unwrap_err();
        assert!(error.to_string().contains("broke off TLS"), "{error}");
        assert!(error.hint().unwrap().contains("plain MQTT"));
    });
}

const OTHER: [u8; 7] = alert(80);

/// Which may mean either: a server of TLS 1.3 says so after the handshake to those whom its rules keep
/// out, with a certificate or without.
#[test]
fn rules_that_keep_a_device_out_are_not_taken_for_a_fault_of_its_certificate() {
    let denied = rustls::Error::AlertReceived(rustls::AlertDescription::AccessDenied);
    let error = after_handshake(&denied);
    assert_eq!(error.kind(), ErrorKind::TlsHandshake);
    let text = error.to_string();
    assert!(
        text.contains("the server's rules do not let this device in"),
        "{text}"
    );
}

#[test]
fn a_device_proves_itself_with_a_key_of_any_kind_and_form() {
    run(async {
        let devices = authority("devices", None, LATE);
        let server_ca = Ca::new("server");
        let verifier = verifier(&devices);
        let mut keys = vec![KeyPair::generate().unwrap()];
        keys.extend(rsa("2048"));
        for key in &keys {
            let (certificate, forms) = device(&devices, key);
            for form in &forms {
                let mut endpoint = Endpoint::host(NAME, 1).unwrap();
                endpoint.set_ca_pem(server_ca.pem().as_bytes()).unwrap();
                endpoint
                    .set_client_certificate_pem(certificate.as_bytes(), form.expose().as_bytes())
                    .unwrap();
                assert!(!format!("{endpoint:?}").contains("PRIVATE KEY"));
                for version in [&TLS12, &TLS13] {
                    let config =
                        server_ca.server_verifying(&[NAME], version, Arc::clone(&verifier));
                    let mut target = named(echo(config).await, Trust::BuiltIn, NAME);
                    target.tls = endpoint.tls().clone();
                    connect(&target).await.unwrap().echo().await;
                }
            }
        }
    });
}

/// Found by fuzzing: PEM data that went through a variable or a form often lost its line ends.
#[test]
fn a_key_that_lost_its_line_ends_is_refused_without_a_piece_of_it() {
    let devices = authority("lost", None, LATE);
    let (certificate, keys) = device(&devices, &KeyPair::generate().unwrap());
    let key = keys[0].expose();
    let body = key.lines().nth(1).unwrap();
    for joint in ["", " ", "\\n", "\u{1}"] {
        let line = key.lines().collect::<Vec<_>>().join(joint);
        let whole = key.replacen('\n', joint, 1);
        for bad in [line, whole] {
            let mut endpoint = Endpoint::host(NAME, 1).unwrap();
            let outcomes = [
                endpoint.set_client_certificate_pem(certificate.as_bytes(), bad.as_bytes()),
                endpoint.set_client_certificate_pem(bad.as_bytes(), key.as_bytes()),
                endpoint.set_ca_pem(bad.as_bytes()),
                endpoint.set_ca_pem(format!("{certificate}{bad}").as_bytes()),
            ];
            for text in outcomes.into_iter().filter_map(|outcome| outcome.err()) {
                let text = text.to_string();
                let as_numbers = format!("{:?}", &body.as_bytes()[..8]);
                assert!(!text.contains(&body[..8]), "{text}");
                assert!(
                    !text.contains(as_numbers.trim_matches(['[', ']'])),
                    "{text}"
                );
                assert!(
                    !text.chars().any(char::is_control) && text.len() < 300,
                    "{text}"
                );
            }
        }
    }
}

#[test]
fn what_is_wrong_with_a_client_certificate_is_told_when_it_is_set() {
    let devices = authority("devices", None, LATE);
    let (certificate, keys) = device(&devices, &KeyPair::generate().unwrap());
    let key = keys[0].expose();
    let (other, _) = device(&devices, &KeyPair::generate().unwrap());
    let encrypted =
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n";
    let damaged = key.replacen('M', "?", 1);
    let nonsense = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
    for (certificate, key, words) in [
        ("", key, "the client certificate is empty"),
        (key, key, "the client certificate is a private key"),
        (&*certificate, "", "the client's key is empty"),
        (&certificate, "x", "the client's key has no private key"),
        (
            &certificate,
            &*certificate,
            "the client's key is a CERTIFICATE",
        ),
        (&certificate, encrypted, "the client's key is encrypted"),
        (&certificate, &damaged, "the client's key is damaged"),
        (&certificate, nonsense, "the client's key cannot be used"),
        (
            &other,
            key,
            "the client's key does not belong to the client certificate",
        ),
    ] {
        let mut endpoint = Endpoint::host(NAME, 1).unwrap();
        let set = endpoint.set_client_certificate_pem(certificate.as_bytes(), key.as_bytes());
        let error = set.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TlsConfig);
        assert!(
            error.to_string().contains(words),
            "\"{error}\" lacks \"{words}\""
        );
        assert_eq!(endpoint.check(), Err(error));
    }
    let mut endpoint = Endpoint::host(NAME, 1).unwrap();
    let nowhere = std::path::Path::new("/nowhere/device.pem");
    let error = endpoint
        .set_client_certificate_files(nowhere, nowhere)
        .unwrap_err();
    assert!(
        error
            .to_string()
            .contains("certificate file /nowhere/device.pem"),
        "{error}"
    );
}
