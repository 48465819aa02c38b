//! The package as its users meet it: installed once, moved to another place, and used from there
//! by projects outside the source tree. Each links, runs, and has a message acknowledged by a
//! simulator.

#![cfg(target_os = "linux")]

mod consumers;
mod offline;
mod stage;
mod sysroot;
mod toolbox;
