//! What callbacks receive, and the functions of C that receive it.
//!
//! The library allocates these structures and may append members in a compatible release.

use std::ffi::{c_char, c_int, c_void};

use super::result::aliot_result;
use super::types::{
    aliot_client, aliot_identity, aliot_log_level, aliot_qos, aliot_stage, aliot_token,
};

/// What happened to the connection.
///
/// Every CONNECTING is followed by exactly one CONNECTED or CONNECT_FAILED, every CONNECTED by
/// exactly one DISCONNECTED. After STOPPED only MESSAGES_DROPPED can come until the next
/// aliot_client_start. Where the events of hundreds of attempts wait for a callback, the oldest
/// attempts are forgotten, each as a whole, and the log says how many. Later versions may add
/// values, so have a default branch.
#[repr(C)]
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum aliot_event_kind {
    /// An attempt begins.
    Connecting = 1,
    /// The platform has accepted the connection.
    Connected = 2,
    /// The attempt failed.
    ConnectFailed = 3,
    /// The connection ended.
    Disconnected = 4,
    /// The client has stopped.
    Stopped = 5,
    /// Another connection with the same identity replaced this one, as the platform has announced
    /// (aliot_config_set_kick_notice), or so it seems: text says which. It seems so from the third
    /// connection in a row that the peer closes within 60 s, of which those that end after one and
    /// the same QoS 1 message count once: see aliot_client_publish. Comes before DISCONNECTED.
    TakenOver = 6,
    /// QoS 0 messages were lost: received ones because callbacks were too slow, or unsent ones
    /// without a token because the client stopped or because they made room for newer ones, see
    /// aliot_config_set_outbox_policy.
    MessagesDropped = 7,
    /// The platform refused to restore a subscription after a reconnect; text is its filter.
    SubscriptionLost = 8,
    /// The server's certificate, the root it leads to, or this device's own certificate ends within
    /// the time that aliot_endpoint_set_expiry_warning_days says, or has ended; text tells which and
    /// when.
    CertificateExpiresSoon = 9,
    /// The platform has said which device the client certificate belongs to. The client keeps it
    /// until it is destroyed; the application saves it for the next start.
    IdentityReceived = 10,
}

/// An event of a client. The library allocates it and may append members: read it, never copy it by
/// value.
#[repr(C)]
pub struct aliot_event {
    /// What happened.
    pub kind: aliot_event_kind,
    /// CONNECT_FAILED, DISCONNECTED, TAKEN_OVER, SUBSCRIPTION_LOST: why. ALIOT_RESULT_OK for the
    /// other kinds, and for a disconnection that the application asked for.
    pub reason: aliot_result,
    /// The reason in words, or what the kind says; never NULL, may be empty.
    pub text: *const c_char,
    /// CONNECTED: the platform kept the session.
    pub session_present: bool,
    /// CONNECT_FAILED, DISCONNECTED: the client will try again by itself.
    pub will_retry: bool,
    /// When, if will_retry.
    pub retry_in_ms: u32,
    /// MESSAGES_DROPPED: how many.
    pub messages_dropped: u64,
    /// Where it failed, if reason is not ALIOT_RESULT_OK; else ALIOT_STAGE_NONE.
    pub stage: aliot_stage,
    /// The operating system's error number, such as ECONNREFUSED; 0 if there is none.
    pub os_error: c_int,
    /// The return code of the CONNACK that refused the connection; 0 if there was none.
    pub connack_code: u8,
    /// What usually causes this and what mends it, in the platform's terms; never NULL, may be
    /// empty.
    pub hint: *const c_char,
    /// What the TLS implementation itself calls the failure, for support; never NULL.
    pub tls_detail: *const c_char,
    /// IDENTITY_RECEIVED: who the device is, to be saved; the handle is good until the callback
    /// returns. Else NULL.
    pub identity: *const aliot_identity,
    /// CERTIFICATE_EXPIRES_SOON: when it ends, in seconds since 1970; else 0.
    pub certificate_ends_s: u64,
}

/// A message from the platform. The library allocates it and may append members: read it, never
/// copy it by value.
#[repr(C)]
pub struct aliot_message {
    /// The topic it was published to.
    pub topic: *const c_char,
    /// Never NULL; not NUL-terminated.
    pub payload: *const u8,
    /// Bytes at payload.
    pub payload_len: usize,
    /// How it was sent.
    pub qos: aliot_qos,
    /// The platform has sent it before, and it may have been delivered.
    pub duplicate: bool,
    /// The platform kept it from before the subscription.
    pub retained: bool,
}

/// The end of an operation. Each that was accepted has exactly one, except a QoS 0 message for which
/// nobody asked for a token: that has none. The library allocates it and may append members: read
/// it, never copy it by value.
#[repr(C)]
pub struct aliot_completion {
    /// Which operation.
    pub token: aliot_token,
    /// ALIOT_RESULT_OK: acknowledged, or handed to the network for QoS 0.
    pub result: aliot_result,
    /// The result in words; never NULL, may be empty.
    pub text: *const c_char,
    /// Subscriptions: what the platform granted, which may be less than was asked for.
    pub granted_qos: aliot_qos,
    /// Where it failed; ALIOT_STAGE_NONE for ALIOT_RESULT_OK.
    pub stage: aliot_stage,
    /// What usually causes this and what mends it, in the platform's terms; never NULL, may be
    /// empty.
    pub hint: *const c_char,
}

/// The end of a registration. The library allocates it and may append members: read it, never copy
/// it by value.
#[repr(C)]
pub struct aliot_registration_end {
    /// ALIOT_RESULT_OK: the platform has given the device an identity.
    pub result: aliot_result,
    /// The result in words; never NULL, may be empty.
    pub text: *const c_char,
    /// ALIOT_RESULT_OK: the identity, to be stored; the handle is good until the callback returns.
    /// Else NULL.
    pub identity: *const aliot_identity,
    /// Where it failed; ALIOT_STAGE_NONE for ALIOT_RESULT_OK.
    pub stage: aliot_stage,
    /// What usually causes this and what mends it, in the platform's terms; never NULL, may be
    /// empty.
    pub hint: *const c_char,
    /// The operating system's error number, such as ECONNREFUSED; 0 if there is none.
    pub os_error: c_int,
    /// The return code of the CONNACK that refused the registration; 0 if there was none.
    pub connack_code: u8,
    /// What the TLS implementation itself calls the failure, for support; never NULL.
    pub tls_detail: *const c_char,
}

/// One line of the log. The library allocates it and may append members: read it, never copy it by
/// value.
#[repr(C)]
pub struct aliot_log_record {
    /// How important it is.
    pub level: aliot_log_level,
    /// The part of the library that speaks, such as "session".
    pub target: *const c_char,
    /// The line, without a line feed and without a secret.
    pub text: *const c_char,
    /// When it was logged: milliseconds since 1970, UTC, by the system's clock.
    pub time_ms: u64,
}

/// Receives the events of a client.
pub type aliot_event_cb = Option<
    unsafe extern "C" fn(
        client: *mut aliot_client,
        event: *const aliot_event,
        userdata: *mut c_void,
    ),
>;

/// Receives messages. A message of QoS 1 is acknowledged after the callback has returned.
pub type aliot_message_cb = Option<
    unsafe extern "C" fn(
        client: *mut aliot_client,
        message: *const aliot_message,
        userdata: *mut c_void,
    ),
>;

/// Receives the end of each operation.
pub type aliot_completion_cb = Option<
    unsafe extern "C" fn(
        client: *mut aliot_client,
        completion: *const aliot_completion,
        userdata: *mut c_void,
    ),
>;

/// Puts an identity where it survives a loss of power; true if that succeeded. The handle is good
/// until the callback returns.
pub type aliot_store_cb =
    Option<unsafe extern "C" fn(identity: *const aliot_identity, userdata: *mut c_void) -> bool>;

/// Receives the end of a registration; true if it has stored the identity. What it returns after a
/// failure means nothing.
pub type aliot_registration_cb =
    Option<unsafe extern "C" fn(end: *const aliot_registration_end, userdata: *mut c_void) -> bool>;

/// Tells the date in seconds since 1970; 0 if it does not know. Runs on network threads, one at a
/// time, and must return at once without calling the library.
pub type aliot_clock_cb = Option<unsafe extern "C" fn(userdata: *mut c_void) -> u64>;

/// Receives log records on the thread that logs, whichever that is, on several at once. It must not
/// call the library.
pub type aliot_log_cb =
    Option<unsafe extern "C" fn(record: *const aliot_log_record, userdata: *mut c_void)>;

/// Takes user data back. Runs once, on any thread, possibly inside the call that ended its use. May
/// be NULL where it is a parameter. That of a log or clock callback must not call the library.
pub type aliot_release_cb = Option<unsafe extern "C" fn(userdata: *mut c_void)>;
