//! When the sandbox was last used.
//!
//! It must not stop anything itself. Invariant: while a watch is open, the sandbox is in use.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// The last use and the open watches.
#[derive(Debug, Clone)]
pub(crate) struct Activity(Arc<Mutex<Use>>);

#[derive(Debug)]
struct Use {
    last: Instant,
    watches: usize,
}

/// An open watch; dropping it closes it.
#[derive(Debug)]
pub(crate) struct OpenWatch(Activity);

impl Activity {
    /// In use as of now.
    pub(crate) fn new() -> Self {
        Self(Arc::new(Mutex::new(Use { last: Instant::now(), watches: 0 })))
    }

    fn with<T>(&self, act: impl FnOnce(&mut Use) -> T) -> T {
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Notes a request.
    pub(crate) fn touch(&self) {
        self.with(|used| used.last = Instant::now());
    }

    /// Notes a watch, until the guard is dropped.
    pub(crate) fn watch(&self) -> OpenWatch {
        self.with(|used| used.watches += 1);
        OpenWatch(self.clone())
    }

    /// How many watches are open.
    pub(crate) fn watches(&self) -> usize {
        self.with(|used| used.watches)
    }

    /// How long nobody has used it; zero while a watch is open.
    pub(crate) fn idle_for(&self) -> Duration {
        self.with(|used| if used.watches > 0 { Duration::ZERO } else { used.last.elapsed() })
    }

    /// Returns once nobody has used it for `limit`.
    pub(crate) async fn idle(&self, limit: Duration) {
        loop {
            let left = limit.saturating_sub(self.idle_for());
            if left.is_zero() {
                return;
            }
            tokio::time::sleep(left).await;
        }
    }
}

impl Drop for OpenWatch {
    fn drop(&mut self) {
        self.0.with(|used| {
            used.watches -= 1;
            used.last = Instant::now();
        });
    }
}
