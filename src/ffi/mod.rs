//! The C interface: `include/aliot.h` is generated from here. It adds no behaviour.
//!
//! An exported function reads its arguments, finds its object, calls one function of the safe API
//! and reports. Rust programs use the crate's root instead.

#![allow(
    unsafe_code,
    reason = "this is the boundary to C; the rest of the crate has none"
)]
#![allow(
    non_camel_case_types,
    reason = "types carry the names they have in the header"
)]

mod callback;
mod choices;
mod client;
mod client_callbacks;
mod clock;
mod config;
mod config_policy;
mod config_private;
mod credentials;
mod endpoint;
mod events;
mod failure;
mod fork;
mod guard;
mod handle;
mod identity;
mod identity_file;
mod library;
mod log;
mod ptr;
mod register;
mod result;
mod runtime;
mod sign;
mod text;
mod topic;
mod trust;
mod types;
mod way;

pub use self::choices::*;
pub use self::client::*;
pub use self::client_callbacks::*;
pub use self::clock::*;
pub use self::config::*;
pub use self::config_policy::*;
pub use self::config_private::*;
pub use self::credentials::*;
pub use self::endpoint::*;
pub use self::events::*;
pub use self::identity::*;
pub use self::identity_file::*;
pub use self::library::*;
pub use self::log::*;
pub use self::register::*;
pub use self::result::*;
pub use self::runtime::*;
pub use self::sign::*;
pub use self::topic::*;
pub use self::trust::*;
pub use self::types::*;
pub use self::way::*;
