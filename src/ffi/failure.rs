//! From an error to a code and a sentence; the only writer of the last error.

use std::cell::RefCell;
use std::fmt;

use super::result::aliot_result;
use super::types::aliot_stage;
use crate::error::{Error, ErrorKind, Stage};

thread_local! {
    static LAST_ERROR: RefCell<Explanation> = const { RefCell::new(Explanation::NONE) };
}

/// What there is to say about a failure besides its code.
#[derive(Clone)]
pub(super) struct Explanation {
    pub(super) message: String,
    pub(super) stage: aliot_stage,
    pub(super) os_error: i32,
    pub(super) connack_code: u8,
    pub(super) hint: &'static str,
}

impl Explanation {
    /// Of a success.
    const NONE: Self = Self {
        message: String::new(),
        stage: aliot_stage::None,
        os_error: 0,
        connack_code: 0,
        hint: "",
    };
}

/// Why an exported function did not do what it was asked. Boxed: it is rare and large.
pub(super) struct Failure(Box<(aliot_result, Explanation)>);

/// Of a failure that only this layer knows.
#[cold]
#[inline(never)]
fn at_the_boundary(code: aliot_result, message: String) -> Failure {
    let stage = aliot_stage::Argument;
    Failure(Box::new((
        code,
        Explanation {
            message,
            stage,
            ..Explanation::NONE
        },
    )))
}

impl Failure {
    /// `name` is the argument that must not be NULL.
    #[cold]
    #[inline(never)]
    pub(super) fn null(name: &str) -> Self {
        at_the_boundary(aliot_result::NullPointer, format!("{name} is NULL"))
    }

    /// `name` is the argument; `problem` says its value and what is allowed.
    pub(super) fn invalid(name: &str, problem: impl fmt::Display) -> Self {
        Error::argument(name, problem).into()
    }

    /// `name` is text whose first `valid` bytes are UTF-8 and the next is not.
    #[cold]
    #[inline(never)]
    pub(super) fn not_utf8(name: &str, valid: usize) -> Self {
        at_the_boundary(
            aliot_result::InvalidUtf8,
            format!("{name} is not UTF-8 at byte {valid}"),
        )
    }

    /// No live object has the handle.
    pub(super) fn bad_handle(message: String) -> Self {
        at_the_boundary(aliot_result::BadHandle, message)
    }

    /// `buffer` has `capacity` bytes, and `needed` with the NUL would do.
    pub(super) fn too_small(capacity: usize, needed: usize) -> Self {
        at_the_boundary(
            aliot_result::BufferTooSmall,
            format!("capacity is {capacity}: {needed} bytes are needed"),
        )
    }

    /// The sentence for [`last_error`].
    pub(super) fn message(&self) -> &str {
        let (_, explanation) = &*self.0;
        &explanation.message
    }

    /// A defect of the library.
    pub(super) fn internal(text: String) -> Self {
        Error::new(ErrorKind::Internal, Stage::Library, text).into()
    }
}

impl From<Error> for Failure {
    #[cold]
    #[inline(never)]
    fn from(error: Error) -> Self {
        Self(Box::new((
            code_of(error.kind()),
            Explanation {
                message: error.to_string(),
                stage: error.stage().into(),
                os_error: error.os_error().unwrap_or(0),
                connack_code: error.connack_code().unwrap_or(0),
                hint: error.hint().unwrap_or_default(),
            },
        )))
    }
}

/// Turns the outcome of a call into its code. The only writer of the last error.
#[inline(never)]
pub(super) fn report(outcome: Result<(), Failure>) -> aliot_result {
    let (code, explanation) = match outcome {
        Ok(()) => (aliot_result::Ok, Explanation::NONE),
        Err(failure) => *failure.0,
    };
    // Fails only while the thread is being torn down: then nobody is left to ask.
    let _ = LAST_ERROR.try_with(|last| last.replace(explanation));
    code
}

/// Shows `read` the last error of this thread.
pub(super) fn last_error<T>(read: impl FnOnce(&str) -> T) -> T {
    read(&explanation().message)
}

/// All about the last error of this thread.
pub(super) fn explanation() -> Explanation {
    LAST_ERROR
        .try_with(|last| last.borrow().clone())
        .unwrap_or(Explanation::NONE)
}

/// The code of the header for each kind of error.
pub(super) fn code_of(kind: ErrorKind) -> aliot_result {
    match kind {
        ErrorKind::InvalidArgument => aliot_result::InvalidArgument,
        ErrorKind::InvalidState => aliot_result::InvalidState,
        ErrorKind::OutboxFull => aliot_result::OutboxFull,
        ErrorKind::Timeout => aliot_result::Timeout,
        ErrorKind::Cancelled => aliot_result::Cancelled,
        ErrorKind::Destroyed => aliot_result::BadHandle,
        ErrorKind::WouldDeadlock => aliot_result::WouldDeadlock,
        ErrorKind::Expired => aliot_result::Expired,
        ErrorKind::Closing => aliot_result::Closing,
        ErrorKind::Dropped => aliot_result::Dropped,
        ErrorKind::Dns => aliot_result::Dns,
        ErrorKind::Network => aliot_result::Network,
        ErrorKind::ConnectTimeout => aliot_result::ConnectTimeout,
        ErrorKind::ClosedByPeer => aliot_result::ClosedByPeer,
        ErrorKind::TlsConfig => aliot_result::TlsConfig,
        ErrorKind::TlsHandshake => aliot_result::TlsHandshake,
        ErrorKind::TlsCertificate => aliot_result::TlsCertificate,
        ErrorKind::Protocol => aliot_result::Protocol,
        ErrorKind::KeepAliveTimeout => aliot_result::KeepAliveTimeout,
        ErrorKind::BadCredentials => aliot_result::BadCredentials,
        ErrorKind::BadClientId => aliot_result::BadClientId,
        ErrorKind::ServerUnavailable => aliot_result::ServerUnavailable,
        ErrorKind::NotAuthorized => aliot_result::NotAuthorized,
        ErrorKind::UnsupportedProtocol => aliot_result::UnsupportedProtocol,
        ErrorKind::SubscriptionRefused => aliot_result::SubscriptionRefused,
        ErrorKind::TakenOver => aliot_result::TakenOver,
        ErrorKind::InboxOverflow => aliot_result::InboxOverflow,
        ErrorKind::RegistrationRefused => aliot_result::RegistrationRefused,
        ErrorKind::RegistrationMalformed => aliot_result::RegistrationMalformed,
        ErrorKind::RegistrationUnanswered => aliot_result::RegistrationUnanswered,
        ErrorKind::RegistrationNotStored => aliot_result::RegistrationNotStored,
        ErrorKind::Proxy => aliot_result::Proxy,
        ErrorKind::FileNotFound => aliot_result::FileNotFound,
        ErrorKind::FileAccess => aliot_result::FileAccess,
        ErrorKind::FileExposed => aliot_result::FileExposed,
        ErrorKind::FileDamaged => aliot_result::FileDamaged,
        ErrorKind::Internal => aliot_result::Internal,
        ErrorKind::NoResources => aliot_result::NoResources,
    }
}
