//! Everything with the log at its highest level: no secret and no password appears anywhere.

#[path = "behaviour/support/mod.rs"]
#[expect(
    dead_code,
    reason = "these tests need a part of what the behaviour tests share"
)]
mod support;

#[path = "memory/proxy.rs"]
mod proxy;

use std::sync::{Arc, Mutex};

use aliot::{Config, Endpoint, EventKind, HexCase, Identity, Level, Qos, Record, SignMethod};
use aliot_sim::registry::{self, DeviceToken, Verbatim};
use aliot_sim::{Options, Qos as SimQos, Sim};

use support::PATIENCE;
use support::device::{Device, private};

const SECRETS: [&str; 6] = [
    "canary-device-secret",
    "canary-device-token",
    "canary-password",
    "canary-wrong-secret",
    "canary-registered-secret",
    "canary-proxy-password",
];

fn simulator() -> Sim {
    let sim = Sim::start(Options::default()).unwrap();
    sim.edit_registry(|registry| {
        registry.add_device("a1pk", "lamp", SECRETS[0]);
        registry.device_entry("a1pk", "born").token = Some(DeviceToken {
            client_id: "pushed-id".to_owned(),
            token: SECRETS[1].into(),
        });
        registry.verbatim.push(Verbatim {
            client_id: "any id".to_owned(),
            user_name: "any user".to_owned(),
            password: SECRETS[2].into(),
            identity: registry::Identity::new("private", "device"),
        });
    });
    sim
}

#[test]
fn no_secret_reaches_the_log_an_error_or_an_event() {
    let lines = Arc::new(Mutex::new(Vec::new()));
    let sink = lines.clone();
    aliot::set_sink(
        Level::Debug,
        Some(Arc::new(move |record: &Record<'_>| {
            assert!(!record.time.is_zero());
            assert!(!record.text.chars().any(char::is_control));
            sink.lock()
                .unwrap()
                .push(format!("{} {}", record.target, record.text));
        })),
    );
    let sim = simulator();
    let mut passwords: Vec<String> = SECRETS.map(str::to_owned).to_vec();
    let mut said = String::new();
    let proxy = proxy::start("user", SECRETS[5]);
    passwords.push(proxy::basic("user", SECRETS[5]));
    let key = certificate(&sim, &mut said);
    passwords.extend(
        key.lines()
            .filter(|line| !line.starts_with("--"))
            .map(str::to_owned),
    );
    for plaintext in [false, true] {
        let address = if plaintext {
            sim.tcp_addr()
        } else {
            sim.tls_addr()
        };
        let mut endpoint = Endpoint::host("localhost", address.unwrap().port()).unwrap();
        if plaintext {
            endpoint.set_dangerous_plaintext();
        } else {
            endpoint.set_ca_pem(sim.ca_pem().as_bytes()).unwrap();
        }
        let login = |password| Some(("user", password));
        let (mut http, mut socks, mut refused) =
            (endpoint.clone(), endpoint.clone(), endpoint.clone());
        http.set_http_proxy("127.0.0.1", proxy, login(SECRETS[5]))
            .unwrap();
        socks
            .set_socks5_proxy("127.0.0.1", proxy, login(SECRETS[5]))
            .unwrap();
        refused
            .set_http_proxy("127.0.0.1", proxy, login(SECRETS[3]))
            .unwrap();
        for (endpoint, is_right) in [(http, true), (socks, true), (refused, false)] {
            let identity = Identity::with_secret("a1pk", "lamp", SECRETS[0]).unwrap();
            let mut config = Config::new(&identity, &endpoint).unwrap();
            private(&mut config);
            said += &exercise(&sim, &config, is_right);
            said += &format!("{endpoint:?} {config:?}");
        }
        let identities = [
            (Identity::with_secret("a1pk", "lamp", SECRETS[0]), true),
            (Identity::with_secret("a1pk", "lamp", SECRETS[3]), false),
            (
                Identity::with_token("a1pk", "born", "pushed-id", SECRETS[1]),
                !plaintext,
            ),
            (Identity::verbatim("any id", "any user", SECRETS[2]), true),
        ];
        for (identity, is_right) in identities {
            let identity = identity.unwrap();
            for method in [SignMethod::HmacSha256, SignMethod::HmacMd5] {
                let mut config = Config::new(&identity, &endpoint).unwrap();
                private(&mut config);
                config.set_sign_method(method);
                config.set_hex_case(HexCase::Lower);
                let password = config.credentials().unwrap().password().expose().to_owned();
                passwords.extend([password.to_uppercase(), password]);
                said += &exercise(&sim, &config, is_right);
                said += &format!("{identity:?} {endpoint:?} {config:?}");
            }
        }
    }
    aliot::set_sink(Level::Off, None);
    let log = lines.lock().unwrap().join("\n");
    for secret in &passwords {
        assert!(!log.contains(secret.as_str()), "{secret} is in the log");
        assert!(
            !said.contains(secret.as_str()),
            "{secret} is in an event, error or Debug"
        );
    }
    // The trace is there, so its silence about secrets means something.
    for expected in [
        "packet sent CONNECT",
        "packet sent PUBLISH 1",
        "\"hello\"",
        "packet received CONNACK 4",
        "not shown: the platform sends secrets here",
        "session lamp&a1pk is connected",
        "session sealed&a1pk is connected",
        "could not connect",
    ] {
        assert!(log.contains(expected), "the log lacks {expected:?}");
    }
}

/// A device that is known by its certificate. Returns its private key.
fn certificate(sim: &Sim, said: &mut String) -> String {
    let issued = sim.issue_certificate("a1pk", "sealed").unwrap();
    let mut endpoint = Endpoint::host("localhost", sim.tls_addr().unwrap().port()).unwrap();
    endpoint.set_ca_pem(sim.ca_pem().as_bytes()).unwrap();
    let pems = (issued.certificate_pem.as_bytes(), issued.key_pem.as_bytes());
    endpoint.set_client_certificate_pem(pems.0, pems.1).unwrap();
    let identity = Identity::with_certificate("a1pk", "sealed").unwrap();
    let mut config = Config::new(&identity, &endpoint).unwrap();
    private(&mut config);
    let device = Device::start(&config);
    // Not `wait_connected` alone: whatever is not told before the device ends is not told at all.
    device.event(EventKind::Connected, 1);
    device.client.stop(PATIENCE).unwrap();
    device.client.wait_stopped(PATIENCE).unwrap();
    *said += &format!("{identity:?} {endpoint:?} {config:?} {:?}", device.said());
    issued.key_pem
}

/// A session with messages both ways, or a refused one. Returns everything the application heard.
fn exercise(sim: &Sim, config: &Config, is_right: bool) -> String {
    let device = Device::start(config);
    if is_right {
        device.client.wait_connected(PATIENCE).unwrap();
        device.publish("/a1pk/lamp/user/update", b"hello");
        device.client.wait_flushed(PATIENCE).unwrap();
        if config.identity().device_name() == "lamp" {
            let reply = format!("{{\"deviceSecret\":\"{}\"}}", SECRETS[4]);
            sim.push(
                "a1pk",
                "lamp",
                "/ext/register",
                reply.as_bytes(),
                SimQos::AtMostOnce,
            )
            .unwrap();
            // The application is entitled to it; its Debug output is not part of this.
            device.messages(1);
        }
        device.client.stop(PATIENCE).unwrap();
        device.client.wait_stopped(PATIENCE).unwrap();
    } else {
        device.event(EventKind::ConnectFailed, 1);
    }
    let said = device.said();
    let heard = said
        .iter()
        .filter(|said| !matches!(said, support::device::Said::Message(..)));
    format!("{:?} {:?}", heard.collect::<Vec<_>>(), Qos::AtLeastOnce)
}
