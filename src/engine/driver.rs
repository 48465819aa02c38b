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

use bytes::BytesMut;
use tokio::time::{Sleep, sleep_until};

use super::budgets;
use super::clock;
use super::dial::{Target, Watch, dial};
use super::dispatch::panic_text;
use super::expiry::Notice;
use super::hub::Hub;
use super::link::Link;
use crate::log::{Level, log};
use crate::proto::codec::{self, Malformed, Packet};
use crate::proto::device::Action;
use crate::proto::outbox::Chunk;
use crate::{Error, ErrorKind, Stage};

/// Bytes asked of the socket at once. One buffer serves every connection of a thread.
const READ_LEN: usize = 64 * 1024;

/// Bytes that one connection may read before it is another one's turn.
const READ_TURN: usize = 512 * 1024;

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
    packets: VecDeque<Packet>,
    timer: Option<Pin<Box<Sleep>>>,
    timer_at: Duration,
}

/// Tells the device how its dial goes.
struct Reporter<'a>(&'a Hub);

impl Watch for Reporter<'_> {
    fn stage(&mut self, stage: Stage) {
        self.0.lock().device.handle_stage(stage);
    }

    fn notice(&mut self, notice: Notice) {
        log(Level::Warn, "tls", format_args!("{}", notice.text));
        let mut core = self.0.lock();
        core.device.handle_notice(notice.ends, notice.text);
    }
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
                self.hub.publish_outputs(&mut core);
                if action.is_none() && core.is_finished() {
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
                    user_timeout: Some(config.ack_timeout()),
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
                return Poll::Pending;
            }
            core.device.poll_transmit(&mut self.chunk, now);
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
        self.hub.publish_outputs(&mut core);
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
            let read = SCRATCH.with_borrow_mut(|scratch| {
                let len = ready!(link.poll_read(cx, scratch));
                if let Ok(len) = len {
                    inbound.extend_from_slice(scratch.get(..len).unwrap_or_default());
                }
                Poll::Ready(len)
            });
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
        let split = self.split();
        if self.inbound.is_empty() {
            // The messages cut from it hold the memory as long as they need it.
            self.inbound = BytesMut::new();
        }
        let mut core = self.hub.lock();
        if self.packets.is_empty() {
            core.device.handle_received(now);
        } else {
            core.device.handle_packets(self.packets.drain(..), now);
        }
        if let Err(malformed) = split {
            core.device.fail_protocol(malformed.to_string());
        }
        self.hub.publish_outputs(&mut core);
    }

    fn split(&mut self) -> Result<(), Malformed> {
        let max_len = self.hub.max_packet_len();
        while let Some((frame, header_len)) = codec::split(&mut self.inbound, max_len)? {
            self.packets.push_back(codec::decode(frame, header_len)?);
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
        let mut core = self.hub.lock();
        let budget = core.budget();
        let mut budget = budgets::lock(&budget);
        core.device
            .handle_lost(error, chunk, now, clock::entropy(), &mut budget);
        drop(budget);
        self.hub.publish_outputs(&mut core);
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
        if due < self.timer_at
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
