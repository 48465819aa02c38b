//! Device client for Alibaba Cloud IoT Platform and for the private platforms that speak the same
//! protocol, over MQTT 3.1.1.
//!
//! An [`Identity`] says who the device is, an [`Endpoint`] where the platform is, a [`Config`] how
//! the client behaves. All three are checked when they are made: whatever can be refused is refused
//! before anything is dialled. A [`Client`] runs the device: it connects, stays connected, and
//! publishes and receives.
//!
//! The C interface, `aliot.h`, is generated from [`ffi`]; it adds nothing to what is here.

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing,
        clippy::unreachable,
        clippy::todo,
        clippy::unimplemented
    )
)]

#[cfg(feature = "bench")]
#[doc(hidden)]
pub mod bench_support;
mod client;
mod engine;
mod error;
pub mod ffi;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzz_support;
mod identity_file;
mod log;
pub(crate) mod proto;
mod register;
mod secret;
#[cfg(test)]
mod tests_left_out;
mod trust;
mod wall_clock;

pub use client::{Client, Counter};
pub use engine::mailbox::{CompletionHandler, EventHandler, Message, MessageHandler};
pub use engine::registrar::RegistrationHandler;
pub use engine::runtime::{Dispatch, Runtime};
pub use error::{Error, ErrorKind, Stage};
pub use log::{Level, Record, Sink, enabled, set_sink};
pub use proto::backoff::Backoff;
pub use proto::config::{Config, OutboxPolicy, TakeOverPolicy};
pub use proto::credentials::Credentials;
pub use proto::endpoint::Endpoint;
pub use proto::event::{Completion, Event, EventKind, State, Token};
pub use proto::identity::Identity;
pub use proto::profile::Profile;
pub use proto::qos::Qos;
pub use proto::registration::{Registration, RegistrationKind, RegistrationMode};
pub use proto::sign::{HexCase, SignMethod, connect_content, sign};
pub use proto::signcheck::{SignFinding, Submitted, check_signature};
pub use proto::topic::{TopicFilter, TopicName, sys_topic, user_topic};
pub use proto::trust::{TlsVersions, Trust};
pub use proto::way::AddressFamily;
pub use secret::Secret;
pub use wall_clock::{set_wall_clock, set_wall_clock_floor};
