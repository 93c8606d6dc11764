//! Which folder an execution's files are in.
//!
//! An engine may apply the same attempt again: one that was found never to have started, or one that may be repeated. A name that was used stays used, so
//! that a late supervisor finds it taken; the repetition gets the next folder, `again-1` and so on, and who verifies looks into the last.
//!
//! Invariant: what may run only once and may have run is never given another folder.

use std::path::{Path, PathBuf};

use super::recovery::{Recovered, RecoveryError, is_used, recover};

/// Where the last execution of this attempt is, and how many there were before it.
pub fn last(base: &Path, attempt: u32) -> (PathBuf, u32) {
    let mut found = (base.to_owned(), 0);
    loop {
        let next = base.join(format!("again-{}", found.1 + 1));
        if !is_used(&next, attempt) {
            return found;
        }
        found = (next, found.1 + 1);
    }
}

/// Where the next execution of this attempt belongs; `may_repeat`: what may have run may run again. Blocks for a few fsyncs at most.
///
/// # Errors
/// When the files of the last one cannot be used.
pub fn next(base: &Path, attempt: u32, may_repeat: bool) -> Result<PathBuf, RecoveryError> {
    let (last, before) = last(base, attempt);
    if !is_used(&last, attempt) {
        return Ok(last);
    }
    let repeatable = match recover(&last, attempt)? {
        Recovered::NeverStarted => true,
        Recovered::StillRunning => false,
        Recovered::Ended(_) | Recovered::Killed => may_repeat,
    };
    Ok(if repeatable { base.join(format!("again-{}", before + 1)) } else { last })
}
