//! The callback side: mailboxes with work, and the threads or the poll that run it.
//!
//! The two threads of a runtime take turns. One drives the network; when that has brought something
//! for the application, it leaves the network to the other and runs the callbacks itself. A message
//! so reaches its callback on the thread that read it, without waiting for another one to wake up.
//! Nor is the other woken for a callback that soon returns: an alarm wakes it when one does not, so
//! that a callback that blocks holds up callbacks alone. When much arrives they stay where they are.

use std::any::Any;
use std::cell::Cell;
use std::collections::VecDeque;
use std::io::{ErrorKind as IoErrorKind, Read, Write};
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::net::UnixStream;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use super::clock;
use super::sync::thread::{self, ThreadId};
use super::sync::{Alarm, Condvar, Mutex, MutexGuard, thread_local};
use crate::log::{Level, log};
use crate::{Error, ErrorKind, Stage};

/// Work is alone when none came for so long before it: then the thread that has it runs it. In a
/// flood one thread reads while the other runs callbacks.
const ALONE: Duration = Duration::from_micros(500);

/// How long a callback may take before the other thread is woken to drive the network. Waking it
/// takes longer than most callbacks, and the message would wait for that.
const BRIEF: Duration = Duration::from_millis(1);

/// Something that has callbacks to run.
pub(crate) trait Work: Send + Sync {
    /// Runs some of them. Returns how many.
    fn run(self: Arc<Self>) -> usize;

    /// Whether the client has been destroyed, or the registration is over: what is left are the last
    /// callbacks and releases.
    fn is_ended(&self) -> bool;

    /// Ended, and nobody polls any more: completes and releases what the application is owed.
    fn settle(self: Arc<Self>) -> usize;
}

thread_local! {
    static CALLBACK_DEPTH: Cell<u32> = const { Cell::new(0) };
}

/// Whether this thread is inside a callback of any client.
pub(crate) fn in_callback() -> bool {
    CALLBACK_DEPTH.with(|depth| depth.get() > 0)
}

/// Runs one callback inside a call of the application, to which a panic goes on.
pub(crate) fn as_callback<R>(callback: impl FnOnce() -> R) -> R {
    struct Inside;
    impl Drop for Inside {
        fn drop(&mut self) {
            CALLBACK_DEPTH.with(|depth| depth.set(depth.get().saturating_sub(1)));
        }
    }
    CALLBACK_DEPTH.with(|depth| depth.set(depth.get() + 1));
    let _inside = Inside;
    callback()
}

/// Runs one callback. A panic ends the callback, not the thread.
pub(crate) fn run_callback(callback: impl FnOnce()) {
    let outcome = catch_unwind(AssertUnwindSafe(|| as_callback(callback)));
    if let Err(panic) = outcome {
        log(
            Level::Error,
            "dispatch",
            format_args!("a callback panicked: {}", panic_text(panic.as_ref())),
        );
    }
}

/// The message of a panic.
pub(crate) fn panic_text(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message")
}

/// Runs the callbacks of one client. A panic in here, which would be a defect, is that client's
/// alone.
fn run(callbacks: impl FnOnce() -> usize) -> usize {
    catch_unwind(AssertUnwindSafe(callbacks)).unwrap_or_else(|panic| {
        let text = panic_text(panic.as_ref());
        log(Level::Error, "dispatch", format_args!("defect: {text}"));
        0
    })
}

/// The clients of one runtime that have callbacks to run, first come first served.
pub(crate) struct Dispatcher {
    state: Mutex<State>,
    kind: Kind,
}

/// Who runs the callbacks.
enum Kind {
    /// The runtime's threads. The one that has nothing to do waits for the alarm.
    Threads(Alarm),
    /// An application that polls.
    Poll {
        changed: Condvar,
        /// The first is readable while there is work.
        signal: (UnixStream, UnixStream),
    },
}

#[derive(Default)]
struct State {
    ready: VecDeque<Arc<dyn Work>>,
    closed: bool,
    polling: bool,
    /// Nobody will poll again: only ended work runs any more, at the end of the poll in progress, or
    /// on the network thread.
    given_up: bool,
    signalled: bool,
    /// The thread that drives the network, and what makes it look whether it should leave.
    driver: Option<ThreadId>,
    leave: Option<Waker>,
    /// Tasks that make way for a callback, to be woken when a thread drives again.
    making_way: Vec<Waker>,
    /// When work last came.
    last_work: Option<Duration>,
    /// A thread runs callbacks.
    running: bool,
    /// A thread waits for either, and has not been told that there is something.
    waiting: bool,
    /// It will be, should the callbacks take long.
    alarm_is_set: bool,
}

impl State {
    /// Whether there is a thread to be told, which the caller does.
    fn take_waiting(&mut self) -> bool {
        self.alarm_is_set = false;
        std::mem::take(&mut self.waiting)
    }

    fn take_ended(&mut self) -> Option<Arc<dyn Work>> {
        let index = self.ready.iter().position(|work| work.is_ended())?;
        self.ready.remove(index)
    }

    /// Whether there is ended work that no poll will run.
    fn owes(&self) -> bool {
        self.given_up && !self.polling && self.ready.iter().any(|work| work.is_ended())
    }
}

/// What a thread of the runtime does next.
enum Turn {
    Drive,
    Run(Arc<dyn Work>),
    Settle(Arc<dyn Work>),
}

impl Dispatcher {
    /// For callbacks on the runtime's threads.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NoResources`] without descriptors.
    pub(crate) fn for_threads() -> Result<Self, Error> {
        let alarm = Alarm::new().map_err(no_descriptor)?;
        Ok(Self::new(Kind::Threads(alarm)))
    }

    /// For an application that polls.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NoResources`] without descriptors.
    pub(crate) fn for_poll() -> Result<Self, Error> {
        let pair = || {
            let (read, write) = UnixStream::pair()?;
            read.set_nonblocking(true)?;
            write.set_nonblocking(true)?;
            Ok((read, write))
        };
        Ok(Self::new(Kind::Poll {
            changed: Condvar::new(),
            signal: pair().map_err(no_descriptor)?,
        }))
    }

    fn new(kind: Kind) -> Self {
        Self {
            state: Mutex::default(),
            kind,
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The descriptor to wait on, for poll runtimes.
    pub(crate) fn fd(&self) -> Option<RawFd> {
        match &self.kind {
            Kind::Threads(_) => None,
            Kind::Poll { signal, .. } => Some(signal.0.as_raw_fd()),
        }
    }

    /// `work` has callbacks to run; `is_little` if they take less time than waking a thread. Called once
    /// until it has run.
    pub(crate) fn schedule(&self, work: Arc<dyn Work>, is_little: bool) {
        let mut state = self.lock();
        state.ready.push_back(work);
        let alarm = match &self.kind {
            Kind::Threads(alarm) => alarm,
            Kind::Poll { .. } if state.given_up => return tell_driver(state),
            Kind::Poll { changed, signal } => {
                if !std::mem::replace(&mut state.signalled, true) {
                    // A full buffer is readable as well; nothing else can fail on a socket pair.
                    let _ = (&signal.1).write(&[1]);
                }
                drop(state);
                changed.notify_one();
                return;
            }
        };
        // Whoever runs callbacks looks again when it is done.
        if state.running {
            return;
        }
        let now = clock::now();
        let last = state.last_work.replace(now);
        let is_alone = last.is_none_or(|last| now.saturating_sub(last) >= ALONE);
        let is_driver = state.driver == Some(thread::current().id());
        if is_driver && (is_alone || is_little || !state.waiting) {
            tell_driver(state);
        } else if state.take_waiting() {
            drop(state);
            alarm.ring();
        }
    }

    /// `work` has nothing to run any more. Without this, a runtime that nobody polls would keep a
    /// destroyed client, and the client its runtime.
    pub(crate) fn unschedule(&self, work: &Arc<dyn Work>) {
        let mut state = self.lock();
        state.ready.retain(|other| !Arc::ptr_eq(other, work));
        self.clear_signal(&mut state);
    }

    /// Work that was ready has ended since: somebody must look, if nobody polls any more.
    pub(crate) fn look_for_ended(&self) {
        let state = self.lock();
        if state.given_up {
            tell_driver(state);
        }
    }

    /// Nobody will poll again: ends a poll that is in progress. Outside callbacks, waits for that
    /// and runs the last callbacks of destroyed clients, and of registrations that have ended. Does
    /// nothing on a runtime with threads for callbacks.
    pub(crate) fn give_up(&self) {
        let Kind::Poll { changed, .. } = &self.kind else {
            return;
        };
        let mut state = self.lock();
        state.given_up = true;
        changed.notify_all();
        if in_callback() {
            return tell_driver(state);
        }
        while state.polling {
            state = changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        // The network thread leaves to this one what there is.
        state.polling = true;
        self.end_poll(state, changed);
    }

    /// Ends a poll; of a runtime that has been given up, with what it owes. Returns how many
    /// callbacks ran.
    fn end_poll<'a>(&'a self, mut state: MutexGuard<'a, State>, changed: &Condvar) -> usize {
        let mut count = 0;
        while state.given_up
            && let Some(work) = state.take_ended()
        {
            drop(state);
            count += run(|| work.run());
            state = self.lock();
        }
        self.clear_signal(&mut state);
        state.polling = false;
        if state.given_up {
            changed.notify_all();
        }
        count
    }

    fn clear_signal(&self, state: &mut State) {
        if let Kind::Poll { signal, .. } = &self.kind
            && state.ready.is_empty()
            && std::mem::take(&mut state.signalled)
        {
            let mut bytes = [0; 16];
            while let Err(error) = (&signal.0).read(&mut bytes)
                && error.kind() == IoErrorKind::Interrupted
            {}
        }
    }

    /// Drives the network with `drive` and runs callbacks, in turns with another thread, until
    /// [`Dispatcher::close`]. `drive` returns when [`Dispatcher::poll_leave`] says so.
    pub(crate) fn run_thread(&self, drive: impl Fn()) {
        while let Some(turn) = self.next_turn() {
            match turn {
                Turn::Drive => {
                    drive();
                    self.lock().driver = None;
                }
                Turn::Run(work) => {
                    run(|| work.run());
                    self.lock().running = false;
                }
                Turn::Settle(work) => {
                    run(|| work.settle());
                }
            }
        }
    }

    fn next_turn(&self) -> Option<Turn> {
        let mut state = self.lock();
        loop {
            let alarm = match &self.kind {
                Kind::Threads(alarm) => Some(alarm),
                Kind::Poll { .. } => None,
            };
            if let Some(alarm) = alarm
                && !state.running
                && let Some(work) = state.ready.pop_front()
            {
                state.running = true;
                // Once for all callbacks in a row, or many brief ones would hold up the network.
                if state.driver.is_none() && state.waiting && !state.alarm_is_set {
                    state.alarm_is_set = true;
                    drop(state);
                    alarm.ring_after(BRIEF);
                }
                return Some(Turn::Run(work));
            }
            if state.owes()
                && let Some(work) = state.take_ended()
            {
                return Some(Turn::Settle(work));
            }
            if state.closed {
                return None;
            }
            if state.driver.is_none() {
                state.driver = Some(thread::current().id());
                let is_set = std::mem::take(&mut state.alarm_is_set);
                drop(state);
                if is_set && let Some(alarm) = alarm {
                    alarm.silence();
                }
                return Some(Turn::Drive);
            }
            // A poll runtime has one thread, which never comes here.
            let alarm = alarm?;
            state.waiting = true;
            drop(state);
            alarm.wait();
            state = self.lock();
            state.take_waiting();
        }
    }

    /// Ready when the thread that drives the network must leave it: for callbacks that nobody else
    /// runs, or for good.
    pub(crate) fn poll_leave(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut state = self.lock();
        let runs_here = matches!(self.kind, Kind::Threads(_));
        let has_callbacks = runs_here && !state.running && !state.ready.is_empty();
        if state.closed || has_callbacks || state.owes() {
            return Poll::Ready(());
        }
        state.leave = Some(cx.waker().clone());
        let made_way = std::mem::take(&mut state.making_way);
        drop(state);
        made_way.into_iter().for_each(Waker::wake);
        Poll::Pending
    }

    /// Whether the thread that drives the network is about to leave it for callbacks. Then `task`,
    /// which runs on it, had better return, and is woken when somebody drives again.
    pub(crate) fn is_leaving(&self, task: &Waker) -> bool {
        let mut state = self.lock();
        let is_leaving = state.leave.is_none();
        if is_leaving {
            state.making_way.push(task.clone());
        }
        is_leaving
    }

    /// Ends the threads once nothing is ready.
    pub(crate) fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        tell_driver(state);
        if let Kind::Threads(alarm) = &self.kind {
            alarm.ring();
        }
    }

    /// Waits at most `timeout` for work and runs what is ready. Returns how many callbacks ran.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidState`] on a runtime with threads for callbacks, while another thread polls and
    /// once the runtime has been given up, [`ErrorKind::WouldDeadlock`] inside a callback.
    pub(crate) fn poll(&self, timeout: Duration) -> Result<usize, Error> {
        let refuse = |text: &str| Err(Error::new(ErrorKind::InvalidState, Stage::State, text));
        let Kind::Poll { changed, .. } = &self.kind else {
            return refuse("this runtime runs callbacks by itself: there is nothing to poll");
        };
        if in_callback() {
            let text = "a callback cannot poll for callbacks";
            return Err(Error::new(ErrorKind::WouldDeadlock, Stage::State, text));
        }
        let mut state = self.lock();
        if state.given_up {
            return refuse("this runtime has been given up");
        }
        if std::mem::replace(&mut state.polling, true) {
            return refuse("another thread is polling this runtime");
        }
        let (mut state, _) = changed
            .wait_timeout_while(state, timeout, |state| {
                state.ready.is_empty() && !state.given_up
            })
            .unwrap_or_else(PoisonError::into_inner);
        let mut count = 0;
        // Only what was ready when this call looked: it ends even if callbacks make more work.
        for _ in 0..state.ready.len() {
            if state.given_up {
                break;
            }
            let Some(work) = state.ready.pop_front() else {
                break;
            };
            drop(state);
            count += run(|| work.run());
            state = self.lock();
        }
        Ok(count + self.end_poll(state, changed))
    }
}

/// Makes the thread that drives the network look whether it should leave it.
fn tell_driver(mut state: MutexGuard<'_, State>) {
    let leave = state.leave.take();
    drop(state);
    if let Some(leave) = leave {
        leave.wake();
    }
}

fn no_descriptor(error: std::io::Error) -> Error {
    let text = format!("could not make the runtime's descriptor: {error}");
    Error::new(ErrorKind::NoResources, Stage::Library, text).with_os_error(error.raw_os_error())
}
