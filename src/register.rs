//! Registration at work: a device that knows only its product's secret gets its own.

use std::sync::mpsc::channel;
use std::time::Duration;

use crate::engine::dispatch::{as_callback, in_callback};
use crate::engine::registrar;
use crate::{Error, ErrorKind, Identity, Registration, RegistrationHandler, Runtime, Stage};

impl Registration {
    /// Registers, and blocks until the platform has answered, for at most `timeout`. Storing is not
    /// counted, nor is the goodbye to the platform after it, which takes 2 s at most.
    ///
    /// `store` is a callback: it gets the identity first, on this thread, and says whether it has put
    /// it where it survives a loss of power; only then does the library leave the platform. A device
    /// that loses power before that may register again, because it has never connected. Storing that
    /// takes longer than 15 s loses the connection and nothing else: the identity stays good.
    ///
    /// Connects once: nothing is tried again, because from CONNECT on the platform may have carried
    /// the registration out.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::RegistrationRefused`] and [`ErrorKind::ServerUnavailable`] from CONNACK;
    /// [`ErrorKind::RegistrationUnanswered`] if the platform closed the connection or let the time
    /// pass after CONNECT; [`ErrorKind::RegistrationMalformed`];
    /// [`ErrorKind::RegistrationNotStored`] if `store` says so; [`ErrorKind::Protocol`] if the peer
    /// sent what has no place in a registration; [`ErrorKind::Timeout`] if the device's connects of
    /// this minute are used up, or if too many connections to the same host were being opened for as
    /// long as `timeout`; [`ErrorKind::WouldDeadlock`] inside a callback;
    /// [`ErrorKind::InvalidArgument`] if the default client id is too long;
    /// [`ErrorKind::NoResources`] if the system has no thread, descriptor or random bytes left; and
    /// those of connecting.
    pub fn run(
        &self,
        timeout: Duration,
        store: impl FnOnce(&Identity) -> bool,
    ) -> Result<Identity, Error> {
        if !cfg!(feature = "registration") {
            return Err(Error::left_out("registration"));
        }
        if in_callback() {
            let text = "this call blocks and would hold up the callback it was made from";
            return Err(Error::new(ErrorKind::WouldDeadlock, Stage::State, text));
        }
        let runtime = Runtime::shared()?;
        let (sender, receiver) = channel();
        let ended = registrar::begin(self.clone(), &runtime, timeout, move |outcome| {
            // Nobody listens any more only if this thread was unwound.
            let _ = sender.send(outcome);
        });
        let outcome = receiver.recv().unwrap_or_else(|_| {
            let text = "the registration ended without a result";
            Err(Error::new(ErrorKind::Internal, Stage::Library, text))
        })?;
        let identity = outcome.identity.clone();
        let stored = as_callback(|| store(&identity));
        outcome.conclude(stored);
        // Until the goodbye is said: the process may end as soon as this returns.
        let _ = ended.recv();
        if stored {
            return Ok(identity);
        }
        let text = "the device is registered and its identity was not stored: it may register \
                    again until it first connects";
        let kind = ErrorKind::RegistrationNotStored;
        Err(Error::new(kind, Stage::Storage, text))
    }

    /// Registers on `runtime` and returns at once. `make` is called only on success; its handler is
    /// called exactly once, where callbacks run, with the identity to store or with an error as of
    /// [`Registration::run`]. It says whether it has stored the identity.
    ///
    /// On a poll runtime, [`Runtime::finish`] calls it, outside callbacks, if the registration has
    /// ended by then; that of one that ends later is dropped without a call.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidArgument`] if the default client id is too long.
    pub fn start(
        &self,
        runtime: &Runtime,
        timeout: Duration,
        make: impl FnOnce() -> RegistrationHandler,
    ) -> Result<(), Error> {
        if !cfg!(feature = "registration") {
            return Err(Error::left_out("registration"));
        }
        self.credentials(0)?;
        registrar::begin_with_handler(self.clone(), runtime, timeout, make());
        Ok(())
    }
}
