//! Links inside WebSockets, against a server that says what a test wants.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;

use rustls::server::WebPkiClientVerifier;
use sha1::{Digest, Sha1};
use tungstenite::protocol::Role;
use tungstenite::{Message, WebSocket};

use super::dial::Target;
use super::testing::{Ca, connect, echo, provider, run, stages, target};
use crate::error::{ErrorKind, Stage, hint};
use crate::proto::proxy::push_base64;
use crate::proto::trust::Trust;

/// A server that does the handshake and then what `serve` says.
fn server(serve: impl Fn(WebSocket<TcpStream>) + Send + 'static) -> SocketAddr {
    raw_server(move |mut stream| {
        let request = read_head(&mut stream);
        let line = |name: &str| {
            let mut lines = request.lines();
            lines
                .find_map(|line| line.strip_prefix(name))
                .map(str::to_owned)
        };
        assert_eq!(line("Sec-WebSocket-Protocol: ").unwrap(), "mqtt");
        let key = line("Sec-WebSocket-Key: ").unwrap();
        let hash = Sha1::digest(format!("{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11"));
        let mut accept = Vec::new();
        push_base64(&mut accept, &hash);
        let accept = String::from_utf8(accept).unwrap();
        let answer = format!(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Protocol: mqtt\r\nSec-WebSocket-Accept: {accept}\r\n\r\n"
        );
        stream.write_all(answer.as_bytes()).unwrap();
        serve(WebSocket::from_raw_socket(stream, Role::Server, None));
    })
}

fn raw_server(serve: impl Fn(TcpStream) + Send + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            serve(stream.unwrap());
        }
    });
    address
}

fn read_head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).unwrap() == 1 {
        head.push(byte[0]);
    }
    String::from_utf8(head).unwrap()
}

fn inside(address: SocketAddr) -> Target {
    let mut target = target(address, Trust::BuiltIn);
    target.plaintext = true;
    Arc::make_mut(&mut target.way).websocket = Some("/mqtt".to_owned());
    target
}

#[test]
fn bytes_go_both_ways_however_the_peer_cuts_them_into_messages() {
    let address = server(|mut socket| {
        let mut heard = Vec::new();
        while heard.len() < 100_000 {
            match socket.read().unwrap() {
                Message::Binary(bytes) => heard.extend_from_slice(&bytes),
                other => panic!("{other:?}"),
            }
        }
        socket
            .send(Message::Ping(b"are you there"[..].into()))
            .unwrap();
        socket.send(Message::Binary(Vec::new().into())).unwrap();
        for part in [&heard[..1], &heard[1..70_000], &heard[70_000..]] {
            socket.send(Message::Binary(part.to_vec().into())).unwrap();
        }
        // The answer to the ping came without being asked for.
        assert_eq!(
            socket.read().unwrap(),
            Message::Pong(b"are you there"[..].into())
        );
        let _ = socket.close(None);
        while socket.read().is_ok() {}
    });
    run(async {
        let (seen, link) = stages(&inside(address)).await;
        assert_eq!(seen, [Stage::Resolve, Stage::Tcp, Stage::WebSocket]);
        let mut link = link.unwrap();
        assert!(link.description().ends_with("plain text, WebSocket"));
        let sent: Vec<u8> = (0..100_000_u32).map(|number| number as u8).collect();
        let mut rest = &sent[..];
        while !rest.is_empty() {
            let len = link.write(&[rest]).await.unwrap();
            rest = &rest[len..];
        }
        let mut heard = Vec::new();
        loop {
            let bytes = link.read().await.unwrap();
            if bytes.is_empty() {
                break;
            }
            heard.extend(bytes);
        }
        assert!(heard == sent, "{} bytes came back", heard.len());
    });
}

#[test]
fn a_goodbye_closes_the_websocket_in_order() {
    let (tell, told) = std::sync::mpsc::channel();
    let address = server(move |mut socket| {
        let mut heard = Vec::new();
        while let Ok(message) = socket.read() {
            heard.push(message.is_close());
        }
        tell.send(heard).unwrap();
    });
    run(async {
        let mut link = connect(&inside(address)).await.unwrap();
        link.write(&[b"x"]).await.unwrap();
        link.shutdown().await.unwrap();
        assert!(link.read().await.unwrap().is_empty());
    });
    assert_eq!(told.recv().unwrap(), [false, true]);
}

#[test]
fn a_peer_that_breaks_the_rules_or_just_goes_is_told_apart() {
    for (kind, serve) in [
        (
            ErrorKind::Protocol,
            (|mut socket| {
                socket.send(Message::text("hello")).unwrap();
                while socket.read().is_ok() {}
            }) as fn(WebSocket<TcpStream>),
        ),
        (ErrorKind::Protocol, |mut socket| {
            // A masked frame, which only a client sends.
            socket
                .get_mut()
                .write_all(&[0x82, 0x81, 1, 2, 3, 4, 5])
                .unwrap();
            while socket.read().is_ok() {}
        }),
        (ErrorKind::Protocol, |mut socket| {
            // A frame of 2^40 bytes.
            let frame = [0x82, 127, 0, 0, 1, 0, 0, 0, 0, 0];
            socket.get_mut().write_all(&frame).unwrap();
            while socket.read().is_ok() {}
        }),
        (ErrorKind::ClosedByPeer, |_| ()),
    ] {
        let address = server(serve);
        run(async {
            let mut link = connect(&inside(address)).await.unwrap();
            let error = super::link::Link::error(&link.read().await.unwrap_err());
            assert_eq!(error.kind(), kind, "{error}");
        });
    }
}

#[test]
fn a_server_without_websocket_is_refused_in_words() {
    for (answer, kind, words) in [
        (
            &b"HTTP/1.1 404 Not Found\r\n\r\n"[..],
            ErrorKind::Protocol,
            "404 Not Found",
        ),
        (
            b"\x20\x02\x00\x00",
            ErrorKind::Protocol,
            "does not speak HTTP",
        ),
        (b"", ErrorKind::ClosedByPeer, "closed the connection"),
    ] {
        let address = raw_server(move |mut stream| {
            read_head(&mut stream);
            stream.write_all(answer).unwrap();
        });
        run(async {
            let error = connect(&inside(address)).await.unwrap_err();
            assert_eq!(
                (error.kind(), error.stage()),
                (kind, Stage::WebSocket),
                "{error}"
            );
            assert!(error.to_string().contains(words), "{error}");
        });
    }
}

#[test]
fn a_server_that_pings_and_does_not_read_is_slowed_down() {
    let (told, heard) = std::sync::mpsc::channel();
    let address = server(move |mut socket| {
        let stream = socket.get_mut();
        let timeout = Some(std::time::Duration::from_secs(2));
        stream.set_write_timeout(timeout).unwrap();
        let mut ping = vec![0x89, 125];
        ping.extend([b'x'; 125]);
        let many = ping.repeat(1000);
        let is_slowed = (0..500).any(|_| stream.write_all(&many).is_err());
        told.send(is_slowed).unwrap();
    });
    run(async {
        let mut link = connect(&inside(address)).await.unwrap();
        let is_slowed = loop {
            let moment = std::time::Duration::from_millis(100);
            let _ = tokio::time::timeout(moment, link.read()).await;
            if let Ok(is_slowed) = heard.try_recv() {
                break is_slowed;
            }
        };
        assert!(is_slowed, "63 MB of pings were taken");
    });
}

#[test]
fn a_server_that_wants_a_certificate_says_so_behind_websocket_too() {
    run(async {
        let ca = Ca::new("wss");
        for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
            let mut roots = rustls::RootCertStore::empty();
            roots.add(ca.der()).unwrap();
            let verifier = WebPkiClientVerifier::builder_with_provider(roots.into(), provider())
                .build()
                .unwrap();
            let address = echo(ca.server_verifying(&["127.0.0.1"], version, verifier)).await;
            let mut target = target(address, ca.trust());
            Arc::make_mut(&mut target.way).websocket = Some("/mqtt".to_owned());
            let error = connect(&target).await.unwrap_err();
            let seen = (error.kind(), error.stage(), error.hint());
            let expected = (
                ErrorKind::TlsHandshake,
                Stage::Tls,
                Some(hint::NO_CERTIFICATE),
            );
            assert_eq!(seen, expected, "{version:?}: {error}");
        }
    });
}
