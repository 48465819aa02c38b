//! The part that does: threads, sockets, TLS and the clock. It decides nothing.

#[cfg(not(all(test, feature = "loom")))]
mod alarm;
mod blocking;
mod budgets;
pub(crate) mod clock;
pub(crate) mod dial;
pub(crate) mod dispatch;
pub(crate) mod driver;
pub(crate) mod expiry;
pub(crate) mod goal;
pub(crate) mod hub;
pub(crate) mod link;
pub(crate) mod mailbox;
mod pem;
mod proxy;
pub(crate) mod registrar;
pub(crate) mod roots;
pub(crate) mod runtime;
mod socket;
pub(crate) mod sync;
pub(crate) mod tls;
mod tls_error;
mod trace;
mod verifier;
#[cfg(feature = "websocket")]
mod websocket;
pub(crate) mod wire;

#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests_client;
#[cfg(test)]
mod tests_dial;
#[cfg(test)]
mod tests_driver;
#[cfg(test)]
mod tests_expiry;
#[cfg(test)]
mod tests_link;
#[cfg(test)]
mod tests_matrix;
#[cfg(all(test, feature = "loom"))]
mod tests_models;
#[cfg(test)]
mod tests_registrar;
#[cfg(test)]
mod tests_tls;
#[cfg(test)]
mod tests_way;
#[cfg(all(test, feature = "websocket"))]
mod tests_websocket;
