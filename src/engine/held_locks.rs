//! The locks that this process holds for its run.

use std::collections::{BTreeMap, HashMap};
use std::ops::Bound;
use std::sync::{Arc, Mutex, PoisonError};

use crate::model::change::ObjectRef;
use crate::ports::lock::{Attempt, Guard, Hold, LockError, Locks};

/// The run's locks. One that is in use is never given back; one that is not, where the run has to wait for another that sorts before it.
pub(super) struct HeldLocks {
    locks: Arc<dyn Locks>,
    holder: String,
    /// Whoever takes or gives back does so alone, so that nothing is given back between being taken and being in use.
    turn: tokio::sync::Mutex<()>,
    held: Mutex<Held>,
}

#[derive(Default)]
struct Held {
    guards: BTreeMap<ObjectRef, Box<dyn Guard>>,
    uses: HashMap<ObjectRef, u32>,
}

impl Held {
    /// Takes these out to be given back.
    fn remove(&mut self, which: impl Fn(&ObjectRef, bool) -> bool) -> Vec<Box<dyn Guard>> {
        let Self { guards, uses } = self;
        let in_use = |object: &ObjectRef| uses.get(object).is_some_and(|uses| *uses > 0);
        let going: Vec<ObjectRef> = guards.keys().filter(|object| which(object, in_use(object))).cloned().collect();
        going.iter().filter_map(|object| guards.remove(object)).collect()
    }
}

/// Keeps locks in use until dropped.
pub(super) struct InUse {
    locks: Arc<HeldLocks>,
    objects: Vec<ObjectRef>,
}

impl InUse {
    /// How the locks stand: as the worst of them does, with the object that it is on.
    pub fn hold(&self) -> (Hold, Option<&ObjectRef>) {
        let held = self.locks.lock();
        let mut doubtful = None;
        for object in &self.objects {
            match held.guards.get(object).map(|guard| guard.hold()) {
                Some(Hold::Firm) => {}
                Some(hold @ Hold::Doubtful { .. }) => doubtful = doubtful.or(Some((hold, Some(object)))),
                Some(hold @ Hold::Lost { .. }) => return (hold, Some(object)),
                // What is in use is never given back.
                None => return (Hold::Lost { why: "it was given back".to_owned() }, Some(object)),
            }
        }
        doubtful.unwrap_or((Hold::Firm, None))
    }
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
        Arc::new(Self { locks, holder, turn: tokio::sync::Mutex::default(), held: Mutex::default() })
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes all of these in sorted order, or says which is held by whom; what was taken so far and sorts after it, and is not in use, is given back.
    pub async fn take(self: &Arc<Self>, objects: &[ObjectRef]) -> Result<Result<InUse, (ObjectRef, String)>, LockError> {
        let _turn = self.turn.lock().await;
        for object in objects {
            if self.lock().guards.contains_key(object) {
                continue;
            }
            match self.locks.try_lock(object, &self.holder).await? {
                Attempt::Taken(guard) => {
                    self.lock().guards.insert(object.clone(), guard);
                }
                Attempt::Held { by } => {
                    let after = (Bound::Excluded(object), Bound::Unbounded);
                    let idle = self.lock().remove(|other, in_use| !in_use && std::ops::RangeBounds::contains(&after, other));
                    give_back(idle).await;
                    return Ok(Err((object.clone(), by)));
                }
            }
        }
        let mut held = self.lock();
        for object in objects {
            *held.uses.entry(object.clone()).or_default() += 1;
        }
        drop(held);
        Ok(Ok(InUse { locks: Arc::clone(self), objects: objects.to_vec() }))
    }

    /// Lets go of those that were lost and are not in use, so that they can be taken anew.
    pub async fn let_go_of_lost(&self) {
        let _turn = self.turn.lock().await;
        let lost: Vec<ObjectRef> = {
            let held = self.lock();
            held.guards.iter().filter(|(_, guard)| matches!(guard.hold(), Hold::Lost { .. })).map(|(object, _)| object.clone()).collect()
        };
        let going = self.lock().remove(|object, in_use| !in_use && lost.contains(object));
        give_back(going).await;
    }

    /// Gives everything back that is not in use: the run only waits, or has ended. Tells whether there was anything.
    pub async fn release(&self) -> bool {
        let _turn = self.turn.lock().await;
        let idle = self.lock().remove(|_, in_use| !in_use);
        let any = !idle.is_empty();
        give_back(idle).await;
        any
    }

    /// Whether nothing is held any more.
    pub fn is_empty(&self) -> bool {
        self.lock().guards.is_empty()
    }
}

/// All at once: each takes as long as its target does.
async fn give_back(guards: Vec<Box<dyn Guard>>) {
    futures::future::join_all(guards.into_iter().map(Guard::release)).await;
}

#[cfg(test)]
mod tests {
    use super::super::lock_files::FileLocks;
    use super::*;

    #[tokio::test]
    async fn one_that_was_lost_is_taken_anew_only_when_it_has_been_let_go_of() {
        let folder = tempfile::tempdir().unwrap();
        let locks = HeldLocks::new(Arc::new(FileLocks::new(folder.path().join("locks"))), "run 1".to_owned());
        let object = ObjectRef("k8s:u/n/deployment/x".to_owned());
        let hold = |in_use: Result<InUse, (ObjectRef, String)>| in_use.map(|in_use| in_use.hold().0).unwrap();
        assert_eq!(hold(locks.take(std::slice::from_ref(&object)).await.unwrap()), Hold::Firm);
        std::fs::remove_dir_all(folder.path().join("locks")).unwrap();
        assert!(matches!(hold(locks.take(std::slice::from_ref(&object)).await.unwrap()), Hold::Lost { .. }));
        locks.let_go_of_lost().await;
        assert_eq!(hold(locks.take(std::slice::from_ref(&object)).await.unwrap()), Hold::Firm);
    }
}
