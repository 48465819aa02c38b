//! What the network, the peer and the process do to a client, and what must hold all the same.
//! README.md beside this file says which fault has which test.

mod alone;
mod blocked;
mod chaos;
mod dialects;
mod leaks;
mod namespace;
mod process;
mod proxy;
mod ran;
mod sigpipe;
mod silence;
#[path = "../behaviour/support/mod.rs"]
#[allow(dead_code, reason = "the behaviour tests use more of it")]
mod support;
mod table;
mod tls;
mod transport;
