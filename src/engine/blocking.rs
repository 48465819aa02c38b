//! Calls that may block for long, name lookups above all, each on a thread that does nothing else.
//!
//! Not on tokio's pool: that panics where the system refuses a thread, and a lookup that hangs
//! would hold up the end of the runtime. The threads inherit the signal mask of the network thread.
//! One that has read files waits a moment for more: clients connect in bursts, and a new thread takes
//! longer than the reading. One that has looked up a name ends, and its resolver with it.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use socket2::{Domain, Socket, Type};
use tokio::sync::{Semaphore, watch};

use super::clock;
use super::dial::out_of_resources;
use super::tls::{self, Settings};
use crate::error::{Error, ErrorKind, Stage};
use crate::proto::trust::TlsOptions;

/// Lookups by host.
static LOOKUPS: Desk<String, Vec<SocketAddr>> = Desk::new(Stage::Resolve, 8, 2, false);

/// Readings of files by where the options are, which stay there meanwhile. Their threads are their
/// own: storage that hangs must not take name lookup away from those who read no file.
static READINGS: Desk<usize, Arc<Settings>> = Desk::new(Stage::Tls, 4, 1, true);

/// Work that takes longer may hang with a network that has gone: who comes then need not wait for
/// it.
const STALE: Duration = Duration::from_secs(5);

/// How long a thread waits for more work.
const LINGER: Duration = Duration::from_millis(250);

type Work = Box<dyn FnOnce() + Send>;

struct Pool {
    /// Work for threads that wait.
    work: VecDeque<Work>,
    waiting: usize,
}

static POOL: Mutex<Pool> = Mutex::new(Pool {
    work: VecDeque::new(),
    waiting: 0,
});
static HANDED_OVER: Condvar = Condvar::new();

/// The addresses of `host`, at least one, with port 0.
///
/// # Errors
///
/// `Dns` with the system's reason, and the errors of [`Desk::ask`].
pub(super) async fn lookup(host: &str) -> Result<Vec<SocketAddr>, Error> {
    let asked = host.to_owned();
    LOOKUPS
        .ask(&host.to_owned(), move || ask_system(&asked))
        .await
}

/// As [`tls::settings`], for options that name files.
///
/// # Errors
///
/// Those of [`tls::settings`] and [`Desk::ask`].
pub(super) async fn settings(options: &Arc<TlsOptions>) -> Result<Arc<Settings>, Error> {
    let key = Arc::as_ptr(options).addr();
    let options = Arc::clone(options);
    READINGS.ask(&key, move || tls::settings(&options)).await
}

type Outcome<T> = Option<Result<T, Error>>;

/// Where work of one kind is asked for.
///
/// All who ask for the same at the same time share one piece of work, or two, if the first has
/// become [`STALE`]. It goes on when they have
/// given up, so that what does not answer costs as many threads, however often it is asked. What came out
/// is not kept: each reconnect asks anew.
struct Desk<K: 'static, T: 'static> {
    stage: Stage,
    /// Threads at the same time, for ten thousand clients may ask at once.
    threads: Semaphore,
    /// Of them, for one key.
    most: usize,
    /// Whether threads wait for more work.
    lingers: bool,
    under_way: Mutex<UnderWay<K, T>>,
}

/// By key, the latest last.
type UnderWay<K, T> = BTreeMap<K, Vec<Begun<T>>>;

struct Begun<T> {
    at: Duration,
    outcome: watch::Receiver<Outcome<T>>,
}

/// One piece of work that is under way until this is dropped, whether it was done, panicked or never
/// had a thread.
struct Claim<K: Ord + 'static, T: 'static> {
    desk: &'static Desk<K, T>,
    key: K,
    sender: watch::Sender<Outcome<T>>,
}

impl<K: Ord, T> Claim<K, T> {
    /// Nobody joins work that is done: what comes out of it may be old by then.
    fn end(self, outcome: Result<T, Error>) {
        self.forget();
        let _ = self.sender.send(Some(outcome));
    }

    /// Forgets this one, and not what may have been begun since.
    fn forget(&self) {
        let mut under_way = self.desk.under_way();
        if let Some(begun) = under_way.get_mut(&self.key) {
            let own = self.sender.subscribe();
            begun.retain(|begun| !begun.outcome.same_channel(&own));
            if begun.is_empty() {
                under_way.remove(&self.key);
            }
        }
    }
}

impl<K: Ord, T> Drop for Claim<K, T> {
    fn drop(&mut self) {
        self.forget();
    }
}

impl<K, T> Desk<K, T> {
    fn under_way(&self) -> MutexGuard<'_, UnderWay<K, T>> {
        self.under_way
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Clone + Ord + Send, T: Clone + Send + Sync> Desk<K, T> {
    const fn new(stage: Stage, threads: usize, most: usize, lingers: bool) -> Self {
        Self {
            stage,
            threads: Semaphore::const_new(threads),
            most,
            lingers,
            under_way: Mutex::new(BTreeMap::new()),
        }
    }

    /// What comes out of the work that is under way for `key`, or of `work`, on another thread.
    ///
    /// # Errors
    ///
    /// Those of the work; `NoResources` if the system refuses the thread, `Internal` if `work` panics.
    async fn ask(
        &'static self,
        key: &K,
        work: impl Fn() -> Result<T, Error> + Clone + Send + 'static,
    ) -> Result<T, Error> {
        loop {
            let (claim, mut receiver) = self.join(key, clock::now());
            let begun_here = claim.is_some();
            if let Some(claim) = claim {
                self.begin(claim, work.clone()).await?;
            }
            let outcome = receiver.wait_for(Option::is_some).await;
            match outcome.ok().and_then(|outcome| outcome.clone()) {
                Some(outcome) => return outcome,
                None if begun_here => return Err(no_answer(self.stage)),
                // Whoever had begun it gave up or failed before there was a thread.
                None => (),
            }
        }
    }

    async fn begin(
        &'static self,
        claim: Claim<K, T>,
        work: impl Fn() -> Result<T, Error> + Send + 'static,
    ) -> Result<(), Error> {
        let permit = self.threads.acquire().await;
        // Nothing closes the semaphore.
        let permit = permit.map_err(|_| no_answer(self.stage))?;
        let work = move || {
            claim.end(work());
            drop(permit);
            // Not before: it holds what the key is the address of.
            drop(work);
        };
        if self.lingers {
            hand_over(self.stage, work)
        } else {
            spawn(self.stage, work)
        }
    }

    /// Joins what is under way, or begins it: then there is a claim to do it with.
    fn join(
        &'static self,
        key: &K,
        now: Duration,
    ) -> (Option<Claim<K, T>>, watch::Receiver<Outcome<T>>) {
        let mut under_way = self.under_way();
        let begun = under_way.entry(key.clone()).or_default();
        if let Some(latest) = begun.last()
            && (begun.len() >= self.most || now.saturating_sub(latest.at) < STALE)
        {
            return (None, latest.outcome.clone());
        }
        let (sender, outcome) = watch::channel(None);
        begun.push(Begun {
            at: now,
            outcome: outcome.clone(),
        });
        let claim = Claim {
            desk: self,
            key: key.clone(),
            sender,
        };
        (Some(claim), outcome)
    }
}

fn ask_system(host: &str) -> Result<Vec<SocketAddr>, Error> {
    let failed = |kind, reason: String| {
        let text = format!("cannot look up {host}: {reason}");
        Error::new(kind, Stage::Resolve, text)
    };
    let addresses: Vec<SocketAddr> = (host, 0)
        .to_socket_addrs()
        .map_err(|error| match shortage(&error) {
            Some(shortage) => failed(ErrorKind::NoResources, shortage.to_string())
                .with_os_error(shortage.raw_os_error()),
            None => failed(ErrorKind::Dns, error.to_string()).with_os_error(error.raw_os_error()),
        })?
        .collect();
    if addresses.is_empty() {
        return Err(failed(ErrorKind::Dns, "it has no address".to_owned()));
    }
    Ok(addresses)
}

/// The lack of descriptors or memory behind a failed lookup. The system's resolver does not tell:
/// without a descriptor it knows no name.
fn shortage(error: &io::Error) -> Option<io::Error> {
    if out_of_resources(error) {
        return error.raw_os_error().map(io::Error::from_raw_os_error);
    }
    let probe = Socket::new(Domain::IPV4, Type::DGRAM, None);
    probe.err().filter(out_of_resources)
}

/// Gives `work` to a thread that waits for some, or to a new one.
fn hand_over(stage: Stage, work: impl FnOnce() + Send + 'static) -> Result<(), Error> {
    let work = Box::new(work);
    let mut pool = pool();
    if pool.waiting > pool.work.len() {
        pool.work.push_back(work);
        drop(pool);
        HANDED_OVER.notify_one();
        return Ok(());
    }
    drop(pool);
    spawn(stage, move || serve(work))
}

fn spawn(stage: Stage, work: impl FnOnce() + Send + 'static) -> Result<(), Error> {
    thread::Builder::new()
        .name("aliot-blocking".to_owned())
        .stack_size(256 * 1024)
        .spawn(work)
        .map(drop)
        .map_err(|error| {
            Error::new(
                ErrorKind::NoResources,
                stage,
                format!("the system refuses a thread: {error}"),
            )
            .with_os_error(error.raw_os_error())
        })
}

/// The body of a thread. Work that panics ends it.
fn serve(first: Work) {
    let mut work = Some(first);
    while let Some(now) = work {
        now();
        let mut pool = pool();
        pool.waiting += 1;
        pool = HANDED_OVER
            .wait_timeout_while(pool, LINGER, |pool| pool.work.is_empty())
            .unwrap_or_else(PoisonError::into_inner)
            .0;
        pool.waiting -= 1;
        work = pool.work.pop_front();
    }
}

fn pool() -> MutexGuard<'static, Pool> {
    POOL.lock().unwrap_or_else(PoisonError::into_inner)
}

fn no_answer(stage: Stage) -> Error {
    Error::new(
        ErrorKind::Internal,
        stage,
        "a helper thread ended without an answer",
    )
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use tokio::time::timeout;

    use super::*;
    use crate::engine::testing;

    /// Another desk for each test: nobody else is at it.
    fn desk<T: Clone + Send + Sync>(threads: usize) -> &'static Desk<u32, T> {
        Box::leak(Box::new(Desk::new(Stage::Tls, threads, 2, true)))
    }

    #[test]
    fn work_runs_on_another_thread() {
        testing::run(async {
            let other = desk(1).ask(&0, || Ok(thread::current().id())).await;
            assert_ne!(other.unwrap(), thread::current().id());
        });
    }

    #[test]
    fn work_that_panics_is_an_error() {
        testing::run(async {
            let desk = desk::<()>(1);
            let error = desk.ask(&0, || panic!("on purpose")).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Internal);
            assert_eq!(desk.ask(&0, || Ok(())).await, Ok(()));
        });
    }

    #[test]
    fn a_thread_that_waits_does_the_next_work() {
        testing::run(async {
            let desk = desk(1);
            let work = || desk.ask(&0, || Ok(thread::current().id()));
            // Other tests take waiting threads away, and leave theirs behind: sooner or later one
            // is met again.
            let mut seen = vec![work().await.unwrap()];
            for _ in 0..1000 {
                tokio::task::yield_now().await;
                let id = work().await.unwrap();
                if seen.contains(&id) {
                    return;
                }
                seen.push(id);
            }
            panic!("{} threads for {} pieces of work", seen.len(), seen.len());
        });
    }

    #[test]
    fn more_work_than_threads_is_done_in_turn() {
        testing::run(async {
            let desk = desk(8);
            let work = |number: u32| async move { desk.ask(&number, move || Ok(number)).await };
            let tasks: Vec<_> = (0..50).map(|number| tokio::spawn(work(number))).collect();
            for (number, task) in (0..50).zip(tasks) {
                assert_eq!(task.await.unwrap(), Ok(number));
            }
        });
    }

    /// Attempts that have been given up, each of whose work hangs until the sender is dropped.
    async fn hang(
        desk: &'static Desk<usize, Arc<Settings>>,
        keys: impl Iterator<Item = usize>,
    ) -> mpsc::Sender<()> {
        let (release, hangs) = mpsc::channel::<()>();
        let hangs = Arc::new(Mutex::new(hangs));
        for key in keys {
            let hangs = Arc::clone(&hangs);
            let work = move || {
                let _ = hangs.lock().unwrap().recv();
                Err(no_answer(Stage::Tls))
            };
            let attempt = timeout(Duration::from_millis(1), desk.ask(&key, work)).await;
            assert!(attempt.is_err());
        }
        release
    }

    #[test]
    fn files_that_hang_take_no_lookup_away() {
        testing::run(async {
            // Keys that no options have, for no pointer is odd.
            let release = hang(&READINGS, (0..20).map(|number| 2 * number + 1)).await;
            assert!(!lookup("lOCALHOST").await.unwrap().is_empty());
            drop(release);
        });
    }

    #[test]
    fn a_file_that_hangs_costs_one_thread_however_often_it_is_asked_for() {
        testing::run(async {
            let desk = Box::leak(Box::new(Desk::new(Stage::Tls, 2, 1, true)));
            let release = hang(desk, std::iter::repeat_n(7, 20)).await;
            let other = desk
                .ask(&8, || Err(Error::argument("other", "is read")))
                .await;
            assert_eq!(other.unwrap_err().kind(), ErrorKind::InvalidArgument);
            drop(release);
        });
    }

    #[test]
    fn those_who_ask_for_the_same_share_the_work() {
        let desk = desk(1);
        let (first, _receiver) = desk.join(&0, Duration::ZERO);
        let (second, mut receiver) = desk.join(&0, STALE - Duration::from_nanos(1));
        assert!(first.is_some() && second.is_none());
        assert!(desk.join(&1, Duration::ZERO).0.is_some());
        let first = first.unwrap();
        first.sender.send(Some(Ok(5))).unwrap();
        testing::run(async {
            let value = receiver.wait_for(Option::is_some).await.unwrap().clone();
            assert_eq!(value, Some(Ok(5)));
        });
        drop(first);
        assert!(desk.join(&0, Duration::ZERO).0.is_some());
    }

    #[test]
    fn what_takes_long_is_overtaken_once_and_forgets_itself_alone() {
        let desk = desk::<u32>(1);
        let (slow, _outcome) = desk.join(&0, Duration::ZERO);
        let (quick, mut outcome) = desk.join(&0, STALE);
        let (slow, quick) = (slow.unwrap(), quick.unwrap());
        // Of two, nobody begins a third, however old they are, and all who come wait for the later.
        let (third, other) = desk.join(&0, STALE * 9);
        assert!(third.is_none() && other.same_channel(&outcome));
        slow.end(Ok(1));
        assert!(!outcome.has_changed().unwrap());
        assert!(desk.join(&0, STALE).1.same_channel(&outcome));
        quick.end(Ok(2));
        assert_eq!(*outcome.borrow_and_update(), Some(Ok(2)));
        assert!(desk.under_way().is_empty());
    }

    #[test]
    fn a_lookup_given_up_before_it_had_a_thread_is_begun_anew_by_those_who_wait() {
        testing::run(async {
            // In upper case, so that no other test asks for the same host.
            let host = "LOCALHOST";
            let (first, _receiver) = LOOKUPS.join(&host.to_owned(), clock::now());
            let waiting = tokio::spawn(lookup(host));
            tokio::task::yield_now().await;
            drop(first);
            assert!(!waiting.await.unwrap().unwrap().is_empty());
        });
    }

    /// The address of options names a reading, and the next ones may have the same.
    #[test]
    fn what_a_key_is_the_address_of_lives_as_long_as_the_work_can_be_joined() {
        struct Options(&'static Desk<u32, ()>, mpsc::Sender<bool>);
        impl Drop for Options {
            fn drop(&mut self) {
                let is_joined = self.0.join(&0, clock::now()).0.is_none();
                self.1.send(is_joined).unwrap();
            }
        }
        testing::run(async {
            let (told, heard) = mpsc::channel();
            let (release, held) = mpsc::channel::<()>();
            let held = Arc::new(Mutex::new(held));
            let desk = desk(1);
            let options = Arc::new(Options(desk, told));
            let work = move || {
                let _ = &options;
                let _ = held.lock().unwrap().recv();
                Ok(())
            };
            // Whoever asked has given up, so that the work has the last of the options.
            let asked = timeout(Duration::from_millis(1), desk.ask(&0, work)).await;
            assert!(asked.is_err());
            drop(release);
            assert!(!heard.recv_timeout(Duration::from_secs(60)).unwrap());
        });
    }

    #[test]
    fn an_attempt_that_never_had_a_thread_leaves_nothing_behind() {
        testing::run(async {
            let desk = Box::leak(Box::new(Desk::new(Stage::Tls, 1, 1, true)));
            let release = hang(desk, std::iter::once(0)).await;
            let asked = timeout(Duration::ZERO, desk.ask(&1, || Err(no_answer(Stage::Tls))));
            assert!(asked.await.is_err());
            assert_eq!(desk.under_way().keys().collect::<Vec<_>>(), [&0]);
            drop(release);
        });
    }

    #[test]
    fn a_lookup_leaves_nothing_behind() {
        testing::run(async {
            let host = "Localhost";
            let found = lookup(host).await.unwrap();
            assert!(found.iter().all(|address| address.ip().is_loopback()));
            assert!(!LOOKUPS.under_way().contains_key(host));
        });
    }
}
