//! What happens when a device connects, sends a packet or leaves.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rumqttc::mqttbytes::QoS;
use rumqttc::mqttbytes::v4::{Packet, Publish};
use tokio::sync::watch;

use crate::auth::{Transport, code};
use crate::certs::{DeviceAuthority, DeviceCertificate};
use crate::error::Error;
use crate::faults::{Early, Phase};
use crate::messages;
use crate::outbox::{End, Outbox};
use crate::packet;
use crate::registry::Identity;
use crate::state::State;

/// The notice an older connection gets before it is closed.
///
/// Source: a log of the vendor's Link SDK; the platform's pages do not show it.
const KICK_TOPIC: &str = "/ext/notify";
const KICK_NOTICE: &[u8] = br#"{"title":"kick","content":"Kicked by the same device"}"#;

/// The state and who waits for it to change.
pub(crate) struct Broker {
    state: Mutex<State>,
    pub(crate) changed: Condvar,
    /// Whether connections are to stop reading.
    pub(crate) hold: watch::Sender<bool>,
    /// What goes wrong before it is known whose connection it is.
    early: Mutex<Early>,
    /// Signs certificates of devices.
    pub(crate) devices: Option<DeviceAuthority>,
    pub(crate) check_interval: Duration,
    pub(crate) time_scale: f64,
    pub(crate) connect_timeout: Duration,
}

/// How a client came.
pub(crate) struct Arrival {
    pub(crate) transport: Transport,
    /// SHA-256 of the certificate it has shown.
    pub(crate) certificate: Option<String>,
    pub(crate) peer: String,
}

/// What a connection must know of itself once it was let in.
#[derive(Debug)]
pub(crate) struct Admitted {
    pub(crate) identity: Identity,
    pub(crate) link: u64,
    /// Longest silence, or `None` if the client may be silent for ever.
    pub(crate) max_silence: Option<Duration>,
    pub(crate) private: bool,
    /// How long it may stay if it only registers; it is no device's connection then.
    pub(crate) stay: Option<Duration>,
}

impl Broker {
    pub(crate) fn new(
        state: State,
        check_interval: Duration,
        time_scale: f64,
        connect_timeout: Duration,
    ) -> Self {
        Self {
            state: Mutex::new(state),
            changed: Condvar::new(),
            hold: watch::Sender::new(false),
            early: Mutex::default(),
            devices: None,
            check_interval,
            time_scale,
            connect_timeout,
        }
    }

    /// The state, which may be changed; call `changed.notify_all` afterwards.
    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What goes wrong before it is known whose connection it is.
    pub(crate) fn early(&self) -> Early {
        *self.early.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sets what goes wrong before it is known whose connection it is.
    pub(crate) fn set_early(&self, early: Early) {
        *self.early.lock().unwrap_or_else(PoisonError::into_inner) = early;
    }

    /// Makes a certificate for a device, which signs in with it from now on.
    pub(crate) fn issue(&self, identity: &Identity) -> Result<DeviceCertificate, Error> {
        let Some(devices) = &self.devices else {
            return Err(Error::Certificate("there is no device authority".into()));
        };
        let certificate = devices.issue(identity)?;
        let mut state = self.lock();
        let device = state
            .registry
            .device_entry(&identity.product_key, &identity.device_name);
        device.certificate = Some(certificate.sha256.clone());
        state.platform.touch();
        Ok(certificate)
    }

    /// Adds a log line.
    pub(crate) fn log(&self, line: &str) {
        self.lock().journal.add(line);
        self.changed.notify_all();
    }

    /// Logs that a client speaks another version of the protocol.
    pub(crate) fn refuse_version(&self, peer: &str, reason: &str) {
        let mut state = self.lock();
        state.refused += 1;
        let code = code::PROTOCOL;
        let line = format!("refused a client from {peer} with code {code}: {reason}");
        state.journal.add(&line);
        drop(state);
        self.changed.notify_all();
    }

    /// A duration on the simulator's clock.
    pub(crate) fn scaled(&self, duration: Duration) -> Duration {
        duration.mul_f64(self.time_scale)
    }

    /// Forgets a connection that has ended.
    pub(crate) fn disconnect(&self, admitted: &Admitted, reason: &str) {
        let mut state = self.lock();
        let identity = &admitted.identity;
        let quoted = state.registry.quote(&identity.to_string());
        if admitted.stay.is_some() {
            let line = format!("closed the registration of {quoted}: {reason}");
            state.journal.add(&line);
            return;
        }
        state
            .journal
            .add(&format!("disconnected {quoted}: {reason}"));
        if let Some(session) = state.sessions.get_mut(identity) {
            let own = session.link.take_if(|link| link.id == admitted.link);
            if own.is_some() {
                state.journal.feed.presence(identity, false, reason);
            }
            if own.is_some_and(|link| link.clean_session) {
                state.sessions.remove(identity);
            }
        }
        drop(state);
        self.changed.notify_all();
    }

    /// Handles a packet of a client that was let in. `Err` is the reason to close the connection.
    pub(crate) fn handle(
        &self,
        admitted: &Admitted,
        outbox: &Outbox,
        packet: Packet,
    ) -> Result<(), String> {
        if admitted.stay.is_some() {
            return registering(outbox, packet);
        }
        let mut guard = self.lock();
        let state = &mut *guard;
        let session = state.sessions.get(&admitted.identity);
        let link = session.and_then(|session| session.link.as_ref());
        if link.is_none_or(|link| link.id != admitted.link) {
            // What a closed connection still had under way must not change its successor's state.
            return Err("another connection took its place".into());
        }
        let faults = state.faults.get(&admitted.identity);
        let close_at = faults.and_then(|faults| Some((faults.close_at?, faults.how)));
        let phase = phase(&packet);
        if let Some((_, how)) = close_at.filter(|(at, _)| Some(*at) == phase) {
            outbox.end(how.into());
            return Err("closed on request".into());
        }
        let closes_after = matches!(&packet, Packet::Publish(publish) if publish.qos == QoS::AtLeastOnce)
            && close_at.is_some_and(|(at, _)| at == Phase::Puback);
        let answer = match packet {
            Packet::Publish(publish) => messages::publish(state, admitted, publish),
            Packet::Subscribe(subscribe) => {
                Ok(Some(messages::subscribe(state, admitted, &subscribe)))
            }
            Packet::Unsubscribe(packet) => {
                Ok(Some(messages::unsubscribe(state, admitted, &packet)))
            }
            Packet::PubAck(ack) => {
                messages::acknowledge(state, &admitted.identity, ack.pkid);
                Ok(None)
            }
            Packet::PingReq => Ok(Some(packet::encode(&Packet::PingResp))),
            Packet::Disconnect => Err("the device sent DISCONNECT".into()),
            Packet::Connect(_) => Err("the device sent a second CONNECT".into()),
            _ => Err("the device sent a packet that only a server sends".into()),
        };
        drop(guard);
        self.changed.notify_all();
        let sent = answer?.is_none_or(|reply| outbox.push(reply));
        if !sent {
            return Err("the device does not read what it is sent".into());
        }
        if closes_after {
            return Err("closed on request".into());
        }
        Ok(())
    }
}

/// The moment at which a packet of this kind may be answered with the end of the connection.
fn phase(packet: &Packet) -> Option<Phase> {
    match packet {
        Packet::Subscribe(_) => Some(Phase::Subscribe),
        Packet::Publish(_) => Some(Phase::Publish),
        Packet::PingReq => Some(Phase::Ping),
        _ => None,
    }
}

/// Handles a packet of a client that only registers: it is owed answers, and nothing more.
fn registering(outbox: &Outbox, packet: Packet) -> Result<(), String> {
    let answer = match packet {
        Packet::PingReq => packet::encode(&Packet::PingResp),
        Packet::Subscribe(subscribe) => {
            packet::sub_ack(subscribe.pkid, &vec![None; subscribe.filters.len()])
        }
        Packet::PubAck(_) => return Ok(()),
        Packet::Disconnect => return Err("the client sent DISCONNECT".into()),
        _ => return Err("a registering client sends no such packet: it waits and leaves".into()),
    };
    let _ = outbox.push(answer);
    Ok(())
}

/// Closes the connection a device has, with the platform's notice if the device asked for that.
/// Returns whether there was one.
pub(crate) fn take_over(state: &mut State, identity: &Identity, by: &str) -> bool {
    let Some(session) = state.sessions.get_mut(identity) else {
        return false;
    };
    let Some(link) = session.link.take() else {
        return false;
    };
    if link.wants_notice {
        let notice = Publish::new(KICK_TOPIC, QoS::AtMostOnce, KICK_NOTICE);
        let _ = link.outbox.push(packet::encode(&Packet::Publish(notice)));
    }
    link.outbox.end(End::Close);
    if link.clean_session {
        state.sessions.remove(identity);
    }
    let quoted = state.registry.quote(&identity.to_string());
    state.journal.add(&format!("kicked {quoted}: {by}"));
    state.journal.feed.presence(identity, false, by);
    true
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use rumqttc::mqttbytes::v4::{Connect, Login, Subscribe};

    use super::*;
    use crate::journal::Journal;
    use crate::options::LogOutput;
    use crate::registry::{Registry, Verbatim};

    #[test]
    fn what_an_older_connection_had_under_way_does_not_touch_the_newer_one() {
        let mut registry = Registry::default();
        registry.verbatim.push(Verbatim {
            client_id: "id".into(),
            user_name: "user".into(),
            password: "password".into(),
            identity: Identity::new("pk", "dn"),
        });
        let journal = Journal::new(LogOutput::None, 10).unwrap();
        let state = State::new(registry, journal, 10);
        let broker = Broker::new(state, Duration::ZERO, 1.0, Duration::ZERO);
        let mut connect = Connect::new("id");
        connect.login = Some(Login::new("user", "password"));
        let (older, newer) = (Arc::new(Outbox::new()), Arc::new(Outbox::new()));
        let arrival = Arrival {
            transport: Transport::Tcp,
            certificate: None,
            peer: "peer".into(),
        };
        let enter = |outbox| broker.connect(&arrival, &connect, outbox);
        let first = enter(&older).unwrap();
        let second = enter(&newer).unwrap();
        let subscribe = Packet::Subscribe(Subscribe::new("/a", QoS::AtMostOnce));
        assert!(broker.handle(&first, &older, subscribe.clone()).is_err());
        broker.disconnect(&first, "closed");
        assert_eq!(broker.handle(&second, &newer, subscribe), Ok(()));
        let state = broker.lock();
        let session = &state.sessions[&second.identity];
        assert!(session.link.is_some() && session.subscriptions == ["/a"]);
    }
}
