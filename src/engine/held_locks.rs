//! The locks that this process holds for its run.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use crate::model::change::ObjectRef;
use crate::ports::lock::{Attempt, Guard, LockError, Locks};

/// The run's locks. One that is in use is never given back; one that is not, where the run has to wait for another that sorts before it.
pub(super) struct HeldLocks {
    locks: Arc<dyn Locks>,
    holder: String,
    held: Mutex<Held>,
}

#[derive(Default)]
struct Held {
    guards: BTreeMap<ObjectRef, Box<dyn Guard>>,
    uses: HashMap<ObjectRef, u32>,
}

/// Keeps locks in use until dropped.
pub(super) struct InUse {
    locks: Arc<HeldLocks>,
    objects: Vec<ObjectRef>,
}

impl Drop for InUse {
    fn drop(&mut self) {
        let mut held = self.locks.lock();
        for object in &self.objects {
            if let Some(uses) = held.uses.get_mut(object) {
                *uses = uses.saturating_sub(1);
            }
        }
    }
}

impl HeldLocks {
    pub fn new(locks: Arc<dyn Locks>, holder: String) -> Arc<Self> {
        Arc::new(Self { locks, holder, held: Mutex::new(Held::default()) })
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes all of these in sorted order, or says which is held by whom; what was taken so far and sorts after it, and is not in use, is given back.
    pub fn take(self: &Arc<Self>, objects: &[ObjectRef]) -> Result<Result<InUse, (ObjectRef, String)>, LockError> {
        let mut held = self.lock();
        for object in objects {
            if held.guards.contains_key(object) {
                continue;
            }
            match self.locks.try_lock(object, &self.holder)? {
                Attempt::Taken(guard) => {
                    held.guards.insert(object.clone(), guard);
                }
                Attempt::Held { by } => {
                    let idle: Vec<ObjectRef> = held
                        .guards
                        .range::<ObjectRef, _>((std::ops::Bound::Excluded(object), std::ops::Bound::Unbounded))
                        .map(|(object, _)| object.clone())
                        .filter(|object| held.uses.get(object).is_none_or(|uses| *uses == 0))
                        .collect();
                    for object in idle {
                        held.guards.remove(&object);
                    }
                    return Ok(Err((object.clone(), by)));
                }
            }
        }
        for object in objects {
            *held.uses.entry(object.clone()).or_default() += 1;
        }
        drop(held);
        Ok(Ok(InUse { locks: Arc::clone(self), objects: objects.to_vec() }))
    }

    /// Gives everything back that is not in use: the run only waits, or has ended. Tells whether there was anything.
    pub fn release(&self) -> bool {
        let mut held = self.lock();
        let Held { guards, uses } = &mut *held;
        let before = guards.len();
        guards.retain(|object, _| uses.get(object).is_some_and(|uses| *uses > 0));
        before > guards.len()
    }
}
