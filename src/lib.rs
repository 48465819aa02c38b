//! Device client for Alibaba Cloud IoT Platform, for C and Rust.

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

mod engine;
pub mod error;
pub mod log;
pub mod secret;
