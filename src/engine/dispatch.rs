//! The callback side: mailboxes with work, and the thread or the poll that runs it.

use std::any::Any;
use std::cell::Cell;
use std::collections::VecDeque;
use std::io::{ErrorKind as IoErrorKind, Read, Write};
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::net::UnixStream;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::log::{Level, log};
use crate::{Error, ErrorKind, Stage};

/// Something that has callbacks to run.
pub(crate) trait Work: Send + Sync {
    /// Runs some of them. Returns how many.
    fn run(self: Arc<Self>) -> usize;

    /// Whether the client has been destroyed: what is left are its last completions and releases.
    fn is_ended(&self) -> bool;
}

thread_local! {
    static CALLBACK_DEPTH: Cell<u32> = const { Cell::new(0) };
}

/// Whether this thread is inside a callback of any client.
pub(crate) fn in_callback() -> bool {
    CALLBACK_DEPTH.with(|depth| depth.get() > 0)
}

/// Runs one callback. A panic ends the callback, not the thread.
pub(crate) fn run_callback(callback: impl FnOnce()) {
    CALLBACK_DEPTH.with(|depth| depth.set(depth.get() + 1));
    let outcome = catch_unwind(AssertUnwindSafe(callback));
    CALLBACK_DEPTH.with(|depth| depth.set(depth.get().saturating_sub(1)));
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
fn run(work: Arc<dyn Work>) -> usize {
    catch_unwind(AssertUnwindSafe(|| work.run())).unwrap_or_else(|panic| {
        let text = panic_text(panic.as_ref());
        log(Level::Error, "dispatch", format_args!("defect: {text}"));
        0
    })
}

/// The clients of one runtime that have callbacks to run, first come first served.
pub(crate) struct Dispatcher {
    state: Mutex<State>,
    changed: Condvar,
    /// Poll runtimes: the read end is readable while there is work.
    signal: Option<(UnixStream, UnixStream)>,
}

#[derive(Default)]
struct State {
    ready: VecDeque<Arc<dyn Work>>,
    closed: bool,
    polling: bool,
    signalled: bool,
}

impl Dispatcher {
    /// For a callback thread.
    pub(crate) fn for_thread() -> Self {
        Self {
            state: Mutex::default(),
            changed: Condvar::new(),
            signal: None,
        }
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
        let signal = pair().map_err(|error: std::io::Error| {
            let text = format!("could not make the runtime's descriptor: {error}");
            Error::new(ErrorKind::NoResources, Stage::Library, text)
                .with_os_error(error.raw_os_error())
        })?;
        Ok(Self {
            signal: Some(signal),
            ..Self::for_thread()
        })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The descriptor to wait on, for poll runtimes.
    pub(crate) fn fd(&self) -> Option<RawFd> {
        self.signal.as_ref().map(|(read, _)| read.as_raw_fd())
    }

    /// `work` has callbacks to run. Called once until it has run.
    pub(crate) fn schedule(&self, work: Arc<dyn Work>) {
        let mut state = self.lock();
        state.ready.push_back(work);
        if let Some((_, write)) = &self.signal
            && !std::mem::replace(&mut state.signalled, true)
        {
            // A full buffer is readable as well; nothing else can fail on a socket pair.
            let _ = (&*write).write(&[1]);
        }
        drop(state);
        self.changed.notify_one();
    }

    /// `work` has nothing to run any more. Without this, a runtime that nobody polls would keep a
    /// destroyed client, and the client its runtime.
    pub(crate) fn unschedule(&self, work: &Arc<dyn Work>) {
        let mut state = self.lock();
        state.ready.retain(|other| !Arc::ptr_eq(other, work));
        self.clear_signal(&mut state);
    }

    /// Runs the last callbacks of destroyed clients, for a poll runtime that nobody will poll again.
    pub(crate) fn run_ended(&self) {
        if self.signal.is_none() || in_callback() {
            return;
        }
        loop {
            let mut state = self.lock();
            let Some(index) = state.ready.iter().position(|work| work.is_ended()) else {
                return;
            };
            let work = state.ready.remove(index);
            drop(state);
            if let Some(work) = work {
                run(work);
            }
        }
    }

    fn clear_signal(&self, state: &mut State) {
        if let Some((read, _)) = &self.signal
            && state.ready.is_empty()
            && std::mem::take(&mut state.signalled)
        {
            let mut bytes = [0; 16];
            while let Err(error) = (&*read).read(&mut bytes)
                && error.kind() == IoErrorKind::Interrupted
            {}
        }
    }

    /// Runs callbacks until [`Dispatcher::close`]: the body of the callback thread.
    pub(crate) fn run_thread(&self) {
        loop {
            let mut state = self.lock();
            let work = loop {
                if let Some(work) = state.ready.pop_front() {
                    break work;
                }
                if state.closed {
                    return;
                }
                state = self
                    .changed
                    .wait(state)
                    .unwrap_or_else(PoisonError::into_inner);
            };
            drop(state);
            run(work);
        }
    }

    /// Ends the callback thread once nothing is ready.
    pub(crate) fn close(&self) {
        self.lock().closed = true;
        self.changed.notify_all();
    }

    /// Waits at most `timeout` for work and runs what is ready. Returns how many callbacks ran.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidState`] on a runtime with a thread and while another thread polls,
    /// [`ErrorKind::WouldDeadlock`] inside a callback.
    pub(crate) fn poll(&self, timeout: Duration) -> Result<usize, Error> {
        let refuse = |text: &str| Err(Error::new(ErrorKind::InvalidState, Stage::State, text));
        if self.signal.is_none() {
            return refuse("this runtime has a callback thread: there is nothing to poll");
        }
        if in_callback() {
            let text = "a callback cannot poll for callbacks";
            return Err(Error::new(ErrorKind::WouldDeadlock, Stage::State, text));
        }
        let mut state = self.lock();
        if std::mem::replace(&mut state.polling, true) {
            return refuse("another thread is polling this runtime");
        }
        let (mut state, _) = self
            .changed
            .wait_timeout_while(state, timeout, |state| state.ready.is_empty())
            .unwrap_or_else(PoisonError::into_inner);
        let mut count = 0;
        // Only what was ready when this call looked: it ends even if callbacks make more work.
        for _ in 0..state.ready.len() {
            let Some(work) = state.ready.pop_front() else {
                break;
            };
            drop(state);
            count += run(work);
            state = self.lock();
        }
        self.clear_signal(&mut state);
        state.polling = false;
        Ok(count)
    }
}
