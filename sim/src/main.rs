//! The program `aliot-sim`: the simulator of the library with flags and standard input, and a client
//! for its API.
#![cfg_attr(
    not(test),
    deny(
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic,
        clippy::todo,
        clippy::unimplemented,
        clippy::unreachable,
        clippy::unwrap_used
    )
)]

mod client;
mod ctl;
mod flags;

use std::ffi::OsString;
use std::io::{BufRead, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::process::ExitCode;

use aliot_sim::{Error, Sim};
use flags::{Run, Task};
use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// Product key and device name of the demonstration.
const DEMO: (&str, &str) = ("a1Demo", "thermometer");

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1).peekable();
    if arguments.next_if(|first| first == "ctl").is_some() {
        return ctl::run(arguments);
    }
    let result = match flags::parse(arguments) {
        Ok(Task::Print(text)) => {
            print(text.trim_end());
            return ExitCode::SUCCESS;
        }
        Ok(Task::Run(task)) => run(*task),
        Err(error) => {
            complain(&format!("{error}; see aliot-sim --help"));
            return ExitCode::from(2);
        }
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(&error.to_string());
            ExitCode::FAILURE
        }
    }
}

pub(crate) fn complain(text: &str) {
    let _ = writeln!(std::io::stderr(), "aliot-sim: {text}");
}

/// Writes a line to standard output, whole and at once. A closed standard output is not an error.
pub(crate) fn print(text: &str) {
    let mut stdout = std::io::stdout().lock();
    let _ = writeln!(stdout, "{text}").and_then(|()| stdout.flush());
}

fn run(task: Run) -> Result<(), Error> {
    // Each connection takes a file. Where that is not allowed, there are fewer connections.
    if let Ok((_, most)) = getrlimit(Resource::RLIMIT_NOFILE) {
        let _ = setrlimit(Resource::RLIMIT_NOFILE, most, most);
    }
    let dir = task.options.dir.clone();
    let sim = Sim::start(task.options).map_err(|error| match error {
        Error::Listen(address, reason) => {
            complain("is another simulator running? --tls, --tcp and --http take other addresses");
            Error::Listen(address, reason)
        }
        error => error,
    })?;
    for (key, name) in &task.certificates {
        let issued = sim.issue_certificate(key, name)?;
        let dir = dir.as_deref().unwrap_or(Path::new("."));
        let place = |ending: &str| dir.join(format!("{key}.{name}.{ending}"));
        write_private(&place("pem"), &issued.certificate_pem)?;
        write_private(&place("key"), &issued.key_pem)?;
    }
    if task.demo {
        demo(&sim);
    }
    if let Some(path) = &task.ready_file {
        write_ready_file(&sim, path)?;
    }
    for line in std::io::stdin().lock().lines() {
        // A line that is not text is answered; a broken standard input ends the commands alone.
        let answer = match line {
            Ok(line) => sim.command(&line, |text| {
                print(text);
                true
            }),
            Err(error) if error.kind() == std::io::ErrorKind::InvalidData => {
                "error the line is not UTF-8".to_owned()
            }
            Err(_) => break,
        };
        print(&answer);
    }
    // Without standard input the simulator goes on until it is killed.
    loop {
        std::thread::park();
    }
}

/// Adds a device and prints what the C examples read from their environment. Its secret is printed
/// because that is what was asked for.
fn demo(sim: &Sim) {
    let (key, name) = DEMO;
    let secret = sim.device_with_secret(key, name);
    let mut lines = vec!["# for the C examples, in another terminal:".to_owned()];
    let mut export = |name: &str, value: &str| lines.push(format!("export {name}={value}"));
    export("ALIOT_PRODUCT_KEY", key);
    export("ALIOT_DEVICE_NAME", name);
    export("ALIOT_DEVICE_SECRET", &secret);
    if let Some(address) = sim.tls_addr() {
        export("ALIOT_HOST", "localhost");
        export("ALIOT_PORT", &address.port().to_string());
    }
    if let Some(file) = sim.ca_file() {
        let file = std::path::absolute(file).unwrap_or_else(|_| file.to_owned());
        let quoted = file.display().to_string().replace('\'', r"'\''");
        export("ALIOT_CA_FILE", &format!("'{quoted}'"));
    }
    if let Some(address) = sim.http_addr() {
        lines.push(format!("# the page: http://{address}/"));
    }
    print(&lines.join("\n"));
}

fn write_private(path: &Path, text: &str) -> Result<(), Error> {
    let write = || {
        let _ = std::fs::remove_file(path);
        let mut options = std::fs::OpenOptions::new();
        let mut file = options
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(path)?;
        file.write_all(text.as_bytes())
    };
    write().map_err(|error| Error::Io(format!("cannot write {}", path.display()), error))
}

/// Writes the file under another name first, so that who waits for it never reads half of it.
fn write_ready_file(sim: &Sim, path: &Path) -> Result<(), Error> {
    let mut text = String::new();
    for (key, address) in [
        ("TLS_PORT", sim.tls_addr()),
        ("TCP_PORT", sim.tcp_addr()),
        ("CONTROL_PORT", sim.control_addr()),
        ("HTTP_PORT", sim.http_addr()),
        ("HTTPS_PORT", sim.https_addr()),
    ] {
        if let Some(address) = address {
            text.push_str(&format!("{key}={}\n", address.port()));
        }
    }
    if let Some(file) = sim.ca_file() {
        let file = std::path::absolute(file).unwrap_or_else(|_| file.to_owned());
        text.push_str(&format!("CA_FILE={}\n", file.display()));
    }
    let mut partial = OsString::from(path);
    partial.push(".partial");
    std::fs::write(&partial, text)
        .and_then(|()| std::fs::rename(&partial, path))
        .map_err(|error| Error::Io(format!("cannot write {}", path.display()), error))
}
