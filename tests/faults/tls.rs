//! Servers that no device should talk to, and things that a server may do to a TLS connection:
//! OpenSSL's server, because no Rust server would agree to most of them.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver};

use aliot::{Config, Counter, Endpoint, Error, ErrorKind, EventKind, Identity, Stage};

use crate::support::device::{Device, Said, private};
use crate::support::{PATIENCE, eventually};

fn openssl(folder: &Path, line: &str) {
    let output = Command::new("openssl")
        .args(line.split_whitespace())
        .current_dir(folder)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "openssl {line}: {said}");
}

/// `openssl s_server` with what it is told in `line`. It ends with the value.
struct Server {
    process: Child,
    port: u16,
    /// What it prints.
    lines: Receiver<String>,
}

impl Server {
    fn start(folder: &Path, line: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        drop(listener);
        // A line as soon as there is one.
        let mut process = Command::new("stdbuf")
            .args([
                "-oL",
                "openssl",
                "s_server",
                "-accept",
                &format!("127.0.0.1:{port}"),
            ])
            .args(line.split_whitespace())
            .current_dir(folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let (sender, lines) = mpsc::channel();
        let mut says = BufReader::new(process.stdout.take().unwrap());
        std::thread::spawn(move || {
            let mut line = Vec::new();
            // Not text alone: what the device sends is printed as well.
            while says.read_until(b'\n', &mut line).is_ok_and(|len| len > 0) {
                let _ = sender.send(String::from_utf8_lossy(&line).into_owned());
                line.clear();
            }
        });
        eventually("the server listens", || {
            TcpStream::connect(("127.0.0.1", port)).is_ok()
        });
        Self {
            process,
            port,
            lines,
        }
    }

    /// To the device as it is, unless it begins with a letter that the server takes for itself.
    fn say(&mut self, bytes: &[u8]) {
        let pipe = self.process.stdin.as_mut().unwrap();
        pipe.write_all(bytes).unwrap();
        pipe.flush().unwrap();
    }

    /// One of the letters that the server takes for itself, and its answer.
    fn obey(&mut self, letter: &str) {
        self.say(letter.as_bytes());
        self.prints("SSL_do_handshake");
    }

    fn prints(&self, text: &str) {
        while !self.lines.recv_timeout(PATIENCE).unwrap().contains(text) {}
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn device(folder: &Path, port: u16) -> Device {
    let identity = Identity::verbatim("device", "user", "password").unwrap();
    let mut endpoint = Endpoint::host("localhost", port).unwrap();
    endpoint.set_ca_file(&folder.join("ca.pem")).unwrap();
    let mut config = Config::new(&identity, &endpoint).unwrap();
    private(&mut config);
    Device::start(&config)
}

fn refusal(folder: &Path, line: &str) -> Error {
    let server = Server::start(folder, line);
    let device = device(folder, server.port);
    device.event(EventKind::ConnectFailed, 1).error.unwrap()
}

/// A root in `ca.pem`, and certificates under it.
fn authority() -> Option<tempfile::TempDir> {
    if Command::new("openssl").arg("version").output().is_err() {
        let _ = writeln!(std::io::stderr(), "skipped: tls: openssl is not there");
        return None;
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let subject = "-nodes -days 30 -subj /CN=test";
    openssl(
        path,
        &format!("req -x509 -newkey rsa:2048 {subject} -keyout ca.key -out ca.pem"),
    );
    openssl(
        path,
        "req -newkey rsa:2048 -nodes -subj /CN=localhost -keyout leaf.key -out leaf.csr",
    );
    std::fs::write(path.join("server"), "subjectAltName=DNS:localhost\n").unwrap();
    sign(path, "leaf.csr", "server", "-sha256", "leaf.pem");
    Some(folder)
}

fn sign(folder: &Path, request: &str, extensions: &str, digest: &str, out: &str) {
    let by = "-CA ca.pem -CAkey ca.key -CAcreateserial -days 30";
    openssl(
        folder,
        &format!("x509 -req -in {request} {by} -extfile {extensions} {digest} -out {out}"),
    );
}

#[test]
fn a_certificate_of_another_time_or_purpose_is_refused() {
    let Some(folder) = authority() else { return };
    let path = folder.path();
    openssl(
        path,
        "req -newkey rsa:1024 -nodes -subj /CN=localhost -keyout weak.key -out weak.csr",
    );
    sign(path, "weak.csr", "server", "-sha256", "weak.pem");
    sign(path, "leaf.csr", "server", "-sha1", "sha1.pem");
    // The weak key again, as that of an authority in the middle.
    std::fs::write(path.join("authority"), "basicConstraints=CA:TRUE\n").unwrap();
    openssl(
        path,
        "req -new -key weak.key -subj /CN=middle -out middle.csr",
    );
    sign(path, "middle.csr", "authority", "-sha256", "middle.pem");
    openssl(
        path,
        "x509 -req -in leaf.csr -CA middle.pem -CAkey weak.key -CAcreateserial -days 30 \
         -extfile server -sha256 -out under.pem",
    );
    let client = "subjectAltName=DNS:localhost\nextendedKeyUsage=clientAuth\n";
    std::fs::write(path.join("client"), client).unwrap();
    sign(path, "leaf.csr", "client", "-sha256", "client.pem");
    openssl(
        path,
        "req -x509 -key leaf.key -days 30 -subj /CN=localhost \
         -addext subjectAltName=DNS:localhost -out self.pem",
    );
    // So that the server does not refuse itself.
    let any = "-cipher DEFAULT:@SECLEVEL=0";
    let weak = "an RSA key of 1024 bits, which can be broken: the server needs";
    for (name, line, words) in [
        ("RSA of 1024 bits", "-cert weak.pem -key weak.key", weak),
        (
            "RSA of 1024 bits, TLS 1.2",
            "-cert weak.pem -key weak.key -tls1_2",
            weak,
        ),
        (
            "signed by RSA of 1024 bits",
            "-cert under.pem -key leaf.key -cert_chain middle.pem",
            weak,
        ),
        (
            "SHA-1",
            "-cert sha1.pem -key leaf.key",
            "signed with SHA-1, which can be forged: it must be issued anew, with SHA-256",
        ),
        ("for clients alone", "-cert client.pem -key leaf.key", ""),
        ("signed by itself", "-cert self.pem -key leaf.key", ""),
    ] {
        let error = refusal(path, &format!("{line} {any}"));
        eprintln!("measured: {name}: {error}");
        assert_eq!(
            (error.kind(), error.stage()),
            (ErrorKind::TlsCertificate, Stage::Tls),
            "{name}: {error}"
        );
        assert!(error.to_string().contains(words), "{name}: {error}");
    }
}

#[test]
fn a_root_whose_key_is_too_weak_is_named_as_the_cause() {
    let Some(folder) = authority() else { return };
    let path = folder.path();
    let leaf = "-cert leaf.pem -key leaf.key -cipher DEFAULT:@SECLEVEL=0";
    let root = || std::fs::read_to_string(path.join("ca.pem")).unwrap();
    let strong = root();
    openssl(
        path,
        "req -x509 -key leaf.key -days 30 -subj /CN=other -out ca.pem",
    );
    let other = root();
    openssl(
        path,
        "req -x509 -newkey rsa:1024 -nodes -days 30 -subj /CN=test -keyout ca.key -out ca.pem",
    );
    let weak = root();
    sign(path, "leaf.csr", "server", "-sha256", "leaf.pem");
    std::fs::write(path.join("ca.pem"), other + &weak).unwrap();
    let error = refusal(path, leaf);
    eprintln!("measured: a root with RSA of 1024 bits: {error}");
    assert_eq!(
        (error.kind(), error.stage()),
        (ErrorKind::TlsCertificate, Stage::Tls)
    );
    let text = error.to_string();
    let words = "the root of the server's certificate, \"test\", has an RSA key of 1024 bits, which \
                 can be broken: the server needs a certificate under a root with RSA of 2048 bits";
    assert!(text.contains(words), "{text}");
    // With a strong one of the same name beside it, it may as well be another's signature.
    std::fs::write(path.join("ca.pem"), strong + &weak).unwrap();
    let text = refusal(path, leaf).to_string();
    assert!(text.contains("or the certificate is forged"), "{text}");
}

#[test]
fn a_server_with_nothing_but_old_ciphers_or_versions_is_refused() {
    let Some(folder) = authority() else { return };
    let leaf = "-cert leaf.pem -key leaf.key";
    for (name, line) in [
        ("RSA key exchange", "-tls1_2 -cipher AES128-GCM-SHA256"),
        ("CBC", "-tls1_2 -cipher ECDHE-RSA-AES128-SHA"),
        (
            "nobody's key",
            "-tls1_2 -cipher ADH-AES128-GCM-SHA256:@SECLEVEL=0",
        ),
        ("TLS 1.1", "-tls1_1 -cipher DEFAULT:@SECLEVEL=0"),
    ] {
        let error = refusal(folder.path(), &format!("{leaf} {line}"));
        eprintln!("measured: {name}: {error}");
        assert_eq!(
            (error.kind(), error.stage()),
            (ErrorKind::TlsHandshake, Stage::Tls),
            "{name}: {error}"
        );
    }
}

const CONNACK: &[u8] = &[0x20, 2, 0, 0];
/// QoS 0, topic "a".
const MESSAGE: &[u8] = b"\x30\x04\x00\x01ax";

#[test]
fn new_keys_in_the_middle_of_a_connection_are_taken_and_a_new_handshake_is_not() {
    let Some(folder) = authority() else { return };
    let leaf = "-cert leaf.pem -key leaf.key";
    let mut server = Server::start(folder.path(), &format!("{leaf} -tls1_3"));
    let talks = device(folder.path(), server.port);
    // Before that what it is told would be for nobody.
    server.prints("CIPHER is");
    server.say(CONNACK);
    talks.client.wait_connected(PATIENCE).unwrap();
    for n in 1..=20 {
        // New keys of both sides.
        server.obey("K\n");
        server.say(MESSAGE);
        talks.messages(n);
    }
    assert_eq!(talks.client.counter(Counter::Connects), 1);
    drop(server);

    let mut server = Server::start(
        folder.path(),
        &format!("{leaf} -tls1_2 -legacy_renegotiation"),
    );
    let talks = device(folder.path(), server.port);
    // Before that what it is told would be for nobody.
    server.prints("CIPHER is");
    server.say(CONNACK);
    talks.client.wait_connected(PATIENCE).unwrap();
    // Asked to begin anew, a client may decline and go on, or end the connection.
    server.obey("R\n");
    server.say(MESSAGE);
    let told = talks.wait("a message or the end of the connection", |said| {
        said.iter().find_map(|said| match said {
            Said::Message(..) => Some("the device declined and went on"),
            Said::Event(event) if event.kind == EventKind::Disconnected => {
                Some("the connection ended")
            }
            _ => None,
        })
    });
    eprintln!("measured: asked for a new handshake: {told}");
}
