//! Clients of other people: the simulator is what they take the platform for.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use aliot_sim::signature::Method;
use aliot_sim::{Options, Qos, Sim};
use tempfile::TempDir;

use crate::device::{PATIENCE, SECRET, sim_with, skipped, wait_for_line};

/// A simulator whose authority is in a file, with the folder for whatever a client needs.
fn sim_in(dir: &TempDir) -> Sim {
    sim_with(Options {
        dir: Some(dir.path().join("sim")),
        ..Options::default()
    })
}

/// A client that says on its standard output what it does.
struct Client(Child);

impl Drop for Client {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Client {
    fn start(command: &mut Command) -> (Self, impl Iterator<Item = String> + use<>) {
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        (Self(child), lines.map(Result::unwrap))
    }

    fn succeeded(mut self) -> bool {
        let start = Instant::now();
        loop {
            if let Some(status) = self.0.try_wait().unwrap() {
                return status.success();
            }
            assert!(start.elapsed() < PATIENCE, "the client does not end");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

/// Has the client publish `hello`, sends it `on` once it subscribed, and expects it to repeat that.
fn exchange(sim: &Sim, client: Client, mut lines: impl Iterator<Item = String>) {
    lines
        .find(|line| line == "subscribed")
        .expect("the client never subscribes");
    let connection = &sim.connections()[0];
    assert_eq!(connection.transport, aliot_sim::Transport::Tls);
    sim.publish("pk", "dn", "user/get", b"on", Qos::AtLeastOnce)
        .unwrap();
    assert_eq!(
        lines.find(|line| line.starts_with("got ")).as_deref(),
        Some("got on")
    );
    assert!(client.succeeded());
    let received = sim.received();
    let hello = received
        .iter()
        .find(|message| message.topic == "/pk/dn/user/update")
        .unwrap();
    assert_eq!(
        (&*hello.payload, hello.qos),
        (&b"hello"[..], Qos::AtLeastOnce)
    );
}

const PAHO_C: &str = include_str!("foreign/paho.c");
const PAHO_PYTHON: &str = include_str!("foreign/paho.py");
const LINKKIT: &str = include_str!("foreign/linkkit.py");

fn build(dir: &Path) -> Option<std::path::PathBuf> {
    let (source, program) = (dir.join("paho.c"), dir.join("paho"));
    std::fs::write(&source, PAHO_C).unwrap();
    let output = Command::new("cc")
        .args(["-Wall", "-Werror", "-o"])
        .args([&program, &source])
        .arg("-lpaho-mqtt3cs")
        .output();
    match output {
        Ok(output) if output.status.success() => Some(program),
        Ok(output) if String::from_utf8_lossy(&output.stderr).contains("MQTTClient.h") => {
            skipped("paho C is not installed; on Debian: apt-get install libpaho-mqtt-dev");
            None
        }
        Ok(output) => panic!("{}", String::from_utf8_lossy(&output.stderr)),
        Err(_) => {
            skipped("there is no C compiler; on Debian: apt-get install gcc");
            None
        }
    }
}

#[test]
fn paho_c_signs_in_over_tls_and_exchanges_messages() {
    let dir = tempfile::tempdir().unwrap();
    let Some(program) = build(dir.path()) else {
        return;
    };
    let sim = sim_in(&dir);
    let content = b"clientIdpk.dndeviceNamednproductKeypktimestamp2524608000000";
    let password = Method::HmacSha256.sign(SECRET.as_bytes(), content);
    let client_id = "pk.dn|securemode=2,signmethod=hmacsha256,timestamp=2524608000000|";
    let port = sim.tls_addr().unwrap().port();
    let (client, lines) = Client::start(
        Command::new(program)
            .arg(format!("ssl://localhost:{port}"))
            .args([client_id, "dn&pk", &password])
            .arg(sim.ca_file().unwrap()),
    );
    exchange(&sim, client, lines);
}

/// A Python in which `check` runs, or what to install.
fn python(check: &str, packages: &str) -> Option<String> {
    let chosen = std::env::var("ALIOT_PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let found = Command::new(&chosen)
        .args(["-c", check])
        .stderr(Stdio::null())
        .status();
    if found.is_ok_and(|status| status.success()) {
        return Some(chosen);
    }
    skipped(&format!(
        "{chosen} lacks {packages}; python3 -m venv v && v/bin/pip install {packages}, \
         then ALIOT_PYTHON=v/bin/python"
    ));
    None
}

fn script(dir: &Path, python: &str, text: &str, sim: &Sim) -> Command {
    let file = dir.join("client.py");
    std::fs::write(&file, text).unwrap();
    let mut command = Command::new(python);
    command
        .arg("-u")
        .arg(file)
        .args(["localhost", &sim.tls_addr().unwrap().port().to_string()])
        .arg(sim.ca_file().unwrap())
        .args(["pk", "dn", SECRET]);
    command
}

#[test]
fn paho_python_signs_in_over_tls_and_exchanges_messages() {
    let Some(python) = python("import paho.mqtt.client", "paho-mqtt") else {
        return;
    };
    let dir = tempfile::tempdir().unwrap();
    let sim = sim_in(&dir);
    let (client, lines) = Client::start(&mut script(dir.path(), &python, PAHO_PYTHON, &sim));
    exchange(&sim, client, lines);
}

#[test]
fn the_vendors_python_package_signs_in_over_tls_and_exchanges_messages() {
    // The package calls paho as it was before its version 2.
    let check = "import linkkit.linkkit, paho.mqtt; assert paho.mqtt.__version__[0] == '1'";
    let Some(python) = python(check, "aliyun-iot-linkkit 'paho-mqtt<2'") else {
        return;
    };
    let dir = tempfile::tempdir().unwrap();
    let sim = sim_in(&dir);
    let (client, lines) = Client::start(&mut script(dir.path(), &python, LINKKIT, &sim));
    exchange(&sim, client, lines);
    // Its client id has bars within a value, as the package's own examples have.
    wait_for_line(&sim, &["connected pk/dn over TLS", "sii=eth|03ACDEFF0032|"]);
}
