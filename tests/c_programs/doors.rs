//! The ways to the platform from C: an example through each of them.

use std::fs;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::diagnosis::proxy;
use crate::examples::Bench;
use crate::toolbox::{say, scratch};

/// A program that listens on `port`; it ends with the value. `None` if it is not installed.
struct Peer(Child);

impl Peer {
    fn start(name: &str, port: u16, arguments: &[&str]) -> Option<Self> {
        let mut folders = ["/usr/bin", "/usr/sbin"].into_iter().map(Path::new);
        let Some(folder) = folders.find(|folder| folder.join(name).exists()) else {
            say(&format!(
                "SKIPPED: {name} is not installed: `make deps` does it"
            ));
            return None;
        };
        let process = Command::new(folder.join(name))
            .args(arguments)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let peer = Self(process);
        let deadline = Instant::now() + Duration::from_secs(20);
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(Instant::now() < deadline, "{name} does not listen");
            std::thread::sleep(Duration::from_millis(5));
        }
        Some(peer)
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn free_address() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap()
}

fn folder(name: &str) -> PathBuf {
    let path = scratch().join(format!("c-doors-{name}"));
    let _ = fs::remove_dir_all(&path);
    fs::create_dir_all(&path).unwrap();
    path
}

/// The certificate and the key of a device that the platform knows, as files.
fn certificate_files(bench: &Bench, folder: &Path) -> [String; 2] {
    let issued = bench.sim.issue_certificate("a1demo", "lamp").unwrap();
    [
        ("device.pem", &issued.certificate_pem),
        ("device.key", &issued.key_pem),
    ]
    .map(|(name, pem)| {
        let path = folder.join(name);
        fs::write(&path, pem).unwrap();
        path.display().to_string()
    })
}

fn says_goodbye(bench: &Bench, arguments: &[&str], variables: &[(&str, &str)]) -> String {
    let said = bench.start_with(arguments, variables).finish().join("\n");
    assert!(said.contains("goodbye"), "{said}");
    said
}

#[test]
fn a_certificate_tells_a_device_who_it_is_and_a_file_keeps_it() {
    let bench = Bench::new("certificate.c");
    let folder = folder("certificate");
    let [certificate, key] = certificate_files(&bench, &folder);
    let identity = folder.join("identity").display().to_string();
    let variables = [
        ("ALIOT_CERTIFICATE_FILE", &*certificate),
        ("ALIOT_KEY_FILE", &key),
    ];
    let first = says_goodbye(&bench, &[&identity], &variables);
    assert!(first.contains("this device is lamp of a1demo"), "{first}");
    let second = says_goodbye(&bench, &[&identity], &variables);
    assert!(
        second.contains("this device knows that it is lamp"),
        "{second}"
    );
}

/// It would have to learn who it is at each start.
#[test]
fn an_identity_that_cannot_be_kept_is_no_success() {
    let bench = Bench::new("certificate.c");
    let folder = folder("certificate-unkept");
    let [certificate, key] = certificate_files(&bench, &folder);
    let mut command = bench.command();
    bench.environment(&mut command);
    let output = command
        .arg(folder.join("no such folder/identity"))
        .env("ALIOT_CERTIFICATE_FILE", certificate)
        .env("ALIOT_KEY_FILE", key)
        .output()
        .unwrap();
    let said = format!("{output:?}");
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("could not store the identity"), "{said}");
    assert!(said.contains("goodbye"), "{said}");
}

#[test]
fn a_certificate_of_a_region_leads_to_the_host_for_x509() {
    let bench = Bench::new("certificate.c");
    let folder = folder("certificate-region");
    let [certificate, key] = certificate_files(&bench, &folder);
    let (proxy, requests) = proxy(None);
    let mut process = Command::new(&bench.program)
        .env("ALIOT_REGION", "cn-shanghai")
        .env("ALIOT_HTTP_PROXY", proxy)
        .env("ALIOT_CERTIFICATE_FILE", certificate)
        .env("ALIOT_KEY_FILE", key)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let request = requests.recv_timeout(Duration::from_secs(60));
    process.kill().unwrap();
    process.wait().unwrap();
    let request = request.unwrap();
    let expected = "CONNECT x509.itls.cn-shanghai.aliyuncs.com:1883 ";
    assert!(request.starts_with(expected), "{request}");
}

#[test]
fn proxies_lead_to_the_platform() {
    let bench = Bench::new("connect.c");
    let folder = folder("proxies");
    let (http, socks) = (free_address(), free_address());
    let config = folder.join("tinyproxy.conf");
    let text = format!(
        "Port {}\nListen 127.0.0.1\nTimeout 60\nMaxClients 5\n",
        http.port()
    );
    fs::write(&config, text).unwrap();
    let config = config.display().to_string();
    if let Some(_proxy) = Peer::start("tinyproxy", http.port(), &["-d", "-c", &config]) {
        says_goodbye(&bench, &[], &[("ALIOT_HTTP_PROXY", &http.to_string())]);
    }
    let port = socks.port().to_string();
    let arguments = ["-i", "127.0.0.1", "-p", &port];
    if let Some(_proxy) = Peer::start("microsocks", socks.port(), &arguments) {
        says_goodbye(&bench, &[], &[("ALIOT_SOCKS_PROXY", &socks.to_string())]);
    }
}

#[test]
fn a_websocket_leads_to_mosquitto() {
    let bench = Bench::new("connect.c");
    let folder = folder("websocket");
    let (mqtt, websocket) = (free_address(), free_address());
    let mut params = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let issuer =
        rcgen::CertifiedIssuer::self_signed(params, rcgen::KeyPair::generate().unwrap()).unwrap();
    let key = rcgen::KeyPair::generate().unwrap();
    let server = rcgen::CertificateParams::new(vec!["localhost".to_owned()])
        .unwrap()
        .signed_by(&key, &issuer)
        .unwrap();
    let path = |name: &str| folder.join(name).display().to_string();
    fs::write(path("ca.pem"), issuer.pem()).unwrap();
    fs::write(path("server.pem"), server.pem()).unwrap();
    fs::write(path("server.key"), key.serialize_pem()).unwrap();
    let config = format!(
        "user root\nallow_anonymous true\nlistener {} 127.0.0.1\n\
         listener {} 127.0.0.1\nprotocol websockets\ncertfile {}\nkeyfile {}\n",
        mqtt.port(),
        websocket.port(),
        path("server.pem"),
        path("server.key"),
    );
    fs::write(path("mosquitto.conf"), config).unwrap();
    let arguments = ["-c", &path("mosquitto.conf")];
    let Some(_broker) = Peer::start("mosquitto", websocket.port(), &arguments) else {
        return;
    };
    let (port, ca_file) = (websocket.port().to_string(), path("ca.pem"));
    let variables = [
        ("ALIOT_WEBSOCKET", "/mqtt"),
        ("ALIOT_PORT", &port),
        ("ALIOT_CA_FILE", &ca_file),
    ];
    says_goodbye(&bench, &[], &variables);
}
