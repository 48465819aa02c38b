//! What arrives from the platform, packet by packet.

use std::collections::VecDeque;
use std::time::Duration;

use super::ending::is_kick;
use super::{Device, Output};
use crate::proto::codec::{Packet, Publish};
use crate::proto::event::{Event, EventKind};
use crate::proto::keepalive::KeepAlive;
use crate::proto::outbox::{AckKind, Acknowledged, FilterOp};
use crate::proto::qos::Qos;
use crate::proto::routes::RouteState;
use crate::proto::session::Phase;
use crate::{Error, ErrorKind, Identity, Stage};

/// Where the platform says whose the client certificate is, unasked.
const IDENTITY_TOPIC: &str = "/ext/auth/identity/response";

impl<H: Clone> Device<H> {
    /// Packets arrived, in this order. A QoS 1 message that there is no room for ends the connection.
    pub fn handle_packets(&mut self, packets: impl Iterator<Item = Packet>, now: Duration) {
        let mut acknowledged = false;
        for packet in packets {
            acknowledged |= self.handle_packet(packet, now);
        }
        self.handle_activity(acknowledged, now);
    }

    /// As [`Device::handle_packets`], up to the first QoS 1 message that there is no room for. It waits
    /// with everything behind it, and the peer must not be read from: MQTT 3.1.1 has no other way to
    /// slow it down.
    pub fn handle_what_fits(&mut self, packets: &mut VecDeque<Packet>, now: Duration) {
        let mut acknowledged = false;
        while let Some(packet) = packets.pop_front_if(|packet| self.has_room_for(packet)) {
            acknowledged |= self.handle_packet(packet, now);
        }
        self.handle_activity(acknowledged, now);
    }

    /// What waited for room when its connection ended. Acknowledgements are valid; QoS 1 messages come
    /// again, the others never would.
    pub fn handle_left_behind(&mut self, packets: impl Iterator<Item = Packet>, now: Duration) {
        for packet in packets {
            match packet {
                Packet::Publish(publish) if publish.id().is_some() => {
                    self.kicked |= is_kick(&publish);
                }
                Packet::Publish(publish) => self.handle_publish(publish),
                packet => {
                    self.handle_answer(packet, now);
                }
            }
        }
    }

    fn has_room_for(&self, packet: &Packet) -> bool {
        match packet {
            Packet::Publish(publish) if publish.id().is_some() => {
                self.inbox.has_room(publish.wire_len(), true)
            }
            _ => true,
        }
    }

    /// Nothing is read at present: see [`Device::handle_what_fits`].
    pub fn handle_reading_waits(&mut self, now: Duration) {
        if let Some(keep_alive) = &mut self.keep_alive {
            keep_alive.handle_reading_waits(now);
        }
    }

    fn handle_activity(&mut self, acknowledged: bool, now: Duration) {
        if let Some(keep_alive) = &mut self.keep_alive {
            keep_alive.handle_received(now);
            keep_alive.set_owed(self.outbox.is_owed(), acknowledged, now);
        }
    }

    /// Returns whether it acknowledged something.
    fn handle_packet(&mut self, packet: Packet, now: Duration) -> bool {
        if self.closing.is_some() {
            return false;
        }
        match (self.session.phase(), packet) {
            (
                Phase::Connecting { .. },
                Packet::ConnAck {
                    session_present,
                    code,
                },
            ) => {
                self.handle_connack(session_present, code, now);
            }
            (Phase::Connecting { .. }, _) => {
                self.fail_protocol("the first packet from the peer was not a CONNACK");
            }
            (_, Packet::ConnAck { .. }) => self.fail_protocol("a second CONNACK arrived"),
            (_, Packet::Publish(publish)) => self.handle_publish(publish),
            (_, packet) => return self.handle_answer(packet, now),
        }
        false
    }

    /// As [`Device::handle_packet`], for what answers the device.
    fn handle_answer(&mut self, packet: Packet, now: Duration) -> bool {
        match packet {
            Packet::PubAck { id } => self.handle_ack(id, AckKind::Publish, &[], now),
            Packet::SubAck { id, codes } => {
                let kind = AckKind::Subscribe(codes.len());
                self.handle_ack(id, kind, &codes, now)
            }
            Packet::UnsubAck { id } => self.handle_ack(id, AckKind::Unsubscribe, &[], now),
            Packet::PingResp => {
                if let Some(keep_alive) = &mut self.keep_alive {
                    let round_trip = keep_alive.handle_pingresp(now);
                    self.counters.ping_round_trip =
                        round_trip.unwrap_or(self.counters.ping_round_trip);
                }
                false
            }
            Packet::ConnAck { .. } | Packet::Publish(_) => false,
        }
    }

    fn handle_connack(&mut self, session_present: bool, code: u8, now: Duration) {
        if code != 0 {
            return self.fail(refusal(code));
        }
        if session_present && self.config.clean_session() {
            // MQTT-3.2.2-1 leaves no such answer.
            return self
                .fail_protocol("CONNACK says that a session is present: none was asked for");
        }
        self.session.handle_connected(now);
        self.kicked = false;
        self.keep_alive = Some(KeepAlive::new(&self.config, now));
        self.counters.connects += 1;
        self.outbox.handle_connected(session_present);
        if !session_present {
            self.routes.forget_granted();
        }
        // With a session, that is what a stop cancelled before the platform had answered.
        let last = self.outbox.last_changes();
        let (mut wanted, mut behind) = (Vec::new(), Vec::new());
        for (filter, route) in self.routes.iter() {
            let again = (filter.clone(), route.qos);
            match last.get(filter.as_str()) {
                Some(true) => {}
                Some(false) => behind.push(again),
                None if route.state == RouteState::Wanted => wanted.push(again),
                None => {}
            }
        }
        drop(last);
        self.outbox.restore(wanted.into_iter());
        self.outbox.restore_behind(behind.into_iter());
        self.emit(Event {
            session_present,
            ..Event::new(EventKind::Connected)
        });
        self.emit_notice(now);
    }

    /// Once a day for each end that is near, however often the connection comes and goes.
    fn emit_notice(&mut self, now: Duration) {
        let Some((ends, text)) = self.notice.take() else {
            return;
        };
        let is_new = self.noticed.is_none_or(|(known, at)| {
            known != ends || now.saturating_sub(at) >= Duration::from_secs(86_400)
        });
        if is_new {
            self.noticed = Some((ends, now));
            self.emit(Event {
                certificate_ends: Some(ends),
                text,
                ..Event::new(EventKind::CertificateExpiresSoon)
            });
        }
    }

    fn handle_ack(&mut self, id: u16, kind: AckKind, codes: &[u8], now: Duration) -> bool {
        match self.outbox.handle_ack(id, kind, now) {
            // Unsolicited and repeated acknowledgements are tolerated.
            Ok(None) => return false,
            Ok(Some(Acknowledged::Publish(token))) => {
                self.counters.acknowledged += 1;
                self.complete(token, Ok(None));
            }
            Ok(Some(Acknowledged::Filters(ops))) => self.handle_filters(ops, codes),
            Ok(Some(Acknowledged::Nothing)) => {}
            Err(reason) => self.fail_protocol(reason),
        }
        true
    }

    fn handle_filters(&mut self, ops: Vec<FilterOp>, codes: &[u8]) {
        for (index, op) in ops.into_iter().enumerate() {
            let granted = match (op.subscribe, codes.get(index)) {
                (Some(_), Some(0x80)) => {
                    self.routes
                        .set_state(op.filter.as_str(), RouteState::Refused);
                    let text = format!(
                        "the platform refused the subscription to {:?}",
                        op.filter.as_str()
                    );
                    Err(Error::new(
                        ErrorKind::SubscriptionRefused,
                        Stage::Platform,
                        text,
                    ))
                }
                (Some(_), code) => {
                    self.routes
                        .set_state(op.filter.as_str(), RouteState::Granted);
                    let none = matches!(code, Some(0));
                    Ok(Some(if none {
                        Qos::AtMostOnce
                    } else {
                        Qos::AtLeastOnce
                    }))
                }
                (None, _) => Ok(None),
            };
            match (op.token, granted) {
                (Some(token), granted) => self.complete(token, granted),
                (None, Err(error)) => self.emit(Event {
                    text: op.filter.as_str().to_owned(),
                    ..Event::failure(EventKind::SubscriptionLost, error, None)
                }),
                (None, Ok(_)) => {}
            }
        }
    }

    /// Takes over what the platform says about the owner of the client certificate.
    ///
    /// Source: the platform's page on X.509 certificates.
    fn learn_identity(&mut self, publish: &Publish) {
        if !self.config.identity().is_certificate() || !publish.is_on(IDENTITY_TOPIC) {
            return;
        }
        let Some(identity) = Identity::from_notice(publish.payload()) else {
            return;
        };
        if &identity != self.config.identity() {
            self.config.set_identity(identity.clone());
            self.emit(Event {
                text: format!("{}&{}", identity.device_name(), identity.product_key()),
                identity: Some(identity),
                ..Event::new(EventKind::IdentityReceived)
            });
        }
    }

    fn handle_publish(&mut self, publish: Publish) {
        self.counters.received += 1;
        let is_qos_1 = publish.id().is_some();
        if is_kick(&publish) {
            self.kicked = true;
        }
        self.learn_identity(&publish);
        if !self.inbox.accept(publish.wire_len(), is_qos_1) {
            if is_qos_1 {
                let text = "callbacks are too slow: as many QoS 1 messages wait as the inbox holds, \
                            and none was handled for a while";
                return self.fail(Error::new(ErrorKind::InboxOverflow, Stage::Session, text));
            }
            self.counters.dropped += 1;
            return;
        }
        let handlers = self.routes.matches(publish.topic());
        self.counters.unrouted += u64::from(handlers.as_slice().is_empty());
        self.outputs.push_back(Output::Message {
            handlers,
            publish,
            connection: self.connection,
        });
    }
}

/// Source: MQTT 3.1.1, table 3.1; the causes are the platform's documentation of its error codes.
fn refusal(code: u8) -> Error {
    let (kind, cause) = match code {
        1 => (
            ErrorKind::UnsupportedProtocol,
            "unacceptable protocol version: the endpoint does not speak MQTT 3.1.1",
        ),
        2 => (
            ErrorKind::BadClientId,
            "client id rejected: it is malformed, or the account has no right or is in arrears",
        ),
        3 => (
            ErrorKind::ServerUnavailable,
            "server unavailable: a fault of the platform, a keep-alive below 30 s, or a wrong client id",
        ),
        4 => (
            ErrorKind::BadCredentials,
            "bad user name or password: wrong product key, device name or secret, a wrong signature, or a disabled device",
        ),
        5 => (
            ErrorKind::NotAuthorized,
            "not authorised: wrong product key, device name or secret, or a wrong signature",
        ),
        _ => {
            let text = format!("CONNACK with the unknown return code {code} arrived");
            return Error::new(ErrorKind::Protocol, Stage::Mqtt, text).with_connack(code);
        }
    };
    let text = format!("CONNACK {code}, {cause}");
    Error::new(kind, Stage::Platform, text).with_connack(code)
}
