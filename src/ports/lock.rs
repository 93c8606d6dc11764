//! Locks on what is touched, named by the target's own identity.

use crate::model::change::ObjectRef;

/// Takes locks. Within one machine they are the operating system's: freed by the kernel when the process dies.
pub trait Locks: Send + Sync {
    /// Takes one lock, or says who holds it. Never waits.
    ///
    /// # Errors
    /// When the lock cannot be had for another reason than its holder (the folder is not writable, say).
    fn try_lock(&self, object: &ObjectRef, holder: &str) -> Result<Attempt, LockError>;
}

/// What came of trying to take a lock.
pub enum Attempt {
    /// It is ours until the guard is dropped.
    Taken(Box<dyn Guard>),
    /// Somebody else has it.
    Held {
        /// As the holder wrote it: `run 3fa9c1d2 of pre-event, process 4711 on web-1`.
        by: String,
    },
}

/// A lock that is held until this is dropped.
pub trait Guard: Send {}

/// Why a lock could not even be tried.
#[derive(Debug, thiserror::Error)]
#[error("the lock on {object} cannot be taken: {why}")]
pub struct LockError {
    /// On what.
    pub object: ObjectRef,
    /// Why.
    pub why: String,
}
