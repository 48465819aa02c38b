//! Client: the connection, its operations and its state.

use std::ffi::{c_char, c_void};
use std::sync::{Arc, PoisonError};

use super::client_callbacks::message_handler;
use super::config::{CONFIGS, milliseconds};
use super::events::{aliot_message_cb, aliot_release_cb};
use super::failure::Failure;
use super::guard::{guard, guard_or};
use super::handle::Registry;
use super::ptr::{Out, bytes_arg, str_arg};
use super::result::aliot_result;
use super::runtime::RUNTIMES;
use super::types::{
    aliot_client, aliot_config, aliot_counter_raw, aliot_qos_raw, aliot_runtime, aliot_state,
    aliot_token, counter, qos,
};
use crate::{Client, Config, Error};

pub(super) static CLIENTS: Registry<Client> = Registry::new("client");

/// Makes a stopped client from a copy of `config`, on the runtime that clients share by default.
///
/// # Errors
///
/// ALIOT_RESULT_INVALID_ARGUMENT if the config's parts do not fit together;
/// ALIOT_RESULT_TLS_CONFIG if the endpoint's CA file has become unusable;
/// ALIOT_RESULT_NO_RESOURCES if the system has no thread or descriptor left.
///
/// # Safety
///
/// `client_out` must be NULL or valid for writing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn aliot_client_create(
    config: *const aliot_config,
    client_out: *mut *mut aliot_client,
) -> aliot_result {
    guard(|| {
        // SAFETY: the contract of this function.
        let out = unsafe { Out::required("client_out", client_out) }?;
        let client = Client::new(&copy(config)?)?;
        out.write(CLIENTS.insert(Arc::new(client))?);
        Ok(())
    })
}

/// Makes a stopped client from a copy of `config`, on `runtime`.
///
/// # Errors
///
/// As aliot_client_create.
///
/// # Safety
///
/// `client_out` must be NULL or valid for writing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn aliot_client_create_on_runtime(
    config: *const aliot_config,
    runtime: *mut aliot_runtime,
    client_out: *mut *mut aliot_client,
) -> aliot_result {
    guard(|| {
        // SAFETY: the contract of this function.
        let out = unsafe { Out::required("client_out", client_out) }?;
        let config = copy(config)?;
        let client = Client::on_runtime(&config, &*RUNTIMES.get(runtime)?)?;
        out.write(CLIENTS.insert(Arc::new(client))?);
        Ok(())
    })
}

/// Stops at once, cancels what is queued and releases all user data.
///
/// The handle is bad from the start of the call on, also for the callbacks that deliver the
/// cancelled completions. Outside callbacks it waits for a callback of the client that is running
/// on another thread, and delivers the remaining completions and releases inside this call, on
/// either kind of runtime: when it returns, no callback of the client runs or will run.
///
/// It does not wait for the network. From an open connection the library takes its leave in the
/// background, with a DISCONNECT, in 2 seconds at most; a process that ends sooner leaves without.
///
/// Inside a callback, of this client or of another, it does not wait: the completions and releases,
/// and nothing else, run where the client's callbacks run, after the one that may be running, or
/// where aliot_runtime_destroy says if that was called for an ALIOT_DISPATCH_POLL runtime. NULL and
/// a destroyed handle do nothing, and do not wait for another thread that is destroying it.
#[unsafe(no_mangle)]
pub extern "C" fn aliot_client_destroy(client: *mut aliot_client) {
    guard_or((), || {
        if let Some(client) = CLIENTS.remove(client) {
            client.destroy();
        }
        Ok(())
    });
}

/// Connects, and stays connected until aliot_client_stop. Does not wait; events tell how it goes.
///
/// # Errors
///
/// ALIOT_RESULT_INVALID_STATE unless the client is stopped.
#[unsafe(no_mangle)]
pub extern "C" fn aliot_client_start(client: *mut aliot_client) -> aliot_result {
    guard(|| Ok(CLIENTS.get(client)?.start()?))
}

/// Stops once what is queued has been sent and acknowledged and the callbacks of the QoS 1 messages
/// that had arrived have returned, or `drain_timeout_ms` has passed.
///
/// So the message whose callback calls this is acknowledged, and does not come again after the next
/// start. On an ALIOT_DISPATCH_POLL runtime, callbacks return only if somebody polls.
///
/// Does not wait. Until the event STOPPED, publishing and subscribing answer ALIOT_RESULT_CLOSING;
/// what is left at the deadline completes with ALIOT_RESULT_CANCELLED. 0 stops at once. Without a
/// connection the drain goes on waiting for one: in an outage, 0 is the answer. DISCONNECT follows
/// the drain and takes 2 seconds at most. A stopped client can be started again, and keeps its
/// subscriptions and callbacks. Does nothing if the client is stopped.
#[unsafe(no_mangle)]
pub extern "C" fn aliot_client_stop(
    client: *mut aliot_client,
    drain_timeout_ms: u32,
) -> aliot_result {
    guard(|| Ok(CLIENTS.get(client)?.stop(milliseconds(drain_timeout_ms))?))
}

/// Ends the wait between two attempts, for an application that knows the network is back.
///
/// The platform's limit of connects in a minute holds.
///
/// Connected: asks the platform whether it is still there, for an application that knows that the
/// device slept or the network changed. If no answer comes within the time that
/// aliot_config_set_ping_timeout_ms allows, the link is dead and the client connects anew. While an
/// answer is awaited, it asks for no second one. Does nothing in any other state.
#[unsafe(no_mangle)]
pub extern "C" fn aliot_client_retry_now(client: *mut aliot_client) -> aliot_result {
    guard(|| Ok(CLIENTS.get(client)?.retry_now()?))
}

/// What the connection is doing; ALIOT_STATE_STOPPED for a bad handle.
#[unsafe(no_mangle)]
pub extern "C" fn aliot_client_state(client: *const aliot_client) -> aliot_state {
    guard_or(aliot_state::Stopped, || {
        Ok(CLIENTS.get(client)?.state().into())
    })
}

/// Blocks until the client is connected, for at most `timeout_ms`.
///
/// # Errors
///
/// ALIOT_RESULT_TIMEOUT; ALIOT_RESULT_INVALID_STATE if the client is stopped or stopping, by the
/// application or, with the policies for that, by itself. With both, aliot_last_error and the
/// functions beside it also say why the last attempt failed or the last connection ended, if that is
/// the cause. ALIOT_RESULT_CANCELLED if it is destroyed meanwhile; ALIOT_RESULT_WOULD_DEADLOCK
/// inside a callback.
#[unsafe(no_mangle)]
pub extern "C" fn aliot_client_wait_connected(
    client: *mut aliot_client,
    timeout_ms: u32,
) -> aliot_result {
    guard(|| {
        let client = CLIENTS.get(client)?;
        Ok(client.wait_connected(milliseconds(timeout_ms))?)
    })
}

/// Blocks until every operation accepted before this call has ended, for at most `timeout_ms`.
///
/// ALIOT_RESULT_OK says that they have ended; how, their completions say. No callback has to run
/// for it, so the thread that polls a runtime may wait as well.
///
/// # Errors
///
/// ALIOT_RESULT_TIMEOUT; ALIOT_RESULT_CANCELLED if the client is destroyed meanwhile;
/// ALIOT_RESULT_WOULD_DEADLOCK inside a callback.
#[unsafe(no_mangle)]
pub extern "C" fn aliot_client_wait_flushed(
    client: *mut aliot_client,
    timeout_ms: u32,
) -> aliot_result {
    guard(|| {
        let client = CLIENTS.get(client)?;
        Ok(client.wait_flushed(milliseconds(timeout_ms))?)
    })
}

/// Blocks until at least half of the outbox is free, and half of the room for completions that the
/// application has not taken, for at most `timeout_ms`.
///
/// For a program that publishes as fast as the network takes it: after ALIOT_RESULT_OUTBOX_FULL,
/// wait and publish again. With a runtime that is polled, call aliot_runtime_poll before that:
/// nothing else takes completions.
///
/// # Errors
///
/// ALIOT_RESULT_TIMEOUT; ALIOT_RESULT_CANCELLED if the client is destroyed meanwhile;
/// ALIOT_RESULT_WOULD_DEADLOCK inside a callback.
#[unsafe(no_mangle)]
pub extern "C" fn aliot_client_wait_room(
    client: *mut aliot_client,
    timeout_ms: u32,
) -> aliot_result {
    guard(|| {
        let client = CLIENTS.get(client)?;
        Ok(client.wait_room(milliseconds(timeout_ms))?)
    })
}

/// Blocks until the client has stopped, for at most `timeout_ms`. Does not stop it.
///
/// # Errors
///
/// ALIOT_RESULT_TIMEOUT; ALIOT_RESULT_CANCELLED if the client is destroyed meanwhile;
/// ALIOT_RESULT_WOULD_DEADLOCK inside a callback.
#[unsafe(no_mangle)]
pub extern "C" fn aliot_client_wait_stopped(
    client: *mut aliot_client,
    timeout_ms: u32,
) -> aliot_result {
    guard(|| {
        let client = CLIENTS.get(client)?;
        Ok(client.wait_stopped(milliseconds(timeout_ms))?)
    })
}

/// Queues a message, connected or not.
///
/// `topic` is 1 to 128 bytes without '+' and '#'; a topic of the product's own has at most seven
/// slashes. `payload` is up to 262144 bytes; NULL with length 0 is an empty one. Both are copied.
///
/// `token_out` receives the token of the completion, which may come before this call returns. With
/// NULL, a QoS 0 message has no completion; MESSAGES_DROPPED tells if it was lost.
///
/// A QoS 0 message is done when the system has taken it, or TLS, which holds up to 32 KiB that the
/// system has not taken. Whether it arrives is not known to anybody: QoS 1 is for that.
///
/// Messages of one QoS are sent in the order in which they were accepted; those of the two may
/// overtake each other.
///
/// A QoS 1 message is sent on each connection until it is acknowledged. A platform may close the
/// connection instead, because the device has no right to the topic: that message and those behind
/// it then stay until it expires (aliot_client_publish_expiring) or the client is stopped. Nothing
/// else gives it up. From the third such connection in a row on, DISCONNECTED has
/// ALIOT_RESULT_CLOSED_BY_PEER, ALIOT_STAGE_PLATFORM, and a text that names topic and token.
///
/// # Errors
///
/// ALIOT_RESULT_INVALID_ARGUMENT; ALIOT_RESULT_OUTBOX_FULL; ALIOT_RESULT_CLOSING while
/// aliot_client_stop drains.
///
/// # Safety
///
/// `topic` must be NULL or NUL-terminated, `payload` NULL or point to `payload_len` bytes,
/// `token_out` NULL or valid for writing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn aliot_client_publish(
    client: *mut aliot_client,
    topic: *const c_char,
    payload: *const c_void,
    payload_len: usize,
    qos: aliot_qos_raw,
    token_out: *mut aliot_token,
) -> aliot_result {
    guard(|| {
        // SAFETY: the contract of this function.
        let out = unsafe { Out::optional(token_out) };
        let client = CLIENTS.get(client)?;
        // SAFETY: the contract of this function.
        let topic = unsafe { str_arg("topic", topic) }?;
        // SAFETY: the contract of this function.
        let payload = unsafe { bytes_arg("payload", payload, payload_len) }?;
        let token = client.publish(topic, payload, self::qos(qos)?, out.is_some())?;
        if let (Some(out), Some(token)) = (out, token) {
            out.write(token.get());
        }
        Ok(())
    })
}

/// Queues a QoS 1 message that is of no use later than `lifetime_ms` milliseconds from now, 1 or
/// more.
///
/// If it has not been acknowledged by then, it completes as ALIOT_RESULT_EXPIRED: it may have been
/// delivered. Everything else is as with aliot_client_publish; `token_out` may be NULL.
///
/// # Errors
///
/// As aliot_client_publish.
///
/// # Safety
///
/// As aliot_client_publish.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn aliot_client_publish_expiring(
    client: *mut aliot_client,
    topic: *const c_char,
    payload: *const c_void,
    payload_len: usize,
    lifetime_ms: u32,
    token_out: *mut aliot_token,
) -> aliot_result {
    guard(|| {
        // SAFETY: the contract of this function.
        let out = unsafe { Out::optional(token_out) };
        let client = CLIENTS.get(client)?;
        // SAFETY: the contract of this function.
        let topic = unsafe { str_arg("topic", topic) }?;
        // SAFETY: the contract of this function.
        let payload = unsafe { bytes_arg("payload", payload, payload_len) }?;
        if lifetime_ms == 0 {
            return Err(Error::argument("lifetime_ms", "is 0: at least 1 is needed").into());
        }
        let token = client.publish_expiring(topic, payload, milliseconds(lifetime_ms))?;
        if let (Some(out), Some(token)) = (out, token) {
            out.write(token.get());
        }
        Ok(())
    })
}

/// Calls `on_message` for every message whose topic matches `filter`, now and after every
/// reconnect. Allowed in every state, before the first start as well.
///
/// The completion says what the platform granted. Subscribing to the same filter again replaces its
/// callback and releases the user data of the former one. `token_out` may be NULL.
///
/// # Errors
///
/// ALIOT_RESULT_INVALID_ARGUMENT if `filter` is not a topic filter of at most 128 bytes, and for
/// more than 100 subscriptions; ALIOT_RESULT_OUTBOX_FULL; ALIOT_RESULT_CLOSING while
/// aliot_client_stop drains. After an error `userdata` has not been touched.
///
/// # Safety
///
/// `filter` must be NULL or NUL-terminated, `token_out` NULL or valid for writing. `userdata` must
/// be usable from one thread at a time until it is released.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn aliot_client_subscribe(
    client: *mut aliot_client,
    filter: *const c_char,
    qos: aliot_qos_raw,
    on_message: aliot_message_cb,
    userdata: *mut c_void,
    release: aliot_release_cb,
    token_out: *mut aliot_token,
) -> aliot_result {
    guard(|| {
        // SAFETY: the contract of this function.
        let out = unsafe { Out::optional(token_out) };
        let target = CLIENTS.get(client)?;
        // SAFETY: the contract of this function.
        let filter = unsafe { str_arg("filter", filter) }?;
        let qos = self::qos(qos)?;
        let on_message = on_message.ok_or_else(|| Failure::null("on_message"))?;
        let token = target.subscribe(filter, qos, || {
            // SAFETY: the contract of this function. From here on the library owns the data.
            unsafe { message_handler(client, on_message, userdata, release) }
        })?;
        if let Some(out) = out {
            out.write(token.get());
        }
        Ok(())
    })
}

/// Ends the subscription to `filter` and releases its user data. `token_out` may be NULL.
///
/// Its callback gets nothing that arrives from now on. A filter that was never subscribed to is sent
/// all the same, for the platform subscribes devices to some topics on its own.
///
/// # Errors
///
/// ALIOT_RESULT_INVALID_ARGUMENT if `filter` is not a topic filter of at most 128 bytes;
/// ALIOT_RESULT_OUTBOX_FULL; ALIOT_RESULT_CLOSING while aliot_client_stop drains.
///
/// # Safety
///
/// `filter` must be NULL or NUL-terminated, `token_out` NULL or valid for writing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn aliot_client_unsubscribe(
    client: *mut aliot_client,
    filter: *const c_char,
    token_out: *mut aliot_token,
) -> aliot_result {
    guard(|| {
        // SAFETY: the contract of this function.
        let out = unsafe { Out::optional(token_out) };
        let client = CLIENTS.get(client)?;
        // SAFETY: the contract of this function.
        let token = client.unsubscribe(unsafe { str_arg("filter", filter) }?)?;
        if let Some(out) = out {
            out.write(token.get());
        }
        Ok(())
    })
}

/// A counter of the client; 0 for a bad handle and for a value that is not one of aliot_counter.
#[unsafe(no_mangle)]
pub extern "C" fn aliot_client_counter(
    client: *const aliot_client,
    counter: aliot_counter_raw,
) -> u64 {
    guard_or(0, || {
        Ok(CLIENTS.get(client)?.counter(self::counter(counter)?))
    })
}

fn copy(config: *const aliot_config) -> Result<Config, Failure> {
    let config = CONFIGS.get(config)?;
    let config = config.lock().unwrap_or_else(PoisonError::into_inner);
    Ok(config.clone())
}
