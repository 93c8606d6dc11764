//! The running platform: the world, its disk, and those who wait for changes.
//!
//! It must not know requests. Invariant: nobody sees a change before it and its effects are on disk; readers never wait for the disk; a
//! change that fails, or that cannot be written, leaves no trace.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::sync::{Notify, watch};

use super::cluster::admit;
use super::cluster::controller::{self, Moment};
use super::cluster::{ArgoCd, Autoscaler};
use super::effects::EffectLog;
use super::error::SandboxError;
use super::identity::{Identity, Ready};
use super::idle::Activity;
use super::persist;
use super::pooler::Pooler;
use super::postgres::Sessions;
use super::request_log::RequestLog;
use super::server::Options;
use super::world::World;

/// Tells when the world has changed.
pub(crate) type Revision = watch::Receiver<u64>;

/// Why a change was not made.
#[derive(Debug)]
pub(crate) enum Refusal<E> {
    /// The request was wrong.
    Refused(E),
    /// It could not be written to disk.
    Storage(SandboxError),
}

/// The disk's side of the world.
#[derive(Debug)]
struct Disk {
    dir: PathBuf,
    saved: Vec<u8>,
    effects: EffectLog,
}

/// The platform.
#[derive(Debug)]
pub(crate) struct Platform {
    world: RwLock<Arc<World>>,
    disk: Mutex<Disk>,
    dir: PathBuf,
    identity: Identity,
    activity: Activity,
    requests: RequestLog,
    sessions: Sessions,
    speed: f64,
    history: usize,
    changed: watch::Sender<u64>,
    wake: Notify,
    stop: watch::Sender<bool>,
}

fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

impl Platform {
    /// Loads the world of `dir`, or makes a fresh one; the caller holds the folder's lock.
    pub(crate) fn open(dir: &Path, mut identity: Identity, options: &Options) -> Result<Arc<Self>, SandboxError> {
        let mut effects = EffectLog::open(dir)?;
        let loaded: Option<World> = persist::load(dir, persist::STATE)?;
        let fresh = loaded.is_none();
        let fresh_one = || World::initial(&identity.cluster_uid, 0, now(), options.autoscaler, options.argocd).with_pooler(options.pooler);
        let mut world = loaded.unwrap_or_else(fresh_one);
        if let Some(uid) = world.cluster_uid().filter(|uid| *uid != identity.cluster_uid) {
            // A reset was cut off between the two files.
            identity.cluster_uid = uid;
            identity.save(dir)?;
        }
        if !fresh {
            admit::upgrade(&mut world.store);
        }
        world.store.keep(options.history);
        let version = world.store.version();
        controller::upgrade(&mut world.store, &mut world.memory, Moment { now: now(), speed: options.speed });
        let upgraded = world.store.version() != version;
        let saved = serde_json::to_vec(&world).map_err(SandboxError::encoding)?;
        if fresh || upgraded {
            persist::save(dir, persist::STATE, &saved)?;
        }
        effects.catch_up(&world.effects)?;
        Ok(Arc::new(Self {
            changed: watch::Sender::new(world.store.version()),
            world: RwLock::new(Arc::new(world)),
            disk: Mutex::new(Disk { dir: dir.to_owned(), saved, effects }),
            dir: dir.to_owned(),
            identity,
            activity: Activity::new(),
            requests: RequestLog::new(dir),
            sessions: Sessions::default(),
            speed: options.speed,
            history: options.history,
            wake: Notify::new(),
            stop: watch::Sender::new(false),
        }))
    }

    /// Its tokens and its port; the uid is that of [`cluster_uid`](Self::cluster_uid).
    pub(crate) fn identity(&self) -> &Identity {
        &self.identity
    }

    /// The uid of its cluster as it is now.
    pub(crate) fn cluster_uid(&self) -> String {
        self.read().cluster_uid().unwrap_or_else(|| self.identity.cluster_uid.clone())
    }

    /// The folder of its files.
    pub(crate) fn dir(&self) -> PathBuf {
        self.dir.clone()
    }

    pub(crate) fn activity(&self) -> &Activity {
        &self.activity
    }

    pub(crate) fn requests(&self) -> &RequestLog {
        &self.requests
    }

    /// The sessions with its PostgreSQL server.
    pub(crate) fn sessions(&self) -> &Sessions {
        &self.sessions
    }

    /// The world as it is now; it does not change under the reader.
    pub(crate) fn read(&self) -> Arc<World> {
        Arc::clone(&self.world.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Tells of each change from now on.
    pub(crate) fn revision(&self) -> Revision {
        self.changed.subscribe()
    }

    /// The time, for what the cluster does.
    pub(crate) fn moment(&self) -> Moment {
        Moment { now: now(), speed: self.speed }
    }

    /// Has the cluster look at once whether it has something to do.
    pub(crate) fn wake(&self) {
        self.wake.notify_one();
    }

    /// Makes one change, writes it and then shows it.
    pub(crate) async fn change<T, E>(
        self: &Arc<Self>,
        act: impl FnOnce(&mut World) -> Result<T, E> + Send + 'static,
    ) -> Result<T, Refusal<E>>
    where
        T: Send + 'static,
        E: Send + 'static,
    {
        let platform = Arc::clone(self);
        match tokio::task::spawn_blocking(move || platform.change_now(act)).await {
            Ok(result) => result,
            Err(error) => {
                let path = Path::new(persist::STATE);
                Err(Refusal::Storage(SandboxError::io("finish writing", path, std::io::Error::other(error))))
            }
        }
    }

    fn change_now<T, E>(&self, act: impl FnOnce(&mut World) -> Result<T, E>) -> Result<T, Refusal<E>> {
        let mut disk = self.disk.lock().unwrap_or_else(PoisonError::into_inner);
        let mut next = World::clone(&self.read());
        next.effects.begin();
        let result = act(&mut next).map_err(Refusal::Refused)?;
        if std::mem::take(&mut next.quiet) {
            // No client can see it, and a restart may forget it.
            *self.world.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(next);
            return Ok(result);
        }
        next.traffic.sample(&next.store, next.load, now(), self.speed);
        next.connections.sample(&next.store, &next.bouncers, next.faults.connections(), now());
        disk.commit(&next).map_err(Refusal::Storage)?;
        self.show(next);
        Ok(result)
    }

    fn show(&self, next: World) {
        let version = next.store.version();
        *self.world.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(next);
        self.changed.send_if_modified(|shown| std::mem::replace(shown, version) != version);
    }

    /// Goes back to the fresh cluster with an empty effect log; its autoscaler, its Argo CD and its pooler are those that it was made with, unless
    /// others are named. It is another cluster, with a uid of its own: what was changed in the former is gone with it. Resource versions go on.
    pub(crate) async fn reset(
        self: &Arc<Self>,
        autoscaler: Option<Autoscaler>,
        argocd: Option<ArgoCd>,
        pooler: Option<Pooler>,
    ) -> Result<(), SandboxError> {
        let platform = Arc::clone(self);
        let done = tokio::task::spawn_blocking(move || {
            let mut disk = platform.disk.lock().unwrap_or_else(PoisonError::into_inner);
            let before = platform.read();
            let (version, autoscaler) = (before.store.version(), autoscaler.unwrap_or(before.autoscaler));
            let argocd = argocd.unwrap_or(before.argocd);
            let pooler = pooler.unwrap_or(before.bouncers.kind);
            let cluster_uid = uuid::Uuid::now_v7().to_string();
            let mut next = World::initial(&cluster_uid, version, now(), autoscaler, argocd).with_pooler(pooler);
            // A watch from before the reset cannot know what is gone, so the history begins anew and tells it so.
            next.store.keep(platform.history);
            next.store.forget();
            disk.commit(&next)?;
            disk.effects.clear()?;
            platform.show(next);
            Identity { cluster_uid: cluster_uid.clone(), ..platform.identity.clone() }.save(&platform.dir)?;
            Ready::set(&platform.dir, cluster_uid, pooler)
        });
        done.await.unwrap_or_else(|error| Err(SandboxError::io("reset", Path::new(persist::STATE), std::io::Error::other(error))))?;
        self.wake();
        Ok(())
    }

    /// Does what the cluster does by itself, until the platform stops.
    pub(crate) async fn live(self: Arc<Self>) {
        loop {
            let moment = self.moment();
            let due = self.change(move |world| Ok::<_, ()>(world.advance(moment))).await;
            let pause = match due {
                Ok(Some(due)) => Duration::from_millis(due.saturating_sub(now()).max(1)),
                Ok(None) => Duration::from_secs(3600),
                Err(refusal) => {
                    tracing::error!(?refusal, "the cluster could not be written");
                    Duration::from_secs(1)
                }
            };
            tokio::select! {
                () = self.wake.notified() => {}
                () = tokio::time::sleep(pause) => {}
                () = self.stopping() => return,
            }
        }
    }

    /// Ends everything that runs.
    pub(crate) fn stop(&self) {
        self.stop.send_replace(true);
    }

    /// Returns once the platform is to stop.
    pub(crate) async fn stopping(&self) {
        // The sender lives in `self`, so the only end of the wait is the value.
        let mut stop = self.stop.subscribe();
        let _ended = stop.wait_for(|stop| *stop).await;
    }
}

impl Disk {
    fn commit(&mut self, world: &World) -> Result<(), SandboxError> {
        let text = serde_json::to_vec(world).map_err(SandboxError::encoding)?;
        if text == self.saved {
            return Ok(());
        }
        persist::save(&self.dir, persist::STATE, &text)?;
        self.saved = text;
        // The commit stands; if the log cannot follow now, the next change or start brings it up, and this request fails.
        self.effects.catch_up(&world.effects)
    }
}
