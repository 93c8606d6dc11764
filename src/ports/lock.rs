//! Locks on what is touched, named by the target's own identity.

use async_trait::async_trait;

use crate::model::change::ObjectRef;

/// Takes locks. Within one machine they are the operating system's, freed by the kernel when the process dies; between machines, those of the target.
#[async_trait]
pub trait Locks: Send + Sync {
    /// Takes one lock, or says who holds it. Never waits for its holder.
    ///
    /// # Errors
    /// When the lock cannot be had for another reason than its holder (the folder is not writable, say).
    async fn try_lock(&self, object: &ObjectRef, holder: &str) -> Result<Attempt, LockError>;
}

/// What came of trying to take a lock.
pub enum Attempt {
    /// It is ours until the guard is given back or dropped.
    Taken(Box<dyn Guard>),
    /// Somebody else has it.
    Held {
        /// As the holder wrote it, safe to print: `run 3fa9c1d2 of pre-event, process 4711 on web-1`.
        by: String,
    },
}

/// How a lock that was taken stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Hold {
    /// It is ours, and stays ours for longer than a request that is sent now can take.
    Firm,
    /// It was not renewed in time: nothing may be sent under it now. It is firm again once it is renewed.
    Doubtful {
        /// What kept it from being renewed.
        why: String,
    },
    /// It is not ours any more, and will not be again.
    Lost {
        /// Whose it is now, or what became of it: `run 5c0de1a2 of surge, process 12 on web-2 has taken it over`.
        why: String,
    },
}

/// A lock that is held until this is given back, or dropped.
#[async_trait]
pub trait Guard: Send + Sync {
    /// How it stands now. Asked before each effect; returns at once.
    fn hold(&self) -> Hold;

    /// Gives it back, for others to take at once. Ends within seconds, whatever the target does. Dropping does the same in the background, where there is
    /// time for it.
    async fn release(self: Box<Self>);
}

/// Where a lock is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keeper {
    /// A file of this machine.
    Machine,
    /// The target itself: a Lease in the cluster.
    Target,
}

/// Why a lock could not even be tried.
#[derive(Debug, thiserror::Error)]
#[error("the lock on {object} cannot be taken: {why}")]
pub struct LockError {
    /// On what.
    pub object: ObjectRef,
    /// Why.
    pub why: String,
    /// What to do about it.
    pub hint: String,
    /// Where it is kept.
    pub keeper: Keeper,
}

impl LockError {
    /// Whether it is the target that does not give it, and not this machine.
    pub fn is_of_target(&self) -> bool {
        self.keeper == Keeper::Target
    }
}
