//! Tests of TLS: what is accepted, what is refused, and whether the refusal names the cause.

use std::fs;
use std::net::SocketAddr;
use std::process::Command;
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

use rcgen::{CertificateParams, DnType, date_time_ymd};
use rustls::version::{TLS12, TLS13};
use rustls::{ALL_VERSIONS, ServerConfig, SupportedProtocolVersion};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio_rustls::TlsAcceptor;

use super::roots;
use super::testing::{
    Ca, TempFile, answer_with, connect, echo, listen, named, run, target, trusting,
};
use super::tls::{Configs, Material, Settings, check_pem, cipher_suites, settings};
use crate::error::{Error, ErrorKind, Stage};
use crate::proto::trust::{TlsVersions, Trust};

#[test]
fn the_quickest_suites_are_offered_first_and_none_is_left_out() {
    let all = rustls::crypto::ring::default_provider().cipher_suites;
    for (has_aes, first, second) in [
        (true, "AES_128", "CHACHA20"),
        (false, "CHACHA20", "AES_128"),
    ] {
        let offered = cipher_suites(has_aes);
        assert!(all.iter().all(|suite| offered.contains(suite)));
        assert_eq!(offered.len(), all.len());
        let names: Vec<_> = offered
            .iter()
            .map(|suite| format!("{:?}", suite.suite()))
            .collect();
        let (newer, older) = names.split_at(3);
        assert!(
            newer.iter().all(|name| name.starts_with("TLS13")),
            "{names:?}"
        );
        assert!(
            newer[0].contains(first) && newer[1].contains(second),
            "{names:?}"
        );
        assert!(
            older[0].contains(first) && older[1].contains(first),
            "{names:?}"
        );
        assert!(
            older[2].contains(second) && older[3].contains(second),
            "{names:?}"
        );
    }
}

const NAME: &str = "pk.iot-as-mqtt.cn-shanghai.aliyuncs.com";

fn client_config(trust: &Trust) -> Result<Arc<Settings>, Error> {
    settings(&trusting(trust.clone()))
}

async fn refusal(config: ServerConfig, trust: Trust) -> Error {
    let address = echo(config).await;
    let error = connect(&named(address, trust, NAME)).await.unwrap_err();
    assert_eq!(error.stage(), Stage::Tls, "{error}");
    error
}

fn assert_certificate_error(error: &Error, words: &[&str]) {
    assert_eq!(error.kind(), ErrorKind::TlsCertificate, "{error}");
    let text = error.to_string();
    for word in words {
        assert!(text.contains(word), "\"{text}\" lacks \"{word}\"");
    }
}

#[test]
fn both_versions_connect() {
    run(async {
        let ca = Ca::new("versions");
        for (version, name) in [(&TLS12, "TLSv1_2"), (&TLS13, "TLSv1_3")] {
            let address = echo(ca.server_with(&[NAME], &[version], |_| ())).await;
            let mut link = connect(&named(address, ca.trust(), NAME)).await.unwrap();
            link.echo().await;
            assert!(link.description().contains(name), "{}", link.description());
        }
    });
}

#[test]
fn an_address_is_verified_as_an_address() {
    run(async {
        let ca = Ca::new("address");
        let address = echo(ca.server(&["127.0.0.1"])).await;
        connect(&target(address, ca.trust()))
            .await
            .unwrap()
            .echo()
            .await;

        let address = echo(ca.server(&["127.0.0.2", NAME])).await;
        let error = connect(&target(address, ca.trust())).await.unwrap_err();
        assert_certificate_error(&error, &["not for 127.0.0.1, but for 127.0.0.2", NAME]);
    });
}

#[test]
fn the_server_name_is_asked_for_and_verified_instead_of_the_address_dialled() {
    run(async {
        let ca = Ca::new("override");
        let (listener, address) = listen().await;
        let acceptor = TlsAcceptor::from(Arc::new(ca.server(&[NAME])));
        let asked = tokio::spawn(async move {
            let (stream, _) = listener.accept().await.unwrap();
            let stream = acceptor.accept(stream).await.unwrap();
            stream.get_ref().1.server_name().map(str::to_owned)
        });
        connect(&named(address, ca.trust(), NAME)).await.unwrap();
        assert_eq!(asked.await.unwrap().as_deref(), Some(NAME));
    });
}

#[test]
fn an_unknown_authority_is_refused_with_the_remedy() {
    run(async {
        let (ca, other) = (Ca::new("one"), Ca::new("another"));
        let error = refusal(ca.server(&[NAME]), other.trust()).await;
        assert_certificate_error(&error, &["does not lead to a CA given", "set_ca_pem"]);

        let error = refusal(ca.server(&[NAME]), Trust::BuiltIn).await;
        assert_certificate_error(
            &error,
            &["root built in", "8883", "GlobalSign", "set_ca_pem"],
        );

        let file = TempFile::new("unknown-authority", &other.pem());
        let error = refusal(ca.server(&[NAME]), file.trust()).await;
        assert_certificate_error(&error, &["does not lead to a CA in", &file.0]);
    });
}

#[test]
fn an_authority_of_the_same_name_with_another_key_is_refused() {
    run(async {
        let (ca, forged) = (Ca::new("same"), Ca::new("same"));
        let error = refusal(forged.server(&[NAME]), ca.trust()).await;
        assert_eq!(error.kind(), ErrorKind::TlsCertificate, "{error}");
    });
}

#[test]
fn an_authority_that_poses_as_a_server_is_refused() {
    run(async {
        let ca = Ca::new("poser");
        let error = refusal(ca.server_with_the_ca_itself(), ca.trust()).await;
        assert_certificate_error(&error, &["shows a CA certificate as its own"]);
    });
}

#[test]
fn another_host_is_refused_by_name() {
    run(async {
        let ca = Ca::new("host");
        let error = refusal(ca.server(&["a.example", "*.b.example"]), ca.trust()).await;
        assert_certificate_error(&error, &[NAME, "but for a.example, *.b.example"]);
    });
}

#[test]
fn a_common_name_alone_is_not_enough() {
    run(async {
        let ca = Ca::new("common name");
        let config = ca.server_with(&[], ALL_VERSIONS, |params: &mut CertificateParams| {
            params.distinguished_name.push(DnType::CommonName, NAME);
        });
        let error = refusal(config, ca.trust()).await;
        assert_certificate_error(&error, &["no subject alternative names", NAME]);
    });
}

#[test]
fn an_expired_certificate_is_refused_with_its_date_and_the_clock() {
    run(async {
        let ca = Ca::new("expired");
        let config = ca.server_with(&[NAME], ALL_VERSIONS, |params| {
            params.not_after = date_time_ymd(2021, 3, 4);
        });
        let error = refusal(config, ca.trust()).await;
        assert_certificate_error(
            &error,
            &[
                "expired on 2021-03-04 00:00:00 UTC",
                "this device's clock says 20",
            ],
        );
    });
}

#[test]
fn a_certificate_of_the_future_is_refused_with_its_date_and_the_clock() {
    run(async {
        let ca = Ca::new("future");
        let config = ca.server_with(&[NAME], ALL_VERSIONS, |params| {
            params.not_before = date_time_ymd(2999, 12, 31);
        });
        let error = refusal(config, ca.trust()).await;
        assert_certificate_error(
            &error,
            &[
                "not valid before 2999-12-31",
                "this device's clock says 20",
                "clock is behind",
            ],
        );
    });
}

#[test]
fn peers_that_do_not_speak_our_tls_are_told_apart() {
    const ALERT_VERSION: &[u8] = &[0x15, 3, 3, 0, 2, 2, 70];
    const ALERT_FAILURE: &[u8] = &[0x15, 3, 3, 0, 2, 2, 40];
    const ALERT_NAME: &[u8] = &[0x15, 3, 3, 0, 2, 2, 112];
    for (bytes, kind, words) in [
        (
            &b"HTTP/1.1 400 Bad Request\r\n\r\n"[..],
            ErrorKind::TlsHandshake,
            "does not speak TLS",
        ),
        (
            b"\x20\x02\x00\x05\x00",
            ErrorKind::TlsHandshake,
            "does not speak TLS",
        ),
        (
            ALERT_VERSION,
            ErrorKind::TlsHandshake,
            "no TLS version from 1.2 on",
        ),
        (ALERT_FAILURE, ErrorKind::TlsHandshake, "cipher suite"),
        (
            ALERT_NAME,
            ErrorKind::TlsHandshake,
            "does not know the name",
        ),
        (
            b"",
            ErrorKind::ClosedByPeer,
            "closed the connection during the handshake",
        ),
    ] {
        run(async {
            let address = answer_with(bytes).await;
            let error = connect(&target(address, Trust::BuiltIn)).await.unwrap_err();
            assert_eq!(error.kind(), kind, "{error}");
            assert_eq!(error.stage(), Stage::Tls);
            assert!(error.to_string().contains(words), "{error}");
        });
    }
}

#[test]
fn a_silent_peer_is_left_to_the_deadline_of_the_caller() {
    run(async {
        let (_listener, address) = listen().await;
        let target = target(address, Trust::BuiltIn);
        let dial = connect(&target);
        let result = tokio::time::timeout(Duration::from_millis(100), dial).await;
        assert!(result.is_err());
    });
}

#[test]
fn the_second_connection_resumes_the_session_of_the_first() {
    run(async {
        let ca = Ca::new("resumption");
        for version in [&TLS12, &TLS13] {
            let address = echo(ca.server_with(&[NAME], &[version], |_| ())).await;
            for expected in [false, true] {
                // A trust of its own each time: what counts is the content.
                let mut link = connect(&named(address, ca.trust(), NAME)).await.unwrap();
                link.echo().await;
                let text = link.description();
                // Another version's session is no use: the server of 1.3 is asked after 1.2's.
                assert_eq!(text.ends_with("resumed"), expected, "{text}");
            }
        }
    });
}

/// A handshake record with a ServerHello of TLS 1.2 that agrees to resume what `hello`, a
/// ClientHello in its record, asks for, without extensions. `suite` is the place among those of
/// ECDSA that the client offers; the server took the first.
fn resuming(hello: &[u8], suite: usize) -> Vec<u8> {
    const ECDSA: [[u8; 2]; 3] = [[0xC0, 0x2B], [0xC0, 0x2C], [0xCC, 0xA9]];
    // After the heads of record and message, version and random.
    let (id, rest) = hello[43..].split_at(1 + usize::from(hello[43]));
    let offered = rest[2..].chunks_exact(2);
    let mut known = offered.filter(|offered| ECDSA.iter().any(|suite| suite == offered));
    let suite = known.nth(suite).unwrap();
    let body = [&[3, 3][..], &[7; 32], id, suite, &[0]].concat();
    let len = u8::try_from(body.len()).unwrap();
    [&[0x16, 3, 3, 0, len + 4, 2, 0, 0, len][..], &body].concat()
}

/// What a server makes of a ClientHello in its record.
type Answer = fn(&[u8]) -> Vec<u8>;

/// A server that echoes on its first connection and on every second one after it. On the others the
/// ClientHello gets `answer`, and nothing more.
async fn limping(config: ServerConfig, answer: Answer) -> SocketAddr {
    let (listener, address) = listen().await;
    let acceptor = TlsAcceptor::from(Arc::new(config));
    tokio::spawn(async move {
        for number in 0.. {
            let (mut stream, _) = listener.accept().await.unwrap();
            if number % 2 == 1 {
                let mut hello = vec![0; 5];
                stream.read_exact(&mut hello).await.unwrap();
                let len = usize::from(u16::from_be_bytes([hello[3], hello[4]]));
                hello.resize(5 + len, 0);
                stream.read_exact(&mut hello[5..]).await.unwrap();
                stream.write_all(&answer(&hello)).await.unwrap();
                continue;
            }
            let stream = acceptor.accept(stream).await.unwrap();
            let (mut reader, mut writer) = tokio::io::split(stream);
            let _ = tokio::io::copy(&mut reader, &mut writer).await;
        }
    });
    address
}

/// Servers that share the key of their tickets and not their settings would otherwise shut a process
/// out that has begun with one of them, until it is started anew.
#[test]
fn sessions_are_forgotten_when_a_handshake_fails() {
    const VARIED: &str = "goes on with an earlier TLS session in another way than it began";
    let alert: Answer = |_| vec![0x15, 3, 3, 0, 2, 2, 40];
    let cases: [(&'static SupportedProtocolVersion, Answer, &str); 5] = [
        // What OpenSSL says when the extended master secret is missing that the session had.
        (
            &TLS12,
            alert,
            "or could not go on with an earlier TLS session",
        ),
        (&TLS12, |hello| resuming(hello, 0), VARIED),
        (&TLS12, |hello| resuming(hello, 1), VARIED),
        (&TLS12, |_| Vec::new(), "closed the connection"),
        (
            &TLS13,
            alert,
            "or could not go on with an earlier TLS session",
        ),
    ];
    for (version, answer, words) in cases {
        run(async {
            let ca = Ca::new("limping");
            let config = ca.server_with(&[NAME], &[version], |_| ());
            let target = named(limping(config, answer).await, ca.trust(), NAME);
            for _ in 0..2 {
                let mut link = connect(&target).await.unwrap();
                link.echo().await;
                let text = link.description();
                assert!(!text.ends_with("resumed"), "{words}: {text}");
                drop(link);
                let error = connect(&target).await.unwrap_err();
                assert_eq!(error.stage(), Stage::Tls);
                assert!(error.to_string().contains(words), "{error}");
            }
        });
    }
}

/// A server that hangs when it is asked to resume would do so at each attempt.
#[test]
fn sessions_are_forgotten_when_a_handshake_is_given_up() {
    run(async {
        let ca = Ca::new("given up");
        let config = ca.server_with(&[NAME], &[&TLS12], |_| ());
        let (listener, address) = listen().await;
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let target = named(address, ca.trust(), NAME);
        let (asked, mut is_asked) = tokio::sync::mpsc::unbounded_channel();
        tokio::spawn(async move {
            for number in 0.. {
                let (mut stream, _) = listener.accept().await.unwrap();
                if number == 1 {
                    stream.read_u8().await.unwrap();
                    asked.send(stream).unwrap();
                    continue;
                }
                let stream = acceptor.accept(stream).await.unwrap();
                let (mut reader, mut writer) = tokio::io::split(stream);
                let _ = tokio::io::copy(&mut reader, &mut writer).await;
            }
        });
        connect(&target).await.unwrap().echo().await;
        tokio::select! {
            outcome = connect(&target) => panic!("{outcome:?}"),
            stream = is_asked.recv() => assert!(stream.is_some()),
        }
        let link = connect(&target).await.unwrap();
        let text = link.description();
        assert!(!text.ends_with("resumed"), "{text}");
    });
}

#[test]
fn a_ca_file_is_read_again_and_keeps_the_sessions_of_its_content() {
    run(async {
        let (ca, other) = (Ca::new("first"), Ca::new("second"));
        let file = TempFile::new("read-again", &ca.pem());
        let address = echo(ca.server(&[NAME])).await;
        let target = named(address, file.trust(), NAME);
        connect(&target).await.unwrap().echo().await;

        fs::write(&file.0, other.pem()).unwrap();
        let error = connect(&target).await.unwrap_err();
        assert_certificate_error(&error, &["does not lead to a CA in"]);

        fs::write(&file.0, "").unwrap();
        let error = connect(&target).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TlsConfig);
        assert!(
            error.to_string().contains(&format!("{} is empty", file.0)),
            "{error}"
        );

        // Both, as while an authority is replaced.
        fs::write(&file.0, other.pem() + &ca.pem()).unwrap();
        connect(&target).await.unwrap().echo().await;

        fs::write(&file.0, ca.pem()).unwrap();
        let link = connect(&target).await.unwrap();
        assert!(
            link.description().ends_with("resumed"),
            "{}",
            link.description()
        );
    });
}

#[test]
fn one_configuration_serves_all_who_trust_the_same() {
    let ca = Ca::new("shared");
    let file = TempFile::new("shared", &ca.pem());
    let first = client_config(&ca.trust()).unwrap();
    assert!(Arc::ptr_eq(&first, &client_config(&ca.trust()).unwrap()));
    assert!(Arc::ptr_eq(&first, &client_config(&file.trust()).unwrap()));
    assert!(!Arc::ptr_eq(
        &first,
        &client_config(&Trust::BuiltIn).unwrap()
    ));
}

#[test]
fn configurations_are_kept_but_not_without_limit() {
    let configs = Configs::new();
    let get = |pem: &str| {
        let material = Material {
            roots: vec![(pem.as_bytes().into(), "test".to_owned())],
            pins: &[],
            versions: TlsVersions::Both,
            client: None,
        };
        Arc::downgrade(&configs.get(&material).unwrap())
    };
    let pem = Ca::new("kept").pem();
    let (used, unused) = (get(&pem), get(&format!("{pem}\n")));
    for number in 0..63 {
        get(&format!("{number}\n{pem}"));
        assert!(get(&pem).ptr_eq(&used));
    }
    assert!(used.upgrade().is_some());
    assert!(unused.upgrade().is_none());
}

#[test]
fn a_ca_file_that_cannot_be_read_is_named_with_the_reason() {
    let error = client_config(&Trust::File("/nowhere/ca.pem".into())).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TlsConfig);
    assert_eq!(error.os_error(), Some(nix::errno::Errno::ENOENT as i32));
    assert!(
        error.to_string().contains("/nowhere/ca.pem: No such file"),
        "{error}"
    );
}

#[test]
fn what_is_no_regular_file_is_refused_and_not_waited_for() {
    let folder = tempfile::tempdir().unwrap();
    let fifo = folder.path().join("ca.pem");
    let made = Command::new("mkfifo").arg(&fifo).status().unwrap();
    assert!(made.success());
    for path in [fifo, folder.path().to_owned(), "/dev/null".into()] {
        let (tell, told) = channel();
        thread::spawn(move || tell.send(client_config(&Trust::File(path))));
        let answer = told.recv_timeout(Duration::from_secs(30));
        let error = answer.expect("waits for the FIFO").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TlsConfig);
        let text = error.to_string();
        assert!(text.contains("is not a regular file"), "{text}");
    }
}

#[test]
fn usable_roots_are_counted() {
    let ca = Ca::new("counted");
    assert_eq!(check_pem(ca.pem().as_bytes()), Ok(1));
    assert_eq!(
        check_pem(&[ca.pem(), ca.pem()].concat().into_bytes()),
        Ok(2)
    );
    assert_eq!(check_pem(roots::PEM), Ok(roots::ROOTS.len()));
    let comment = "a comment on -----BEGIN CERTIFICATE-----";
    let windows = format!("{comment}\r\n{}", ca.pem().replace('\n', "\r\n"));
    assert_eq!(check_pem(windows.as_bytes()), Ok(1));
    // One that is not understood does not cost the others.
    let mixed = format!("{NOT_X509}{}", ca.pem());
    assert_eq!(check_pem(mixed.as_bytes()), Ok(1));
}

const NOT_X509: &str = "-----BEGIN CERTIFICATE-----\naGVsbG8=\n-----END CERTIFICATE-----\n";

#[test]
fn what_is_not_a_ca_certificate_is_called_by_its_name() {
    let ca = Ca::new("names");
    let key = rcgen::KeyPair::generate().unwrap();
    let encrypted =
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n";
    let request = "-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----\n";
    let damaged = ca.pem().replacen('M', "?", 1);
    let cut = ca.pem().replace("-----END CERTIFICATE-----", "");
    let second_damaged = ca.pem() + &damaged;
    let joined = ca.pem().trim_end().to_owned() + &ca.pem();
    let marked = format!("\u{feff}{}{}", ca.pem(), ca.pem());
    let indented = format!("{}  {}", ca.pem(), ca.pem());
    for (pem, words) in [
        (&b""[..], "the CA data is empty"),
        (b" \n\t\r\n", "the CA data is empty"),
        (b"garbage", "no line says -----BEGIN CERTIFICATE-----"),
        (&[0xff; 300], "no line says -----BEGIN CERTIFICATE-----"),
        (&ca.der(), "DER form"),
        (
            key.serialize_pem().as_bytes(),
            "is a private key (PRIVATE KEY)",
        ),
        (
            encrypted.as_bytes(),
            "is a private key (ENCRYPTED PRIVATE KEY)",
        ),
        (request.as_bytes(), "is a CERTIFICATE REQUEST"),
        (
            damaged.as_bytes(),
            "certificate 1 is damaged: it is not valid base64",
        ),
        (second_damaged.as_bytes(), "certificate 2 is damaged"),
        (cut.as_bytes(), "certificate 1 is cut off"),
        (joined.as_bytes(), "does not begin a line"),
        (marked.as_bytes(), "a byte order mark"),
        (indented.as_bytes(), "white space before it"),
        (
            NOT_X509.as_bytes(),
            "certificate 1 is not an X.509 certificate",
        ),
        (&vec![b'a'; 10 << 20], "is larger than the 1048576 bytes"),
    ] {
        let error = check_pem(pem).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TlsConfig);
        assert!(
            error.to_string().contains(words),
            "\"{error}\" lacks \"{words}\""
        );
    }
}
