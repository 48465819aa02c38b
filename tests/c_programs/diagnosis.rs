//! The examples that explain: what each says, and with which exit status, when something is wrong.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::Command;
use std::sync::mpsc::{Receiver, channel};
use std::thread;

use crate::examples::{Bench, SECRET};
use crate::toolbox::{build_preload, preload, say};

/// What a run came to.
struct Outcome {
    status: Option<i32>,
    said: String,
}

impl Outcome {
    /// A line that begins with `step` and goes on with `verdict`.
    fn has(&self, step: &str, verdict: &str) -> bool {
        self.said
            .lines()
            .filter_map(|line| line.strip_prefix(step))
            .any(|rest| rest.trim_start().starts_with(verdict))
    }
}

/// Runs the bench's program with the environment changed by `change`.
fn run(bench: &Bench, change: impl FnOnce(&mut Command)) -> Outcome {
    let mut command = bench.command();
    bench.environment(&mut command);
    change(&mut command);
    let output = command.output().unwrap();
    let said = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(!said.contains(SECRET), "it printed the secret: {said}");
    Outcome {
        status: output.status.code(),
        said,
    }
}

#[test]
fn diagnose_finds_that_all_is_well() {
    let bench = Bench::new("diagnose.c");
    let port = format!("TCP {}", bench.sim.tls_addr().unwrap().port());
    let outcome = run(&bench, |_| {});
    assert_eq!(outcome.status, Some(0), "{}", outcome.said);
    for step in ["clock", "name", port.as_str(), "TLS", "sign-in"] {
        assert!(outcome.has(step, "ok"), "{step}: {}", outcome.said);
    }
}

#[test]
fn diagnose_finds_the_wrong_ca() {
    let bench = Bench::new("diagnose.c");
    let outcome = run(&bench, |command| {
        command.env_remove("ALIOT_CA_FILE");
    });
    assert_eq!(outcome.status, Some(1), "{}", outcome.said);
    assert!(outcome.has("TLS", "FAILED"), "{}", outcome.said);
    assert!(outcome.said.contains("UnknownIssuer"), "{}", outcome.said);
    assert!(outcome.said.contains("GlobalSign"), "{}", outcome.said);
    assert!(!outcome.said.contains("sign-in"), "{}", outcome.said);
}

#[test]
fn diagnose_finds_the_wrong_secret() {
    let bench = Bench::new("diagnose.c");
    let outcome = run(&bench, |command| {
        command.env("ALIOT_DEVICE_SECRET", "canary-wrong");
    });
    assert_eq!(outcome.status, Some(1), "{}", outcome.said);
    assert!(outcome.has("TLS", "ok"), "{}", outcome.said);
    assert!(outcome.has("sign-in", "FAILED"), "{}", outcome.said);
    assert!(outcome.said.contains("CONNACK 4"), "{}", outcome.said);
    assert!(!outcome.said.contains("canary-wrong"), "{}", outcome.said);
}

#[test]
fn diagnose_finds_a_closed_port() {
    let bench = Bench::new("diagnose.c");
    let outcome = run(&bench, |command| {
        command.env("ALIOT_PORT", "1");
    });
    assert_eq!(outcome.status, Some(1), "{}", outcome.said);
    assert!(outcome.has("name", "ok"), "{}", outcome.said);
    assert!(outcome.has("TCP 1", "FAILED"), "{}", outcome.said);
    assert!(outcome.said.contains("refused"), "{}", outcome.said);
    assert!(!outcome.said.contains("TLS"), "{}", outcome.said);
}

#[test]
fn diagnose_finds_that_the_name_is_unknown() {
    let bench = Bench::new("diagnose.c");
    let outcome = run(&bench, |command| {
        command.env("ALIOT_HOST", "no-such-host.invalid");
    });
    assert_eq!(outcome.status, Some(1), "{}", outcome.said);
    assert!(outcome.has("name", "FAILED"), "{}", outcome.said);
    assert!(!outcome.said.contains("TCP"), "{}", outcome.said);
}

/// An HTTP proxy that connects everybody to `platform`, whatever the name; without one it refuses.
/// What it is asked for is received.
pub(crate) fn proxy(platform: Option<SocketAddr>) -> (String, Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let (sender, requests) = channel();
    thread::spawn(move || {
        for client in listener.incoming() {
            let (client, sender) = (client.unwrap(), sender.clone());
            thread::spawn(move || {
                let Some(request) = read_request(&client) else {
                    return; // somebody who only looked whether the port is open
                };
                let _ = sender.send(request);
                match platform {
                    None => answer(&client, "HTTP/1.1 403 Forbidden"),
                    Some(platform) => {
                        let server = TcpStream::connect(platform).unwrap();
                        answer(&client, "HTTP/1.1 200 OK");
                        let back = (server.try_clone().unwrap(), client.try_clone().unwrap());
                        thread::spawn(move || pass_on(&back.0, &back.1));
                        pass_on(&client, &server);
                    }
                }
            });
        }
    });
    (address, requests)
}

/// Up to the empty line; `None` if the end comes first.
fn read_request(mut client: &TcpStream) -> Option<String> {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        if client.read(&mut byte).ok()? == 0 {
            return None;
        }
        request.push(byte[0]);
    }
    Some(String::from_utf8(request).unwrap())
}

fn answer(mut client: &TcpStream, status: &str) {
    let _ = write!(client, "{status}\r\n\r\n");
}

fn pass_on(mut from: &TcpStream, mut to: &TcpStream) {
    let _ = std::io::copy(&mut from, &mut to);
    let _ = to.shutdown(Shutdown::Write);
}

/// Behind a proxy a device often has no name server: the platform's name is looked up there.
#[test]
fn diagnose_goes_through_a_proxy_that_alone_knows_the_name() {
    let bench = Bench::new("diagnose.c");
    let (proxy, requests) = proxy(bench.sim.tls_addr());
    let outcome = run(&bench, |command| {
        command
            .env("ALIOT_HOST", "platform.invalid")
            .env("ALIOT_SERVER_NAME", "localhost")
            .env("ALIOT_HTTP_PROXY", &proxy);
    });
    assert_eq!(outcome.status, Some(0), "{}", outcome.said);
    let port = format!("TCP {}", proxy.rsplit(':').next().unwrap());
    for step in ["name", port.as_str(), "proxy", "TLS", "sign-in"] {
        assert!(outcome.has(step, "ok"), "{step}: {}", outcome.said);
    }
    let request = requests.recv().unwrap();
    assert!(
        request.starts_with("CONNECT platform.invalid:"),
        "{request}"
    );
}

#[test]
fn diagnose_finds_that_a_proxy_refuses() {
    let bench = Bench::new("diagnose.c");
    let (proxy, _) = proxy(None);
    let outcome = run(&bench, |command| {
        command.env("ALIOT_HTTP_PROXY", &proxy);
    });
    assert_eq!(outcome.status, Some(1), "{}", outcome.said);
    assert!(outcome.has("proxy", "FAILED"), "{}", outcome.said);
    assert!(outcome.said.contains("403"), "{}", outcome.said);
    for unreached in ["TLS", "sign-in"] {
        let told = outcome.has(unreached, "ok") || outcome.has(unreached, "FAILED");
        assert!(!told, "{unreached}: {}", outcome.said);
    }
}

#[test]
fn diagnose_finds_that_the_proxy_is_not_there() {
    let bench = Bench::new("diagnose.c");
    let outcome = run(&bench, |command| {
        command.env("ALIOT_SOCKS_PROXY", "localhost:1");
    });
    assert_eq!(outcome.status, Some(1), "{}", outcome.said);
    assert!(outcome.has("name", "ok"), "{}", outcome.said);
    assert!(outcome.has("TCP 1", "FAILED"), "{}", outcome.said);
    assert!(!outcome.said.contains("sign-in"), "{}", outcome.said);
}

/// Stands in for the system's clock: two days into 1970.
const OLD_CLOCK: &str = r"
#define _GNU_SOURCE
#include <dlfcn.h>
#include <time.h>

int clock_gettime(clockid_t clock, struct timespec *time)
{
    int (*system)(clockid_t, struct timespec *);
    *(void **)&system = dlsym(RTLD_NEXT, __func__);
    int result = system(clock, time);
    if (clock == CLOCK_REALTIME)
        time->tv_sec = 172800;
    return result;
}

time_t time(time_t *out)
{
    if (out != 0)
        *out = 172800;
    return 172800;
}
";

#[test]
fn diagnose_finds_that_the_clock_is_wrong() {
    let bench = Bench::new("diagnose.c");
    let Some(clock) = build_preload("old_clock", OLD_CLOCK) else {
        say("no shared library can be built: the clock is not tried");
        return;
    };
    let mut command = Command::new(&bench.program);
    bench.environment(&mut command);
    let output = command.env("LD_PRELOAD", preload(&clock)).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("clock      FAILED: 1970-01-03"), "{said}");
    assert!(said.contains("TLS        FAILED"), "{said}");
    assert!(said.contains("set the clock"), "{said}");
}

#[test]
fn signcheck_tells_right_from_wrong() {
    let bench = Bench::new("signcheck.c");
    let credentials = Bench::new("credentials.c");
    let outcome = run(&credentials, |_| {});
    let value = |name: &str| {
        let quoted = outcome.said.lines().find_map(|line| {
            let line = line.strip_prefix(name)?;
            line.strip_prefix("='")
        });
        quoted.unwrap().trim_end_matches('\'').to_owned()
    };
    let (client_id, username, password) =
        (value("client_id"), value("username"), value("password"));
    let check = |client_id: &str, username: &str, password: &str| {
        run(&bench, |command| {
            command
                .env("client_id", client_id)
                .env("username", username)
                .env("password", password);
        })
    };
    let right = check(&client_id, &username, &password);
    assert_eq!(right.status, Some(0), "{}", right.said);
    let bare = client_id.split('|').next().unwrap();
    for (wrong, part) in [
        (check(bare, &username, &password), "both bars"),
        (check(&client_id, "a1demo&lamp", &password), "swap"),
        (check(&client_id, &username, SECRET), "the secret itself"),
        (check(&client_id, &username, ""), "it is empty"),
        (
            check(
                &client_id.replace("securemode=2", "securemode=3"),
                &username,
                &password,
            ),
            "over TLS",
        ),
        (
            check(
                &client_id.replace("timestamp", "time"),
                &username,
                &password,
            ),
            "must carry timestamp=2524608000000",
        ),
    ] {
        assert_eq!(wrong.status, Some(1), "{}", wrong.said);
        assert!(wrong.said.contains(part), "{}", wrong.said);
    }
    let nothing = run(&bench, |_| {});
    assert_eq!(nothing.status, Some(2), "{}", nothing.said);
    assert!(nothing.said.contains("client_id is not set"));
}

/// The examples that need nothing but the environment say what is missing there.
#[test]
fn diagnosis_needs_an_identity() {
    for example in ["diagnose.c", "signcheck.c"] {
        let program: PathBuf = Bench::new(example).program;
        let output = Command::new(program).env_clear().output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{example}");
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(error.contains("ALIOT_PRODUCT_KEY is not set"), "{error}");
    }
}
