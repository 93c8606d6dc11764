//! `aws.rds.create_read_replica`: a read replica of a DB instance.
//!
//! Must not delete one, not even in a rollback: somebody may read from it by then. Invariants: a replica of the same source is the wanted state, whoever
//! made it; what this step makes bears its mark; it has happened only when the replica serves.

mod steps;

use std::sync::{Arc, LazyLock};

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use self::steps::Noted;
use super::account::{account, identifier, object_ref, touched};
use super::by_hand;
use super::instance::{Instance, MARK};
use super::settling::WITHIN;
use crate::actions::support::{DurationText, output, parse, schema, target};
use crate::environment::Connections;
use crate::model::by_hand::{ByHand, quoted};
use crate::model::catalogue::ActionEntry;
use crate::model::change::{Change, ObjectRef};
use crate::model::duration::Span;
use crate::model::intent::{Intent, Revert};
use crate::model::outcome::{Applied, Failure, Verdict};
use crate::model::permission::needs_nothing;
use crate::model::run::TargetSpec;
use crate::model::step::{Effect, Rollback};
use crate::ports::action::{Action, Context, Inputs, Plan};

const NAME: &str = "aws.rds.create_read_replica";
/// The field, as the API names it.
pub(in crate::actions::aws) const FIELD: &str = "ReadReplicaSourceDBInstanceIdentifier";

/// The inputs of `aws.rds.create_read_replica`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Input {
    /// The replica's name: `ticket-db-replica-2`.
    replica: String,
    /// The DB instance that it replicates: `ticket-db`.
    source: String,
    /// Its class: `db.r6g.large`; the source's where it is left out.
    instance_class: Option<String>,
    /// Its availability zone: `eu-central-1b`; RDS chooses where it is left out.
    availability_zone: Option<String>,
    /// How long it may take until the replica serves; `1h` where it is left out.
    #[schemars(with = "Option<DurationText>")]
    within: Option<Span>,
}

impl Input {
    fn of(inputs: &Inputs) -> Result<Self, Failure> {
        let input: Self = parse(NAME, inputs)?;
        identifier("replica", &input.replica)?;
        identifier("source", &input.source)?;
        if input.replica == input.source {
            return Err(Failure::permanent(format!("{} cannot be a replica of itself", input.replica)));
        }
        Ok(input)
    }
}

/// The action.
pub(super) struct CreateReadReplica {
    connections: Arc<Connections>,
}

static ENTRY: LazyLock<Arc<ActionEntry>> = LazyLock::new(|| {
    Arc::new(ActionEntry {
        name: NAME.to_owned(),
        summary: "Create a read replica of an RDS DB instance".to_owned(),
        page: include_str!("page.md").to_owned(),
        inputs: schema::<Input>(),
        outputs: vec![
            output("replica", "string", "the replica's name"),
            output("source", "string", "the instance that it replicates"),
            output("created", "boolean", "whether this step made it; false where it was there"),
            output("endpoint", "map", "where it listens: `host` and `port`"),
            output("arn", "string", "its ARN"),
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
    ByHand {
        look: vec![format!(
            "aws rds describe-db-instances --db-instance-identifier {}{region}",
            by_hand::input(inputs, "source").unwrap_or_default()
        )],
        act: vec![command(inputs, &region, None), format!("aws rds wait db-instance-available --db-instance-identifier {replica}{region}")],
        undo: Vec::new(),
    }
}

fn command(inputs: &Value, region: &str, mark: Option<&str>) -> String {
    let input = |option: &str, name: &str| by_hand::input(inputs, name).map(|value| format!(" --{option} {value}")).unwrap_or_default();
    let tag = mark.map(|mark| format!(" --tags {}", quoted(&format!("Key={MARK},Value={mark}")))).unwrap_or_default();
    format!(
        "aws rds create-db-instance-read-replica{}{}{}{}{tag}{region}",
        input("db-instance-identifier", "replica"),
        input("source-db-instance-identifier", "source"),
        input("db-instance-class", "instance_class"),
        input("availability-zone", "availability_zone"),
    )
}

impl CreateReadReplica {
    pub(super) fn new(connections: Arc<Connections>) -> Self {
        Self { connections }
    }
}

#[async_trait]
impl Action for CreateReadReplica {
    fn entry(&self) -> Arc<ActionEntry> {
        Arc::clone(&ENTRY)
    }

    async fn observe(&self, cx: &Context, inputs: &Inputs) -> Result<Value, Failure> {
        let Input { replica, source, .. } = Input::of(inputs)?;
        let aws = account(NAME, &self.connections, cx)?;
        let found = Instance::read(&aws, &replica, &*cx.log).await?;
        let mut observed = found.as_ref().map_or_else(
            || json!({ "db_instance": replica, "status": null, "ready": false, "holds": format!("{replica} is not there") }),
            Instance::observed,
        );
        observed["exists"] = json!(found.is_some());
        let of = Instance::read(&aws, &source, &*cx.log).await?;
        observed["source_instance"] = of.as_ref().map_or(Value::Null, Instance::observed);
        Ok(observed)
    }

    fn plan(&self, cx: &Context, inputs: &Inputs, prior: &Value, _: &Rollback) -> Result<Plan, Failure> {
        let Input { replica, source, within, .. } = Input::of(inputs)?;
        let target = target(NAME, cx.target.as_ref())?;
        let object = object_ref(target, "rds", &replica).ok_or_else(|| Failure::permanent("the environment names no AWS account"))?;
        let note = json!({ "replica": replica, "source": source, "mark": cx.idempotency_key, "within": within.unwrap_or(WITHIN) });
        let kept = |reason: &str| Revert::Keep { reason: reason.to_owned() };
        if prior.get("exists").and_then(Value::as_bool) == Some(true) {
            steps::same_source(&replica, &source, prior.get("source").and_then(Value::as_str))?;
            if prior.get("ready").and_then(Value::as_bool) == Some(true) {
                return Ok(Plan { intent: Intent::default(), unchanged: Some(steps::outputs_of(prior, &replica, &source, false)) });
            }
            // Somebody else has asked for it: it is only waited for.
            let intent = Intent { revert: kept("it was there before"), note, ..Intent::default() };
            return Ok(Plan { intent, unchanged: None });
        }
        steps::can_be_replicated(&source, prior.get("source_instance").unwrap_or(&Value::Null))?;
        let change =
            Change { object, field: FIELD.to_owned(), label: "read replica of".to_owned(), prior: Value::Null, after: json!(source) };
        let region = by_hand::region(Some(target));
        let intent = Intent {
            changes: vec![change],
            revert: kept(&format!(
                "a read replica is never deleted by itself: somebody may read from it. Where nobody does, `aws.rds.delete_read_replica` deletes it, behind \
                 a gate (as a playbook: `runsheet run scale-database -p replica={replica} -p remove=true`)"
            )),
            note,
            by_hand: vec![command(&inputs.0, &region, Some(&cx.idempotency_key))],
            undo_by_hand: vec![format!("aws rds delete-db-instance --db-instance-identifier {replica} --skip-final-snapshot{region}")],
            ..Intent::default()
        };
        Ok(Plan { intent, unchanged: None })
    }

    async fn apply(&self, cx: &Context, inputs: &Inputs, intent: &Intent) -> Applied {
        let read = || Ok((Noted::of(intent)?, account(NAME, &self.connections, cx)?, Input::of(inputs)?));
        match read() {
            Ok((noted, aws, input)) => noted.apply(cx, &aws, input.instance_class, input.availability_zone).await,
            Err(failure) => Applied::NotApplied { failure },
        }
    }

    async fn verify(&self, cx: &Context, _: &Inputs, intent: &Intent) -> Result<Verdict, Failure> {
        Noted::of(intent)?.verify(cx, &account(NAME, &self.connections, cx)?).await
    }

    async fn live(&self, cx: &Context, intent: &Intent) -> Result<Vec<Option<Value>>, Failure> {
        let source = Noted::of(intent)?.live(cx, &account(NAME, &self.connections, cx)?).await?;
        Ok(intent.changes.iter().map(|_| Some(json!(source))).collect())
    }

    fn under_way_for(&self, inputs: &Inputs) -> Option<std::time::Duration> {
        Some(Input::of(inputs).ok()?.within.unwrap_or(WITHIN).0)
    }
}
