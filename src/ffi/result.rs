//! The result codes: numbers that keep their meaning for ever, their names and sentences.

use std::ffi::CStr;

use crate::error::ErrorKind;

/// Zero is success. A value keeps its meaning for ever; later versions may add values, so have a
/// default branch.
///
/// 1xx arguments, 2xx state, 3xx network, 4xx TLS, 5xx platform, 6xx registration, 7xx files, 9xx
/// library.
#[repr(C)]
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum aliot_result {
    /// Done, or accepted for later.
    Ok = 0,
    /// A pointer is NULL that must not be.
    NullPointer = 101,
    /// An argument is outside its documented range or form.
    InvalidArgument = 102,
    /// A text is not UTF-8.
    InvalidUtf8 = 103,
    /// No live object of that type has the handle.
    BadHandle = 104,
    /// The buffer is too small; nothing was written.
    BufferTooSmall = 105,
    /// The object is not in a state in which this call is allowed.
    InvalidState = 201,
    /// The outbox is at its limit of operations or bytes, or the application has not taken twice as
    /// many completions as operations may wait, and 1000 more.
    OutboxFull = 202,
    /// The time given to a blocking call ran out.
    Timeout = 203,
    /// The operation was dropped because its client stopped or was destroyed.
    Cancelled = 204,
    /// A blocking call inside a callback, which it would wait for.
    WouldDeadlock = 205,
    /// The message's own deadline passed first. It may have been delivered.
    Expired = 206,
    /// The client is draining and takes nothing new.
    Closing = 207,
    /// The message made room for newer ones, as the outbox policy says. If it had been sent on an
    /// earlier connection, it may have been delivered.
    Dropped = 208,
    /// The host name could not be resolved.
    Dns = 301,
    /// The network refused or broke the connection.
    Network = 302,
    /// Name lookup, TCP, TLS and CONNACK together took longer than allowed.
    ConnectTimeout = 303,
    /// The peer closed the connection.
    ClosedByPeer = 304,
    /// The proxy refused to connect to the platform.
    Proxy = 305,
    /// A TLS setting is unusable.
    TlsConfig = 401,
    /// The TLS handshake failed for a reason other than the certificate.
    TlsHandshake = 402,
    /// The server's certificate was not accepted.
    TlsCertificate = 403,
    /// The peer broke the MQTT protocol.
    Protocol = 501,
    /// Nothing came back in time: the link is dead.
    KeepAliveTimeout = 502,
    /// The platform refused user name or password (CONNACK 4).
    BadCredentials = 503,
    /// The platform refused the client id (CONNACK 2).
    BadClientId = 504,
    /// The platform is not available (CONNACK 3).
    ServerUnavailable = 505,
    /// The platform does not authorise this device (CONNACK 5).
    NotAuthorized = 506,
    /// The platform refused a subscription (SUBACK 0x80).
    SubscriptionRefused = 507,
    /// The platform does not speak MQTT 3.1.1 (CONNACK 1).
    UnsupportedProtocol = 508,
    /// Another connection with the same identity replaced this one.
    TakenOver = 509,
    /// The application did not take messages as fast as they came.
    InboxOverflow = 510,
    /// Registration was refused by the platform.
    RegistrationRefused = 601,
    /// The platform's registration reply could not be understood.
    RegistrationMalformed = 602,
    /// The platform has not answered the registration, which it may have carried out.
    RegistrationUnanswered = 603,
    /// The platform registered the device, and the application did not store the identity.
    RegistrationNotStored = 604,
    /// There is no such file.
    FileNotFound = 701,
    /// The system refused to read or write a file.
    FileAccess = 702,
    /// A file with a secret can be read or changed by others than its owner.
    FileExposed = 703,
    /// A file is not what it should be: cut off, changed, or of another kind.
    FileDamaged = 704,
    /// A defect of the library. The text helps those who mend it.
    Internal = 901,
    /// The system is out of threads, descriptors or memory.
    NoResources = 902,
}

impl aliot_result {
    /// Every value, in order. A test compares it with the declaration above.
    const ALL: [Self; 42] = [
        Self::Ok,
        Self::NullPointer,
        Self::InvalidArgument,
        Self::InvalidUtf8,
        Self::BadHandle,
        Self::BufferTooSmall,
        Self::InvalidState,
        Self::OutboxFull,
        Self::Timeout,
        Self::Cancelled,
        Self::WouldDeadlock,
        Self::Expired,
        Self::Closing,
        Self::Dropped,
        Self::Dns,
        Self::Network,
        Self::ConnectTimeout,
        Self::ClosedByPeer,
        Self::Proxy,
        Self::TlsConfig,
        Self::TlsHandshake,
        Self::TlsCertificate,
        Self::Protocol,
        Self::KeepAliveTimeout,
        Self::BadCredentials,
        Self::BadClientId,
        Self::ServerUnavailable,
        Self::NotAuthorized,
        Self::SubscriptionRefused,
        Self::UnsupportedProtocol,
        Self::TakenOver,
        Self::InboxOverflow,
        Self::RegistrationRefused,
        Self::RegistrationMalformed,
        Self::RegistrationUnanswered,
        Self::RegistrationNotStored,
        Self::FileNotFound,
        Self::FileAccess,
        Self::FileExposed,
        Self::FileDamaged,
        Self::Internal,
        Self::NoResources,
    ];

    /// The value with this number.
    pub(super) fn from_number(number: u32) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|result| *result as u32 == number)
    }

    /// Name in the header, kind of the error it stands for, and one sentence.
    pub(super) fn describe(self) -> (&'static CStr, Option<ErrorKind>, &'static CStr) {
        match self {
            Self::Ok => (c"ALIOT_RESULT_OK", None, c"Success."),
            Self::NullPointer => (
                c"ALIOT_RESULT_NULL_POINTER",
                None,
                c"A pointer is NULL that must not be.",
            ),
            Self::InvalidArgument => (
                c"ALIOT_RESULT_INVALID_ARGUMENT",
                Some(ErrorKind::InvalidArgument),
                c"An argument is outside its documented range or form.",
            ),
            Self::InvalidUtf8 => (c"ALIOT_RESULT_INVALID_UTF8", None, c"A text is not UTF-8."),
            Self::BadHandle => (
                c"ALIOT_RESULT_BAD_HANDLE",
                Some(ErrorKind::Destroyed),
                c"No live object of that type has the handle.",
            ),
            Self::BufferTooSmall => (
                c"ALIOT_RESULT_BUFFER_TOO_SMALL",
                None,
                c"The buffer is too small.",
            ),
            Self::InvalidState => (
                c"ALIOT_RESULT_INVALID_STATE",
                Some(ErrorKind::InvalidState),
                c"The object is not in a state in which this call is allowed.",
            ),
            Self::OutboxFull => (
                c"ALIOT_RESULT_OUTBOX_FULL",
                Some(ErrorKind::OutboxFull),
                c"The outbox is at its limit of operations or bytes.",
            ),
            Self::Timeout => (
                c"ALIOT_RESULT_TIMEOUT",
                Some(ErrorKind::Timeout),
                c"The time given to the call ran out.",
            ),
            Self::Cancelled => (
                c"ALIOT_RESULT_CANCELLED",
                Some(ErrorKind::Cancelled),
                c"The client stopped or was destroyed first.",
            ),
            Self::WouldDeadlock => (
                c"ALIOT_RESULT_WOULD_DEADLOCK",
                Some(ErrorKind::WouldDeadlock),
                c"A callback must not make a blocking call.",
            ),
            Self::Expired => (
                c"ALIOT_RESULT_EXPIRED",
                Some(ErrorKind::Expired),
                c"The message's deadline passed; it may have been delivered.",
            ),
            Self::Closing => (
                c"ALIOT_RESULT_CLOSING",
                Some(ErrorKind::Closing),
                c"The client is draining and takes nothing new.",
            ),
            Self::Dropped => (
                c"ALIOT_RESULT_DROPPED",
                Some(ErrorKind::Dropped),
                c"The message made room for newer ones.",
            ),
            Self::Dns => (
                c"ALIOT_RESULT_DNS",
                Some(ErrorKind::Dns),
                c"The host name could not be resolved.",
            ),
            Self::Network => (
                c"ALIOT_RESULT_NETWORK",
                Some(ErrorKind::Network),
                c"The network refused or broke the connection.",
            ),
            Self::ConnectTimeout => (
                c"ALIOT_RESULT_CONNECT_TIMEOUT",
                Some(ErrorKind::ConnectTimeout),
                c"Connecting took longer than allowed.",
            ),
            Self::ClosedByPeer => (
                c"ALIOT_RESULT_CLOSED_BY_PEER",
                Some(ErrorKind::ClosedByPeer),
                c"The peer closed the connection.",
            ),
            Self::Proxy => (
                c"ALIOT_RESULT_PROXY",
                Some(ErrorKind::Proxy),
                c"The proxy refused to connect to the platform.",
            ),
            Self::TlsConfig => (
                c"ALIOT_RESULT_TLS_CONFIG",
                Some(ErrorKind::TlsConfig),
                c"A TLS setting is unusable.",
            ),
            Self::TlsHandshake => (
                c"ALIOT_RESULT_TLS_HANDSHAKE",
                Some(ErrorKind::TlsHandshake),
                c"The TLS handshake failed.",
            ),
            Self::TlsCertificate => (
                c"ALIOT_RESULT_TLS_CERTIFICATE",
                Some(ErrorKind::TlsCertificate),
                c"The server's certificate was not accepted.",
            ),
            Self::Protocol => (
                c"ALIOT_RESULT_PROTOCOL",
                Some(ErrorKind::Protocol),
                c"The peer broke the MQTT protocol.",
            ),
            Self::KeepAliveTimeout => (
                c"ALIOT_RESULT_KEEP_ALIVE_TIMEOUT",
                Some(ErrorKind::KeepAliveTimeout),
                c"Nothing came back in time: the link is dead.",
            ),
            Self::BadCredentials => (
                c"ALIOT_RESULT_BAD_CREDENTIALS",
                Some(ErrorKind::BadCredentials),
                c"The platform refused user name or password.",
            ),
            Self::BadClientId => (
                c"ALIOT_RESULT_BAD_CLIENT_ID",
                Some(ErrorKind::BadClientId),
                c"The platform refused the client id.",
            ),
            Self::ServerUnavailable => (
                c"ALIOT_RESULT_SERVER_UNAVAILABLE",
                Some(ErrorKind::ServerUnavailable),
                c"The platform is not available.",
            ),
            Self::NotAuthorized => (
                c"ALIOT_RESULT_NOT_AUTHORIZED",
                Some(ErrorKind::NotAuthorized),
                c"The platform does not authorise this device.",
            ),
            Self::SubscriptionRefused => (
                c"ALIOT_RESULT_SUBSCRIPTION_REFUSED",
                Some(ErrorKind::SubscriptionRefused),
                c"The platform refused the subscription.",
            ),
            Self::UnsupportedProtocol => (
                c"ALIOT_RESULT_UNSUPPORTED_PROTOCOL",
                Some(ErrorKind::UnsupportedProtocol),
                c"The platform does not speak MQTT 3.1.1.",
            ),
            Self::TakenOver => (
                c"ALIOT_RESULT_TAKEN_OVER",
                Some(ErrorKind::TakenOver),
                c"Another connection with the same identity replaced this one.",
            ),
            Self::InboxOverflow => (
                c"ALIOT_RESULT_INBOX_OVERFLOW",
                Some(ErrorKind::InboxOverflow),
                c"The application did not take messages as fast as they came.",
            ),
            Self::RegistrationRefused => (
                c"ALIOT_RESULT_REGISTRATION_REFUSED",
                Some(ErrorKind::RegistrationRefused),
                c"The platform refused the registration.",
            ),
            Self::RegistrationMalformed => (
                c"ALIOT_RESULT_REGISTRATION_MALFORMED",
                Some(ErrorKind::RegistrationMalformed),
                c"The registration reply could not be understood.",
            ),
            Self::RegistrationUnanswered => (
                c"ALIOT_RESULT_REGISTRATION_UNANSWERED",
                Some(ErrorKind::RegistrationUnanswered),
                c"The platform has not answered the registration, which it may have carried out.",
            ),
            Self::RegistrationNotStored => (
                c"ALIOT_RESULT_REGISTRATION_NOT_STORED",
                Some(ErrorKind::RegistrationNotStored),
                c"The platform registered the device, and the application did not store the identity.",
            ),
            Self::FileNotFound => (
                c"ALIOT_RESULT_FILE_NOT_FOUND",
                Some(ErrorKind::FileNotFound),
                c"There is no such file.",
            ),
            Self::FileAccess => (
                c"ALIOT_RESULT_FILE_ACCESS",
                Some(ErrorKind::FileAccess),
                c"The system refused to read or write a file.",
            ),
            Self::FileExposed => (
                c"ALIOT_RESULT_FILE_EXPOSED",
                Some(ErrorKind::FileExposed),
                c"A file with a secret can be read or changed by others than its owner.",
            ),
            Self::FileDamaged => (
                c"ALIOT_RESULT_FILE_DAMAGED",
                Some(ErrorKind::FileDamaged),
                c"A file is not what it should be: cut off, changed, or of another kind.",
            ),
            Self::Internal => (
                c"ALIOT_RESULT_INTERNAL",
                Some(ErrorKind::Internal),
                c"A defect of the library.",
            ),
            Self::NoResources => (
                c"ALIOT_RESULT_NO_RESOURCES",
                Some(ErrorKind::NoResources),
                c"The system is out of threads, descriptors or memory.",
            ),
        }
    }
}

#[cfg(test)]
mod tests;
