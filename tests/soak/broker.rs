//! mosquitto with a memory that outlives it, so that whatever is lost was lost by the client.

use std::fs;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, date_time_ymd};

use crate::network::GATES;

/// A root, and one certificate for the broker under it.
pub(crate) struct Authority {
    ca: String,
    certificate: String,
    key: String,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let ca_key = KeyPair::generate().unwrap();
        let mut ca = CertificateParams::new(Vec::new()).unwrap();
        ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let names = vec!["localhost".to_owned()];
        let mut leaf = CertificateParams::new(names).unwrap();
        // A clock that is wrong by a day is of no consequence, one wrong by a lifetime is.
        for params in [&mut ca, &mut leaf] {
            params.not_before = date_time_ymd(2020, 1, 1);
            params.not_after = date_time_ymd(2099, 1, 1);
        }
        let root = ca.self_signed(&ca_key).unwrap().pem();
        let leaf = leaf.signed_by(&key, &Issuer::new(ca, &ca_key)).unwrap();
        Self {
            ca: root,
            certificate: leaf.pem(),
            key: key.serialize_pem(),
        }
    }

    /// Puts the root where the devices look for it, in one step.
    pub(crate) fn write_ca(&self, path: &Path) {
        let new = path.with_extension("new");
        fs::write(&new, &self.ca).unwrap();
        fs::rename(&new, path).unwrap();
    }
}

/// A running mosquitto: one port for each gate, over TLS, and one in plain text for those who count.
pub(crate) struct Broker {
    process: Child,
    pub(crate) dir: PathBuf,
    pub(crate) plain: SocketAddr,
    pub(crate) gates: [SocketAddr; GATES],
}

fn free_ports() -> Vec<SocketAddr> {
    // All held at once, so that they differ.
    let listeners: Vec<_> = (0..=GATES)
        .map(|_| TcpListener::bind("127.0.0.1:0").unwrap())
        .collect();
    let addresses = listeners.iter().map(|it| it.local_addr().unwrap());
    addresses.collect()
}

impl Broker {
    pub(crate) fn start(authority: &Authority) -> Self {
        let name = format!("soak-{}", std::process::id());
        let dir = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
        fs::create_dir_all(&dir).unwrap();
        let addresses = free_ports();
        let gates: [SocketAddr; GATES] = addresses[1..].try_into().unwrap();
        let at = |file: &str| dir.join(file).display().to_string();
        let mut config = format!(
            "allow_anonymous true\nper_listener_settings false\nuser root\n\
             max_inflight_messages 0\nmax_queued_messages 0\n\
             persistence true\npersistence_location {}/\nlistener {} 127.0.0.1\n",
            dir.display(),
            addresses[0].port(),
        );
        for gate in gates {
            config += &format!(
                "listener {} 127.0.0.1\ncertfile {}\nkeyfile {}\n",
                gate.port(),
                at("server.pem"),
                at("server.key")
            );
        }
        fs::write(dir.join("mosquitto.conf"), config).unwrap();
        certify(&dir, authority);
        Self {
            process: spawn(&dir, addresses[0]),
            dir,
            plain: addresses[0],
            gates,
        }
    }

    /// The certificate from the next start on.
    pub(crate) fn certify(&self, authority: &Authority) {
        certify(&self.dir, authority);
    }

    /// Ends it in good order, for otherwise it would lose what it has acknowledged, and starts it.
    pub(crate) fn restart(&mut self) {
        self.end();
        self.process = spawn(&self.dir, self.plain);
    }

    fn end(&mut self) {
        let _ = kill(
            Pid::from_raw(self.process.id().cast_signed()),
            Signal::SIGTERM,
        );
        let _ = self.process.wait();
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        self.end();
        let _ = fs::remove_dir_all(&self.dir);
    }
}

fn certify(dir: &Path, authority: &Authority) {
    fs::write(dir.join("server.pem"), &authority.certificate).unwrap();
    fs::write(dir.join("server.key"), &authority.key).unwrap();
}

fn spawn(dir: &Path, plain: SocketAddr) -> Child {
    let programs = ["/usr/sbin/mosquitto", "/usr/local/sbin/mosquitto"];
    let program = programs.into_iter().find(|path| Path::new(path).exists());
    let process = Command::new(program.expect("mosquitto is not installed"))
        .args([Path::new("-c"), &dir.join("mosquitto.conf")])
        .stdout(Stdio::null())
        .stderr(fs::File::create(dir.join("log")).unwrap())
        .spawn()
        .unwrap();
    let deadline = Instant::now() + Duration::from_secs(20);
    while TcpStream::connect(plain).is_err() {
        assert!(Instant::now() < deadline, "mosquitto does not listen");
        std::thread::sleep(Duration::from_millis(10));
    }
    process
}
