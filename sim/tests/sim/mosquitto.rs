//! Mosquitto's clients against the program.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use aliot_sim::signature::Method;

use crate::device::{PATIENCE, skipped};
use crate::program::Program;

/// A mosquitto client for `pk/dn`, or `None` if it is not installed.
pub(crate) fn mosquitto(program: &Program, which: &str, tls: bool) -> Option<Command> {
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

#[test]
fn a_foreign_client_publishes_and_subscribes_over_tcp_and_tls() {
    let program = Program::start(&[]);
    for tls in [false, true] {
        let Some(mut publisher) = mosquitto(&program, "mosquitto_pub", tls) else {
            skipped(
                "mosquitto's clients are not installed; on Debian: apt-get install mosquitto-clients",
            );
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
        skipped(
            "mosquitto's clients are not installed; on Debian: apt-get install mosquitto-clients",
        );
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
        skipped(
            "mosquitto's clients are not installed; on Debian: apt-get install mosquitto-clients",
        );
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
