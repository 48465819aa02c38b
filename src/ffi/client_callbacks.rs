//! Callbacks of a client: from the handlers of the safe API to functions of C.

use std::ffi::c_void;
use std::ptr::{null, without_provenance_mut};

use super::callback::UserData;
use super::client::CLIENTS;
use super::events::{
    aliot_completion, aliot_completion_cb, aliot_event, aliot_event_cb, aliot_event_kind,
    aliot_message, aliot_message_cb, aliot_release_cb,
};
use super::failure::code_of;
use super::guard::guard;
use super::identity::lend_for_call;
use super::result::aliot_result;
use super::text::CText;
use super::types::{aliot_client, aliot_qos, aliot_stage};
use crate::{
    Completion, CompletionHandler, Error, Event, EventHandler, EventKind, Message, MessageHandler,
};

/// Sets the callback that receives the client's events; NULL removes it.
///
/// With a NULL `on_event`, `userdata` and `release` are ignored.
///
/// # Errors
///
/// ALIOT_RESULT_INVALID_STATE unless the client is stopped.
///
/// # Safety
///
/// `userdata` must be usable from one thread at a time until it is released.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn aliot_client_set_event_callback(
    client: *mut aliot_client,
    on_event: aliot_event_cb,
    userdata: *mut c_void,
    release: aliot_release_cb,
) -> aliot_result {
    guard(|| {
        let target = CLIENTS.get(client)?;
        let make = on_event.map(|on_event| {
            move || -> EventHandler {
                // SAFETY: the contract of this function. From here on the library owns the data.
                let userdata = unsafe { UserData::new(userdata, release) };
                let (client, mut texts) = (client.addr(), Texts::default());
                Box::new(move |event: &Event| {
                    let mut for_c = event_for_c(event, &mut texts);
                    let client = without_provenance_mut(client);
                    let mut call = |identity| {
                        for_c.identity = identity;
                        // SAFETY: the callback's contract; the event lives until it returns.
                        unsafe { on_event(client, &raw const for_c, userdata.as_ptr()) }
                    };
                    match &event.identity {
                        // Nothing is delivered only if there are no handles left.
                        Some(identity) => drop(lend_for_call(identity, call)),
                        None => call(null()),
                    }
                })
            }
        });
        Ok(target.set_event_handler(make)?)
    })
}

/// Sets the callback that receives the end of each operation; NULL removes it.
///
/// Operations are messages, subscriptions and their ends. Each has a completion, also without a
/// token, except a QoS 0 message without one. With a NULL `on_completion`, `userdata` and `release`
/// are ignored.
///
/// # Errors
///
/// ALIOT_RESULT_INVALID_STATE unless the client is stopped.
///
/// # Safety
///
/// `userdata` must be usable from one thread at a time until it is released.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn aliot_client_set_completion_callback(
    client: *mut aliot_client,
    on_completion: aliot_completion_cb,
    userdata: *mut c_void,
    release: aliot_release_cb,
) -> aliot_result {
    guard(|| {
        let target = CLIENTS.get(client)?;
        let make = on_completion.map(|on_completion| {
            move || -> CompletionHandler {
                // SAFETY: the contract of this function. From here on the library owns the data.
                let userdata = unsafe { UserData::new(userdata, release) };
                let (client, mut texts) = (client.addr(), Texts::default());
                Box::new(move |completion: &Completion| {
                    let completion = completion_for_c(completion, &mut texts);
                    let client = without_provenance_mut(client);
                    // SAFETY: the callback's contract; the completion lives until it returns.
                    unsafe { on_completion(client, &raw const completion, userdata.as_ptr()) }
                })
            }
        });
        Ok(target.set_completion_handler(make)?)
    })
}

/// Sets the callback for messages that match no subscription; NULL removes it.
///
/// The platform subscribes devices to some of its topics on its own. Without this callback such
/// messages are acknowledged and discarded. With a NULL `on_message`, `userdata` and `release` are
/// ignored.
///
/// # Errors
///
/// ALIOT_RESULT_INVALID_STATE unless the client is stopped.
///
/// # Safety
///
/// `userdata` must be usable from one thread at a time until it is released.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn aliot_client_set_message_callback(
    client: *mut aliot_client,
    on_message: aliot_message_cb,
    userdata: *mut c_void,
    release: aliot_release_cb,
) -> aliot_result {
    guard(|| {
        let target = CLIENTS.get(client)?;
        let make = on_message.map(|on_message| {
            // SAFETY: the contract of this function. Once called, the library owns the user data.
            move || unsafe { message_handler(client, on_message, userdata, release) }
        });
        Ok(target.set_message_handler(make)?)
    })
}

/// A handler that owns the user data and passes messages to C.
///
/// # Safety
///
/// `userdata` must be usable from one thread at a time until it is released, by `on_message` too.
pub(super) unsafe fn message_handler(
    client: *mut aliot_client,
    on_message: unsafe extern "C" fn(*mut aliot_client, *const aliot_message, *mut c_void),
    userdata: *mut c_void,
    release: aliot_release_cb,
) -> MessageHandler {
    // SAFETY: the contract of this function.
    let userdata = unsafe { UserData::new(userdata, release) };
    let (client, mut topic) = (client.addr(), CText::new(""));
    Box::new(move |message: &Message<'_>| {
        let message = message_for_c(message, &mut topic);
        let client = without_provenance_mut(client);
        // SAFETY: the callback's contract; the message lives until it returns.
        unsafe { on_message(client, &raw const message, userdata.as_ptr()) }
    })
}

/// The texts of an event or a completion while C looks at them.
#[derive(Default)]
struct Texts {
    text: CText,
    hint: CText,
    tls_detail: CText,
}

fn event_for_c(event: &Event, texts: &mut Texts) -> aliot_event {
    let retry_in = event.retry_in.map_or(0, |delay| delay.as_millis());
    let error = event.error.as_ref();
    aliot_event {
        kind: match event.kind {
            EventKind::Connecting => aliot_event_kind::Connecting,
            EventKind::Connected => aliot_event_kind::Connected,
            EventKind::ConnectFailed => aliot_event_kind::ConnectFailed,
            EventKind::Disconnected => aliot_event_kind::Disconnected,
            EventKind::Stopped => aliot_event_kind::Stopped,
            EventKind::TakenOver => aliot_event_kind::TakenOver,
            EventKind::MessagesDropped => aliot_event_kind::MessagesDropped,
            EventKind::SubscriptionLost => aliot_event_kind::SubscriptionLost,
            EventKind::CertificateExpiresSoon => aliot_event_kind::CertificateExpiresSoon,
            EventKind::IdentityReceived => aliot_event_kind::IdentityReceived,
        },
        reason: error.map_or(aliot_result::Ok, |error| code_of(error.kind())),
        text: texts.text.set(&event.text),
        session_present: event.session_present,
        will_retry: event.retry_in.is_some(),
        retry_in_ms: u32::try_from(retry_in).unwrap_or(u32::MAX),
        messages_dropped: event.dropped,
        stage: error.map_or(aliot_stage::None, |error| error.stage().into()),
        os_error: error.and_then(Error::os_error).unwrap_or(0),
        connack_code: error.and_then(Error::connack_code).unwrap_or(0),
        hint: texts.hint.set(error.and_then(Error::hint).unwrap_or("")),
        tls_detail: {
            let detail = error.and_then(Error::tls_detail);
            texts.tls_detail.set(detail.unwrap_or(""))
        },
        identity: null(),
        certificate_ends_s: event.certificate_ends.unwrap_or(0),
    }
}

fn completion_for_c(completion: &Completion, texts: &mut Texts) -> aliot_completion {
    let (result, text, granted) = match &completion.result {
        Ok(granted) => (aliot_result::Ok, String::new(), *granted),
        Err(error) => (code_of(error.kind()), error.to_string(), None),
    };
    let (text, error) = (texts.text.set(&text), completion.result.as_ref().err());
    aliot_completion {
        token: completion.token.get(),
        result,
        text,
        granted_qos: granted.map_or(aliot_qos::AtMostOnce, Into::into),
        stage: error.map_or(aliot_stage::None, |error| error.stage().into()),
        hint: texts.hint.set(error.and_then(Error::hint).unwrap_or("")),
    }
}

/// `topic` keeps the message's topic while C looks at it.
fn message_for_c(message: &Message<'_>, topic: &mut CText) -> aliot_message {
    let payload = if message.payload.is_empty() {
        c"".to_bytes_with_nul()
    } else {
        message.payload
    };
    aliot_message {
        topic: topic.set(message.topic),
        payload: payload.as_ptr(),
        payload_len: message.payload.len(),
        qos: message.qos.into(),
        duplicate: message.duplicate,
        retained: message.retained,
    }
}
