//! Tests of dialling: addresses, deadlines, stages and what their failures say.

use std::io::{self, Read, Write};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpListener};
use std::pin::pin;
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use socket2::SockRef;
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::mpsc::unbounded_channel;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::clock;
use super::dial::{Target, Watch, alternate, connect_any, dial, is_dialled, put_last, share};
use super::testing::{Ca, TempFile, answer_with, connect, echo, listen, name, run, stages, target};
use crate::error::{ErrorKind, Stage};
use crate::proto::endpoint::Endpoint;
use crate::proto::trust::Trust;
use crate::{Client, Config, Identity};

const REFUSED: i32 = Errno::ECONNREFUSED as i32;

fn plain(address: SocketAddr) -> Target {
    Target {
        plaintext: true,
        ..target(address, Trust::BuiltIn)
    }
}

/// When a dial to `target` must be done that begins now.
fn deadline(target: &Target) -> Duration {
    clock::now() + target.connect_timeout
}

/// The port of `address`, at another of this machine.
fn sibling(address: SocketAddr) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 2], address.port()))
}

/// An address where nobody listens.
async fn closed() -> SocketAddr {
    listen().await.1
}

async fn black_hole() -> (SocketAddr, impl Sized) {
    black_hole_at("127.0.0.1:0".parse().unwrap()).await
}

/// A listener whose queue is full, so that the system drops every further SYN, and what fills it.
async fn black_hole_at(address: SocketAddr) -> (SocketAddr, impl Sized) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(address).unwrap();
    let listener = socket.listen(1).unwrap();
    let address = listener.local_addr().unwrap();
    let mut queued = Vec::new();
    while let Ok(stream) = timeout(Duration::from_millis(50), TcpStream::connect(address)).await {
        queued.push(stream.unwrap());
    }
    (address, (listener, queued))
}

#[test]
fn each_stage_is_announced_as_it_begins() {
    run(async {
        let ca = Ca::new("stages");
        let address = echo(ca.server(&["127.0.0.1"])).await;
        let (seen, link) = stages(&target(address, ca.trust())).await;
        assert_eq!(seen, [Stage::Resolve, Stage::Tcp, Stage::Tls]);
        assert!(link.unwrap().is_tls());

        let file = TempFile::new("stages", &ca.pem());
        let (seen, link) = stages(&target(address, file.trust())).await;
        assert_eq!(seen, [Stage::Tls, Stage::Resolve, Stage::Tcp, Stage::Tls]);
        assert!(link.unwrap().is_tls());

        let (seen, link) = stages(&plain(address)).await;
        assert_eq!(seen, [Stage::Resolve, Stage::Tcp]);
        assert!(!link.unwrap().is_tls());
    });
}

#[test]
fn a_name_is_looked_up() {
    run(async {
        let ca = Ca::new("localhost");
        let address = echo(ca.server(&["localhost"])).await;
        let target = Target {
            host: "localhost".to_owned(),
            ..target(address, ca.trust())
        };
        connect(&target).await.unwrap().echo().await;
    });
}

#[test]
fn a_failed_lookup_names_the_host() {
    run(async {
        // Too long for the name system, so that no server is asked.
        let host = "a".repeat(64);
        let target = Target {
            host: host.clone(),
            ..plain(closed().await)
        };
        let error = connect(&target).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Dns);
        assert_eq!(error.stage(), Stage::Resolve);
        assert!(error.to_string().contains(&host), "{error}");
    });
}

#[test]
fn a_refused_connection_is_reported_at_once_with_the_number_of_the_system() {
    run(async {
        let address = closed().await;
        let started = Instant::now();
        let error = connect(&plain(address)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Network);
        assert_eq!(error.stage(), Stage::Tcp);
        assert_eq!(error.os_error(), Some(REFUSED));
        assert!(error.to_string().contains(&address.to_string()), "{error}");
        assert!(started.elapsed() < Duration::from_millis(100));
    });
}

#[test]
fn the_next_address_is_tried_after_a_refusal() {
    run(async {
        let (_listener, open) = listen().await;
        let closed = closed().await;
        let target = plain(closed);
        let stream = connect_any([closed, open].into(), &target, deadline(&target)).await;
        let (stream, address) = stream.unwrap();
        assert_eq!((stream.peer_addr().unwrap(), address), (open, open));
    });
}

#[test]
fn the_next_address_is_tried_within_half_the_time() {
    run(async {
        let (hole, _keep) = black_hole().await;
        let (_listener, open) = listen().await;
        let target = Target {
            connect_timeout: Duration::from_secs(1),
            ..plain(hole)
        };
        let started = Instant::now();
        let stream = connect_any([hole, open].into(), &target, deadline(&target)).await;
        let (stream, address) = stream.unwrap();
        assert_eq!((stream.peer_addr().unwrap(), address), (open, open));
        assert!(started.elapsed() < Duration::from_millis(900));
    });
}

#[test]
fn an_address_that_does_not_answer_is_given_up_before_the_deadline_of_the_caller() {
    run(async {
        let (hole, _keep) = black_hole().await;
        let target = Target {
            connect_timeout: Duration::from_millis(500),
            ..plain(hole)
        };
        let error = timeout(target.connect_timeout, connect(&target))
            .await
            .expect("the caller's deadline came first")
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectTimeout);
        assert_eq!(error.stage(), Stage::Tcp);
        let expected = format!("{hole} did not answer");
        assert!(error.to_string().contains(&expected), "{error}");
    });
}

#[test]
fn the_last_address_has_nearly_all_of_the_time() {
    run(async {
        let (hole, _keep) = black_hole().await;
        let target = Target {
            connect_timeout: Duration::from_secs(3),
            ..plain(hole)
        };
        let started = Instant::now();
        let failed = timeout(target.connect_timeout, connect(&target)).await;
        let error = failed.expect("the caller's deadline came first");
        assert_eq!(error.unwrap_err().kind(), ErrorKind::ConnectTimeout);
        assert!(started.elapsed() > Duration::from_millis(2500));
    });
}

/// As where the first name server is dead and the first address too: the same at each attempt.
#[test]
#[cfg(target_os = "linux")] // Others have no second loopback address.
fn the_time_of_the_lookup_is_not_shared_among_the_addresses() {
    run(async {
        let (_listener, open) = listen().await;
        let (hole, _keep) = black_hole_at(sibling(open)).await;
        name("slow.test", Duration::from_secs(5), &[hole, open]);
        let target = Target {
            host: "slow.test".to_owned(),
            connect_timeout: Duration::from_secs(7),
            ..plain(open)
        };
        let link = timeout(target.connect_timeout, connect(&target))
            .await
            .expect("the caller's deadline came first")
            .unwrap();
        assert_eq!(link.socket().peer_addr().unwrap(), open);
    });
}

/// The system looks at that time when it sends the SYN again, after a second.
#[test]
fn how_long_a_peer_may_be_silent_does_not_shorten_the_connect() {
    run(async {
        let (hole, _keep) = black_hole().await;
        let target = Target {
            connect_timeout: Duration::from_secs(3),
            user_timeout: Some(Duration::from_millis(100)),
            ..plain(hole)
        };
        let error = connect(&target).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectTimeout, "{error}");
        assert_eq!(error.os_error(), None, "{error}");
    });
}

#[test]
fn a_failure_lists_every_address_with_its_reason() {
    run(async {
        let (hole, _keep) = black_hole().await;
        let closed = closed().await;
        let target = Target {
            connect_timeout: Duration::from_millis(500),
            ..plain(closed)
        };
        let error = connect_any([closed, hole].into(), &target, deadline(&target))
            .await
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Network);
        assert_eq!(error.os_error(), Some(REFUSED));
        let text = error.to_string();
        assert!(text.contains(&format!("{closed}: ")), "{text}");
        assert!(text.contains(&format!("{hole} did not answer")), "{text}");
    });
}

#[test]
fn families_take_turns_and_keep_their_order() {
    let parse = |list: &[&str]| -> Vec<SocketAddr> {
        list.iter().map(|text| text.parse().unwrap()).collect()
    };
    let (a, b, c) = ("192.0.2.1:1", "192.0.2.2:1", "192.0.2.3:1");
    let (x, y) = ("[2001:db8::1]:1", "[2001:db8::2]:1");
    for (given, expected) in [
        (vec![], vec![]),
        (vec![a, b, c], vec![a, b, c]),
        (vec![a, b, c, x, y], vec![a, x, b, y, c]),
        (vec![x, y, a], vec![x, a, y]),
        (vec![x, a, b, c], vec![x, a, b, c]),
    ] {
        assert_eq!(alternate(parse(&given)), parse(&expected), "{given:?}");
    }
}

#[test]
fn each_address_has_its_share_of_the_time() {
    for (left_ms, others, expected_ms) in [
        (10_000, 0, 10_000),
        (10_000, 1, 5_000),
        (10_000, 3, 2_500),
        (10_000, 99, 1_000),
        (1_000, 1, 500),
        (1_000, 9, 500),
        (0, 3, 0),
    ] {
        assert_eq!(
            share(Duration::from_millis(left_ms), others),
            Duration::from_millis(expected_ms),
            "{left_ms} ms with {others} to follow"
        );
    }
}

#[test]
fn the_socket_has_its_options() {
    run(async {
        let (_listener, address) = listen().await;
        let target = Target {
            user_timeout: Some(Duration::from_secs(20)),
            ..plain(address)
        };
        let link = connect(&target).await.unwrap();
        assert!(link.socket().nodelay().unwrap());
        if cfg!(target_os = "linux") {
            let socket = SockRef::from(link.socket());
            assert_eq!(
                socket.tcp_user_timeout().unwrap(),
                Some(Duration::from_secs(20))
            );
        }
    });
}

#[test]
fn an_unusable_tls_setting_never_touches_the_network() {
    run(async {
        let (listener, address) = listen().await;
        for (trust, name) in [
            (Trust::Pem((*b"garbage").into()), "a.example"),
            (Trust::File("/nowhere/ca.pem".into()), "a.example"),
            (Trust::BuiltIn, "not a name"),
        ] {
            let target = Target {
                server_name: Some(name.to_owned()),
                ..target(address, trust)
            };
            let (seen, result) = stages(&target).await;
            let error = result.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::TlsConfig, "{error}");
            assert!(seen.iter().all(|stage| *stage == Stage::Tls), "{seen:?}");
        }
        let accepted = timeout(Duration::from_millis(50), listener.accept());
        assert!(accepted.await.is_err(), "a connection was opened");
    });
}

/// Dials that hold all turns of `address`, where nobody says a word, until they are dropped.
pub(super) async fn take_all_turns(address: SocketAddr) -> JoinSet<()> {
    hold_all_turns(target(address, Trust::BuiltIn)).await
}

async fn hold_all_turns(target: Target) -> JoinSet<()> {
    let (tell, mut told) = unbounded_channel();
    let mut dials = JoinSet::new();
    for _ in 0..64 {
        let (tell, target) = (tell.clone(), target.clone());
        dials.spawn(async move {
            let mut stages = |stage| tell.send(stage).unwrap_or_default();
            let _ = dial(&target, &mut stages).await;
        });
    }
    let mut hold = 0;
    while hold < 64 {
        hold += usize::from(told.recv().await == Some(Stage::Tls));
    }
    dials
}

#[test]
fn a_peer_that_is_silent_keeps_nobody_from_dialling_another() {
    run(async {
        let (_silent, address) = listen().await;
        let (other, other_address) = listen().await;
        let dials = take_all_turns(address).await;

        connect(&plain(other_address)).await.unwrap();
        other.accept().await.unwrap();

        // The next one to the same peer has to wait.
        let (mut seen, target) = (Vec::new(), plain(address));
        let mut watch = |stage| seen.push(stage);
        let waits = timeout(Duration::from_millis(50), dial(&target, &mut watch)).await;
        assert!(waits.is_err());
        assert_eq!(seen, [Stage::Resolve, Stage::Session]);

        drop(dials);
        connect(&plain(address)).await.unwrap();
        for address in [address, other_address] {
            while is_dialled("127.0.0.1", address.port()) {
                tokio::task::yield_now().await;
            }
        }
    });
}

#[test]
#[cfg(target_os = "linux")] // Others have no second loopback address.
fn the_wait_for_a_turn_takes_no_time_from_the_addresses() {
    run(async {
        let (_silent, address) = listen().await;
        let (hole, _keep) = black_hole_at(sibling(address)).await;
        let target = Target {
            host: "turns.test".to_owned(),
            connect_timeout: Duration::from_secs(1),
            ..target(address, Trust::BuiltIn)
        };
        name(&target.host, Duration::ZERO, &[address]);
        let dials = hold_all_turns(target.clone()).await;
        name(&target.host, Duration::ZERO, &[hole]);
        let mut waits = pin!(connect(&target));
        let longer = target.connect_timeout * 3 / 2;
        assert!(timeout(longer, &mut waits).await.is_err());
        drop(dials);
        let turn = Instant::now();
        let error = waits.await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectTimeout);
        assert!(turn.elapsed() > target.connect_timeout / 2, "{error}");
    });
}

#[test]
fn a_target_is_what_the_endpoint_says() {
    let mut endpoint = Endpoint::host("192.0.2.1", 8883).unwrap();
    endpoint.set_server_name("a.example").unwrap();
    endpoint.tls_mut().trust = vec![Trust::File("ca.pem".into())];
    endpoint
        .set_connect_timeout(Duration::from_secs(3))
        .unwrap();
    let target = Target::new("192.0.2.1".to_owned(), &endpoint);
    assert_eq!((target.host.as_str(), target.port), ("192.0.2.1", 8883));
    assert_eq!(target.server_name.as_deref(), Some("a.example"));
    assert_eq!(target.tls.trust, [Trust::File("ca.pem".into())]);
    assert_eq!(target.connect_timeout, Duration::from_secs(3));
    assert!(!target.plaintext);
    endpoint.set_dangerous_plaintext();
    assert!(Target::new(String::new(), &endpoint).plaintext);
}

#[test]
fn a_dial_can_move_between_threads() {
    fn check(_: impl Send) {}
    let target = target("127.0.0.1:1".parse().unwrap(), Trust::BuiltIn);
    check(dial(&target, &mut |_| ()));
}

#[test]
fn the_address_behind_the_one_to_avoid_comes_first() {
    let [a, b, c] = ["192.0.2.1:1", "[2001:db8::1]:1", "192.0.2.2:1"]
        .map(|text| text.parse::<SocketAddr>().unwrap());
    for (avoid, expected) in [(a, [b, c, a]), (b, [c, a, b]), (c, [a, b, c])] {
        let mut addresses = [a, b, c].into();
        put_last(&mut addresses, avoid.ip());
        assert_eq!(addresses, expected, "{avoid}");
    }
    let mut addresses = [a, c].into();
    put_last(&mut addresses, b.ip());
    assert_eq!(addresses, [a, c]);
    put_last(&mut [].into(), b.ip());
}

#[derive(Default)]
struct Reached(Vec<IpAddr>);

impl Watch for Reached {
    fn stage(&mut self, _: Stage) {}

    fn reached(&mut self, address: IpAddr) {
        self.0.push(address);
    }
}

#[test]
fn an_address_that_takes_a_connection_is_told_of_before_it_fails() {
    run(async {
        let failing = answer_with(b"no TLS").await;
        let mut watch = Reached::default();
        let target = target(failing, Trust::BuiltIn);
        assert!(dial(&target, &mut watch).await.is_err());
        assert_eq!(watch.0, [failing.ip()]);

        let mut watch = Reached::default();
        dial(&plain(closed().await), &mut watch).await.unwrap_err();
        assert!(watch.0.is_empty());
    });
}

const LONG: Duration = Duration::from_secs(20);

/// A platform that accepts each device and then closes its own half, and tells of each.
fn platform() -> (SocketAddr, Receiver<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (tell, told) = channel();
    thread::spawn(move || {
        loop {
            let (mut stream, _) = listener.accept().unwrap();
            let _ = stream.read(&mut [0; 1024]);
            let _ = stream.write_all(&[0x20, 2, 0, 0]);
            let _ = stream.shutdown(Shutdown::Write);
            let _ = stream.read_to_end(&mut Vec::new());
            if tell.send(()).is_err() {
                return;
            }
        }
    });
    (address, told)
}

fn client(host: &str, port: u16, connect_timeout: Duration) -> Client {
    let identity = Identity::with_secret("pk", host, "secret").unwrap();
    let mut endpoint = Endpoint::host(host, port).unwrap();
    endpoint.set_dangerous_plaintext();
    endpoint.set_connect_timeout(connect_timeout).unwrap();
    let mut config = Config::new(&identity, &endpoint).unwrap();
    config.use_private_profile();
    let moment = Duration::from_millis(10);
    config.set_reconnect(moment, moment).unwrap();
    Client::new(&config).unwrap()
}

/// As with a backend that is dead behind its balancer, or a path that swallows large packets.
#[test]
#[cfg(target_os = "linux")] // Others have no second loopback address.
fn an_address_that_is_silent_behind_tcp_does_not_hide_the_next_for_ever() {
    let (good, told) = platform();
    let silent = TcpListener::bind(sibling(good)).unwrap();
    let addresses = [silent.local_addr().unwrap(), good];
    name("silent.test", Duration::ZERO, &addresses);
    let client = client("silent.test", good.port(), Duration::from_millis(500));
    client.start().unwrap();
    told.recv_timeout(LONG).unwrap();
    // Not because it was never tried.
    silent.accept().unwrap();
    client.destroy();
}

#[test]
#[cfg(target_os = "linux")] // Others have no second loopback address.
fn an_address_that_accepted_the_device_stays_the_first() {
    let (good, told) = platform();
    let other = TcpListener::bind(sibling(good)).unwrap();
    other.set_nonblocking(true).unwrap();
    name("stays.test", Duration::ZERO, &[good, sibling(good)]);
    let client = client("stays.test", good.port(), LONG);
    client.start().unwrap();
    for _ in 0..3 {
        told.recv_timeout(LONG).unwrap();
        let error = other.accept().unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
    }
    client.destroy();
}
