//! The runtime: one network thread and one place where callbacks run, for any number of clients.

use std::os::fd::RawFd;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::thread::{self, JoinHandle, ThreadId};
use std::time::Duration;

use nix::sys::signal::{SigSet, SigmaskHow};
use tokio::runtime::{Builder, Handle};
use tokio::sync::Notify;

use super::dispatch::{Dispatcher, in_callback};
use crate::{Error, ErrorKind, Stage};

/// Where the callbacks of a runtime's clients run.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Dispatch {
    /// On a thread of the runtime.
    #[default]
    Thread,
    /// Inside [`Runtime::poll`], on the thread that calls it.
    Poll,
}

/// A network thread, and a callback thread or [`Runtime::poll`]. Clones are the same runtime; it
/// ends with its last clone and its last client.
#[derive(Clone)]
pub struct Runtime(Arc<Inner>);

struct Inner {
    handle: Handle,
    stop: Arc<Notify>,
    dispatcher: Arc<Dispatcher>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

static SHARED: Mutex<Weak<Inner>> = Mutex::new(Weak::new());

impl Runtime {
    /// Starts a runtime.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NoResources`] if the system gives no thread or no descriptor.
    pub fn new(dispatch: Dispatch) -> Result<Self, Error> {
        let dispatcher = Arc::new(match dispatch {
            Dispatch::Thread => Dispatcher::for_thread(),
            Dispatch::Poll => Dispatcher::for_poll()?,
        });
        let tokio = Builder::new_current_thread()
            .enable_io()
            .enable_time()
            .build()
            .map_err(|error| no_resources("the network's event loop", &error))?;
        let stop = Arc::new(Notify::new());
        let inner = Arc::new(Inner {
            handle: tokio.handle().clone(),
            stop: Arc::clone(&stop),
            dispatcher: Arc::clone(&dispatcher),
            threads: Mutex::default(),
        });
        // From here on `inner` stops what has been started, should the next thread fail.
        inner.keep(spawn("aliot-net", move || {
            tokio.block_on(stop.notified());
            // A name lookup that hangs must not hold the process.
            tokio.shutdown_background();
        })?);
        if dispatch == Dispatch::Thread {
            inner.keep(spawn("aliot-callback", move || dispatcher.run_thread())?);
        }
        Ok(Self(inner))
    }

    /// The runtime of clients that name none: one for the process, with a callback thread, made on
    /// first use and ended with its last client.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NoResources`] if the system gives no thread.
    pub fn shared() -> Result<Self, Error> {
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(inner) = shared.upgrade() {
            return Ok(Self(inner));
        }
        let runtime = Self::new(Dispatch::Thread)?;
        *shared = Arc::downgrade(&runtime.0);
        Ok(runtime)
    }

    /// Waits at most `timeout` for callbacks and runs those that are ready. Returns how many ran.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidState`] if the runtime has a callback thread or another thread polls it,
    /// [`ErrorKind::WouldDeadlock`] inside a callback.
    pub fn poll(&self, timeout: Duration) -> Result<usize, Error> {
        self.0.dispatcher.poll(timeout)
    }

    /// A descriptor that is readable while [`Runtime::poll`] has callbacks to run. `None` if the
    /// runtime has a callback thread.
    pub fn fd(&self) -> Option<RawFd> {
        self.0.dispatcher.fd()
    }

    /// Runs what a poll runtime still owes to clients that were destroyed in callbacks. For those
    /// who give the runtime up; does nothing inside a callback and on a runtime with a thread.
    pub fn finish(&self) {
        self.0.dispatcher.run_ended();
    }

    pub(crate) fn dispatcher(&self) -> &Dispatcher {
        &self.0.dispatcher
    }

    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.0.handle.spawn(task);
    }
}

impl Inner {
    fn keep(&self, thread: JoinHandle<()>) {
        self.threads
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(thread);
    }
}

impl Drop for Inner {
    /// Waits for the threads, except where that would be waiting for itself.
    fn drop(&mut self) {
        self.stop.notify_one();
        self.dispatcher.close();
        let threads =
            std::mem::take(&mut *self.threads.lock().unwrap_or_else(PoisonError::into_inner));
        let current: ThreadId = thread::current().id();
        let is_own = threads.iter().any(|thread| thread.thread().id() == current);
        if is_own || in_callback() {
            return;
        }
        for thread in threads {
            // A panic of the thread has been logged where it happened.
            let _ = thread.join();
        }
    }
}

/// Starts a thread that no signal reaches: the application's handlers run on the application's
/// threads, and SIGPIPE from a socket cannot end the process.
fn spawn(name: &str, body: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>, Error> {
    // The mask is inherited, so there is no moment at which the new thread takes signals.
    let before = SigSet::all().thread_swap_mask(SigmaskHow::SIG_SETMASK);
    let thread = thread::Builder::new().name(name.to_owned()).spawn(body);
    if let Ok(before) = before {
        let _ = before.thread_set_mask();
    }
    thread.map_err(|error| no_resources(&format!("the thread {name}"), &error))
}

fn no_resources(what: &str, error: &std::io::Error) -> Error {
    let text = format!("the system did not give {what}: {error}");
    Error::new(ErrorKind::NoResources, Stage::Library, text).with_os_error(error.raw_os_error())
}
