//! The certificates of the world, made for the test: each with its exact result.

use std::io::Write as _;
use std::process::{Command, Stdio};
use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, PublicKeyData,
    date_time_ymd,
};
use rustls::pki_types::PrivateKeyDer;
use rustls::version::{TLS12, TLS13};
use rustls::{ALL_VERSIONS, ServerConfig};
use sha2::{Digest, Sha256};

use super::dial::{Target, Watch, dial};
use super::expiry::Notice;
use super::testing::{Ca, answer_with, connect, echo, named, provider, run, trusting};
use super::tls::settings;
use crate::Endpoint;
use crate::error::{Error, ErrorKind, Stage};
use crate::proto::trust::{TlsVersions, Trust};

pub(super) const NAME: &str = "a.example";

pub(super) type Issuer = CertifiedIssuer<'static, KeyPair>;

pub(super) fn authority(name: &str, by: Option<&Issuer>, ends: (i32, u8, u8)) -> Issuer {
    authority_with(name, by, ends, KeyPair::generate().unwrap())
}

fn authority_with(name: &str, by: Option<&Issuer>, ends: (i32, u8, u8), key: KeyPair) -> Issuer {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.not_before = date_time_ymd(1998, 9, 1);
    params.not_after = date_time_ymd(ends.0, ends.1, ends.2);
    match by {
        None => CertifiedIssuer::self_signed(params, key).unwrap(),
        Some(by) => CertifiedIssuer::signed_by(params, key, by).unwrap(),
    }
}

/// A server with a key of its own kind, whose certificate `by` has signed.
fn server(by: &Issuer, key: &KeyPair, chain: &[&Issuer]) -> ServerConfig {
    let mut params = CertificateParams::new(vec![NAME.to_owned()]).unwrap();
    params.not_after = date_time_ymd(2090, 1, 1);
    let leaf = params.signed_by(key, by).unwrap();
    let mut shown = vec![leaf.der().clone()];
    shown.extend(chain.iter().map(|issuer| issuer.der().clone()));
    ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(ALL_VERSIONS)
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(shown, PrivateKeyDer::Pkcs8(key.serialize_der().into()))
        .unwrap()
}

fn trust(root: &Issuer) -> Trust {
    Trust::Pem(root.pem().into_bytes().into())
}

pub(super) const LATE: (i32, u8, u8) = (2095, 1, 1);

#[derive(Default)]
struct Notices(Vec<Notice>);

impl Watch for Notices {
    fn stage(&mut self, _: Stage) {}

    fn notice(&mut self, notice: Notice) {
        self.0.push(notice);
    }
}

pub(super) async fn notices(target: &Target) -> (Result<(), Error>, Vec<Notice>) {
    let mut notices = Notices::default();
    let link = dial(target, &mut notices).await;
    if let Ok(mut link) = link {
        link.echo().await;
        return (Ok(()), notices.0);
    }
    (link.map(drop), notices.0)
}

/// What openssl makes of `input`. Nothing goes through a file: tests run at the same time.
pub(super) fn openssl(arguments: &[&str], input: &str) -> Option<String> {
    let mut command = Command::new("openssl");
    command.args(arguments).stdin(Stdio::piped());
    let mut process = match command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
    {
        Ok(process) => process,
        Err(error) => {
            let _ = writeln!(
                std::io::stderr(),
                "SKIPPED: openssl cannot be run ({error}): no RSA keys"
            );
            return None;
        }
    };
    let mut pipe = process.stdin.take().unwrap();
    pipe.write_all(input.as_bytes()).unwrap();
    drop(pipe);
    let output = process.wait_with_output().unwrap();
    assert!(output.status.success(), "{output:?}");
    Some(String::from_utf8(output.stdout).unwrap())
}

pub(super) fn rsa(bits: &str) -> Option<KeyPair> {
    let size = format!("rsa_keygen_bits:{bits}");
    let pem = openssl(
        &["genpkey", "-quiet", "-algorithm", "RSA", "-pkeyopt", &size],
        "",
    )?;
    Some(KeyPair::from_pem(&pem).unwrap())
}

#[test]
fn every_kind_of_key_that_the_platform_could_have_is_accepted() {
    run(async {
        let mut keys = vec![
            KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap(),
            KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384).unwrap(),
            KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap(),
        ];
        keys.extend(["2048", "4096"].iter().filter_map(|bits| rsa(bits)));
        for key in keys {
            let root = authority("any key", None, LATE);
            let address = echo(server(&root, &key, &[])).await;
            let target = named(address, trust(&root), NAME);
            connect(&target).await.unwrap().echo().await;
            // And as the key of the root.
            let root = authority_with("root", None, LATE, key);
            let leaf = KeyPair::generate().unwrap();
            let address = echo(server(&root, &leaf, &[])).await;
            let target = named(address, trust(&root), NAME);
            connect(&target).await.unwrap().echo().await;
        }
    });
}

#[test]
fn a_missing_intermediate_is_told_from_a_complete_chain() {
    run(async {
        let root = authority("root", None, LATE);
        let middle = authority("middle", Some(&root), LATE);
        let key = KeyPair::generate().unwrap();
        let complete = echo(server(&middle, &key, &[&middle])).await;
        connect(&named(complete, trust(&root), NAME)).await.unwrap();
        let cut = echo(server(&middle, &key, &[])).await;
        let error = connect(&named(cut, trust(&root), NAME)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TlsCertificate);
        let text = error.to_string();
        assert!(
            text.contains("an intermediate certificate is missing"),
            "{text}"
        );
    });
}

/// As GlobalSign R1 will be from 28 January 2028 on.
#[test]
fn a_root_that_has_ended_still_works_and_is_warned_of_with_its_date() {
    run(async {
        let root = authority("Old Root", None, (2020, 1, 28));
        let key = KeyPair::generate().unwrap();
        let address = echo(server(&root, &key, &[])).await;
        let (result, notices) = notices(&named(address, trust(&root), NAME)).await;
        result.unwrap();
        assert_eq!(notices.len(), 1);
        assert_eq!(notices[0].ends, 1_580_169_600);
        let text = &notices[0].text;
        assert!(
            text.contains("the root \"Old Root\" ended on 2020-01-28"),
            "{text}"
        );
    });
}

#[test]
fn whatever_ends_first_is_warned_of_in_time_and_nothing_else_is() {
    run(async {
        let root = authority("root", None, LATE);
        let key = KeyPair::generate().unwrap();
        let address = echo(server(&root, &key, &[])).await;
        let mut target = named(address, trust(&root), NAME);
        assert_eq!(notices(&target).await.1, []);
        // The leaf ends in 2090, the root in 2095.
        Arc::make_mut(&mut target.tls).expiry_warning =
            std::time::Duration::from_secs(100 * 366 * 86_400);
        for resumed in [false, true] {
            let (_, notices) = notices(&target).await;
            let text = &notices[0].text;
            let expected = "the server's certificate ends on 2090-01-01";
            assert!(text.contains(expected), "resumed {resumed}: {text}");
        }
        Arc::make_mut(&mut target.tls).expiry_warning = std::time::Duration::ZERO;
        assert_eq!(notices(&target).await.1, []);
    });
}

#[test]
fn only_the_versions_that_were_chosen_are_spoken() {
    run(async {
        let ca = Ca::new("versions");
        for (server, versions, expected) in [
            (&TLS12, TlsVersions::Both, Ok("TLSv1_2")),
            (&TLS13, TlsVersions::Both, Ok("TLSv1_3")),
            (&TLS12, TlsVersions::Only12, Ok("TLSv1_2")),
            (&TLS13, TlsVersions::Only13, Ok("TLSv1_3")),
            (
                &TLS12,
                TlsVersions::Only13,
                Err("does not speak TLS 1.3, the only version"),
            ),
            (
                &TLS13,
                TlsVersions::Only12,
                Err("does not speak TLS 1.2, the only version"),
            ),
        ] {
            let address = echo(ca.server_with(&[NAME], &[server], |_| ())).await;
            let mut target = named(address, ca.trust(), NAME);
            Arc::make_mut(&mut target.tls).versions = versions;
            match (connect(&target).await, expected) {
                (Ok(link), Ok(version)) => assert!(link.description().contains(version)),
                (Err(error), Err(words)) => {
                    assert_eq!(error.kind(), ErrorKind::TlsHandshake);
                    assert!(error.to_string().contains(words), "{error}");
                }
                (result, expected) => panic!("{result:?} instead of {expected:?}"),
            }
        }
    });
}

#[test]
fn a_server_of_tls_1_1_is_refused_for_its_age() {
    // A ServerHello of version 3.2: random, no session id, a suite, no compression.
    let mut hello = vec![0x16, 3, 2, 0, 42, 2, 0, 0, 38, 3, 2];
    hello.extend_from_slice(&[7; 32]);
    hello.extend_from_slice(&[0, 0xC0, 0x13, 0]);
    run(async {
        let address = answer_with(hello.leak()).await;
        let target = named(address, Trust::BuiltIn, NAME);
        let error = connect(&target).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TlsHandshake);
        assert!(
            error.to_string().contains("no TLS version from 1.2 on"),
            "{error}"
        );
    });
}

#[test]
fn roots_from_several_sources_all_count() {
    run(async {
        let (first, second, third) = (Ca::new("first"), Ca::new("second"), Ca::new("third"));
        let mut endpoint = Endpoint::host(NAME, 1).unwrap();
        endpoint.add_ca_pem(first.pem().as_bytes()).unwrap();
        endpoint.add_ca_pem(second.pem().as_bytes()).unwrap();
        for (ca, expected) in [(&first, true), (&second, true), (&third, false)] {
            let address = echo(ca.server(&[NAME])).await;
            let mut target = named(address, Trust::BuiltIn, NAME);
            target.tls = endpoint.tls().clone();
            let result = connect(&target).await;
            assert_eq!(result.is_ok(), expected);
            if let Err(error) = result {
                let text = error.to_string();
                assert!(text.contains("a root built in or a CA given"), "{text}");
            }
        }
        assert!(settings(endpoint.tls()).unwrap().anchors.len() >= 7);
    });
}

#[test]
fn the_roots_of_the_system_are_read_or_their_absence_is_told() {
    let trusting = trusting(Trust::System);
    match settings(&trusting) {
        Ok(settings) => assert!(settings.anchors.len() > 20),
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "SKIPPED: this system has no roots");
            assert!(
                error
                    .to_string()
                    .contains("/etc/ssl/certs/ca-certificates.crt"),
                "{error}"
            );
        }
    }
}

#[test]
fn a_pinned_key_is_needed_besides_everything_else() {
    run(async {
        let root = authority("pins", None, LATE);
        let (key, next) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
        let pin = |key: &KeyPair| hex::encode(Sha256::digest(key.subject_public_key_info()));
        let mut endpoint = Endpoint::host(NAME, 1).unwrap();
        endpoint.set_ca_pem(root.pem().as_bytes()).unwrap();
        endpoint.pin_server_key(&pin(&next).to_uppercase()).unwrap();
        let address = echo(server(&root, &key, &[])).await;
        let mut target = named(address, trust(&root), NAME);
        target.tls = endpoint.tls().clone();
        let error = connect(&target).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TlsCertificate);
        let text = error.to_string();
        assert!(
            text.contains("not one that was pinned") && text.contains(&pin(&key)),
            "{text}"
        );

        endpoint.pin_server_key(&pin(&key)).unwrap();
        target.tls = endpoint.tls().clone();
        connect(&target).await.unwrap().echo().await;
        // A pin takes nothing away from the verification.
        target.server_name = Some("b.example".to_owned());
        let error = connect(&target).await.unwrap_err();
        assert!(error.to_string().contains("not for b.example"), "{error}");

        for wrong in ["", "00", &"g0".repeat(32), &"00".repeat(33)] {
            assert!(endpoint.pin_server_key(wrong).is_err());
        }
    });
}

#[test]
fn a_server_that_changes_its_certificate_is_judged_anew() {
    run(async {
        let (root, other) = (
            authority("root", None, LATE),
            authority("other", None, LATE),
        );
        let key = KeyPair::generate().unwrap();
        let configs = [
            server(&root, &key, &[]),
            server(&root, &KeyPair::generate().unwrap(), &[]),
            server(&other, &key, &[]),
        ];
        let (listener, address) = super::testing::listen().await;
        tokio::spawn(async move {
            for config in configs {
                let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
                let (stream, _) = listener.accept().await.unwrap();
                if let Ok(stream) = acceptor.accept(stream).await {
                    let (mut reader, mut writer) = tokio::io::split(stream);
                    let _ = tokio::io::copy(&mut reader, &mut writer).await;
                }
            }
        });
        let target = named(address, trust(&root), NAME);
        for _ in 0..2 {
            connect(&target).await.unwrap().echo().await;
        }
        let error = connect(&target).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TlsCertificate);
        assert!(error.to_string().contains("does not lead to"), "{error}");
    });
}
