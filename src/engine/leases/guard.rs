//! A Lease that is ours: renewed until it is given back, and told how it stands.
//!
//! Invariant: it is ours until its duration after the *beginning* of the last request that renewed it, by a clock that counts suspend; others see
//! that renewal later, and wait for as long from then on. What the server once said is another's is never ours again.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio::task::AbortHandle;

use super::api::{LeaseApi, Refusal};
use super::lease::{Draft, Holder, Lease};
use super::place::Place;
use super::terms::Terms;
use crate::engine::lock_files::FileGuard;
use crate::model::change::ObjectRef;
use crate::ports::lock::{Guard, Hold};

/// How often it is tried to give one back.
const TRIES: u32 = 3;

/// A Lease that is held, and the lock of this machine with it.
pub(super) struct LeaseGuard {
    held: Option<(Arc<Shared>, FileGuard)>,
    renewal: AbortHandle,
    runtime: Handle,
}

struct Shared {
    api: LeaseApi,
    place: Place,
    object: ObjectRef,
    holder: Holder,
    terms: Terms,
    state: Mutex<State>,
    /// Somebody needs it renewed now.
    needed: Notify,
}

struct State {
    lease: Lease,
    /// Ours until then.
    until: Duration,
    /// Why the last renewal failed.
    failing: Option<String>,
    /// Whose it is now.
    lost: Option<String>,
}

impl LeaseGuard {
    /// Holds a Lease that was taken by a request that began then.
    #[expect(clippy::too_many_arguments, reason = "each is another thing, and there is one caller")]
    pub fn start(
        api: LeaseApi,
        place: Place,
        object: ObjectRef,
        holder: Holder,
        terms: Terms,
        (lease, began): (Lease, Duration),
        file: FileGuard,
        runtime: &Handle,
    ) -> Self {
        let state = Mutex::new(State { lease, until: began + terms.duration, failing: None, lost: None });
        let shared = Arc::new(Shared { api, place, object, holder, terms, state, needed: Notify::new() });
        let renewal = runtime.spawn(Arc::clone(&shared).renew()).abort_handle();
        Self { held: Some((shared, file)), renewal, runtime: runtime.clone() }
    }

    /// What has to be done to give it back; nothing the second time.
    fn giving_back(&mut self) -> Option<impl Future<Output = ()> + Send + 'static> {
        self.renewal.abort();
        let (shared, file) = self.held.take()?;
        Some(async move {
            let limit = shared.terms.request() * 2;
            if tokio::time::timeout(limit, shared.give_back()).await.is_err() {
                tracing::warn!(lease = %shared.place, "a Lease is left to run out: the cluster does not answer");
            }
            // Last: whoever has the file knows that the Lease is no live process's.
            drop(file);
        })
    }
}

#[async_trait]
impl Guard for LeaseGuard {
    fn hold(&self) -> Hold {
        match &self.held {
            Some((shared, _)) => shared.hold(),
            None => Hold::Lost { why: "it was given back".to_owned() },
        }
    }

    async fn release(mut self: Box<Self>) {
        if let Some(giving_back) = self.giving_back() {
            giving_back.await;
        }
    }
}

impl Drop for LeaseGuard {
    fn drop(&mut self) {
        if let Some(giving_back) = self.giving_back() {
            self.runtime.spawn(giving_back);
        }
    }
}

impl Shared {
    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn draft(&self) -> Draft<'_> {
        Draft { place: &self.place, object: &self.object, holder: &self.holder, terms: &self.terms }
    }

    fn hold(&self) -> Hold {
        let state = self.state();
        if let Some(why) = &state.lost {
            return Hold::Lost { why: why.clone() };
        }
        if self.terms.now() + self.terms.margin() <= state.until {
            return Hold::Firm;
        }
        self.needed.notify_one();
        let why = state.failing.clone().unwrap_or_else(|| "this process was stopped, or this machine asleep".to_owned());
        Hold::Doubtful { why }
    }

    /// Renews it for as long as it is ours. One that has run out while nobody could be reached is renewed too: the server refuses that
    /// where somebody else has had it since.
    async fn renew(self: Arc<Self>) {
        let mut next = self.terms.every();
        let mut hurried = true;
        loop {
            if hurried {
                tokio::select! {
                    () = tokio::time::sleep(next) => {}
                    () = self.needed.notified() => {}
                }
            } else {
                tokio::time::sleep(next).await;
            }
            (next, hurried) = match self.renew_once().await {
                Ok(Renewed::Held) => (self.terms.every(), true),
                Ok(Renewed::Lost) => return,
                Err(why) => {
                    tracing::warn!(lease = %self.place, why, "a Lease cannot be renewed");
                    self.state().failing = Some(why);
                    (self.terms.again(), false)
                }
            };
        }
    }

    /// Renews it once; an error where it is not known whether it is still ours.
    async fn renew_once(&self) -> Result<Renewed, String> {
        let ours = self.state().lease.clone();
        let began = self.terms.now();
        let refusal = match self.api.replace(&self.place, self.draft().renewed(&ours)).await {
            Ok(lease) => {
                let mut state = self.state();
                (state.lease, state.until, state.failing) = (lease, began + self.terms.duration, None);
                return Ok(Renewed::Held);
            }
            Err(refusal) => refusal,
        };
        if !matches!(refusal, Refusal::Conflict | Refusal::Gone | Refusal::Unclear(_)) {
            return Err(refusal.words());
        }
        // Who has it now says whether it is lost, or only an answer was, or somebody has put a label on it.
        match self.api.get(&self.place).await {
            Ok(found) if found.uid == ours.uid && found.holder.process == self.holder.process => {
                self.state().lease = found;
                Err(refusal.words())
            }
            Ok(found) => Ok(self.lost(format!("{} has taken it over", found.shown()))),
            Err(Refusal::Gone) => Ok(self.lost(format!("its Lease {} is gone: somebody else has had it, or deleted it", self.place))),
            Err(other) => Err(other.words()),
        }
    }

    fn lost(&self, why: String) -> Renewed {
        tracing::warn!(lease = %self.place, why, "a lock is lost");
        self.state().lost = Some(why);
        Renewed::Lost
    }

    /// Deletes it, where it is still ours.
    async fn give_back(&self) {
        for _ in 0..TRIES {
            let lease = {
                let state = self.state();
                if state.lost.is_some() {
                    return;
                }
                state.lease.clone()
            };
            let refusal = match self.api.delete(&self.place, &lease).await {
                Ok(()) | Err(Refusal::Gone) => return,
                Err(refusal) => refusal,
            };
            match refusal {
                // A renewal that was cut off may have arrived.
                Refusal::Conflict => match self.api.get(&self.place).await {
                    Ok(found) if found.holder.process == self.holder.process => self.state().lease = found,
                    Ok(_) | Err(Refusal::Gone) => return,
                    Err(_) => {}
                },
                Refusal::Unclear(_) => {}
                refusal => {
                    tracing::warn!(lease = %self.place, why = refusal.words(), "a Lease is left to run out");
                    return;
                }
            }
        }
    }
}

/// What came of a renewal.
enum Renewed {
    Held,
    Lost,
}
