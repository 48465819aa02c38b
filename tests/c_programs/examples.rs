//! The examples and the README's quick start: each is compiled with every warning on, and run
//! against a simulator through an outage.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use aliot_sim::{Options, Qos, Sim};

use crate::toolbox::{
    ROOT, SANITIZER_OPTIONS, build, build_with, check, has_valgrind, installed_library, scratch,
    valgrind,
};

const PATIENCE: Duration = Duration::from_secs(60);
pub(crate) const SECRET: &str = "canary-device-secret";

/// A program from `c_examples`, under valgrind if that is there, with its platform beside it.
pub(crate) struct Bench {
    pub(crate) sim: Sim,
    pub(crate) program: PathBuf,
}

impl Bench {
    pub(crate) fn new(example: &str) -> Self {
        // Benches of the same example are at work at the same time.
        static BENCHES: AtomicUsize = AtomicUsize::new(0);
        let number = BENCHES.fetch_add(1, Ordering::Relaxed);
        let source = Path::new(ROOT).join("c_examples").join(example);
        let directory = scratch().join(format!("example-{example}-{number}"));
        let sim = Sim::start(Options {
            dir: Some(directory),
            ..Options::default()
        })
        .unwrap();
        sim.add_device("a1demo", "lamp", SECRET);
        let mark = format!("-{number}");
        let program = build_with(&source, &installed_library(), &["-O0"], &mark);
        Self { sim, program }
    }

    /// Over TLS, so that only addresses and leaks are looked at: see `main.rs`.
    pub(crate) fn command(&self) -> Command {
        if has_valgrind() {
            valgrind(&self.program, &["--undef-value-errors=no"])
        } else {
            Command::new(&self.program)
        }
    }

    pub(crate) fn environment(&self, command: &mut Command) {
        command
            .envs(SANITIZER_OPTIONS)
            .env("ALIOT_PRODUCT_KEY", "a1demo")
            .env("ALIOT_DEVICE_NAME", "lamp")
            .env("ALIOT_DEVICE_SECRET", SECRET)
            .env("ALIOT_HOST", "localhost")
            .env(
                "ALIOT_PORT",
                self.sim.tls_addr().unwrap().port().to_string(),
            )
            .env("ALIOT_CA_FILE", self.sim.ca_file().unwrap());
    }

    /// Starts it; its standard output comes line by line.
    fn start(&self, arguments: &[&str]) -> Running {
        self.start_with(arguments, &[])
    }

    /// As `start`, with further variables.
    pub(crate) fn start_with(&self, arguments: &[&str], variables: &[(&str, &str)]) -> Running {
        let mut command = self.command();
        self.environment(command.args(arguments));
        let mut process = command
            .envs(variables.iter().copied())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (sender, lines) = channel();
        let stdout = BufReader::new(process.stdout.take().unwrap());
        std::thread::spawn(move || {
            for line in stdout.lines() {
                let _ = sender.send(line.unwrap());
            }
        });
        Running {
            process,
            lines,
            said: Vec::new(),
        }
    }
}

pub(crate) struct Running {
    process: Child,
    lines: Receiver<String>,
    said: Vec<String>,
}

impl Running {
    /// Waits for a line that contains `text`.
    fn expect(&mut self, text: &str) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let Ok(line) = self.lines.recv_timeout(left) else {
                let _ = self.process.kill();
                panic!("it never said {text:?}, but: {:#?}", self.said);
            };
            let found = line.contains(text);
            self.said.push(line);
            if found {
                return;
            }
        }
    }

    /// Waits for the end, which must be a success.
    pub(crate) fn finish(mut self) -> Vec<String> {
        while let Ok(line) = self.lines.recv_timeout(PATIENCE) {
            self.said.push(line);
        }
        let output = self.process.wait_with_output().unwrap();
        check(Path::new("example"), &format!("{:#?}", self.said), &output);
        assert!(
            !self.said.join("\n").contains(SECRET),
            "it printed the secret"
        );
        self.said
    }
}

fn wait(sim: &Sim, what: &str, condition: impl Fn(&aliot_sim::View<'_>) -> bool) {
    let outcome = sim.wait_for(condition, PATIENCE);
    assert!(
        outcome.is_ok(),
        "{what} did not happen: {:#?}",
        sim.log_lines()
    );
}

#[test]
fn connect_signs_in_and_says_goodbye() {
    let bench = Bench::new("connect.c");
    let said = bench.start(&[]).finish();
    assert!(said.iter().any(|line| line == "signed in"), "{said:#?}");
    wait(&bench.sim, "the end of the connection", |view| {
        view.connections().is_empty()
    });
    let log = bench.sim.log_lines().join("\n");
    assert!(log.contains("DISCONNECT"), "it left without goodbye: {log}");
}

#[test]
fn telemetry_reports_through_a_cut() {
    let bench = Bench::new("telemetry.c");
    let running = bench.start(&["20", "100"]);
    wait(&bench.sim, "a third reading", |view| {
        view.received().len() >= 3
    });
    bench.sim.reset("a1demo", "lamp").unwrap();
    let said = running.finish();
    assert!(
        said.iter()
            .any(|line| line.contains("20 readings acknowledged, 0 lost")),
        "{said:#?}"
    );
    let readings: std::collections::BTreeSet<_> = bench
        .sim
        .received()
        .into_iter()
        .map(|message| message.payload)
        .collect();
    assert_eq!(readings.len(), 20);
}

#[test]
fn register_gives_a_device_its_identity_once_and_keeps_it() {
    let bench = Bench::new("register.c");
    let product_secret = "canary-product-secret";
    bench.sim.edit_registry(|registry| {
        let product = registry.products.get_mut("a1demo").unwrap();
        product.secret = Some(product_secret.into());
    });
    let folder = scratch().join("example-register-files");
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).unwrap();
    for (name, create) in [("lamp", ""), ("created", "1")] {
        let file = folder.join(name);
        for expected in ["registered; the identity is in", "the identity comes from"] {
            let variables = [
                ("ALIOT_DEVICE_NAME", name),
                ("ALIOT_PRODUCT_SECRET", product_secret),
                ("ALIOT_CREATE_DEVICE", create),
            ];
            let running = bench.start_with(&[file.to_str().unwrap(), "2"], &variables);
            let said = running.finish().join("\n");
            assert!(said.contains(expected), "{said}");
            assert!(said.contains("2 readings acknowledged"), "{said}");
            assert!(!said.contains(product_secret), "{said}");
        }
    }
    assert_eq!(bench.sim.received().len(), 8);
}

/// Nothing is registered for a command line that is not understood.
#[test]
fn register_and_telemetry_refuse_numbers_that_are_none() {
    for (example, arguments, usage) in [
        ("register.c", &["identity", "abc"][..], "usage: register"),
        ("register.c", &["identity", "0"], "usage: register"),
        ("register.c", &["identity", "3", "4"], "usage: register"),
        ("telemetry.c", &["abc"], "usage: telemetry"),
        ("telemetry.c", &["1", "1s"], "usage: telemetry"),
    ] {
        let source = Path::new(ROOT).join("c_examples").join(example);
        let program = build(&source, &installed_library(), "-O2");
        let output = Command::new(program).args(arguments).output().unwrap();
        assert!(!output.status.success(), "{example} {arguments:?}");
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(error.contains(usage), "{example} {arguments:?}: {error}");
    }
}

/// Ctrl-C and what a service manager sends end both in good order, however long the interval.
#[test]
fn telemetry_and_commands_leave_when_they_are_told_to() {
    for (example, arguments) in [("telemetry.c", &["9", "3600000"][..]), ("commands.c", &[])] {
        for signal in ["INT", "TERM"] {
            let bench = Bench::new(example);
            let mut running = bench.start(arguments);
            running.expect("connected");
            let pid = running.process.id().to_string();
            let kill = Command::new("kill").args(["-s", signal, &pid]).status();
            assert!(kill.unwrap().success());
            let said = running.finish().join("\n");
            let last = if example == "telemetry.c" {
                "1 readings acknowledged, 0 lost"
            } else {
                "goodbye"
            };
            assert!(said.contains(last), "{example}, SIG{signal}: {said}");
        }
    }
}

#[test]
fn commands_are_answered_before_and_after_a_cut() {
    let bench = Bench::new("commands.c");
    let mut running = bench.start(&[]);
    let subscriptions = |view: &aliot_sim::View<'_>| {
        let connections = view.connections();
        connections
            .iter()
            .any(|connection| !connection.subscriptions.is_empty())
    };
    for command in ["on", "off", "goodbye"] {
        wait(&bench.sim, "its subscription", subscriptions);
        let topic = "/a1demo/lamp/user/get";
        bench
            .sim
            .publish(
                "a1demo",
                "lamp",
                topic,
                command.as_bytes(),
                Qos::AtLeastOnce,
            )
            .unwrap();
        running.expect(&format!("command: {command}"));
        if command == "on" {
            wait(&bench.sim, "the answer", |view| view.received().len() == 1);
            bench.sim.cut("a1demo", "lamp").unwrap();
            running.expect("connected");
        }
    }
    let said = running.finish();
    assert!(
        said.iter().any(|line| line.contains("lamp released")),
        "{said:#?}"
    );
}

#[test]
fn credentials_sign_another_client_in() {
    let bench = Bench::new("credentials.c");
    let mut publisher = Command::new("sh");
    let script = format!(
        "eval \"$('{}')\" && mosquitto_pub -V mqttv311 -h localhost -p \"$ALIOT_PORT\" \
         --cafile \"$ALIOT_CA_FILE\" -i \"$client_id\" -u \"$username\" -P \"$password\" \
         -q 1 -t /a1demo/lamp/user/update -m hello",
        bench.program.display()
    );
    bench.environment(publisher.args(["-c", &script]));
    check(
        &bench.program,
        "mosquitto_pub",
        &publisher.output().unwrap(),
    );
    assert_eq!(bench.sim.received().len(), 1);
}

#[test]
fn a_missing_variable_is_named() {
    for example in ["connect.c", "telemetry.c", "commands.c", "credentials.c"] {
        let source = Path::new(ROOT).join("c_examples").join(example);
        let program = build(&source, &installed_library(), "-O2");
        let output = Command::new(program).env_clear().output().unwrap();
        assert!(!output.status.success(), "{example}");
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(
            error.contains("ALIOT_PRODUCT_KEY is not set"),
            "{example}: {error}"
        );
    }
}

#[test]
fn the_readmes_quick_start_compiles() {
    let readme = fs::read_to_string(Path::new(ROOT).join("README.md")).unwrap();
    let programs: Vec<&str> = readme
        .split("```c\n")
        .skip(1)
        .map(|rest| rest.split("```").next().unwrap())
        .collect();
    assert!(!programs.is_empty());
    for (n, program) in programs.iter().enumerate() {
        let path = scratch().join(format!("readme{n}.c"));
        fs::write(&path, program).unwrap();
        build(&path, &installed_library(), "-O2");
    }
}
