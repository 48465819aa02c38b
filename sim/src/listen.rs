//! The listeners: TLS, plain TCP, the control port, HTTP and HTTPS.

use std::net::{SocketAddr, TcpListener as StdListener};
use std::sync::Arc;
use std::time::Duration;

use rustls::ServerConfig;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, timeout_at};
use tokio_rustls::TlsAcceptor;

use crate::auth::Transport;
use crate::broker::Broker;
use crate::connection;
use crate::control;
use crate::error::Error;
use crate::faults::Early;
use crate::http;
use crate::options::Options;

/// Pause after a failed accept: without file descriptors, each further one fails at once.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Bound sockets; their ports are known before the simulator's thread runs.
pub(crate) struct Listeners {
    tls: Option<(StdListener, SocketAddr)>,
    tcp: Option<(StdListener, SocketAddr)>,
    control: Option<(StdListener, SocketAddr)>,
    http: Option<(StdListener, SocketAddr)>,
    https: Option<(StdListener, SocketAddr)>,
}

/// Where the simulator listens.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Addresses {
    pub(crate) tls: Option<SocketAddr>,
    pub(crate) tcp: Option<SocketAddr>,
    pub(crate) control: Option<SocketAddr>,
    pub(crate) http: Option<SocketAddr>,
    pub(crate) https: Option<SocketAddr>,
}

impl Addresses {
    /// The addresses with a word for each.
    pub(crate) fn named(&self) -> impl Iterator<Item = (&'static str, SocketAddr)> {
        [
            ("TLS", self.tls),
            ("TCP", self.tcp),
            ("control", self.control),
            ("the API and the page", self.http),
            ("files over HTTPS", self.https),
        ]
        .into_iter()
        .filter_map(|(what, address)| Some((what, address?)))
    }
}

impl Listeners {
    /// Binds every address that is set.
    pub(crate) fn bind(options: &Options) -> Result<Self, Error> {
        Ok(Self {
            tls: options.tls.map(bind).transpose()?,
            tcp: options.tcp.map(bind).transpose()?,
            control: options.control.map(bind).transpose()?,
            http: options.http.map(bind).transpose()?,
            https: options.https.map(bind).transpose()?,
        })
    }

    pub(crate) fn addresses(&self) -> Addresses {
        let address = |bound: &Option<(StdListener, SocketAddr)>| bound.as_ref().map(|b| b.1);
        Addresses {
            tls: address(&self.tls),
            tcp: address(&self.tcp),
            control: address(&self.control),
            http: address(&self.http),
            https: address(&self.https),
        }
    }
}

fn bind(address: SocketAddr) -> Result<(StdListener, SocketAddr), Error> {
    let bind = || {
        let listener = StdListener::bind(address)?;
        listener.set_nonblocking(true)?;
        let bound = listener.local_addr()?;
        Ok((listener, bound))
    };
    bind().map_err(|error| Error::Listen(address, error))
}

/// Accepts connections for ever; each is served by a task of its own.
pub(crate) async fn run(
    broker: &Arc<Broker>,
    listeners: Listeners,
    tls: Arc<ServerConfig>,
    files: Arc<ServerConfig>,
) {
    let acceptor = TlsAcceptor::from(tls);
    let file_acceptor = TlsAcceptor::from(files);
    let page = listeners.http.as_ref().map(|(_, address)| *address);
    tokio::join!(
        accept(broker, listeners.tls, |broker, stream, peer| {
            tokio::spawn(serve_tls(broker, acceptor.clone(), stream, peer));
        }),
        accept(broker, listeners.tcp, |broker, stream, peer| {
            if broker.early() == Early::Accept {
                return;
            }
            let deadline = Instant::now() + broker.connect_timeout;
            tokio::spawn(connection::serve(
                broker,
                Transport::Tcp,
                peer,
                stream,
                deadline,
            ));
        }),
        accept(broker, listeners.control, |broker, stream, _| {
            tokio::spawn(control::serve(broker, stream));
        }),
        accept(broker, listeners.http, |broker, stream, _| {
            if let Some(page) = page {
                tokio::spawn(http::serve_page(broker, stream, page));
            }
        }),
        accept(broker, listeners.https, |broker, stream, _| {
            tokio::spawn(http::serve_files(broker, file_acceptor.clone(), stream));
        }),
    );
}

async fn accept(
    broker: &Arc<Broker>,
    bound: Option<(StdListener, SocketAddr)>,
    serve: impl Fn(Arc<Broker>, TcpStream, String),
) {
    let Some((listener, address)) = bound else {
        return std::future::pending().await;
    };
    let listener = match TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => {
            broker.log(&format!("cannot listen on {address}: {error}"));
            return std::future::pending().await;
        }
    };
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                // Latency of small packets is what a device under test measures.
                let _ = stream.set_nodelay(true);
                serve(Arc::clone(broker), stream, peer.to_string());
            }
            Err(error) => {
                broker.log(&format!("cannot accept on {address}: {error}"));
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn serve_tls(broker: Arc<Broker>, acceptor: TlsAcceptor, stream: TcpStream, peer: String) {
    match broker.early() {
        Early::Off => {}
        Early::Accept => return,
        Early::Handshake => {
            // The client has sent its hello by then, so that it is an answer that it gets.
            let _ = timeout_at(Instant::now() + broker.connect_timeout, stream.readable()).await;
            broker.log(&format!("closed the TLS handshake with {peer} on request"));
            return;
        }
    }
    let deadline = Instant::now() + broker.connect_timeout;
    match timeout_at(deadline, acceptor.accept(stream)).await {
        Ok(Ok(stream)) => {
            connection::serve(broker, Transport::Tls, peer, stream, deadline).await;
        }
        Ok(Err(error)) => {
            let reason = explain(&error.to_string());
            broker.log(&format!("TLS handshake with {peer} failed: {reason}"));
        }
        Err(_) => broker.log(&format!(
            "TLS handshake with {peer} failed: no answer in time"
        )),
    }
}

/// The usual causes of a failed handshake, seen from the server.
fn explain(error: &str) -> String {
    let hint = if error.contains("invalid peer certificate") {
        ": the client's certificate is none of the simulator's device authority; issue one for it"
    } else if error.contains("UnknownCA") || error.contains("UnknownIssuer") {
        ": the client does not trust ca.pem"
    } else if error.contains("BadCertificate") || error.contains("CertificateUnknown") {
        ": the client refused the certificate; give it ca.pem and a host name that the certificate has"
    } else if error.contains("CertificateExpired") {
        ": the client takes the certificate for expired or not yet valid"
    } else if error.contains("InvalidContentType") || error.contains("corrupt message") {
        ": the client does not speak TLS; plain TCP has a port of its own"
    } else {
        ""
    };
    format!("{error}{hint}")
}
