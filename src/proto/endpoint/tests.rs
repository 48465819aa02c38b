//! Endpoints: what is a host, what is refused, what is dialled.

use std::sync::Arc;

use super::*;
use crate::Trust;

fn identity() -> Identity {
    Identity::with_secret("a1b2C3", "device", "secret").unwrap()
}

#[test]
fn a_region_an_instance_and_a_host_have_their_names_and_ports() {
    let region = Endpoint::region("cn-shanghai").unwrap();
    assert_eq!(
        region.host_name(&identity()).unwrap(),
        "a1b2C3.iot-as-mqtt.cn-shanghai.aliyuncs.com"
    );
    assert_eq!(region.port(), 443);
    let instance = Endpoint::instance("iot-06z00abc").unwrap();
    assert_eq!(
        instance.host_name(&identity()).unwrap(),
        "iot-06z00abc.mqtt.iothub.aliyuncs.com"
    );
    assert_eq!(instance.port(), 8883);
    let host = Endpoint::host("broker.example", 1883).unwrap();
    assert_eq!(host.host_name(&identity()).unwrap(), "broker.example");
    assert_eq!(host.port(), 1883);
    assert!(!host.is_plaintext());
    assert_eq!(host.connect_timeout(), Duration::from_secs(10));
    assert_eq!(host.trust(), [Trust::BuiltIn]);
}

#[test]
fn client_certificates_have_a_host_of_their_own_in_each_region() {
    let mut endpoint = Endpoint::x509("cn-shanghai").unwrap();
    let host = "x509.itls.cn-shanghai.aliyuncs.com";
    assert_eq!(endpoint.host_name(&identity()).unwrap(), host);
    assert_eq!(endpoint.port(), 1883);
    assert!(Endpoint::x509("cn shanghai").is_err());
    assert!(!endpoint.is_plaintext());
    endpoint.set_dangerous_plaintext();
    assert!(endpoint.is_plaintext());
}

#[test]
fn an_instance_is_known_by_its_id_or_by_its_host() {
    let instance = Endpoint::instance("iot-1").unwrap();
    assert_eq!(instance.instance_id(), Some("iot-1"));
    let host = |host| Endpoint::host(host, 1883).unwrap();
    let named = host("iot-1.mqtt.iothub.aliyuncs.com");
    assert_eq!(named.instance_id(), Some("iot-1"));
    assert_eq!(host("a.iot-1.mqtt.iothub.aliyuncs.com").instance_id(), None);
    assert_eq!(host("broker.example").instance_id(), None);
    assert_eq!(Endpoint::region("cn-shanghai").unwrap().instance_id(), None);
}

#[test]
fn names_and_addresses_are_hosts() {
    let label = "a".repeat(63);
    let longest = format!("{label}.{label}.{label}.{}", "b".repeat(61));
    for host in [
        "localhost",
        "a.b",
        "A-1.example",
        "_mqtt.example",
        "x--y",
        "example.com.",
        "1a",
        "1.2.c3",
        "10.0.0.1",
        "::1",
        "fe80::1",
        "2001:db8::192.0.2.1",
        &longest,
    ] {
        assert!(Endpoint::host(host, 1).is_ok(), "{host}");
    }
}

#[test]
fn everything_else_is_not_a_host() {
    let label = "a".repeat(64);
    let long = format!("{}.example", "a.".repeat(123));
    for host in [
        "",
        ".",
        "a..b",
        ".a",
        "a b",
        "-a",
        "a-",
        "a.-b",
        "mqtts://a",
        "a:1883",
        "[::1]",
        "a/b",
        "10.0.0.256",
        "1.2.3",
        "::g",
        "fe80::1%eth0",
        "é.example",
        "a\0",
        &label,
        &long,
    ] {
        assert!(Endpoint::host(host, 1).is_err(), "{host}");
    }
    let error = Endpoint::host("mqtts://a", 1).unwrap_err();
    assert_eq!(
        error.to_string(),
        "host is \"mqtts://a\": a name or an address without scheme, port and brackets is needed"
    );
}

#[test]
fn ids_of_regions_and_instances_are_single_labels() {
    for id in ["", "a.b", "a_b", "-a", "cn shanghai", &"a".repeat(64)] {
        assert!(Endpoint::region(id).is_err(), "{id}");
        assert!(Endpoint::instance(id).is_err(), "{id}");
    }
}

#[test]
fn a_region_needs_a_product_key_that_fits_a_host_name() {
    let region = Endpoint::region("cn-shanghai").unwrap();
    let verbatim = Identity::verbatim("id", "user", "pass").unwrap();
    let error = region.host_name(&verbatim).unwrap_err();
    assert!(error.to_string().contains("cn-shanghai"), "{error}");
    let long = Identity::with_secret(&"p".repeat(64), "device", "s").unwrap();
    assert!(region.host_name(&long).is_err());
    assert!(Endpoint::host("a", 1).unwrap().host_name(&verbatim).is_ok());
}

#[test]
fn port_timeout_and_server_name_have_their_ranges() {
    let mut endpoint = Endpoint::host("10.0.0.1", 65_535).unwrap();
    assert!(Endpoint::host("10.0.0.1", 0).is_err());
    let error = endpoint.set_port(0).unwrap_err();
    assert_eq!(error.to_string(), "port is 0: 1 to 65535 is allowed");
    endpoint.set_port(1883).unwrap();
    assert_eq!(endpoint.port(), 1883);
    let ms = Duration::from_millis;
    assert!(endpoint.set_connect_timeout(Duration::ZERO).is_err());
    assert!(endpoint.set_connect_timeout(ms(1)).is_ok());
    assert!(endpoint.set_connect_timeout(ms(60_000)).is_ok());
    let error = endpoint.set_connect_timeout(ms(60_001)).unwrap_err();
    assert_eq!(
        error.to_string(),
        "connect_timeout is 60.001s: 1ms to 60s is allowed"
    );
    assert_eq!(endpoint.connect_timeout(), ms(60_000));
    assert_eq!(endpoint.server_name(), None);
    endpoint.set_server_name("mqtt.example").unwrap();
    assert!(endpoint.set_server_name("a b").is_err());
    assert_eq!(endpoint.server_name(), Some("mqtt.example"));
    assert_eq!(endpoint.host_name(&identity()).unwrap(), "10.0.0.1");
}

#[test]
fn a_poisoned_endpoint_stays_refused_with_its_first_error() {
    let mut endpoint = Endpoint::instance("iot-1").unwrap();
    assert_eq!(endpoint.check(), Ok(()));
    let first = Error::argument("ca_pem", "is empty");
    endpoint.poison(first.clone());
    endpoint.poison(Error::argument("ca_file", "is empty"));
    assert_eq!(endpoint.check(), Err(first));
}

type Setting = fn(&mut Endpoint) -> Result<(), Error>;

#[test]
fn a_tls_setting_that_fails_disables_the_endpoint_whatever_the_error() {
    let settings: [Setting; 3] = [
        |endpoint| endpoint.set_server_name("a b"),
        |endpoint| endpoint.pin_server_key("12:34"),
        |endpoint| endpoint.set_expiry_warning_days(3651),
    ];
    for setting in settings {
        let mut endpoint = Endpoint::instance("iot-1").unwrap();
        let error = setting(&mut endpoint).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidArgument);
        let refused = endpoint.check().unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::TlsConfig);
        let text = format!("TLS: a TLS setting of the endpoint failed: {error}");
        assert_eq!(refused.to_string(), text);
    }
    // What is of that kind already says enough.
    let mut endpoint = Endpoint::instance("iot-1").unwrap();
    let own = Error::new(ErrorKind::TlsConfig, Stage::Tls, "the CA data is empty");
    let failed = endpoint.tls_setting(|_| Err(own.clone()));
    assert_eq!((failed, endpoint.check()), (Err(own.clone()), Err(own)));
    // What is no matter of TLS leaves it alone.
    let mut endpoint = Endpoint::instance("iot-1").unwrap();
    assert!(endpoint.set_port(0).is_err());
    assert!(endpoint.set_local_address("nowhere").is_err());
    assert_eq!(endpoint.check(), Ok(()));
}

#[test]
fn a_pem_appears_in_debug_as_its_length() {
    let mut endpoint = Endpoint::instance("iot-1").unwrap();
    endpoint.tls_mut().trust = vec![Trust::Pem(Arc::from(&b"PRIVATE KEY"[..]))];
    let text = format!("{endpoint:?}");
    assert!(text.contains("Pem(11 bytes)"), "{text}");
}
