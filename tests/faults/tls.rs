//! Servers that no device should talk to, and things that a server may do to a TLS connection:
//! OpenSSL's server, because no Rust server would agree to most of them.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver};

use aliot::{Config, Counter, Endpoint, Error, ErrorKind, EventKind, Identity, Stage};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};

use crate::ran::ran;
use crate::support::device::{Device, private};
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

    /// Waits for it. Returns everything up to there.
    fn prints(&self, text: &str) -> String {
        let mut said = String::new();
        while !said.contains(text) {
            let line = self.lines.recv_timeout(PATIENCE);
            said += &line.unwrap_or_else(|_| panic!("no {text:?} in {said}"));
        }
        said
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn device(folder: &Path, port: u16) -> Device {
    device_with(port, |endpoint| {
        endpoint.set_ca_file(&folder.join("ca.pem")).unwrap();
    })
}

fn device_with(port: u16, set: impl FnOnce(&mut Endpoint)) -> Device {
    let identity = Identity::verbatim("device", "user", "password").unwrap();
    let mut endpoint = Endpoint::host("localhost", port).unwrap();
    // What ends sooner was not ended by it.
    endpoint.set_connect_timeout(3 * PATIENCE).unwrap();
    set(&mut endpoint);
    let mut config = Config::new(&identity, &endpoint).unwrap();
    private(&mut config);
    Device::start(&config)
}

fn refusal(folder: &Path, line: &str) -> Error {
    let server = Server::start(folder, line);
    let device = device(folder, server.port);
    device.event(EventKind::ConnectFailed, 1).error.unwrap()
}

pub(crate) fn has_openssl() -> bool {
    Command::new("openssl").arg("version").output().is_ok()
}

/// All of this file.
pub(crate) const NEED_OPENSSL: [&str; 6] = [
    "a_certificate_of_another_time_or_purpose_is_refused",
    "a_root_whose_key_is_too_weak_is_named_as_the_cause",
    "a_server_with_nothing_but_old_ciphers_or_versions_is_refused",
    "plain_text_to_a_port_of_tls_is_an_error_at_once",
    "a_client_certificate_that_expired_is_told_from_one_that_is_missing",
    "new_keys_in_the_middle_of_a_connection_are_taken_and_a_new_handshake_is_not",
];

/// A root in `ca.pem`, and certificates under it.
fn authority() -> Option<tempfile::TempDir> {
    if !has_openssl() {
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
    std::fs::write(path.join("address"), "subjectAltName=IP:127.0.0.1\n").unwrap();
    sign(path, "leaf.csr", "address", "-sha256", "address.pem");
    for (out, authority) in [("self.pem", "TRUE"), ("alone.pem", "FALSE")] {
        let file = format!(
            "[req]\ndistinguished_name=name\n[name]\n[x]\nsubjectAltName=DNS:localhost\n\
             basicConstraints=CA:{authority}\n"
        );
        std::fs::write(path.join("config"), file).unwrap();
        let subject = "-days 30 -subj /CN=localhost";
        openssl(
            path,
            &format!("req -x509 -config config -extensions x -key leaf.key {subject} -out {out}"),
        );
    }
    // So that the server does not refuse itself.
    let any = "-cipher DEFAULT:@SECLEVEL=0";
    let weak = "an RSA key of 1024 bits, which can be broken: the server needs";
    let cases = [
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
        (
            "for clients alone",
            "-cert client.pem -key leaf.key",
            "does not allow extended key usage for server authentication",
        ),
        (
            "signed by itself, for itself",
            "-cert self.pem -key leaf.key",
            "a CA certificate as its own: it needs one issued for a server",
        ),
        (
            "signed by itself alone",
            "-cert alone.pem -key leaf.key",
            "does not lead to a CA",
        ),
        ("an address alone", "-cert address.pem -key leaf.key", ""),
    ];
    ran(
        "a_certificate_of_another_time_or_purpose_is_refused",
        cases.len(),
    );
    for (name, line, words) in cases {
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
    ran("a_root_whose_key_is_too_weak_is_named_as_the_cause", 2);
}

#[test]
fn a_server_with_nothing_but_old_ciphers_or_versions_is_refused() {
    let Some(folder) = authority() else { return };
    let leaf = "-cert leaf.pem -key leaf.key";
    let suites = "perhaps it has no cipher suite with ECDHE and AEAD";
    let cases = [
        (
            "RSA key exchange",
            "-tls1_2 -cipher AES128-GCM-SHA256",
            suites,
        ),
        ("CBC", "-tls1_2 -cipher ECDHE-RSA-AES128-SHA", suites),
        (
            "nobody's key",
            "-tls1_2 -cipher ADH-AES128-GCM-SHA256:@SECLEVEL=0",
            suites,
        ),
        (
            "TLS 1.1",
            "-tls1_1 -cipher DEFAULT:@SECLEVEL=0",
            "no TLS version from 1.2 on",
        ),
    ];
    ran(
        "a_server_with_nothing_but_old_ciphers_or_versions_is_refused",
        cases.len(),
    );
    for (name, line, words) in cases {
        let error = refusal(folder.path(), &format!("{leaf} {line}"));
        eprintln!("measured: {name}: {error}");
        assert_eq!(
            (error.kind(), error.stage()),
            (ErrorKind::TlsHandshake, Stage::Tls),
            "{name}: {error}"
        );
        assert!(error.to_string().contains(words), "{name}: {error}");
    }
}

#[test]
fn plain_text_to_a_port_of_tls_is_an_error_at_once() {
    let Some(folder) = authority() else { return };
    let server = Server::start(folder.path(), "-cert leaf.pem -key leaf.key");
    let device = device_with(server.port, Endpoint::set_dangerous_plaintext);
    let error = device.event(EventKind::ConnectFailed, 1).error.unwrap();
    eprintln!("measured: plain text to a port of TLS: {error}");
    // The server's alert, or the end that follows it when that overtook it.
    let kinds = [
        ErrorKind::Protocol,
        ErrorKind::ClosedByPeer,
        ErrorKind::Network,
    ];
    assert!(kinds.contains(&error.kind()), "{error}");
    assert_eq!(error.stage(), Stage::Mqtt, "{error}");
}

#[test]
fn a_client_certificate_that_expired_is_told_from_one_that_is_missing() {
    let Some(folder) = authority() else { return };
    let path = folder.path();
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    std::fs::write(path.join("clients.pem"), issuer.pem()).unwrap();
    let key = KeyPair::generate().unwrap();
    let until = |year| {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, "device");
        params.not_after = rcgen::date_time_ymd(year, 1, 1);
        params.signed_by(&key, &issuer).unwrap().pem()
    };
    let demands = "-cert leaf.pem -key leaf.key -Verify 1 -CAfile clients.pem -verify_return_error";
    // With TLS 1.2 OpenSSL has no better word for it.
    let missing = [
        ("-tls1_2", "alert HandshakeFailure"),
        ("-tls1_3", "wants a client certificate"),
    ];
    for (version, words) in missing {
        let mut server = Server::start(path, &format!("{demands} {version}"));
        let try_with = |certificate: Option<String>| {
            device_with(server.port, |endpoint| {
                endpoint.set_ca_file(&path.join("ca.pem")).unwrap();
                if let Some(certificate) = certificate {
                    let (certificate, key) = (certificate.as_bytes(), key.serialize_pem());
                    endpoint
                        .set_client_certificate_pem(certificate, key.as_bytes())
                        .unwrap();
                }
            })
        };
        let refused = |certificate, words: &str| {
            let device = try_with(certificate);
            let error = device.event(EventKind::ConnectFailed, 1).error.unwrap();
            eprintln!("measured: a client certificate, {version}: {error}");
            assert_eq!(
                (error.kind(), error.stage()),
                (ErrorKind::TlsHandshake, Stage::Tls),
                "{error}"
            );
            assert!(error.to_string().contains(words), "{error}");
        };
        refused(None, words);
        refused(Some(until(2020)), "CertificateExpired");
        // And one that did not expire is let in by this very server.
        let device = try_with(Some(until(2200)));
        server.prints("CIPHER is");
        server.say(CONNACK);
        device.client.wait_connected(PATIENCE).unwrap();
    }
    ran(
        "a_client_certificate_that_expired_is_told_from_one_that_is_missing",
        2,
    );
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

    // What passes of TLS is printed.
    let mut server = Server::start(
        folder.path(),
        &format!("{leaf} -tls1_2 -legacy_renegotiation -msg"),
    );
    let talks = device(folder.path(), server.port);
    // Before that what it is told would be for nobody.
    server.prints("CIPHER is");
    server.say(CONNACK);
    talks.client.wait_connected(PATIENCE).unwrap();
    server.say(b"R\n");
    let asked = server.prints("SSL_do_handshake");
    assert!(asked.contains("HelloRequest"), "{asked}");
    // The device goes on, and declines in front of what it says next. It begins no handshake.
    server.say(MESSAGE);
    talks.messages(1);
    let connections = [Counter::Attempts, Counter::Connects].map(|it| talks.client.counter(it));
    assert_eq!(connections, [1, 1]);
    talks.publish("a", b"b");
    let said = server.prints("no_renegotiation");
    assert!(!said.contains("ClientHello"), "{said}");
    // OpenSSL's server gives the connection up then, and the next one is as good as the first.
    let error = talks.event(EventKind::Disconnected, 1).error.unwrap();
    eprintln!("measured: after a new handshake was declined: {error}");
    // Its alert, or the end that follows it when that overtook it.
    let kinds = [
        ErrorKind::TlsHandshake,
        ErrorKind::ClosedByPeer,
        ErrorKind::Network,
    ];
    assert!(kinds.contains(&error.kind()), "{error}");
    server.prints("CIPHER is");
    server.say(CONNACK);
    talks.event(EventKind::Connected, 2);
    server.say(MESSAGE);
    talks.messages(2);
}
