//! What is left of secrets in a process: a C program uses the library, and its writable memory is
//! looked through from outside, while it is connected and after it has destroyed everything.
//!
//! `ALIOT_LIBRARY` names another build of the library than the one under test.

#![cfg(target_os = "linux")]

#[path = "../c_programs/toolbox.rs"]
#[expect(dead_code, reason = "of which these tests need a part")]
mod toolbox;

mod proxy;
mod scan;

use std::env;
use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use aliot::{Config, Endpoint, Identity};
use aliot_sim::registry::DeviceToken;
use aliot_sim::{Options, Sim};

use scan::{Needle, Scan};
use toolbox::say;

const PATIENCE: Duration = Duration::from_secs(20);
const DEVICE_SECRET: &str = "kV3qXw9ZbT7yRmN2LpF8sHdG4cJ6uEaQ";
const PRODUCT_SECRET: &str = "zW8nPfY5vKxD3tGqB7rM";
const DEVICE_TOKEN: &str = "Qz5wTn8RkB3yXc6MfV9jLp2H";
const PROXY_PASSWORD: &str = "Jd7sFg4Kh9QwEr2TyU6iOp5A";
const PASSWORD: &str = "Yt6hWq2Vz9LmX4sKcR8bNf3D";
const CANARY: &str = "this-is-left-behind-by-the-program-itself";

/// What may be found, and how often at most.
type Known = [(&'static str, usize)];

/// While the client lives: its identity, what the accessors of that lend, config and client.
const SECRET: [(&str, usize); 1] = [("the device secret", 4)];

/// The answer to a registration as rustls decrypted it, in memory that it has freed: where the record
/// was, and where it waited to be read.
const ANSWER: [(&str, usize); 1] = [("the device secret", 2)];
/// ring's key, in the TLS settings that the process keeps for the next client of the same
/// certificate; those of a file are not kept longer than those of memory.
const RING: [(&str, usize); 1] = [("the key in ring's form", 1)];

const REGISTERED: [(&str, usize); 1] = [("the device secret", SECRET[0].1 + ANSWER[0].1)];
/// One copy of the text, whose lines are looked for one by one, and ring's.
const KEY: [(&str, usize); 2] = [("the key's PEM", 3), RING[0]];

/// The program at work, and what its memory is searched for.
struct Device {
    process: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    needles: Vec<Needle>,
}

impl Device {
    fn start(kind: &str, variables: &[(&str, &str)], secrets: &[&str]) -> Self {
        let mut process = Command::new(program())
            .arg(kind)
            .envs(variables.iter().copied())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let input = process.stdin.take().unwrap();
        let output = BufReader::new(process.stdout.take().unwrap());
        let needles = vec![Needle::text("what was planted", CANARY)];
        let mut device = Self {
            process,
            input,
            output,
            needles,
        };
        secrets.iter().for_each(|secret| device.give(secret));
        device
    }

    fn give(&mut self, text: &str) {
        self.input.write_all(text.as_bytes()).unwrap();
        self.input.write_all(&[0]).unwrap();
        self.input.flush().unwrap();
    }

    fn look_for(&mut self, needles: impl IntoIterator<Item = Needle>) {
        self.needles.extend(needles);
    }

    /// Waits until the program has come so far, and looks through its memory.
    fn look(&mut self, phase: &str) -> Scan {
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        assert_eq!(line.trim_end(), phase, "the program says why");
        Scan::of(self.process.id(), &self.needles)
    }

    /// As [`look`](Self::look), until only what is `known` is found: what another thread of the
    /// library is about to drop, it drops without the program waiting for it.
    fn look_until_gone(&mut self, phase: &str, known: &Known) -> Scan {
        let deadline = Instant::now() + Duration::from_secs(1);
        let mut scan = self.look(phase);
        while !scan.is_within(known) && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(5));
            scan = Scan::of(self.process.id(), &self.needles);
        }
        scan
    }

    /// Looks in every phase. Nothing but what is `kept` may be there when the device is connected, and
    /// so nothing that was made for CONNECT alone; nothing may be left when everything is destroyed
    /// but what is `known`, and what is planted then must be found.
    fn see(mut self, name: &str, kept: &Known, known: &Known) {
        let connected = self.look_until_gone("connected", kept);
        assert!(
            connected.is_within(kept),
            "{name}: while connected: {connected:#?}"
        );
        self.see_the_end(name, &connected, known);
    }

    /// The phases after the first, in which `before` was found.
    fn see_the_end(mut self, name: &str, before: &Scan, known: &Known) {
        self.give("");
        let destroyed = self.look_until_gone("destroyed", known);
        self.give("");
        self.give(CANARY);
        let planted = self.look("planted");
        self.give("");
        assert!(self.process.wait().unwrap().success());
        say(&format!(
            "{name}: {before} before the end, {destroyed} after destroy; {} KiB looked through",
            destroyed.bytes / 1024
        ));
        assert_eq!(planted.count("what was planted"), 1, "the scan is blind");
        assert!(!before.is_empty(), "{name}: the secret is not even used");
        assert!(
            destroyed.is_within(known),
            "{name}: left behind: {destroyed:#?}"
        );
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn program() -> PathBuf {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    let build = || {
        let library = env::var_os("ALIOT_LIBRARY")
            .map_or_else(toolbox::installed_library, |path| named(Path::new(&path)));
        let source = Path::new(toolbox::ROOT).join("tests/memory/device.c");
        // Bound at once: the first call of a function would leave registers on the stack, and in them
        // what was copied last.
        let options = ["-O2", "-Wl,-z,now"];
        let program = toolbox::build_with(&source, &library, &options, "-O2-now");
        toolbox::check_loaded_library(&program, &library);
        program
    };
    PROGRAM.get_or_init(build).clone()
}

/// The library at `path` under the name that programs look for.
fn named(path: &Path) -> PathBuf {
    let directory = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("memory-lib");
    fs::create_dir_all(&directory).unwrap();
    let versions = (
        env!("CARGO_PKG_VERSION_MAJOR"),
        env!("CARGO_PKG_VERSION_MINOR"),
    );
    let link = directory.join(format!("libaliot.so.{}.{}", versions.0, versions.1));
    let _ = fs::remove_file(&link);
    std::os::unix::fs::symlink(path.canonicalize().unwrap(), &link).unwrap();
    link
}

fn folder(name: &str) -> PathBuf {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("memory-{name}"));
    let _ = fs::remove_dir_all(&path);
    fs::create_dir_all(&path).unwrap();
    path
}

/// The platform, and what the program has to know about it.
struct Platform {
    sim: Sim,
    folder: PathBuf,
}

impl Platform {
    fn new(name: &str) -> Self {
        let folder = folder(name);
        let sim = Sim::start(Options {
            dir: Some(folder.clone()),
            ..Options::default()
        })
        .unwrap();
        sim.edit_registry(|registry| {
            registry.add_device("a1pk", "lamp", DEVICE_SECRET);
            let product = registry.products.entry("a1pk".to_owned()).or_default();
            product.secret = Some(PRODUCT_SECRET.into());
            product.devices.entry("listed".to_owned()).or_default();
        });
        Self { sim, folder }
    }

    fn device(&self, kind: &str, tls: bool, more: &[(&str, &str)], secrets: &[&str]) -> Device {
        let address = if tls {
            self.sim.tls_addr()
        } else {
            self.sim.tcp_addr()
        };
        let port = address.unwrap().port().to_string();
        let ca_file = self.sim.ca_file().unwrap().display().to_string();
        let mut variables = vec![("PORT", &*port), ("TOPIC", "/a1pk/lamp/user/update")];
        if tls {
            variables.push(("CA_FILE", &*ca_file));
        }
        variables.extend(more);
        Device::start(kind, &variables, secrets)
    }
}

/// The password that `secret` makes, as it is sent and as the bytes it is written from.
fn password(device_name: &str, secret: &str, tls: bool) -> [Needle; 2] {
    let identity = Identity::with_secret("a1pk", device_name, secret).unwrap();
    let mut endpoint = Endpoint::host("localhost", 1).unwrap();
    if !tls {
        endpoint.set_dangerous_plaintext();
    }
    let config = Config::new(&identity, &endpoint).unwrap();
    let credentials = config.credentials().unwrap();
    let password = credentials.password().expose();
    let bytes = scan::from_hex(password);
    [
        Needle::text("the password", password),
        Needle::bytes("the signature", &bytes),
    ]
}

/// A secret, and the blocks that HMAC makes of it.
fn secret(name: &'static str, secret: &str) -> [Needle; 3] {
    let pad = |pad: u8| secret.bytes().map(|byte| byte ^ pad).collect::<Vec<_>>();
    [
        Needle::text(name, secret),
        Needle::bytes("HMAC's inner block", &pad(0x36)),
        Needle::bytes("HMAC's outer block", &pad(0x5c)),
    ]
}

/// A private key: its lines, its DER and the number itself, either end first.
fn private_key(pem: &str) -> Vec<Needle> {
    let lines = pem.lines().filter(|line| !line.starts_with("-----"));
    let mut needles: Vec<_> = lines
        .clone()
        .map(|line| Needle::text("the key's PEM", line))
        .collect();
    let der = scan::from_base64(&lines.collect::<String>());
    // RFC 5958 and RFC 5915: the number is the octet string after the inner version.
    let at = der
        .windows(5)
        .position(|part| part == [2, 1, 1, 4, 32])
        .unwrap()
        + 5;
    let number = &der[at..at + 32];
    needles.push(Needle::bytes("the key", number));
    let reversed: Vec<_> = number.iter().rev().copied().collect();
    needles.push(Needle::bytes("the key, reversed", &reversed));
    needles.push(Needle::bytes(
        "the key in ring's form",
        &scan::montgomery(number),
    ));
    needles
}

#[test]
fn a_device_secret_is_gone_with_its_client() {
    for (name, tls) in [("secret-tcp", false), ("secret-tls", true)] {
        let platform = Platform::new(name);
        let mut device = platform.device("secret", tls, &[], &[DEVICE_SECRET]);
        device.look_for(secret("the device secret", DEVICE_SECRET));
        device.look_for(password("lamp", DEVICE_SECRET, tls));
        device.see(name, &SECRET, &[]);
    }
}

#[test]
fn a_device_token_is_gone_with_its_client() {
    let platform = Platform::new("token");
    platform.sim.edit_registry(|registry| {
        registry.device_entry("a1pk", "born").token = Some(DeviceToken {
            client_id: "pushed-id".to_owned(),
            token: DEVICE_TOKEN.into(),
        });
    });
    let topic = [("TOPIC", "/a1pk/born/user/update")];
    let mut device = platform.device("token", true, &topic, &[DEVICE_TOKEN]);
    device.look_for([Needle::text("the device token", DEVICE_TOKEN)]);
    device.see("token", &[("the device token", 4)], &[]);
}

#[test]
fn the_login_at_a_proxy_is_gone_with_its_client() {
    for (name, variable) in [
        ("HTTP proxy", "HTTP_PROXY_PORT"),
        ("SOCKS5 proxy", "SOCKS5_PROXY_PORT"),
    ] {
        let platform = Platform::new(variable);
        let port = proxy::start("user", PROXY_PASSWORD).to_string();
        let variables = [(variable, &*port)];
        let secrets = [PROXY_PASSWORD, DEVICE_SECRET];
        let mut device = platform.device("secret", true, &variables, &secrets);
        device.look_for([
            Needle::text("the proxy's password", PROXY_PASSWORD),
            Needle::text("the login in base64", &proxy::basic("user", PROXY_PASSWORD)),
        ]);
        device.see(name, &[("the proxy's password", 1)], &[]);
    }
}

/// When all ends the password still waits for a socket that takes nothing.
#[test]
fn a_password_that_was_never_sent_is_gone_with_its_client() {
    let platform = Platform::new("unsent");
    // So long that nothing else soon takes the memory that CONNECT was in.
    let password = format!("{}{PASSWORD}", "-".repeat(3000));
    let stuck = [("STUCK", "1")];
    let mut device = platform.device("verbatim", false, &stuck, &[&password]);
    device.look_for([Needle::text("the verbatim password", &password)]);
    let waiting = device.look("stuck");
    assert!(waiting.count("the verbatim password") > 4, "{waiting:#?}");
    device.see_the_end("unsent", &waiting, &[]);
}

#[test]
fn a_product_secret_is_gone_with_its_registration_and_what_it_gave_with_its_client() {
    let platform = Platform::new("register");
    let file = platform.folder.join("identity").display().to_string();
    let variables = [("IDENTITY_FILE", &*file)];
    let mut device = platform.device("register", true, &variables, &[PRODUCT_SECRET]);
    device.look_for(secret("the product secret", PRODUCT_SECRET));
    let registered = |sim: &Sim| {
        sim.edit_registry(|registry| {
            let secret = registry.device_entry("a1pk", "listed").secret.clone();
            secret.map(|secret| secret.expose().to_owned())
        })
    };
    // It comes while the device registers, long before anything is looked for.
    let deadline = Instant::now() + PATIENCE;
    let given = loop {
        if let Some(given) = registered(&platform.sim) {
            break given;
        }
        assert!(Instant::now() < deadline, "the device does not register");
        std::thread::sleep(Duration::from_millis(5));
    };
    device.look_for(secret("the device secret", &given));
    device.look_for(password("listed", &given, true));
    device.see("registration", &REGISTERED, &ANSWER);

    let mut device = platform.device("file", true, &variables, &[]);
    device.look_for(secret("the device secret", &given));
    device.look_for(password("listed", &given, true));
    device.see("identity file", &SECRET, &[]);
}

#[test]
fn a_private_key_is_gone_with_its_client() {
    let platform = Platform::new("certificate");
    let issued = platform.sim.issue_certificate("a1pk", "lamp").unwrap();
    let path = |name: &str| platform.folder.join(name).display().to_string();
    let (certificate, key) = (path("device.pem"), path("device.key"));
    fs::write(&certificate, &issued.certificate_pem).unwrap();
    fs::write(&key, &issued.key_pem).unwrap();
    let text = [("CERTIFICATE", &*issued.certificate_pem)];
    let mut device = platform.device("certificate", true, &text, &[&issued.key_pem]);
    device.look_for(private_key(&issued.key_pem));
    device.see("private key", &KEY, &RING);

    let files = [("CERTIFICATE_FILE", &*certificate), ("KEY_FILE", &*key)];
    let mut device = platform.device("certificate-file", true, &files, &[]);
    device.look_for(private_key(&issued.key_pem));
    device.see("private key from a file", &RING, &RING);
}

#[test]
fn a_password_is_gone_from_a_websocket() {
    let folder = folder("websocket");
    let free_port = || TcpListener::bind("127.0.0.1:0")?.local_addr();
    // It does not start with a WebSocket alone.
    let [mqtt, port] = [(); 2].map(|()| free_port().unwrap().port());
    let config = folder.join("mosquitto.conf");
    let text = format!(
        "user root\nallow_anonymous true\nlistener {mqtt} 127.0.0.1\n\
         listener {port} 127.0.0.1\nprotocol websockets\n"
    );
    fs::write(&config, text).unwrap();
    let places = ["/usr/sbin/mosquitto", "/usr/bin/mosquitto"].map(Path::new);
    let Some(mosquitto) = places.into_iter().find(|path| path.exists()) else {
        say("SKIPPED: mosquitto is not installed: `make deps` does it");
        return;
    };
    let broker = Command::new(mosquitto)
        .arg("-c")
        .arg(&config)
        .stderr(Stdio::null())
        .spawn();
    let _broker = Broker(broker.unwrap());
    let deadline = Instant::now() + PATIENCE;
    while TcpStream::connect(("127.0.0.1", port)).is_err() {
        assert!(Instant::now() < deadline, "mosquitto does not listen");
        std::thread::sleep(Duration::from_millis(5));
    }
    let port = port.to_string();
    let variables = [("PORT", &*port), ("WEBSOCKET", "/mqtt"), ("TOPIC", "a")];
    let mut device = Device::start("verbatim", &variables, &[PASSWORD]);
    device.look_for([Needle::text("the verbatim password", PASSWORD)]);
    device.see("WebSocket", &[("the verbatim password", 4)], &[]);
}

struct Broker(Child);

impl Drop for Broker {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
