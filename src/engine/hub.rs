//! Where the threads of a client meet: its device under a lock, its mailbox, its waker.

use std::net::IpAddr;
use std::sync::{Arc, PoisonError, TryLockError};
use std::task::{Context, Waker};
use std::time::Duration;

use super::budgets;
use super::clock;
use super::dispatch::{Dispatcher, Work, in_callback};
use super::goal::{Goal, Waiting};
use super::mailbox::{Mailbox, MessageHandler, Shared};
use super::runtime::Runtime;
use super::sync::{Condvar, Mutex, MutexGuard};
use super::wire::Wire;
use crate::log::{Level, log};
use crate::proto::config::Config;
use crate::proto::device::{Device, Output};
use crate::proto::event::{Event, EventKind, State};
use crate::{Error, ErrorKind, Stage};

/// A message is alone when nothing was to be sent for so long before it. In a burst, the driver is
/// awake by then and writes many at once.
const ALONE: Duration = Duration::from_micros(500);

/// So many messages and completions are delivered sooner than another thread wakes up. Events are
/// left to that one, because whoever waits for the connection goes on at the same time.
const LITTLE: usize = 128;

/// Bytes that may wait for callbacks when reading goes on after a pause.
const CAUGHT_UP: usize = 64 * 1024;

/// What the lock protects.
pub(crate) struct Core {
    pub(crate) device: Device<Shared<MessageHandler>>,
    /// Present while the driver sleeps.
    pub(crate) waker: Option<Waker>,
    /// When its timer wakes it, whatever else happens.
    pub(crate) rings_at: Duration,
    /// The driver lets callbacks catch up, and must be woken when they have.
    pub(crate) is_reading_paused: bool,
    /// The driver has a message that there was no room for, since callbacks last returned.
    pub(crate) is_full: bool,
    /// The driver found the wire taken and must be woken when it is free.
    wants_wire: bool,
    /// When the application last had something to send, and when that last left without the driver.
    last_call: Duration,
    pub(crate) last_aside: Option<Duration>,
    /// The address of the last connection, unless the platform accepted the device on it.
    pub(crate) suspect: Option<IpAddr>,
    budget: budgets::Shared,
    destroyed: bool,
    crashed: bool,
    waiting: Waiting,
}

impl Core {
    /// Whether the driver has nothing left to do, ever.
    pub(crate) fn is_finished(&self) -> bool {
        self.crashed || (self.destroyed && self.device.state() == State::Stopped)
    }

    /// When there is something to do next, if there is nothing now. `is_free`: the wire takes more.
    pub(crate) fn rest_until(&self, is_free: bool, now: Duration) -> Option<Duration> {
        let device = &self.device;
        if (is_free && device.has_transmit(now)) || device.has_action() || self.is_finished() {
            return None;
        }
        let due = device.poll_timeout(now).unwrap_or(Duration::MAX);
        (due > now).then_some(due)
    }

    /// Whether a driver that sleeps may go on sleeping.
    fn rests(&self, now: Duration) -> bool {
        let due = self.rest_until(true, now);
        due.is_some_and(|due| due >= self.rings_at)
    }

    pub(crate) fn budget(&self) -> budgets::Shared {
        Arc::clone(&self.budget)
    }

    /// `if_destroyed` is what a call answers whose client another thread has destroyed.
    fn check(&self, if_destroyed: ErrorKind) -> Result<(), Error> {
        match (self.destroyed, self.crashed) {
            (true, _) => {
                let text = "the client has been destroyed";
                Err(Error::new(if_destroyed, Stage::State, text))
            }
            (_, true) => {
                let text = "the client ended after a defect of the library, which the log names";
                Err(Error::new(ErrorKind::Internal, Stage::Library, text))
            }
            _ => Ok(()),
        }
    }
}

/// See the module.
pub(crate) struct Hub {
    core: Mutex<Core>,
    wire: Mutex<Wire>,
    changed: Condvar,
    pub(crate) mailbox: Mailbox,
    runtime: Runtime,
    max_packet_len: usize,
    /// What the log calls the client.
    name: String,
}

impl Hub {
    pub(crate) fn new(config: Config, runtime: Runtime) -> Self {
        let max_packet_len = config.profile().packet_len();
        let name = config.budget_key();
        Self {
            core: Mutex::new(Core {
                budget: budgets::of(config.budget_key(), config.connects_per_minute()),
                device: Device::new(config),
                waker: None,
                rings_at: Duration::ZERO,
                is_reading_paused: false,
                is_full: false,
                wants_wire: false,
                last_call: Duration::ZERO,
                last_aside: None,
                suspect: None,
                destroyed: false,
                crashed: false,
                waiting: Waiting::default(),
            }),
            wire: Mutex::default(),
            changed: Condvar::new(),
            mailbox: Mailbox::default(),
            runtime,
            max_packet_len,
            name,
        }
    }

    /// The largest packet that the peer may send.
    pub(crate) fn max_packet_len(&self) -> usize {
        self.max_packet_len
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Core> {
        self.core.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The wire, for the driver. `None`: somebody else has it for a moment, and wakes `cx` after that.
    pub(crate) fn wire_or_wake(&self, cx: &Context<'_>) -> Option<MutexGuard<'_, Wire>> {
        if let Some(wire) = self.try_wire() {
            return Some(wire);
        }
        let mut core = self.lock();
        core.wants_wire = true;
        core.waker = Some(cx.waker().clone());
        drop(core);
        // It may have been let go of before the wish for it was to be seen.
        self.try_wire()
    }

    fn try_wire(&self) -> Option<MutexGuard<'_, Wire>> {
        match self.wire.try_lock() {
            Ok(wire) => Some(wire),
            Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        }
    }

    /// Lets go of the device, which has something to do: the driver is woken if it sleeps. A message
    /// that comes alone is written here and now instead, because waking another thread takes longer
    /// than writing does.
    fn stir(self: &Arc<Self>, mut core: MutexGuard<'_, Core>, now: Duration) {
        if core.rests(now) {
            return self.release(core);
        }
        let Some(waker) = core.waker.take() else {
            return self.release(core);
        };
        let is_alone = now.saturating_sub(core.last_call) >= ALONE && core.device.has_transmit(now);
        core.last_call = now;
        self.release(core);
        if !(is_alone && self.write_aside(&waker, now)) {
            waker.wake();
        }
    }

    /// Writes what waits. `false`: the driver must be woken.
    fn write_aside(self: &Arc<Self>, waker: &Waker, now: Duration) -> bool {
        let Some(mut wire) = self.try_wire() else {
            return false;
        };
        let is_written = wire.write_aside(self, now);
        drop(wire);
        let mut core = self.lock();
        let driver_waits = std::mem::take(&mut core.wants_wire);
        if !is_written || driver_waits {
            return false;
        }
        core.last_aside = Some(now);
        if !core.rests(now) {
            return false;
        }
        core.waker.get_or_insert_with(|| waker.clone());
        true
    }

    /// Lets go of the device. What it has for the application goes to the mailbox, under the lock so
    /// that the order is the device's; who has waited for this is told after it.
    pub(crate) fn release(self: &Arc<Self>, mut guard: MutexGuard<'_, Core>) {
        let core = &mut *guard;
        let outputs = core.device.outputs();
        let is_little =
            outputs.len() <= LITTLE && !matches!(outputs.front(), Some(Output::Event(_)));
        let schedule = !outputs.is_empty() && self.mailbox.push(outputs);
        let tell = core.waiting.take_reached(&core.device);
        drop(guard);
        if schedule {
            self.schedule(is_little);
        }
        if tell {
            self.changed.notify_all();
        }
    }

    fn log(&self, event: &Event) {
        let level = match event.kind {
            EventKind::Connecting => Level::Debug,
            _ if event.error.is_some() => Level::Warn,
            EventKind::MessagesDropped => Level::Warn,
            _ => Level::Info,
        };
        let kind = event.kind.name();
        let retry = event.retry_in.map_or(String::new(), |delay| {
            format!("; next attempt in {} ms", delay.as_millis())
        });
        let colon = if event.text.is_empty() { "" } else { ": " };
        let (name, text) = (&self.name, &event.text);
        log(
            level,
            "session",
            format_args!("{name} {kind}{colon}{text}{retry}"),
        );
    }

    pub(crate) fn dispatcher(&self) -> &Dispatcher {
        self.runtime.dispatcher()
    }

    pub(crate) fn schedule(self: &Arc<Self>, is_little: bool) {
        self.dispatcher()
            .schedule(Arc::clone(self) as Arc<dyn Work>, is_little);
    }

    /// Runs one call of the application on the device, and wakes the driver if it sleeps.
    pub(crate) fn call<R>(
        self: &Arc<Self>,
        call: impl FnOnce(&mut Device<Shared<MessageHandler>>, Duration) -> Result<R, Error>,
    ) -> Result<R, Error> {
        let mut core = self.lock();
        core.check(ErrorKind::Destroyed)?;
        let now = clock::now();
        let result = call(&mut core.device, now);
        // A call that was refused may have had an effect: see the policy drop-oldest.
        self.stir(core, now);
        result
    }

    /// As [`Hub::call`], for what leaves the driver nothing to do.
    pub(crate) fn ask<R>(
        &self,
        call: impl FnOnce(&mut Device<Shared<MessageHandler>>) -> Result<R, Error>,
    ) -> Result<R, Error> {
        let mut core = self.lock();
        core.check(ErrorKind::Destroyed)?;
        call(&mut core.device)
    }

    /// Waits until `goal` is reached.
    pub(crate) fn wait(&self, timeout: Duration, goal: Goal) -> Result<(), Error> {
        if in_callback() {
            let text = "this call blocks and would wait for the callback it was made from";
            return Err(Error::new(ErrorKind::WouldDeadlock, Stage::State, text));
        }
        let deadline = clock::now().saturating_add(timeout);
        let mut core = self.lock();
        loop {
            core.check(ErrorKind::Cancelled)?;
            if goal.is_reached(&core.device)? {
                return Ok(());
            }
            let left = deadline.saturating_sub(clock::now());
            if left.is_zero() {
                let text = format!("not within {} ms", timeout.as_millis());
                return Err(Error::new(ErrorKind::Timeout, Stage::Session, text));
            }
            core.waiting.add(goal);
            core = self
                .changed
                .wait_timeout(core, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
            core.waiting.remove();
        }
    }

    /// Ends the client: see `Client::destroy`.
    pub(crate) fn destroy(self: &Arc<Self>) {
        let mut core = self.lock();
        if std::mem::replace(&mut core.destroyed, true) {
            return;
        }
        core.device.abandon(clock::now());
        let waker = core.waker.take();
        self.release(core);
        self.changed.notify_all();
        if let Some(waker) = waker {
            waker.wake();
        }
        let wait = !in_callback();
        if self.mailbox.end(wait) {
            self.schedule(false);
        } else if wait {
            let work = Arc::clone(self) as Arc<dyn Work>;
            self.dispatcher().unschedule(&work);
        } else {
            self.dispatcher().look_for_ended();
        }
    }

    /// The driver is gone: nothing that was accepted will complete any more but as cancelled.
    pub(crate) fn crash(self: &Arc<Self>, text: &str) {
        self.wire
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .reset();
        let mut core = self.lock();
        core.crashed = true;
        core.device.crash(text);
        self.release(core);
        self.changed.notify_all();
    }
}

impl Work for Hub {
    fn run(self: Arc<Self>) -> usize {
        let (delivered, again) = self.mailbox.deliver(&|event| self.log(event));
        if delivered.forgotten > 0 {
            let (name, count) = (&self.name, delivered.forgotten);
            log(
                Level::Warn,
                "session",
                format_args!(
                    "{name}: the events of {count} attempts to connect are not reported: callbacks took too long"
                ),
            );
        }
        if delivered.callbacks > 0 {
            let mut core = self.lock();
            let acks = delivered.acks.into_iter();
            core.device
                .handle_delivered(delivered.bytes, delivered.completions, acks);
            let now = clock::now();
            // Which it must give back in time.
            let keeps = !delivered.memory.is_empty();
            core.device.keep_memory(delivered.memory.into_iter(), now);
            let has_caught_up = core.is_reading_paused && core.device.inbox_level() <= CAUGHT_UP;
            if std::mem::take(&mut core.is_full) || has_caught_up {
                core.is_reading_paused &= !has_caught_up;
                let waker = core.waker.take();
                // Whoever writes a lone message has taken it, and would put it back.
                core.wants_wire |= waker.is_none();
                self.release(core);
                if let Some(waker) = waker {
                    waker.wake();
                }
            } else if keeps || core.device.has_transmit(now) {
                self.stir(core, now);
            } else {
                self.release(core);
            }
        }
        if again {
            self.schedule(false);
        }
        delivered.callbacks
    }

    fn is_ended(&self) -> bool {
        self.mailbox.is_ended()
    }

    fn settle(self: Arc<Self>) -> usize {
        self.run()
    }
}
