//! From a host name to an open connection: name lookup, TCP, TLS.
//!
//! Each stage says when it begins, and a failure names its stage and every address tried. The
//! deadline over all stages, CONNACK included, is the caller's.

use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use std::{fmt, io};

use nix::errno::Errno;
use rustls::pki_types::ServerName;
use socket2::SockRef;
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::timeout;

use super::expiry::Notice;
use super::link::Link;
use super::socket::Socket;
use super::tls::Settings;
#[cfg(feature = "websocket")]
use super::websocket;
use super::{blocking, clock, proxy, tls, tls_error};
use crate::error::{Error, ErrorKind, Stage, hint};
use crate::proto::endpoint::Endpoint;
use crate::proto::trust::TlsOptions;
use crate::proto::way::{AddressFamily, Proxy, Way};

/// Where to connect to, and how.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    /// Name or address without brackets.
    pub(crate) host: String,
    pub(crate) port: u16,
    /// The name that the certificate must have and that SNI asks for, if it is not `host`.
    pub(crate) server_name: Option<String>,
    /// Roots, pins, versions, client certificate.
    pub(crate) tls: Arc<TlsOptions>,
    /// Proxy, local address, interface, address family.
    pub(crate) way: Arc<Way>,
    /// No TLS at all. `tls` and `server_name` mean nothing then.
    pub(crate) plaintext: bool,
    /// The largest packet that the peer may send, for WebSocket, which announces sizes of its own.
    #[cfg_attr(
        not(feature = "websocket"),
        allow(dead_code, reason = "nobody else asks")
    )]
    pub(crate) max_packet_len: usize,
    /// How long the caller lets everything up to CONNACK take, without the wait for a turn. The
    /// addresses share a part of what the name lookup leaves of it.
    pub(crate) connect_timeout: Duration,
    /// The address that is tried last. One that takes connections and leads nowhere behind TCP would
    /// otherwise be the first at each attempt, and no other ever tried.
    pub(crate) avoid: Option<IpAddr>,
    /// How long the peer may leave bytes unacknowledged before the system gives the connection
    /// up. `None` leaves the system's default, which is a quarter of an hour on Linux.
    pub(crate) user_timeout: Option<Duration>,
}

impl Target {
    /// What `endpoint` says of the way to `host`, its host name for the identity in question.
    pub(crate) fn new(host: String, endpoint: &Endpoint) -> Self {
        Self {
            host,
            port: endpoint.port(),
            server_name: endpoint.server_name().map(str::to_owned),
            tls: endpoint.tls().clone(),
            way: endpoint.way().clone(),
            plaintext: endpoint.is_plaintext(),
            max_packet_len: 0,
            connect_timeout: endpoint.connect_timeout(),
            avoid: None,
            user_timeout: None,
        }
    }

    fn verified_name(&self) -> &str {
        self.server_name.as_deref().unwrap_or(&self.host)
    }
}

/// Connections that are being opened to one place at the same time. When ten thousand clients lose
/// the network together, their handshakes would share one processor so evenly that none is done in
/// time.
const MAX_TURNS: usize = 64;

struct Turns {
    semaphore: Arc<Semaphore>,
    /// Dials that have a turn or wait for one.
    dials: usize,
}

/// By name and port of what is dialled, as long as anybody dials it. Not one for all: a platform
/// that accepts connections and is silent then would keep everybody from the others.
static TURNS: Mutex<BTreeMap<(String, u16), Turns>> = Mutex::new(BTreeMap::new());

/// What is dialled, counted in [`TURNS`].
struct Place {
    key: (String, u16),
    semaphore: Arc<Semaphore>,
}

impl Place {
    fn new(host: &str, port: u16) -> Self {
        let key = (host.to_owned(), port);
        let mut places = lock_turns();
        let turns = places.entry(key.clone()).or_insert_with(|| Turns {
            semaphore: Arc::new(Semaphore::new(MAX_TURNS)),
            dials: 0,
        });
        turns.dials += 1;
        Self {
            key,
            semaphore: Arc::clone(&turns.semaphore),
        }
    }

    /// `begun` is when the time began that the caller gives. It begins anew after a wait.
    async fn turn(
        &self,
        watch: &mut dyn Watch,
        begun: &mut Duration,
    ) -> Result<SemaphorePermit<'_>, Error> {
        if let Ok(turn) = self.semaphore.try_acquire() {
            return Ok(turn);
        }
        watch.stage(Stage::Session);
        let turn = self.semaphore.acquire().await.map_err(|_| no_turn());
        *begun = clock::now();
        turn
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut places = lock_turns();
        if let Some(turns) = places.get_mut(&self.key) {
            turns.dials -= 1;
            if turns.dials == 0 {
                places.remove(&self.key);
            }
        }
    }
}

fn lock_turns() -> MutexGuard<'static, BTreeMap<(String, u16), Turns>> {
    TURNS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Nothing closes the semaphore.
fn no_turn() -> Error {
    Error::new(
        ErrorKind::Internal,
        Stage::Library,
        "no turn to connect is ever given again",
    )
}

/// Hears how a dial goes.
pub(crate) trait Watch: Send {
    /// A stage begins: `Resolve`, `Tcp`, `Proxy`, `Tls`, `WebSocket`; `Tls` before them all, when
    /// files are read for it; or `Session`, when it has to wait for others to connect before `Tcp`,
    /// which is not time that its peer takes.
    fn stage(&mut self, stage: Stage);

    /// This address has taken the connection. What it is worth shows only later.
    fn reached(&mut self, _address: IpAddr) {}

    /// A certificate ends soon.
    fn notice(&mut self, _notice: Notice) {}
}

impl<F: FnMut(Stage) + Send> Watch for F {
    fn stage(&mut self, stage: Stage) {
        self(stage);
    }
}

/// Connects.
///
/// # Errors
///
/// `Dns`, `Network`, `ConnectTimeout` (no address answered in its share of the time),
/// `ClosedByPeer`, `TlsConfig`, `TlsHandshake`, `TlsCertificate`, `NoResources`. A target with TLS
/// never ends in plain text.
pub(crate) async fn dial(target: &Target, watch: &mut dyn Watch) -> Result<Link, Error> {
    let mut begun = clock::now();
    let tls = prepare_tls(target, watch).await?;
    watch.stage(Stage::Resolve);
    let (host, port) = match &target.way.proxy {
        Some(proxy) => (&proxy.host, proxy.port),
        None => (&target.host, target.port),
    };
    let addresses = resolve(host, port, &target.way).await;
    let mut addresses = addresses.map_err(|error| match &target.way.proxy {
        Some(_) if error.kind() == ErrorKind::Dns => error.with_hint(hint::PROXY),
        _ => error,
    })?;
    if let Some(avoid) = target.avoid {
        put_last(&mut addresses, avoid);
    }
    let place = Place::new(host, port);
    let _turn = place.turn(watch, &mut begun).await?;
    let deadline = begun.saturating_add(target.connect_timeout);
    // In a box of its own, of which there is then one for each turn: ten thousand clients that wait
    // for theirs do not need the memory of a handshake for it.
    Box::pin(open(addresses, deadline, tls, target, watch)).await
}

type Tls = (Arc<Settings>, ServerName<'static>);

async fn open(
    addresses: VecDeque<SocketAddr>,
    deadline: Duration,
    tls: Option<Tls>,
    target: &Target,
    watch: &mut dyn Watch,
) -> Result<Link, Error> {
    watch.stage(Stage::Tcp);
    let (mut stream, address) = connect_any(addresses, target, deadline).await?;
    watch.reached(address.ip());
    if let Some(proxy) = &target.way.proxy {
        watch.stage(Stage::Proxy);
        proxy::pass(&mut stream, proxy, &target.host, target.port).await?;
    }
    let stream = Socket::new(stream);
    let link = match tls {
        None => Link::Plain(stream),
        Some(tls) => encrypt(stream, tls, target, watch).await?,
    };
    #[cfg(feature = "websocket")]
    if let Some(path) = &target.way.websocket {
        watch.stage(Stage::WebSocket);
        let host = target.verified_name();
        return websocket::open(link, host, target.port, path, target.max_packet_len).await;
    }
    Ok(link)
}

async fn encrypt(
    stream: Socket,
    (settings, name): Tls,
    target: &Target,
    watch: &mut dyn Watch,
) -> Result<Link, Error> {
    watch.stage(Stage::Tls);
    let stream = settings
        .connect(name, stream)
        .await
        .map_err(|error| tls_error::in_handshake(&error, target.verified_name(), &target.tls))?;
    let shown = stream.get_ref().1.peer_certificates().unwrap_or_default();
    if let Some(notice) = settings.notice(shown, target.tls.expiry_warning) {
        watch.notice(notice);
    }
    Ok(Link::tls(stream))
}

/// Comes before everything else, so that an unusable setting costs the network nothing.
async fn prepare_tls(target: &Target, watch: &mut dyn Watch) -> Result<Option<Tls>, Error> {
    if target.plaintext {
        return Ok(None);
    }
    tls_error::check_clock()?;
    let name = target.verified_name();
    let name = ServerName::try_from(name.to_owned()).map_err(|_| {
        Error::new(
            ErrorKind::TlsConfig,
            Stage::Tls,
            format!("no certificate can be for the name {name}"),
        )
    })?;
    let settings = if target.tls.reads_files() {
        watch.stage(Stage::Tls);
        // Boxed, because few need it and each dial would have room for it; as below.
        Box::pin(blocking::settings(&target.tls)).await?
    } else {
        tls::settings(&target.tls)?
    };
    Ok(Some((settings, name)))
}

/// The addresses of `host`, families alternating. An address literal is not looked up.
async fn resolve(host: &str, port: u16, way: &Way) -> Result<VecDeque<SocketAddr>, Error> {
    let addresses = match host.parse::<IpAddr>() {
        Ok(address) => vec![SocketAddr::new(address, port)],
        Err(_) => Box::pin(look_up(host)).await?,
    };
    let chosen = choose(addresses, port, way);
    if chosen.is_empty() {
        let text = format!("{host} has no address of the family that was asked for");
        return Err(Error::new(ErrorKind::Dns, Stage::Resolve, text));
    }
    Ok(alternate(chosen))
}

async fn look_up(host: &str) -> Result<Vec<SocketAddr>, Error> {
    // Tests have names of their own.
    #[cfg(test)]
    if let Some(addresses) = super::testing::look_up(host).await {
        return Ok(addresses);
    }
    blocking::lookup(host).await
}

/// The addresses that may be dialled, beginning with one of the family that is preferred.
pub(super) fn choose(addresses: Vec<SocketAddr>, port: u16, way: &Way) -> Vec<SocketAddr> {
    let (only_v4, only_v6) = match (way.local_address, way.family) {
        (Some(local), _) => (local.is_ipv4(), local.is_ipv6()),
        (None, family) => (
            family == AddressFamily::OnlyIpv4,
            family == AddressFamily::OnlyIpv6,
        ),
    };
    let mut chosen: Vec<SocketAddr> = addresses
        .into_iter()
        .filter(|address| !(only_v4 && address.is_ipv6() || only_v6 && address.is_ipv4()))
        .map(|address| SocketAddr::new(address.ip(), port))
        .collect();
    // Stable: within each family the system's order stays.
    match way.family {
        AddressFamily::PreferIpv4 => chosen.sort_by_key(SocketAddr::is_ipv6),
        AddressFamily::PreferIpv6 => chosen.sort_by_key(SocketAddr::is_ipv4),
        _ => {}
    }
    chosen
}

/// Keeps the order within each family and takes them in turn, beginning with the first address.
pub(super) fn alternate(addresses: Vec<SocketAddr>) -> VecDeque<SocketAddr> {
    let first_is_v4 = addresses.first().is_some_and(SocketAddr::is_ipv4);
    let (same, other): (Vec<_>, Vec<_>) = addresses
        .into_iter()
        .partition(|address| address.is_ipv4() == first_is_v4);
    let mut other = other.into_iter();
    let mut mixed = VecDeque::new();
    for address in same {
        mixed.push_back(address);
        mixed.extend(other.next());
    }
    mixed.extend(other);
    mixed
}

/// Begins with the address behind `avoid`, so that several that lead nowhere do not hide those behind
/// them from one attempt to the next.
/// Source: RFC 1123, 2.3.
pub(super) fn put_last(addresses: &mut VecDeque<SocketAddr>, avoid: IpAddr) {
    if let Some(place) = addresses.iter().position(|address| address.ip() == avoid) {
        addresses.rotate_left((place + 1) % addresses.len());
    }
}

/// Tries one address after the other until one answers. `deadline` is the caller's, for CONNACK.
pub(super) async fn connect_any(
    mut addresses: VecDeque<SocketAddr>,
    target: &Target,
    deadline: Duration,
) -> Result<(TcpStream, SocketAddr), Error> {
    let started = clock::now();
    let whole = deadline.saturating_sub(started);
    let mut failures = Vec::new();
    while let Some(address) = addresses.pop_front() {
        // A third is for what follows TCP. The last address may take of that, and leaves a moment to
        // report its failure before the caller's deadline, which knows no reasons.
        let give_up = match addresses.len() {
            0 => started + whole / 20 * 19,
            _ => started + whole / 3 * 2,
        };
        let left = give_up.saturating_sub(clock::now());
        let share = share(left, addresses.len());
        match timeout(share, connect(address, target)).await {
            Ok(Ok(stream)) => return Ok((stream, address)),
            Ok(Err(error)) => failures.push((address, error)),
            Err(_) => failures.push((address, io::ErrorKind::TimedOut.into())),
        }
    }
    Err(unreachable_error(target, &failures))
}

/// The time for one address when `others` are to follow: an equal part, at least a second of it,
/// at most half of it.
pub(super) fn share(left: Duration, others: usize) -> Duration {
    if others == 0 {
        return left;
    }
    let parts = u32::try_from(others).unwrap_or(u32::MAX).saturating_add(1);
    (left / parts).max(Duration::from_secs(1)).min(left / 2)
}

async fn connect(address: SocketAddr, target: &Target) -> io::Result<TcpStream> {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    tune(&SockRef::from(&socket));
    bind(&socket, &target.way)?;
    let stream = socket.connect(address).await?;
    // Not before: it would count against the SYN too, which has a deadline of its own.
    set_user_timeout(&SockRef::from(&stream), target.user_timeout);
    Ok(stream)
}

/// Part of the way that the device has not got. It keeps the system's number, which a text of its own
/// would lose.
#[derive(Debug)]
struct Unusable {
    what: String,
    error: io::Error,
}

impl fmt::Display for Unusable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot use {}: {}", self.what, self.error)
    }
}

impl std::error::Error for Unusable {}

fn unusable(error: &io::Error) -> Option<&Unusable> {
    error.get_ref()?.downcast_ref()
}

fn os_error(error: &io::Error) -> Option<i32> {
    unusable(error).map_or(error, |it| &it.error).raw_os_error()
}

fn bind(socket: &TcpSocket, way: &Way) -> io::Result<()> {
    let said = |what: String| move |error| io::Error::other(Unusable { what, error });
    if let Some(name) = &way.interface {
        bind_to_interface(socket, name).map_err(said(format!("the interface {name}")))?;
    }
    if let Some(local) = way.local_address {
        socket
            .bind(SocketAddr::new(local, 0))
            .map_err(said(format!("the local address {local}")))?;
    }
    Ok(())
}

#[cfg(any(target_os = "android", target_os = "linux"))]
fn bind_to_interface(socket: &TcpSocket, name: &str) -> io::Result<()> {
    SockRef::from(socket).bind_device(Some(name.as_bytes()))
}

#[cfg(not(any(target_os = "android", target_os = "linux")))]
fn bind_to_interface(_: &TcpSocket, _: &str) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Unsent bytes in the kernel up to which the socket takes more.
#[cfg(any(target_os = "android", target_os = "linux"))]
const UNSENT: u32 = 64 * 1024;

/// Sets what the connection is better with. Failures are ignored: it works without.
fn tune(socket: &SockRef<'_>) {
    // Otherwise a small message waits 40 ms for the acknowledgement of the one before.
    let _ = socket.set_tcp_nodelay(true);
    // What waits in the kernel can neither be reordered nor held back.
    #[cfg(any(target_os = "android", target_os = "linux"))]
    let _ = socket.set_tcp_notsent_lowat(UNSENT);
}

#[cfg(any(target_os = "android", target_os = "linux"))]
fn set_user_timeout(socket: &SockRef<'_>, timeout: Option<Duration>) {
    if timeout.is_some() {
        let _ = socket.set_tcp_user_timeout(timeout);
    }
}

#[cfg(not(any(target_os = "android", target_os = "linux")))]
fn set_user_timeout(_: &SockRef<'_>, _: Option<Duration>) {}

fn unreachable_error(target: &Target, failures: &[(SocketAddr, io::Error)]) -> Error {
    let proxy = target.way.proxy.as_ref();
    let whom = proxy.map_or_else(|| target.host.clone(), Proxy::to_string);
    let timed_out =
        |error: &io::Error| os_error(error).is_none() && error.kind() == io::ErrorKind::TimedOut;
    let kind = if failures.iter().any(|(_, error)| out_of_resources(error)) {
        ErrorKind::NoResources
    } else if failures.iter().all(|(_, error)| timed_out(error)) {
        ErrorKind::ConnectTimeout
    } else {
        ErrorKind::Network
    };
    let reasons: Vec<String> = failures
        .iter()
        .map(|(address, error)| {
            if timed_out(error) {
                format!("{address} did not answer")
            } else {
                format!("{address}: {error}")
            }
        })
        .collect();
    let number = failures.iter().rev().find_map(|(_, error)| os_error(error));
    let error = Error::new(
        kind,
        Stage::Tcp,
        format!("cannot connect to {whom}: {}", reasons.join("; ")),
    )
    .with_os_error(number);
    if failures.iter().any(|(_, error)| unusable(error).is_some()) {
        return error.with_hint(hint::NOT_LOCAL);
    }
    match proxy {
        Some(_) if kind != ErrorKind::NoResources => error.with_hint(hint::PROXY),
        _ => error,
    }
}

/// Whether the process or the system has none left of something, whatever was asked for.
pub(super) fn out_of_resources(error: &io::Error) -> bool {
    os_error(error).is_some_and(|number| {
        matches!(
            Errno::from_raw(number),
            Errno::EMFILE | Errno::ENFILE | Errno::ENOBUFS | Errno::ENOMEM
        )
    })
}

/// Whether anybody dials this place, for tests.
#[cfg(test)]
pub(super) fn is_dialled(host: &str, port: u16) -> bool {
    lock_turns().contains_key(&(host.to_owned(), port))
}
