//! Handles: names for objects, not their addresses.
//!
//! The pointer C holds is never dereferenced on either side. It carries a number that is looked up
//! in a [`Registry`]; numbers are never reused. A stale, foreign or destroyed handle is therefore
//! an error code, not undefined behaviour, and destroying twice is harmless.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::ptr::without_provenance_mut;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use super::failure::Failure;
use super::fork;
use crate::error::{Error, ErrorKind, Stage};

/// All live objects of one type.
///
/// Looking up is on the path of every message: one uncontended read lock and one probe.
pub(super) struct Registry<T> {
    noun: &'static str,
    objects: RwLock<Objects<T>>,
}

type Objects<T> = HashMap<usize, Arc<T>, BuildHasherDefault<NumberHasher>>;

impl<T> Registry<T> {
    /// `noun` names the objects, and the arguments that hold their handles, in error messages.
    pub(super) const fn new(noun: &'static str) -> Self {
        Self {
            noun,
            objects: RwLock::new(HashMap::with_hasher(BuildHasherDefault::new())),
        }
    }

    /// Registers `object` and returns its handle. `H` is the opaque type of the header.
    pub(super) fn insert<H>(&self, object: Arc<T>) -> Result<*mut H, Failure> {
        refuse_child()?;
        let number = NEXT_NUMBER
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |number| {
                number.checked_add(1)
            })
            .map_err(|_| Error::new(ErrorKind::NoResources, Stage::Library, "out of handles"))?;
        self.objects
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(number, object);
        Ok(without_provenance_mut(number))
    }

    /// Finds the object. The returned reference keeps it alive even if another thread destroys it.
    pub(super) fn get<H>(&self, handle: *const H) -> Result<Arc<T>, Failure> {
        if handle.is_null() {
            return Err(Failure::null(self.noun));
        }
        if fork::in_child() {
            return Err(Failure::bad_handle(fork::EXPLANATION.to_owned()));
        }
        self.objects
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .get(&handle.addr())
            .cloned()
            .ok_or_else(|| no_such(self.noun, handle.addr()))
    }

    /// Forgets the handle. Returns `None` if it was not live.
    pub(super) fn remove<H>(&self, handle: *mut H) -> Option<Arc<T>> {
        if handle.is_null() || fork::in_child() {
            return None;
        }
        self.objects
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&handle.addr())
    }
}

#[cold]
#[inline(never)]
fn no_such(noun: &str, handle: usize) -> Failure {
    Failure::bad_handle(format!("no live {noun} has the handle {handle:#x}"))
}

/// For functions that take a lock without having a handle to look up.
pub(super) fn refuse_child() -> Result<(), Failure> {
    if fork::in_child() {
        let error = Error::new(ErrorKind::InvalidState, Stage::State, fork::EXPLANATION);
        return Err(error.into());
    }
    Ok(())
}

/// Shared by all registries, so that a handle of one type is never valid as another.
static NEXT_NUMBER: AtomicUsize = AtomicUsize::new(1);

/// The keys are our own numbers: nobody can choose them so that they collide.
#[derive(Default)]
struct NumberHasher(u64);

impl Hasher for NumberHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_usize(usize::from(*byte));
        }
    }

    fn write_usize(&mut self, number: usize) {
        // The golden ratio spreads consecutive numbers over high and low bits alike.
        self.0 = (self.0 ^ number as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    }
}

#[cfg(test)]
mod tests {
    use super::super::result::aliot_result;
    use super::super::types::{aliot_client, aliot_config};
    use super::*;

    static LEFT: Registry<u32> = Registry::new("left");
    static RIGHT: Registry<u32> = Registry::new("right");

    fn insert(registry: &Registry<u32>, value: u32) -> *mut aliot_client {
        registry.insert(Arc::new(value)).ok().unwrap()
    }

    #[test]
    fn a_removed_handle_is_never_found_again() {
        let first = insert(&LEFT, 1);
        assert_eq!(LEFT.remove(first).as_deref(), Some(&1));
        let second = insert(&LEFT, 2);
        assert_ne!(first, second);
        assert!(LEFT.get(first).is_err());
        assert!(LEFT.remove(first).is_none());
        assert_eq!(LEFT.get(second).ok().as_deref(), Some(&2));
    }

    #[test]
    fn a_handle_of_one_type_is_not_valid_as_another() {
        let handle = insert(&LEFT, 1);
        assert!(RIGHT.get(handle.cast::<aliot_config>()).is_err());
    }

    #[test]
    fn null_is_reported_by_name() {
        let failure = LEFT.get::<aliot_client>(std::ptr::null()).err().unwrap();
        assert_eq!(
            super::super::failure::report(Err(failure)),
            aliot_result::NullPointer
        );
        super::super::failure::last_error(|text| assert_eq!(text, "left is NULL"));
    }
}
