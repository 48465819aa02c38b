//! Every order in which the threads of a client can meet, tried by loom on the code itself: the hub,
//! its mailbox, the dispatcher and the driver. A lost wake-up is a thread that waits for ever, which
//! loom reports as a deadlock; completions and releases are counted.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Wake, Waker};
use std::time::Duration;

use loom::sync::{Condvar, Mutex};
use loom::thread;

use super::dispatch::run_callback;
use super::driver::Driver;
use super::goal::Goal;
use super::hub::Hub;
use super::mailbox::{CompletionHandler, Handlers};
use super::runtime::Runtime;
use crate::{Config, Dispatch, Endpoint, Identity, Qos};

const LONG: Duration = Duration::from_secs(3600);

/// All orders with at most so many switches from a thread that could have gone on.
fn model(body: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(2);
    builder.check(body);
}

/// Wakes a thread of the model.
#[derive(Default)]
struct Bell {
    rung: Mutex<bool>,
    changed: Condvar,
    is_broken: bool,
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        if !self.is_broken {
            *self.rung.lock().unwrap() = true;
            self.changed.notify_one();
        }
    }
}

fn block_on(future: impl Future<Output = ()>, is_broken: bool) {
    let bell = Arc::new(Bell {
        is_broken,
        ..Bell::default()
    });
    let waker = Waker::from(Arc::clone(&bell));
    let mut future = pin!(future);
    while future
        .as_mut()
        .poll(&mut Context::from_waker(&waker))
        .is_pending()
    {
        let mut rung = bell.rung.lock().unwrap();
        while !std::mem::take(&mut *rung) {
            rung = bell.changed.wait(rung).unwrap();
        }
    }
}

/// What the application has seen.
#[derive(Default)]
struct Seen {
    completions: AtomicUsize,
    releases: AtomicUsize,
}

impl Seen {
    fn counts(&self) -> (usize, usize) {
        let load = |count: &AtomicUsize| count.load(Ordering::Relaxed);
        (load(&self.completions), load(&self.releases))
    }
}

struct Release(Arc<Seen>);

impl Drop for Release {
    fn drop(&mut self) {
        self.0.releases.fetch_add(1, Ordering::Relaxed);
    }
}

/// A client at rest whose completions are counted.
fn client() -> (Arc<Hub>, Runtime, Arc<Seen>) {
    client_of(Dispatch::Thread)
}

fn client_of(dispatch: Dispatch) -> (Arc<Hub>, Runtime, Arc<Seen>) {
    let identity = Identity::with_secret("pk", "device", "secret").unwrap();
    let endpoint = Endpoint::host("localhost", 1).unwrap();
    let mut config = Config::new(&identity, &endpoint).unwrap();
    config.use_private_profile();
    let runtime = Runtime::without_threads(dispatch);
    let hub = Arc::new(Hub::new(config, runtime.clone()));
    let seen = Arc::<Seen>::default();
    let release = Release(Arc::clone(&seen));
    let on_completion: CompletionHandler = Box::new(move |_| {
        release.0.completions.fetch_add(1, Ordering::Relaxed);
    });
    hub.mailbox.change_handlers(|handlers| {
        handlers.completion = Some(Arc::new(Mutex::new(on_completion)));
        Handlers::default()
    });
    hub.schedule(false);
    (hub, runtime, seen)
}

fn publish(hub: &Arc<Hub>) {
    hub.call(|device, _| device.publish("t", b"x", Qos::AtLeastOnce, true, None))
        .unwrap();
}

/// A thread of the runtime: it drives a network that has nothing to do, and runs callbacks.
fn callbacks(runtime: &Runtime) -> thread::JoinHandle<()> {
    let runtime = runtime.clone();
    thread::spawn(move || {
        let dispatcher = runtime.dispatcher();
        dispatcher.run_thread(|| block_on(poll_fn(|cx| dispatcher.poll_leave(cx)), false));
    })
}

fn a_sleeping_driver_hears_of_the_end(bell_is_broken: bool) {
    model(move || {
        let (hub, _runtime, seen) = client();
        let driver = Driver::new(Arc::clone(&hub));
        let driver = thread::spawn(move || block_on(driver, bell_is_broken));
        publish(&hub);
        hub.destroy();
        assert_eq!(seen.counts(), (1, 1));
        driver.join().unwrap();
        assert_eq!(seen.counts(), (1, 1));
    });
}

#[test]
fn a_driver_that_sleeps_hears_of_every_call() {
    a_sleeping_driver_hears_of_the_end(false);
}

#[test]
#[should_panic(expected = "deadlock")]
fn planted_a_waker_that_wakes_nobody_is_found() {
    a_sleeping_driver_hears_of_the_end(true);
}

#[test]
fn callbacks_that_are_ready_run_once_and_none_after_destroy() {
    model(|| {
        let (hub, runtime, seen) = client();
        let thread = callbacks(&runtime);
        publish(&hub);
        hub.destroy();
        assert_eq!(seen.counts(), (1, 1));
        runtime.dispatcher().close();
        thread.join().unwrap();
        assert_eq!(seen.counts(), (1, 1));
    });
}

#[test]
fn the_threads_of_a_runtime_hear_of_what_is_ready() {
    for count in [1, 2] {
        model(move || {
            let (hub, runtime, seen) = client();
            let threads: Vec<_> = (0..count).map(|_| callbacks(&runtime)).collect();
            publish(&hub);
            hub.crash("as if"); // completes what was accepted, on those threads alone
            runtime.dispatcher().close();
            for thread in threads {
                thread.join().unwrap();
            }
            assert_eq!(seen.counts().0, 1);
        });
    }
}

#[test]
fn two_threads_may_destroy_a_client_and_complete_its_messages_once() {
    model(|| {
        let (hub, _runtime, seen) = client();
        publish(&hub);
        let other = Arc::clone(&hub);
        let other = thread::spawn(move || other.destroy());
        hub.destroy();
        other.join().unwrap();
        assert_eq!(seen.counts(), (1, 1));
    });
}

/// Nobody tells: loom reports it if this goes on for ever.
fn until_settled(seen: &Seen) {
    while seen.counts() != (1, 1) {
        thread::yield_now();
    }
}

/// The network thread, which rests, and a poll that goes on for ever.
#[test]
fn a_poll_runtime_that_is_given_up_in_a_callback_owes_nothing_in_the_end() {
    for polls in [false, true] {
        model(move || {
            let (hub, runtime, seen) = client_of(Dispatch::Poll);
            let network = callbacks(&runtime);
            let poller = polls.then(|| {
                let runtime = runtime.clone();
                thread::spawn(move || while runtime.poll(LONG).is_ok() {})
            });
            publish(&hub);
            run_callback(|| {
                hub.destroy();
                runtime.clone().finish();
            });
            if let Some(poller) = poller {
                poller.join().unwrap();
            }
            until_settled(&seen);
            runtime.dispatcher().close();
            network.join().unwrap();
            assert_eq!(seen.counts(), (1, 1));
        });
    }
}

/// Destroyed after the runtime was given up, where there is nothing else to make anyone look.
#[test]
fn a_client_of_a_poll_runtime_that_was_given_up_ends_in_a_callback() {
    model(|| {
        let (hub, runtime, seen) = client_of(Dispatch::Poll);
        let network = callbacks(&runtime);
        publish(&hub);
        runtime.clone().finish();
        run_callback(|| hub.destroy());
        until_settled(&seen);
        runtime.dispatcher().close();
        network.join().unwrap();
        assert_eq!(seen.counts(), (1, 1));
    });
}

/// What one thread has found to deliver may reach the dispatcher after another has destroyed the
/// client. There it would keep the client, and the client the dispatcher.
#[test]
fn a_client_of_a_poll_runtime_that_was_given_up_is_kept_by_nobody() {
    model(|| {
        let (hub, runtime, seen) = client_of(Dispatch::Poll);
        let network = callbacks(&runtime);
        assert!(runtime.poll(LONG).is_ok());
        publish(&hub);
        runtime.clone().finish();
        let other = Arc::clone(&hub);
        let other = thread::spawn(move || other.crash("as if")); // completes what was accepted
        hub.destroy();
        other.join().unwrap();
        while Arc::strong_count(&hub) > 1 {
            thread::yield_now();
        }
        assert_eq!(seen.counts(), (1, 1));
        runtime.dispatcher().close();
        network.join().unwrap();
    });
}

#[test]
fn a_thread_that_waits_hears_of_the_end() {
    model(|| {
        let (hub, _runtime, _) = client();
        publish(&hub);
        let mark = hub.lock().device.mark();
        let other = Arc::clone(&hub);
        let other = thread::spawn(move || other.destroy());
        assert!(hub.wait(LONG, Goal::Flushed(mark)).is_err());
        other.join().unwrap();
    });
}

#[test]
#[should_panic(expected = "completed twice")]
fn planted_a_completion_that_is_taken_without_the_lock_is_found() {
    model(|| {
        let seen = Arc::<Seen>::default();
        let owed = Arc::new(loom::sync::atomic::AtomicBool::new(true));
        let complete = {
            let seen = Arc::clone(&seen);
            move || {
                if owed.load(Ordering::SeqCst) {
                    owed.store(false, Ordering::SeqCst);
                    seen.completions.fetch_add(1, Ordering::Relaxed);
                }
            }
        };
        let other = thread::spawn(complete.clone());
        complete();
        other.join().unwrap();
        assert_eq!(seen.counts().0, 1, "completed twice");
    });
}
