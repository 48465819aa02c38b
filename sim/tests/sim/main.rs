//! The simulator seen from outside: by a client written by hand, by a foreign client, by a shell.

mod connections;
mod device;
mod messages;
mod program;
mod refusals;
mod signatures;
