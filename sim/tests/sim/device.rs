//! A device that writes and reads its packets by hand, over TCP or TLS.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use aliot_sim::signature::{Method, Signed};
use aliot_sim::{Options, Sim};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

/// Longest wait for anything; far more than a loaded machine needs.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// Secret of the devices below, long enough to be searched for in the log.
pub(crate) const SECRET: &str = "Kq7-device-secret-Zx9";

/// A simulator that knows `pk/dn` and `pk/other`.
pub(crate) fn sim() -> Sim {
    sim_with(Options::default())
}

pub(crate) fn sim_with(options: Options) -> Sim {
    let sim = Sim::start(options).unwrap();
    sim.add_device("pk", "dn", SECRET);
    sim.add_device("pk", "other", "another-device-secret");
    sim
}

trait Stream: Read + Write + Send {
    fn set_timeout(&self, timeout: Duration);
}

impl Stream for TcpStream {
    fn set_timeout(&self, timeout: Duration) {
        self.set_read_timeout(Some(timeout)).unwrap();
    }
}

impl Stream for StreamOwned<ClientConnection, TcpStream> {
    fn set_timeout(&self, timeout: Duration) {
        self.sock.set_read_timeout(Some(timeout)).unwrap();
    }
}

/// The fields of a CONNECT; the default is a signed one over TCP that is let in.
pub(crate) struct Connect {
    pub(crate) client_id: String,
    pub(crate) user_name: String,
    pub(crate) password: String,
    pub(crate) keep_alive: u16,
    pub(crate) clean_session: bool,
}

/// A CONNECT for `pk/dn` over TCP, with these further parameters, signed right.
pub(crate) fn signed(params: &str) -> Connect {
    signed_as(
        "dn",
        SECRET,
        &format!("securemode=3,signmethod=hmacsha256{params}"),
    )
}

/// A CONNECT for a device of `pk` with exactly these parameters, signed as they say.
pub(crate) fn signed_as(device_name: &str, secret: &str, params: &str) -> Connect {
    let param = |name: &str| {
        let pairs = params.split(',').filter_map(|pair| pair.split_once('='));
        pairs
            .into_iter()
            .find(|(known, _)| *known == name)
            .map(|(_, value)| value)
    };
    let method = param("signmethod").map_or(Method::HmacMd5, |name| Method::parse(name).unwrap());
    let id = format!("pk.{device_name}");
    let content = Signed {
        client_id: Some(&id),
        device_name,
        product_key: "pk",
        timestamp: param("timestamp"),
    };
    Connect {
        client_id: format!("{id}|{params}|"),
        user_name: format!("{device_name}&pk"),
        password: method
            .sign(secret.as_bytes(), content.content().as_bytes())
            .to_uppercase(),
        keep_alive: 60,
        clean_session: true,
    }
}

fn text(packet: &mut Vec<u8>, text: &[u8]) {
    packet.extend((text.len() as u16).to_be_bytes());
    packet.extend(text);
}

fn packet(first: u8, body: &[u8]) -> Vec<u8> {
    let mut packet = vec![first];
    let mut rest = body.len();
    loop {
        let byte = (rest % 128) as u8;
        rest /= 128;
        packet.push(if rest > 0 { byte | 0x80 } else { byte });
        if rest == 0 {
            break;
        }
    }
    packet.extend(body);
    packet
}

impl Connect {
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut body = b"\0\x04MQTT\x04".to_vec();
        body.push(0xC0 | if self.clean_session { 2 } else { 0 });
        body.extend(self.keep_alive.to_be_bytes());
        for field in [&self.client_id, &self.user_name, &self.password] {
            text(&mut body, field.as_bytes());
        }
        packet(0x10, &body)
    }
}

/// A PUBLISH that arrived.
#[derive(Debug, Eq, PartialEq)]
pub(crate) struct Publish {
    pub(crate) topic: String,
    pub(crate) payload: Vec<u8>,
    pub(crate) id: u16,
    pub(crate) qos: u8,
    pub(crate) dup: bool,
}

/// One connection to the simulator.
pub(crate) struct Device(Box<dyn Stream>);

/// How a connection ended, as the device sees it.
#[derive(Debug, Eq, PartialEq)]
pub(crate) enum Ending {
    /// FIN, over TLS after close_notify.
    Orderly,
    /// Over TLS, FIN without close_notify.
    Truncated,
    /// RST.
    Reset,
}

/// A TLS client configuration that trusts the simulator.
pub(crate) fn trusting(sim: &Sim) -> Arc<ClientConfig> {
    trusting_pem(sim.ca_pem(), None)
}

/// A TLS client configuration that trusts an authority and may show a certificate.
pub(crate) fn trusting_pem(
    ca_pem: &str,
    shown: Option<&aliot_sim::DeviceCertificate>,
) -> Arc<ClientConfig> {
    let certificate = |pem: &str| CertificateDer::from_pem_slice(pem.as_bytes()).unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(certificate(ca_pem)).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots);
    let config = match shown {
        None => builder.with_no_client_auth(),
        Some(shown) => {
            let key = PrivateKeyDer::from_pem_slice(shown.key_pem.as_bytes()).unwrap();
            let chain = vec![certificate(&shown.certificate_pem)];
            builder.with_client_auth_cert(chain, key).unwrap()
        }
    };
    Arc::new(config)
}

fn tcp(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    stream
}

impl Device {
    pub(crate) fn open_tcp(sim: &Sim) -> Self {
        Self(Box::new(tcp(sim.tcp_addr().unwrap())))
    }

    pub(crate) fn open_tls(sim: &Sim) -> std::io::Result<Self> {
        Self::open_tls_with(sim, trusting(sim))
    }

    pub(crate) fn open_tls_with(sim: &Sim, config: Arc<ClientConfig>) -> std::io::Result<Self> {
        Self::open_tls_at(sim.tls_addr().unwrap(), config)
    }

    pub(crate) fn open_tls_at(
        address: SocketAddr,
        config: Arc<ClientConfig>,
    ) -> std::io::Result<Self> {
        let name = ServerName::try_from("localhost").unwrap();
        let mut connection = ClientConnection::new(config, name).unwrap();
        let mut socket = tcp(address);
        while connection.is_handshaking() {
            connection.complete_io(&mut socket)?;
        }
        Ok(Self(Box::new(StreamOwned::new(connection, socket))))
    }

    /// Connects over TCP and is let in.
    pub(crate) fn connected(sim: &Sim, connect: &Connect) -> Self {
        let mut device = Self::open_tcp(sim);
        device.send(&connect.bytes());
        assert_eq!(device.conn_ack(), (false, 0), "{:?}", sim.log_lines());
        device
    }

    /// Sends, unless the other side is gone already.
    pub(crate) fn send_if_open(&mut self, bytes: &[u8]) {
        let _ = self.0.write_all(bytes).and_then(|()| self.0.flush());
    }

    pub(crate) fn send(&mut self, bytes: &[u8]) {
        self.0.write_all(bytes).unwrap();
        self.0.flush().unwrap();
    }

    /// The next packet: its first byte and its body.
    pub(crate) fn receive(&mut self) -> (u8, Vec<u8>) {
        let mut first = [0];
        self.0.read_exact(&mut first).unwrap();
        let (mut len, mut shift) = (0, 0);
        loop {
            let mut byte = [0];
            self.0.read_exact(&mut byte).unwrap();
            len |= usize::from(byte[0] & 0x7F) << shift;
            shift += 7;
            if byte[0] & 0x80 == 0 {
                break;
            }
        }
        let mut body = vec![0; len];
        self.0.read_exact(&mut body).unwrap();
        (first[0], body)
    }

    /// Session present and code of the CONNACK that must come next.
    pub(crate) fn conn_ack(&mut self) -> (bool, u8) {
        let (first, body) = self.receive();
        assert_eq!((first, body.len()), (0x20, 2));
        (body[0] == 1, body[1])
    }

    /// Subscribes and returns the codes of the SUBACK.
    pub(crate) fn subscribe(&mut self, filters: &[(&str, u8)]) -> Vec<u8> {
        let mut body = vec![0, 9];
        for (filter, qos) in filters {
            text(&mut body, filter.as_bytes());
            body.push(*qos);
        }
        self.send(&packet(0x82, &body));
        let (first, body) = self.receive();
        assert_eq!((first, &body[..2]), (0x90, &[0, 9][..]));
        body[2..].to_vec()
    }

    /// Publishes; with an id at QoS 1.
    pub(crate) fn publish(&mut self, topic: &str, payload: &[u8], id: Option<u16>) {
        let mut body = Vec::new();
        text(&mut body, topic.as_bytes());
        body.extend(id.into_iter().flat_map(u16::to_be_bytes));
        body.extend(payload);
        self.send(&packet(if id.is_some() { 0x32 } else { 0x30 }, &body));
    }

    /// Packet id of the PUBACK that must come next.
    pub(crate) fn pub_ack(&mut self) -> u16 {
        let (first, body) = self.receive();
        assert_eq!(first, 0x40);
        u16::from_be_bytes([body[0], body[1]])
    }

    pub(crate) fn acknowledge(&mut self, id: u16) {
        self.send(&packet(0x40, &id.to_be_bytes()));
    }

    /// The PUBLISH that must come next.
    pub(crate) fn message(&mut self) -> Publish {
        let (first, body) = self.receive();
        assert_eq!(first >> 4, 3, "{first:#x}");
        let qos = first >> 1 & 3;
        let (topic, rest) = body[2..].split_at(usize::from(u16::from_be_bytes([body[0], body[1]])));
        let (id, payload) = if qos > 0 {
            rest.split_at(2)
        } else {
            (&[0, 0][..], rest)
        };
        Publish {
            topic: String::from_utf8(topic.to_vec()).unwrap(),
            payload: payload.to_vec(),
            id: u16::from_be_bytes([id[0], id[1]]),
            qos,
            dup: first & 8 != 0,
        }
    }

    /// Asserts that nothing was sent to the device before the answer to a ping.
    pub(crate) fn ping(&mut self) {
        self.send(&[0xC0, 0]);
        assert_eq!(self.receive(), (0xD0, vec![]));
    }

    /// Waits for the end of the connection; no packet may come before it.
    pub(crate) fn ending(&mut self) -> Ending {
        self.0.set_timeout(PATIENCE);
        let mut byte = [0];
        match self.0.read(&mut byte) {
            Ok(0) => Ending::Orderly,
            Ok(_) => panic!(
                "a packet that begins with {:#x} instead of the end",
                byte[0]
            ),
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => Ending::Truncated,
            Err(error) if error.kind() == ErrorKind::ConnectionReset => Ending::Reset,
            Err(error) => panic!("{error}"),
        }
    }
}

/// Says that a test is skipped, past the harness, which hides what a passing test prints.
pub(crate) fn skipped(why: &str) {
    let _ = writeln!(std::io::stderr(), "skipped: {why}");
}

/// Waits until a log line holds all of `parts`.
pub(crate) fn wait_for_line(sim: &Sim, parts: &[&str]) {
    let found = sim.wait_for(
        |view| {
            view.log_lines()
                .any(|line| parts.iter().all(|part| line.contains(part)))
        },
        PATIENCE,
    );
    assert!(
        found.is_ok(),
        "no line with {parts:?} in {:#?}",
        sim.log_lines()
    );
}
