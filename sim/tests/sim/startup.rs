//! Ways to start the program: demonstration, ports, certificates, one file for everything.

use std::collections::HashMap;
use std::io::{BufRead, BufReader};
use std::path::Path;

use aliot_sim::signature::Method;

use crate::device::{Connect, Device, skipped, trusting_pem};
use crate::mosquitto::mosquitto;
use crate::program::{Program, run};

#[test]
fn the_demonstration_prints_what_the_examples_need_and_a_device_gets_in_with_it() {
    let run = || {
        let mut program = Program::start(&["--demo", "--seed", "7", "--quiet"]);
        let lines = BufReader::new(program.child.stdout.take().unwrap()).lines();
        let mut exported = HashMap::new();
        for line in lines.map(Result::unwrap) {
            if let Some(pair) = line.strip_prefix("export ") {
                let (name, value) = pair.split_once('=').unwrap();
                exported.insert(name.to_owned(), value.trim_matches('\'').to_owned());
            }
            if line.starts_with("# the page") {
                break;
            }
        }
        (program, exported)
    };
    let (program, exported) = run();
    assert_eq!(exported["ALIOT_PORT"], program.ready["TLS_PORT"]);
    assert_eq!(exported["ALIOT_CA_FILE"], program.ready["CA_FILE"]);
    assert_eq!(exported["ALIOT_HOST"], "localhost");
    let (key, name) = (
        &exported["ALIOT_PRODUCT_KEY"],
        &exported["ALIOT_DEVICE_NAME"],
    );
    let content = format!("deviceName{name}productKey{key}");
    let secret = exported["ALIOT_DEVICE_SECRET"].as_bytes();
    // Neither id nor timestamp has to be signed; this one signs the id.
    let content = format!("clientIdx{content}");
    let connect = Connect {
        client_id: "x|securemode=2,signmethod=hmacsha1|".into(),
        user_name: format!("{name}&{key}"),
        password: Method::HmacSha1.sign(secret, content.as_bytes()),
        keep_alive: 60,
        clean_session: true,
    };
    let ca = std::fs::read_to_string(&exported["ALIOT_CA_FILE"]).unwrap();
    let address = format!("127.0.0.1:{}", exported["ALIOT_PORT"]);
    let config = trusting_pem(&ca, None);
    let mut device = Device::open_tls_at(address.parse().unwrap(), config).unwrap();
    device.send(&connect.bytes());
    assert_eq!(device.conn_ack(), (false, 0));
    // With a seed, another run has the same secret.
    assert_eq!(
        run().1["ALIOT_DEVICE_SECRET"],
        exported["ALIOT_DEVICE_SECRET"]
    );
}

#[test]
fn the_default_port_of_the_page_gives_way_and_a_chosen_one_does_not() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().to_str().unwrap();
    let program = Program::start(&[]);
    let taken = format!("127.0.0.1:{}", program.ready["HTTP_PORT"]);
    let output = run(&[
        "--tls",
        "127.0.0.1:0",
        "--tcp",
        "off",
        "--http",
        &taken,
        "--dir",
        dir,
    ]);
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(
        text.contains("--tls, --tcp and --http take other addresses"),
        "{text}"
    );
    let output = run(&[
        "--http",
        "0.0.0.0:0",
        "--tls",
        "127.0.0.1:0",
        "--tcp",
        "off",
        "--dir",
        dir,
    ]);
    assert!(
        String::from_utf8(output.stderr)
            .unwrap()
            .contains("a loopback address alone")
    );
}

#[test]
fn a_device_with_a_certificate_finds_it_in_the_folder() {
    use std::os::unix::fs::PermissionsExt;
    let program = Program::start(&["--x509-device", "pk,x"]);
    let dir = Path::new(&program.ready["CA_FILE"])
        .parent()
        .unwrap()
        .to_owned();
    let key = dir.join("pk.x.key");
    assert_eq!(key.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    let read = |path| std::fs::read_to_string(path).unwrap();
    let issued = aliot_sim::DeviceCertificate {
        certificate_pem: read(dir.join("pk.x.pem")),
        key_pem: read(key),
        sha256: String::new(),
    };
    let config = trusting_pem(&read(dir.join("ca.pem")), Some(&issued));
    let address = format!("127.0.0.1:{}", program.ready["TLS_PORT"]);
    let mut device = Device::open_tls_at(address.parse().unwrap(), config).unwrap();
    let connect = Connect {
        client_id: ".|securemode=2|".into(),
        user_name: "&".into(),
        password: String::new(),
        keep_alive: 60,
        clean_session: true,
    };
    device.send(&connect.bytes());
    assert_eq!(device.conn_ack(), (false, 0));
    assert_eq!(device.message().topic, "/ext/auth/identity/response");
}

#[test]
fn settings_stand_in_the_same_file_as_the_devices() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("sim.toml");
    let path = file.to_str().unwrap();
    let text = "[simulator]\nconnects = 1\nrates = \"off\"\ntime-scale = 0.5\nquiet = true\n\
        [[product]]\nkey = \"a1\"\nsecret = \"p\"\n[[product.device]]\nname = \"d\"\n";
    std::fs::write(&file, text).unwrap();
    let program = Program::start(&["--config", path]);
    assert_eq!(
        program.control().command("devices"),
        "ok a1/d=offline pk/dn=offline"
    );
    let status = || {
        let mut publisher = mosquitto(&program, "mosquitto_pub", false)?;
        publisher.args(["-t", "/pk/dn/user/update", "-m", "x"]);
        Some(publisher.output().unwrap().status.success())
    };
    let Some(first) = status() else {
        skipped(
            "mosquitto's clients are not installed; on Debian: apt-get install mosquitto-clients",
        );
        return;
    };
    assert_eq!((first, status()), (true, Some(false)));
    std::fs::write(&file, "[simulator]\nnonsense = 1\n").unwrap();
    let text = String::from_utf8(run(&["--config", path]).stderr).unwrap();
    assert!(
        text.contains("nonsense in [simulator] is no flag"),
        "{text}"
    );
}
