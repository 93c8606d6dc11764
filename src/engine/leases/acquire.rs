//! Taking a Lease: making it, taking it over from a dead holder, or saying who holds it.
//!
//! Invariant: what is taken over was free, its holder certainly dead, or seen unchanged by this process for its whole duration; and the server
//! has refused nothing of that in between.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::runtime::Handle;

use super::api::{LeaseApi, Refusal};
use super::guard::LeaseGuard;
use super::lease::{Draft, Holder, Lease};
use super::note::{Note, Without};
use super::place::Place;
use super::terms::Terms;
use crate::engine::lock_files::FileGuard;
use crate::model::change::ObjectRef;
use crate::model::id::ContentHash;
use crate::ports::lock::{Attempt, Keeper, LockError};

/// How often a Lease that others change at the same time is tried.
const ROUNDS: u32 = 4;
/// How many Leases of others are remembered.
const MOST: usize = 10_000;

/// Takes the Leases of one process.
pub(super) struct Leases {
    api: LeaseApi,
    uid: String,
    namespace: String,
    terms: Terms,
    runtime: Handle,
    note: Note,
    /// Unique to this process: another of the same number on a machine of the same name is told from it.
    process: String,
    /// Leases of others, since when they were seen as they are.
    seen: Mutex<HashMap<ObjectRef, Seen>>,
}

/// A Lease that somebody else holds.
#[derive(Clone)]
struct Seen {
    version: String,
    /// By this machine's clock.
    since: Duration,
    looked: Duration,
    /// Who holds it, and for how long without renewing it.
    holder: String,
    lasts: Duration,
}

/// What a Lease that is there means for us.
enum Judged {
    /// Ours by now, or nobody's.
    Free,
    /// Somebody else's, who may be alive.
    Held(String),
}

impl Leases {
    pub fn new(api: LeaseApi, uid: String, namespace: String, terms: Terms, runtime: Handle, note: Note) -> Self {
        let process = uuid::Uuid::now_v7().to_string();
        Self { api, uid, namespace, terms, runtime, note, process, seen: Mutex::default() }
    }

    /// Where the object's Lease is; none for what is locked on this machine only.
    pub fn place(&self, object: &ObjectRef) -> Option<Place> {
        Place::of(object, &self.uid, &self.namespace).filter(|place| self.note.knows(&place.namespace) != Some(Without::Api))
    }

    /// Takes the Lease for an object whose lock of this machine is ours.
    ///
    /// # Errors
    /// When the cluster does not say who holds it.
    pub async fn take(&self, place: Place, object: &ObjectRef, holder: &str, file: FileGuard) -> Result<Attempt, LockError> {
        let holder = Holder { words: one_line(holder), process: self.process.clone(), file: identity(&file) };
        if let Some(by) = self.looked_at_just_now(object) {
            return Ok(Attempt::Held { by });
        }
        if let Some(why @ Without::Permission(_)) = self.note.knows(&place.namespace) {
            return self.without(&place, object, &holder, file, (why, "")).await;
        }
        // Mostly there is none. One that was seen is looked at first.
        let mut look = self.seen().contains_key(object);
        let mut last = Refusal::Conflict;
        for _ in 0..ROUNDS {
            let draft = Draft { place: &place, object, holder: &holder, terms: &self.terms };
            if !look {
                look = true;
                let began = self.terms.now();
                match self.api.create(&place, draft.new_one()).await {
                    Ok(lease) => return Ok(self.ours(place, object, holder, lease, began, file)),
                    Err(Refusal::Forbidden(said)) => {
                        return self.without(&place, object, &holder, file, (Without::Permission("create"), &said)).await;
                    }
                    Err(Refusal::NoApi) => return Ok(self.here_only(&place, Without::Api, "", file)),
                    // It may be there, ours or another's.
                    Err(refusal @ (Refusal::Conflict | Refusal::Gone | Refusal::Unclear(_))) => last = refusal,
                    Err(refusal) => return Err(failed(object, &place, &refusal)),
                }
            }
            let found = match self.api.get(&place).await {
                Ok(found) => found,
                Err(Refusal::Gone) => {
                    look = false;
                    self.seen().remove(object);
                    continue;
                }
                // There is one, and nobody can say whose: it is not passed over.
                Err(Refusal::Forbidden(said)) => {
                    let by = format!("somebody whose Lease {place} this account may not read (allow it `get` on `leases`): {said}");
                    return Ok(Attempt::Held { by });
                }
                Err(Refusal::NoApi) => return Ok(self.here_only(&place, Without::Api, "", file)),
                Err(refusal) => return Err(failed(object, &place, &refusal)),
            };
            if let Judged::Held(by) = self.judge(object, &found, &holder) {
                return Ok(Attempt::Held { by });
            }
            let began = self.terms.now();
            match self.api.replace(&place, draft.taken_over(&found)).await {
                Ok(lease) => return Ok(self.ours(place, object, holder, lease, began, file)),
                Err(Refusal::Forbidden(said)) => return Ok(self.here_only(&place, Without::Permission("update"), &said, file)),
                // Looked at again: somebody was quicker, or the answer was lost.
                Err(refusal @ (Refusal::Conflict | Refusal::Unclear(_))) => last = refusal,
                Err(Refusal::Gone) => look = false,
                Err(refusal) => return Err(failed(object, &place, &refusal)),
            }
        }
        Err(failed(object, &place, &last))
    }

    fn seen(&self) -> std::sync::MutexGuard<'_, HashMap<ObjectRef, Seen>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whoever waits for a lock asks often; the cluster is not asked as often.
    fn looked_at_just_now(&self, object: &ObjectRef) -> Option<String> {
        let now = self.terms.now();
        let seen = self.seen();
        let seen = seen.get(object)?;
        (now.saturating_sub(seen.looked) < self.terms.look()).then(|| seen.shown(now))
    }

    fn judge(&self, object: &ObjectRef, found: &Lease, own: &Holder) -> Judged {
        let now = self.terms.now();
        // The file that its holder had locked is locked by us now: the holder is dead. (An answer that was lost made one of this very process.)
        let dead = !own.file.is_empty() && found.holder.file == own.file;
        if found.holder.words.is_empty() || found.holder.process == self.process || dead {
            return Judged::Free;
        }
        let mut all = self.seen();
        let before = all.get(object).filter(|seen| seen.version == found.version);
        let since = before.map_or(now, |seen| seen.since);
        let seen =
            Seen { version: found.version.clone(), since, looked: now, holder: found.shown(), lasts: Duration::from_secs(found.seconds) };
        if now.saturating_sub(since) >= seen.lasts {
            return Judged::Free;
        }
        let shown = seen.shown(now);
        if all.len() >= MOST {
            all.clear();
        }
        all.insert(object.clone(), seen);
        Judged::Held(shown)
    }

    fn ours(&self, place: Place, object: &ObjectRef, holder: Holder, lease: Lease, began: Duration, file: FileGuard) -> Attempt {
        self.seen().remove(object);
        let guard =
            LeaseGuard::start(self.api.clone(), place, object.clone(), holder, self.terms.clone(), (lease, began), file, &self.runtime);
        Attempt::Taken(Box::new(guard))
    }

    /// Takes none, as this account may not. It may still see that there is one: that is respected, and where nobody knows, nothing is taken.
    async fn without(
        &self,
        place: &Place,
        object: &ObjectRef,
        holder: &Holder,
        file: FileGuard,
        (why, said): (Without, &str),
    ) -> Result<Attempt, LockError> {
        match self.api.get(place).await {
            Ok(found) => match self.judge(object, &found, holder) {
                Judged::Held(by) => Ok(Attempt::Held { by }),
                Judged::Free => Ok(self.here_only(place, why, said, file)),
            },
            Err(Refusal::Gone | Refusal::Forbidden(_) | Refusal::NoApi) => Ok(self.here_only(place, why, said, file)),
            Err(refusal) => Err(failed(object, place, &refusal)),
        }
    }

    fn here_only(&self, place: &Place, why: Without, said: &str, file: FileGuard) -> Attempt {
        self.note.add(&place.namespace, why, said);
        Attempt::Taken(Box::new(file))
    }
}

impl Seen {
    fn shown(&self, now: Duration) -> String {
        let left = self.lasts.saturating_sub(now.saturating_sub(self.since)).as_secs_f64().ceil();
        format!("{}, on another machine (if that is dead, whoever waits with `--wait` has it in {left} s)", self.holder)
    }
}

/// The lock's file as no other machine has one: nothing where this machine does not say when it was started.
fn identity(file: &FileGuard) -> String {
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    match (boot.trim(), file.inode()) {
        ("", _) | (_, Err(_)) => String::new(),
        (boot, Ok((device, inode))) => ContentHash::of(format!("{boot}/{device}/{inode}").as_bytes()).0[..32].to_owned(),
    }
}

fn one_line(text: &str) -> String {
    text.chars().map(|character| if character.is_control() { ' ' } else { character }).collect()
}

fn failed(object: &ObjectRef, place: &Place, refusal: &Refusal) -> LockError {
    let hint = match refusal {
        Refusal::NoNamespace => format!("check the namespace {}, or make it first", place.namespace),
        _ => "check that the cluster is up and reachable from here: `kubectl get --raw /readyz`; then try again".to_owned(),
    };
    LockError { object: object.clone(), why: format!("Lease {place}: {}", refusal.words()), hint, keeper: Keeper::Target }
}
