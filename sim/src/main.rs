//! The program `aliot-sim`: flags, standard input, and the simulator of the library.
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

use std::ffi::OsString;
use std::io::{BufRead, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::str::FromStr;
use std::time::Duration;

use aliot_sim::{Certificate, Error, LogOutput, Options, Sim, TlsVersions, config};
use lexopt::prelude::*;

const USAGE: &str = "\
usage: aliot-sim [flags]

  --tls ADDRESS|off        TLS listener (default 127.0.0.1:8883; port 0 takes a free one)
  --tcp ADDRESS|off        plain TCP listener (default 127.0.0.1:1883)
  --control ADDRESS|off    control port, loopback only (default off)
  --config FILE            products, devices and verbatim entries, as TOML
  --device PK,DN,SECRET    a device; may be given several times
  --dir FOLDER             where ca.pem is written (default aliot-sim)
  --name NAME              further name of the server certificate; may be given several times
  --certificate KIND       valid (default), expired, not-yet-valid, wrong-name
  --tls-version VERSION    1.2 or 1.3 alone (default both)
  --check-interval SECONDS how often silence is checked (default 30)
  --time-scale FACTOR      factor on keep-alive and check interval (default 1)
  --ready-file FILE        written once the simulator listens: TLS_PORT, TCP_PORT, CONTROL_PORT, CA_FILE
  --quiet                  no log lines on standard output
  --help                   this text
  --version                the version

Standard input takes the commands of the control port; type help.
";

/// What the command line asks for.
enum Task {
    Run(Box<Options>, Option<PathBuf>),
    Print(String),
}

fn main() -> ExitCode {
    let result = match parse(std::env::args_os().skip(1)) {
        Ok(Task::Print(text)) => {
            print(text.trim_end());
            return ExitCode::SUCCESS;
        }
        Ok(Task::Run(options, ready_file)) => run(*options, ready_file.as_deref()),
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

fn complain(text: &str) {
    let _ = writeln!(std::io::stderr(), "aliot-sim: {text}");
}

/// Writes a line to standard output, whole and at once. A closed standard output is not an error.
fn print(text: &str) {
    let mut stdout = std::io::stdout().lock();
    let _ = writeln!(stdout, "{text}").and_then(|()| stdout.flush());
}

fn run(options: Options, ready_file: Option<&Path>) -> Result<(), Error> {
    let sim = Sim::start(options)?;
    if let Some(path) = ready_file {
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

/// Writes the file under another name first, so that who waits for it never reads half of it.
fn write_ready_file(sim: &Sim, path: &Path) -> Result<(), Error> {
    let mut text = String::new();
    for (key, address) in [
        ("TLS_PORT", sim.tls_addr()),
        ("TCP_PORT", sim.tcp_addr()),
        ("CONTROL_PORT", sim.control_addr()),
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

fn parse(arguments: impl Iterator<Item = OsString>) -> Result<Task, lexopt::Error> {
    let mut options = Options {
        tls: Some(SocketAddr::from(([127, 0, 0, 1], 8883))),
        tcp: Some(SocketAddr::from(([127, 0, 0, 1], 1883))),
        dir: Some(PathBuf::from("aliot-sim")),
        log: LogOutput::Stdout,
        ..Options::default()
    };
    let mut ready_file = None;
    let mut parser = lexopt::Parser::from_args(arguments);
    while let Some(argument) = parser.next()? {
        match argument {
            Long("tls") => options.tls = address(&mut parser)?,
            Long("tcp") => options.tcp = address(&mut parser)?,
            Long("control") => options.control = address(&mut parser)?,
            Long("config") => {
                let path = PathBuf::from(parser.value()?);
                config::load(&path, &mut options.registry).map_err(custom)?;
            }
            Long("device") => {
                let text = parser.value()?.string()?;
                config::add_device(&text, &mut options.registry).map_err(custom)?;
            }
            Long("dir") => options.dir = Some(PathBuf::from(parser.value()?)),
            Long("name") => options.names.push(parser.value()?.string()?),
            Long("certificate") => options.certificate = parser.value()?.parse_with(certificate)?,
            Long("tls-version") => options.tls_versions = parser.value()?.parse_with(version)?,
            Long("check-interval") => {
                options.check_interval = parser.value()?.parse_with(seconds)?;
            }
            Long("time-scale") => options.time_scale = parser.value()?.parse()?,
            Long("ready-file") => ready_file = Some(PathBuf::from(parser.value()?)),
            Long("quiet") => options.log = LogOutput::None,
            Long("help") | Short('h') => return Ok(Task::Print(USAGE.to_owned())),
            Long("version") | Short('V') => {
                return Ok(Task::Print(format!(
                    "aliot-sim {}",
                    env!("CARGO_PKG_VERSION")
                )));
            }
            other => return Err(other.unexpected()),
        }
    }
    Ok(Task::Run(Box::new(options), ready_file))
}

fn custom(error: Error) -> lexopt::Error {
    lexopt::Error::Custom(Box::new(error))
}

fn address(parser: &mut lexopt::Parser) -> Result<Option<SocketAddr>, lexopt::Error> {
    parser.value()?.parse_with(|text| match text {
        "off" => Ok(None),
        text => SocketAddr::from_str(text)
            .map(Some)
            .map_err(|_| "an address is IP:PORT, such as 127.0.0.1:8883, or off"),
    })
}

fn certificate(text: &str) -> Result<Certificate, &'static str> {
    match text {
        "valid" => Ok(Certificate::Valid),
        "expired" => Ok(Certificate::Expired),
        "not-yet-valid" => Ok(Certificate::NotYetValid),
        "wrong-name" => Ok(Certificate::WrongName),
        _ => Err("a certificate is valid, expired, not-yet-valid or wrong-name"),
    }
}

fn version(text: &str) -> Result<TlsVersions, &'static str> {
    match text {
        "1.2" => Ok(TlsVersions::Only12),
        "1.3" => Ok(TlsVersions::Only13),
        _ => Err("a TLS version is 1.2 or 1.3"),
    }
}

fn seconds(text: &str) -> Result<Duration, &'static str> {
    let seconds = text.parse::<f64>().ok();
    seconds
        .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
        .filter(|duration| *duration <= Duration::from_secs(86_400))
        .ok_or("a number of seconds up to 86400 is expected")
}
