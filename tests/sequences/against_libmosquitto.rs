//! The same rows against the client of another library: what libmosquitto takes and we do not, and
//! the other way round, is written down in `libmosquitto.txt` with the reason.
//!
//! Behind the row comes a QoS 1 message, and then the end of what the broker sends. Who answers the
//! message has gone on; who does not has closed the connection, or still waits for more of the row's
//! packet.

use std::collections::BTreeMap;
use std::io::{ErrorKind, Read, Write};
use std::net::Shutdown;
use std::process::{Child, Command, Stdio};

use crate::row::{Phase, Row, Verdict, rows};
use crate::support::broker::{
    Broker, CONNECT, Connection, PUBLISH, SUBSCRIBE, UNSUBSCRIBE, publish,
};

/// The rows where the two differ, and whether it is we who go on.
fn differences() -> BTreeMap<&'static str, bool> {
    let mut known = BTreeMap::new();
    let lines = include_str!("libmosquitto.txt").lines();
    for line in lines.filter(|line| !line.starts_with('#')) {
        let fields: Vec<&str> = line.split(" | ").collect();
        let &[names, who, reason] = fields.as_slice() else {
            panic!("rows, who goes on, and why: {line}");
        };
        assert!(
            ["us", "them"].contains(&who) && !reason.is_empty(),
            "{line}"
        );
        for name in names.split(' ') {
            assert!(
                known.insert(name, who == "us").is_none(),
                "{name} is there twice"
            );
        }
    }
    known
}

/// The version that `libmosquitto.txt` is about: Debian 12's.
const VERSION: &str = "2.0.11";

fn has_version() -> bool {
    let output = Command::new("mosquitto_sub").arg("--help").output();
    let output = output.expect("mosquitto-clients are needed: `make deps` installs them");
    String::from_utf8_lossy(&output.stdout).contains(&format!("libmosquitto {VERSION}."))
}

struct Theirs(Child);

impl Drop for Theirs {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn start(phase: Phase, port: u16) -> Theirs {
    let (program, what): (&str, &[&str]) = match phase {
        Phase::Connecting | Phase::Connected | Phase::Subscribing => {
            ("mosquitto_sub", &["-t", "a", "-t", "b"])
        }
        Phase::Resuming => ("mosquitto_sub", &["-c", "-t", "a"]),
        Phase::Unsubscribing => ("mosquitto_sub", &["-t", "b", "-U", "a"]),
        Phase::Publishing => ("mosquitto_pub", &["-t", "a", "-m", "payload"]),
    };
    let port = port.to_string();
    let child = Command::new(program)
        .args(["-V", "mqttv311", "-h", "127.0.0.1", "-p", &port])
        .args(["-i", "device", "-q", "1"])
        .args(what)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    Theirs(child.expect("mosquitto-clients are needed: `make deps` installs them"))
}

/// Plays the broker up to the row's phase.
fn lead_to(broker: &Broker, phase: Phase) -> Connection {
    if matches!(phase, Phase::Connecting | Phase::Resuming) {
        let mut connection = broker.accept_tcp();
        connection.expect(CONNECT);
        return connection;
    }
    let mut connection = broker.accept(false);
    match phase {
        Phase::Publishing => assert_eq!(connection.expect(PUBLISH).publish().id, 1),
        Phase::Subscribing => assert_eq!(connection.expect(SUBSCRIBE).id(), 1),
        Phase::Unsubscribing => {
            // It does not unsubscribe alone, so that packet 1 of the rows is of nobody for it.
            let id = connection.expect(SUBSCRIBE).id();
            connection.suback(id, &[1]);
            connection.expect(UNSUBSCRIBE);
        }
        _ => {
            let id = connection.expect(SUBSCRIBE).id();
            connection.suback(id, &[1, 1]);
        }
    }
    connection
}

/// Whether libmosquitto goes on after the row.
pub(crate) fn goes_on(row: &Row) -> bool {
    let broker = Broker::listen();
    let _theirs = start(row.phase, broker.address().port());
    let mut connection = lead_to(&broker, row.phase);
    // They may have closed already: then there is nothing to be read either.
    let rest = [&row.bytes[..], &publish("probe", b"", 1, 0xABCD)].concat();
    let _ = connection.0.write_all(&rest);
    let _ = connection.0.shutdown(Shutdown::Write);
    let mut heard = Vec::new();
    if let Err(error) = connection.0.read_to_end(&mut heard) {
        assert_eq!(
            error.kind(),
            ErrorKind::ConnectionReset,
            "{}: {error}",
            row.name
        );
    }
    heard.windows(4).any(|four| four == [0x40, 2, 0xAB, 0xCD])
}

#[test]
fn libmosquitto_closes_where_we_close_but_for_what_is_written_down() {
    let rows = rows();
    let mut known = differences();
    let found = crate::each(&rows, |row| {
        let we_go_on = matches!(row.verdict, Verdict::Accept(_));
        (goes_on(row) != we_go_on).then_some(we_go_on)
    });
    let is_written_down = has_version();
    if !is_written_down {
        let text = "skipped: where another libmosquitto than 2.0.11 is laxer or stricter than it\n";
        std::io::stderr().write_all(text.as_bytes()).unwrap();
    }
    let mut wrong = Vec::new();
    for (row, difference) in rows.iter().zip(found) {
        let listed = known.remove(&*row.name);
        // Whatever its version: what we take and it does not, we take for a reason.
        if difference != listed && (is_written_down || difference == Some(true)) {
            let who = |we: Option<bool>| match we {
                None => "both do the same",
                Some(true) => "only we go on",
                Some(false) => "only they go on",
            };
            wrong.push(format!(
                "{}: {}; written down: {}",
                row.name,
                who(difference),
                who(listed)
            ));
        }
    }
    assert!(known.is_empty(), "there are no such rows: {known:?}");
    assert!(
        wrong.is_empty(),
        "{} of {}:\n{}",
        wrong.len(),
        rows.len(),
        wrong.join("\n")
    );
}
