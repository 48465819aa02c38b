//! What the system does to the process: clocks that jump, a suspension, calls that fail.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant, SystemTime};

use aliot::{Config, Counter, Endpoint, EventKind, Identity, Qos};

use crate::alone::{run_alone, run_alone_by};
use crate::chaos::quick;
use crate::ran::ran;
use crate::support::broker::{Broker, PINGREQ};
use crate::support::device::{Device, config, private};
use crate::support::mosquitto::Mosquitto;
use crate::support::{PATIENCE, eventually};

fn skip(test: &str, why: &str) {
    // Past the harness, which keeps the output of a test that passes to itself.
    let _ = writeln!(std::io::stderr(), "skipped: {test}: {why}");
}

/// Debian's libfaketime, for programs with threads.
pub(crate) fn faketime() -> Option<PathBuf> {
    let folders = std::fs::read_dir("/usr/lib").ok()?;
    folders
        .map(|folder| folder.unwrap().path().join("faketime/libfaketimeMT.so.1"))
        .find(|library| library.exists())
}

pub(crate) const NEED_FAKETIME: [&str; 1] = ["a_wall_clock_that_jumps_moves_no_deadline"];

pub(crate) fn has_fiu() -> bool {
    Command::new("fiu-run").arg("-h").output().is_ok()
}

/// One of the C programs among them.
pub(crate) const NEED_FIU: [&str; 2] = [
    "system_calls_that_fail_at_random_delay_and_do_nothing_else",
    "system_calls_that_fail_at_random_are_results_or_delays",
];

#[test]
fn a_wall_clock_that_jumps_moves_no_deadline() {
    let test = "a_wall_clock_that_jumps_moves_no_deadline";
    let Some(library) = faketime() else {
        return skip(test, "libfaketime is not there (on Debian: faketime)");
    };
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("time");
    let before = [
        "env".to_owned(),
        format!("LD_PRELOAD={}", library.display()),
        format!("FAKETIME_TIMESTAMP_FILE={}", file.display()),
        "FAKETIME_NO_CACHE=1".to_owned(),
        // The real ones: CLOCK_MONOTONIC does not jump.
        "FAKETIME_DONT_FAKE_MONOTONIC=1".to_owned(),
    ];
    let set = |file: &str, time: &str| std::fs::write(file, format!("{time}\n")).unwrap();
    set(file.to_str().unwrap(), "+0");
    let before: Vec<&str> = before.iter().map(String::as_str).collect();
    run_alone_by(&before, &format!("process::{test}"), "clock", || {
        let file = std::env::var("FAKETIME_TIMESTAMP_FILE").unwrap();
        let broker = Broker::listen();
        let mut config = config(broker.address());
        config.set_keep_alive_s(1).unwrap();
        let device = Device::start(&config);
        let mut connection = broker.accept(false);
        let today = SystemTime::now();
        let times = ["+1d", "-1d", "@1970-01-02 00:00:00", "@2038-01-20 00:00:00"];
        ran(test, times.len());
        for time in times {
            set(&file, time);
            let jumped = |now: SystemTime| {
                let either = now
                    .duration_since(today)
                    .or_else(|_| today.duration_since(now));
                either.unwrap() > Duration::from_secs(80_000)
            };
            eventually("the wall clock jumps", || jumped(SystemTime::now()));
            for _ in 0..2 {
                let since = Instant::now();
                connection.expect(PINGREQ);
                connection.send(&[0xD0, 0]);
                assert!(since.elapsed() < Duration::from_secs(5), "after {time}");
            }
            let token = device.publish("a", time.as_bytes());
            let id = connection.expect_publish().id;
            connection.puback(id);
            assert_eq!(device.completion(token), Ok(None));
        }
        assert_eq!(device.client.counter(Counter::Attempts), 1);
    });
}

/// A hundred and thirty years, more than 2^32 seconds but for a little.
const YEARS: [&str; 5] = ["unshare", "--time", "--monotonic", "4100000000", "--fork"];

pub(crate) fn time_namespace_lacks() -> bool {
    let mut command = Command::new(YEARS[0]);
    let tried = command.args(&YEARS[1..]).arg("true").output();
    !tried.is_ok_and(|output| output.status.success())
}

pub(crate) const NEED_TIME_NAMESPACE: [&str; 1] =
    ["a_system_that_has_been_up_for_years_is_like_any_other"];

#[test]
fn a_system_that_has_been_up_for_years_is_like_any_other() {
    let test = "a_system_that_has_been_up_for_years_is_like_any_other";
    let first = std::env::var_os("ALIOT_TEST_CHILD").is_none();
    if first && time_namespace_lacks() {
        return skip(test, "this system gives no time namespace to this user");
    }
    run_alone_by(&YEARS, &format!("process::{test}"), "uptime", || {
        let broker = Broker::listen();
        let mut config = config(broker.address());
        config.set_keep_alive_s(1).unwrap();
        let _device = Device::start(&config);
        let mut connection = broker.accept(false);
        for _ in 0..2 {
            connection.expect(PINGREQ);
            connection.send(&[0xD0, 0]);
        }
    });
}

#[test]
fn a_process_that_was_suspended_goes_on_within_seconds() {
    let test = "process::a_process_that_was_suspended_goes_on_within_seconds";
    run_alone(test, "suspended", || {
        let broker = Mosquitto::start("suspended");
        let device = Device::connect(&quick("suspended", broker.tcp.port()));
        // Three intervals, after which a broker may have given the device up.
        let pid = std::process::id();
        let script = format!("kill -STOP {pid}; sleep 3; kill -CONT {pid}");
        Command::new("sh").args(["-c", &script]).status().unwrap();
        let resumed = Instant::now();
        let token = device.publish("a", b"x");
        assert_eq!(device.completion(token), Ok(None));
        let took = resumed.elapsed();
        let connects = device.client.counter(Counter::Connects);
        eprintln!("measured: {took:.1?} after a suspension of 3 s, on connection {connects}");
        assert!(took < Duration::from_secs(5), "{took:?}");
        assert!(connects <= 2, "{connects} connections");
    });
}

/// Whether the process is stopped, as the system says.
fn is_stopped(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let after_name = stat.rsplit_once(") ").map(|(_, rest)| rest);
    after_name.is_some_and(|rest| rest.starts_with('T'))
}

fn signal(pid: u32, name: &str) {
    let status = Command::new("kill").args([name, &pid.to_string()]).status();
    assert!(status.unwrap().success());
}

#[test]
fn a_suspended_process_that_was_given_up_meanwhile_connects_once_more() {
    let test = "process::a_suspended_process_that_was_given_up_meanwhile_connects_once_more";
    let child = std::env::var("ALIOT_TEST_PORT").ok();
    // The peer is outside, so that it can act while the device cannot.
    let broker = child.is_none().then(Broker::listen);
    let port = child.unwrap_or_else(|| broker.as_ref().unwrap().address().port().to_string());
    let peer = broker.map(|broker| {
        std::thread::spawn(move || {
            let mut connection = broker.accept(false);
            let published = connection.expect_publish();
            let pid: u32 = std::str::from_utf8(&published.payload)
                .unwrap()
                .parse()
                .unwrap();
            signal(pid, "-STOP");
            eventually("the device is suspended", || is_stopped(pid));
            // When the device goes on, the time for this has passed, but it has come.
            connection.puback(published.id);
            // What a broker does after one and a half intervals; the device sleeps for three.
            connection.hang_up();
            std::thread::sleep(Duration::from_secs(3));
            signal(pid, "-CONT");
            let resumed = Instant::now();
            let mut connection = broker.accept(false);
            let took = resumed.elapsed();
            let published = connection.expect_publish();
            connection.puback(published.id);
            // Until the device has counted its connections: it would begin another one.
            connection.expect_end();
            assert!(took < Duration::from_secs(5), "{took:?}");
            took
        })
    });
    let variable = format!("ALIOT_TEST_PORT={port}");
    run_alone_by(&["env", &variable], test, "given up", || {
        let device = Device::connect(&quick("suspended", port.parse().unwrap()));
        let token = device.publish("a", std::process::id().to_string().as_bytes());
        let lost = device.event(EventKind::Disconnected, 1);
        assert_eq!(device.completion(token), Ok(None), "{lost:?}");
        let token = device.publish("a", b"on again");
        assert_eq!(device.completion(token), Ok(None));
        assert_eq!(device.client.counter(Counter::Connects), 2);
        assert_eq!(device.client.counter(Counter::Attempts), 2);
    });
    let took = peer.unwrap().join().unwrap();
    eprintln!("measured: given up while suspended, connected again after {took:.1?}");
}

#[test]
fn system_calls_that_fail_at_random_delay_and_do_nothing_else() {
    let test = "system_calls_that_fail_at_random_delay_and_do_nothing_else";
    let child = std::env::var("ALIOT_TEST_PORT").ok();
    if child.is_none() && !has_fiu() {
        return skip(test, "fiu-run is not there (on Debian: fiu-utils)");
    }
    // The broker is outside, so that it is spared.
    let broker = child.is_none().then(|| Mosquitto::start("fiu"));
    let port = child.unwrap_or_else(|| broker.as_ref().unwrap().tcp.port().to_string());
    let variable = format!("ALIOT_TEST_PORT={port}");
    // Not poll, without which Rust's own start of a program aborts: a C program has no such start.
    let all: &[&str] = &["socket", "connect", "send*", "recv*", "shutdown"];
    let (calls, probabilities) = ([&["socket"], &["connect"], all], ["0.05", "0.2"]);
    ran(test, calls.len() * probabilities.len());
    for names in calls {
        for probability in probabilities {
            let enable =
                |name| format!("enable_random name=posix/io/net/{name},probability={probability}");
            let rules: Vec<String> = names.iter().map(enable).collect();
            let rule = format!("ALIOT_TEST_RULE={names:?} {probability}");
            let mut before = vec!["env", &variable, &rule, "fiu-run", "-x"];
            for rule in &rules {
                before.extend(["-c", rule]);
            }
            run_alone_by(&before, &format!("process::{test}"), "fiu", || {
                let device = Device::start(&quick("fiu", port.parse().unwrap()));
                for n in 0..50_u8 {
                    device.publish("a", &[n]);
                }
                device.client.wait_flushed(PATIENCE).unwrap();
                device.subscribe("b", Qos::AtLeastOnce);
                device.client.wait_flushed(PATIENCE).unwrap();
                let client = &device.client;
                let failures = || {
                    client.counter(Counter::ConnectFailures)
                        + client.counter(Counter::LostToNetwork)
                };
                // One connection may have had luck, a thousand cannot.
                let mut lives = 1;
                while failures() == 0 {
                    assert!(lives < 1000, "no call ever failed");
                    client.stop(Duration::ZERO).unwrap();
                    device.event(EventKind::Stopped, lives);
                    client.start().unwrap();
                    client.wait_connected(PATIENCE).unwrap();
                    lives += 1;
                }
                eprintln!(
                    "measured: fiu: {} failed attempts and lost connections, {lives} starts: {}",
                    failures(),
                    std::env::var("ALIOT_TEST_RULE").unwrap()
                );
            });
        }
    }
}

#[test]
fn little_address_space_is_enough() {
    let test = "process::little_address_space_is_enough";
    // Four times what the test program itself maps.
    let before = ["sh", "-c", "ulimit -v 262144 && exec \"$@\"", "sh"];
    run_alone_by(&before, test, "small", || {
        let broker = Broker::listen();
        let device = Device::start(&config(broker.address()));
        let mut connection = broker.accept(false);
        let token = device.publish("a", &[7; 100_000]);
        let id = connection.expect_publish().id;
        connection.puback(id);
        assert_eq!(device.completion(token), Ok(None));
    });
}

#[test]
fn the_environment_makes_no_key_log_and_no_difference() {
    let test = "process::the_environment_makes_no_key_log_and_no_difference";
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("keys");
    let key_log = format!("SSLKEYLOGFILE={}", file.display());
    let odd = [
        "LANG=xx_YY.UTF-7",
        "LC_ALL=*",
        "TZ=:nowhere",
        "RUST_LOG=trace",
    ];
    let before = [&["env", key_log.as_str()], &odd[..]].concat();
    run_alone_by(&before, test, "environment", || {
        let broker = Mosquitto::start("environment");
        let identity = Identity::verbatim("device", "user", "password").unwrap();
        let mut endpoint = Endpoint::host("localhost", broker.tls.port()).unwrap();
        endpoint.set_ca_pem(broker.ca_pem.as_bytes()).unwrap();
        let mut config = Config::new(&identity, &endpoint).unwrap();
        private(&mut config);
        let device = Device::connect(&config);
        let token = device.publish("a", b"x");
        assert_eq!(device.completion(token), Ok(None));
    });
    assert!(!file.exists(), "keys of TLS were written to a file");
}
