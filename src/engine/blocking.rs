//! Calls that may block for long, name lookups above all, each on a thread that does nothing else.
//!
//! Not on tokio's pool: that panics where the system refuses a thread, and a lookup that hangs
//! would hold up the end of the runtime. The threads inherit the signal mask of the network thread.
//! One that has read files waits a moment for more: clients connect in bursts, and a new thread takes
//! longer than the reading. One that has looked up a name ends, and its resolver with it.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use socket2::{Domain, Socket, Type};
use tokio::sync::{Semaphore, SemaphorePermit, oneshot, watch};

use super::dial::out_of_resources;
use crate::error::{Error, ErrorKind, Stage};

/// Threads at the same time, for ten thousand clients may ask at once.
static THREADS: Semaphore = Semaphore::const_new(8);

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

type Addresses = Result<Vec<SocketAddr>, Error>;

/// Lookups on their way, by host. What they found is not kept: each reconnect asks anew.
static LOOKUPS: Mutex<BTreeMap<String, watch::Receiver<Option<Addresses>>>> =
    Mutex::new(BTreeMap::new());

/// Runs `work` on a thread of its own.
///
/// # Errors
///
/// `NoResources` if the system refuses the thread, `Internal` if `work` panics.
pub(super) async fn run<T: Send + 'static>(
    stage: Stage,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Error> {
    let permit = permit(stage).await?;
    let (sender, receiver) = oneshot::channel();
    hand_over(stage, move || {
        // Nobody listens any more if the dial was given up.
        let _ = sender.send(work());
        drop(permit);
    })?;
    receiver.await.map_err(|_| no_answer(stage))
}

/// The addresses of `host`, at least one, with port 0.
///
/// All who ask for one host at the same time share one lookup. It goes on when they have given up,
/// so that a name server that does not answer costs one thread, however often it is asked.
///
/// # Errors
///
/// `Dns` with the system's reason, and the errors of [`run`].
pub(super) async fn lookup(host: &str) -> Addresses {
    loop {
        let (sender, mut receiver) = join(host);
        let begun_here = sender.is_some();
        if let Some(sender) = sender {
            begin_lookup(host, sender).await?;
        }
        let found = receiver.wait_for(Option::is_some).await;
        match found.ok().and_then(|addresses| addresses.clone()) {
            Some(addresses) => return addresses,
            None if begun_here => return Err(no_answer(Stage::Resolve)),
            // Whoever had begun it gave up or failed before there was a thread.
            None => (),
        }
    }
}

async fn begin_lookup(host: &str, sender: watch::Sender<Option<Addresses>>) -> Result<(), Error> {
    let permit = permit(Stage::Resolve).await?;
    let host = host.to_owned();
    spawn(Stage::Resolve, move || {
        let addresses = ask_system(&host);
        forget(&host);
        let _ = sender.send(Some(addresses));
        drop(permit);
    })
}

/// Joins the lookup that is on its way, or begins one: then there is a sender to do it with.
fn join(
    host: &str,
) -> (
    Option<watch::Sender<Option<Addresses>>>,
    watch::Receiver<Option<Addresses>>,
) {
    let mut lookups = LOOKUPS.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(receiver) = lookups.get(host) {
        // An error means that nobody is at it any more.
        if receiver.has_changed().is_ok() {
            return (None, receiver.clone());
        }
    }
    let (sender, receiver) = watch::channel(None);
    lookups.insert(host.to_owned(), receiver.clone());
    (Some(sender), receiver)
}

fn forget(host: &str) {
    LOOKUPS
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .remove(host);
}

fn ask_system(host: &str) -> Addresses {
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

async fn permit(stage: Stage) -> Result<SemaphorePermit<'static>, Error> {
    // Nothing closes the semaphore.
    THREADS.acquire().await.map_err(|_| no_answer(stage))
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
    use super::*;
    use crate::engine::testing;

    #[test]
    fn work_runs_on_another_thread() {
        testing::run(async {
            let other = run(Stage::Tls, || thread::current().id()).await.unwrap();
            assert_ne!(other, thread::current().id());
        });
    }

    #[test]
    fn work_that_panics_is_an_error() {
        testing::run(async {
            let error: Error = run(Stage::Tls, || panic!("on purpose")).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Internal);
        });
    }

    #[test]
    fn a_thread_that_waits_does_the_next_work() {
        testing::run(async {
            let work = || run(Stage::Tls, || thread::current().id());
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
            let work = |number: u32| run(Stage::Tls, move || number);
            let tasks: Vec<_> = (0..50).map(|number| tokio::spawn(work(number))).collect();
            for (number, task) in (0..50).zip(tasks) {
                assert_eq!(task.await.unwrap(), Ok(number));
            }
        });
    }

    #[test]
    fn those_who_ask_for_one_host_share_one_lookup() {
        let host = "shared.invalid";
        let (first, _receiver) = join(host);
        let (second, mut receiver) = join(host);
        assert!(first.is_some() && second.is_none());
        let found = Ok(vec![SocketAddr::from(([192, 0, 2, 1], 0))]);
        first.unwrap().send(Some(found.clone())).unwrap();
        testing::run(async {
            let value = receiver.wait_for(Option::is_some).await.unwrap().clone();
            assert_eq!(value, Some(found));
        });
        forget(host);
        assert!(join(host).0.is_some());
    }

    #[test]
    fn a_lookup_given_up_before_it_had_a_thread_is_begun_anew_by_those_who_wait() {
        testing::run(async {
            // In upper case, so that no other test asks for the same host.
            let host = "LOCALHOST";
            let (first, _receiver) = join(host);
            let waiting = tokio::spawn(lookup(host));
            tokio::task::yield_now().await;
            drop(first);
            assert!(!waiting.await.unwrap().unwrap().is_empty());
        });
    }

    #[test]
    fn a_lookup_leaves_nothing_behind() {
        testing::run(async {
            let host = "Localhost";
            let found = lookup(host).await.unwrap();
            assert!(found.iter().all(|address| address.ip().is_loopback()));
            assert!(!LOOKUPS.lock().unwrap().contains_key(host));
        });
    }
}
