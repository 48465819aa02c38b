//! Handles and enums of the header, and the check of every enum that comes from C.
//!
//! An enum that C passes in is a raw number here, because an unknown number must not become a Rust
//! enum; build.rs shows it under the enum's name.

use std::ffi::CStr;

use super::failure::Failure;
use crate::log::Level;
use crate::{
    Counter, Dispatch, HexCase, OutboxPolicy, Qos, SignMethod, Stage, State, TakeOverPolicy,
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
    /// none, the new message is refused.
    DropOldest = 1,
}

/// What a client does when another connection with its identity replaces it.
#[repr(C)]
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum aliot_take_over_policy {
    /// Waits the longest delay before it tries again. The default.
    Wait = 0,
    /// Stops, as if aliot_client_stop had been called.
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

/// What a client counts since it was created, or, for the outbox, holds now.
#[repr(C)]
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum aliot_counter {
    /// Connections that the platform accepted.
    Connects = 1,
    /// Messages that aliot_client_publish accepted.
    MessagesSent = 2,
    /// Messages that arrived.
    MessagesReceived = 3,
    /// Of those, the ones that matched no subscription.
    MessagesUnrouted = 4,
    /// Messages of QoS 0 that were lost: callbacks too slow, or the client ended.
    MessagesDropped = 5,
    /// Operations accepted and not completed, now.
    OutboxOperations = 6,
    /// Bytes that those take up, now.
    OutboxBytes = 7,
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
    /// Everything else; still never a secret or a payload.
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
    let table = [
        (aliot_counter::Connects as u32, Counter::Connects),
        (aliot_counter::MessagesSent as u32, Counter::MessagesSent),
        (
            aliot_counter::MessagesReceived as u32,
            Counter::MessagesReceived,
        ),
        (
            aliot_counter::MessagesUnrouted as u32,
            Counter::MessagesUnrouted,
        ),
        (
            aliot_counter::MessagesDropped as u32,
            Counter::MessagesDropped,
        ),
        (
            aliot_counter::OutboxOperations as u32,
            Counter::OutboxOperations,
        ),
        (aliot_counter::OutboxBytes as u32, Counter::OutboxBytes),
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
