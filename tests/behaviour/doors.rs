//! Real programs as peers, each way to the platform once. What is not installed is skipped, and said
//! so.

use std::fs;
use std::io::Write as _;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use aliot::{Config, Endpoint, ErrorKind, EventKind, Identity, Qos};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair,
};

use crate::support::broker::Broker;
use crate::support::device::{Device, private};
use crate::support::mosquitto::Mosquitto;
use crate::support::{PATIENCE, eventually};

/// A program that listens on a free port of the loopback interface. It ends with the value.
struct Tool {
    process: Child,
    port: u16,
}

impl Tool {
    /// `None` if it is not installed. `{port}` in the arguments is replaced.
    fn start(names: &[&str], port: u16, arguments: &[&str]) -> Option<Self> {
        let folders = ["/usr/bin", "/usr/sbin", "/usr/local/bin", "/usr/local/sbin"];
        let program = folders
            .iter()
            .flat_map(|folder| names.iter().map(move |name| Path::new(folder).join(name)))
            .find(|path| path.exists());
        let Some(program) = program else {
            let _ = writeln!(
                std::io::stderr(),
                "SKIPPED: {} is not installed: `make deps` does it",
                names[0]
            );
            return None;
        };
        let process = Command::new(program)
            .args(arguments)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        eventually(names[0], || TcpStream::connect(("127.0.0.1", port)).is_ok());
        Some(Self { process, port })
    }
}

impl Drop for Tool {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

fn folder(name: &str) -> PathBuf {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("doors-{name}"));
    let _ = fs::remove_dir_all(&path);
    fs::create_dir_all(&path).unwrap();
    path
}

fn write(path: &Path, text: &str) -> String {
    fs::write(path, text).unwrap();
    path.display().to_string()
}

fn config(endpoint: &Endpoint) -> Config {
    let identity = Identity::verbatim("doors", "user", "password").unwrap();
    let mut config = Config::new(&identity, endpoint).unwrap();
    private(&mut config);
    config
}

/// Connects, and sees messages come back.
fn round_trip(endpoint: &Endpoint) {
    round_trip_of(endpoint, 100_000);
}

fn round_trip_of(endpoint: &Endpoint, payload_len: usize) {
    let device = Device::connect(&config(endpoint));
    let token = device.subscribe("doors/#", Qos::AtLeastOnce);
    device.completion(token).unwrap();
    let payload = vec![b'x'; payload_len];
    for _ in 0..20 {
        device.publish("doors/x", &payload);
    }
    device.client.wait_flushed(PATIENCE).unwrap();
    for (_, received) in device.messages(20) {
        assert!(received.payload == payload);
    }
}

fn to_mosquitto(mosquitto: &Mosquitto) -> Endpoint {
    let mut endpoint = Endpoint::host("localhost", mosquitto.tls.port()).unwrap();
    endpoint.set_ca_pem(mosquitto.ca_pem.as_bytes()).unwrap();
    endpoint
}

fn refusal(endpoint: &Endpoint) -> aliot::Error {
    let device = Device::start(&config(endpoint));
    device.event(EventKind::ConnectFailed, 1).error.unwrap()
}

#[test]
fn tinyproxy_passes_those_it_knows_to_mosquitto() {
    let (folder, port) = (folder("tinyproxy"), free_port());
    let file = write(
        &folder.join("tinyproxy.conf"),
        &format!(
            "Port {port}\nListen 127.0.0.1\nTimeout 60\nMaxClients 20\nBasicAuth user s3cret\n"
        ),
    );
    let Some(proxy) = Tool::start(&["tinyproxy"], port, &["-d", "-c", &file]) else {
        return;
    };
    let mosquitto = Mosquitto::start("tinyproxy");
    let mut endpoint = to_mosquitto(&mosquitto);
    let login = Some(("user", "s3cret"));
    endpoint
        .set_http_proxy("127.0.0.1", proxy.port, login)
        .unwrap();
    round_trip(&endpoint);
    let login = Some(("user", "wrong"));
    endpoint
        .set_http_proxy("127.0.0.1", proxy.port, login)
        .unwrap();
    let error = refusal(&endpoint);
    assert_eq!(error.kind(), ErrorKind::Proxy, "{error}");
}

#[test]
fn microsocks_passes_those_it_knows_to_mosquitto() {
    let port = free_port();
    let number = port.to_string();
    let arguments = [
        "-i",
        "127.0.0.1",
        "-p",
        &number,
        "-u",
        "user",
        "-P",
        "s3cret",
    ];
    let Some(proxy) = Tool::start(&["microsocks"], port, &arguments) else {
        return;
    };
    let mosquitto = Mosquitto::start("microsocks");
    let mut endpoint = to_mosquitto(&mosquitto);
    let login = Some(("user", "s3cret"));
    endpoint
        .set_socks5_proxy("127.0.0.1", proxy.port, login)
        .unwrap();
    round_trip(&endpoint);
    for login in [None, Some(("user", "wrong"))] {
        endpoint
            .set_socks5_proxy("127.0.0.1", proxy.port, login)
            .unwrap();
        let error = refusal(&endpoint);
        assert_eq!(error.kind(), ErrorKind::Proxy, "{error}");
    }
}

/// Certificates of a server and of a device, each from an authority of its own.
struct Certificates {
    folder: PathBuf,
    server_ca: String,
    device: String,
    device_key: String,
}

impl Certificates {
    fn new(name: &str) -> Self {
        let authority = |name: &str| {
            let mut params = CertificateParams::default();
            params.distinguished_name.push(DnType::CommonName, name);
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
        };
        let (servers, devices) = (authority("servers"), authority("devices"));
        let folder = folder(name);
        let (key, device_key) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
        let server = CertificateParams::new(vec!["localhost".to_owned()])
            .unwrap()
            .signed_by(&key, &servers)
            .unwrap();
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "device");
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        let device = params.signed_by(&device_key, &devices).unwrap();
        fs::write(folder.join("server.pem"), server.pem()).unwrap();
        fs::write(folder.join("server.key"), key.serialize_pem()).unwrap();
        fs::write(folder.join("devices.pem"), devices.pem()).unwrap();
        Self {
            folder,
            server_ca: servers.pem(),
            device: device.pem(),
            device_key: device_key.serialize_pem(),
        }
    }

    fn path(&self, name: &str) -> String {
        self.folder.join(name).display().to_string()
    }

    fn endpoint(&self, port: u16) -> Endpoint {
        let mut endpoint = Endpoint::host("localhost", port).unwrap();
        endpoint.set_ca_pem(self.server_ca.as_bytes()).unwrap();
        endpoint
    }
}

#[test]
fn mosquitto_lets_a_device_in_by_its_certificate_alone() {
    let (certificates, port) = (Certificates::new("certificate"), free_port());
    let file = write(
        &certificates.folder.join("mosquitto.conf"),
        &format!(
            "user root\nlistener {port} 127.0.0.1\nallow_anonymous false\n\
             require_certificate true\nuse_identity_as_username true\n\
             certfile {}\nkeyfile {}\ncafile {}\n",
            certificates.path("server.pem"),
            certificates.path("server.key"),
            certificates.path("devices.pem"),
        ),
    );
    let Some(tool) = Tool::start(&["mosquitto"], port, &["-c", &file]) else {
        return;
    };
    let mut endpoint = certificates.endpoint(tool.port);
    let error = refusal(&endpoint);
    assert_eq!(error.kind(), ErrorKind::TlsHandshake, "{error}");
    assert!(error.to_string().contains("client certificate"), "{error}");

    let (device, key) = (
        certificates.device.as_bytes(),
        certificates.device_key.as_bytes(),
    );
    endpoint.set_client_certificate_pem(device, key).unwrap();
    round_trip(&endpoint);
}

#[test]
fn an_encrypted_key_refuses_the_endpoint_and_nothing_is_sent() {
    let certificates = Certificates::new("encrypted");
    let (plain, encrypted) = (
        certificates.path("plain.key"),
        certificates.path("encrypted.key"),
    );
    fs::write(&plain, &certificates.device_key).unwrap();
    let openssl = Command::new("openssl")
        .args([
            "pkcs8",
            "-topk8",
            "-v2",
            "aes-256-cbc",
            "-passout",
            "pass:x",
        ])
        .args(["-in", &plain, "-out", &encrypted])
        .output();
    if !openssl.is_ok_and(|output| output.status.success()) {
        let _ = writeln!(
            std::io::stderr(),
            "skipped: openssl is not there to encrypt a key"
        );
        return;
    }
    let broker = Broker::listen();
    let mut endpoint = certificates.endpoint(broker.address().port());
    let key = fs::read(&encrypted).unwrap();
    let error = endpoint
        .set_client_certificate_pem(certificates.device.as_bytes(), &key)
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TlsConfig, "{error}");
    assert!(error.to_string().contains("is encrypted"), "{error}");
    // Who goes on regardless gets no client, and so no connection without the certificate.
    let identity = Identity::verbatim("device", "user", "password").unwrap();
    assert!(Config::new(&identity, &endpoint).is_err());
    assert!(!broker.is_called_within(Duration::from_millis(100)));
}

#[cfg(feature = "websocket")]
#[test]
fn mosquitto_speaks_websocket_with_and_without_tls() {
    let certificates = Certificates::new("websocket");
    // Debian's mosquitto looks at its WebSockets ten times a second, for 4 KiB each time.
    const SLOW: usize = 1000;
    let (plain, secure) = (free_port(), free_port());
    let file = write(
        &certificates.folder.join("mosquitto.conf"),
        &format!(
            // With no other listener than these mosquitto 2.0.11 ends at once.
            "user root\nallow_anonymous true\nmax_queued_messages 0\nmax_inflight_messages 0\n\
             listener {} 127.0.0.1\n\
             listener {plain} 127.0.0.1\nprotocol websockets\n\
             listener {secure} 127.0.0.1\nprotocol websockets\ncertfile {}\nkeyfile {}\n",
            free_port(),
            certificates.path("server.pem"),
            certificates.path("server.key"),
        ),
    );
    let Some(tool) = Tool::start(&["mosquitto"], plain, &["-c", &file]) else {
        return;
    };
    let mut endpoint = Endpoint::host("localhost", tool.port).unwrap();
    endpoint.set_dangerous_plaintext();
    endpoint.set_websocket("/mqtt").unwrap();
    round_trip_of(&endpoint, SLOW);
    let mut endpoint = certificates.endpoint(secure);
    endpoint.set_websocket("/").unwrap();
    round_trip_of(&endpoint, SLOW);
}

#[test]
fn stunnel_ends_tls_in_front_of_mosquitto() {
    let (certificates, port) = (Certificates::new("stunnel"), free_port());
    let mosquitto = Mosquitto::start("stunnel");
    let file = write(
        &certificates.folder.join("stunnel.conf"),
        &format!(
            "foreground = yes\npid =\n[mqtt]\naccept = 127.0.0.1:{port}\nconnect = {}\n\
             cert = {}\nkey = {}\nCAfile = {}\nverifyChain = yes\n",
            mosquitto.tcp,
            certificates.path("server.pem"),
            certificates.path("server.key"),
            certificates.path("devices.pem"),
        ),
    );
    let Some(tool) = Tool::start(&["stunnel4", "stunnel"], port, &[&file]) else {
        return;
    };
    let mut endpoint = certificates.endpoint(tool.port);
    let (device, key) = (
        certificates.path("device.pem"),
        certificates.path("device.key"),
    );
    fs::write(&device, &certificates.device).unwrap();
    fs::write(&key, &certificates.device_key).unwrap();
    endpoint
        .set_client_certificate_files(Path::new(&device), Path::new(&key))
        .unwrap();
    round_trip(&endpoint);
}
