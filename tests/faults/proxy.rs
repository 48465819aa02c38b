//! A proxy that injects faults between a client and a broker. What it does is fixed by the plan of
//! each connection; plans that are drawn come from a seed.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::support::PATIENCE;

/// How a connection ends, or stops to be one.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(u8)]
pub(crate) enum Ending {
    /// Closes both ways in an orderly manner.
    Fin = 1,
    /// Resets both ways.
    Reset,
    /// Forwards half of what comes next, then closes.
    HalfFrame,
    /// Keeps the connection and forwards nothing more.
    Silence,
    /// Keeps the connection and takes nothing more either.
    StopReading,
    /// Ends the direction toward the client only; what the client sends goes on.
    HalfClose,
}

const FLOWS: u8 = 0;
const OVER: u8 = u8::MAX;

/// What happens to the bytes of one direction.
#[derive(Clone, Debug, Default)]
pub(crate) struct Toxics {
    /// Each read waits this long before it goes on.
    pub(crate) latency: Duration,
    /// Forwards pieces of at most this many bytes.
    pub(crate) slice: Option<usize>,
    pub(crate) bytes_per_second: Option<usize>,
    /// After so many bytes, in the middle of whatever they are.
    pub(crate) limit: Option<(usize, Ending)>,
}

impl Toxics {
    pub(crate) fn slices(len: usize) -> Self {
        Self {
            slice: Some(len),
            ..Self::default()
        }
    }

    pub(crate) fn limit(bytes: usize, ending: Ending) -> Self {
        Self {
            limit: Some((bytes, ending)),
            ..Self::default()
        }
    }
}

/// One connection's fate.
#[derive(Clone, Debug, Default)]
pub(crate) struct Plan {
    /// From the client.
    pub(crate) up: Toxics,
    /// Toward the client.
    pub(crate) down: Toxics,
    /// When it ends, whatever it carries.
    pub(crate) cut: Option<(Duration, Ending)>,
}

struct Wire {
    client: TcpStream,
    server: TcpStream,
    mode: AtomicU8,
    cut: Option<(Instant, Ending)>,
}

impl Wire {
    fn end(&self, ending: Ending) {
        match ending {
            Ending::HalfFrame | Ending::Silence | Ending::StopReading => {
                // What is over stays over.
                let _ = self.mode.compare_exchange(
                    FLOWS,
                    ending as u8,
                    Ordering::SeqCst,
                    Ordering::SeqCst,
                );
            }
            Ending::HalfClose => {
                let _ = self.client.shutdown(Shutdown::Write);
            }
            Ending::Fin => {
                self.mode.store(OVER, Ordering::SeqCst);
                let _ = self.client.shutdown(Shutdown::Both);
                let _ = self.server.shutdown(Shutdown::Both);
            }
            Ending::Reset => {
                self.mode.store(OVER, Ordering::SeqCst);
                for stream in [&self.client, &self.server] {
                    // With no time to linger, closing resets. Shutting the reading side tells the
                    // peer nothing and wakes the pumps, the last of which closes.
                    let _ = socket2::SockRef::from(stream).set_linger(Some(Duration::ZERO));
                    let _ = stream.shutdown(Shutdown::Read);
                }
            }
        }
    }

    fn mode(&self) -> u8 {
        self.mode.load(Ordering::SeqCst)
    }
}

struct Shared {
    stopping: AtomicBool,
    accepted: AtomicUsize,
    wires: Mutex<Vec<Arc<Wire>>>,
}

/// Listens on a free port of the loopback interface and forwards to one address.
pub(crate) struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl Proxy {
    /// `plan` decides about each connection, counted from 0.
    pub(crate) fn start(
        upstream: SocketAddr,
        plan: impl FnMut(usize) -> Plan + Send + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        // The window follows what happens behind this proxy, and is larger than a segment: Linux
        // takes a smaller one for a closed one and gives the connection up after the user timeout.
        let _ = socket2::SockRef::from(&listener).set_recv_buffer_size(64 * 1024);
        let shared = Arc::new(Shared {
            stopping: AtomicBool::new(false),
            accepted: AtomicUsize::new(0),
            wires: Mutex::default(),
        });
        Self {
            address: listener.local_addr().unwrap(),
            thread: Some({
                let shared = Arc::clone(&shared);
                std::thread::spawn(move || serve(&listener, upstream, &shared, plan))
            }),
            shared,
        }
    }

    /// Only the first connection suffers.
    pub(crate) fn first(upstream: SocketAddr, first: Plan) -> Self {
        Self::start(upstream, move |n| {
            if n == 0 {
                first.clone()
            } else {
                Plan::default()
            }
        })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Connections so far.
    pub(crate) fn accepted(&self) -> usize {
        self.shared.accepted.load(Ordering::SeqCst)
    }

    /// Ends every connection there is now.
    pub(crate) fn cut(&self, ending: Ending) {
        for wire in self.shared.wires.lock().unwrap().iter() {
            wire.end(ending);
        }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.stopping.store(true, Ordering::SeqCst);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn serve(
    listener: &TcpListener,
    upstream: SocketAddr,
    shared: &Shared,
    mut plan: impl FnMut(usize) -> Plan,
) {
    let mut pumps: Vec<JoinHandle<()>> = Vec::new();
    while !shared.stopping.load(Ordering::SeqCst) {
        let mut wires = shared.wires.lock().unwrap();
        // Reset closes with the last reference, so none is kept here.
        wires.retain(|wire| wire.mode() != OVER);
        for wire in wires.iter() {
            if let Some((at, ending)) = wire.cut
                && at <= Instant::now()
                && wire.mode() == FLOWS
            {
                wire.end(ending);
            }
        }
        wires.retain(|wire| wire.mode() != OVER);
        drop(wires);
        pumps.retain(|pump| !pump.is_finished());
        match listener.accept() {
            Ok((client, _)) => {
                let plan = plan(shared.accepted.fetch_add(1, Ordering::SeqCst));
                pumps.extend(connect(client, upstream, shared, plan));
            }
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::WouldBlock, "accept: {error}");
                std::thread::sleep(Duration::from_millis(1));
            }
        }
    }
    for wire in std::mem::take(&mut *shared.wires.lock().unwrap()) {
        wire.end(Ending::Fin);
    }
    for pump in pumps {
        let _ = pump.join();
    }
}

fn connect(
    client: TcpStream,
    upstream: SocketAddr,
    shared: &Shared,
    plan: Plan,
) -> Vec<JoinHandle<()>> {
    // A broker that is down resets what comes through the proxy.
    let Ok(server) = TcpStream::connect(upstream) else {
        let _ = socket2::SockRef::from(&client).set_linger(Some(Duration::ZERO));
        return Vec::new();
    };
    for stream in [&client, &server] {
        stream.set_nonblocking(false).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
    }
    let wire = Arc::new(Wire {
        client,
        server,
        mode: AtomicU8::new(FLOWS),
        cut: plan.cut.map(|(after, how)| (Instant::now() + after, how)),
    });
    shared.wires.lock().unwrap().push(Arc::clone(&wire));
    let (up, down) = (Arc::clone(&wire), wire);
    vec![
        std::thread::spawn(move || pump(&up, &up.client, &up.server, &plan.up)),
        std::thread::spawn(move || pump(&down, &down.server, &down.client, &plan.down)),
    ]
}

/// Forwards one direction until it ends. An end is passed on as what it is: of this direction.
fn pump(wire: &Wire, mut from: &TcpStream, to: &TcpStream, toxics: &Toxics) {
    let upward = std::ptr::eq(from, &raw const wire.client);
    // A slow link takes in sips what it gives in sips, so that the client's window follows.
    let sip = toxics.bytes_per_second.map_or(16 * 1024, sip);
    let mut buffer = vec![0; sip];
    let mut sent = 0;
    loop {
        if wire.mode() == Ending::StopReading as u8 {
            while wire.mode() != OVER {
                std::thread::sleep(Duration::from_millis(1));
            }
            return;
        }
        let len = match from.read(&mut buffer) {
            Ok(len) if len > 0 => len,
            _ => break,
        };
        std::thread::sleep(toxics.latency);
        let half = wire.mode() == Ending::HalfFrame as u8;
        let bytes = &buffer[..if half { len / 2 + 1 } else { len }];
        if !forward(wire, to, bytes, toxics, &mut sent) {
            return;
        }
        if half {
            wire.end(Ending::Fin);
            return;
        }
    }
    let silent = wire.mode() == Ending::Silence as u8;
    if silent && !upward {
        // The client must not notice that the broker has gone.
        return;
    }
    if silent {
        wire.end(Ending::Fin);
    }
    let _ = to.shutdown(Shutdown::Write);
    if upward {
        // A client that closes has closed both ways.
        wire.end(Ending::Fin);
    }
}

/// A twentieth of what passes in a second.
fn sip(bytes_per_second: usize) -> usize {
    bytes_per_second.div_ceil(20)
}

/// `false`: the connection has been ended.
fn forward(
    wire: &Wire,
    mut to: &TcpStream,
    bytes: &[u8],
    toxics: &Toxics,
    sent: &mut usize,
) -> bool {
    let mut rest = bytes;
    while !rest.is_empty() {
        let mut len = rest.len().min(toxics.slice.unwrap_or(usize::MAX));
        if let Some(rate) = toxics.bytes_per_second {
            len = len.min(sip(rate));
            std::thread::sleep(Duration::from_secs_f64(len as f64 / rate as f64));
        }
        if let Some((limit, _)) = toxics.limit {
            len = len.min(limit.saturating_sub(*sent));
        }
        match wire.mode() {
            OVER => return false,
            mode if mode == Ending::Silence as u8 => return true,
            _ => {}
        }
        let (piece, later) = rest.split_at(len);
        if to.write_all(piece).is_err() {
            wire.end(Ending::Fin);
            return false;
        }
        *sent += len;
        rest = later;
        if let Some((limit, ending)) = toxics.limit
            && *sent >= limit
        {
            wire.end(ending);
            match ending {
                Ending::Fin | Ending::Reset | Ending::HalfClose => return false,
                _ => return true,
            }
        }
    }
    true
}

/// Numbers that look drawn and are the same in every run with the same seed (SplitMix64).
pub(crate) struct Draw(u64);

impl Draw {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// A number below `end`.
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) % end
    }

    pub(crate) fn one_of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len() as u64) as usize]
    }
}
