//! Alibaba Cloud IoT Platform on the developer's desk: it checks devices as the platform does, says
//! what is wrong with them, passes messages, and breaks connections on request.
//!
//! It shares no code with libaliot except the packet codec: passwords are checked by what the
//! platform's documentation says, so that both sides cannot be wrong in the same way.
//!
//! ```
//! use aliot_sim::{Options, Sim};
//!
//! let sim = Sim::start(Options::default())?;
//! sim.add_device("a1B2c3D4e5F", "thermometer", "a-device-secret");
//! assert!(sim.tls_addr().is_some() && sim.connections().is_empty());
//! # Ok::<(), aliot_sim::Error>(())
//! ```
#![cfg_attr(
    not(test),
    deny(
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic,
        clippy::todo,
        clippy::unimplemented,
        clippy::unreachable,
        clippy::unwrap_used
    )
)]

mod admit;
mod application;
mod auth;
mod broker;
mod certs;
mod client_id;
pub mod config;
mod connection;
mod control;
mod diagnose;
mod drive;
mod error;
mod faults;
mod feed;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzz_support;
mod http;
mod journal;
mod limits;
mod listen;
mod messages;
mod options;
mod outbox;
mod packet;
mod platform;
mod random;
mod redact;
mod register;
pub mod registry;
mod session;
pub mod signature;
mod sim;
mod state;
mod store;
mod topics;

pub use auth::Transport;
pub use certs::DeviceCertificate;
pub use error::Error;
pub use faults::{Early, Ending, Faults, Phase};
pub use options::{Certificate, LogOutput, Options, TlsVersions};
pub use sim::Sim;
pub use state::{Connection, Qos, Received, View};
