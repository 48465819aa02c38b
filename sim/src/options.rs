//! What the simulator is started with.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use crate::registry::Registry;

/// The server certificate to make.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Certificate {
    /// Good for localhost, the loopback addresses and the names given.
    #[default]
    Valid,
    /// Ran out years ago.
    Expired,
    /// Becomes valid only decades from now.
    NotYetValid,
    /// Good for another host alone.
    WrongName,
}

/// TLS versions the simulator speaks.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum TlsVersions {
    /// 1.2 and 1.3.
    #[default]
    Both,
    /// 1.2 alone.
    Only12,
    /// 1.3 alone.
    Only13,
}

/// Where log lines go, besides into memory.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum LogOutput {
    /// Nowhere.
    #[default]
    None,
    /// Standard output, a line at a time.
    Stdout,
}

/// Settings of a simulator. The default listens for TLS and TCP on free loopback ports, has neither
/// control port nor page, knows nobody, limits no rates and prints nothing.
#[derive(Clone, Debug)]
pub struct Options {
    /// Address of the TLS listener; port 0 takes a free one.
    pub tls: Option<SocketAddr>,
    /// Address of the plain TCP listener; port 0 takes a free one.
    pub tcp: Option<SocketAddr>,
    /// Address of the control port; port 0 takes a free one. Whoever reaches it commands the
    /// simulator, so only a loopback address is taken.
    pub control: Option<SocketAddr>,
    /// Address of the HTTP listener with the API and the page; port 0 takes a free one. As with the
    /// control port, only a loopback address is taken.
    pub http: Option<SocketAddr>,
    /// Address of the HTTPS listener from which devices fetch files; port 0 takes a free one.
    pub https: Option<SocketAddr>,
    /// Folder into which `ca.pem` is written; made with mode 0700 if it is not there.
    pub dir: Option<PathBuf>,
    /// Further names of the server certificate, such as `*.iot-as-mqtt.cn-shanghai.aliyuncs.com`.
    pub names: Vec<String>,
    /// The server certificate to make.
    pub certificate: Certificate,
    /// TLS versions to speak.
    pub tls_versions: TlsVersions,
    /// Devices known from the start.
    pub registry: Registry,
    /// Where log lines go.
    pub log: LogOutput,
    /// How often silence is checked; the platform does it every 30 s.
    pub check_interval: Duration,
    /// Factor on the keep-alive that a client announces and on `check_interval`; 0.01 makes an hour
    /// last 36 s.
    pub time_scale: f64,
    /// Connects of one device in a minute, on the same clock; the platform allows five. Those beyond
    /// are refused with code 3. `None` allows any number.
    pub connects_per_minute: Option<u32>,
    /// Whether messages beyond the platform's rates are dropped.
    pub rate_limits: bool,
    /// Whether what devices ask on system topics is answered.
    pub answers: bool,
    /// Makes secrets, tokens and product keys the same in every run. Certificates differ.
    pub seed: Option<u64>,
    /// File that keeps products, devices, what is known of them and the authorities' keys from one
    /// start to the next; made with mode 0600.
    pub state_file: Option<PathBuf>,
    /// How long a client may take for the TLS handshake and CONNECT together.
    pub connect_timeout: Duration,
    /// How many messages and log lines are remembered for `received` and `log_lines`.
    pub history: usize,
}

impl Default for Options {
    fn default() -> Self {
        let free_port = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        Self {
            tls: Some(free_port),
            tcp: Some(free_port),
            control: None,
            http: None,
            https: None,
            dir: None,
            names: Vec::new(),
            certificate: Certificate::default(),
            tls_versions: TlsVersions::default(),
            registry: Registry::default(),
            log: LogOutput::default(),
            check_interval: Duration::from_secs(30),
            time_scale: 1.0,
            connects_per_minute: None,
            rate_limits: false,
            answers: true,
            seed: None,
            state_file: None,
            connect_timeout: Duration::from_secs(10),
            history: 10_000,
        }
    }
}
