//! Taking over, cutting, silence, TLS and its faulty certificates.

use std::time::Duration;

use aliot_sim::{Certificate, Error, Options, TlsVersions, Transport};

use crate::device::{
    Device, Ending, PATIENCE, SECRET, signed, signed_as, sim, sim_with, trusting, wait_for_line,
};

fn over_tls(sim: &aliot_sim::Sim, params: &str) -> Device {
    let mut device = Device::open_tls(sim).unwrap();
    let params = format!("securemode=2,signmethod=hmacsha256{params}");
    device.send(&signed_as("dn", SECRET, &params).bytes());
    assert_eq!(device.conn_ack(), (false, 0));
    device
}

#[test]
fn the_newer_connection_wins_and_the_older_is_told_if_it_asked() {
    let sim = sim();
    for ext in ["2", "3"] {
        let mut older = over_tls(&sim, &format!(",ext={ext}"));
        let mut newer = over_tls(&sim, "");
        let notice = older.message();
        assert_eq!((notice.topic.as_str(), notice.qos), ("/ext/notify", 0));
        let expected = br#"{"title":"kick","content":"Kicked by the same device"}"#;
        assert_eq!(notice.payload, expected);
        assert_eq!(older.ending(), Ending::Orderly);
        newer.ping();
        assert_eq!(sim.connections().len(), 1);
    }
    wait_for_line(
        &sim,
        &["kicked pk/dn: another connection of the same device"],
    );
}

#[test]
fn an_older_connection_that_did_not_ask_is_closed_without_a_notice() {
    let sim = sim();
    for params in ["", ",ext=1", ",ext=x"] {
        let mut older = Device::connected(&sim, &signed(params));
        let mut newer = Device::connected(&sim, &signed(params));
        assert_eq!(older.ending(), Ending::Orderly);
        newer.ping();
    }
}

#[test]
fn connections_are_kicked_cut_and_reset_on_request() {
    let sim = sim();
    let mut device = over_tls(&sim, ",ext=2");
    sim.kick("pk", "dn").unwrap();
    assert_eq!(device.message().topic, "/ext/notify");
    assert_eq!(device.ending(), Ending::Orderly);
    assert!(matches!(sim.kick("pk", "dn"), Err(Error::NotConnected(_))));

    let mut device = over_tls(&sim, "");
    assert_eq!(sim.connections()[0].transport, Transport::Tls);
    sim.cut("pk", "dn").unwrap();
    assert_eq!(device.ending(), Ending::Truncated);

    let mut device = over_tls(&sim, "");
    sim.reset("pk", "dn").unwrap();
    assert_eq!(device.ending(), Ending::Reset);
    sim.wait_for(|view| view.connections().is_empty(), PATIENCE)
        .unwrap();
    assert!(matches!(sim.cut("pk", "dn"), Err(Error::NotConnected(_))));
}

#[test]
fn a_silent_device_is_closed_at_the_check_after_one_and_a_half_intervals() {
    let scaled = Options {
        time_scale: 0.01,
        ..Options::default()
    };
    let sim = sim_with(scaled);
    let mut connect = signed("");
    connect.keep_alive = 100;
    let mut device = Device::connected(&sim, &connect);
    let start = std::time::Instant::now();
    assert_eq!(device.ending(), Ending::Orderly);
    // 1.5 times 100 s, a hundred times faster.
    assert!(
        start.elapsed() >= Duration::from_millis(1400),
        "{:?}",
        start.elapsed()
    );
    wait_for_line(&sim, &["disconnected pk/dn: keep-alive timeout"]);
}

#[test]
fn a_held_simulator_reads_nothing_and_counts_no_silence() {
    let sim = sim_with(Options {
        time_scale: 0.001,
        check_interval: Duration::from_secs(1),
        ..Options::default()
    });
    let mut connect = signed("");
    connect.keep_alive = 1200;
    let mut device = Device::connected(&sim, &connect);
    sim.hold(true);
    device.publish("/pk/dn/user/update", b"x", Some(1));
    let held = sim.wait_for(
        |view| view.received().len() > 0,
        Duration::from_millis(2500),
    );
    assert!(matches!(held, Err(Error::Timeout)));
    assert!(sim.view(|view| view.is_connected("pk", "dn")));
    sim.hold(false);
    assert_eq!(device.pub_ack(), 1);
}

#[test]
fn a_client_that_says_nothing_is_closed() {
    let sim = sim_with(Options {
        connect_timeout: Duration::from_millis(200),
        ..Options::default()
    });
    let mut device = Device::open_tcp(&sim);
    assert_eq!(device.ending(), Ending::Orderly);
    wait_for_line(&sim, &["closed the connection from", "no CONNECT in time"]);
}

#[test]
fn faulty_certificates_are_refused_by_a_client_that_verifies() {
    for (certificate, reason) in [
        (Certificate::Expired, "Expired"),
        (Certificate::NotYetValid, "NotValidYet"),
        (Certificate::WrongName, "NotValidForName"),
    ] {
        let sim = sim_with(Options {
            certificate,
            ..Options::default()
        });
        let error = Device::open_tls(&sim).err().unwrap();
        assert!(format!("{error:?}").contains(reason), "{error:?}");
        wait_for_line(&sim, &["TLS handshake with", "failed"]);
    }
}

#[test]
fn further_names_are_in_the_certificate() {
    let name = "*.iot-as-mqtt.cn-shanghai.aliyuncs.com";
    let sim = sim_with(Options {
        names: vec![name.into()],
        ..Options::default()
    });
    let name = "a1B2.iot-as-mqtt.cn-shanghai.aliyuncs.com"
        .try_into()
        .unwrap();
    let mut client = rustls::ClientConnection::new(trusting(&sim), name).unwrap();
    let mut socket = std::net::TcpStream::connect(sim.tls_addr().unwrap()).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    while client.is_handshaking() {
        client.complete_io(&mut socket).unwrap();
    }
}

#[test]
fn a_single_tls_version_can_be_chosen() {
    for (tls_versions, expected) in [
        (TlsVersions::Only12, rustls::ProtocolVersion::TLSv1_2),
        (TlsVersions::Only13, rustls::ProtocolVersion::TLSv1_3),
        (TlsVersions::Both, rustls::ProtocolVersion::TLSv1_3),
    ] {
        let sim = sim_with(Options {
            tls_versions,
            ..Options::default()
        });
        let name = "localhost".try_into().unwrap();
        let mut client = rustls::ClientConnection::new(trusting(&sim), name).unwrap();
        let mut socket = std::net::TcpStream::connect(sim.tls_addr().unwrap()).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        while client.is_handshaking() {
            client.complete_io(&mut socket).unwrap();
        }
        assert_eq!(client.protocol_version(), Some(expected));
    }
}

#[test]
fn bad_options_are_refused_at_the_start() {
    let sim = sim();
    let taken = Options {
        tcp: sim.tcp_addr(),
        ..Options::default()
    };
    assert!(matches!(
        aliot_sim::Sim::start(taken),
        Err(Error::Listen(..))
    ));
    for options in [
        Options {
            control: Some(([0, 0, 0, 0], 0).into()),
            ..Options::default()
        },
        Options {
            connect_timeout: Duration::MAX,
            ..Options::default()
        },
        Options {
            time_scale: f64::NAN,
            ..Options::default()
        },
        Options {
            tls: None,
            tcp: None,
            ..Options::default()
        },
    ] {
        assert!(matches!(
            aliot_sim::Sim::start(options),
            Err(Error::InvalidArgument(_))
        ));
    }
}

#[test]
fn clients_that_say_nothing_or_half_of_it_hold_up_nobody() {
    use std::io::Write;
    let sim = sim_with(Options {
        http: Some(([127, 0, 0, 1], 0).into()),
        https: Some(([127, 0, 0, 1], 0).into()),
        control: Some(([127, 0, 0, 1], 0).into()),
        ..Options::default()
    });
    let whole = signed("").bytes();
    let mut silent = Vec::new();
    for (address, half) in [
        (sim.tcp_addr(), &whole[..whole.len() / 2]),
        (sim.tcp_addr(), b""),
        (sim.tls_addr(), b""),
        // The beginning of a TLS record that announces more than comes.
        (sim.tls_addr(), b"\x16\x03\x01\x02\x00\x01"),
        (
            sim.http_addr(),
            b"POST /api/v1/products HTTP/1.1\r\nHost: localhost\r\nContent-Le",
        ),
        (sim.https_addr(), b""),
        (sim.control_addr(), b"publish pk dn"),
    ] {
        for _ in 0..20 {
            let mut stream = std::net::TcpStream::connect(address.unwrap()).unwrap();
            stream.write_all(half).unwrap();
            silent.push(stream);
        }
    }
    for _ in 0..10 {
        over_tls(&sim, "").ping();
        Device::connected(&sim, &signed("")).ping();
        crate::http::ask(&sim, "GET", "devices", "");
    }
    drop(silent);
}

#[test]
fn a_dropped_simulator_closes_its_connections_and_frees_its_ports() {
    let sim = sim();
    let address = sim.tls_addr().unwrap();
    let mut device = over_tls(&sim, "");
    drop(sim);
    assert!(matches!(
        device.ending(),
        Ending::Truncated | Ending::Orderly | Ending::Reset
    ));
    assert!(std::net::TcpStream::connect(address).is_err());
    sim_with(Options {
        tls: Some(address),
        ..Options::default()
    });
}
