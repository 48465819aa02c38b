//! Time and randomness. Nothing else in the crate asks for either.

use std::process;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

static ORIGIN: OnceLock<Instant> = OnceLock::new();

/// Monotonic time since the first call in this process. A jump of the wall clock does not show.
pub(crate) fn now() -> Duration {
    if cfg!(all(test, feature = "loom")) {
        return Duration::ZERO; // a model runs the same way each time
    }
    ORIGIN.get_or_init(Instant::now).elapsed()
}

/// The instant of a time that [`now`] measures; `None` if it is too far away to ever come.
pub(crate) fn instant(time: Duration) -> Option<Instant> {
    ORIGIN.get_or_init(Instant::now).checked_add(time)
}

/// Tells the time since 1970, or `None` if it does not know it either.
pub(crate) type WallClock = Arc<dyn Fn() -> Option<Duration> + Send + Sync>;

static WALL_CLOCK: Mutex<Option<WallClock>> = Mutex::new(None);

/// The date before which a clock cannot be right, since 1970, if it was set. Not an atomic: small
/// processors have none of 64 bits.
static FLOOR: Mutex<Option<Duration>> = Mutex::new(None);

/// Asks `clock` for the date from now on instead of the system; `None` for the system.
pub(crate) fn set_wall_clock(clock: Option<WallClock>) {
    let replaced = std::mem::replace(
        &mut *WALL_CLOCK.lock().unwrap_or_else(PoisonError::into_inner),
        clock,
    );
    // Outside the lock: what goes with it may ask for the time.
    drop(replaced);
}

/// Sets the date before which a clock cannot be right.
pub(crate) fn set_floor(floor: Duration) {
    *FLOOR.lock().unwrap_or_else(PoisonError::into_inner) =
        Some(Duration::from_secs(floor.as_secs()));
}

/// The date before which a clock cannot be right: that of the build unless set.
pub(crate) fn floor() -> Duration {
    let set = *FLOOR.lock().unwrap_or_else(PoisonError::into_inner);
    set.unwrap_or_else(|| Duration::from_secs(env!("ALIOT_BUILD_TIME").parse().unwrap_or(0)))
}

/// What the device believes the date to be. Certificates are judged by it, deadlines never.
pub(crate) fn wall_clock() -> SystemTime {
    let better = WALL_CLOCK
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .clone();
    better
        .and_then(|clock| clock())
        .and_then(|time| UNIX_EPOCH.checked_add(time))
        .unwrap_or_else(system_clock)
}

/// What the system believes the date to be. No callback of the application runs for it.
pub(crate) fn system_clock() -> SystemTime {
    SystemTime::now()
}

/// 32 bits for jitter, which must differ between devices but need not be a secret.
pub(crate) fn entropy() -> u32 {
    getrandom::u32().unwrap_or_else(|_| weak_entropy())
}

/// 64 bits that nobody can guess; `None` if the system has no randomness to give.
pub(crate) fn nonce() -> Option<u64> {
    getrandom::u64().ok()
}

/// Stands in where the system has no randomness to give, as early in the boot of a small device.
fn weak_entropy() -> u32 {
    static CALLS: AtomicUsize = AtomicUsize::new(0);
    let call = CALLS.fetch_add(1, Ordering::Relaxed) as u64;
    let wall = system_clock()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_nanos();
    // The low halves carry what differs between two devices switched on together.
    let seed = (wall as u64)
        ^ (now().as_nanos() as u64).rotate_left(32)
        ^ u64::from(process::id()).rotate_left(16);
    (mix(seed.wrapping_add(call.wrapping_mul(GOLDEN))) >> 32) as u32
}

const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

/// The finaliser of SplitMix64: each bit of the input changes half of the output's.
fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn time_never_goes_back() {
        let first = now();
        assert!(now() >= first);
    }

    #[test]
    fn entropy_differs_from_call_to_call_even_without_the_system() {
        for source in [entropy, weak_entropy] {
            let drawn: HashSet<u32> = (0..100).map(|_| source()).collect();
            assert!(drawn.len() > 95, "{} different values", drawn.len());
        }
    }

    #[test]
    fn weak_entropy_uses_the_whole_range() {
        let drawn: Vec<u32> = (0..1000).map(|_| weak_entropy()).collect();
        for bit in 0..32 {
            let ones = drawn.iter().filter(|value| *value >> bit & 1 == 1).count();
            assert!((400..=600).contains(&ones), "bit {bit}: {ones} of 1000");
        }
    }
}
