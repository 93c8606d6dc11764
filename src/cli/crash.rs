//! What people see where runsheet itself is at fault: no backtrace, but what it was, and that the run is safe.
//!
//! Invariant: a panic that its thread's owner handles says nothing.

use std::sync::{Mutex, PoisonError};

use super::exit_code;
use super::failure::Failure;

/// The latest panic's message and place.
static LATEST: Mutex<Option<String>> = Mutex::new(None);

/// Keeps panics from printing by themselves.
pub fn install() {
    std::panic::set_hook(Box::new(|panic| {
        let text = panic.payload_as_str().unwrap_or("without a message");
        let place = panic.location().map(|place| format!(" ({}:{})", place.file(), place.line())).unwrap_or_default();
        let text = format!("{text}{place}");
        tracing::debug!(panic = %text, "a panic");
        *LATEST.lock().unwrap_or_else(PoisonError::into_inner) = Some(text);
    }));
}

/// Does it, and turns a panic into a failure.
///
/// # Errors
/// What it fails with, or that it panicked.
pub fn caught<T>(act: impl FnOnce() -> Result<T, Failure>) -> Result<T, Failure> {
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(act)).unwrap_or_else(|_| {
        let what = LATEST.lock().unwrap_or_else(PoisonError::into_inner).take().unwrap_or_default();
        Err(Failure::new(exit_code::FAILED, format!("runsheet itself failed: {what}"))
            .hint("this is a fault of runsheet; please report it\nno run is lost: `runsheet status` shows where it stands, `runsheet resume` goes on"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_a_failure_with_what_to_do() {
        let failed = caught::<()>(|| panic!("on purpose")).unwrap_err();
        assert!(failed.what.starts_with("runsheet itself failed"));
        assert!(failed.hint.unwrap().contains("runsheet resume"));
        assert_eq!(failed.code, exit_code::FAILED);
    }
}
