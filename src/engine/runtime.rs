//! The runtime: threads for the network and a place where callbacks run, for any number of clients.

use std::future::poll_fn;
use std::os::fd::RawFd;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use nix::sys::signal::{SigSet, SigmaskHow};
use tokio::runtime::{Builder, Handle};

use super::dispatch::{Dispatcher, in_callback};
use crate::{Error, ErrorKind, Stage};

/// Where the callbacks of a runtime's clients run.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Dispatch {
    /// On the runtime's two threads, which take turns at the network and at callbacks.
    #[default]
    Thread,
    /// Inside [`Runtime::poll`], on the thread that calls it.
    Poll,
}

/// Two threads that take turns, or a network thread and [`Runtime::poll`]. Clones are the same
/// runtime; it ends with its last clone and its last client.
#[derive(Clone)]
pub struct Runtime(Arc<Inner>);

struct Inner {
    handle: Handle,
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
        let (dispatcher, names) = match dispatch {
            Dispatch::Thread => (
                Dispatcher::for_threads()?,
                ["aliot-1", "aliot-2"].as_slice(),
            ),
            Dispatch::Poll => (Dispatcher::for_poll()?, ["aliot-net"].as_slice()),
        };
        let dispatcher = Arc::new(dispatcher);
        let network = Builder::new_current_thread()
            .enable_io()
            .enable_time()
            .build()
            .map_err(|error| no_resources("the network's event loop", &error))?;
        let inner = Arc::new(Inner {
            handle: network.handle().clone(),
            dispatcher: Arc::clone(&dispatcher),
            threads: Mutex::default(),
        });
        let network = Arc::new(network);
        for name in names {
            let (dispatcher, network) = (Arc::clone(&dispatcher), Arc::clone(&network));
            let thread = spawn(name, move || {
                dispatcher.run_thread(|| network.block_on(poll_fn(|cx| dispatcher.poll_leave(cx))));
                if let Some(network) = Arc::into_inner(network) {
                    // A name lookup that hangs must not hold the process.
                    network.shutdown_background();
                }
            });
            match thread {
                Ok(thread) => inner.keep(thread),
                Err(error) => {
                    // Those that have been started have no callback that could hold them up.
                    inner.join();
                    return Err(error);
                }
            }
        }
        Ok(Self(inner))
    }

    /// For models, which are their own threads.
    #[cfg(all(test, feature = "loom"))]
    pub(super) fn without_threads(dispatch: Dispatch) -> Self {
        let network = Builder::new_current_thread().build().unwrap();
        let dispatcher = match dispatch {
            Dispatch::Thread => Dispatcher::for_threads(),
            Dispatch::Poll => Dispatcher::for_poll(),
        };
        Self(Arc::new(Inner {
            handle: network.handle().clone(),
            dispatcher: Arc::new(dispatcher.unwrap()),
            threads: Mutex::default(),
        }))
    }

    /// The runtime of clients that name none: one for the process, of the kind [`Dispatch::Thread`], made on
    /// first use and ended with its last client.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NoResources`] if the system gives no thread or no descriptor.
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
    /// [`ErrorKind::InvalidState`] if the runtime runs callbacks by itself, another thread polls it, or
    /// it has been given up; [`ErrorKind::WouldDeadlock`] inside a callback.
    pub fn poll(&self, timeout: Duration) -> Result<usize, Error> {
        self.0.dispatcher.poll(timeout)
    }

    /// A descriptor that is readable while [`Runtime::poll`] has callbacks to run. `None` if the
    /// runtime runs callbacks by itself.
    pub fn fd(&self) -> Option<RawFd> {
        self.0.dispatcher.fd()
    }

    /// Gives a poll runtime up: a poll in progress ends soon, and there is none after it.
    ///
    /// Outside callbacks, waits for that poll and runs what is still owed to clients that were
    /// destroyed in callbacks, and the handlers of registrations that have ended. Inside, that runs at
    /// the end of the poll, or on the network thread, which drops such handlers; so it does for clients
    /// that are destroyed in callbacks later, and for registrations that end later.
    ///
    /// On either kind, if this is the last clone and there is no client any more, waits for the
    /// threads to end, except inside a callback. Dropping a runtime waits for nothing.
    pub fn finish(self) {
        self.0.dispatcher.give_up();
        if let Some(inner) = Arc::into_inner(self.0)
            && !in_callback()
        {
            inner.join();
        }
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

    /// Ends the threads, and waits for it.
    fn join(&self) {
        self.dispatcher.close();
        let threads =
            std::mem::take(&mut *self.threads.lock().unwrap_or_else(PoisonError::into_inner));
        for thread in threads {
            // A panic of the thread has been logged where it happened.
            let _ = thread.join();
        }
    }
}

impl Drop for Inner {
    /// Lets the threads end, and does not wait: the last reference goes wherever a client or a
    /// registration ends, and a thread may be in a callback that has nothing to do with that.
    fn drop(&mut self) {
        self.dispatcher.close();
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
