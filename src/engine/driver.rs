//! The driver: one task for each client, which does what its device says.
//!
//! It is a single poll function. Nothing in it is cancelled half way, no lock is held across a
//! system call, and reading goes on while writing waits.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io::IoSlice;
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{BufMut, BytesMut};
use tokio::time::{Sleep, sleep_until};

use super::budgets;
use super::clock;
use super::dial::{Target, Watch, dial};
use super::dispatch::panic_text;
use super::expiry::Notice;
use super::hub::Hub;
use super::link::Link;
use super::trace;
use crate::log::{Level, log};
use crate::proto::codec::{self, Malformed, Packet};
use crate::proto::device::Action;
use crate::proto::outbox::Chunk;
use crate::{Error, ErrorKind, Stage};

/// Bytes asked of the socket at once. One buffer serves every connection of a thread.
const READ_LEN: usize = 64 * 1024;

/// A packet of which so much is missing is read into its place, not through the shared buffer.
const LARGE: usize = 16 * 1024;

/// Bytes that one connection may read before it is another one's turn.
const READ_TURN: usize = 512 * 1024;

/// A deadline that moves by less than this is not worth setting the timer anew: it rings once for
/// nothing.
const SPURIOUS: Duration = Duration::from_secs(1);

/// Packets whose place is kept from one read to the next.
const KEPT: usize = 64;

/// Rounds of writing and reading before it is another one's turn.
const ROUNDS: usize = 16;

thread_local! {
    static SCRATCH: RefCell<Vec<u8>> = RefCell::new(vec![0; READ_LEN]);
}

type Dial = Pin<Box<dyn Future<Output = Result<Link, Error>> + Send>>;

enum Connection {
    None,
    Dialing(Dial),
    Open(Link),
    /// Saying goodbye.
    Closing(Link),
}

/// See the module.
pub(crate) struct Driver {
    hub: Arc<Hub>,
    connection: Connection,
    chunk: Chunk,
    /// TLS took all of the chunk and has not flushed it.
    flushing: bool,
    inbound: BytesMut,
    /// The messages of late were large.
    reads_large: bool,
    packets: VecDeque<Packet>,
    timer: Option<Pin<Box<Sleep>>>,
    timer_at: Duration,
}

/// Tells the device how its dial goes.
struct Reporter<'a>(&'a Hub);

impl Watch for Reporter<'_> {
    fn stage(&mut self, stage: Stage) {
        let mut core = self.0.lock();
        let budget = core.budget();
        let mut budget = budgets::lock(&budget);
        core.device.handle_stage(stage, clock::now(), &mut budget);
    }

    fn notice(&mut self, notice: Notice) {
        log(Level::Warn, "tls", format_args!("{}", notice.text));
        let mut core = self.0.lock();
        core.device.handle_notice(notice.ends, notice.text);
    }
}

/// Whether the packet that begins here is a large one.
fn is_large(inbound: &[u8]) -> bool {
    codec::missing(inbound).is_some_and(|missing| missing >= LARGE)
}

/// What one look at the link found.
enum Step {
    /// Nothing to do until the socket wakes the task.
    Waits,
    /// Something moved.
    Moved,
    /// The link is gone.
    Lost(Option<Error>),
}

impl Driver {
    pub(crate) fn new(hub: Arc<Hub>) -> Self {
        Self {
            hub,
            connection: Connection::None,
            chunk: Chunk::default(),
            flushing: false,
            inbound: BytesMut::new(),
            reads_large: false,
            packets: VecDeque::new(),
            timer: None,
            timer_at: Duration::MAX,
        }
    }

    fn turn(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        for _ in 0..ROUNDS {
            let now = clock::now();
            let action = {
                let mut core = self.hub.lock();
                core.waker = None;
                let budget = core.budget();
                let mut budget = budgets::lock(&budget);
                core.device.handle_timeout(now, &mut budget);
                drop(budget);
                let action = core.device.poll_action();
                let is_finished = action.is_none() && core.is_finished();
                self.hub.release(core);
                if is_finished {
                    return Poll::Ready(());
                }
                action
            };
            if let Some(action) = action {
                self.act(action, now);
                continue;
            }
            match self.step(cx, now) {
                Step::Moved => continue,
                Step::Lost(error) => {
                    self.lose(error, now);
                    continue;
                }
                Step::Waits => {}
            }
            if self.sleep(cx) {
                return Poll::Pending;
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    fn act(&mut self, action: Action, now: Duration) {
        match action {
            Action::Dial => self.connection = Connection::Dialing(self.dial()),
            Action::Hangup => self.lose(None, now),
            Action::Goodbye => match mem::replace(&mut self.connection, Connection::None) {
                Connection::Open(link) => self.connection = Connection::Closing(link),
                _ => self.lose(None, now),
            },
        }
    }

    fn dial(&self) -> Dial {
        let hub = Arc::clone(&self.hub);
        Box::pin(async move {
            let target = {
                let core = hub.lock();
                let config = core.device.config();
                let endpoint = config.endpoint();
                Target {
                    // A backstop behind the library's own deadlines. Linux counts it from the first
                    // probe of a small window: sooner, it would end slow links that make progress.
                    user_timeout: config.keep_alive().map(|interval| interval * 3 / 2),
                    max_packet_len: hub.max_packet_len(),
                    ..Target::new(endpoint.host_name(config.identity())?, endpoint)
                }
            };
            dial(&target, &mut Reporter(&hub)).await
        })
    }

    /// Looks at the link once: writes what can be written, reads what can be read.
    fn step(&mut self, cx: &mut Context<'_>, now: Duration) -> Step {
        match &mut self.connection {
            Connection::None => Step::Waits,
            Connection::Dialing(dial) => match dial.as_mut().poll(cx) {
                Poll::Pending => Step::Waits,
                Poll::Ready(Err(error)) => Step::Lost(Some(error)),
                Poll::Ready(Ok(link)) => {
                    log(
                        Level::Info,
                        "dial",
                        format_args!("connected to {}", link.description()),
                    );
                    self.connection = Connection::Open(link);
                    self.hub.lock().device.handle_link_up();
                    Step::Moved
                }
            },
            Connection::Open(_) => self.transfer(cx, now),
            Connection::Closing(link) => match link.poll_shutdown(cx) {
                Poll::Pending => Step::Waits,
                Poll::Ready(_) => Step::Lost(None),
            },
        }
    }

    fn transfer(&mut self, cx: &mut Context<'_>, now: Duration) -> Step {
        let wrote = match self.write(cx, now) {
            Poll::Ready(Ok(())) => true,
            Poll::Pending => false,
            Poll::Ready(Err(error)) => {
                // What the peer has sent before it went, acknowledgements above all, is there to
                // be read.
                while let Poll::Ready(Ok(())) = self.read(cx, now) {}
                return Step::Lost(Some(error));
            }
        };
        match self.read(cx, now) {
            Poll::Ready(Ok(())) => Step::Moved,
            Poll::Ready(Err(error)) => Step::Lost(Some(error)),
            Poll::Pending if wrote => Step::Moved,
            Poll::Pending => Step::Waits,
        }
    }

    /// Ready if a whole chunk was written, pending if the socket is full or there is nothing.
    fn write(&mut self, cx: &mut Context<'_>, now: Duration) -> Poll<Result<(), Error>> {
        let Connection::Open(link) = &mut self.connection else {
            return Poll::Pending;
        };
        if self.chunk.is_empty() && !self.flushing {
            let mut core = self.hub.lock();
            if !core.device.has_transmit(now) {
                drop(core);
                // Idle connections hold no buffers.
                self.chunk = Chunk::default();
                return Poll::Pending;
            }
            core.device.poll_transmit(&mut self.chunk, now);
            drop(core);
            if self.chunk.is_empty() {
                return Poll::Pending;
            }
            if trace::is_on() {
                self.chunk.rest().into_iter().for_each(trace::sent);
            }
        }
        let mut progress = false;
        while !self.chunk.is_done() {
            let rest = self.chunk.rest().map(IoSlice::new);
            match link.poll_write_vectored(cx, &rest) {
                Poll::Ready(Ok(0)) => {
                    let text = "the socket takes nothing any more";
                    let error = Error::new(ErrorKind::Network, Stage::Mqtt, text);
                    return Poll::Ready(Err(error));
                }
                Poll::Ready(Ok(len)) => {
                    self.chunk.advance(len);
                    progress = true;
                }
                Poll::Ready(Err(error)) => return Poll::Ready(Err(Link::error(&error))),
                Poll::Pending => {
                    if progress {
                        self.hub.lock().device.handle_progress(now);
                    }
                    return Poll::Pending;
                }
            }
        }
        self.flushing = true;
        if let Err(error) = ready!(link.poll_flush(cx)) {
            return Poll::Ready(Err(Link::error(&error)));
        }
        self.flushing = false;
        let mut core = self.hub.lock();
        core.device.handle_written(&mut self.chunk, now);
        self.hub.release(core);
        Poll::Ready(Ok(()))
    }

    /// Ready if something was read, pending if the socket is empty.
    fn read(&mut self, cx: &mut Context<'_>, now: Duration) -> Poll<Result<(), Error>> {
        let mut total = 0;
        while total < READ_TURN {
            let Connection::Open(link) = &mut self.connection else {
                break;
            };
            let inbound = &mut self.inbound;
            let missing = codec::missing(inbound).unwrap_or_default();
            let read = if missing >= LARGE {
                // Straight into its place. The length was checked when its first bytes came, and
                // memory is asked for as it fills.
                self.reads_large = true;
                let len = missing.min(READ_LEN);
                inbound.reserve(len);
                link.poll_read_into(cx, &mut (&mut *inbound).limit(len))
            } else {
                // The head of the next large message is not worth copying most of it.
                let len = if self.reads_large {
                    LARGE / 2
                } else {
                    READ_LEN
                };
                SCRATCH.with_borrow_mut(|scratch| {
                    let scratch = scratch.get_mut(..len).unwrap_or_default();
                    let len = ready!(link.poll_read(cx, scratch));
                    if let Ok(len) = len {
                        inbound.extend_from_slice(scratch.get(..len).unwrap_or_default());
                        // A whole buffer of small ones: large buffers again.
                        let is_full = len == LARGE / 2 && missing == 0;
                        self.reads_large &= !is_full || is_large(inbound);
                    }
                    Poll::Ready(len)
                })
            };
            match read {
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(Link::closed())),
                Poll::Ready(Ok(len)) => total += len,
                Poll::Ready(Err(error)) => return Poll::Ready(Err(Link::error(&error))),
                Poll::Pending => break,
            }
            self.handle_inbound(now);
        }
        if total == 0 {
            Poll::Pending
        } else {
            Poll::Ready(Ok(()))
        }
    }

    fn handle_inbound(&mut self, now: Duration) {
        let before = self.inbound.len();
        let split = self.split();
        let received = before - self.inbound.len();
        if self.inbound.is_empty() {
            // The messages cut from it hold the memory as long as they need it.
            self.inbound = BytesMut::new();
        }
        let mut core = self.hub.lock();
        core.device.count_received(received);
        if self.packets.is_empty() {
            core.device.handle_received(now);
        } else {
            core.device.handle_packets(self.packets.drain(..), now);
            if self.packets.capacity() > KEPT {
                self.packets = VecDeque::new();
            }
        }
        if let Err(malformed) = split {
            core.device.fail_protocol(malformed.to_string());
        }
        self.hub.release(core);
    }

    fn split(&mut self) -> Result<(), Malformed> {
        let max_len = self.hub.max_packet_len();
        while let Some((frame, header_len)) = codec::split(&mut self.inbound, max_len)? {
            let packet = codec::decode(frame, header_len)?;
            if trace::is_on() {
                trace::received(&packet);
            }
            self.packets.push_back(packet);
        }
        Ok(())
    }

    /// The link is gone, or must go now.
    fn lose(&mut self, error: Option<Error>, now: Duration) {
        self.connection = Connection::None;
        self.inbound = BytesMut::new();
        self.packets = VecDeque::new();
        self.flushing = false;
        let chunk = mem::take(&mut self.chunk);
        let entropy = clock::entropy();
        let mut core = self.hub.lock();
        let budget = core.budget();
        let mut budget = budgets::lock(&budget);
        core.device
            .handle_lost(error, chunk, now, entropy, &mut budget);
        drop(budget);
        self.hub.release(core);
    }

    /// Prepares to be woken. `false`: there is something to do already.
    fn sleep(&mut self, cx: &mut Context<'_>) -> bool {
        let due = {
            let mut core = self.hub.lock();
            let may_write = matches!(self.connection, Connection::Open(_)) && self.chunk.is_empty();
            let now = clock::now();
            if may_write && core.device.has_transmit(now) {
                return false;
            }
            let due = core.device.poll_timeout(now);
            if due.is_some_and(|due| due <= now) || core.is_finished() {
                return false;
            }
            core.waker = Some(cx.waker().clone());
            due
        };
        self.arm(due.unwrap_or(Duration::MAX), cx)
    }

    /// Sets the timer, unless it rings earlier anyway. `false`: it has rung.
    fn arm(&mut self, due: Duration, cx: &mut Context<'_>) -> bool {
        let rings_for_nothing =
            due.saturating_sub(self.timer_at) > SPURIOUS && self.timer.is_some();
        if (due < self.timer_at || rings_for_nothing)
            && let Some(deadline) = clock::instant(due)
        {
            self.timer_at = due;
            match &mut self.timer {
                Some(timer) => timer.as_mut().reset(deadline.into()),
                None => self.timer = Some(Box::pin(sleep_until(deadline.into()))),
            }
        }
        let rung = self
            .timer
            .as_mut()
            .is_some_and(|timer| timer.as_mut().poll(cx).is_ready());
        if rung {
            self.timer = None;
            self.timer_at = Duration::MAX;
        }
        !rung
    }
}

impl Future for Driver {
    type Output = ();

    /// A panic in here, which would be a defect, ends this client and no other.
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let driver = self.get_mut();
        match catch_unwind(AssertUnwindSafe(|| driver.turn(cx))) {
            Ok(poll) => poll,
            Err(panic) => {
                let text = panic_text(panic.as_ref());
                log(
                    Level::Error,
                    "driver",
                    format_args!("defect, the client ends: {text}"),
                );
                driver.connection = Connection::None;
                driver.hub.crash(text);
                Poll::Ready(())
            }
        }
    }
}
