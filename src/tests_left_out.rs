//! What was left out when the library was built answers so: `make features-deep` runs these without
//! any feature.

use std::path::Path;

use crate::{Endpoint, Error, ErrorKind, Identity, Registration, RegistrationKind, Submitted};

fn assert_left_out<T>(result: Result<T, Error>, feature: &str) {
    if cfg!(feature = "websocket") {
        return; // A build with everything: the features' own tests are about it.
    }
    let error = result.err().expect(feature);
    assert_eq!(error.kind(), ErrorKind::InvalidState);
    let text = format!("the library was built without the feature {feature}");
    assert_eq!(error.to_string(), text);
}

fn endpoint() -> Endpoint {
    Endpoint::host("a.example", 8883).unwrap()
}

#[test]
fn left_out_websocket() {
    assert_left_out(endpoint().set_websocket("/"), "websocket");
}

#[test]
fn left_out_registration() {
    let kind = RegistrationKind::Preregistered;
    let registration = Registration::new(&endpoint(), "pk", "name", "secret", kind);
    assert_left_out(registration, "registration");
}

#[test]
fn left_out_sign_check() {
    let identity = Identity::with_secret("pk", "name", "secret").unwrap();
    let submitted = Submitted {
        client_id: "",
        username: "",
        password: "",
    };
    let found = crate::check_signature(&identity, None, submitted, None);
    assert_left_out(found, "sign-check");
}

type Setting = fn(&mut Endpoint) -> Result<(), Error>;

#[test]
fn left_out_client_certificate_disables_the_endpoint() {
    if cfg!(feature = "client-certificate") {
        return;
    }
    let settings: [Setting; 2] = [
        |endpoint| endpoint.set_client_certificate_pem(b"", b""),
        |endpoint| endpoint.set_client_certificate_files(Path::new("/none"), Path::new("/none")),
    ];
    for setting in settings {
        let mut endpoint = endpoint();
        assert_left_out(setting(&mut endpoint), "client-certificate");
        let refused = endpoint.check().unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::TlsConfig);
    }
}
