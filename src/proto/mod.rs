//! Decisions: who, where, how, and what to do next. No input or output, thread, clock or lock.
//!
//! Time arrives as a `Duration`, randomness as a number, so every rule here can be tested exactly.

#![forbid(unsafe_code)]

pub(crate) mod backoff;
pub(crate) mod budget;
pub(crate) mod config;
pub(crate) mod credentials;
pub(crate) mod endpoint;
pub(crate) mod identity;
pub(crate) mod profile;
pub(crate) mod qos;
pub(crate) mod routes;
pub(crate) mod sign;
mod text;
pub(crate) mod topic;
mod trie;
