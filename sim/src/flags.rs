//! The command line of the simulator itself.

use std::ffi::OsString;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use aliot_sim::{Certificate, Error, LogOutput, Options, TlsVersions, config};
use lexopt::prelude::*;

const USAGE: &str = "\
usage: aliot-sim [flags]             the simulator
       aliot-sim ctl COMMAND …       drives one that runs; see aliot-sim ctl help

  --demo                   adds a product with a device, and prints what the C examples need of it
  --tls ADDRESS|off        TLS listener (default 127.0.0.1:8883; port 0 takes a free one)
  --tcp ADDRESS|off        plain TCP listener (default 127.0.0.1:1883)
  --http ADDRESS|off       API and page, loopback only (default 127.0.0.1:8880 or, if that is taken,
                           a free port)
  --https ADDRESS|off      files for devices (default 127.0.0.1 with a free port)
  --control ADDRESS|off    control port, loopback only (default off)
  --config FILE            products, devices and verbatim entries, as TOML; its table [simulator]
                           holds flags, which flags after this one replace
  --device PK,DN,SECRET    a device; may be given several times
  --x509-device PK,DN      a device that signs in with a certificate, which is written to --dir
  --state FILE             keeps products, devices and what is known of them between starts
  --seed NUMBER            makes secrets and tokens the same in every run
  --dir FOLDER             where ca.pem is written (default aliot-sim)
  --name NAME              further name of the server certificate; may be given several times
  --certificate KIND       valid (default), expired, not-yet-valid, wrong-name
  --tls-version VERSION    1.2 or 1.3 alone (default both)
  --check-interval SECONDS how often silence is checked (default 30)
  --time-scale FACTOR      factor on keep-alive, check interval and the minute of the next flag
                           (default 1)
  --connects NUMBER|off    connects of one device in a minute (default 5)
  --rates on|off           drops messages beyond the platform's rates (default on)
  --answers on|off         answers what devices ask on system topics (default on)
  --ready-file FILE        written once the simulator listens: TLS_PORT, TCP_PORT, CONTROL_PORT,
                           HTTP_PORT, HTTPS_PORT, CA_FILE
  --quiet                  no log lines on standard output
  --help                   this text
  --version                the version

Standard input takes the commands of the control port; type help.
";

/// What the command line asks for.
pub(crate) enum Task {
    /// Run the simulator.
    Run(Box<Run>),
    /// Print a text.
    Print(String),
}

/// How the simulator is to run.
pub(crate) struct Run {
    pub(crate) options: Options,
    pub(crate) ready_file: Option<PathBuf>,
    pub(crate) demo: bool,
    /// Devices to make certificates for, as product key and device name.
    pub(crate) certificates: Vec<(String, String)>,
}

impl Run {
    /// The settings of the program, which differ from those of the library.
    fn new() -> Self {
        let local = |port| Some(SocketAddr::from(([127, 0, 0, 1], port)));
        Self {
            options: Options {
                tls: local(8883),
                tcp: local(1883),
                https: local(0),
                dir: Some(PathBuf::from("aliot-sim")),
                log: LogOutput::Stdout,
                connects_per_minute: Some(5),
                rate_limits: true,
                ..Options::default()
            },
            ready_file: None,
            demo: false,
            certificates: Vec::new(),
        }
    }

    /// Takes over a setting that has a value; `None` if there is none of this name.
    fn set(
        &mut self,
        name: &str,
        value: OsString,
        chosen: &mut Chosen,
    ) -> Result<Option<()>, lexopt::Error> {
        let options = &mut self.options;
        match name {
            "tls" => {
                options.tls = value.parse_with(address)?;
                chosen.tls = true;
            }
            "tcp" => {
                options.tcp = value.parse_with(address)?;
                chosen.tcp = true;
            }
            "http" => {
                options.http = value.parse_with(address)?;
                chosen.http = true;
            }
            "https" => options.https = value.parse_with(address)?,
            "control" => options.control = value.parse_with(address)?,
            "device" => {
                config::add_device(&value.string()?, &mut options.registry).map_err(custom)?;
            }
            "x509-device" => {
                let device = config::device_name(&value.string()?).map_err(custom)?;
                self.certificates.push(device);
            }
            "state" => options.state_file = Some(PathBuf::from(value)),
            "seed" => options.seed = Some(value.parse()?),
            "dir" => options.dir = Some(PathBuf::from(value)),
            "name" => options.names.push(value.string()?),
            "certificate" => options.certificate = value.parse_with(certificate)?,
            "tls-version" => options.tls_versions = value.parse_with(version)?,
            "check-interval" => options.check_interval = value.parse_with(seconds)?,
            "time-scale" => options.time_scale = value.parse()?,
            "connects" => options.connects_per_minute = value.parse_with(number_or_off)?,
            "rates" => options.rate_limits = value.parse_with(on_or_off)?,
            "answers" => options.answers = value.parse_with(on_or_off)?,
            "ready-file" => self.ready_file = Some(PathBuf::from(value)),
            _ => return Ok(None),
        }
        Ok(Some(()))
    }

    /// Takes over a setting that stands for itself; false if there is none of this name.
    fn switch(&mut self, name: &str) -> bool {
        match name {
            "demo" => self.demo = true,
            "quiet" => self.options.log = LogOutput::None,
            _ => return false,
        }
        true
    }

    /// Takes over a file: its products and devices, and its table `[simulator]` as flags.
    fn load(&mut self, path: &Path, chosen: &mut Chosen) -> Result<(), lexopt::Error> {
        config::load(path, &mut self.options.registry).map_err(custom)?;
        for (name, value) in config::settings(path).map_err(custom)? {
            let set = match value.as_str() {
                "true" => self.switch(&name),
                value => self.set(&name, value.into(), chosen)?.is_some(),
            };
            if !set {
                let (path, reason) = (path.display(), "in [simulator] is no flag");
                let text = format!("{path}: {name} {reason}, or not with such a value");
                return Err(custom(Error::Config(text)));
            }
        }
        Ok(())
    }
}

/// Reads the flags.
pub(crate) fn parse(arguments: impl Iterator<Item = OsString>) -> Result<Task, lexopt::Error> {
    let (mut run, mut chosen) = (Run::new(), Chosen::default());
    let mut parser = lexopt::Parser::from_args(arguments);
    while let Some(argument) = parser.next()? {
        match argument {
            Long("help") | Short('h') => return Ok(Task::Print(USAGE.to_owned())),
            Long("version") | Short('V') => {
                let version = env!("CARGO_PKG_VERSION");
                return Ok(Task::Print(format!("aliot-sim {version}")));
            }
            Long("config") => {
                let path = PathBuf::from(parser.value()?);
                run.load(&path, &mut chosen)?;
            }
            Long(name) if run.switch(name) => {}
            Long(name) if NAMES.contains(&name) => {
                let name = name.to_owned();
                let value = parser.value()?;
                run.set(&name, value, &mut chosen)?;
            }
            other => return Err(other.unexpected()),
        }
    }
    let options = &mut run.options;
    if !chosen.http {
        // Nobody asked for this port, so a second simulator beside the first is no mistake.
        options.http = Some(free_or_other(([127, 0, 0, 1], 8880).into()));
    }
    if run.demo {
        let or_other = |address: Option<SocketAddr>, chosen: bool| match address {
            Some(address) if !chosen => Some(free_or_other(address)),
            address => address,
        };
        options.tls = or_other(options.tls, chosen.tls);
        options.tcp = or_other(options.tcp, chosen.tcp);
    }
    Ok(Task::Run(Box::new(run)))
}

/// Flags that take a value.
const NAMES: [&str; 19] = [
    "tls",
    "tcp",
    "http",
    "https",
    "control",
    "device",
    "x509-device",
    "state",
    "seed",
    "dir",
    "name",
    "certificate",
    "tls-version",
    "check-interval",
    "time-scale",
    "connects",
    "rates",
    "answers",
    "ready-file",
];

/// Which addresses were asked for by name.
#[derive(Default)]
struct Chosen {
    tls: bool,
    tcp: bool,
    http: bool,
}

/// `address`, or one with a free port if that is taken.
fn free_or_other(address: SocketAddr) -> SocketAddr {
    match TcpListener::bind(address) {
        Ok(_) => address,
        Err(_) => SocketAddr::new(address.ip(), 0),
    }
}

fn custom(error: Error) -> lexopt::Error {
    lexopt::Error::Custom(Box::new(error))
}

fn address(text: &str) -> Result<Option<SocketAddr>, &'static str> {
    match text {
        "off" => Ok(None),
        text => SocketAddr::from_str(text)
            .map(Some)
            .map_err(|_| "an address is IP:PORT, such as 127.0.0.1:8883, or off"),
    }
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

fn number_or_off(text: &str) -> Result<Option<u32>, &'static str> {
    match text {
        "off" => Ok(None),
        text => text
            .parse()
            .map(Some)
            .map_err(|_| "a number is expected, or off"),
    }
}

fn on_or_off(text: &str) -> Result<bool, &'static str> {
    match text {
        "on" => Ok(true),
        "off" => Ok(false),
        _ => Err("say on or off"),
    }
}

fn seconds(text: &str) -> Result<Duration, &'static str> {
    let seconds = text.parse::<f64>().ok();
    seconds
        .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
        .filter(|duration| *duration <= Duration::from_secs(86_400))
        .ok_or("a number of seconds up to 86400 is expected")
}
