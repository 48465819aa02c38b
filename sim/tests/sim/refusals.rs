//! Every way a CONNECT is refused, with its code and the line that says what to change.

use aliot_sim::registry::{DeviceToken, Identity, Verbatim};

use crate::device::{Connect, Device, Ending, SECRET, signed, signed_as, sim, wait_for_line};

/// What a CONNECT over TCP is answered, and the end of the connection if it is refused.
pub(crate) fn code(sim: &aliot_sim::Sim, connect: &Connect) -> u8 {
    let mut device = Device::open_tcp(sim);
    device.send(&connect.bytes());
    let (_, code) = device.conn_ack();
    if code != 0 {
        assert_eq!(device.ending(), Ending::Orderly);
    }
    code
}

/// A CONNECT that is right but for one change.
pub(crate) fn with(change: impl FnOnce(&mut Connect)) -> Connect {
    let mut connect = signed(",timestamp=789");
    change(&mut connect);
    connect
}

#[test]
fn every_mode_of_signing_is_let_in() {
    let sim = sim();
    for params in [
        "securemode=3",
        "securemode=3,signmethod=hmacmd5",
        "securemode=3,signmethod=hmacsha1,timestamp=1",
        "securemode=3,signmethod=hmacsha256,timestamp=2524608000000,_v=sdk-c-4.2.0,_ss=1,ext=3,",
        "securemode=3,signmethod=sha256,unknown=parameter",
    ] {
        let mut connect = signed_as("dn", SECRET, params);
        assert_eq!(code(&sim, &connect), 0, "{params} {:?}", sim.log_lines());
        connect.password = connect.password.to_lowercase();
        assert_eq!(code(&sim, &connect), 0, "{params} in lower case");
    }
    let mut tls = Device::open_tls(&sim).unwrap();
    tls.send(&signed_as("dn", SECRET, "securemode=2,signmethod=hmacsha256").bytes());
    assert_eq!(tls.conn_ack(), (false, 0));
}

#[test]
fn the_example_of_the_platform_page_is_let_in() {
    let sim = sim();
    sim.add_device("pk", "device", "secret");
    let connect = Connect {
        client_id: "12345|securemode=3,signmethod=hmacsha1,timestamp=789|".into(),
        user_name: "device&pk".into(),
        password: "FAFD82A3D602B37FB0FA8B7892F24A477F851A14".into(),
        keep_alive: 300,
        clean_session: true,
    };
    assert_eq!(code(&sim, &connect), 0);
}

#[test]
fn a_device_token_is_let_in_over_tls_with_the_client_id_it_came_with() {
    let sim = sim();
    sim.edit_registry(|registry| {
        registry.device_entry("pk", "token").token = Some(DeviceToken {
            client_id: "given".into(),
            token: "the-device-token".into(),
        });
    });
    let connect = |id: &str, token: &str| Connect {
        client_id: format!("{id}|securemode=-2,authType=connwl,_ss=1|"),
        user_name: "token&pk".into(),
        password: token.into(),
        keep_alive: 60,
        clean_session: true,
    };
    for (id, token, expected, line) in [
        ("given", "the-device-token", 0, "connected pk/token"),
        ("taken", "the-device-token", 4, "client id before the bar"),
        ("given", "wrong", 4, "not the device token"),
        ("given", "the-device-token\n", 4, "white space"),
    ] {
        let mut device = Device::open_tls(&sim).unwrap();
        device.send(&connect(id, token).bytes());
        assert_eq!(device.conn_ack().1, expected);
        wait_for_line(&sim, &[line]);
    }
    assert_eq!(code(&sim, &connect("given", "the-device-token")), 2);
}

#[test]
fn a_verbatim_entry_is_compared_word_for_word_and_free_of_the_platforms_limits() {
    let sim = sim();
    sim.edit_registry(|registry| {
        registry.verbatim.push(Verbatim {
            client_id: "any id".into(),
            user_name: "user".into(),
            password: "verbatim-password".into(),
            identity: Identity::new("private", "one"),
        });
    });
    let mut connect = Connect {
        client_id: "any id".into(),
        user_name: "user".into(),
        password: "verbatim-password".into(),
        keep_alive: 0,
        clean_session: true,
    };
    assert_eq!(code(&sim, &connect), 0);
    connect.password = "wrong".into();
    assert_eq!(code(&sim, &connect), 4);
    wait_for_line(&sim, &["refused private/one", "verbatim entry"]);
}

#[test]
fn each_fault_has_its_code_and_its_sentence() {
    let sim = sim();
    sim.add_device("pk", "disabled", SECRET);
    sim.edit_registry(|registry| registry.device_entry("pk", "disabled").disabled = true);
    let params = "securemode=3,signmethod=hmacsha256";
    for (connect, expected, line) in [
        (
            with(|c| c.keep_alive = 0),
            3,
            "keep-alive of 0 s: it must be 30 to 1200 s",
        ),
        (with(|c| c.keep_alive = 29), 3, "keep-alive of 29 s"),
        (with(|c| c.keep_alive = 1201), 3, "keep-alive of 1201 s"),
        (with(|c| c.client_id = "pk.dn".into()), 2, "no bars"),
        (
            with(|c| c.client_id = "pk.dn|securemode=3".into()),
            2,
            "does not end with a bar",
        ),
        (
            with(|c| c.client_id = "|securemode=3|".into()),
            2,
            "empty before the first bar",
        ),
        (
            with(|c| c.client_id = "a|b|securemode=3|".into()),
            2,
            "more than two bars",
        ),
        (
            with(|c| c.client_id = "a|securemode|".into()),
            2,
            "name=value",
        ),
        (
            with(|c| c.client_id = "a|securemode=3,securemode=3|".into()),
            2,
            "given twice",
        ),
        (
            with(|c| c.client_id = "a|signmethod=hmacmd5|".into()),
            2,
            "securemode is missing",
        ),
        (
            with(|c| c.client_id = "a|securemode=9|".into()),
            2,
            "securemode=9 is not known",
        ),
        (
            with(|c| c.client_id = "a|securemode=2|".into()),
            2,
            "over plain TCP: connect over TLS",
        ),
        (
            with(|c| c.client_id = "a|securemode=3,signmethod=HMACSHA1|".into()),
            2,
            "HMACSHA1",
        ),
        (
            with(|c| c.client_id = "a|securemode=3,authType=register|".into()),
            2,
            "registration",
        ),
        (
            with(|c| c.client_id = "a|securemode=3,authType=connwl|".into()),
            2,
            "securemode=-2",
        ),
        (
            with(|c| c.client_id = format!("{}|securemode=3|", "x".repeat(65))),
            2,
            "too long",
        ),
        (
            with(|c| c.user_name = String::new()),
            2,
            "the user name is missing",
        ),
        (with(|c| c.user_name = "dn".into()), 2, "no ampersand"),
        (
            with(|c| c.user_name = "dn&".into()),
            2,
            "one side of the ampersand",
        ),
        (
            with(|c| c.user_name = "dn&pk&x".into()),
            2,
            "two ampersands",
        ),
        (with(|c| c.user_name = "pk&dn".into()), 4, "swapped"),
        (
            with(|c| c.user_name = "no&pk".into()),
            4,
            "the product pk has no device named no",
        ),
        (
            with(|c| c.user_name = "dn&nope".into()),
            4,
            "the product key nope is not known",
        ),
        (
            signed_as("disabled", SECRET, params),
            4,
            "the device is disabled",
        ),
        (
            with(|c| c.password = String::new()),
            4,
            "the password is empty",
        ),
        (
            with(|c| c.password = SECRET.into()),
            4,
            "the password is the device secret itself",
        ),
        (
            with(|c| c.password = "no hex".into()),
            4,
            "the password is not hex",
        ),
        (
            with(|c| c.password = "ab".repeat(20)),
            4,
            "40 hex digits, hmacsha256 gives 64",
        ),
        (
            with(|c| c.password = "ab".repeat(32)),
            4,
            "no usual mistake explains it",
        ),
    ] {
        assert_eq!(code(&sim, &connect), expected, "{line}");
        wait_for_line(&sim, &["refused", &format!("code {expected}"), line]);
    }
}

#[test]
fn no_secret_and_no_password_is_ever_logged() {
    let sim = sim();
    let expected = signed("").password;
    let mistakes = [
        with(|c| c.user_name = SECRET.into()),
        with(|c| c.user_name = format!("{SECRET}&pk")),
        with(|c| c.user_name = format!("dn&{SECRET}")),
        with(|c| c.client_id = SECRET.into()),
        with(|c| c.client_id = format!("{SECRET}|securemode={SECRET}|")),
        with(|c| c.client_id = format!("{SECRET}|securemode=3,signmethod={SECRET}|")),
        with(|c| c.client_id = "pk.dn|securemode=3,timestamp=789|".into()),
        with(|c| c.password = SECRET.into()),
        with(|c| c.password = format!(" {SECRET} ")),
        with(|c| c.password = "given-wrong-password".into()),
        signed(&format!(",note={SECRET}")),
    ];
    for connect in &mistakes {
        code(&sim, connect);
    }
    let mut device = Device::connected(&sim, &signed(""));
    device.publish(&format!("/pk/dn/{SECRET}"), b"the-payload", None);
    device.subscribe(&[(&format!("/{SECRET}/dn/x"), 0)]);
    let log = sim.log_lines().join("\n");
    assert!(log.lines().count() > mistakes.len());
    for hidden in [
        SECRET,
        &expected,
        &expected.to_lowercase(),
        "given-wrong-password",
        "the-payload",
    ] {
        assert!(!log.contains(hidden), "{hidden} in {log}");
    }
}

#[test]
fn other_versions_get_code_1() {
    let sim = sim();
    for bytes in [
        &b"\x10\x0d\0\x04MQTT\x05\x02\0\x3c\0\0\0"[..],
        &b"\x10\x0c\0\x04MQTT\x03\x02\0\x3c\0\0"[..],
        &b"\x10\x0e\0\x06MQIsdp\x04\x02\0\x3c\0\0"[..],
    ] {
        let mut device = Device::open_tcp(&sim);
        device.send(bytes);
        assert_eq!(device.conn_ack(), (false, 1));
        assert_eq!(device.ending(), Ending::Orderly);
    }
    wait_for_line(&sim, &["code 1", "MQTT 5"]);
    wait_for_line(&sim, &["code 1", "MQIsdp"]);
}

#[test]
fn a_refusal_can_be_asked_for_and_taken_back() {
    let sim = sim();
    sim.refuse("pk", "dn", Some(5)).unwrap();
    assert_eq!(code(&sim, &signed("")), 5);
    sim.refuse("pk", "dn", None).unwrap();
    assert_eq!(code(&sim, &signed("")), 0);
    assert!(sim.refuse("pk", "dn", Some(0)).is_err());
}

#[test]
fn what_is_not_a_connect_is_closed_with_a_reason() {
    let sim = sim();
    for (bytes, line) in [
        (&b"\xC0\0"[..], "the first packet is not a CONNECT"),
        (
            &b"\x16\x03\x01\x02\0"[..],
            "speaks TLS to the plain TCP port",
        ),
        (&b"GET / HTTP/1.1\r\n\r\n"[..], "which no client may send"),
        (
            &b"\x10\x15\0\x04MQTT\x04\x06\0\x3c\0\x01a\0\x01t\0\x03bye"[..],
            "a CONNECT with a will",
        ),
    ] {
        let mut device = Device::open_tcp(&sim);
        device.send(bytes);
        device.ending();
        wait_for_line(&sim, &["closed the connection from", line]);
    }
}
