//! Sections 3.1 and 3.2: CONNECT and CONNACK.

use aliot::{Config, Endpoint, ErrorKind, EventKind, Identity, Qos};

use crate::support::PATIENCE;
use crate::support::broker::{Broker, CONNECT, PINGREQ, PUBLISH, Packet, SUBSCRIBE, publish};
use crate::support::device::{Device, config, private};
use crate::{connected, connected_with_session, is_silent, refused};

/// A CONNECT, taken apart by hand.
struct Connect {
    protocol: [u8; 7],
    flags: u8,
    fields: Vec<Vec<u8>>,
}

impl Connect {
    fn parse(packet: &Packet) -> Self {
        assert_eq!(packet.first, 0x10);
        let (head, mut rest) = packet.body.split_at(10);
        let mut fields = Vec::new();
        while !rest.is_empty() {
            let len = usize::from(u16::from_be_bytes([rest[0], rest[1]]));
            fields.push(rest[2..2 + len].to_vec());
            rest = &rest[2 + len..];
        }
        Self {
            protocol: head[..7].try_into().unwrap(),
            flags: head[7],
            fields,
        }
    }
}

fn config_of(identity: &Identity, broker: &Broker) -> Config {
    let mut endpoint = Endpoint::host("127.0.0.1", broker.address().port()).unwrap();
    endpoint.set_dangerous_plaintext();
    let mut config = Config::new(identity, &endpoint).unwrap();
    private(&mut config);
    config
}

/// The CONNECT of a device with these verbatim fields.
fn connect_of(username: &str, password: &str, clean: bool) -> Connect {
    let broker = Broker::listen();
    let identity = Identity::verbatim("id", username, password).unwrap();
    let mut config = config_of(&identity, &broker);
    config.set_clean_session(clean);
    let _device = Device::start(&config);
    Connect::parse(&broker.accept_tcp().expect(CONNECT))
}

/// Every way to sign in, with and without a kept session.
fn every_connect() -> Vec<Connect> {
    let mut connects = Vec::new();
    for clean in [true, false] {
        for (username, password) in [("", ""), ("user", ""), ("user", "password")] {
            connects.push(connect_of(username, password, clean));
        }
        for identity in [
            Identity::with_secret("pk", "device", "secret").unwrap(),
            Identity::with_token("pk", "device", "cid", "token").unwrap(),
        ] {
            let broker = Broker::listen();
            let mut config = config_of(&identity, &broker);
            config.set_clean_session(clean);
            let _device = Device::start(&config);
            connects.push(Connect::parse(&broker.accept_tcp().expect(CONNECT)));
        }
    }
    connects
}

#[test]
fn mqtt_3_1_0_1_connect_is_the_first_packet_even_when_messages_wait() {
    let broker = Broker::listen();
    let device = Device::new(&config(broker.address()));
    device.publish("a", b"waits");
    device.subscribe("a", Qos::AtMostOnce);
    device.client.start().unwrap();
    let mut connection = broker.accept_tcp();
    connection.expect(CONNECT);
    assert!(is_silent(&mut connection), "nothing follows before CONNACK");
}

#[test]
fn mqtt_3_1_0_2_there_is_one_connect_on_each_connection() {
    let (broker, device, mut connection) = connected();
    device.client.start().unwrap_err();
    device.client.retry_now().unwrap();
    connection.expect(PINGREQ);
    device.publish("a", b"x");
    connection.expect(PUBLISH);
    connection.hang_up();
    // `accept` reads the one CONNECT of the next connection.
    let mut connection = broker.accept(false);
    assert_eq!(connection.expect(PUBLISH).publish().payload, b"x");
    drop(device);
    while let Some(packet) = connection.next() {
        assert_ne!(packet.kind(), CONNECT, "a second CONNECT");
    }
}

/// The server may refuse another name, and must refuse another level.
#[test]
fn mqtt_3_1_2_1_and_2_every_connect_names_the_protocol_mqtt_and_its_level_four() {
    for connect in every_connect() {
        assert_eq!(connect.protocol, *b"\x00\x04MQTT\x04");
    }
}

#[test]
fn mqtt_3_1_2_3_the_reserved_flag_is_zero() {
    for connect in every_connect() {
        assert_eq!(connect.flags & 0b0000_0001, 0);
    }
}

#[test]
fn mqtt_3_1_2_4_a_kept_session_goes_on_where_it_was() {
    let (broker, device, mut connection) = connected_with_session();
    let token = device.subscribe("a", Qos::AtMostOnce);
    let id = connection.expect(SUBSCRIBE).id();
    connection.suback(id, &[0]);
    device.completion(token).unwrap();
    device.publish("up", b"unacknowledged");
    let sent = connection.expect_publish();
    connection.hang_up();
    let mut connection = broker.accept_tcp();
    let connect = Connect::parse(&connection.expect(CONNECT));
    assert_eq!(connect.flags & 0b10, 0, "clean session is 0");
    connection.send(&[0x20, 2, 1, 0]);
    // No SUBSCRIBE comes before it, and its id is the one it had.
    let again = connection.expect_publish();
    assert_eq!((again.id, again.payload), (sent.id, sent.payload));
    connection.send(&publish("a", b"down", 0, 0));
    assert_eq!(device.messages(1)[0].0, "a", "the route is still there");
}

#[test]
fn mqtt_3_1_2_6_a_clean_session_starts_anew_and_what_was_accepted_is_new_in_it() {
    let (broker, device, mut connection) = connected();
    let token = device.subscribe("a", Qos::AtMostOnce);
    let id = connection.expect(SUBSCRIBE).id();
    connection.suback(id, &[0]);
    device.completion(token).unwrap();
    device.publish("up", b"unacknowledged");
    connection.expect_publish();
    connection.hang_up();
    let mut connection = broker.accept_tcp();
    let connect = Connect::parse(&connection.expect(CONNECT));
    assert_eq!(connect.flags & 0b10, 0b10, "clean session is 1");
    connection.send(&[0x20, 2, 0, 0]);
    assert_eq!(
        connection.expect(SUBSCRIBE).filters(),
        [("a".to_owned(), 0)]
    );
    let again = connection.expect_publish();
    assert!(!again.duplicate, "this session has not seen it");
    assert_eq!(again.payload, b"unacknowledged");
}

#[test]
fn mqtt_3_1_2_11_without_a_will_there_are_neither_its_flags_nor_its_fields() {
    for connect in every_connect() {
        assert_eq!(connect.flags & 0b0011_1100, 0);
        let login = connect.flags >> 6;
        let fields = 1 + login.count_ones() as usize;
        assert_eq!(
            connect.fields.len(),
            fields,
            "client id, user name, password"
        );
    }
}

#[test]
fn mqtt_3_1_2_13_without_a_will_its_qos_is_zero() {
    for connect in every_connect() {
        assert_eq!(connect.flags & 0b0001_1000, 0);
    }
}

#[test]
fn mqtt_3_1_2_15_without_a_will_its_retain_flag_is_zero() {
    for connect in every_connect() {
        assert_eq!(connect.flags & 0b0010_0000, 0);
    }
}

#[test]
fn mqtt_3_1_2_18_without_its_flag_there_is_no_user_name() {
    let connect = connect_of("", "", true);
    assert_eq!(connect.flags & 0x80, 0);
    assert_eq!(connect.fields, [b"id".to_vec()]);
}

#[test]
fn mqtt_3_1_2_19_with_its_flag_there_is_a_user_name() {
    let connect = connect_of("user", "", true);
    assert_eq!(connect.flags & 0x80, 0x80);
    assert_eq!(connect.fields, [b"id".to_vec(), b"user".to_vec()]);
}

#[test]
fn mqtt_3_1_2_20_without_its_flag_there_is_no_password() {
    let connect = connect_of("user", "", true);
    assert_eq!(connect.flags & 0x40, 0);
    assert_eq!(connect.fields.len(), 2);
}

#[test]
fn mqtt_3_1_2_21_with_its_flag_there_is_a_password() {
    let connect = connect_of("user", "pass word", true);
    assert_eq!(connect.flags & 0x40, 0x40);
    assert_eq!(connect.fields[2], b"pass word");
}

#[test]
fn mqtt_3_1_2_22_there_is_no_password_without_a_user_name() {
    refused(Identity::verbatim("id", "", "password"), "username");
    for connect in every_connect() {
        let (user, password) = (connect.flags & 0x80 != 0, connect.flags & 0x40 != 0);
        assert!(user || !password);
    }
}

#[test]
fn mqtt_3_1_3_1_the_fields_come_in_the_order_client_id_user_name_password() {
    let connect = connect_of("user", "password", true);
    let expected = [b"id".to_vec(), b"user".to_vec(), b"password".to_vec()];
    assert_eq!(connect.fields, expected);
}

#[test]
fn mqtt_3_1_3_3_the_client_id_is_the_first_field_of_every_connect() {
    for connect in every_connect() {
        assert!(!connect.fields[0].is_empty());
    }
    let broker = Broker::listen();
    let identity = Identity::with_secret("pk", "device", "secret").unwrap();
    let _device = Device::start(&config_of(&identity, &broker));
    let connect = Connect::parse(&broker.accept_tcp().expect(CONNECT));
    assert!(connect.fields[0].starts_with(b"pk.device|"));
}

#[test]
fn mqtt_3_1_3_4_the_client_id_is_utf_8() {
    let broker = Broker::listen();
    let identity = Identity::verbatim("é中😀", "user", "password").unwrap();
    let _device = Device::start(&config_of(&identity, &broker));
    let connect = Connect::parse(&broker.accept_tcp().expect(CONNECT));
    assert_eq!(connect.fields[0], "é中😀".as_bytes());
    refused(Identity::verbatim("a\0b", "user", "password"), "client_id");
}

/// Two devices at one broker: what each still owes comes back under its own client id.
#[test]
fn mqtt_3_1_3_2_each_client_id_has_a_session_of_its_own() {
    let broker = Broker::listen();
    let names = ["one", "two"];
    let devices = names.map(|name| {
        let identity = Identity::verbatim(name, "user", "password").unwrap();
        let mut config = config_of(&identity, &broker);
        config.set_clean_session(false);
        let device = Device::start(&config);
        let mut connection = broker.accept(false);
        let tokens = [
            device.subscribe(name, Qos::AtLeastOnce),
            device.publish(name, name.as_bytes()),
        ];
        let id = connection.expect(SUBSCRIBE).id();
        connection.suback(id, &[1]);
        connection.expect(PUBLISH);
        (device, connection, tokens)
    });
    let devices = devices.map(|(device, connection, tokens)| {
        connection.hang_up();
        (device, tokens)
    });
    for _ in names {
        let mut connection = broker.accept_tcp();
        let connect = Connect::parse(&connection.expect(CONNECT));
        let name = String::from_utf8(connect.fields[0].clone()).unwrap();
        let n = names.iter().position(|known| *known == name).unwrap();
        connection.send(&[0x20, 2, 1, 0]);
        let again = connection.expect_publish();
        assert_eq!((&again.topic, &again.payload[..]), (&name, name.as_bytes()));
        connection.puback(again.id);
        connection.send(&publish(&name, b"down", 0, 0));
        let (device, tokens) = &devices[n];
        assert_eq!(device.messages(1)[0].0, name, "the route of this device");
        for token in tokens {
            device.completion(*token).unwrap();
        }
    }
}

#[test]
fn mqtt_3_1_3_7_an_empty_client_id_is_refused_so_none_needs_a_clean_session() {
    refused(Identity::verbatim("", "user", "password"), "client_id");
    refused(
        Identity::with_token("pk", "device", "", "token"),
        "client_id",
    );
    let broker = Broker::listen();
    let identity = Identity::with_secret("pk", "device", "secret").unwrap();
    refused(config_of(&identity, &broker).set_client_id(""), "client_id");
}

#[test]
fn mqtt_3_1_3_11_the_user_name_is_utf_8() {
    let connect = connect_of("ü中😀", "password", true);
    assert_eq!(connect.fields[1], "ü中😀".as_bytes());
    refused(Identity::verbatim("id", "a\0b", "password"), "username");
}

#[test]
fn mqtt_3_2_0_1_a_first_packet_that_is_no_connack_fails_the_attempt() {
    for bytes in [&[0xD0, 0][..], &[0x40, 2, 0, 1], &publish("a", b"x", 0, 0)] {
        let broker = Broker::listen();
        let device = Device::start(&config(broker.address()));
        let mut connection = broker.accept_tcp();
        connection.expect(CONNECT);
        connection.send(bytes);
        connection.expect_end();
        let event = device.event(EventKind::ConnectFailed, 1);
        assert_eq!(event.error.unwrap().kind(), ErrorKind::Protocol);
        assert!(event.text.contains("not a CONNACK"), "{}", event.text);
    }
}

#[test]
fn mqtt_3_2_2_1_a_session_on_a_clean_start_is_a_breach() {
    let broker = Broker::listen();
    let device = Device::start(&config(broker.address()));
    let mut connection = broker.accept(true);
    connection.expect_end();
    let event = device.event(EventKind::ConnectFailed, 1);
    assert_eq!(event.error.unwrap().kind(), ErrorKind::Protocol);
    assert!(event.text.contains("none was asked for"), "{}", event.text);
}

#[test]
fn mqtt_3_2_2_2_a_session_that_the_platform_kept_is_resumed_and_told() {
    let (broker, device, mut connection) = connected_with_session();
    device.publish("a", b"x");
    let sent = connection.expect_publish();
    connection.hang_up();
    let mut connection = broker.accept(true);
    assert!(device.event(EventKind::Connected, 2).session_present);
    let again = connection.expect_publish();
    assert_eq!((again.id, again.duplicate), (sent.id, true));
}

#[test]
fn mqtt_3_2_2_3_a_session_that_the_platform_has_not_is_started_anew_and_told() {
    let (broker, device, mut connection) = connected_with_session();
    device.publish("a", b"x");
    connection.expect_publish();
    connection.hang_up();
    let mut connection = broker.accept(false);
    assert!(!device.event(EventKind::Connected, 2).session_present);
    assert!(!connection.expect_publish().duplicate);
}

#[test]
fn mqtt_3_2_2_4_a_refusal_is_a_refusal_whatever_its_session_flag_says() {
    let broker = Broker::listen();
    let mut config = config(broker.address());
    config.set_clean_session(false);
    let device = Device::start(&config);
    let mut connection = broker.accept_tcp();
    connection.expect(CONNECT);
    connection.send(&[0x20, 2, 1, 5]);
    connection.expect_end();
    let event = device.event(EventKind::ConnectFailed, 1);
    assert_eq!(event.error.unwrap().kind(), ErrorKind::NotAuthorized);
    assert!(!event.session_present);
}

#[test]
fn mqtt_3_2_2_5_each_return_code_is_an_error_of_its_own_and_ends_the_connection() {
    let mut kinds = Vec::new();
    for code in (1..=8).chain([0x7F, 0x80, 0xFF]) {
        let broker = Broker::listen();
        let device = Device::start(&config(broker.address()));
        let mut connection = broker.accept_tcp();
        connection.expect(CONNECT);
        connection.send(&[0x20, 2, 0, code]);
        connection.expect_end();
        let event = device.event(EventKind::ConnectFailed, 1);
        let kind = event.error.unwrap().kind();
        if code <= 5 {
            assert!(!kinds.contains(&kind), "code {code}: {kind:?} again");
            assert_ne!(kind, ErrorKind::Protocol);
            kinds.push(kind);
        } else {
            assert_eq!(kind, ErrorKind::Protocol, "code {code}");
        }
    }
    assert_eq!(kinds.len(), 5);
}

#[test]
fn mqtt_3_2_2_6_a_close_without_connack_is_an_error_and_is_tried_again() {
    let broker = Broker::listen();
    let device = Device::start(&config(broker.address()));
    let mut connection = broker.accept_tcp();
    connection.expect(CONNECT);
    connection.hang_up();
    let event = device.event(EventKind::ConnectFailed, 1);
    assert_eq!(event.error.unwrap().kind(), ErrorKind::ClosedByPeer);
    assert!(event.retry_in.is_some());
    let _connection = broker.accept(false);
    device.client.wait_connected(PATIENCE).unwrap();
}
