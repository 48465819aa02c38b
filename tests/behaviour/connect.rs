//! Signing in, as the scripted broker sees it.

use std::time::{Duration, Instant};

use aliot::{Client, Config, Counter, Endpoint, ErrorKind, EventKind, Identity, Qos, Stage, State};

use crate::support::PATIENCE;
use crate::support::broker::{Broker, CONNECT, DISCONNECT};
use crate::support::device::{Device, config};

#[test]
fn connect_is_exactly_what_the_configuration_says() {
    let broker = Broker::listen();
    let address = broker.address();
    let identity = Identity::with_secret("pk", "device", "secret").unwrap();
    let mut endpoint = Endpoint::host(&address.ip().to_string(), address.port()).unwrap();
    endpoint.set_dangerous_plaintext();
    let mut config = Config::new(&identity, &endpoint).unwrap();
    config.set_client_id("12345").unwrap();
    config.set_timestamp(Some("789")).unwrap();
    config.set_sign_method(aliot::SignMethod::HmacSha1);
    config.set_kick_notice(false);
    config.set_keep_alive_s(60).unwrap();
    let device = Device::start(&config);
    let connect = broker.accept_tcp().expect(CONNECT);

    let mut expected = b"\x00\x04MQTT\x04\xC2\x00\x3C".to_vec();
    for field in [
        "12345|securemode=3,signmethod=hmacsha1,timestamp=789|",
        "device&pk",
        // The platform page's own example.
        "FAFD82A3D602B37FB0FA8B7892F24A477F851A14",
    ] {
        expected.extend_from_slice(&(field.len() as u16).to_be_bytes());
        expected.extend_from_slice(field.as_bytes());
    }
    assert_eq!(connect.first, 0x10);
    assert_eq!(connect.body, expected);
    drop(device);
}

#[test]
fn the_life_of_a_client_is_told_in_order() {
    let broker = Broker::listen();
    let device = Device::new(&config(broker.address()));
    assert_eq!(device.client.state(), State::Stopped);
    device.client.start().unwrap();
    let mut connection = broker.accept(false);
    device.client.wait_connected(PATIENCE).unwrap();
    assert_eq!(device.client.state(), State::Connected);
    device.client.stop(Duration::ZERO).unwrap();
    assert!(connection.expect(DISCONNECT).body.is_empty());
    assert_eq!(
        connection.next(),
        None,
        "nothing follows DISCONNECT but the end"
    );
    device.client.wait_stopped(PATIENCE).unwrap();
    device.event(EventKind::Stopped, 1);
    let kinds: Vec<EventKind> = device
        .said()
        .iter()
        .filter_map(|said| match said {
            crate::support::device::Said::Event(event) => Some(event.kind),
            _ => None,
        })
        .collect();
    let expected = [
        EventKind::Connecting,
        EventKind::Connected,
        EventKind::Disconnected,
        EventKind::Stopped,
    ];
    assert_eq!(kinds, expected);
}

#[test]
fn a_stopped_client_starts_again() {
    let broker = Broker::listen();
    let device = Device::connect_with(&broker);
    device.client.stop(Duration::ZERO).unwrap();
    device.client.wait_stopped(PATIENCE).unwrap();
    device.client.start().unwrap();
    let _second = broker.accept(false);
    device.client.wait_connected(PATIENCE).unwrap();
}

#[test]
fn starting_twice_is_refused() {
    let broker = Broker::listen();
    let device = Device::start(&config(broker.address()));
    let error = device.client.start().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidState);
    assert!(error.to_string().contains("started already"), "{error}");
}

#[test]
fn each_refusal_of_the_platform_has_its_own_error() {
    let cases = [
        (1, ErrorKind::UnsupportedProtocol, "protocol version"),
        (2, ErrorKind::BadClientId, "client id rejected"),
        (3, ErrorKind::ServerUnavailable, "keep-alive below 30"),
        (4, ErrorKind::BadCredentials, "signature"),
        (5, ErrorKind::NotAuthorized, "not authorised"),
        (6, ErrorKind::Protocol, "return code 6"),
        (255, ErrorKind::Protocol, "return code 255"),
    ];
    for (code, kind, hint) in cases {
        let broker = Broker::listen();
        let device = Device::start(&config(broker.address()));
        let mut connection = broker.accept_tcp();
        connection.expect(CONNECT);
        connection.send(&[0x20, 2, 0, code]);
        connection.expect_end();
        let event = device.event(EventKind::ConnectFailed, 1);
        let error = event.error.unwrap();
        assert_eq!(error.kind(), kind, "code {code}");
        assert!(event.text.contains(hint), "code {code}: {}", event.text);
        assert!(
            event.retry_in.is_some(),
            "code {code}: the client never stops by itself"
        );
    }
}

#[test]
fn refused_credentials_wait_the_longest_delay() {
    let broker = Broker::listen();
    let mut config = config(broker.address());
    let hour = Duration::from_secs(3600);
    config
        .set_reconnect(Duration::from_millis(5), hour)
        .unwrap();
    let device = Device::start(&config);
    let mut connection = broker.accept_tcp();
    connection.expect(CONNECT);
    connection.send(&[0x20, 2, 0, 4]);
    let event = device.event(EventKind::ConnectFailed, 1);
    assert!((hour * 3 / 4..=hour).contains(&event.retry_in.unwrap()));
    assert_eq!(device.client.state(), State::Waiting);
    // The application knows better.
    device.client.retry_now().unwrap();
    broker.accept(false);
}

#[test]
fn a_refused_tcp_connection_names_stage_address_and_system_error() {
    let address = Broker::listen().address();
    let device = Device::start(&config(address));
    let error = device.event(EventKind::ConnectFailed, 1).error.unwrap();
    assert_eq!(
        (error.kind(), error.stage()),
        (ErrorKind::Network, Stage::Tcp)
    );
    assert!(error.to_string().contains(&address.to_string()), "{error}");
    assert_eq!(error.os_error(), Some(libc::ECONNREFUSED));
}

#[test]
fn a_silent_peer_fails_the_attempt_at_its_deadline_and_names_the_stage() {
    let broker = Broker::listen();
    let address = broker.address();
    let identity = Identity::verbatim("device", "user", "password").unwrap();
    let mut endpoint = Endpoint::host("127.0.0.1", address.port()).unwrap();
    endpoint.set_dangerous_plaintext();
    endpoint
        .set_connect_timeout(Duration::from_millis(200))
        .unwrap();
    let config = Config::new(&identity, &endpoint).unwrap();
    let device = Device::start(&config);
    let _silent = broker.accept_tcp();
    let error = device.event(EventKind::ConnectFailed, 1).error.unwrap();
    assert_eq!(
        (error.kind(), error.stage()),
        (ErrorKind::ConnectTimeout, Stage::Mqtt)
    );
    assert!(error.to_string().contains("200 ms"), "{error}");
}

#[test]
fn destroying_while_a_peer_is_silent_returns_at_once_and_cancels() {
    let broker = Broker::listen();
    let device = Device::start(&config(broker.address()));
    let _silent = broker.accept_tcp();
    let token = device.publish("a", b"never sent");
    device.client.destroy();
    let error = device.completion(token).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Cancelled);
}

#[test]
fn a_ca_that_cannot_be_used_refuses_the_client_and_sends_nothing() {
    let broker = Broker::listen();
    let identity = Identity::verbatim("device", "user", "password").unwrap();
    let mut endpoint = Endpoint::host("127.0.0.1", broker.address().port()).unwrap();
    let error = endpoint.set_ca_pem(b"not a certificate").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TlsConfig);
    // The caller ignored the code: nothing may go out, least of all in plain text.
    let refused = Config::new(&identity, &endpoint).and_then(|config| Client::new(&config));
    assert_eq!(
        refused.err().map(|error| error.kind()),
        Some(ErrorKind::TlsConfig)
    );
    assert!(!broker.is_called_within(Duration::from_millis(50)));
}

#[test]
fn waiting_for_a_stopped_client_says_so() {
    let broker = Broker::listen();
    let device = Device::new(&config(broker.address()));
    let error = device.client.wait_connected(PATIENCE).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidState);
    device.publish("a", b"queued");
    let error = device
        .client
        .wait_flushed(Duration::from_millis(20))
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout);
}

#[test]
fn waiting_for_a_client_that_stopped_by_itself_says_why_it_did() {
    let broker = Broker::listen();
    let mut config = config(broker.address());
    config
        .set_reconnect(Duration::ZERO, Duration::ZERO)
        .unwrap();
    drop(broker);
    let device = Device::start(&config);
    device.client.wait_stopped(PATIENCE).unwrap();
    let error = device.client.wait_connected(PATIENCE).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidState);
    assert!(error.to_string().contains("Connection refused"), "{error}");
}

#[test]
fn blocking_inside_a_callback_is_refused() {
    let broker = Broker::listen();
    let device = std::sync::Arc::new(Device::start(&config(broker.address())));
    let (sender, receiver) = std::sync::mpsc::channel();
    let inner = std::sync::Arc::downgrade(&device);
    device
        .client
        .subscribe("a", Qos::AtMostOnce, || {
            Box::new(move |_| {
                let Some(device) = inner.upgrade() else {
                    return;
                };
                let outcome = device.client.wait_flushed(PATIENCE);
                let _ = sender.send(outcome.map_err(|error| error.kind()));
            })
        })
        .unwrap();
    let mut connection = broker.accept(false);
    connection.send(&crate::support::broker::publish("a", b"x", 0, 0));
    let outcome = receiver.recv_timeout(PATIENCE).unwrap();
    assert_eq!(outcome, Err(ErrorKind::WouldDeadlock));
}

#[test]
fn a_name_that_cannot_be_looked_up_is_told_retried_and_costs_no_connect() {
    let identity = Identity::verbatim("nameless", "user", "password").unwrap();
    let mut endpoint = Endpoint::host("no-such-host.invalid", 1883).unwrap();
    endpoint.set_dangerous_plaintext();
    // The platform's profile: five connects a minute, which a failed lookup is not.
    let config = Config::new(&identity, &endpoint).unwrap();
    let device = Device::start(&config);
    for n in 1..=7 {
        let event = device.event(EventKind::ConnectFailed, n);
        let error = event.error.unwrap();
        assert_eq!(
            (error.kind(), error.stage()),
            (ErrorKind::Dns, Stage::Resolve),
            "{error}"
        );
        assert!(
            error.to_string().contains("no-such-host.invalid"),
            "{error}"
        );
        device.client.retry_now().unwrap();
    }
}

/// The system takes a small message at once, whether anybody reads it or not.
#[test]
fn a_peer_that_answers_no_ping_is_given_up_although_messages_leave() {
    let broker = Broker::listen();
    let mut config = config(broker.address());
    config.set_keep_alive_s(1).unwrap();
    config.set_ping_timeout(Duration::from_secs(1)).unwrap();
    let device = Device::start(&config);
    let mut connection = broker.accept(false);
    let reader = std::thread::spawn(move || while connection.next().is_some() {});
    let begun = Instant::now();
    while device.client.counter(Counter::LostToSilence) == 0 {
        assert!(begun.elapsed() < PATIENCE, "still taken for alive");
        let _ = device
            .client
            .publish("a", b"x", Qos::AtMostOnce, false)
            .unwrap();
        std::thread::sleep(Duration::from_millis(50)); // the pace of the messages
    }
    device.event(EventKind::Disconnected, 1);
    drop(device);
    reader.join().unwrap();
}
