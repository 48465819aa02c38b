//! The part that does: threads, sockets, TLS and the clock. It decides nothing.

#![cfg_attr(
    not(test),
    expect(dead_code, reason = "the driver, which dials, is not there yet")
)]

mod blocking;
pub(crate) mod clock;
pub(crate) mod dial;
pub(crate) mod link;
pub(crate) mod roots;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests_dial;
#[cfg(test)]
mod tests_link;
#[cfg(test)]
mod tests_tls;
pub(crate) mod tls;
mod tls_error;
