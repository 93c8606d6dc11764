//! Runs to look at, for the tests of this module: a definition and its records, written as briefly as can be.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value, json};

use super::view::RunView;
use crate::model::change::{Change, ObjectRef};
use crate::model::definition::Definition;
use crate::model::duration::Span;
use crate::model::event::{Event, Record, Waiting};
use crate::model::id::{ContentHash, RunId, StepPath};
use crate::model::intent::{Intent, Revert};
use crate::model::outcome::Applied;
use crate::model::playbook::Playbook;
use crate::model::run::{RunSpec, TargetSpec};
use crate::model::status::RunStatus;
use crate::model::step::{Effect, Need, Retry, Rollback, Step, Uses};
use crate::model::template::Template;

pub const START: &str = "2026-11-23T19:00:00Z";

pub fn start() -> Timestamp {
    START.parse().unwrap()
}

pub fn run_id() -> RunId {
    "019ab000-0000-7000-8000-00003fa9c1d2".parse().unwrap()
}

pub fn step(id: &str, uses: &str, needs: &[&str]) -> Step {
    let uses = match uses.strip_prefix("playbook:") {
        Some(name) => Uses::Playbook { name: name.to_owned(), params: Template::empty_map() },
        None => Uses::Action { name: uses.to_owned(), with: Template::empty_map(), secrets: Vec::new() },
    };
    Step {
        id: id.to_owned(),
        line: 1,
        summary: None,
        needs: needs.iter().map(|step| Need { step: (*step).to_owned(), accept: Vec::new() }).collect(),
        always: false,
        uses,
        when: None,
        at: None,
        for_each: None,
        before: Vec::new(),
        after: Vec::new(),
        rollback: Rollback::Auto,
        retry: Retry { attempts: 3, ..Retry::default() },
        timeout: None,
        attempt_timeout: None,
        on_failure: None,
        approve: None,
        effect: Effect::Idempotent,
        outputs: Vec::new(),
    }
}

pub fn playbook(name: &str, steps: Vec<Step>) -> Playbook {
    Playbook {
        name: name.to_owned(),
        summary: "Bring ticket-service to event capacity".to_owned(),
        params: Vec::new(),
        secrets: Vec::new(),
        vars: Vec::new(),
        steps,
        outputs: Vec::new(),
        needs_target: true,
    }
}

pub fn definition(playbooks: Vec<Playbook>) -> Definition {
    Definition {
        root: playbooks[0].name.clone(),
        playbooks: playbooks.into_iter().map(|playbook| (playbook.name.clone(), playbook)).collect(),
        sources: BTreeMap::new(),
        plugins: BTreeMap::new(),
    }
}

/// The playbook that most tests run: budget, scale, warm_pool, warm_caches.
pub fn pre_event() -> Definition {
    definition(vec![playbook(
        "pre-event",
        vec![
            step("budget", "assert", &[]),
            step("scale", "k8s.scale", &["budget"]),
            step("warm_pool", "command", &["scale"]),
            step("warm_caches", "http.request", &["scale"]),
        ],
    )])
}

/// Records, one a second unless told otherwise.
pub struct Journal {
    pub records: Vec<Record>,
    pub now: Timestamp,
}

impl Journal {
    /// A run of `pre-event` that was created and is owned.
    pub fn new() -> Self {
        let mut journal = Self { records: Vec::new(), now: start() };
        journal.add(Event::RunCreated(Box::new(RunSpec {
            playbook: "pre-event".to_owned(),
            definition: ContentHash::of(b"pre-event"),
            params: json!({"level": "high"}).as_object().cloned().unwrap(),
            vars: Map::new(),
            target: Some(TargetSpec { environment: "sandbox".to_owned(), identity: Map::new(), values: Map::new() }),
            max_parallel: 16,
            by: "ana@web-1".to_owned(),
        })));
        journal.add(Event::RunOwned { pid: 4711, host: "web-1".to_owned(), by: "ana@web-1".to_owned() });
        journal
    }

    pub fn add(&mut self, event: Event) -> &mut Self {
        let seq = self.records.len() as u64 + 1;
        self.records.push(Record { seq, epoch: 1, at: self.now, event });
        self
    }

    pub fn after(&mut self, seconds: i64) -> &mut Self {
        self.now += SignedDuration::from_secs(seconds);
        self
    }

    pub fn started(&mut self, step: &str, intent: Option<Intent>) -> &mut Self {
        let inputs = Default::default();
        self.add(Event::StepStarted { step: step.into(), occurrence: 1, inputs, intent: intent.map(Box::new) })
    }

    pub fn succeeded(&mut self, step: &str, outputs: Value) -> &mut Self {
        self.add(Event::StepSucceeded { step: step.into(), outputs, how: None })
    }

    pub fn status(&mut self, status: RunStatus, reason: Option<&str>) -> &mut Self {
        self.add(Event::RunStatusChanged { status, reason: reason.map(str::to_owned) })
    }

    pub fn waits(&mut self, step: &str, wait: Waiting) -> &mut Self {
        self.add(Event::StepWaiting { step: step.into(), wait })
    }

    /// `budget` and `scale` (2 → 8) done, in 12 seconds.
    pub fn scaled(&mut self) -> &mut Self {
        self.started("budget", Some(Intent::default())).after(1).succeeded("budget", json!({"largest_pool_size": 10}));
        self.started("scale", None);
        self.add(Event::AttemptStarted { step: "scale".into(), attempt: 1, intent: Box::new(scaling(2, 8)) });
        self.after(11).add(Event::AttemptEnded { step: "scale".into(), attempt: 1, outcome: Applied::Applied { outputs: Value::Null } });
        self.succeeded("scale", json!({"ready_replicas": 8}))
    }

    /// The view of all of it.
    pub fn view(&self, definition: &Definition) -> RunView {
        let mut view = RunView::new(run_id()).with_definition(definition);
        self.records.iter().for_each(|record| view.apply(record));
        view
    }
}

/// The intent of a scale.
pub fn scaling(from: u32, to: u32) -> Intent {
    Intent {
        prior: json!({"replicas": from}),
        changes: vec![Change {
            object: ObjectRef("k8s:4f0c/production/deployment/ticket-service".to_owned()),
            field: "spec.replicas".to_owned(),
            label: "replicas".to_owned(),
            prior: json!(from),
            after: json!(to),
        }],
        revert: Revert::Fields { settle: Span::seconds(300) },
        by_hand: vec![format!("kubectl -n production scale deployment/ticket-service --replicas={to}")],
        undo_by_hand: vec![format!("kubectl -n production scale deployment/ticket-service --current-replicas={to} --replicas={from}")],
        ..Intent::default()
    }
}

pub fn path(text: &str) -> StepPath {
    text.into()
}
