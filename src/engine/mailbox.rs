//! A client's mailbox: what is on its way to the application, in order, and its delivery.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use bytes::BytesMut;

use super::clock;
use super::dispatch::run_callback;
use super::sync::{AtomicBool, Condvar, Mutex, MutexGuard};
use crate::proto::codec::Publish;
use crate::proto::device::Output;
use crate::proto::event::{Completion, Event, EventKind};
use crate::proto::inbox::Inbox;
use crate::proto::qos::Qos;
use crate::proto::queue::give_back;
use crate::proto::spares::LARGE;

/// A received message, on loan to a callback.
#[derive(Clone, Copy, Debug)]
pub struct Message<'a> {
    /// Its topic.
    pub topic: &'a str,
    /// Its payload, which may be empty.
    pub payload: &'a [u8],
    /// The quality of service it was delivered with.
    pub qos: Qos,
    /// It may have been delivered before.
    pub duplicate: bool,
    /// The broker had kept it (private platforms only).
    pub retained: bool,
}

/// Receives events.
pub type EventHandler = Box<dyn FnMut(&Event) + Send>;
/// Receives messages.
pub type MessageHandler = Box<dyn FnMut(&Message<'_>) + Send>;
/// Receives the ends of operations.
pub type CompletionHandler = Box<dyn FnMut(&Completion) + Send>;

/// A handler that routes and waiting messages share. Callbacks of one client come one at a time,
/// so the lock is never contended.
pub(crate) type Shared<T> = Arc<Mutex<T>>;

/// Callbacks that one client may run before it is another one's turn.
const TURN: usize = 256;

/// Acknowledgements that are handed over together.
const MAX_ACKS: usize = 64;

/// How long they may wait for each other.
const PATIENCE: Duration = Duration::from_millis(5);

/// Attempts to connect whose events may wait. A callback that does not return for days must not cost
/// memory for each of them.
const MAX_ATTEMPTS: usize = 500;

/// The handlers that are not bound to a subscription.
#[derive(Clone, Default)]
pub(crate) struct Handlers {
    pub(crate) event: Option<Shared<EventHandler>>,
    pub(crate) completion: Option<Shared<CompletionHandler>>,
    pub(crate) message: Option<Shared<MessageHandler>>,
}

pub(crate) type Outputs = VecDeque<Output<Shared<MessageHandler>>>;

/// See the module.
#[derive(Default)]
pub(crate) struct Mailbox {
    state: Mutex<State>,
    idle: Condvar,
    /// Only the last completions and releases are delivered any more. Written under the lock.
    ended: AtomicBool,
    /// Callbacks that have returned, as soon as they have; it wraps. One thread writes at a time, and
    /// nothing is ordered by it, so that models leave it out.
    returned: AtomicUsize,
}

#[derive(Default)]
struct State {
    queue: Outputs,
    handlers: Handlers,
    /// Handlers that were replaced, dropped where callbacks run.
    replaced: Vec<Handlers>,
    /// Attempts to connect that begin in `queue`.
    attempts: usize,
    /// Attempts whose events were forgotten, for the log.
    forgotten: usize,
    /// In the dispatcher's line.
    scheduled: bool,
    /// Being delivered.
    running: bool,
    /// Threads that wait until it is not.
    waiting: usize,
}

/// Whether an attempt to connect begins here.
fn begins_attempt(output: &Output<Shared<MessageHandler>>) -> bool {
    matches!(output, Output::Event(event) if event.kind == EventKind::Connecting)
}

impl State {
    /// Forgets the older half of the attempts where too many wait: whole ones, or the application would
    /// see an attempt that does not end. What comes once, or is counted, stays.
    fn forget_attempts(&mut self) {
        let excess = self.attempts / 2;
        let mut attempt = 0;
        self.queue.retain(|output| {
            attempt += usize::from(begins_attempt(output));
            let is_old = (1..=excess).contains(&attempt);
            !(is_old && matches!(output, Output::Event(event) if event.kind.is_of_an_attempt()))
        });
        self.attempts -= excess;
        self.forgotten += excess;
    }
}

/// What has been delivered, for the device.
#[derive(Default)]
pub(crate) struct Delivered {
    /// Attempts that the application has not heard of, nor will.
    pub(crate) forgotten: usize,
    pub(crate) callbacks: usize,
    pub(crate) completions: usize,
    pub(crate) bytes: usize,
    /// Connection and packet id of each QoS 1 message.
    pub(crate) acks: Vec<(u32, u16)>,
    /// Of large messages.
    pub(crate) memory: Vec<BytesMut>,
}

impl Delivered {
    /// Whether the device should hear of it before more callbacks run: a slow callback must not
    /// hold back the acknowledgements and the room of those before it, nor another client's.
    fn is_due(&self, started: Duration) -> bool {
        // Asking for the time takes as long as a brief callback, so those are asked about together.
        let looks =
            !self.acks.is_empty() || self.callbacks == 1 || self.callbacks.is_multiple_of(16);
        self.acks.len() >= MAX_ACKS || (looks && clock::now() > started + PATIENCE)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Mailbox {
    /// Takes all of `outputs`. Returns whether the client must be scheduled.
    pub(crate) fn push(&self, outputs: &mut Outputs) -> bool {
        let mut state = lock(&self.state);
        if self.is_ended() {
            // The driver still says goodbye; nobody listens to that any more.
            outputs.retain(|output| matches!(output, Output::Completion(_)));
        }
        state.attempts += outputs.iter().filter(|it| begins_attempt(it)).count();
        if state.queue.is_empty() {
            std::mem::swap(&mut state.queue, outputs);
        } else {
            state.queue.append(outputs);
        }
        if state.attempts > MAX_ATTEMPTS {
            state.forget_attempts();
        }
        !state.running && !state.queue.is_empty() && !std::mem::replace(&mut state.scheduled, true)
    }

    /// Changes the handlers; what they were is dropped where callbacks run. Returns whether the
    /// client must be scheduled.
    pub(crate) fn change_handlers(&self, change: impl FnOnce(&mut Handlers) -> Handlers) -> bool {
        let mut state = lock(&self.state);
        let replaced = change(&mut state.handlers);
        state.replaced.push(replaced);
        !state.running && !std::mem::replace(&mut state.scheduled, true)
    }

    /// Runs callbacks, at most one turn of them. `true`: the client must be scheduled again.
    ///
    /// `log` hears of each event, here where no lock is held.
    pub(crate) fn deliver(&self, log: &dyn Fn(&Event)) -> (Delivered, bool) {
        let mut delivered = Delivered::default();
        let mut state = lock(&self.state);
        state.scheduled = false;
        if state.running {
            return (delivered, false);
        }
        state.running = true;
        if self.is_ended() {
            return (delivered, self.finish(state));
        }
        let mut batch = std::mem::take(&mut state.queue);
        let mut attempts = std::mem::take(&mut state.attempts);
        delivered.forgotten = std::mem::take(&mut state.forgotten);
        let replaced = std::mem::take(&mut state.replaced);
        let handlers = state.handlers.clone();
        drop(state);
        drop_handlers(replaced);
        let started = clock::now();
        while delivered.callbacks < TURN
            && let Some(output) = batch.pop_front()
        {
            attempts -= usize::from(begins_attempt(&output));
            deliver_one(output, &handlers, log, &self.ended, &mut delivered);
            let returned = self.returned.load(Ordering::Relaxed).wrapping_add(1);
            self.returned.store(returned, Ordering::Relaxed);
            if self.is_ended() || delivered.is_due(started) {
                break;
            }
        }
        // The mailbox has them still; these are never the last.
        drop(handlers);
        let mut state = lock(&self.state);
        batch.append(&mut state.queue);
        // Most clients are idle now, and ten thousand hold nothing for it.
        give_back(&mut batch);
        state.queue = batch;
        state.attempts += attempts;
        if self.is_ended() {
            return (delivered, self.finish(state));
        }
        state.running = false;
        let again = !state.queue.is_empty() || !state.replaced.is_empty();
        state.scheduled |= again;
        self.let_wait_end(state);
        (delivered, again)
    }

    /// Whether only the last completions and releases are left.
    pub(crate) fn is_ended(&self) -> bool {
        self.ended.load(Ordering::Acquire)
    }

    /// How many callbacks have returned, for who waits for one of them to.
    pub(crate) fn returned(&self) -> usize {
        self.returned.load(Ordering::Relaxed)
    }

    /// Nothing but completions is delivered from now on. With `wait`, a callback that is running
    /// on another thread is waited for and the rest is delivered here; without, it is delivered
    /// where callbacks run. Returns whether the client must be scheduled.
    pub(crate) fn end(&self, wait: bool) -> bool {
        let mut state = lock(&self.state);
        self.ended.store(true, Ordering::Release);
        if !wait {
            return !state.running && !std::mem::replace(&mut state.scheduled, true);
        }
        while state.running {
            state.waiting += 1;
            state = self
                .idle
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
            state.waiting -= 1;
        }
        state.running = true;
        self.finish(state);
        false
    }

    /// Delivers the completions that remain and drops every handler. The caller has set `running`.
    fn finish(&self, mut state: MutexGuard<'_, State>) -> bool {
        let rest = std::mem::take(&mut state.queue);
        state.attempts = 0;
        let on_completion = state.handlers.completion.clone();
        drop(state);
        let mut handlers = Vec::new();
        for output in rest {
            match output {
                Output::Completion(completion) => complete(on_completion.as_ref(), &completion),
                Output::Release(handler) => handlers.push(handler),
                Output::Message {
                    handlers: shared, ..
                } => handlers.extend_from_slice(shared.as_slice()),
                Output::Event(_) => {}
            }
        }
        drop(on_completion);
        run_callback(|| drop(handlers));
        let mut state = lock(&self.state);
        let mut replaced = std::mem::take(&mut state.replaced);
        replaced.push(std::mem::take(&mut state.handlers));
        drop(state);
        drop_handlers(replaced);
        let mut state = lock(&self.state);
        state.running = false;
        // Late completions, if a callback of the last ones made any.
        let again = state
            .queue
            .iter()
            .any(|output| matches!(output, Output::Completion(_)));
        state.scheduled |= again;
        self.let_wait_end(state);
        again
    }

    /// Tells those who wait for a callback to end, if there are any: it is a system call.
    fn let_wait_end(&self, state: MutexGuard<'_, State>) {
        let has_waiting = state.waiting > 0;
        drop(state);
        if has_waiting {
            self.idle.notify_all();
        }
    }
}

fn deliver_one(
    output: Output<Shared<MessageHandler>>,
    to: &Handlers,
    log: &dyn Fn(&Event),
    ended: &AtomicBool,
    delivered: &mut Delivered,
) {
    delivered.callbacks += 1;
    match output {
        Output::Event(event) => {
            log(&event);
            if let Some(handler) = &to.event {
                run_callback(|| lock(handler)(&event));
            }
        }
        Output::Completion(completion) => {
            complete(to.completion.as_ref(), &completion);
            delivered.completions += 1;
        }
        Output::Message {
            handlers,
            publish,
            connection,
        } => {
            let handlers = match (handlers.as_slice(), &to.message) {
                ([], Some(unrouted)) => std::slice::from_ref(unrouted),
                (handlers, _) => handlers,
            };
            deliver_message(handlers, &publish, ended);
            delivered.bytes += Inbox::charge(publish.wire_len());
            let ack = publish.id().map(|id| (connection, id));
            delivered.acks.extend(ack);
            // Smaller ones may share their memory with others, which is more than it looks then.
            if publish.wire_len() >= 2 * LARGE {
                delivered.memory.push(publish.into_memory());
            }
        }
        Output::Release(handler) => run_callback(|| drop(handler)),
    }
}

fn deliver_message(handlers: &[Shared<MessageHandler>], publish: &Publish, ended: &AtomicBool) {
    let message = Message {
        topic: publish.topic(),
        payload: publish.payload(),
        qos: publish.qos(),
        duplicate: publish.duplicate(),
        retained: publish.retained(),
    };
    for handler in handlers {
        run_callback(|| lock(handler)(&message));
        // A callback that destroyed its client is the last one.
        if ended.load(Ordering::Acquire) {
            return;
        }
    }
}

fn complete(handler: Option<&Shared<CompletionHandler>>, completion: &Completion) {
    if let Some(handler) = handler {
        run_callback(|| lock(handler)(completion));
    }
}

/// Dropping a handler releases the application's data: that is a callback too.
fn drop_handlers(handlers: Vec<Handlers>) {
    if !handlers.is_empty() {
        run_callback(|| drop(handlers));
    }
}

#[cfg(all(test, not(feature = "loom")))]
mod tests {
    use super::*;
    use crate::proto::codec::{self, Packet};
    use crate::proto::qos::Qos;
    use crate::proto::routes;

    /// What is kept of a message of so many bytes.
    fn kept(len: usize) -> usize {
        let mut frame = BytesMut::new();
        codec::encode_publish(&mut frame, "t", &vec![0; len - 7], Qos::AtMostOnce);
        assert_eq!(frame.len(), len);
        let Ok(Packet::Publish(publish)) = codec::decode(frame.freeze(), 4) else {
            panic!("not a message");
        };
        let mailbox = Mailbox::default();
        mailbox.push(&mut Outputs::from([Output::Message {
            handlers: routes::Handlers::None,
            publish,
            connection: 1,
        }]));
        let (delivered, _) = mailbox.deliver(&|_| {});
        delivered.memory.iter().map(BytesMut::capacity).sum()
    }

    #[test]
    fn memory_that_a_message_may_share_is_not_kept() {
        assert_eq!(kept(2 * LARGE - 1), 0);
        assert!(kept(2 * LARGE) >= 2 * LARGE);
    }

    #[test]
    fn each_slow_callback_is_told_of_before_the_next_one_runs() {
        let mailbox = Mailbox::default();
        mailbox.change_handlers(|handlers| {
            let slow: EventHandler = Box::new(|_| std::thread::sleep(2 * PATIENCE));
            handlers.event = Some(Arc::new(Mutex::new(slow)));
            Handlers::default()
        });
        let event = || Output::Event(Box::new(Event::new(EventKind::Stopped)));
        mailbox.push(&mut Outputs::from([event(), event()]));
        for again in [true, false] {
            let (delivered, goes_on) = mailbox.deliver(&|_| {});
            assert_eq!((delivered.callbacks, goes_on), (1, again));
        }
    }

    #[test]
    fn a_callback_that_does_not_return_for_days_costs_no_memory_for_each_attempt() {
        use EventKind::{
            CertificateExpiresSoon, ConnectFailed, Connected, Connecting, Disconnected, Stopped,
            SubscriptionLost,
        };
        let mailbox = Mailbox::default();
        let most = Mutex::new(0);
        let told: Arc<Mutex<Vec<EventKind>>> = Arc::default();
        let seen = Arc::clone(&told);
        mailbox.change_handlers(|handlers| {
            let handler: EventHandler = Box::new(move |event| lock(&seen).push(event.kind));
            handlers.event = Some(Arc::new(Mutex::new(handler)));
            Handlers::default()
        });
        let push = |kind| {
            mailbox.push(&mut Outputs::from([Output::Event(Box::new(Event::new(
                kind,
            )))]));
            let waiting = lock(&mailbox.state).queue.len();
            let mut most = lock(&most);
            *most = waiting.max(*most);
        };
        // The end of an attempt whose begin has been told.
        push(ConnectFailed);
        push(CertificateExpiresSoon);
        [Connecting, Connected, SubscriptionLost, Disconnected]
            .into_iter()
            .for_each(push);
        let failed = [Connecting, ConnectFailed].into_iter();
        let ended = failed.chain([Connecting, Connected, Disconnected, Stopped]);
        let attempts = std::iter::repeat_n(ended, 5000).flatten();
        attempts.chain([Connecting, Connected]).for_each(push);
        assert!(*lock(&most) <= 5 * MAX_ATTEMPTS);
        let mut forgotten = 0;
        while !lock(&mailbox.state).queue.is_empty() {
            forgotten += mailbox.deliver(&|_| {}).0.forgotten;
        }
        assert_eq!(lock(&mailbox.state).attempts, 0);
        let told = lock(&told);
        let attempts = told.iter().filter(|kind| **kind == Connecting).count();
        assert!(attempts >= MAX_ATTEMPTS / 2, "the last ones are told");
        assert_eq!(attempts + forgotten, 10_002);
        let kept = [ConnectFailed, CertificateExpiresSoon, SubscriptionLost];
        assert_eq!(told[..3], kept);
        assert_eq!(told[told.len() - 2..], [Connecting, Connected]);
        for pair in told[3..].windows(2) {
            let goes_on = match pair[0] {
                Connecting => matches!(pair[1], ConnectFailed | Connected),
                Connected => pair[1] == Disconnected,
                Disconnected => pair[1] == Stopped,
                _ => pair[1] == Connecting,
            };
            assert!(goes_on, "{pair:?}");
        }
    }
}
