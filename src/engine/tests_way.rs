//! Proxies, local addresses and address families.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::dial::{Target, choose};
use super::testing::{Ca, connect, echo, listen, run, stages, target};
use crate::error::{ErrorKind, Stage, hint};
use crate::proto::way::{AddressFamily, Proxy, ProxyKind, Way};
use crate::{Endpoint, Secret};

/// A proxy that first says what is in `script`, each answer after it has heard something, and then
/// passes everything on to `onward`.
async fn proxy(script: &'static [&'static [u8]], onward: Option<SocketAddr>) -> SocketAddr {
    let (listener, address) = listen().await;
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            tokio::spawn(async move {
                for answer in script {
                    let mut heard = [0; 4096];
                    if stream.read(&mut heard).await.unwrap_or(0) == 0 {
                        return;
                    }
                    stream.write_all(answer).await.unwrap();
                }
                if let Some(onward) = onward {
                    let mut other = tokio::net::TcpStream::connect(onward).await.unwrap();
                    let _ = tokio::io::copy_bidirectional(&mut stream, &mut other).await;
                }
            });
        }
    });
    address
}

fn through(kind: ProxyKind, at: SocketAddr, ca: &Ca, login: bool) -> Target {
    let login = login.then(|| ("user".to_owned(), Secret::new("s3cret")));
    let mut target = target("192.0.2.1:8883".parse().unwrap(), ca.trust());
    target.host = "a.example".to_owned();
    Arc::make_mut(&mut target.way).proxy = Some(Proxy {
        kind,
        host: at.ip().to_string(),
        port: at.port(),
        login,
    });
    target
}

const HTTP_OK: &[u8] = b"HTTP/1.1 200 Connection established\r\n\r\n";
const SOCKS_OK: &[u8] = &[5, 0, 0, 1, 127, 0, 0, 1, 1, 1];

#[test]
fn tls_goes_through_a_proxy_to_a_name_that_only_the_proxy_knows() {
    run(async {
        let ca = Ca::new("proxy");
        let onward = echo(ca.server(&["a.example"])).await;
        for (kind, login, script) in [
            (ProxyKind::Http, true, &[HTTP_OK][..]),
            (ProxyKind::Socks5, false, &[&[5, 0], SOCKS_OK]),
            (ProxyKind::Socks5, true, &[&[5, 2], &[1, 0], SOCKS_OK]),
            (
                ProxyKind::Socks5,
                false,
                &[&[5, 0], b"\x05\x00\x00\x03\x04a.bc\x01\x01"],
            ),
        ] {
            let at = proxy(script, Some(onward)).await;
            let (seen, link) = stages(&through(kind, at, &ca, login)).await;
            link.unwrap().echo().await;
            let all = [Stage::Resolve, Stage::Tcp, Stage::Proxy, Stage::Tls];
            assert_eq!(seen, all);
        }
    });
}

#[test]
fn what_a_proxy_refuses_is_told_in_its_words_and_without_the_password() {
    run(async {
        let ca = Ca::new("refusing");
        for (kind, login, script, error_kind, words) in [
            (
                ProxyKind::Http,
                true,
                &[b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n" as &[u8]][..],
                ErrorKind::Proxy,
                "wants a user name",
            ),
            (
                ProxyKind::Http,
                false,
                &[b"HTTP/1.1 403 Forbidden\r\n\r\n"],
                ErrorKind::Proxy,
                "answers HTTP/1.1 403 Forbidden",
            ),
            (
                ProxyKind::Http,
                false,
                &[b""],
                ErrorKind::ClosedByPeer,
                "without an answer",
            ),
            (
                ProxyKind::Socks5,
                false,
                &[&[5, 2]],
                ErrorKind::Proxy,
                "wants a user name and a password",
            ),
            (
                ProxyKind::Socks5,
                true,
                &[&[5, 2], &[1, 1]],
                ErrorKind::Proxy,
                "refuses the user name or the password",
            ),
            (
                ProxyKind::Socks5,
                false,
                &[&[5, 0], &[5, 4, 0, 1, 0, 0, 0, 0, 0, 0]],
                ErrorKind::Proxy,
                "SOCKS reply 4",
            ),
            (
                ProxyKind::Socks5,
                false,
                &[&[5]],
                ErrorKind::ClosedByPeer,
                "without an answer",
            ),
        ] {
            let at = proxy(script, None).await;
            let error = connect(&through(kind, at, &ca, login)).await.unwrap_err();
            let text = error.to_string();
            assert_eq!(
                (error.kind(), error.stage()),
                (error_kind, Stage::Proxy),
                "{text}"
            );
            assert!(text.contains(words) && !text.contains("s3cret"), "{text}");
            assert!(text.contains(&format!("proxy {at}")), "{text}");
        }
    });
}

#[test]
fn a_proxy_that_is_not_there_is_named() {
    run(async {
        let (listener, at) = listen().await;
        drop(listener);
        let target = through(ProxyKind::Http, at, &Ca::new("absent"), false);
        let error = connect(&target).await.unwrap_err();
        assert_eq!(
            (error.kind(), error.stage()),
            (ErrorKind::Network, Stage::Tcp)
        );
        assert!(error.to_string().contains("the HTTP proxy"), "{error}");
        assert_eq!(error.hint(), Some(hint::PROXY));
        let mut target = target;
        let proxy = Arc::make_mut(&mut target.way).proxy.as_mut();
        proxy.unwrap().host = "proxy.invalid".to_owned();
        let error = connect(&target).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Dns);
        assert_eq!(error.hint(), Some(hint::PROXY));
    });
}

#[test]
fn the_connection_comes_from_the_local_address_and_interface_that_were_set() {
    run(async {
        let ca = Ca::new("local");
        let address = echo(ca.server(&["127.0.0.1"])).await;
        let mut target = target(address, ca.trust());
        Arc::make_mut(&mut target.way).local_address = Some("127.0.0.2".parse().unwrap());
        #[cfg(target_os = "linux")]
        {
            Arc::make_mut(&mut target.way).interface = Some("lo".to_owned());
        }
        let link = match connect(&target).await {
            // Some sandboxes allow no binding to interfaces.
            Err(error) if error.os_error() == Some(nix::errno::Errno::EPERM as i32) => return,
            link => link.unwrap(),
        };
        let local = link.socket().local_addr().unwrap();
        assert_eq!(local.ip().to_string(), "127.0.0.2");

        Arc::make_mut(&mut target.way).interface = None;
        Arc::make_mut(&mut target.way).local_address = Some("192.0.2.1".parse().unwrap());
        let error = connect(&target).await.unwrap_err();
        assert_eq!(
            error.os_error(),
            Some(nix::errno::Errno::EADDRNOTAVAIL as i32)
        );
        let text = error.to_string();
        assert!(text.contains("the local address 192.0.2.1"), "{text}");
        assert_eq!(error.hint(), Some(hint::NOT_LOCAL));
    });
}

#[test]
fn the_family_decides_which_addresses_are_dialled_and_in_what_order() {
    let all: Vec<SocketAddr> = ["[::1]:0", "1.1.1.1:0", "[::2]:0", "2.2.2.2:0"]
        .iter()
        .map(|text| text.parse().unwrap())
        .collect();
    let chosen = |family, local: Option<&str>| {
        let way = Way {
            family,
            local_address: local.map(|text| text.parse().unwrap()),
            ..Way::default()
        };
        choose(all.clone(), 9, &way)
            .iter()
            .map(|address| address.ip().to_string())
            .collect::<Vec<_>>()
    };
    use AddressFamily as Family;
    assert_eq!(
        chosen(Family::Any, None),
        ["::1", "1.1.1.1", "::2", "2.2.2.2"]
    );
    assert_eq!(
        chosen(Family::PreferIpv4, None),
        ["1.1.1.1", "2.2.2.2", "::1", "::2"]
    );
    assert_eq!(
        chosen(Family::PreferIpv6, None),
        ["::1", "::2", "1.1.1.1", "2.2.2.2"]
    );
    assert_eq!(chosen(Family::OnlyIpv4, None), ["1.1.1.1", "2.2.2.2"]);
    assert_eq!(chosen(Family::OnlyIpv6, None), ["::1", "::2"]);
    assert_eq!(
        chosen(Family::Any, Some("127.0.0.1")),
        ["1.1.1.1", "2.2.2.2"]
    );
    assert_eq!(chosen(Family::Any, Some("::1")), ["::1", "::2"]);
}

#[test]
fn a_host_without_an_address_of_the_family_says_so() {
    run(async {
        let mut endpoint = Endpoint::host("127.0.0.1", 1).unwrap();
        endpoint.set_address_family(AddressFamily::OnlyIpv6);
        let target = Target::new("127.0.0.1".to_owned(), &endpoint);
        let error = connect(&target).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Dns);
        assert!(
            error.to_string().contains("no address of the family"),
            "{error}"
        );
    });
}
