//! Tests of an open connection: bytes both ways, and what its end means.

use std::sync::Arc;
use std::time::Duration;

use rustls::RootCertStore;
use rustls::server::WebPkiClientVerifier;
use rustls::version::{TLS12, TLS13};
use socket2::SockRef;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::dial::Target;
use super::link::Link;
use super::testing::{Ca, connect, echo, listen, pair, provider, run, target};
use crate::error::{ErrorKind, Stage, hint};
use crate::proto::trust::Trust;

/// A client without TLS and the server's end.
async fn plain_pair() -> (Link, TcpStream) {
    let (listener, address) = listen().await;
    let target = Target {
        plaintext: true,
        ..target(address, Trust::BuiltIn)
    };
    let link = connect(&target).await.unwrap();
    (link, listener.accept().await.unwrap().0)
}

fn server(ca: &Ca) -> rustls::ServerConfig {
    ca.server(&["127.0.0.1"])
}

#[test]
fn many_slices_leave_in_one_write() {
    run(async {
        let ca = Ca::new("slices");
        let words: Vec<Vec<u8>> = (0..1000u32).map(|i| i.to_be_bytes().to_vec()).collect();
        let slices: Vec<&[u8]> = words.iter().map(Vec::as_slice).collect();
        let expected = words.concat();
        let mut received = vec![0; expected.len()];

        let (mut link, mut peer) = pair(&ca, server(&ca)).await;
        assert_eq!(link.write(&slices).await.unwrap(), expected.len());
        peer.read_exact(&mut received).await.unwrap();
        assert_eq!(received, expected);

        let (mut link, mut peer) = plain_pair().await;
        assert_eq!(link.write(&slices).await.unwrap(), expected.len());
        peer.read_exact(&mut received).await.unwrap();
        assert_eq!(received, expected);
    });
}

#[test]
fn a_tls_write_takes_no_more_than_its_buffer() {
    run(async {
        let ca = Ca::new("buffer");
        let (mut link, mut peer) = pair(&ca, server(&ca)).await;
        let message = vec![7; 256 * 1024];
        let drain = tokio::spawn(async move {
            let mut received = vec![0; 256 * 1024];
            peer.read_exact(&mut received).await.unwrap();
            received
        });
        let mut rest = message.as_slice();
        while !rest.is_empty() {
            let taken = link.write(&[rest]).await.unwrap();
            assert!(taken <= 32 * 1024, "{taken}");
            rest = &rest[taken..];
        }
        assert_eq!(drain.await.unwrap(), message);
    });
}

#[test]
fn records_of_one_byte_are_a_stream_like_any_other() {
    run(async {
        let ca = Ca::new("one byte");
        for version in [&TLS12, &TLS13] {
            let config = ca.server_with(&["127.0.0.1"], &[version], |_| ());
            let (mut link, mut peer) = pair(&ca, config).await;
            let message: Vec<u8> = (0..1000_u32).map(|n| n as u8).collect();
            let sent = message.clone();
            let sending = tokio::spawn(async move {
                for byte in sent {
                    peer.write_all(&[byte]).await.unwrap();
                    peer.flush().await.unwrap(); // a record of its own
                }
                peer
            });
            let mut received = Vec::new();
            while received.len() < message.len() {
                received.extend(link.read().await.unwrap());
            }
            assert_eq!(received, message);
            drop(sending.await.unwrap());
        }
    });
}

#[test]
fn a_hundred_session_tickets_are_taken_and_one_is_used() {
    run(async {
        let ca = Ca::new("tickets");
        let mut config = ca.server_with(&["127.0.0.1"], &[&TLS13], |_| ());
        config.send_tls13_tickets = 100;
        let address = echo(config).await;
        let trust = ca.trust();
        for expected in [false, true, true] {
            let mut link = connect(&target(address, trust.clone())).await.unwrap();
            link.echo().await;
            let text = link.description();
            assert_eq!(text.ends_with("resumed"), expected, "{text}");
        }
    });
}

#[test]
fn a_record_larger_than_any_may_be_is_an_error_of_tls() {
    run(async {
        let ca = Ca::new("giant record");
        for version in [&TLS12, &TLS13] {
            let config = ca.server_with(&["127.0.0.1"], &[version], |_| ());
            let (mut link, peer) = pair(&ca, config).await;
            let (mut raw, _) = peer.into_inner();
            // 16 KiB, 2 KiB more for what encryption may add, and a byte.
            let len: u16 = (16 + 2) * 1024 + 1;
            raw.write_all(&[0x17, 3, 3, (len >> 8) as u8, len as u8])
                .await
                .unwrap();
            raw.write_all(&vec![7; usize::from(len)]).await.unwrap();
            let error = Link::error(&link.read().await.unwrap_err());
            assert_eq!(
                (error.kind(), error.stage()),
                (ErrorKind::Network, Stage::Tls),
                "{error}"
            );
        }
    });
}

#[test]
fn an_orderly_end_is_a_read_of_nothing() {
    run(async {
        let ca = Ca::new("end");
        let (mut link, mut peer) = pair(&ca, server(&ca)).await;
        peer.shutdown().await.unwrap();
        assert_eq!(link.read().await.unwrap(), b"");
        assert_eq!(Link::closed().kind(), ErrorKind::ClosedByPeer);

        let (mut link, peer) = plain_pair().await;
        drop(peer);
        assert_eq!(link.read().await.unwrap(), b"");
    });
}

#[test]
fn a_tls_stream_cut_without_goodbye_says_so() {
    run(async {
        let ca = Ca::new("cut");
        let (mut link, peer) = pair(&ca, server(&ca)).await;
        drop(peer.into_inner());
        let error = Link::error(&read_error(&mut link).await);
        assert_eq!(error.kind(), ErrorKind::ClosedByPeer);
        assert!(error.to_string().contains("close_notify"), "{error}");
    });
}

async fn read_error(link: &mut Link) -> std::io::Error {
    link.read().await.unwrap_err()
}

#[test]
fn our_shutdown_says_goodbye_and_reads_on() {
    run(async {
        let ca = Ca::new("goodbye");
        let (mut link, mut peer) = pair(&ca, server(&ca)).await;
        link.shutdown().await.unwrap();
        // Without close_notify this read would be an error.
        assert_eq!(peer.read(&mut [0; 16]).await.unwrap(), 0);
        peer.write_all(b"late").await.unwrap();
        peer.flush().await.unwrap();
        assert_eq!(link.read().await.unwrap(), b"late");
    });
}

#[test]
fn a_shutdown_after_the_peer_has_gone_is_no_failure() {
    run(async {
        let (mut link, peer) = plain_pair().await;
        SockRef::from(&peer)
            .set_linger(Some(Duration::ZERO))
            .unwrap();
        drop(peer);
        link.read().await.unwrap_err();
        link.shutdown().await.unwrap();
    });
}

#[test]
fn a_reset_is_a_network_failure_with_the_number_of_the_system() {
    run(async {
        let ca = Ca::new("reset");
        let (mut link, peer) = pair(&ca, server(&ca)).await;
        SockRef::from(peer.get_ref().0)
            .set_linger(Some(Duration::ZERO))
            .unwrap();
        drop(peer.into_inner());
        let error = Link::error(&read_error(&mut link).await);
        assert_eq!(error.kind(), ErrorKind::Network);
        assert_eq!(error.stage(), Stage::Mqtt);
        assert_eq!(error.os_error(), Some(nix::errno::Errno::ECONNRESET as i32));
    });
}

#[test]
fn a_server_that_wants_a_client_certificate_is_understood() {
    run(async {
        let ca = Ca::new("client certificates");
        for version in [&TLS12, &TLS13] {
            let mut roots = RootCertStore::empty();
            roots.add(ca.der()).unwrap();
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider())
                .build()
                .unwrap();
            let config = ca.server_verifying(&["127.0.0.1"], version, verifier);
            let address = echo(config).await;
            let error = match connect(&target(address, ca.trust())).await {
                Err(error) => error,
                // With TLS 1.3 the client is done before the server has judged it.
                Ok(mut link) => Link::error(&read_error(&mut link).await),
            };
            assert_eq!(error.kind(), ErrorKind::TlsHandshake, "{error}");
            assert_eq!(error.stage(), Stage::Tls);
            let text = error.to_string();
            let expected = "perhaps it wants a client certificate, and there is none to show";
            assert!(text.contains(expected), "{text}");
            assert_eq!(error.hint(), Some(hint::NO_CERTIFICATE));
        }
    });
}

#[test]
fn garbage_in_an_encrypted_stream_breaks_it() {
    run(async {
        let ca = Ca::new("garbage");
        let (mut link, peer) = pair(&ca, server(&ca)).await;
        let (mut stream, _session) = peer.into_inner();
        stream
            .write_all(b"\x17\x03\x03\x00\x20not encrypted by this connection")
            .await
            .unwrap();
        let error = Link::error(&read_error(&mut link).await);
        assert_eq!(error.kind(), ErrorKind::Network);
        assert_eq!(error.stage(), Stage::Tls);
    });
}

#[test]
fn an_alert_on_an_established_connection_is_no_refusal() {
    run(async {
        let ca = Ca::new("alert");
        let (mut link, mut peer) = pair(&ca, server(&ca)).await;
        peer.write_all(b"hello").await.unwrap();
        peer.flush().await.unwrap();
        assert_eq!(link.read().await.unwrap(), b"hello");
        // Damaged on its way: the peer says so in an alert.
        let garbage = b"\x17\x03\x03\x00\x20not encrypted by this connection";
        let sent = link.socket().try_write(garbage).unwrap();
        assert_eq!(sent, garbage.len());
        assert!(peer.read(&mut [0; 16]).await.is_err());
        let _ = peer.flush().await;
        let error = Link::error(&read_error(&mut link).await);
        assert_eq!(
            (error.kind(), error.stage()),
            (ErrorKind::Network, Stage::Tls)
        );
        assert!(error.to_string().contains("BadRecordMac"), "{error}");
        assert!(error.kind().is_retryable());
        assert!(!error.hint().unwrap().contains("handshake"), "{error}");
    });
}

#[test]
fn the_description_names_peer_version_and_suite() {
    run(async {
        let ca = Ca::new("description");
        let (link, _peer) = pair(&ca, server(&ca)).await;
        let text = link.description();
        assert!(text.starts_with("127.0.0.1:"), "{text}");
        assert!(text.contains("TLSv1_3, TLS13_"), "{text}");

        let (link, _peer) = plain_pair().await;
        let text = link.description();
        assert!(text.ends_with("plain text"), "{text}");
    });
}
