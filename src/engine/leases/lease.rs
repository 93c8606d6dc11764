//! A Lease as it is written and read.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::place::Place;
use super::terms::Terms;
use crate::model::change::ObjectRef;

/// Annotations: the object in full, the process that holds it, and the file that it has locked on its machine.
const OBJECT: &str = "runsheet/object";
const PROCESS: &str = "runsheet/process";
const FILE: &str = "runsheet/lock-file";
/// As much as is shown of what a holder wrote.
const LONGEST_HOLDER: usize = 400;
/// What a Lease without a duration lasts, in seconds, and the longest that one is waited for.
const DURATION: u64 = 60;
const LONGEST: u64 = 3600;

/// Who holds a Lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Holder {
    /// For people: `run 3fa9c1d2 of pre-event, process 4711 on web-1`.
    pub words: String,
    /// Unique to the process.
    pub process: String,
    /// The lock's file on the holder's machine: a digest of the machine's start, the device and the inode.
    pub file: String,
}

/// A Lease as the cluster has it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Lease {
    pub uid: String,
    pub version: String,
    pub holder: Holder,
    /// How long others leave it alone after it was renewed.
    pub seconds: u64,
    pub transitions: i64,
    acquired: String,
}

impl Lease {
    /// What the API answered; none where it is no Lease.
    pub fn read(object: &Value) -> Option<Self> {
        let text = |at: &str| object.pointer(at).and_then(Value::as_str).unwrap_or_default().to_owned();
        let annotation = |name: &str| object["metadata"]["annotations"].get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        let (uid, version) = (text("/metadata/uid"), text("/metadata/resourceVersion"));
        if uid.is_empty() || version.is_empty() || text("/kind") != "Lease" {
            return None;
        }
        let spec = &object["spec"];
        Some(Self {
            uid,
            version,
            holder: Holder { words: text("/spec/holderIdentity"), process: annotation(PROCESS), file: annotation(FILE) },
            seconds: spec["leaseDurationSeconds"].as_u64().unwrap_or(DURATION).clamp(1, LONGEST),
            transitions: spec["leaseTransitions"].as_i64().unwrap_or(0),
            acquired: text("/spec/acquireTime"),
        })
    }

    /// Who holds it, made safe to print: everybody who may write Leases may have written it.
    pub fn shown(&self) -> String {
        let holder: String = self.holder.words.chars().filter(|character| !character.is_control()).take(LONGEST_HOLDER).collect();
        if holder.is_empty() { "a process that has not said who it is".to_owned() } else { holder }
    }
}

/// What is written of a Lease: a new one, one that is taken over, one that is renewed.
pub(super) struct Draft<'a> {
    pub place: &'a Place,
    pub object: &'a ObjectRef,
    pub holder: &'a Holder,
    pub terms: &'a Terms,
}

impl Draft<'_> {
    /// One that is not there yet.
    pub fn new_one(&self) -> Value {
        let now = micro_time(Timestamp::now());
        self.document(json!({ "name": self.place.name, "namespace": self.place.namespace }), &now, &now, 0)
    }

    /// In the place of one that others held: only if it is still as it was seen.
    pub fn taken_over(&self, seen: &Lease) -> Value {
        let now = micro_time(Timestamp::now());
        self.document(self.guarded(seen), &now, &now, seen.transitions.saturating_add(1))
    }

    /// Held on: only if it is still ours as we wrote it.
    pub fn renewed(&self, ours: &Lease) -> Value {
        let now = micro_time(Timestamp::now());
        self.document(self.guarded(ours), if ours.acquired.is_empty() { &now } else { &ours.acquired }, &now, ours.transitions)
    }

    /// The UID too: a PUT makes a Lease that is not there.
    fn guarded(&self, seen: &Lease) -> Value {
        json!({ "name": self.place.name, "namespace": self.place.namespace, "uid": seen.uid, "resourceVersion": seen.version })
    }

    fn document(&self, mut metadata: Value, acquired: &str, renewed: &str, transitions: i64) -> Value {
        metadata["labels"] = json!({ "app.kubernetes.io/managed-by": "runsheet" });
        metadata["annotations"] = json!({ OBJECT: self.object.0, PROCESS: self.holder.process, FILE: self.holder.file });
        json!({
            "apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": metadata,
            "spec": {
                "holderIdentity": self.holder.words, "leaseDurationSeconds": self.terms.seconds(),
                "acquireTime": acquired, "renewTime": renewed, "leaseTransitions": transitions,
            },
        })
    }
}

/// A time as the API takes one in microseconds: with six digits, always.
fn micro_time(time: Timestamp) -> String {
    format!("{time:.6}")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::terms::boot_clock;
    use super::*;

    #[test]
    fn what_is_written_is_read_again_and_names_the_version_it_replaces() {
        let terms = Terms::new(Duration::from_millis(2500), boot_clock());
        let holder = Holder { words: "run 1".into(), process: "p".into(), file: "f".into() };
        let object = ObjectRef("k8s:u/production/deployment/a".into());
        let place = Place::of(&object, "u", "default").unwrap();
        let draft = Draft { place: &place, object: &object, holder: &holder, terms: &terms };
        let mut stored = draft.new_one();
        assert!(stored["metadata"].get("resourceVersion").is_none(), "the API refuses one in what is new");
        assert_eq!(Lease::read(&stored), None, "what has no version is not stored");
        stored["metadata"]["uid"] = json!("u-1");
        stored["metadata"]["resourceVersion"] = json!("7");
        let lease = Lease::read(&stored).unwrap();
        assert_eq!((&lease.holder, lease.seconds, lease.transitions), (&holder, 3, 0));
        let renewed = draft.renewed(&lease);
        assert_eq!((&renewed["metadata"]["uid"], &renewed["metadata"]["resourceVersion"]), (&json!("u-1"), &json!("7")));
        assert_eq!(renewed["spec"]["acquireTime"], stored["spec"]["acquireTime"]);
        assert_eq!(renewed["spec"]["leaseTransitions"], 0);
        assert_eq!(draft.taken_over(&lease)["spec"]["leaseTransitions"], 1);
    }

    #[test]
    fn times_have_six_digits_and_what_a_holder_wrote_is_safe_to_print() {
        assert_eq!(micro_time("2026-11-24T02:10:32Z".parse().unwrap()), "2026-11-24T02:10:32.000000Z");
        assert_eq!(micro_time("2026-11-24T02:10:32.123456789Z".parse().unwrap()), "2026-11-24T02:10:32.123456Z");
        let lease = |holder: Value| {
            Lease::read(
                &json!({ "kind": "Lease", "metadata": { "uid": "u", "resourceVersion": "1" }, "spec": { "holderIdentity": holder } }),
            )
            .unwrap()
        };
        assert_eq!(lease(json!("\u{1b}[2Jme\n")).shown(), "[2Jme");
        assert_eq!(lease(json!("x".repeat(1000))).shown().len(), LONGEST_HOLDER);
        assert_eq!(lease(Value::Null).shown(), "a process that has not said who it is");
    }
}
