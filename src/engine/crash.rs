//! Points at which a test can kill this process, as `kill -9` would. Not in release builds.
//!
//! `RUNSHEET_CRASH_AT=commit:7` kills right after the 7th commit, `before-commit:7` right before it, `effect:2` right after the 2nd effect (an apply or a swap) and
//! before its outcome can be committed, `before-effect:2` right before it.

#[cfg(debug_assertions)]
mod points {
    use std::collections::HashMap;
    use std::sync::{Mutex, OnceLock};

    static ORDER: OnceLock<Option<(String, u32)>> = OnceLock::new();
    static REACHED: Mutex<Option<HashMap<&'static str, u32>>> = Mutex::new(None);

    pub(in crate::engine) fn point(name: &'static str) {
        let order = ORDER.get_or_init(|| {
            let text = std::env::var("RUNSHEET_CRASH_AT").ok()?;
            let (name, count) = text.rsplit_once(':')?;
            Some((name.to_owned(), count.parse().ok()?))
        });
        let Some((wanted, count)) = order else { return };
        if wanted != name {
            return;
        }
        let mut reached = REACHED.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let so_far = reached.get_or_insert_default().entry(name).or_default();
        *so_far += 1;
        if *so_far == *count {
            let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
            // The signal is on its way: nothing more may happen here.
            loop {
                std::thread::park();
            }
        }
    }
}

#[cfg(debug_assertions)]
pub(super) use points::point;

#[cfg(not(debug_assertions))]
pub(super) fn point(_: &'static str) {}
