//! Registration and certificates against the simulator, which checks what a device sends and gives
//! identities as the platform does.

use std::time::Duration;

use aliot::{
    Config, Dispatch, Endpoint, ErrorKind, EventKind, Identity, Registration, RegistrationKind,
    RegistrationMode, Runtime, SignMethod,
};
use aliot_sim::{Options, Sim};

use crate::support::PATIENCE;
use crate::support::device::{Device, private};

const PRODUCT: &str = "a1product";
const PRODUCT_SECRET: &str = "canary-product-secret";

fn platform() -> (Sim, Endpoint) {
    let sim = Sim::start(Options::default()).unwrap();
    sim.edit_registry(|registry| {
        let product = registry.products.entry(PRODUCT.to_owned()).or_default();
        product.secret = Some(PRODUCT_SECRET.into());
        product.devices.entry("listed".to_owned()).or_default();
    });
    let mut endpoint = Endpoint::host("localhost", sim.tls_addr().unwrap().port()).unwrap();
    endpoint.set_ca_pem(sim.ca_pem().as_bytes()).unwrap();
    (sim, endpoint)
}

fn registration(endpoint: &Endpoint, name: &str, kind: RegistrationKind) -> Registration {
    let mut registration =
        Registration::new(endpoint, PRODUCT, name, PRODUCT_SECRET, kind).unwrap();
    registration.set_connects_per_minute(None).unwrap();
    registration
}

fn connect(identity: &Identity, endpoint: &Endpoint) -> Device {
    let mut config = Config::new(identity, endpoint).unwrap();
    private(&mut config);
    Device::connect(&config)
}

#[test]
fn a_listed_device_registers_connects_and_is_refused_from_then_on() {
    let (sim, endpoint) = platform();
    let registration = registration(&endpoint, "listed", RegistrationKind::Preregistered);
    let first = registration.run(PATIENCE, |_| true).unwrap();
    // As long as it has not connected, it may register again, and the last answer counts.
    let second = registration.run(PATIENCE, |_| true).unwrap();
    assert_ne!(first, second);
    assert!(!second.has_token());
    drop(connect(&second, &endpoint));
    let error = registration.run(PATIENCE, |_| true).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::RegistrationRefused);
    let log = sim.log_lines().join("\n");
    assert!(
        !log.contains(PRODUCT_SECRET) && log.contains("connected already"),
        "{log}"
    );
}

#[test]
fn a_device_that_nobody_knows_is_created_and_connects_with_its_token() {
    let (_sim, endpoint) = platform();
    let registration = registration(&endpoint, "new", RegistrationKind::CreateDevice);
    let identity = registration.run(PATIENCE, |_| true).unwrap();
    assert!(identity.has_token() && !identity.client_id().is_empty());
    connect(&identity, &endpoint);
}

#[test]
fn every_method_mode_and_instance_is_understood() {
    let (_sim, endpoint) = platform();
    for method in [
        SignMethod::HmacSha256,
        SignMethod::HmacSha1,
        SignMethod::HmacMd5,
    ] {
        for mode in [RegistrationMode::Public, RegistrationMode::Instance] {
            let kind = RegistrationKind::Preregistered;
            let mut registration = registration(&endpoint, "listed", kind);
            registration.set_sign_method(method).unwrap();
            registration.set_instance_id(Some("iot-060a0bbc")).unwrap();
            registration.set_mode(mode);
            registration.run(PATIENCE, |_| true).unwrap();
        }
    }
}

#[test]
fn what_is_wrong_with_a_registration_is_refused() {
    let (_sim, endpoint) = platform();
    let kind = RegistrationKind::Preregistered;
    for (name, secret) in [("unlisted", PRODUCT_SECRET), ("listed", "wrong")] {
        let registration = Registration::new(&endpoint, PRODUCT, name, secret, kind).unwrap();
        let error = registration.run(PATIENCE, |_| true).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::RegistrationRefused);
        assert_eq!(error.connack_code(), Some(4));
    }
}

#[test]
fn a_registration_in_the_background_ends_where_callbacks_run() {
    let (_sim, endpoint) = platform();
    let runtime = Runtime::new(Dispatch::Poll).unwrap();
    let (tell, told) = std::sync::mpsc::channel();
    registration(&endpoint, "listed", RegistrationKind::Preregistered)
        .start(&runtime, PATIENCE, || {
            Box::new(move |outcome| tell.send(outcome.cloned()).is_ok())
        })
        .unwrap();
    assert_eq!(runtime.poll(PATIENCE), Ok(1));
    let identity = told.recv_timeout(Duration::ZERO).unwrap().unwrap();
    connect(&identity, &endpoint);
}

#[test]
fn a_certificate_is_enough_to_learn_who_one_is() {
    let (sim, mut endpoint) = platform();
    let issued = sim.issue_certificate(PRODUCT, "listed").unwrap();
    endpoint
        .set_client_certificate_pem(issued.certificate_pem.as_bytes(), issued.key_pem.as_bytes())
        .unwrap();
    let unknown = Identity::with_certificate("", "").unwrap();
    let device = connect(&unknown, &endpoint);
    let event = device.event(EventKind::IdentityReceived, 1);
    let identity = event.identity.unwrap();
    assert_eq!(
        (identity.product_key(), identity.device_name()),
        (PRODUCT, "listed")
    );

    // The same client uses it for its next connection, and so does the next client.
    sim.cut(PRODUCT, "listed").unwrap();
    device.event(EventKind::Connected, 2);
    drop(device);
    connect(&identity, &endpoint);
    let log = sim.log_lines().join("\n");
    assert!(!log.contains("refused"), "{log}");
}
