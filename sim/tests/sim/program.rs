//! The program `aliot-sim`: flags, files and the control port.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::device::PATIENCE;

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

    pub(crate) fn control(&self) -> Control {
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

pub(crate) struct Control(BufReader<TcpStream>);

impl Control {
    pub(crate) fn line(&mut self) -> String {
        let mut line = String::new();
        self.0.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }

    pub(crate) fn command(&mut self, command: &str) -> String {
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

pub(crate) fn run(arguments: &[&str]) -> Output {
    Command::new(PROGRAM)
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .unwrap()
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
