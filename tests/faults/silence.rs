//! A peer that says nothing: how soon that is found, and that nobody waits for it.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use aliot::{Client, Config, Endpoint, ErrorKind, EventKind, Identity, Qos, Stage};

use crate::support::broker::{Broker, Connection, publish};
use crate::support::device::{Device, private};
use crate::support::{PATIENCE, eventually};

const CONNECT: Duration = Duration::from_millis(500);
const PING: Duration = Duration::from_millis(300);
const ACK: Duration = Duration::from_secs(1);
/// Three quarters of the shortest keep-alive.
const PING_AFTER: Duration = Duration::from_millis(750);

/// A listener whose queue is full, so that the system answers no further SYN.
pub(crate) struct BlackHole {
    pub(crate) address: SocketAddr,
    _full: (TcpListener, Vec<TcpStream>),
}

impl BlackHole {
    pub(crate) fn open() -> Self {
        let socket =
            socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
        let any: SocketAddr = "127.0.0.1:0".parse().unwrap();
        socket.bind(&any.into()).unwrap();
        socket.listen(0).unwrap();
        let listener = TcpListener::from(socket);
        let address = listener.local_addr().unwrap();
        let mut queued = Vec::new();
        while let Ok(stream) = TcpStream::connect_timeout(&address, Duration::from_millis(100)) {
            queued.push(stream);
        }
        Self {
            address,
            _full: (listener, queued),
        }
    }
}

fn config(address: SocketAddr, tls: bool) -> Config {
    let identity = Identity::verbatim("silence", "user", "password").unwrap();
    let mut endpoint = Endpoint::host("127.0.0.1", address.port()).unwrap();
    if !tls {
        endpoint.set_dangerous_plaintext();
    }
    endpoint.set_connect_timeout(CONNECT).unwrap();
    let mut config = Config::new(&identity, &endpoint).unwrap();
    private(&mut config);
    config.set_keep_alive_s(1).unwrap();
    config.set_ping_timeout(PING).unwrap();
    config.set_ack_timeout(ACK).unwrap();
    // One attempt: what is measured is the first.
    config
        .set_reconnect(Duration::ZERO, Duration::ZERO)
        .unwrap();
    config
}

struct Row {
    phase: &'static str,
    promised: Duration,
    kind: ErrorKind,
    stage: Stage,
}

/// Measures from the moment the peer falls silent, which `begin` returns, to the event.
fn measure(
    row: &Row,
    event: EventKind,
    config: &Config,
    begin: impl FnOnce(&Device) -> (Instant, Option<Connection>),
) -> Duration {
    let device = Device::start(config);
    let (since, _connection) = begin(&device);
    let error = device.event(event, 1).error.unwrap();
    let took = since.elapsed();
    assert_eq!(
        (error.kind(), error.stage()),
        (row.kind, row.stage),
        "{}: {error}",
        row.phase
    );
    took
}

#[test]
fn silence_is_found_in_every_phase_within_its_deadline() {
    use EventKind::{ConnectFailed, Disconnected};
    let hole = BlackHole::open();
    let brokers: Vec<Broker> = (0..5).map(|_| Broker::listen()).collect();
    let row = |phase, promised, kind, stage| Row {
        phase,
        promised,
        kind,
        stage,
    };
    let timeout = ErrorKind::ConnectTimeout;
    let dead = ErrorKind::KeepAliveTimeout;
    let in_flight = (PING_AFTER + PING).min(ACK);
    let rows = [
        row("SYN", CONNECT, timeout, Stage::Tcp),
        row("TLS handshake", CONNECT, timeout, Stage::Tls),
        row("CONNACK", CONNECT, timeout, Stage::Mqtt),
        row("idle", PING_AFTER + PING, dead, Stage::Session),
        row(
            "middle of a packet",
            PING_AFTER + PING,
            dead,
            Stage::Session,
        ),
        row("QoS 1 in flight", in_flight, dead, Stage::Session),
    ];
    let mut took = vec![Duration::ZERO; rows.len()];
    std::thread::scope(|scope| {
        let [syn, tls, connack, idle, middle, flight] = &rows;
        let (brokers, hole) = (&brokers, &hole);
        let threads = [
            scope.spawn(move || {
                let config = config(hole.address, false);
                measure(syn, ConnectFailed, &config, |_| (Instant::now(), None))
            }),
            scope.spawn(move || {
                let config = config(brokers[0].address(), true);
                measure(tls, ConnectFailed, &config, |_| {
                    (Instant::now(), Some(brokers[0].accept_tcp()))
                })
            }),
            scope.spawn(move || {
                let config = config(brokers[1].address(), false);
                measure(connack, ConnectFailed, &config, |_| {
                    (Instant::now(), Some(brokers[1].accept_tcp()))
                })
            }),
            scope.spawn(move || {
                let config = config(brokers[2].address(), false);
                measure(idle, Disconnected, &config, |_| {
                    let connection = brokers[2].accept(false);
                    (Instant::now(), Some(connection))
                })
            }),
            scope.spawn(move || {
                let config = config(brokers[3].address(), false);
                measure(middle, Disconnected, &config, |_| {
                    let mut connection = brokers[3].accept(false);
                    let packet = publish("a", &[7; 300], 1, 1);
                    connection.send(&packet[..150]);
                    (Instant::now(), Some(connection))
                })
            }),
            scope.spawn(move || {
                let config = config(brokers[4].address(), false);
                measure(flight, Disconnected, &config, |device| {
                    let mut connection = brokers[4].accept(false);
                    device.publish("a", b"never acknowledged");
                    connection.expect_publish();
                    (Instant::now(), Some(connection))
                })
            }),
        ];
        for (took, thread) in took.iter_mut().zip(threads) {
            *took = thread.join().unwrap();
        }
    });
    eprintln!("measured: | silence | promised | found after |");
    for (row, took) in rows.iter().zip(&took) {
        let Row {
            phase, promised, ..
        } = row;
        eprintln!(
            "measured: | {phase} | {} ms | {} ms |",
            promised.as_millis(),
            took.as_millis()
        );
    }
    for (row, took) in rows.iter().zip(&took) {
        assert!(
            *took < row.promised + Duration::from_secs(10),
            "{}: {took:?}",
            row.phase
        );
        // Not too early either: the first moments may lie before the clock was read.
        assert!(
            *took + Duration::from_millis(200) > row.promised.min(ACK),
            "{}: {took:?}",
            row.phase
        );
    }
}

/// Destroys on another thread, so that a call that hangs is a failure and not a hang.
fn destroy(phase: &str, client: Client) {
    let (sender, receiver) = mpsc::channel();
    let thread = std::thread::spawn(move || {
        drop(client);
        let _ = sender.send(());
    });
    // Every deadline of these clients is a minute or more: returning at all is returning early.
    let returned = receiver.recv_timeout(PATIENCE);
    assert!(returned.is_ok(), "destroy hangs: {phase}");
    thread.join().unwrap();
}

#[test]
fn destroy_waits_for_nobody_in_any_phase() {
    let patient = |address: SocketAddr, tls: bool| {
        let mut endpoint = Endpoint::host("127.0.0.1", address.port()).unwrap();
        if !tls {
            endpoint.set_dangerous_plaintext();
        }
        let minute = Duration::from_secs(60);
        endpoint.set_connect_timeout(minute).unwrap();
        let identity = Identity::verbatim("silence", "user", "password").unwrap();
        let mut config = Config::new(&identity, &endpoint).unwrap();
        config.use_private_profile();
        config.set_reconnect(minute, minute).unwrap();
        config.set_ack_timeout(minute).unwrap();
        config
    };

    let hole = BlackHole::open();
    let Device { client, .. } = Device::start(&patient(hole.address, false));
    eventually("the SYN is out", || {
        client.state() == aliot::State::Connecting
    });
    destroy("SYN", client);

    let broker = Broker::listen();
    let Device { client, .. } = Device::start(&patient(broker.address(), true));
    let _handshake = broker.accept_tcp();
    destroy("TLS handshake", client);

    let Device { client, .. } = Device::start(&patient(broker.address(), false));
    let _connack = broker.accept_tcp();
    destroy("CONNACK", client);

    let device = Device::connect_with(&broker);
    destroy("just lost", device.client);

    let Device { client, .. } = Device::start(&patient(broker.address(), false));
    let _idle = broker.accept(false);
    client.wait_connected(PATIENCE).unwrap();
    destroy("idle", client);

    let device = Device::start(&patient(broker.address(), false));
    let mut flight = broker.accept(false);
    device.publish("a", b"never acknowledged");
    flight.expect_publish();
    destroy("in flight", device.client);

    // Here the goodbye takes its two seconds, which are not for the caller to wait. The best of
    // three, for the machine may be busy.
    let took = (0..3).map(|_| {
        let device = Device::start(&patient(broker.address(), false));
        let _blocked = broker.accept(false);
        device.client.wait_connected(PATIENCE).unwrap();
        crate::blocked::fill(&device.client);
        let since = Instant::now();
        destroy("writing is blocked", device.client);
        since.elapsed()
    });
    let took = took.min().unwrap();
    assert!(took < Duration::from_secs(1), "{took:?}");

    let device = Device::start(&patient(broker.address(), false));
    broker.accept(false).reset();
    device.event(EventKind::Disconnected, 1);
    destroy("between two attempts", device.client);

    let device = Device::start(&patient(broker.address(), false));
    let _stopping = broker.accept(false);
    device.client.wait_connected(PATIENCE).unwrap();
    device
        .client
        .publish("a", b"", Qos::AtLeastOnce, true)
        .unwrap();
    device.client.stop(Duration::from_secs(60)).unwrap();
    destroy("draining", device.client);
}
