//! Tests of the controllers on a store, with a clock of their own.

mod autoscalers;
mod clusters;
mod keda;
mod rollouts;
mod workloads;

use serde_json::{Value, json};

use super::owners::{lives, name};
use super::{Memory, Moment, reconcile};
use crate::sandbox::cluster::pod::{self, Stage};
use crate::sandbox::cluster::resource::Resource;
use crate::sandbox::cluster::store::{Entry, Store, text};
use crate::sandbox::cluster::{ArgoCd, Autoscaler, initial};
use crate::sandbox::fault::{Fault, FaultSet};
use crate::sandbox::load::Load;
use crate::sandbox::traffic::Traffic;

const START: u64 = 1_800_000_000_000;

/// A cluster with a clock that only the test moves.
struct World {
    store: Store,
    memory: Memory,
    faults: FaultSet,
    load: Load,
    traffic: Traffic,
    /// Whether the load comes to anything: to purchases that wait.
    busy: bool,
    now: u64,
    speed: f64,
}

impl World {
    fn new() -> Self {
        Self::with(Autoscaler::None)
    }

    fn with(autoscaler: Autoscaler) -> Self {
        let (store, memory) = initial("uid", 0, START, autoscaler, ArgoCd::Off);
        Self {
            store,
            memory,
            faults: FaultSet::default(),
            load: Load::default(),
            traffic: Traffic::default(),
            busy: false,
            now: START,
            speed: 1.0,
        }
    }

    fn look(&mut self) -> Option<u64> {
        let moment = Moment { now: self.now, speed: self.speed };
        if self.busy {
            self.traffic.sample(&self.store, self.load, self.now, self.speed);
        }
        reconcile(&mut self.store, &mut self.memory, &self.faults, self.load, &self.traffic, moment).due
    }

    /// Goes on for so many milliseconds, from one due time to the next; `each` sees the cluster after every step.
    fn run_with(&mut self, milliseconds: u64, mut each: impl FnMut(&Self)) {
        let end = self.now + milliseconds;
        loop {
            let due = self.look();
            let version = self.store.version();
            let again = self.look();
            assert_eq!((self.store.version(), again), (version, due), "asking twice changes something");
            each(self);
            match due {
                Some(due) if due <= end => {
                    assert!(due > self.now);
                    self.now = due;
                }
                _ => break,
            }
        }
        self.now = end;
        self.look();
    }

    fn run(&mut self, milliseconds: u64) {
        self.run_with(milliseconds, |_| {});
    }

    fn seconds(&mut self, seconds: u64) {
        self.run(seconds * 1000);
    }

    fn put(&mut self, resource: Resource, object: Value) {
        self.store.put(resource, object, None);
    }

    fn get(&self, resource: Resource, name: &str) -> Value {
        let namespace = if resource.namespaced() { "production" } else { "" };
        Value::clone(&self.store.get(resource, namespace, name).unwrap().object)
    }

    /// Changes an object as a client would: a changed `spec` is a new generation.
    fn change(&mut self, resource: Resource, name: &str, act: impl FnOnce(&mut Value)) {
        let before = self.get(resource, name);
        let mut after = before.clone();
        act(&mut after);
        if before["spec"] != after["spec"] {
            after["metadata"]["generation"] = json!(before["metadata"]["generation"].as_i64().unwrap_or(1) + 1);
        }
        let namespace = if resource.namespaced() { "production" } else { "" };
        let life = self.store.get(resource, namespace, name).unwrap().life.clone();
        self.store.put(resource, after, life);
    }

    fn deployment(&self) -> Value {
        self.get(Resource::Deployments, "ticket-service")
    }

    fn scale(&mut self, replicas: i64) {
        self.change(Resource::Deployments, "ticket-service", |object| object["spec"]["replicas"] = json!(replicas));
    }

    fn pool(&mut self, size: &str) {
        let size = json!(size);
        self.change(Resource::Deployments, "ticket-service", |object| {
            object["spec"]["template"]["spec"]["containers"][0]["env"][0]["value"] = size;
        });
    }

    fn pods(&self) -> Vec<Entry> {
        self.store.list(Resource::Pods, Some("production")).cloned().collect()
    }

    fn names(&self) -> Vec<String> {
        self.pods().iter().filter(|entry| lives(&entry.object)).map(|entry| name(&entry.object).to_owned()).collect()
    }

    fn count(&self, stage: Stage) -> usize {
        self.pods().iter().filter(|entry| pod::stage(&entry.object) == stage).count()
    }

    fn fault(&mut self, words: &[&str]) {
        self.faults.add(Fault::parse(words).unwrap()).unwrap();
    }

    /// The events of a reason, by their messages.
    fn told(&self, reason: &str) -> Vec<String> {
        let events = self.store.list(Resource::Events, Some("production"));
        events.filter(|entry| entry.object["reason"] == reason).map(|entry| text(&entry.object, "/message").to_owned()).collect()
    }

    fn condition(&self, resource: Resource, name: &str, kind: &str) -> (String, String, String) {
        let object = self.get(resource, name);
        let found = crate::sandbox::cluster::deployment::former(&object, kind).cloned().unwrap_or(Value::Null);
        (text(&found, "/status").to_owned(), text(&found, "/reason").to_owned(), text(&found, "/message").to_owned())
    }

    fn sets(&self) -> Vec<Value> {
        self.store.list(Resource::ReplicaSets, Some("production")).map(|entry| Value::clone(&entry.object)).collect()
    }
}
