//! What a test or a person may do to the devices; shared by the library's interface and the control
//! port.

use bytes::Bytes;

use crate::broker::{Broker, take_over};
use crate::error::Error;
use crate::messages;
use crate::outbox::End;
use crate::registry::Identity;
use crate::session::{Delivery, Message};
use crate::state::Qos;
use crate::topics;

/// How a message finds its device.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Addressing {
    /// Only if the device subscribed to the topic or the platform pushes topics of this kind.
    AsThePlatform,
    /// Whatever the device subscribed to.
    Forced,
}

impl Broker {
    /// Sends a message to a device. A `topic` that does not begin with a slash stands for one of the
    /// device's own.
    pub(crate) fn publish(
        &self,
        identity: &Identity,
        topic: &str,
        payload: Bytes,
        qos: Qos,
        addressing: Addressing,
    ) -> Result<(), Error> {
        let mut guard = self.lock();
        let state = &mut *guard;
        let absent = || Error::NotConnected(identity.to_string());
        let session = state.sessions.get(identity).ok_or_else(absent)?;
        let private = session.link.as_ref().is_some_and(|link| link.private);
        let exact = topic.starts_with('/') || private || session.is_subscribed(topic);
        let topic = if exact {
            topic.to_owned()
        } else {
            format!("/{}/{}/{topic}", identity.product_key, identity.device_name)
        };
        if !topics::is_topic(&topic) || topic.len() > usize::from(u16::MAX) {
            let reason = "a topic is not empty, has no wildcard and at most 65,535 bytes";
            return Err(Error::InvalidArgument(reason.into()));
        }
        let reachable = addressing == Addressing::Forced
            || session.is_subscribed(&topic)
            || topics::is_system(&topic);
        if !reachable {
            return Err(Error::NotSubscribed(topic));
        }
        let link = state
            .sessions
            .get_mut(identity)
            .and_then(|session| session.link.as_mut());
        if state.limits.rates
            && let Some(link) = link
            && !link.private
            && !link.rate.receive(std::time::Instant::now())
        {
            return Err(Error::RateLimited(identity.to_string()));
        }
        let size = payload.len();
        let message = Message {
            topic: topic.clone(),
            payload,
            qos: qos.into(),
        };
        let delivery = messages::deliver(state, identity, message);
        if delivery == Delivery::Queued {
            let (topic, whom) = (
                state.registry.quote(&topic),
                state.registry.quote(&identity.to_string()),
            );
            let line = format!("sent {topic} {size} bytes qos {} to {whom}", qos.number());
            state.journal.add(&line);
        }
        drop(guard);
        self.changed.notify_all();
        match delivery {
            Delivery::Queued => Ok(()),
            Delivery::Offline => Err(absent()),
            Delivery::Full => Err(Error::QueueFull(identity.to_string())),
        }
    }

    /// Closes a device's connection as the platform does when another one takes over.
    pub(crate) fn kick(&self, identity: &Identity) -> Result<(), Error> {
        let found = take_over(&mut self.lock(), identity, "on request");
        self.changed.notify_all();
        found
            .then_some(())
            .ok_or_else(|| Error::NotConnected(identity.to_string()))
    }

    /// Ends a device's connection without a word.
    pub(crate) fn end(&self, identity: &Identity, how: End) -> Result<(), Error> {
        let mut state = self.lock();
        let link = state
            .sessions
            .get(identity)
            .and_then(|session| session.link.as_ref());
        let link = link.ok_or_else(|| Error::NotConnected(identity.to_string()))?;
        link.outbox.end(how);
        let whom = state.registry.quote(&identity.to_string());
        let verb = if how == End::Reset { "reset" } else { "cut" };
        state.journal.add(&format!("{verb} {whom} on request"));
        drop(state);
        self.changed.notify_all();
        Ok(())
    }

    /// Answers a device's CONNECTs with `code` from now on, or lets them in again.
    pub(crate) fn refuse(&self, identity: &Identity, code: Option<u8>) -> Result<(), Error> {
        self.change_faults(identity, |faults| faults.refuse = code)
    }

    /// Leaves a device's publishes unacknowledged from now on, or not.
    pub(crate) fn drop_acks(&self, identity: &Identity, on: bool) {
        // Nothing but a code or a delay can be out of range.
        let _ = self.change_faults(identity, |faults| faults.drop_acks = on);
    }

    /// Stops or resumes reading from every connection.
    pub(crate) fn set_hold(&self, on: bool) {
        self.hold.send_replace(on);
    }
}
