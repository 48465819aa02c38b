//! The panic boundary: nothing unwinds into C.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::failure::{Failure, report};
use super::result::aliot_result;
use crate::log::{Level, log};

/// Runs the body of an exported function that returns an [`aliot_result`].
///
/// A panic becomes `ALIOT_RESULT_INTERNAL`. State touched by the panicking body is not used again
/// by that body, and every lock of the crate tolerates poisoning, which is why asserting unwind
/// safety is correct here.
pub(super) fn guard(body: impl FnOnce() -> Result<(), Failure>) -> aliot_result {
    report(run(body).and_then(|outcome| outcome))
}

/// Runs the body of an exported function that cannot report: an accessor or a `_destroy`.
///
/// `fallback` is returned instead of a failure or a panic. The last error stays as it was.
pub(super) fn guard_or<T>(fallback: T, body: impl FnOnce() -> Result<T, Failure>) -> T {
    run(body).and_then(|outcome| outcome).unwrap_or(fallback)
}

fn run<T>(body: impl FnOnce() -> T) -> Result<T, Failure> {
    catch_unwind(AssertUnwindSafe(body)).map_err(caught)
}

/// Not part of each exported function: there are more than a hundred.
#[cold]
#[inline(never)]
fn caught(panic: Box<dyn Any + Send>) -> Failure {
    let text = panic_message(panic.as_ref());
    log(Level::Warn, "ffi", format_args!("caught a panic: {text}"));
    Failure::internal(text)
}

fn panic_message(panic: &(dyn Any + Send)) -> String {
    let text = panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    format!("panic: {}", text.unwrap_or("without a message"))
}

#[cfg(test)]
mod tests {
    use super::super::failure::last_error;
    use super::*;

    #[test]
    fn a_panic_becomes_an_internal_error_with_its_text() {
        let code = guard(|| panic!("the {} broke", "spring"));
        assert_eq!(code, aliot_result::Internal);
        assert_eq!(
            last_error(str::to_owned),
            "library: panic: the spring broke"
        );
    }

    #[test]
    fn a_panic_in_an_accessor_gives_the_fallback_and_leaves_the_last_error() {
        assert_eq!(guard(|| Err(Failure::null("x"))), aliot_result::NullPointer);
        assert_eq!(guard_or(7, || panic!("lost")), 7);
        assert_eq!(last_error(str::to_owned), "x is NULL");
    }

    #[test]
    fn success_clears_the_last_error() {
        assert_eq!(guard(|| Err(Failure::null("x"))), aliot_result::NullPointer);
        assert_eq!(guard(|| Ok(())), aliot_result::Ok);
        assert_eq!(last_error(str::to_owned), "");
    }
}
