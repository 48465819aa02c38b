//! What can go wrong: a kind to branch on, the stage it happened in, a sentence to log.

use std::fmt;

pub(crate) mod hint;

/// Part of the way from a call to the platform in which something failed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Stage {
    /// The arguments of a call, before anything was done.
    Argument,
    /// The state of the object called.
    State,
    /// Looking up the platform's host name.
    Resolve,
    /// Opening the TCP connection.
    Tcp,
    /// The TLS handshake or a TLS record.
    Tls,
    /// The MQTT exchange: CONNECT, CONNACK and every packet after them.
    Mqtt,
    /// The session's own rules: deadlines, limits, shutdown.
    Session,
    /// A decision of the platform about this device.
    Platform,
    /// The library itself or the resources of the process.
    Library,
    /// The exchange with a proxy, before the platform is reached.
    Proxy,
    /// A file of the device.
    Storage,
    /// The handshake of a WebSocket.
    WebSocket,
}

impl Stage {
    /// The stage in a few words, as it appears in messages.
    pub fn name(self) -> &'static str {
        match self {
            Self::Argument => "argument",
            Self::State => "state",
            Self::Resolve => "name lookup",
            Self::Tcp => "TCP connect",
            Self::Tls => "TLS",
            Self::Mqtt => "MQTT",
            Self::Session => "session",
            Self::Platform => "platform",
            Self::Library => "library",
            Self::Proxy => "proxy",
            Self::Storage => "storage",
            Self::WebSocket => "WebSocket",
        }
    }
}

/// What a caller branches on. Each kind has one result code in the C interface.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ErrorKind {
    /// An argument is outside its documented range or form.
    InvalidArgument,
    /// The object is not in a state in which this call is allowed.
    InvalidState,
    /// The outbox is at its limit of operations or bytes.
    OutboxFull,
    /// The time given to a blocking call ran out.
    Timeout,
    /// The operation was dropped because its client stopped or was destroyed.
    Cancelled,
    /// The client has been destroyed.
    Destroyed,
    /// A blocking call inside a callback, which it would wait for.
    WouldDeadlock,
    /// The message's own deadline passed before the platform acknowledged it. It may have been
    /// delivered.
    Expired,
    /// The message was dropped to make room for newer ones, as the outbox policy says.
    Dropped,
    /// The client is draining and takes nothing new.
    Closing,
    /// The host name could not be resolved.
    Dns,
    /// The network refused or broke the connection.
    Network,
    /// Name lookup, TCP, TLS and CONNACK together took longer than allowed.
    ConnectTimeout,
    /// The peer closed the connection.
    ClosedByPeer,
    /// A TLS setting is unusable.
    TlsConfig,
    /// The TLS handshake failed for a reason other than the certificate.
    TlsHandshake,
    /// The server's certificate was not accepted.
    TlsCertificate,
    /// The peer broke the MQTT protocol.
    Protocol,
    /// Nothing came back in time: the link is dead.
    KeepAliveTimeout,
    /// The platform refused user name or password (CONNACK 4).
    BadCredentials,
    /// The platform refused the client id (CONNACK 2).
    BadClientId,
    /// The platform is not available (CONNACK 3).
    ServerUnavailable,
    /// The platform does not authorise this device (CONNACK 5).
    NotAuthorized,
    /// The platform does not speak this version of MQTT (CONNACK 1).
    UnsupportedProtocol,
    /// The platform refused a subscription (SUBACK 0x80).
    SubscriptionRefused,
    /// Another connection with the same identity replaced this one.
    TakenOver,
    /// The application did not take messages as fast as they came.
    InboxOverflow,
    /// Registration was refused by the platform.
    RegistrationRefused,
    /// The platform's registration reply could not be understood.
    RegistrationMalformed,
    /// The platform has not answered the registration, which it may have carried out.
    RegistrationUnanswered,
    /// The platform registered the device, and the application did not store the identity.
    RegistrationNotStored,
    /// The proxy refused to connect to the platform.
    Proxy,
    /// There is no such file.
    FileNotFound,
    /// The system refused to read or write a file.
    FileAccess,
    /// A file with a secret can be read or changed by others than its owner.
    FileExposed,
    /// A file is not what it should be: cut off, changed, or of another kind.
    FileDamaged,
    /// A defect of the library. The text helps those who mend it.
    Internal,
    /// The system is out of threads, descriptors or memory.
    NoResources,
}

impl ErrorKind {
    /// Every kind.
    #[cfg(test)]
    pub(crate) const ALL: [Self; 38] = [
        Self::InvalidArgument,
        Self::InvalidState,
        Self::OutboxFull,
        Self::Timeout,
        Self::Cancelled,
        Self::Destroyed,
        Self::WouldDeadlock,
        Self::Expired,
        Self::Dropped,
        Self::Closing,
        Self::Dns,
        Self::Network,
        Self::ConnectTimeout,
        Self::ClosedByPeer,
        Self::TlsConfig,
        Self::TlsHandshake,
        Self::TlsCertificate,
        Self::Protocol,
        Self::KeepAliveTimeout,
        Self::BadCredentials,
        Self::BadClientId,
        Self::ServerUnavailable,
        Self::NotAuthorized,
        Self::UnsupportedProtocol,
        Self::SubscriptionRefused,
        Self::TakenOver,
        Self::InboxOverflow,
        Self::RegistrationRefused,
        Self::RegistrationMalformed,
        Self::RegistrationUnanswered,
        Self::RegistrationNotStored,
        Self::Proxy,
        Self::FileNotFound,
        Self::FileAccess,
        Self::FileExposed,
        Self::FileDamaged,
        Self::Internal,
        Self::NoResources,
    ];

    /// Whether the same operation may succeed later without a change by the application.
    pub fn is_retryable(self) -> bool {
        match self {
            Self::OutboxFull
            | Self::Timeout
            | Self::Dns
            | Self::Network
            | Self::ConnectTimeout
            | Self::ClosedByPeer
            | Self::Protocol
            | Self::KeepAliveTimeout
            | Self::ServerUnavailable
            | Self::TakenOver
            | Self::InboxOverflow
            | Self::RegistrationNotStored
            | Self::Proxy
            | Self::FileAccess
            | Self::NoResources => true,
            Self::InvalidArgument
            | Self::InvalidState
            | Self::Cancelled
            | Self::Destroyed
            | Self::WouldDeadlock
            | Self::Expired
            | Self::Dropped
            | Self::Closing
            | Self::TlsConfig
            | Self::TlsHandshake
            | Self::TlsCertificate
            | Self::BadCredentials
            | Self::BadClientId
            | Self::NotAuthorized
            | Self::UnsupportedProtocol
            | Self::SubscriptionRefused
            | Self::RegistrationRefused
            | Self::RegistrationMalformed
            | Self::RegistrationUnanswered
            | Self::FileNotFound
            | Self::FileExposed
            | Self::FileDamaged
            | Self::Internal => false,
        }
    }
}

/// A failure: kind, stage, and a sentence that names the cause and never a secret.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Error(Box<Inner>);

/// Boxed, because every result that may be an error has room for one.
#[derive(Clone, Debug, Eq, PartialEq)]
struct Inner {
    kind: ErrorKind,
    stage: Stage,
    context: String,
    os_error: Option<i32>,
    connack: Option<u8>,
    tls: Option<Box<str>>,
    /// Instead of the one for kind and stage.
    hint: Option<&'static str>,
    cause: Option<Error>,
}

/// Longest [`Error::tls_detail`] in bytes: the peer has a say in it.
const TLS_DETAIL_LEN: usize = 256;

impl Error {
    /// `context` says in lower case, without a full stop, what failed and why; it must not contain
    /// a secret.
    pub fn new(kind: ErrorKind, stage: Stage, context: impl Into<String>) -> Self {
        Self::with_context(kind, stage, context.into())
    }

    /// One copy of the code for all who call it: no error is on a hot path.
    #[cold]
    #[inline(never)]
    fn with_context(kind: ErrorKind, stage: Stage, context: String) -> Self {
        Self(Box::new(Inner {
            kind,
            stage,
            context,
            os_error: None,
            connack: None,
            tls: None,
            hint: None,
            cause: None,
        }))
    }

    /// An argument that was refused: `name`, its `value` or a description of it, and the limit.
    #[cold]
    pub fn argument(name: &str, problem: impl fmt::Display) -> Self {
        Self::with_context(
            ErrorKind::InvalidArgument,
            Stage::Argument,
            format!("{name} {problem}"),
        )
    }

    /// What needs `feature` was asked for, and the library was built without it.
    #[cold]
    pub(crate) fn left_out(feature: &str) -> Self {
        let text = format!("the library was built without the feature {feature}");
        Self::with_context(ErrorKind::InvalidState, Stage::State, text)
    }

    /// Adds the number of the operating system's error.
    #[must_use]
    pub fn with_os_error(mut self, os_error: Option<i32>) -> Self {
        self.0.os_error = os_error;
        self
    }

    /// Adds the return code of the CONNACK that refused the connection.
    #[must_use]
    pub(crate) fn with_connack(mut self, code: u8) -> Self {
        self.0.connack = Some(code);
        self
    }

    /// Adds what the TLS implementation itself calls the failure.
    #[must_use]
    pub(crate) fn with_tls_detail(mut self, detail: &impl fmt::Display) -> Self {
        let mut text = detail.to_string();
        text.truncate(text.floor_char_boundary(TLS_DETAIL_LEN));
        self.0.tls = Some(text.into());
        self
    }

    /// Gives it a hint of its own, where the one for kind and stage would mislead.
    #[must_use]
    pub(crate) fn with_hint(mut self, hint: &'static str) -> Self {
        self.0.hint = Some(hint);
        self
    }

    /// Adds the failure behind this one.
    #[must_use]
    pub(crate) fn caused_by(mut self, cause: Option<Self>) -> Self {
        self.0.cause = cause;
        self
    }

    /// The failure behind this one, or this one.
    fn root(&self) -> &Inner {
        self.0.cause.as_ref().map_or(&self.0, Self::root)
    }

    /// What to branch on.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// Where it happened; where the failure behind it happened, if there is one.
    pub fn stage(&self) -> Stage {
        self.root().stage
    }

    /// The operating system's error number, if the failure came from there.
    pub fn os_error(&self) -> Option<i32> {
        self.root().os_error
    }

    /// The return code of the CONNACK that refused the connection, if that is what happened.
    pub fn connack_code(&self) -> Option<u8> {
        self.root().connack
    }

    /// What the TLS implementation itself calls the failure, such as `invalid peer certificate:
    /// UnknownIssuer`, if the failure came from there. For support, not for branching.
    pub fn tls_detail(&self) -> Option<&str> {
        self.root().tls.as_deref()
    }
}

/// `<stage>: <context>`, except for arguments, whose context names the argument already.
impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Inner {
            stage,
            context,
            cause,
            ..
        } = &*self.0;
        match stage {
            Stage::Argument | Stage::State => f.write_str(context)?,
            stage => write!(f, "{}: {context}", stage.name())?,
        }
        match cause {
            Some(cause) => write!(f, "; before that, {cause}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        let cause = self.0.cause.as_ref()?;
        Some(cause)
    }
}
