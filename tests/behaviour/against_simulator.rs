//! Against the simulator, over TLS: every way to sign in, every refusal, every bad certificate.

use std::time::Duration;

use aliot::{
    Config, Endpoint, Error, ErrorKind, EventKind, HexCase, Identity, Qos, SignMethod, Stage,
};
use aliot_sim::registry::{self, DeviceToken, Verbatim};
use aliot_sim::{Certificate, Options, Sim, TlsVersions};

use crate::support::device::{Device, private};
use crate::support::{PATIENCE, eventually};

const SECRET: &str = "canary-device-secret";

fn simulator(options: Options) -> Sim {
    let sim = Sim::start(options).unwrap();
    sim.add_device("a1pk", "lamp", SECRET);
    sim
}

fn endpoint(sim: &Sim) -> Endpoint {
    let address = sim.tls_addr().unwrap();
    let mut endpoint = Endpoint::host("localhost", address.port()).unwrap();
    endpoint.set_ca_pem(sim.ca_pem().as_bytes()).unwrap();
    endpoint
}

fn config(identity: &Identity, endpoint: &Endpoint) -> Config {
    let mut config = Config::new(identity, endpoint).unwrap();
    private(&mut config);
    config
}

fn lamp() -> Identity {
    Identity::with_secret("a1pk", "lamp", SECRET).unwrap()
}

/// Signs in and exchanges a message in each direction.
fn works(sim: &Sim, config: &Config, topic: &str) {
    let device = Device::connect(config);
    device.subscribe(topic, Qos::AtLeastOnce);
    device.publish(topic, b"there and back");
    device.client.wait_flushed(PATIENCE).unwrap();
    let messages = device.messages(1);
    assert_eq!(messages[0].1.payload, b"there and back");
    drop(device);
    eventually("the simulator sees it go", || sim.connections().is_empty());
}

#[test]
fn every_sign_method_and_option_signs_in() {
    let sim = simulator(Options::default());
    let methods = [
        SignMethod::HmacSha256,
        SignMethod::HmacSha1,
        SignMethod::HmacMd5,
        SignMethod::Sha256,
    ];
    for method in methods {
        for case in [HexCase::Upper, HexCase::Lower] {
            for timestamp in [None, Some("789"), Some("2524608000000")] {
                let mut config = config(&lamp(), &endpoint(&sim));
                config.set_sign_method(method);
                config.set_hex_case(case);
                config.set_timestamp(timestamp).unwrap();
                config.add_client_param("os", "linux").unwrap();
                works(&sim, &config, "/a1pk/lamp/user/echo");
            }
        }
    }
}

#[test]
fn a_default_configuration_signs_in() {
    let sim = simulator(Options::default());
    let config = Config::new(&lamp(), &endpoint(&sim)).unwrap();
    works(&sim, &config, "/a1pk/lamp/user/echo");
}

#[test]
fn plain_text_signs_in_with_its_own_security_mode() {
    let sim = simulator(Options::default());
    let address = sim.tcp_addr().unwrap();
    let mut endpoint = Endpoint::host("127.0.0.1", address.port()).unwrap();
    endpoint.set_dangerous_plaintext();
    works(&sim, &config(&lamp(), &endpoint), "/a1pk/lamp/user/echo");
}

#[test]
fn a_device_token_signs_in() {
    let sim = simulator(Options::default());
    sim.edit_registry(|registry| {
        registry.device_entry("a1pk", "born").token = Some(DeviceToken {
            client_id: "id-from-the-platform".to_owned(),
            token: "canary-device-token".into(),
        });
    });
    let identity = Identity::with_token(
        "a1pk",
        "born",
        "id-from-the-platform",
        "canary-device-token",
    )
    .unwrap();
    works(
        &sim,
        &config(&identity, &endpoint(&sim)),
        "/a1pk/born/user/echo",
    );
}

#[test]
fn verbatim_credentials_sign_in() {
    let sim = simulator(Options::default());
    sim.edit_registry(|registry| {
        registry.verbatim.push(Verbatim {
            client_id: "any id".to_owned(),
            user_name: "any user".to_owned(),
            password: "canary-password".into(),
            identity: registry::Identity::new("private", "device"),
        });
    });
    let identity = Identity::verbatim("any id", "any user", "canary-password").unwrap();
    works(&sim, &config(&identity, &endpoint(&sim)), "any/topic");
}

#[test]
fn the_newest_endpoint_name_is_verified_while_another_address_is_dialled() {
    let name = "a1pk.iot-as-mqtt.cn-shanghai.aliyuncs.com";
    let sim = simulator(Options {
        certificate: Certificate::WrongName,
        names: vec![name.to_owned()],
        ..Options::default()
    });
    let error = refused(&config(&lamp(), &endpoint(&sim)));
    assert_eq!(error.kind(), ErrorKind::TlsCertificate, "{error}");

    let sim = simulator(Options {
        names: vec![name.to_owned()],
        ..Options::default()
    });
    let mut endpoint = endpoint(&sim);
    endpoint.set_server_name(name).unwrap();
    works(&sim, &config(&lamp(), &endpoint), "/a1pk/lamp/user/echo");
}

/// The error of the first attempt.
fn refused(config: &Config) -> Error {
    let device = Device::start(config);
    device.event(EventKind::ConnectFailed, 1).error.unwrap()
}

#[test]
fn wrong_credentials_are_told_apart_from_everything_else() {
    let sim = simulator(Options::default());
    let wrong = [
        Identity::with_secret("a1pk", "lamp", "another secret").unwrap(),
        Identity::with_secret("a1pk", "stranger", SECRET).unwrap(),
        Identity::with_secret("a1other", "lamp", SECRET).unwrap(),
        Identity::with_token("a1pk", "lamp", "some-id", "no token of ours").unwrap(),
    ];
    for identity in wrong {
        let error = refused(&config(&identity, &endpoint(&sim)));
        assert_eq!(
            error.kind(),
            ErrorKind::BadCredentials,
            "{identity:?}: {error}"
        );
        assert_eq!(error.stage(), Stage::Platform);
        assert!(error.to_string().contains("CONNACK 4"), "{error}");
    }
    let log = sim.log_lines().join("\n");
    for secret in [SECRET, "another secret", "no token of ours"] {
        assert!(!log.contains(secret), "the simulator printed {secret}");
    }
}

#[test]
fn a_keep_alive_below_the_platforms_is_named_by_the_platforms_refusal() {
    let sim = simulator(Options::default());
    // Only a private profile gets this far; the platform's own refuses the argument.
    let mut config = config(&lamp(), &endpoint(&sim));
    config.set_keep_alive_s(29).unwrap();
    let error = refused(&config);
    assert_eq!(error.kind(), ErrorKind::ServerUnavailable);
    assert!(error.to_string().contains("keep-alive below 30"), "{error}");
}

#[test]
fn a_certificate_from_nowhere_is_refused_with_a_hint() {
    let sim = simulator(Options::default());
    let stranger = Sim::start(Options::default()).unwrap();
    let mut endpoint = endpoint(&sim);
    endpoint.set_ca_pem(stranger.ca_pem().as_bytes()).unwrap();
    for endpoint in [
        endpoint,
        // The built-in roots of the platform did not sign the simulator's either.
        Endpoint::host("localhost", sim.tls_addr().unwrap().port()).unwrap(),
    ] {
        let error = refused(&config(&lamp(), &endpoint));
        assert_eq!(
            (error.kind(), error.stage()),
            (ErrorKind::TlsCertificate, Stage::Tls)
        );
        assert!(error.to_string().contains("root"), "{error}");
    }
    assert!(sim.connections().is_empty());
}

#[test]
fn each_bad_certificate_names_its_cause() {
    let cases = [
        (Certificate::Expired, "expired"),
        (Certificate::NotYetValid, "not valid before"),
        (Certificate::WrongName, "localhost"),
    ];
    crate::ran::ran("each_bad_certificate_names_its_cause", cases.len());
    for (certificate, cause) in cases {
        let sim = simulator(Options {
            certificate,
            ..Options::default()
        });
        let error = refused(&config(&lamp(), &endpoint(&sim)));
        assert_eq!(
            (error.kind(), error.stage()),
            (ErrorKind::TlsCertificate, Stage::Tls),
            "{certificate:?}: {error}"
        );
        assert!(
            error.to_string().contains(cause),
            "{certificate:?}: {error}"
        );
    }
}

#[test]
fn tls_1_2_and_tls_1_3_both_work_alone() {
    for tls_versions in [TlsVersions::Only12, TlsVersions::Only13] {
        let sim = simulator(Options {
            tls_versions,
            ..Options::default()
        });
        works(
            &sim,
            &config(&lamp(), &endpoint(&sim)),
            "/a1pk/lamp/user/echo",
        );
    }
}

#[test]
fn a_cut_in_the_middle_of_a_hundred_messages_loses_none_over_tls() {
    let sim = simulator(Options::default());
    sim.drop_acks("a1pk", "lamp", true);
    let device = Device::connect(&config(&lamp(), &endpoint(&sim)));
    device.subscribe("/a1pk/lamp/user/get", Qos::AtLeastOnce);
    let topic = "/a1pk/lamp/user/update";
    let tokens: Vec<_> = (0..100_u8).map(|n| device.publish(topic, &[n])).collect();
    sim.wait_for(|view| view.received().len() >= 40, PATIENCE)
        .unwrap();
    sim.drop_acks("a1pk", "lamp", false);
    sim.reset("a1pk", "lamp").unwrap();
    for token in tokens {
        assert_eq!(device.completion(token), Ok(None));
    }
    let received: std::collections::BTreeSet<u8> = sim
        .received()
        .iter()
        .map(|message| message.payload[0])
        .collect();
    assert_eq!(received, (0..100).collect());
    device.client.wait_flushed(PATIENCE).unwrap();
    sim.publish(
        "a1pk",
        "lamp",
        "/a1pk/lamp/user/get",
        b"back",
        aliot_sim::Qos::AtLeastOnce,
    )
    .unwrap();
    assert_eq!(device.messages(1)[0].0, "/a1pk/lamp/user/get");
}

#[test]
fn the_older_of_two_devices_with_one_identity_is_told_and_does_not_fight() {
    let sim = simulator(Options::default());
    let mut config = config(&lamp(), &endpoint(&sim));
    let hour = Duration::from_secs(3600);
    config
        .set_reconnect(Duration::from_millis(5), hour)
        .unwrap();
    let older = Device::connect(&config);
    let newer = Device::connect(&config);
    older.event(EventKind::TakenOver, 1);
    let event = older.event(EventKind::Disconnected, 1);
    assert!((hour * 3 / 4..=hour).contains(&event.retry_in.unwrap()));
    newer.publish("/a1pk/lamp/user/update", b"still here");
    newer.client.wait_flushed(PATIENCE).unwrap();
    assert_eq!(sim.connections().len(), 1);
}
