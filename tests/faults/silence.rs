//! A peer that says nothing: how soon that is found, and that nobody waits for it.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use aliot::{Client, Config, Endpoint, ErrorKind, EventKind, Identity, Qos, Stage};

use crate::support::broker::{Broker, Connection, publish};
use crate::support::device::{Device, private};
use crate::support::{PATIENCE, eventually};

/// A twentieth of it is between the failure that knows its reason and the deadline that does not.
const CONNECT: Duration = Duration::from_secs(2);
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
    /// Of its sentence: the setting that ended it.
    words: &'static str,
}

/// Half of the least default, which no ignored setting can keep.
const FOUND: Duration = Duration::from_secs(5);

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
    assert!(
        error.to_string().contains(row.words),
        "{}: {error}",
        row.phase
    );
    took
}

#[test]
fn silence_is_found_in_every_phase_within_its_deadline() {
    let row = |phase, promised, kind, stage, words| Row {
        phase,
        promised,
        kind,
        stage,
        words,
    };
    let timeout = ErrorKind::ConnectTimeout;
    let dead = ErrorKind::KeepAliveTimeout;
    let (session, ping) = (Stage::Session, PING_AFTER + PING);
    let (whom, within) = ("did not answer", "no connection within 2000 ms");
    let (pong, owed) = ("no PINGRESP", "acknowledged in time");
    let rows = [
        row("SYN", CONNECT, timeout, Stage::Tcp, whom),
        row("TLS handshake", CONNECT, timeout, Stage::Tls, within),
        row("CONNACK", CONNECT, timeout, Stage::Mqtt, within),
        row("idle", ping, dead, session, pong),
        row("middle of a packet", ping, dead, session, pong),
        row("QoS 1 in flight", ACK, dead, session, owed),
    ];
    // The best of three rounds, for the machine may be busy.
    let mut best = silences(&rows);
    for _ in 0..2 {
        if best.iter().any(|took| *took >= FOUND) {
            let again = silences(&rows);
            best = best.into_iter().zip(again).map(|(a, b)| a.min(b)).collect();
        }
    }
    eprintln!("measured: | silence | promised | found after |");
    for (row, took) in rows.iter().zip(best) {
        let (phase, promised) = (row.phase, row.promised.as_millis());
        eprintln!(
            "measured: | {phase} | {promised} ms | {} ms |",
            took.as_millis()
        );
        assert!(took < FOUND, "{phase}: {took:?}");
        // Not too early either: the first moments may lie before the clock was read.
        assert!(
            took + Duration::from_millis(200) > row.promised.min(ACK),
            "{phase}: {took:?}"
        );
    }
}

/// How long each silence was, all of them at the same time.
fn silences(rows: &[Row; 6]) -> Vec<Duration> {
    use EventKind::{ConnectFailed, Disconnected};
    let hole = BlackHole::open();
    let brokers: Vec<Broker> = (0..5).map(|_| Broker::listen()).collect();
    std::thread::scope(|scope| {
        let [syn, tls, connack, idle, middle, flight] = rows;
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
                let mut config = config(brokers[4].address(), false);
                // No ping finds out before the acknowledgement is late.
                config.set_keep_alive_s(600).unwrap();
                measure(flight, Disconnected, &config, |device| {
                    let mut connection = brokers[4].accept(false);
                    device.publish("a", b"never acknowledged");
                    connection.expect_publish();
                    (Instant::now(), Some(connection))
                })
            }),
        ];
        threads.map(|thread| thread.join().unwrap()).to_vec()
    })
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
