//! `aws.rds.delete_read_replica`: deletes a read replica that this tool made.
//!
//! Must not touch any other instance. Invariants: what is deleted is a replica and bears this tool's tag, read right before; a step that uses it has a
//! gate; it is never a rollback that nobody agreed to.

mod steps;

use std::sync::{Arc, LazyLock};

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use self::steps::Noted;
use super::account::{account, identifier, object_ref, touched};
use super::by_hand;
use super::create_read_replica::FIELD;
use super::instance::Instance;
use super::settling::WITHIN;
use crate::actions::support::{DurationText, output, parse, schema, target};
use crate::environment::Connections;
use crate::model::by_hand::ByHand;
use crate::model::catalogue::ActionEntry;
use crate::model::change::{Change, ObjectRef};
use crate::model::duration::Span;
use crate::model::intent::{Intent, Revert};
use crate::model::outcome::{Applied, Failure, Verdict};
use crate::model::permission::needs_nothing;
use crate::model::run::TargetSpec;
use crate::model::step::{Effect, Rollback};
use crate::ports::action::{Action, Context, Inputs, Plan};

const NAME: &str = "aws.rds.delete_read_replica";

/// The inputs of `aws.rds.delete_read_replica`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("x-runsheet-gated" = true))]
struct Input {
    /// The replica's name: `ticket-db-replica-2`.
    replica: String,
    /// How long it may take until it is gone; `1h` where it is left out.
    #[schemars(with = "Option<DurationText>")]
    within: Option<Span>,
}

impl Input {
    fn of(inputs: &Inputs) -> Result<Self, Failure> {
        let input: Self = parse(NAME, inputs)?;
        identifier("replica", &input.replica)?;
        Ok(input)
    }
}

/// The action.
pub(super) struct DeleteReadReplica {
    connections: Arc<Connections>,
}

static ENTRY: LazyLock<Arc<ActionEntry>> = LazyLock::new(|| {
    Arc::new(ActionEntry {
        name: NAME.to_owned(),
        summary: "Delete a read replica that runsheet made".to_owned(),
        page: include_str!("page.md").to_owned(),
        inputs: schema::<Input>(),
        outputs: vec![
            output("replica", "string", "the replica's name"),
            output("source", "string", "the instance that it replicated; null where it was gone already"),
            output("deleted", "boolean", "whether this step deleted it; false where it was gone already"),
        ],
        effect: Effect::Idempotent,
        effect_from_step: false,
        observes: true,
        reverts: false,
        needs_target: true,
        immediate: false,
        touches: |inputs: &Value, target: Option<&TargetSpec>| -> Vec<ObjectRef> { touched(inputs, target, "rds", "replica") },
        by_hand: lines,
        permissions: needs_nothing,
    })
});

fn lines(inputs: &Value, target: Option<&TargetSpec>) -> ByHand {
    let replica = by_hand::input(inputs, "replica").unwrap_or_default();
    let region = by_hand::region(target);
    let query = "DBInstances[0].[ReadReplicaSourceDBInstanceIdentifier, TagList]";
    ByHand {
        look: vec![format!("aws rds describe-db-instances --db-instance-identifier {replica} --query '{query}'{region}")],
        act: vec![command(&replica, &region)],
        undo: Vec::new(),
    }
}

fn command(replica: &str, region: &str) -> String {
    format!("aws rds delete-db-instance --db-instance-identifier {replica} --skip-final-snapshot{region}")
}

impl DeleteReadReplica {
    pub(super) fn new(connections: Arc<Connections>) -> Self {
        Self { connections }
    }
}

#[async_trait]
impl Action for DeleteReadReplica {
    fn entry(&self) -> Arc<ActionEntry> {
        Arc::clone(&ENTRY)
    }

    async fn observe(&self, cx: &Context, inputs: &Inputs) -> Result<Value, Failure> {
        let Input { replica, .. } = Input::of(inputs)?;
        let aws = account(NAME, &self.connections, cx)?;
        let found = Instance::read(&aws, &replica, &*cx.log).await?;
        let mut observed = found.as_ref().map_or_else(|| json!({ "db_instance": replica, "status": null }), Instance::observed);
        observed["exists"] = json!(found.is_some());
        observed["mark"] = json!(found.as_ref().and_then(Instance::mark));
        Ok(observed)
    }

    fn plan(&self, cx: &Context, inputs: &Inputs, prior: &Value, _: &Rollback) -> Result<Plan, Failure> {
        let Input { replica, within } = Input::of(inputs)?;
        let target = target(NAME, cx.target.as_ref())?;
        let object = object_ref(target, "rds", &replica).ok_or_else(|| Failure::permanent("the environment names no AWS account"))?;
        if prior.get("exists").and_then(Value::as_bool) != Some(true) {
            return Ok(Plan { intent: Intent::default(), unchanged: Some(steps::outputs(&replica, None, false)) });
        }
        let text = |key: &str| prior.get(key).and_then(Value::as_str);
        let is_protected = prior.get("deletion_protection").and_then(Value::as_bool) == Some(true);
        let replicas: Vec<&str> = prior.get("replicas").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect();
        let (source, mark) = steps::deletable(&replica, text("source"), text("mark"), is_protected, &replicas)?;
        let region = by_hand::region(Some(target));
        let change =
            Change { object, field: FIELD.to_owned(), label: "read replica of".to_owned(), prior: json!(source), after: Value::Null };
        let intent = Intent {
            changes: vec![change],
            revert: Revert::Keep {
                reason: "a replica that was deleted does not come back by itself: `aws.rds.create_read_replica` makes a new one".to_owned(),
            },
            note: json!({ "replica": replica, "source": source, "mark": mark, "within": within.unwrap_or(WITHIN) }),
            by_hand: vec![command(&replica, &region)],
            undo_by_hand: Vec::new(),
            ..Intent::default()
        };
        Ok(Plan { intent, unchanged: None })
    }

    async fn apply(&self, cx: &Context, _: &Inputs, intent: &Intent) -> Applied {
        let read = || Ok((Noted::of(intent)?, account(NAME, &self.connections, cx)?));
        match read() {
            Ok((noted, aws)) => noted.apply(cx, &aws).await,
            Err(failure) => Applied::NotApplied { failure },
        }
    }

    async fn verify(&self, cx: &Context, _: &Inputs, intent: &Intent) -> Result<Verdict, Failure> {
        Noted::of(intent)?.verify(cx, &account(NAME, &self.connections, cx)?).await
    }

    fn under_way_for(&self, inputs: &Inputs) -> Option<std::time::Duration> {
        Some(Input::of(inputs).ok()?.within.unwrap_or(WITHIN).0)
    }
}
