//! Handles and enums of the header, and the check of every enum that comes from C.
//!
//! An enum that C passes in is a raw number here, because an unknown number must not become a Rust
//! enum; build.rs shows it under the enum's name.

use std::ffi::CStr;

use super::failure::Failure;
use crate::log::Level;
use crate::{
    Counter, Dispatch, HexCase, OutboxPolicy, Qos, SignFinding, SignMethod, Stage, State,
    TakeOverPolicy,
};

/// The connection: callbacks, topics, messages.
pub struct aliot_client {
    _private: [u8; 0],
}

/// How the client behaves.
pub struct aliot_config {
    _private: [u8; 0],
}

/// What CONNECT carries.
pub struct aliot_credentials {
    _private: [u8; 0],
}

/// Where the platform is.
pub struct aliot_endpoint {
    _private: [u8; 0],
}

/// Who the device is.
pub struct aliot_identity {
    _private: [u8; 0],
}

/// How a device comes to its identity.
pub struct aliot_registration {
    _private: [u8; 0],
}

/// Where clients run.
pub struct aliot_runtime {
    _private: [u8; 0],
}

/// A queued operation. Never 0, never used again by the same client.
pub type aliot_token = u64;

/// How surely a message arrives. The platform has no QoS 2.
#[repr(C)]
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum aliot_qos {
    /// Handed to the network once.
    AtMostOnce = 0,
    /// Repeated until acknowledged; may arrive twice.
    AtLeastOnce = 1,
}

/// How the password of CONNECT is made.
#[repr(C)]
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum aliot_sign_method {
    /// The default.
    HmacSha256 = 0,
    /// For the platform's older examples.
    HmacSha1 = 1,
    /// For the platform's older examples.
    HmacMd5 = 2,
    /// SHA-256 of content and secret: unconfirmed by the platform.
    Sha256 = 3,
}

/// What keeps credentials that were made elsewhere from signing a device in.
#[repr(C)]
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum aliot_sign_finding {
    /// Nothing: they sign the device in.
    Matches = 0,
    /// The client id is not of the form id|name=value,name=value| with both bars.
    ClientIdForm = 1,
    /// securemode is missing, unknown, or does not fit the transport.
    SecureMode = 2,
    /// The user name is not the device name, '&' and the product key.
    Username = 3,
    /// The user name has its two parts swapped.
    UsernameSwapped = 4,
    /// White space or a NUL where none belongs.
    WhiteSpace = 5,
    /// The password mixes upper and lower case digits.
    HexCase = 6,
    /// The password is not a signature in hexadecimal digits.
    PasswordForm = 7,
    /// The password is a secret itself.
    SecretSent = 8,
    /// The password is made with another method than signmethod says.
    SignMethod = 9,
    /// The timestamp that is signed and the one in the client id are not the same.
    Timestamp = 10,
    /// The client id that is signed is not the part before the first bar.
    SignedClientId = 11,
    /// The signed names and values are in another order or form.
    ContentForm = 12,
    /// The product secret is used in place of the device secret.
    ProductSecret = 13,
    /// The device secret is used in another form than it has.
    SecretForm = 14,
    /// No usual mistake explains the password.
    Unexplained = 15,
}

impl From<SignFinding> for aliot_sign_finding {
    fn from(finding: SignFinding) -> Self {
        match finding {
            SignFinding::Matches => Self::Matches,
            SignFinding::ClientIdForm => Self::ClientIdForm,
            SignFinding::SecureMode => Self::SecureMode,
            SignFinding::Username => Self::Username,
            SignFinding::UsernameSwapped => Self::UsernameSwapped,
            SignFinding::WhiteSpace => Self::WhiteSpace,
            SignFinding::HexCase => Self::HexCase,
            SignFinding::PasswordForm => Self::PasswordForm,
            SignFinding::SecretSent => Self::SecretSent,
            SignFinding::SignMethod => Self::SignMethod,
            SignFinding::Timestamp => Self::Timestamp,
            SignFinding::SignedClientId => Self::SignedClientId,
            SignFinding::ContentForm => Self::ContentForm,
            SignFinding::ProductSecret => Self::ProductSecret,
            SignFinding::SecretForm => Self::SecretForm,
            SignFinding::Unexplained => Self::Unexplained,
        }
    }
}

/// How the password's hexadecimal digits are written.
#[repr(C)]
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum aliot_hex_case {
    /// 0-9 A-F. The default.
    Upper = 0,
    /// 0-9 a-f.
    Lower = 1,
}

/// What happens when the outbox is full.
#[repr(C)]
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum aliot_outbox_policy {
    /// The new message is refused with ALIOT_RESULT_OUTBOX_FULL. The default.
    RefuseNew = 0,
    /// The oldest messages that have not been sent complete with ALIOT_RESULT_DROPPED. If there is
    /// none, or too many completions wait to be taken, the new message is refused.
    DropOldest = 1,
}

/// What a client does when another connection with its identity replaces it, or seems to: see
/// ALIOT_EVENT_KIND_TAKEN_OVER.
#[repr(C)]
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum aliot_take_over_policy {
    /// Waits the longest delay, less up to a quarter at random, before it tries again. The
    /// default.
    Wait = 0,
    /// Stops, if the platform has said so; what only seems so is waited for. What is queued stays
    /// queued for the next start.
    Stop = 1,
    /// Tries again as after any loss. Two clients that do this evict each other for ever.
    Fight = 2,
}

/// Where the callbacks of a runtime run.
#[repr(C)]
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum aliot_dispatch {
    /// On a thread of the library.
    Thread = 0,
    /// Inside aliot_runtime_poll, on the thread that calls it.
    Poll = 1,
}

/// What the connection of a client is doing.
#[repr(C)]
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum aliot_state {
    /// Not started, or stopped.
    Stopped = 0,
    /// An attempt is under way.
    Connecting = 1,
    /// The platform has accepted the connection.
    Connected = 2,
    /// Between two attempts.
    Waiting = 3,
    /// Draining, or saying goodbye.
    Stopping = 4,
}

/// How far on the way from a call to the platform a failure happened.
#[repr(C)]
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum aliot_stage {
    /// There was no failure.
    None = 0,
    /// The arguments of the call: nothing was done.
    Argument = 1,
    /// The state of the object.
    State = 2,
    /// Looking up the host's name.
    Resolve = 3,
    /// Opening the TCP connection.
    Tcp = 4,
    /// The TLS settings, the handshake, or the encrypted stream.
    Tls = 5,
    /// The MQTT exchange: CONNECT, CONNACK and every packet after them.
    Mqtt = 6,
    /// The session's own rules: deadlines, limits, the end of the client.
    Session = 7,
    /// A decision of the platform about this device.
    Platform = 8,
    /// The library, or the resources of the process.
    Library = 9,
    /// The exchange with a proxy, before the platform is reached.
    Proxy = 10,
    /// A file of the device.
    Storage = 11,
    /// The handshake of a WebSocket.
    Websocket = 12,
}

impl aliot_stage {
    /// Every value with its name.
    const ALL: [(Self, &'static CStr); 13] = [
        (Self::None, c"none"),
        (Self::Argument, c"argument"),
        (Self::State, c"state"),
        (Self::Resolve, c"name lookup"),
        (Self::Tcp, c"TCP connect"),
        (Self::Tls, c"TLS"),
        (Self::Mqtt, c"MQTT"),
        (Self::Session, c"session"),
        (Self::Platform, c"platform"),
        (Self::Library, c"library"),
        (Self::Proxy, c"proxy"),
        (Self::Storage, c"storage"),
        (Self::Websocket, c"WebSocket"),
    ];

    /// The value with this number.
    pub(super) fn from_number(number: aliot_stage_raw) -> Option<Self> {
        let mut all = Self::ALL.into_iter().map(|(stage, _)| stage);
        all.find(|stage| *stage as u32 == number)
    }

    /// In a word or two.
    pub(super) fn name(self) -> &'static CStr {
        let named = Self::ALL.into_iter().find(|(stage, _)| *stage == self);
        named.map_or(c"?", |(_, name)| name)
    }
}

impl From<Stage> for aliot_stage {
    fn from(stage: Stage) -> Self {
        match stage {
            Stage::Argument => Self::Argument,
            Stage::State => Self::State,
            Stage::Resolve => Self::Resolve,
            Stage::Tcp => Self::Tcp,
            Stage::Tls => Self::Tls,
            Stage::Mqtt => Self::Mqtt,
            Stage::Session => Self::Session,
            Stage::Platform => Self::Platform,
            Stage::Library => Self::Library,
            Stage::Proxy => Self::Proxy,
            Stage::Storage => Self::Storage,
            Stage::WebSocket => Self::Websocket,
        }
    }
}

/// What a client counts since it was created, or holds now.
#[repr(C)]
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum aliot_counter {
    /// Connections that the platform accepted.
    Connects = 1,
    /// Messages accepted by aliot_client_publish.
    MessagesSent = 2,
    /// Messages that arrived.
    MessagesReceived = 3,
    /// Of those, the ones that matched no subscription.
    MessagesUnrouted = 4,
    /// QoS 0 messages that the event MESSAGES_DROPPED tells of: received ones for which callbacks
    /// were too slow, and unsent ones without a token.
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

/// How important a log record is. Each level includes the ones before it.
#[repr(C)]
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum aliot_log_level {
    /// Nothing is logged.
    Off = 0,
    /// Something the application asked for failed for good.
    Error = 1,
    /// Something failed and will be tried again, or was lost.
    Warn = 2,
    /// A connection came or went.
    Info = 3,
    /// Each packet, with the beginning of its payload unless the platform sends secrets there.
    Debug = 4,
}

pub(super) type aliot_counter_raw = u32;
pub(super) type aliot_dispatch_raw = u32;
pub(super) type aliot_hex_case_raw = u32;
pub(super) type aliot_log_level_raw = u32;
pub(super) type aliot_outbox_policy_raw = u32;
pub(super) type aliot_qos_raw = u32;
pub(super) type aliot_result_raw = u32;
pub(super) type aliot_sign_method_raw = u32;
pub(super) type aliot_stage_raw = u32;
pub(super) type aliot_take_over_policy_raw = u32;

/// The entry of `table` for the number that C passed as argument `name` of type `aliot_<name>`.
pub(super) fn choose<T: Copy>(
    name: &str,
    noun: &str,
    number: u32,
    table: &[(u32, T)],
) -> Result<T, Failure> {
    let found = table.iter().find(|(value, _)| *value == number);
    found
        .map(|(_, meaning)| *meaning)
        .ok_or_else(|| Failure::invalid(name, format_args!("is {number}: not a value of {noun}")))
}

pub(super) fn qos(number: aliot_qos_raw) -> Result<Qos, Failure> {
    let table = [
        (aliot_qos::AtMostOnce as u32, Qos::AtMostOnce),
        (aliot_qos::AtLeastOnce as u32, Qos::AtLeastOnce),
    ];
    choose("qos", "aliot_qos", number, &table)
}

pub(super) fn sign_method(number: aliot_sign_method_raw) -> Result<SignMethod, Failure> {
    let table = [
        (aliot_sign_method::HmacSha256 as u32, SignMethod::HmacSha256),
        (aliot_sign_method::HmacSha1 as u32, SignMethod::HmacSha1),
        (aliot_sign_method::HmacMd5 as u32, SignMethod::HmacMd5),
        (aliot_sign_method::Sha256 as u32, SignMethod::Sha256),
    ];
    choose("method", "aliot_sign_method", number, &table)
}

pub(super) fn hex_case(number: aliot_hex_case_raw) -> Result<HexCase, Failure> {
    let table = [
        (aliot_hex_case::Upper as u32, HexCase::Upper),
        (aliot_hex_case::Lower as u32, HexCase::Lower),
    ];
    choose("hex_case", "aliot_hex_case", number, &table)
}

pub(super) fn dispatch(number: aliot_dispatch_raw) -> Result<Dispatch, Failure> {
    let table = [
        (aliot_dispatch::Thread as u32, Dispatch::Thread),
        (aliot_dispatch::Poll as u32, Dispatch::Poll),
    ];
    choose("dispatch", "aliot_dispatch", number, &table)
}

pub(super) fn outbox_policy(number: aliot_outbox_policy_raw) -> Result<OutboxPolicy, Failure> {
    let table = [
        (
            aliot_outbox_policy::RefuseNew as u32,
            OutboxPolicy::RefuseNew,
        ),
        (
            aliot_outbox_policy::DropOldest as u32,
            OutboxPolicy::DropOldest,
        ),
    ];
    choose("policy", "aliot_outbox_policy", number, &table)
}

pub(super) fn take_over_policy(
    number: aliot_take_over_policy_raw,
) -> Result<TakeOverPolicy, Failure> {
    let table = [
        (aliot_take_over_policy::Wait as u32, TakeOverPolicy::Wait),
        (aliot_take_over_policy::Stop as u32, TakeOverPolicy::Stop),
        (aliot_take_over_policy::Fight as u32, TakeOverPolicy::Fight),
    ];
    choose("policy", "aliot_take_over_policy", number, &table)
}

pub(super) fn log_level(number: aliot_log_level_raw) -> Result<Level, Failure> {
    let table = [
        (aliot_log_level::Off as u32, Level::Off),
        (aliot_log_level::Error as u32, Level::Error),
        (aliot_log_level::Warn as u32, Level::Warn),
        (aliot_log_level::Info as u32, Level::Info),
        (aliot_log_level::Debug as u32, Level::Debug),
    ];
    choose("max_level", "aliot_log_level", number, &table)
}

pub(super) fn counter(number: aliot_counter_raw) -> Result<Counter, Failure> {
    use aliot_counter as Raw;
    let table = [
        (Raw::Connects as u32, Counter::Connects),
        (Raw::MessagesSent as u32, Counter::MessagesSent),
        (Raw::MessagesReceived as u32, Counter::MessagesReceived),
        (Raw::MessagesUnrouted as u32, Counter::MessagesUnrouted),
        (Raw::MessagesDropped as u32, Counter::MessagesDropped),
        (Raw::OutboxOperations as u32, Counter::OutboxOperations),
        (Raw::OutboxBytes as u32, Counter::OutboxBytes),
        (Raw::Attempts as u32, Counter::Attempts),
        (Raw::ConnectFailures as u32, Counter::ConnectFailures),
        (Raw::LostToNetwork as u32, Counter::LostToNetwork),
        (Raw::LostToPeer as u32, Counter::LostToPeer),
        (Raw::LostToSilence as u32, Counter::LostToSilence),
        (Raw::LostToProtocol as u32, Counter::LostToProtocol),
        (Raw::LostToTakeOver as u32, Counter::LostToTakeOver),
        (Raw::LostToOverflow as u32, Counter::LostToOverflow),
        (
            Raw::MessagesAcknowledged as u32,
            Counter::MessagesAcknowledged,
        ),
        (Raw::BytesSent as u32, Counter::BytesSent),
        (Raw::BytesReceived as u32, Counter::BytesReceived),
        (Raw::PingRoundTripUs as u32, Counter::PingRoundTripUs),
        (Raw::InboxBytes as u32, Counter::InboxBytes),
    ];
    choose("counter", "aliot_counter", number, &table)
}

impl From<Qos> for aliot_qos {
    fn from(qos: Qos) -> Self {
        match qos {
            Qos::AtMostOnce => Self::AtMostOnce,
            Qos::AtLeastOnce => Self::AtLeastOnce,
        }
    }
}

impl From<State> for aliot_state {
    fn from(state: State) -> Self {
        match state {
            State::Stopped => Self::Stopped,
            State::Connecting => Self::Connecting,
            State::Connected => Self::Connected,
            State::Waiting => Self::Waiting,
            State::Stopping => Self::Stopping,
        }
    }
}

impl From<Level> for aliot_log_level {
    fn from(level: Level) -> Self {
        match level {
            Level::Off => Self::Off,
            Level::Error => Self::Error,
            Level::Warn => Self::Warn,
            Level::Info => Self::Info,
            Level::Debug => Self::Debug,
        }
    }
}
