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

/// Which roots the server's certificate must lead to.
#[derive(Clone, Debug)]
pub(crate) enum Trust {
    /// The platform's roots, which the library carries.
    BuiltIn,
    /// These certificates, as PEM text.
    Pem(std::sync::Arc<[u8]>),
    /// The certificates in this PEM file, read at each connect.
    File(std::path::PathBuf),
}
