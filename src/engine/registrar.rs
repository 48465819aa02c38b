//! One registration: connect once, ask, hear the answer, and say goodbye once it has been stored.
//!
//! Nothing is tried again here: from CONNECT on, the platform may have carried the registration out.

use std::future::poll_fn;
use std::io::IoSlice;
use std::pin::pin;
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;
use std::time::Duration;

use bytes::BytesMut;
use tokio::sync::oneshot;
use tokio::time::{sleep, sleep_until, timeout, timeout_at};
use zeroize::{Zeroize, Zeroizing};

use super::dial::{Target, dial};
use super::dispatch::{Work, run_callback};
use super::link::Link;
use super::runtime::Runtime;
use super::{budgets, clock};
use crate::log::{Level, log};
use crate::proto::codec::{self, MAX_FIXED_HEADER, Packet};
use crate::{Error, ErrorKind, Identity, Profile, Registration, Stage};

/// How long the application may take to store. The platform closes the connection then.
const STORING: Duration = Duration::from_secs(15);

/// How long saying goodbye may take.
const GOODBYE: Duration = Duration::from_secs(2);

/// An identity that the platform has given, and the connection that waits for it to be stored.
pub(crate) struct Offer {
    pub(crate) identity: Identity,
    stored: oneshot::Sender<bool>,
}

impl Offer {
    /// Tells whether the identity has been stored: then the platform is left in good order.
    pub(crate) fn conclude(self, stored: bool) {
        let _ = self.stored.send(stored);
    }
}

/// Hears how a registration ended: with an identity to be stored, in which case it says whether
/// that succeeded, or with an error.
pub type RegistrationHandler = Box<dyn FnOnce(Result<&Identity, Error>) -> bool + Send>;

/// Begins to register on `runtime`. `deliver` is called once, on the network thread. The receiver
/// gets nothing and ends with the registration.
pub(crate) fn begin(
    registration: Registration,
    runtime: &Runtime,
    timeout: Duration,
    deliver: impl FnOnce(Result<Offer, Error>) + Send + 'static,
) -> Receiver<()> {
    let deadline = clock::now().saturating_add(timeout);
    let (running, ended) = channel();
    let kept = runtime.clone();
    runtime.spawn(async move {
        match ask(&registration, deadline).await {
            Err(error) => deliver(Err(error)),
            Ok((identity, conversation)) => {
                let (stored, answer) = oneshot::channel();
                deliver(Ok(Offer { identity, stored }));
                if let Ok(Ok(true)) = tokio::time::timeout(STORING, answer).await {
                    conversation.finish().await;
                }
            }
        }
        drop(running);
        drop(kept);
    });
    ended
}

/// As [`begin`], for an application that is called back where its other callbacks run.
pub(crate) fn begin_with_handler(
    registration: Registration,
    runtime: &Runtime,
    timeout: Duration,
    handler: RegistrationHandler,
) {
    let callback_side = runtime.clone();
    drop(begin(registration, runtime, timeout, move |outcome| {
        let ending = Ending(Mutex::new(Some((handler, outcome))));
        callback_side.dispatcher().schedule(Arc::new(ending), false);
    }));
}

/// A handler that is to be called, and with what.
struct Ending(Mutex<Option<(RegistrationHandler, Result<Offer, Error>)>>);

impl Work for Ending {
    fn run(self: Arc<Self>) -> usize {
        let ending = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some((handler, outcome)) = ending else {
            return 0;
        };
        run_callback(|| match outcome {
            Ok(offer) => {
                let stored = handler(Ok(&offer.identity));
                offer.conclude(stored);
            }
            Err(error) => drop(handler(Err(error))),
        });
        1
    }

    /// What a poll runtime owes when it is given up: the platform gives a secret only once.
    fn is_ended(&self) -> bool {
        true
    }

    /// A handler that stores would hold up the network; the device may register again.
    fn settle(self: Arc<Self>) -> usize {
        let ending = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        run_callback(|| drop(ending));
        1
    }
}

/// Connects once and asks. Answers with the identity and the connection that it came on.
async fn ask(
    registration: &Registration,
    deadline: Duration,
) -> Result<(Identity, Conversation), Error> {
    let target = Target::new(registration.host_name()?, registration.endpoint());
    let random = clock::nonce().ok_or_else(|| {
        let text = "the system has no random bytes to give";
        Error::new(ErrorKind::NoResources, Stage::Library, text)
    })?;
    let credentials = registration.credentials(random)?;
    let mut connect = BytesMut::new();
    codec::encode_connect(&mut connect, &credentials, KEEP_ALIVE_S, true)
        .map_err(|_| Error::argument("credentials", "exceed 65535 bytes"))?;
    let mut attempt = Attempt::begin(registration, deadline).await?;
    let result = converse(registration, &target, connect, &mut attempt, deadline).await;
    if !attempt.has_dialled {
        // Nothing reached the platform (docs/design.md, section 9.2).
        budgets::lock(&attempt.budget).refund(attempt.taken_at);
    }
    result
}

/// The platform does not look at it.
const KEEP_ALIVE_S: u16 = 60;

/// What the registration has taken out of its budget.
struct Attempt {
    budget: budgets::Shared,
    taken_at: Duration,
    has_dialled: bool,
}

impl Attempt {
    /// Waits until the device may connect.
    async fn begin(registration: &Registration, deadline: Duration) -> Result<Self, Error> {
        let budget = budgets::of(
            registration.budget_key(),
            registration.connects_per_minute(),
        );
        loop {
            let now = clock::now();
            let taken = budgets::lock(&budget).take(now);
            let Err(free_at) = taken else {
                let taken_at = now;
                return Ok(Self {
                    budget,
                    taken_at,
                    has_dialled: false,
                });
            };
            let instant = clock::instant(free_at).filter(|_| free_at < deadline);
            let Some(instant) = instant else {
                let text = format!(
                    "the platform allows a device only so many connects in a minute: the next is in {} s",
                    (free_at.saturating_sub(now)).as_secs() + 1
                );
                return Err(Error::new(ErrorKind::Timeout, Stage::Session, text));
            };
            sleep_until(instant.into()).await;
        }
    }

    /// TCP begins: from now on the platform sees it, which is what the budget counts.
    fn dials(&mut self, now: Duration) {
        budgets::lock(&self.budget).postpone(self.taken_at, now);
        (self.taken_at, self.has_dialled) = (now, true);
    }
}

async fn converse(
    registration: &Registration,
    target: &Target,
    mut connect: BytesMut,
    attempt: &mut Attempt,
    deadline: Duration,
) -> Result<(Identity, Conversation), Error> {
    let link = reach(target, attempt, deadline).await?;
    let mut conversation = Conversation {
        link,
        inbound: BytesMut::new(),
        owed: None,
    };
    let mut accepted = false;
    let talk = async {
        let sent = conversation.send(&connect).await;
        connect.as_mut().zeroize();
        sent?;
        loop {
            let packet = conversation.receive().await?;
            match packet {
                Packet::ConnAck { code, .. } if !accepted => {
                    if let Some(refusal) = Registration::refusal(code) {
                        return Err(refusal);
                    }
                    accepted = true;
                }
                Packet::Publish(publish) if accepted => {
                    let answer = registration.answer(&publish);
                    if answer.is_none() {
                        log(
                            Level::Debug,
                            "register",
                            format_args!("a message on {:?} is not the answer", publish.topic()),
                        );
                    }
                    let id = publish.id();
                    if let Some(answer) = answer {
                        conversation.owed = id;
                        // Its memory is the buffer's, and holds the secret.
                        conversation.inbound = BytesMut::new();
                        publish.wipe();
                        return answer;
                    }
                    if let Some(id) = id {
                        conversation.acknowledge(id).await?;
                    }
                }
                _ => {
                    let text = "the peer sent what has no place in a registration";
                    return Err(Error::new(ErrorKind::Protocol, Stage::Mqtt, text));
                }
            }
        }
    };
    match within(deadline, talk).await {
        Some(Ok(identity)) => Ok((identity, conversation)),
        Some(Err(error)) => Err(unanswered_if_lost(error)),
        None => Err(unanswered(if accepted {
            "it let the device in and sent no answer in time"
        } else {
            "it did not answer CONNECT in time"
        })),
    }
}

/// Dials. Waiting for others to connect is not time that the peer takes: it counts against
/// `deadline` alone.
async fn reach(target: &Target, attempt: &mut Attempt, deadline: Duration) -> Result<Link, Error> {
    let due = |now: Duration| deadline.min(now.saturating_add(target.connect_timeout));
    let progress = Mutex::new((Stage::Resolve, due(clock::now())));
    let lock = || progress.lock().unwrap_or_else(PoisonError::into_inner);
    let mut watch = |stage: Stage| {
        let now = clock::now();
        let mut progress = lock();
        if stage == Stage::Session {
            progress.1 = deadline;
        } else if progress.0 == Stage::Session {
            progress.1 = due(now);
        }
        if stage == Stage::Tcp {
            attempt.dials(now);
        }
        progress.0 = stage;
    };
    let mut dialling = pin!(dial(target, &mut watch));
    let mut alarm = pin!(sleep(Duration::ZERO));
    let link = poll_fn(|cx| {
        if let Poll::Ready(link) = dialling.as_mut().poll(cx) {
            return Poll::Ready(Some(link));
        }
        // Nothing but the poll changes it.
        match clock::instant(lock().1) {
            Some(instant) => {
                alarm.as_mut().reset(instant.into());
                alarm.as_mut().poll(cx).map(|()| None)
            }
            None => Poll::Pending,
        }
    });
    let link = link.await;
    let stage = lock().0;
    link.unwrap_or_else(|| {
        let (kind, text) = match stage {
            Stage::Session => (
                ErrorKind::Timeout,
                "too many connections to the same host were being opened: nothing was sent",
            ),
            _ => (
                ErrorKind::ConnectTimeout,
                "the registration was given up before the platform was reached: nothing was sent",
            ),
        };
        Err(Error::new(kind, stage, text))
    })
}

async fn within<T>(deadline: Duration, work: impl Future<Output = T>) -> Option<T> {
    match clock::instant(deadline) {
        Some(instant) => timeout_at(instant.into(), work).await.ok(),
        None => Some(work.await),
    }
}

/// A connection that ends after CONNECT says nothing about what the platform did.
fn unanswered_if_lost(error: Error) -> Error {
    match error.kind() {
        ErrorKind::ClosedByPeer | ErrorKind::Network => {
            unanswered(&error.to_string()).with_os_error(error.os_error())
        }
        _ => error,
    }
}

fn unanswered(what: &str) -> Error {
    let text = format!(
        "the platform has not answered the registration, which it may have carried out: {what}. A \
         device that has never connected may register again"
    );
    Error::new(ErrorKind::RegistrationUnanswered, Stage::Platform, text)
}

/// The connection of a registration.
struct Conversation {
    link: Link,
    inbound: BytesMut,
    /// The packet id of an answer that wants to be acknowledged.
    owed: Option<u16>,
}

impl Conversation {
    async fn send(&mut self, mut bytes: &[u8]) -> Result<(), Error> {
        let failed = |error: &std::io::Error| Link::error(error);
        while !bytes.is_empty() {
            let link = &mut self.link;
            let written = poll_fn(|cx| link.poll_write_vectored(cx, &[IoSlice::new(bytes)])).await;
            match written.map_err(|error| failed(&error))? {
                0 => return Err(Link::closed()),
                len => bytes = bytes.get(len..).unwrap_or_default(),
            }
        }
        let flushed = poll_fn(|cx| self.link.poll_flush(cx)).await;
        flushed.map_err(|error| failed(&error))
    }

    async fn acknowledge(&mut self, id: u16) -> Result<(), Error> {
        let mut bytes = BytesMut::new();
        codec::encode_puback(&mut bytes, id);
        self.send(&bytes).await
    }

    async fn receive(&mut self) -> Result<Packet, Error> {
        let max_len = Profile::platform().packet_len() + MAX_FIXED_HEADER;
        let malformed = |problem: codec::Malformed| {
            Error::new(ErrorKind::Protocol, Stage::Mqtt, problem.to_string())
        };
        loop {
            let frame = codec::split(&mut self.inbound, max_len).map_err(malformed)?;
            if let Some((frame, header_len)) = frame {
                return codec::decode(frame, header_len).map_err(malformed);
            }
            let mut read = Zeroizing::new([0; 2048]);
            let len = poll_fn(|cx| self.link.poll_read(cx, read.as_mut_slice())).await;
            match len.map_err(|error| Link::error(&error))? {
                0 => return Err(Link::closed()),
                len => self
                    .inbound
                    .extend_from_slice(read.get(..len).unwrap_or_default()),
            }
        }
    }

    /// Says goodbye. Whether it is heard changes nothing.
    async fn finish(mut self) {
        let goodbye = async {
            if let Some(id) = self.owed {
                self.acknowledge(id).await?;
            }
            let mut bytes = BytesMut::new();
            codec::encode_disconnect(&mut bytes);
            self.send(&bytes).await?;
            let closed = poll_fn(|cx| self.link.poll_shutdown(cx)).await;
            closed.map_err(|error| Link::error(&error))
        };
        let _ = timeout(GOODBYE, goodbye).await;
    }
}
