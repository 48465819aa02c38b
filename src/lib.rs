//! Device client for Alibaba Cloud IoT Platform and for the private platforms that speak the same
//! protocol, over MQTT 3.1.1.
//!
//! An [`Identity`] says who the device is, an [`Endpoint`] where the platform is, a [`Config`] how
//! the client behaves. All three are checked when they are made: whatever can be refused is refused
//! before anything is dialled.

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

mod engine;
mod error;
mod log;
mod proto;
mod secret;

pub use error::{Error, ErrorKind, Stage};
pub use log::{Level, Record, Sink, enabled, set_sink};
pub use proto::backoff::Backoff;
pub use proto::budget::Budget;
pub use proto::config::Config;
pub use proto::credentials::Credentials;
pub use proto::endpoint::{Endpoint, Trust};
pub use proto::identity::Identity;
pub use proto::profile::Profile;
pub use proto::qos::Qos;
pub use proto::routes::{Route, Routes};
pub use proto::sign::{HexCase, SignMethod, connect_content, sign};
pub use proto::topic::{TopicFilter, TopicName, check_topic, sys_topic, user_topic};
pub use secret::Secret;
