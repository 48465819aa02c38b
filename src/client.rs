//! The client: one device, connected and kept so.

use std::sync::Arc;
use std::time::Duration;

use crate::engine::clock;
use crate::engine::driver::Driver;
use crate::engine::goal::Goal;
use crate::engine::hub::Hub;
use crate::engine::mailbox::{CompletionHandler, EventHandler, Handlers, MessageHandler};
use crate::engine::runtime::Runtime;
use crate::engine::sync::Mutex;
use crate::engine::tls;
use crate::proto::outbox::Encoded;
use crate::proto::spares::LARGE;
use crate::{Config, Error, ErrorKind, Qos, Stage, State, Token, TopicFilter};

/// Numbers that grow or show a level, for the application's own monitoring.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Counter {
    /// Connections that the platform accepted.
    Connects = 1,
    /// Messages accepted by [`Client::publish`].
    MessagesSent = 2,
    /// Messages that arrived.
    MessagesReceived = 3,
    /// Of those, the ones that matched no subscription.
    MessagesUnrouted = 4,
    /// Messages of QoS 0 that were dropped: callbacks too slow, newer ones that took their place
    /// ([`OutboxPolicy::DropOldest`](crate::OutboxPolicy::DropOldest)), or the client ended.
    MessagesDropped = 5,
    /// Operations accepted and not completed, now.
    OutboxOperations = 6,
    /// Bytes they are charged with, now.
    OutboxBytes = 7,
    /// Attempts to connect.
    Attempts = 8,
    /// Attempts that failed.
    ConnectFailures = 9,
    /// Connections that ended because the network or TLS broke them.
    LostToNetwork = 10,
    /// Connections that the peer closed.
    LostToPeer = 11,
    /// Connections that went silent: no PINGRESP, no acknowledgement, no byte taken.
    LostToSilence = 12,
    /// Connections on which the peer broke the protocol.
    LostToProtocol = 13,
    /// Connections that another one with this identity replaced.
    LostToTakeOver = 14,
    /// Connections closed because callbacks were too slow for QoS 1.
    LostToOverflow = 15,
    /// QoS 1 messages that the platform acknowledged.
    MessagesAcknowledged = 16,
    /// Bytes of MQTT that sockets took.
    BytesSent = 17,
    /// Bytes of MQTT that arrived in whole packets.
    BytesReceived = 18,
    /// Microseconds from the last PINGREQ to its PINGRESP; 0 before the first.
    PingRoundTripUs = 19,
    /// Bytes that wait for callbacks, now.
    InboxBytes = 20,
}

/// A device's connection to the platform.
///
/// Every method may be called from every thread and from every callback; those that block answer
/// [`ErrorKind::WouldDeadlock`] inside a callback. Dropping a client destroys it.
pub struct Client {
    hub: Arc<Hub>,
}

impl Client {
    /// A client at rest on the process's shared runtime. `config` is copied.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidArgument`] if the credentials cannot be made, [`ErrorKind::TlsConfig`]
    /// if the endpoint's CA is unusable, [`ErrorKind::NoResources`] without threads.
    pub fn new(config: &Config) -> Result<Self, Error> {
        Self::on_runtime(config, &Runtime::shared()?)
    }

    /// A client at rest on `runtime`, which it keeps alive.
    ///
    /// # Errors
    ///
    /// As [`Client::new`].
    pub fn on_runtime(config: &Config, runtime: &Runtime) -> Result<Self, Error> {
        config.endpoint().check()?;
        config.credentials()?;
        if !config.endpoint().is_plaintext() {
            tls::settings(config.endpoint().tls())?;
        }
        let hub = Arc::new(Hub::new(config.clone(), runtime.clone()));
        runtime.spawn(Driver::new(Arc::clone(&hub)));
        Ok(Self { hub })
    }

    fn change_handlers(&self, change: impl FnOnce(&mut Handlers) -> Handlers) -> Result<(), Error> {
        let mailbox = &self.hub.mailbox;
        // Under the client's lock, so that none is set on a client that is being destroyed.
        let schedule = self.hub.call(|device, _| {
            if device.state() != State::Stopped {
                let text = "callbacks can only be changed while the client is stopped";
                return Err(Error::new(ErrorKind::InvalidState, Stage::State, text));
            }
            Ok(mailbox.change_handlers(change))
        })?;
        if schedule {
            self.hub.schedule(false);
        }
        Ok(())
    }

    /// Sets who hears of the connection; `None` removes. `make` is called only on success. What
    /// was set before is dropped where callbacks run.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidState`] unless stopped, [`ErrorKind::Destroyed`].
    pub fn set_event_handler(
        &self,
        make: Option<impl FnOnce() -> EventHandler>,
    ) -> Result<(), Error> {
        self.change_handlers(|handlers| {
            let event = make.map(|make| Arc::new(Mutex::new(make())));
            Handlers {
                event: std::mem::replace(&mut handlers.event, event),
                ..Handlers::default()
            }
        })
    }

    /// Sets who hears of the end of operations; as [`Client::set_event_handler`].
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidState`] unless stopped, [`ErrorKind::Destroyed`].
    pub fn set_completion_handler(
        &self,
        make: Option<impl FnOnce() -> CompletionHandler>,
    ) -> Result<(), Error> {
        self.change_handlers(|handlers| {
            let completion = make.map(|make| Arc::new(Mutex::new(make())));
            Handlers {
                completion: std::mem::replace(&mut handlers.completion, completion),
                ..Handlers::default()
            }
        })
    }

    /// Sets who receives messages that match no subscription, such as what the platform pushes
    /// unasked; as [`Client::set_event_handler`].
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidState`] unless stopped, [`ErrorKind::Destroyed`].
    pub fn set_message_handler(
        &self,
        make: Option<impl FnOnce() -> MessageHandler>,
    ) -> Result<(), Error> {
        self.change_handlers(|handlers| {
            let message = make.map(|make| Arc::new(Mutex::new(make())));
            Handlers {
                message: std::mem::replace(&mut handlers.message, message),
                ..Handlers::default()
            }
        })
    }

    /// Connects, and stays connected until [`Client::stop`]. Returns at once.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidState`] unless stopped, [`ErrorKind::Destroyed`].
    pub fn start(&self) -> Result<(), Error> {
        self.hub.call(|device, now| device.start(now))
    }

    /// Takes nothing new, waits for what was accepted to complete and for the callbacks of QoS 1
    /// messages that had arrived to return, for `drain` at most, cancels what is left, says goodbye and
    /// comes to rest. So a message whose callback calls this is acknowledged. Returns at once; the event
    /// [`Stopped`](crate::EventKind::Stopped) is the end. Does nothing if stopped.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Destroyed`], [`ErrorKind::Internal`] after a defect.
    pub fn stop(&self, drain: Duration) -> Result<(), Error> {
        self.hub.call(|device, now| {
            device.stop(now.saturating_add(drain));
            Ok(())
        })
    }

    /// Ends the wait between two attempts, for an application that knows that the network is back.
    /// The platform's budget of connections still holds. Connected: asks the platform whether it is
    /// still there, for an application that knows that the device slept or the network changed; a
    /// dead link is then found after the ping timeout. Does nothing in other states.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Destroyed`], [`ErrorKind::Internal`] after a defect.
    pub fn retry_now(&self) -> Result<(), Error> {
        self.hub.call(|device, now| {
            device.retry_now(now);
            Ok(())
        })
    }

    /// Where the client stands.
    pub fn state(&self) -> State {
        self.hub.lock().device.state()
    }

    /// Blocks until connected.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Timeout`], [`ErrorKind::InvalidState`] if stopped or stopping, both caused by
    /// what the last attempt failed with or the last connection ended with;
    /// [`ErrorKind::Cancelled`] if destroyed meanwhile, [`ErrorKind::WouldDeadlock`].
    pub fn wait_connected(&self, timeout: Duration) -> Result<(), Error> {
        let waited = self.hub.wait(timeout, Goal::Connected);
        waited.map_err(|error| {
            let core = self.hub.lock();
            let cause = core.device.last_failure().cloned();
            let explains = matches!(error.kind(), ErrorKind::Timeout | ErrorKind::InvalidState);
            error.caused_by(cause.filter(|_| explains))
        })
    }

    /// Blocks until every operation accepted before this call has completed, or left for the
    /// network if it was a QoS 0 message.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Timeout`], [`ErrorKind::Cancelled`] if destroyed meanwhile,
    /// [`ErrorKind::WouldDeadlock`].
    pub fn wait_flushed(&self, timeout: Duration) -> Result<(), Error> {
        let mark = self.hub.lock().device.mark();
        self.hub.wait(timeout, Goal::Flushed(mark))
    }

    /// Blocks until at least half of the outbox is free, and of the room for completions that the
    /// application has not taken yet, for an application that publishes as fast as the network takes
    /// it: after [`ErrorKind::OutboxFull`], wait and publish again. With a runtime that is polled,
    /// poll first: nothing else takes completions.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Timeout`], [`ErrorKind::Cancelled`] if destroyed meanwhile,
    /// [`ErrorKind::WouldDeadlock`].
    pub fn wait_room(&self, timeout: Duration) -> Result<(), Error> {
        self.hub.wait(timeout, Goal::Room)
    }

    /// Blocks until stopped.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Timeout`], [`ErrorKind::Cancelled`] if destroyed meanwhile,
    /// [`ErrorKind::WouldDeadlock`].
    pub fn wait_stopped(&self, timeout: Duration) -> Result<(), Error> {
        self.hub.wait(timeout, Goal::Stopped)
    }

    /// Queues a message, connected or not; topic and payload are copied. A QoS 1 message is held
    /// until the platform has acknowledged it, and always completes. A QoS 0 message completes
    /// when the network has taken it, and only if `want_token` asked for that.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidArgument`] for a topic or a size that the profile does not allow,
    /// [`ErrorKind::OutboxFull`], [`ErrorKind::Closing`] while stopping, [`ErrorKind::Destroyed`].
    pub fn publish(
        &self,
        topic: &str,
        payload: &[u8],
        qos: Qos,
        want_token: bool,
    ) -> Result<Option<Token>, Error> {
        self.publish_until(topic, payload, qos, want_token, |_| None)
    }

    /// As [`Client::publish`] with QoS 1, for a message that is of no use later than `lifetime`
    /// from now. If it has not been acknowledged by then it completes as
    /// [`ErrorKind::Expired`]: it may have been delivered.
    ///
    /// # Errors
    ///
    /// As [`Client::publish`].
    pub fn publish_expiring(
        &self,
        topic: &str,
        payload: &[u8],
        lifetime: Duration,
    ) -> Result<Option<Token>, Error> {
        self.publish_until(topic, payload, Qos::AtLeastOnce, true, |now| {
            Some(now.saturating_add(lifetime))
        })
    }

    fn publish_until(
        &self,
        topic: &str,
        payload: &[u8],
        qos: Qos,
        want_token: bool,
        expires: impl FnOnce(Duration) -> Option<Duration>,
    ) -> Result<Option<Token>, Error> {
        if payload.len() < LARGE {
            return self
                .hub
                .call(|device, now| device.publish(topic, payload, qos, want_token, expires(now)));
        }
        // It takes longer to copy than the thread that sends should wait for the lock.
        let expires = expires(clock::now());
        let memory = self
            .hub
            .ask(|device| device.memory_for(topic, payload.len(), qos, expires))?;
        let message = Encoded::new(memory, topic, payload, qos);
        self.hub
            .call(|device, now| device.publish_encoded(message, want_token, expires, now))
    }

    /// Sends matching messages to a handler, now and after every reconnect. `make` is called only
    /// if the subscription is accepted. Subscribing again to the same filter replaces its handler.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidArgument`] for a bad filter or too many of them,
    /// [`ErrorKind::OutboxFull`], [`ErrorKind::Closing`] while stopping, [`ErrorKind::Destroyed`].
    pub fn subscribe(
        &self,
        filter: &str,
        qos: Qos,
        make: impl FnOnce() -> MessageHandler,
    ) -> Result<Token, Error> {
        let filter = TopicFilter::parse(filter)?;
        self.hub
            .call(|device, _| device.subscribe(filter, qos, || Arc::new(Mutex::new(make()))))
    }

    /// Ends a subscription, remembered if the network is away. Its handler gets nothing that
    /// arrives from now on, and is dropped where callbacks run.
    ///
    /// # Errors
    ///
    /// As [`Client::subscribe`].
    pub fn unsubscribe(&self, filter: &str) -> Result<Token, Error> {
        let filter = TopicFilter::parse(filter)?;
        self.hub.call(|device, _| device.unsubscribe(filter))
    }

    /// The present value of `counter`.
    pub fn counter(&self, counter: Counter) -> u64 {
        let core = self.hub.lock();
        let counters = core.device.counters();
        match counter {
            Counter::Connects => counters.connects,
            Counter::MessagesSent => counters.published,
            Counter::MessagesReceived => counters.received,
            Counter::MessagesUnrouted => counters.unrouted,
            Counter::MessagesDropped => counters.dropped,
            Counter::OutboxOperations => core.device.outbox_level().0 as u64,
            Counter::OutboxBytes => core.device.outbox_level().1 as u64,
            Counter::Attempts => counters.attempts,
            Counter::ConnectFailures => counters.failures,
            Counter::LostToNetwork => counters.lost_network,
            Counter::LostToPeer => counters.lost_closed,
            Counter::LostToSilence => counters.lost_silent,
            Counter::LostToProtocol => counters.lost_protocol,
            Counter::LostToTakeOver => counters.lost_taken_over,
            Counter::LostToOverflow => counters.lost_overflow,
            Counter::MessagesAcknowledged => counters.acknowledged,
            Counter::BytesSent => counters.bytes_sent,
            Counter::BytesReceived => counters.bytes_received,
            Counter::PingRoundTripUs => counters.ping_round_trip.as_micros() as u64,
            Counter::InboxBytes => core.device.inbox_level() as u64,
        }
    }

    /// Ends the client: cancels what is queued, and says goodbye to the platform in the background.
    ///
    /// Outside callbacks, waits for a callback of this client that is running on another thread,
    /// delivers the remaining completions on the calling thread, and drops every handler; when it
    /// returns, nothing of this client runs. Inside a callback it returns at once, and the same
    /// happens where callbacks run, after the present one. Only the first call does anything.
    pub fn destroy(&self) {
        self.hub.destroy();
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.destroy();
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpListener;
    use std::time::Instant;

    use super::*;
    use crate::{Dispatch, Endpoint, Identity};

    /// In C the handle is bad by then, but a thread may have looked it up before.
    #[test]
    fn a_destroyed_client_says_so_and_only_waits_are_cancelled() {
        let identity = Identity::verbatim("device", "user", "password").unwrap();
        let mut endpoint = Endpoint::host("127.0.0.1", 1).unwrap();
        endpoint.set_dangerous_plaintext();
        let config = Config::new(&identity, &endpoint).unwrap();
        let client = Client::on_runtime(&config, &Runtime::new(Dispatch::Thread).unwrap()).unwrap();
        client.destroy();
        let publish = |payload: &[u8]| client.publish("t", payload, Qos::AtLeastOnce, true);
        for result in [
            publish(b"x").map(drop),
            publish(&[0; LARGE]).map(drop),
            client.publish_expiring("t", b"x", Duration::MAX).map(drop),
            client
                .subscribe("t", Qos::AtMostOnce, || unreachable!("nothing is accepted"))
                .map(drop),
            client.unsubscribe("t").map(drop),
            client.start(),
            client.stop(Duration::ZERO),
            client.retry_now(),
            client.set_event_handler(None::<fn() -> EventHandler>),
            client.set_completion_handler(None::<fn() -> CompletionHandler>),
            client.set_message_handler(None::<fn() -> MessageHandler>),
        ] {
            let error = result.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Destroyed, "{error}");
        }
        for result in [
            client.wait_connected(Duration::ZERO),
            client.wait_flushed(Duration::ZERO),
            client.wait_room(Duration::ZERO),
            client.wait_stopped(Duration::ZERO),
        ] {
            assert_eq!(result.unwrap_err().kind(), ErrorKind::Cancelled);
        }
    }

    /// Callbacks are done with a burst when the driver sleeps already, and nothing else wakes it before
    /// the next ping.
    #[test]
    fn what_a_burst_has_left_behind_is_given_back_soon_after_it() {
        const COUNT: u64 = 100;
        const PATIENCE: Duration = Duration::from_secs(20);
        /// Not without a pause: the lock would never be free.
        const PAUSE: Duration = Duration::from_millis(1);
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut endpoint =
            Endpoint::host("127.0.0.1", listener.local_addr().unwrap().port()).unwrap();
        endpoint.set_dangerous_plaintext();
        let identity = Identity::verbatim("device", "user", "password").unwrap();
        let mut config = Config::new(&identity, &endpoint).unwrap();
        config.set_inbox_limit(1000, 64 * 1024 * 1024).unwrap();
        let client = Client::on_runtime(&config, &Runtime::new(Dispatch::Thread).unwrap()).unwrap();
        // The first callback takes until all have arrived and the driver sleeps.
        let (begun, hub) = (Instant::now(), Arc::clone(&client.hub));
        let mut is_first = true;
        let handler: MessageHandler = Box::new(move |_| {
            let is_asleep = || {
                let core = hub.lock();
                core.device.counters().received == COUNT && core.waker.is_some()
            };
            while is_first && !is_asleep() && begun.elapsed() < PATIENCE {
                std::thread::sleep(PAUSE);
            }
            is_first = false;
        });
        client.set_message_handler(Some(|| handler)).unwrap();
        client.start().unwrap();
        let (mut broker, _) = listener.accept().unwrap();
        let _ = broker.read(&mut [0; 1000]).unwrap();
        broker.write_all(&[0x20, 2, 0, 0]).unwrap();
        let mut message = vec![0x30, 0x80, 0x80, 0x04, 0, 1, b't'];
        message.resize(4 + 0x10000, b'x');
        for _ in 0..COUNT {
            broker.write_all(&message).unwrap();
        }
        let is_done = || {
            let core = client.hub.lock();
            let now = clock::now();
            let due = core.device.poll_timeout(now).unwrap_or(Duration::MAX);
            core.device.counters().received == COUNT
                && core.device.inbox_level() == 0
                && due > now + Duration::from_secs(1)
        };
        while !is_done() {
            assert!(begun.elapsed() < 2 * PATIENCE, "it is still kept");
            std::thread::sleep(PAUSE);
        }
    }
}
