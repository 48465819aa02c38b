//! The program `aliot-sim`: flags, files, the control port, and mosquitto's clients against it.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use aliot_sim::signature::Method;
use tempfile::TempDir;

use crate::device::{Connect, Device, PATIENCE, trusting_pem};

const PROGRAM: &str = env!("CARGO_BIN_EXE_aliot-sim");

/// The program while it runs, with free ports.
pub(crate) struct Program {
    pub(crate) child: Child,
    pub(crate) ready: HashMap<String, String>,
    _dir: TempDir,
}

impl Program {
    pub(crate) fn start(flags: &[&str]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let ready_file = dir.path().join("ready");
        let child = Command::new(PROGRAM)
            .args([
                "--tls",
                "127.0.0.1:0",
                "--tcp",
                "127.0.0.1:0",
                "--control",
                "127.0.0.1:0",
                "--http",
                "127.0.0.1:0",
            ])
            .args(["--device", "pk,dn,secret"])
            .arg("--dir")
            .arg(dir.path().join("made"))
            .arg("--ready-file")
            .arg(&ready_file)
            .args(flags)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let text = wait_for_file(&ready_file);
        let pairs = text.lines().map(|line| line.split_once('=').unwrap());
        Self {
            child,
            ready: pairs
                .map(|(key, value)| (key.to_owned(), value.to_owned()))
                .collect(),
            _dir: dir,
        }
    }

    fn control(&self) -> Control {
        let port: u16 = self.ready["CONTROL_PORT"].parse().unwrap();
        let stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Control(BufReader::new(stream))
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

struct Control(BufReader<TcpStream>);

impl Control {
    fn line(&mut self) -> String {
        let mut line = String::new();
        self.0.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }

    fn command(&mut self, command: &str) -> String {
        writeln!(self.0.get_mut(), "{command}").unwrap();
        self.line()
    }
}

fn wait_for_file(path: &Path) -> String {
    let start = Instant::now();
    loop {
        if let Ok(text) = std::fs::read_to_string(path) {
            return text;
        }
        assert!(
            start.elapsed() < PATIENCE,
            "{} does not appear",
            path.display()
        );
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// A mosquitto client for `pk/dn`, or `None` if it is not installed.
fn mosquitto(program: &Program, which: &str, tls: bool) -> Option<Command> {
    if Command::new(which).arg("--help").output().is_err() {
        return None;
    }
    let (mode, port) = if tls {
        (2, "TLS_PORT")
    } else {
        (3, "TCP_PORT")
    };
    let password = Method::HmacSha1.sign(
        b"secret",
        b"clientId12345deviceNamednproductKeypktimestamp789",
    );
    let mut command = Command::new(which);
    command
        .args([
            "-h",
            "localhost",
            "-p",
            &program.ready[port],
            "-k",
            "60",
            "-V",
            "mqttv311",
        ])
        .args([
            "-i",
            &format!("12345|securemode={mode},signmethod=hmacsha1,timestamp=789|"),
        ])
        .args(["-u", "dn&pk", "-P", &password]);
    if tls {
        command.args(["--cafile", &program.ready["CA_FILE"]]);
    }
    Some(command)
}

fn run(arguments: &[&str]) -> Output {
    Command::new(PROGRAM)
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

#[test]
fn a_foreign_client_publishes_and_subscribes_over_tcp_and_tls() {
    let program = Program::start(&[]);
    for tls in [false, true] {
        let Some(mut publisher) = mosquitto(&program, "mosquitto_pub", tls) else {
            eprintln!("skipped: mosquitto's clients are not installed");
            return;
        };
        let mut control = program.control();
        assert_eq!(control.command("watch"), "ok");
        publisher.args(["-q", "1", "-t", "/pk/dn/user/update", "-m", "hello"]);
        assert!(publisher.status().unwrap().success());
        assert_eq!(control.line(), "pk dn /pk/dn/user/update 1 text hello");

        let mut subscriber = mosquitto(&program, "mosquitto_sub", tls).unwrap();
        subscriber.args([
            "-q",
            "1",
            "-t",
            "/pk/dn/user/get",
            "-C",
            "2",
            "-v",
            "-W",
            "20",
        ]);
        let subscriber = subscriber.stdout(Stdio::piped()).spawn().unwrap();
        let start = Instant::now();
        while control.command("publish1 pk dn user/get two words") != "ok" {
            assert!(start.elapsed() < PATIENCE);
            std::thread::sleep(Duration::from_millis(10));
        }
        assert_eq!(control.command("publish pk dn /pk/dn/user/get again"), "ok");
        let output = subscriber.wait_with_output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        assert_eq!(text, "/pk/dn/user/get two words\n/pk/dn/user/get again\n");
    }
}

#[test]
fn a_foreign_client_of_mqtt_3_1_is_let_in() {
    let program = Program::start(&[]);
    let Some(mut publisher) = mosquitto(&program, "mosquitto_pub", true) else {
        eprintln!("skipped: mosquitto's clients are not installed");
        return;
    };
    let mut control = program.control();
    assert_eq!(control.command("watch"), "ok");
    publisher.args(["-V", "mqttv31", "-q", "1"]);
    publisher.args(["-t", "/pk/dn/user/update", "-m", "old"]);
    assert!(publisher.status().unwrap().success());
    assert_eq!(control.line(), "pk dn /pk/dn/user/update 1 text old");
}

#[test]
fn a_foreign_client_with_a_wrong_password_learns_the_code_and_its_owner_the_reason() {
    let mut program = Program::start(&[]);
    let Some(mut publisher) = mosquitto(&program, "mosquitto_pub", true) else {
        eprintln!("skipped: mosquitto's clients are not installed");
        return;
    };
    let output = publisher
        .args(["-P", "nonsense", "-t", "/pk/dn/user/update", "-m", "x"])
        .output();
    assert!(!output.unwrap().status.success());
    let log = BufReader::new(program.child.stdout.take().unwrap());
    let refused = log
        .lines()
        .map(Result::unwrap)
        .find(|line| line.contains("refused"));
    assert!(
        refused
            .unwrap()
            .contains("with code 4: the password is not hex")
    );
}

#[test]
fn every_command_is_answered_in_one_line() {
    let program = Program::start(&["--device", "pk,second,another"]);
    let mut control = program.control();
    for (command, answer) in [
        ("devices", "ok pk/dn=offline pk/second=offline"),
        ("kick pk dn", "error pk/dn is not connected"),
        ("cut pk dn", "error pk/dn is not connected"),
        ("reset pk dn", "error pk/dn is not connected"),
        ("publish pk dn user/get x", "error pk/dn is not connected"),
        ("refuse pk dn 5", "ok"),
        ("refuse pk dn off", "ok"),
        ("refuse pk dn x", "error a code is 1 to 255, or off"),
        ("refuse pk dn 0", "error code 0 is no refusal: 1 to 255"),
        ("drop-acks pk dn on", "ok"),
        ("drop-acks pk dn", "error say on or off"),
        ("hold on", "ok"),
        ("hold off", "ok"),
        (
            "kick pk",
            "error product key and device name are missing; try help",
        ),
        ("", "error an empty line; try help"),
        ("nonsense", "error no such command; try help"),
    ] {
        assert_eq!(control.command(command), answer, "{command}");
    }
    assert!(control.command("help").starts_with("ok publish|publish1"));
}

#[test]
fn standard_input_takes_the_same_commands() {
    let mut program = Program::start(&["--quiet"]);
    let mut stdin = program.child.stdin.take().unwrap();
    writeln!(stdin, "devices").unwrap();
    drop(stdin);
    let mut answers = BufReader::new(program.child.stdout.take().unwrap()).lines();
    assert_eq!(answers.next().unwrap().unwrap(), "ok pk/dn=offline");
    // Without standard input the program goes on.
    assert_eq!(program.control().command("hold off"), "ok");
}

#[test]
fn a_configuration_file_is_read_and_a_bad_one_explained() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("sim.toml");
    let path = file.to_str().unwrap();
    let text = "[[product]]\nkey = \"a1\"\n[[product.device]]\nname = \"d\"\nsecret = \"s\"\n";
    std::fs::write(&file, text).unwrap();
    let program = Program::start(&["--config", path]);
    assert_eq!(
        program.control().command("devices"),
        "ok a1/d=offline pk/dn=offline"
    );

    std::fs::write(&file, "[[product]]\nname = \"a1\"\n").unwrap();
    let output = run(&["--config", path]);
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(text.contains("line 2: unknown field `name`"), "{text}");
    let output = run(&["--config", "/does/not/exist"]);
    assert!(
        String::from_utf8(output.stderr)
            .unwrap()
            .contains("cannot read /does/not/exist")
    );
}

#[test]
fn a_taken_port_and_a_wrong_flag_are_explained() {
    let program = Program::start(&[]);
    let taken = format!("127.0.0.1:{}", program.ready["TCP_PORT"]);
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().to_str().unwrap();
    let output = run(&["--tls", "off", "--tcp", &taken, "--dir", dir]);
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(
        text.contains(&format!("cannot listen on {taken}")),
        "{text}"
    );
    for flags in [
        &["--nonsense"][..],
        &["--tls", "here"],
        &["--device", "pk"],
        &["--name"],
    ] {
        assert_eq!(run(flags).status.code(), Some(2), "{flags:?}");
    }
    assert!(run(&["--help"]).stdout.starts_with(b"usage: aliot-sim"));
}

#[test]
fn the_folder_of_the_authority_is_private() {
    use std::os::unix::fs::PermissionsExt;
    let program = Program::start(&[]);
    let file = Path::new(&program.ready["CA_FILE"]);
    let mode = file
        .parent()
        .unwrap()
        .metadata()
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o700);
    assert!(
        std::fs::read_to_string(file)
            .unwrap()
            .starts_with("-----BEGIN CERTIFICATE")
    );
}

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
        eprintln!("skipped: mosquitto's clients are not installed");
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
