//! The driver: one task for each client, which does what its device says.
//!
//! It is a single poll function. Nothing in it is cancelled half way, the device's lock is not held
//! across a system call, and reading goes on while writing waits.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::mem;
use std::net::IpAddr;
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
use super::wire::{Connection, Dial, Wire};
use crate::log::{Level, enabled, log};
use crate::proto::codec::{self, Malformed, Packet};
use crate::proto::device::Action;
use crate::proto::queue::give_back;
use crate::proto::spares::LARGE;
use crate::{Error, Stage};

/// Bytes asked of the socket at once. One buffer serves every connection of a thread.
const READ_LEN: usize = 64 * 1024;

/// Bytes that one connection may read before it is another one's turn.
const READ_TURN: usize = 512 * 1024;

/// While so many bytes wait for callbacks, reading pauses: what waits longer has left the processor's
/// caches, and beyond the inbox's limit it is dropped.
const BACKLOG: usize = 256 * 1024;

/// How long it pauses at the most. Callbacks that take longer hold up neither acknowledgements nor
/// the keep-alive.
const PAUSE: Duration = Duration::from_millis(20);

/// How long a QoS 1 message waits for room while no callback returns. Then they are taken for stuck, and
/// the connection ends: who cannot take messages must not look as if he could.
const PATIENCE: Duration = Duration::from_secs(5);

/// A deadline that moves by less than this is not worth setting the timer anew: it rings once for
/// nothing.
const SPURIOUS: Duration = Duration::from_secs(1);

/// Packets whose place a thread keeps from one read to the next.
const KEPT: usize = 64;

/// Rounds of writing and reading before it is another one's turn.
const ROUNDS: usize = 16;

thread_local! {
    static SCRATCH: RefCell<Vec<u8>> = RefCell::new(vec![0; READ_LEN]);
    /// Those of one read.
    static PACKETS: RefCell<VecDeque<Packet>> = const { RefCell::new(VecDeque::new()) };
}

/// See the module.
pub(crate) struct Driver {
    hub: Arc<Hub>,
    inbound: BytesMut,
    /// The messages of late were large.
    reads_large: bool,
    /// Reading pauses, and when that ends. The time stays until callbacks have caught up.
    is_paused: bool,
    pause_ends: Option<Duration>,
    /// A message that there is no room for, and what came behind it. Nothing is read meanwhile.
    waiting: VecDeque<Packet>,
    /// Until when it waits, if no callback returns before, and those that had when that was decided.
    waits_until: Duration,
    returned: usize,
    timer: Option<Pin<Box<Sleep>>>,
    timer_at: Duration,
    /// The system was asked what has come since something fell due.
    has_asked: bool,
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

    fn reached(&mut self, address: IpAddr) {
        self.0.lock().suspect = Some(address);
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

/// Makes room for `len` bytes more, in memory of another packet if there is some.
fn make_room(inbound: &mut BytesMut, len: usize, hub: &Hub) {
    let needed = inbound.len() + len;
    if inbound.capacity() < needed {
        let mut memory = hub.lock().device.memory(needed);
        if memory.capacity() > 0 {
            memory.extend_from_slice(inbound);
            *inbound = memory;
        }
    }
    inbound.reserve(len);
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
            inbound: BytesMut::new(),
            reads_large: false,
            is_paused: false,
            pause_ends: None,
            waiting: VecDeque::new(),
            waits_until: Duration::MAX,
            returned: 0,
            timer: None,
            timer_at: Duration::MAX,
            has_asked: false,
        }
    }

    fn turn(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let hub = Arc::clone(&self.hub);
        let Some(mut wire) = hub.wire_or_wake(cx) else {
            return Poll::Pending;
        };
        // What has come goes before everything else: the application may wait for it, and it may be
        // what a timeout waits for.
        let now = clock::now();
        if !self.waiting.is_empty() {
            self.hand_over_what_waits(now);
        }
        if matches!(wire.connection, Connection::Open(_)) && !self.pauses(now) {
            ready!(self.take_in(cx, &mut wire, now));
        }
        for _ in 0..ROUNDS {
            let now = clock::now();
            let action = {
                let mut core = hub.lock();
                core.waker = None;
                let due = core.device.poll_timeout(now);
                if due.is_some_and(|due| due <= now) && self.asks(&mut wire) {
                    drop(core);
                    ready!(self.take_in(cx, &mut wire, now));
                    continue;
                }
                let budget = core.budget();
                let mut budget = budgets::lock(&budget);
                core.device.handle_timeout(now, &mut budget);
                drop(budget);
                let action = core.device.poll_action();
                let is_finished = action.is_none() && core.is_finished();
                hub.release(core);
                if is_finished {
                    return Poll::Ready(());
                }
                action
            };
            if let Some(action) = action {
                self.act(action, &mut wire, now);
                continue;
            }
            match self.step(cx, &mut wire, now) {
                Step::Moved => continue,
                Step::Lost(error) => {
                    self.lose(error, &mut wire, now);
                    continue;
                }
                Step::Waits => {}
            }
            if self.sleep(cx, &wire) {
                return Poll::Pending;
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Whether the system must be asked before what is due is done. Where the process was stopped for
    /// a while, an answer may be there that was owed until then, and the runtime has not heard of it.
    fn asks(&mut self, wire: &mut Wire) -> bool {
        let Connection::Open(link) = &mut wire.connection else {
            return false;
        };
        let asks = self.waiting.is_empty() && !self.is_paused && !self.has_asked;
        if asks {
            link.ask_system();
        }
        self.has_asked |= asks;
        asks
    }

    /// Reads. Pending: this thread had better leave the network for callbacks.
    fn take_in(&mut self, cx: &mut Context<'_>, wire: &mut Wire, now: Duration) -> Poll<()> {
        match self.read(cx, wire, now) {
            Poll::Ready(Ok(())) if self.hub.dispatcher().is_leaving(cx.waker()) => {
                return Poll::Pending;
            }
            Poll::Ready(Err(error)) => {
                // Behind a reset that a write met, reading meets an end.
                let error = wire.take_failure().unwrap_or(error);
                self.lose(Some(error), wire, now);
            }
            _ => {}
        }
        Poll::Ready(())
    }

    fn act(&mut self, action: Action, wire: &mut Wire, now: Duration) {
        match action {
            Action::Dial => wire.connection = Connection::Dialing(self.dial()),
            Action::Hangup => self.lose(None, wire, now),
            Action::Goodbye => match mem::replace(&mut wire.connection, Connection::None) {
                Connection::Open(link) => wire.connection = Connection::Closing(link),
                _ => self.lose(None, wire, now),
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
                    avoid: core.suspect,
                    ..Target::new(endpoint.host_name(config.identity())?, endpoint)
                }
            };
            dial(&target, &mut Reporter(&hub)).await
        })
    }

    /// Looks at the link once: writes what can be written, reads what can be read.
    fn step(&mut self, cx: &mut Context<'_>, wire: &mut Wire, now: Duration) -> Step {
        match &mut wire.connection {
            Connection::None => Step::Waits,
            Connection::Dialing(dial) => match dial.as_mut().poll(cx) {
                Poll::Pending => Step::Waits,
                Poll::Ready(Err(error)) => Step::Lost(Some(error)),
                Poll::Ready(Ok(link)) => {
                    if enabled(Level::Info) {
                        let text = link.description();
                        log(Level::Info, "dial", format_args!("connected to {text}"));
                    }
                    wire.connection = Connection::Open(link);
                    self.hub.lock().device.handle_link_up();
                    Step::Moved
                }
            },
            Connection::Open(_) => self.transfer(cx, wire, now),
            Connection::Closing(link) => match link.poll_shutdown(cx) {
                Poll::Pending => Step::Waits,
                Poll::Ready(Err(_)) => Step::Lost(None),
                Poll::Ready(Ok(())) => Self::discard(link, cx),
            },
        }
    }

    /// Waits for the peer's end of a connection whose own has been sent. With bytes unread the system would
    /// reset the connection, and the peer lose what it had not read yet.
    /// Source: RFC 1122, 4.2.2.13; RFC 2525, 2.17.
    fn discard(link: &mut Link, cx: &mut Context<'_>) -> Step {
        SCRATCH.with_borrow_mut(|scratch| match link.poll_read(cx, scratch) {
            Poll::Pending => Step::Waits,
            Poll::Ready(Ok(0) | Err(_)) => Step::Lost(None),
            Poll::Ready(Ok(_)) => Step::Moved,
        })
    }

    fn transfer(&mut self, cx: &mut Context<'_>, wire: &mut Wire, now: Duration) -> Step {
        let wrote = match wire.write(&self.hub, cx, now) {
            Poll::Ready(Ok(())) => true,
            Poll::Pending => false,
            Poll::Ready(Err(error)) => {
                // What the peer has sent before it went, acknowledgements above all, is there to
                // be read.
                while let Poll::Ready(Ok(())) = self.read(cx, wire, now) {}
                return Step::Lost(Some(error));
            }
        };
        if self.pauses(now) {
            return if wrote { Step::Moved } else { Step::Waits };
        }
        match self.read(cx, wire, now) {
            Poll::Ready(Ok(())) => Step::Moved,
            Poll::Ready(Err(error)) => Step::Lost(Some(error)),
            Poll::Pending if wrote => Step::Moved,
            Poll::Pending => Step::Waits,
        }
    }

    /// Whether callbacks should catch up before more is read.
    fn pauses(&mut self, now: Duration) -> bool {
        let mut core = self.hub.lock();
        if core.device.inbox_level() < BACKLOG {
            self.pause_ends = None;
            self.is_paused = false;
        } else {
            // One that has ended is not begun again before they have caught up.
            self.is_paused = now < *self.pause_ends.get_or_insert(now + PAUSE);
        }
        core.is_reading_paused = self.is_paused;
        self.is_paused || !self.waiting.is_empty()
    }

    /// Callbacks may have made room.
    fn hand_over_what_waits(&mut self, now: Duration) {
        let mut core = self.hub.lock();
        core.device.handle_reading_waits(now);
        let returned = self.hub.mailbox.returned();
        if !core.is_full || returned != self.returned {
            self.returned = returned;
            self.waits_until = now + PATIENCE;
        }
        if now < self.waits_until {
            core.device.handle_what_fits(&mut self.waiting, now);
        } else {
            // What is behind it stays, for the end of the connection.
            let first = self.waiting.pop_front();
            core.device.handle_packets(first.into_iter(), now);
        }
        give_back(&mut self.waiting);
        core.is_full = !self.waiting.is_empty();
        self.hub.release(core);
    }

    /// Ready if something was read, pending if the socket is empty.
    fn read(
        &mut self,
        cx: &mut Context<'_>,
        wire: &mut Wire,
        now: Duration,
    ) -> Poll<Result<(), Error>> {
        let mut total = 0;
        while total < READ_TURN && self.waiting.is_empty() {
            let Connection::Open(link) = &mut wire.connection else {
                break;
            };
            let inbound = &mut self.inbound;
            let missing = codec::missing(inbound).unwrap_or_default();
            let read = if missing >= LARGE {
                // Straight into its place, not through the shared buffer. The length was checked
                // when its first bytes came, and memory is asked for as it fills.
                self.reads_large = true;
                let len = missing.min(READ_LEN);
                make_room(inbound, len, &self.hub);
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
            // After what cannot be understood, no packet begins anywhere.
            if !self.handle_inbound(now) {
                break;
            }
        }
        if total == 0 {
            Poll::Pending
        } else {
            Poll::Ready(Ok(()))
        }
    }

    /// Gives the device what has arrived whole. `false`: the peer broke the rules, and the link ends.
    fn handle_inbound(&mut self, now: Duration) -> bool {
        PACKETS.with_borrow_mut(|packets| {
            // After a panic, there may be some left that were another client's.
            packets.clear();
            let is_sound = self.handle_packets(packets, now);
            if packets.capacity() > KEPT {
                *packets = VecDeque::new();
            }
            is_sound
        })
    }

    fn handle_packets(&mut self, packets: &mut VecDeque<Packet>, now: Duration) -> bool {
        let before = self.inbound.len();
        let split = self.split(packets);
        let received = before - self.inbound.len();
        if self.inbound.is_empty() {
            // The messages cut from it hold the memory as long as they need it.
            self.inbound = BytesMut::new();
        }
        let mut core = self.hub.lock();
        core.device.count_received(received);
        if packets.is_empty() {
            core.device.handle_received(now);
        } else {
            core.device.handle_what_fits(packets, now);
        }
        if !packets.is_empty() {
            self.waiting.append(packets);
            self.waits_until = now + PATIENCE;
            self.returned = self.hub.mailbox.returned();
            core.is_full = true;
        }
        let is_sound = split.is_ok();
        if let Err(malformed) = split {
            core.device.fail_protocol(malformed.to_string());
        }
        self.hub.release(core);
        is_sound
    }

    fn split(&mut self, packets: &mut VecDeque<Packet>) -> Result<(), Malformed> {
        let max_len = self.hub.max_packet_len();
        while let Some((frame, header_len)) = codec::split(&mut self.inbound, max_len)? {
            let packet = codec::decode(frame, header_len)?;
            if trace::is_on() {
                trace::received(&packet);
            }
            packets.push_back(packet);
        }
        Ok(())
    }

    /// The link is gone, or must go now.
    fn lose(&mut self, error: Option<Error>, wire: &mut Wire, now: Duration) {
        let chunk = wire.reset();
        self.inbound = BytesMut::new();
        (self.is_paused, self.pause_ends) = (false, None);
        let left_behind = mem::take(&mut self.waiting);
        let entropy = clock::entropy();
        let mut core = self.hub.lock();
        core.device.handle_left_behind(left_behind.into_iter(), now);
        (core.is_reading_paused, core.is_full) = (false, false);
        if core.device.is_accepted() {
            core.suspect = None;
        }
        let budget = core.budget();
        let mut budget = budgets::lock(&budget);
        core.device
            .handle_lost(error, chunk, now, entropy, &mut budget);
        drop(budget);
        self.hub.release(core);
    }

    /// Prepares to be woken. `false`: there is something to do already.
    fn sleep(&mut self, cx: &mut Context<'_>, wire: &Wire) -> bool {
        let at = {
            // Nothing is read any more while a connection closes.
            let is_open = matches!(wire.connection, Connection::Open(_));
            let is_paused = self.is_paused && is_open;
            let is_full = !self.waiting.is_empty() && is_open;
            let mut core = self.hub.lock();
            let now = clock::now();
            let Some(due) = core.rest_until(wire.is_free(), now) else {
                return false;
            };
            // They may have caught up since, and then nobody else says so.
            if (is_paused && !core.is_reading_paused) || (is_full && !core.is_full) {
                return false;
            }
            let due = if is_full {
                due.min(self.waits_until)
            } else {
                due
            };
            let due = match self.pause_ends {
                Some(ends) if is_paused => due.min(ends),
                _ => due,
            };
            let leave_aside = core
                .last_aside
                .is_some_and(|at| now.saturating_sub(at) <= SPURIOUS);
            // The next one's acknowledgement will be due then, which would have the driver woken.
            let due = if leave_aside {
                due.min(now + core.device.config().ack_timeout())
            } else {
                due
            };
            let at = self.ring_at(due, leave_aside);
            core.waker = Some(cx.waker().clone());
            core.rings_at = at;
            core.device.rest();
            at
        };
        self.arm(at, cx)
    }

    /// When the timer must ring for something that is due at `due`. It rings once for nothing where
    /// that is cheaper than setting it anew: if it is a matter of a moment, and if messages leave
    /// without the driver, each of which would move it.
    fn ring_at(&self, due: Duration, leave_aside: bool) -> Duration {
        let early = due.saturating_sub(self.timer_at);
        let keep = early <= SPURIOUS || leave_aside;
        if self.timer.is_some() && due >= self.timer_at && keep {
            self.timer_at
        } else {
            due
        }
    }

    /// Sets the timer. `false`: it has rung.
    fn arm(&mut self, at: Duration, cx: &mut Context<'_>) -> bool {
        self.has_asked = false;
        if at != self.timer_at
            && let Some(deadline) = clock::instant(at)
        {
            self.timer_at = at;
            match &mut self.timer {
                // Not `reset`: that leaves a timer that is put off where it was, to ring once more.
                Some(timer) => timer.set(sleep_until(deadline.into())),
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
                driver.hub.crash(text);
                Poll::Ready(())
            }
        }
    }
}
