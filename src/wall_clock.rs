//! The date by which certificates are judged, for devices whose own clock cannot be relied on.

use std::sync::Arc;
use std::time::Duration;

use crate::engine::clock;

/// Asks `clock` for the date, as the time since 1970, instead of the system. `None` from it means
/// that it does not know either: then the system is asked. Serves the whole process.
///
/// It is called on network threads while they connect, by several at once, and must return at once.
/// `None` in its place leaves it to the system again.
pub fn set_wall_clock<C>(clock: Option<C>)
where
    C: Fn() -> Option<Duration> + Send + Sync + 'static,
{
    clock::set_wall_clock(clock.map(|clock| Arc::new(clock) as clock::WallClock));
}

/// Sets the date, as the time since 1970, before which no clock can be right: connecting with TLS
/// then fails with a text that says so. Default: when the library was built. Serves the whole
/// process.
pub fn set_wall_clock_floor(floor: Duration) {
    clock::set_floor(floor);
}
