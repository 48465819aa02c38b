//! What is kept from one start to the next, and the same run again with a seed.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use aliot_sim::{Error, Options, Sim};
use serde_json::json;

use crate::device::{Device, SECRET, signed, signed_as, trusting_pem};
use crate::http::ask;

fn keeping(path: &Path) -> Options {
    Options {
        state_file: Some(path.to_owned()),
        http: Some(([127, 0, 0, 1], 0).into()),
        ..Options::default()
    }
}

#[test]
fn devices_certificates_and_what_is_known_of_them_come_back() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("state.json");
    let sim = Sim::start(keeping(&path)).unwrap();
    let ca = sim.ca_pem().to_owned();
    sim.add_device("pk", "dn", SECRET);
    let issued = sim.issue_certificate("pk", "x").unwrap();
    let mut device = Device::connected(&sim, &signed(""));
    let tags = json!({"id": 1, "params": [{"attrKey": "room", "attrValue": "7"}]});
    let topic = "/sys/pk/dn/thing/deviceinfo/update";
    device.publish(topic, tags.to_string().as_bytes(), None);
    device.message();
    sim.set_disabled("pk", "x", true).unwrap();
    sim.set_disabled("pk", "x", false).unwrap();
    drop(sim);
    let mode = std::fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);

    let sim = Sim::start(keeping(&path)).unwrap();
    Device::connected(&sim, &signed(""));
    let shown = ask(&sim, "GET", "devices/pk/dn", "");
    assert_eq!(
        (&shown["twin"]["tags"]["room"], &shown["activated"]),
        (&json!("7"), &json!(true))
    );
    // The authority is the old one to a device that trusts it, and so is the device's certificate.
    let mut device = Device::open_tls_with(&sim, trusting_pem(&ca, Some(&issued))).unwrap();
    let connect = signed_as("x", "", "securemode=2");
    device.send(&connect.bytes());
    assert_eq!(device.conn_ack().1, 0);
    assert!(!sim.log_lines().join("\n").contains(SECRET));
}

#[test]
fn what_is_no_state_file_is_left_alone_and_explained_without_its_content() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("state.json");
    std::fs::write(&path, r#"{"keys": "top-secret-value"}"#).unwrap();
    let error = Sim::start(keeping(&path)).err().unwrap();
    let text = error.to_string();
    assert!(
        matches!(error, Error::Config(_)) && text.contains("line 1"),
        "{text}"
    );
    assert!(!text.contains("top-secret-value"), "{text}");
    assert!(
        std::fs::read_to_string(&path)
            .unwrap()
            .contains("top-secret-value")
    );
    let nowhere = keeping(Path::new("/does/not/exist/state.json"));
    let error = Sim::start(nowhere).err().unwrap().to_string();
    assert!(
        error.contains("cannot write /does/not/exist/state.json"),
        "{error}"
    );
}

#[test]
fn a_seed_makes_the_same_secrets_in_every_run() {
    let run = |seed| {
        let sim = Sim::start(Options {
            seed: Some(seed),
            http: Some(([127, 0, 0, 1], 0).into()),
            ..Options::default()
        });
        let sim = sim.unwrap();
        let product = ask(&sim, "POST", "products", "");
        let body = json!({"product_key": product["product_key"]});
        let device = ask(&sim, "POST", "devices", &body.to_string());
        (product.to_string(), device.to_string())
    };
    assert_eq!(run(7), run(7));
    assert_ne!(run(7), run(8));
}
