//! Decisions: who, where, how, and what to do next. No input or output, thread, clock or lock.
//!
//! Time arrives as a `Duration`, randomness as a number, so every rule here can be tested exactly.

#![forbid(unsafe_code)]
#![allow(
    unreachable_pub,
    reason = "the crate root re-exports what users see; the rest is public to the layers above"
)]

pub(crate) mod backoff;
pub(crate) mod budget;
pub(crate) mod certificate;
pub(crate) mod codec;
pub(crate) mod config;
pub(crate) mod credentials;
pub(crate) mod device;
mod direct;
pub(crate) mod endpoint;
pub(crate) mod event;
pub(crate) mod identity;
mod identity_text;
pub(crate) mod inbox;
pub(crate) mod json;
mod keepalive;
pub(crate) mod outbox;
pub(crate) mod profile;
pub(crate) mod proxy;
pub(crate) mod qos;
pub(crate) mod queue;
pub(crate) mod registration;
mod ring;
pub(crate) mod routes;
mod session;
mod shaper;
pub(crate) mod sign;
pub(crate) mod signcheck;
pub(crate) mod spares;
mod text;
pub(crate) mod topic;
mod trie;
pub(crate) mod trust;
pub(crate) mod way;
pub(crate) mod websocket;
