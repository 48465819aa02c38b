//! What threads meet at. `make loom` puts the model checker's in its place: see `tests_models.rs`.

#[cfg(not(all(test, feature = "loom")))]
pub(crate) use super::alarm::Alarm;
#[cfg(not(all(test, feature = "loom")))]
pub(crate) use std::{
    sync::{Condvar, Mutex, MutexGuard, atomic::AtomicBool},
    thread, thread_local,
};

#[cfg(all(test, feature = "loom"))]
pub(crate) use self::modelled::{
    Alarm, AtomicBool, Condvar, Mutex, MutexGuard, thread, thread_local,
};

/// loom's, with the parts of std's interface that it lacks. No time passes in a model: a wait ends
/// because somebody ended it, or never, and loom reports that.
#[cfg(all(test, feature = "loom"))]
mod modelled {
    use std::sync::LockResult;
    use std::time::Duration;

    pub(crate) use loom::sync::atomic::AtomicBool;
    pub(crate) use loom::sync::{Mutex, MutexGuard};
    pub(crate) use loom::thread;

    #[derive(Debug, Default)]
    pub(crate) struct Condvar(loom::sync::Condvar);

    impl Condvar {
        pub(crate) fn new() -> Self {
            Self::default()
        }

        pub(crate) fn wait<'a, T>(
            &self,
            guard: MutexGuard<'a, T>,
        ) -> LockResult<MutexGuard<'a, T>> {
            self.0.wait(guard)
        }

        pub(crate) fn wait_timeout<'a, T>(
            &self,
            guard: MutexGuard<'a, T>,
            _: Duration,
        ) -> LockResult<(MutexGuard<'a, T>, ())> {
            Ok((self.0.wait(guard).unwrap(), ()))
        }

        pub(crate) fn wait_timeout_while<'a, T>(
            &self,
            mut guard: MutexGuard<'a, T>,
            _: Duration,
            mut condition: impl FnMut(&mut T) -> bool,
        ) -> LockResult<(MutexGuard<'a, T>, ())> {
            while condition(&mut guard) {
                guard = self.0.wait(guard).unwrap();
            }
            Ok((guard, ()))
        }

        pub(crate) fn notify_one(&self) {
            self.0.notify_one();
        }

        pub(crate) fn notify_all(&self) {
            self.0.notify_all();
        }
    }

    /// Time may pass at once: loom tries what happens if the thread that waits is woken before it is
    /// silenced, and after.
    #[derive(Debug, Default)]
    pub(crate) struct Alarm {
        rung: Mutex<(bool, bool)>,
        changed: Condvar,
    }

    impl Alarm {
        pub(crate) fn new() -> std::io::Result<Self> {
            Ok(Self::default())
        }

        pub(crate) fn wait(&self) {
            let mut rung = self.rung.lock().unwrap();
            while std::mem::take(&mut *rung) == (false, false) {
                rung = self.changed.wait(rung).unwrap();
            }
        }

        pub(crate) fn ring(&self) {
            self.rung.lock().unwrap().0 = true;
            self.changed.notify_one();
        }

        pub(crate) fn ring_after(&self, _: Duration) {
            self.rung.lock().unwrap().1 = true;
            self.changed.notify_one();
        }

        pub(crate) fn silence(&self) {
            self.rung.lock().unwrap().1 = false;
        }
    }

    /// Threads of a model share one thread of the system, and so would what std keeps for it.
    macro_rules! of_a_model {
        ($(static $name:ident: $kind:ty = const $init:block;)*) => {
            loom::thread_local! { $(static $name: $kind = $init;)* }
        };
    }
    pub(crate) use of_a_model as thread_local;
}
