//! What the tests of actions share: a context, a log that is kept, and the trial that every action with a revert must pass.

use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use crate::environment::{Redactor, SecretValues};
use crate::model::change::Swap;
use crate::model::id::{RunId, StepPath};
use crate::model::intent::Intent;
use crate::model::outcome::{Applied, Verdict};
use crate::model::run::TargetSpec;
use crate::model::step::{Effect, Rollback};
use crate::ports::action::{Action, Context, Inputs, Log};

/// A log that is kept.
pub(crate) struct Kept {
    redactor: Redactor,
    pub(crate) lines: Mutex<Vec<String>>,
}

impl Log for Kept {
    fn line(&self, line: &str) {
        self.lines.lock().unwrap().push(self.redactor.text(line));
    }

    fn part(&self, done: u64, total: u64, what: &str) {
        self.lines.lock().unwrap().push(format!("{done} of {total} {what}"));
    }

    fn redact(&self, text: &str) -> String {
        self.redactor.text(text)
    }
}

/// A context for one step, with the log that goes with it.
pub(crate) fn context(target: Option<TargetSpec>, secrets: &[(&str, &str)]) -> (Context, Arc<Kept>) {
    let mut values = SecretValues::new();
    for (name, value) in secrets {
        values.insert(*name, (*value).to_owned().into());
    }
    let log = Arc::new(Kept { redactor: Redactor::of(&values), lines: Mutex::default() });
    let context = Context {
        run: RunId::generate(),
        step: StepPath::new("step"),
        idempotency_key: "0123456789abcdef0123456789abcdef".to_owned(),
        attempt: 1,
        target,
        effect: Effect::Once,
        timeout: None,
        log: Arc::clone(&log) as Arc<dyn Log>,
        files: std::path::PathBuf::new(),
    };
    (context, log)
}

/// A target of this cluster.
pub(crate) fn target(uid: &str) -> TargetSpec {
    let object = |value: Value| value.as_object().cloned().unwrap();
    TargetSpec {
        environment: "trial".to_owned(),
        identity: object(json!({ "kubernetes": uid })),
        values: object(json!({ "kubernetes": { "namespace": "production" } })),
    }
}

/// Observes and plans.
pub(crate) async fn planned(action: &dyn Action, cx: &Context, inputs: &Inputs) -> Intent {
    let prior = action.observe(cx, inputs).await.unwrap();
    let mut intent = action.plan(cx, inputs, &prior, &Rollback::Auto).unwrap().intent;
    intent.prior = prior;
    intent
}

/// Every action with a revert: applied twice it changes once, verify finds it, reverted twice it is back where it was.
pub(crate) async fn repeats(action: &dyn Action, cx: &Context, inputs: &Inputs) {
    let intent = planned(action, cx, inputs).await;
    assert!(!intent.changes.is_empty(), "there is something to do");
    let prior: Vec<_> = intent.changes.iter().map(|change| Some(change.prior.clone())).collect();
    let after: Vec<_> = intent.changes.iter().map(|change| Some(change.after.clone())).collect();
    assert_eq!(action.live(cx, &intent).await.unwrap(), prior);
    assert_eq!(action.verify(cx, inputs, &intent).await.unwrap(), Verdict::Absent);
    for _ in 0..2 {
        let applied = action.apply(cx, inputs, &intent).await;
        assert!(matches!(applied, Applied::Applied { .. }), "{applied:?}");
        assert_eq!(action.live(cx, &intent).await.unwrap(), after);
        assert!(matches!(action.verify(cx, inputs, &intent).await.unwrap(), Verdict::Present { .. }));
    }
    let swap = |change: &crate::model::change::Change| Swap {
        object: change.object.clone(),
        field: change.field.clone(),
        label: change.label.clone(),
        from: change.after.clone(),
        to: change.prior.clone(),
    };
    let swaps: Vec<Swap> = intent.changes.iter().map(swap).collect();
    for _ in 0..2 {
        let reverted = action.revert(cx, &intent, &swaps).await;
        assert!(matches!(reverted, Applied::Applied { .. }), "{reverted:?}");
        assert_eq!(action.live(cx, &intent).await.unwrap(), prior);
    }
}
