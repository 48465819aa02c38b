//! A real broker: Debian's mosquitto on free ports, with certificates made for the run.

use std::fs;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{self, Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};

use super::eventually;

/// A running mosquitto. It ends with the value.
pub(crate) struct Mosquitto {
    process: Child,
    dir: PathBuf,
    pub(crate) tcp: SocketAddr,
    pub(crate) tls: SocketAddr,
    pub(crate) ca_pem: String,
}

/// The program, where Debian puts it.
fn program() -> &'static str {
    ["/usr/sbin/mosquitto", "/usr/local/sbin/mosquitto"]
        .into_iter()
        .find(|path| Path::new(path).exists())
        .expect("mosquitto is not installed: `make test` installs it, or apt-get install mosquitto")
}

/// A port for a program that opens it by itself, a moment after this one has let go of it. Below
/// those that the system gives to listeners and connections of other tests, which would otherwise
/// take it in that moment.
fn free_port() -> SocketAddr {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    loop {
        let count = NEXT.fetch_add(1, Ordering::Relaxed);
        let number = process::id().wrapping_mul(97).wrapping_add(count);
        let address = SocketAddr::from(([127, 0, 0, 1], 12_000 + (number % 20_000) as u16));
        if TcpListener::bind(address).is_ok() {
            return address;
        }
    }
}

impl Mosquitto {
    /// Starts one that any client may use. `name` is unique to the test.
    pub(crate) fn start(name: &str) -> Self {
        let of_this_run = format!("mosquitto-{name}-{}", process::id());
        let dir = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(of_this_run);
        let _ = fs::remove_dir_all(&dir);
        fs::create_dir_all(&dir).unwrap();
        let ca_pem = write_certificates(&dir);
        let (tcp, tls) = (free_port(), free_port());
        let at = |file: &str| dir.join(file).display().to_string();
        let config = format!(
            "allow_anonymous true\nper_listener_settings false\nuser root\n\
             max_inflight_messages 0\nmax_queued_messages 0\nset_tcp_nodelay true\n\
             listener {} 127.0.0.1\n\
             listener {} 127.0.0.1\ncertfile {}\nkeyfile {}\n",
            tcp.port(),
            tls.port(),
            at("server.pem"),
            at("server.key"),
        );
        fs::write(dir.join("mosquitto.conf"), config).unwrap();
        let process = spawn(&dir, tcp, tls);
        Self {
            process,
            dir,
            tcp,
            tls,
            ca_pem,
        }
    }

    /// Kills it and starts it again on the same ports, without its memory. Without TCP_NODELAY its death
    /// would take what waits in the system behind unacknowledged segments: acknowledged to who
    /// published, and never delivered.
    #[allow(dead_code, reason = "the fault tests restart it")]
    pub(crate) fn restart(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        self.process = spawn(&self.dir, self.tcp, self.tls);
    }
}

fn spawn(dir: &Path, tcp: SocketAddr, tls: SocketAddr) -> Child {
    let process = Command::new(program())
        .args([Path::new("-c"), &dir.join("mosquitto.conf")])
        .stdout(Stdio::null())
        .stderr(fs::File::create(dir.join("log")).unwrap())
        .spawn()
        .unwrap();
    eventually("mosquitto listens", || {
        TcpStream::connect(tcp).is_ok() && TcpStream::connect(tls).is_ok()
    });
    process
}

impl Drop for Mosquitto {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        let _ = fs::remove_dir_all(&self.dir);
    }
}

fn write_certificates(dir: &Path) -> String {
    let ca_key = KeyPair::generate().unwrap();
    let mut ca = CertificateParams::new(Vec::new()).unwrap();
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca_pem = ca.self_signed(&ca_key).unwrap().pem();
    let key = KeyPair::generate().unwrap();
    let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
    let issuer = Issuer::new(ca, &ca_key);
    let server = CertificateParams::new(names)
        .unwrap()
        .signed_by(&key, &issuer)
        .unwrap();
    fs::write(dir.join("server.pem"), server.pem()).unwrap();
    fs::write(dir.join("server.key"), key.serialize_pem()).unwrap();
    ca_pem
}
