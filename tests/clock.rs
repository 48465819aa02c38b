//! The date by which certificates are judged. A file of its own, because it serves a whole process;
//! one test, because tests of a file run together.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use aliot::{
    Endpoint, Error, ErrorKind, Identity, Registration, RegistrationKind, set_wall_clock,
    set_wall_clock_floor,
};
use aliot_sim::{Options, Sim};

const PATIENCE: Duration = Duration::from_secs(20);
const DAY: u64 = 86_400;

#[test]
fn a_clock_that_cannot_be_right_is_told_so_and_a_better_one_helps() {
    let sim = Sim::start(Options::default()).unwrap();
    sim.edit_registry(|registry| {
        let product = registry.products.entry("pk".to_owned()).or_default();
        product.secret = Some("product-secret".into());
        product.devices.entry("dn".to_owned()).or_default();
    });
    let register = || -> Result<Identity, Error> {
        let mut endpoint = Endpoint::host("localhost", sim.tls_addr().unwrap().port())?;
        endpoint.set_ca_pem(sim.ca_pem().as_bytes())?;
        let kind = RegistrationKind::Preregistered;
        let mut registration = Registration::new(&endpoint, "pk", "dn", "product-secret", kind)?;
        registration.set_connects_per_minute(None)?;
        registration.run(PATIENCE, |_| true)
    };
    let refusal = |words: &[&str]| {
        let error = register().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TlsCertificate);
        let text = error.to_string();
        for word in words {
            assert!(text.contains(word), "\"{text}\" lacks \"{word}\"");
        }
    };
    let time = Arc::new(AtomicU64::new(DAY));
    let told = Arc::clone(&time);
    set_wall_clock(Some(move || {
        let seconds = told.load(Ordering::Relaxed);
        (seconds > 0).then(|| Duration::from_secs(seconds))
    }));

    // A device that was just switched on, with the date of the build as the floor.
    refusal(&[
        "this device's clock says 1970-01-02 00:00:00 UTC, which is wrong",
        "it is not before 20",
        "aliot_clock_set_callback",
    ]);
    assert!(
        sim.log_lines()
            .iter()
            .all(|line| !line.contains("handshake"))
    );
    // Without a floor it is the certificate that is not valid yet.
    set_wall_clock_floor(Duration::ZERO);
    refusal(&[
        "not valid before 2020-01-01",
        "this device's clock says 1970-01-02",
    ]);
    // Far in the future it has ended.
    time.store(200 * 365 * DAY, Ordering::Relaxed);
    refusal(&["expired on 2099-01-01", "this device's clock says 2169"]);
    // A better clock knows.
    time.store(1_800_000_000, Ordering::Relaxed);
    register().unwrap();
    // One that does not know leaves it to the system.
    time.store(0, Ordering::Relaxed);
    register().unwrap();
    set_wall_clock(None::<fn() -> Option<Duration>>);
    register().unwrap();
}
