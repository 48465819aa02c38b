//! Client certificates: every kind and form of key, and what is wrong with one.

use std::sync::Arc;

use rcgen::{CertificateParams, DnType, KeyPair};
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::server::WebPkiClientVerifier;
use rustls::version::{TLS12, TLS13};

use super::testing::{Ca, connect, echo, named, provider, run};
use super::tests_matrix::{Issuer, LATE, NAME, authority, openssl, rsa};
use crate::error::ErrorKind;
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

#[test]
fn a_device_proves_itself_with_a_key_of_any_kind_and_form() {
    run(async {
        let devices = authority("devices", None, LATE);
        let server_ca = Ca::new("server");
        let mut roots = RootCertStore::empty();
        roots
            .add(CertificateDer::from(devices.der().to_vec()))
            .unwrap();
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider())
            .build()
            .unwrap();
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
                        server_ca.server_verifying(&[NAME], version, Arc::clone(&verifier) as _);
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
