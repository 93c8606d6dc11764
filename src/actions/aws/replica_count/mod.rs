//! `aws.elasticache.replica_count`: sets how many replicas each shard of a replication group has.
//!
//! Must not choose which replicas go where they are this tool's own: a rollback removes those that the step added. Invariant: it has happened only when
//! every shard has that many members and the group is `available`.

mod steps;

use std::sync::{Arc, LazyLock};

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use self::steps::Noted;
use super::account::{account, identifier, object_ref, touched};
use super::by_hand;
use super::group::{Group, changeable, text};
use super::group_change;
use super::settling::WITHIN;
use crate::actions::support::{DurationText, kept, output, parse, schema, target, whole};
use crate::environment::Connections;
use crate::model::by_hand::ByHand;
use crate::model::catalogue::ActionEntry;
use crate::model::change::{Change, ObjectRef, Swap};
use crate::model::duration::Span;
use crate::model::intent::{Intent, Revert};
use crate::model::outcome::{Applied, Failure, Followed, Verdict};
use crate::model::permission::needs_nothing;
use crate::model::run::TargetSpec;
use crate::model::step::{Effect, Rollback};
use crate::ports::action::{Action, Context, Inputs, Plan};

const NAME: &str = "aws.elasticache.replica_count";
/// The field: what the API calls it in its requests.
const FIELD: &str = "ReplicaCount";
/// The most replicas of a shard.
const MOST: i32 = 5;

/// The inputs of `aws.elasticache.replica_count`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Input {
    /// The replication group's name: `ticket-redis`.
    replication_group: String,
    /// How many replicas each shard is to have, the primary not counted: 0 to 5.
    #[serde(deserialize_with = "whole")]
    #[schemars(range(min = 0, max = 5))]
    replicas: i32,
    /// How long it may take until they are there, or gone; `1h` where it is left out.
    #[schemars(with = "Option<DurationText>")]
    within: Option<Span>,
}

impl Input {
    fn of(inputs: &Inputs) -> Result<Self, Failure> {
        let input: Self = parse(NAME, inputs)?;
        identifier("replication_group", &input.replication_group)?;
        if !(0..=MOST).contains(&input.replicas) {
            return Err(Failure::permanent(format!("replicas cannot be {}", input.replicas)).hint("0 to 5 for each shard"));
        }
        Ok(input)
    }
}

/// The action.
pub(super) struct SetReplicaCount {
    connections: Arc<Connections>,
}

static ENTRY: LazyLock<Arc<ActionEntry>> = LazyLock::new(|| {
    Arc::new(ActionEntry {
        name: NAME.to_owned(),
        summary: "Set how many replicas each shard of an ElastiCache replication group has".to_owned(),
        page: include_str!("page.md").to_owned(),
        inputs: schema::<Input>(),
        outputs: vec![
            output("replicas", "integer", "the replicas that each shard has now"),
            output("previous_replicas", "integer", "the replicas that each shard had before"),
            output("members", "list", "the names of all nodes, primaries included"),
        ],
        effect: Effect::Idempotent,
        effect_from_step: false,
        observes: true,
        reverts: true,
        needs_target: true,
        immediate: false,
        touches: |inputs: &Value, target: Option<&TargetSpec>| -> Vec<ObjectRef> {
            touched(inputs, target, "elasticache", "replication_group")
        },
        by_hand: lines,
        permissions: needs_nothing,
    })
});

/// The lines for a person's hands, who sees whether it becomes more or fewer.
fn lines(inputs: &Value, target: Option<&TargetSpec>) -> ByHand {
    let group = by_hand::input(inputs, "replication_group").unwrap_or_default();
    let replicas = by_hand::input(inputs, "replicas").unwrap_or_default();
    let region = by_hand::region(target);
    let (assigned, before) = by_hand::own("REPLICAS_BEFORE", inputs, "replication_group");
    let query = "length(ReplicationGroups[0].NodeGroups[0].NodeGroupMembers)";
    let count =
        format!("aws elasticache describe-replication-groups --replication-group-id {group} --query '{query}' --output text{region}");
    let set = |verb: &str, count: &str| command(verb, &group, count, &region);
    let either = |from: &str, to: &str| {
        let (more, fewer) = (set("increase", to), set("decrease", to));
        format!("if [ {to} -gt {from} ]; then {more}; elif [ {to} -lt {from} ]; then {fewer}; fi")
    };
    ByHand {
        look: vec![format!("{assigned}=$(($({count}) - 1))")],
        act: vec![either(&before, &replicas)],
        undo: vec![either(&replicas, &before)],
    }
}

fn command(verb: &str, group: &str, count: &str, region: &str) -> String {
    format!("aws elasticache {verb}-replica-count --replication-group-id {group} --new-replica-count {count} --apply-immediately{region}")
}

impl SetReplicaCount {
    pub(super) fn new(connections: Arc<Connections>) -> Self {
        Self { connections }
    }
}

#[async_trait]
impl Action for SetReplicaCount {
    fn entry(&self) -> Arc<ActionEntry> {
        Arc::clone(&ENTRY)
    }

    async fn observe(&self, cx: &Context, inputs: &Inputs) -> Result<Value, Failure> {
        let Input { replication_group: id, .. } = Input::of(inputs)?;
        let aws = account(NAME, &self.connections, cx)?;
        Ok(Group::needed(&aws, &id, &*cx.log).await?.observed())
    }

    fn plan(&self, cx: &Context, inputs: &Inputs, prior: &Value, rollback: &Rollback) -> Result<Plan, Failure> {
        let Input { replication_group: id, replicas, within } = Input::of(inputs)?;
        let target = target(NAME, cx.target.as_ref())?;
        let object = object_ref(target, "elasticache", &id).ok_or_else(|| Failure::permanent("the environment names no AWS account"))?;
        changeable(&id, prior)?;
        let was = prior.get("replicas").and_then(Value::as_i64).ok_or_else(|| {
            Failure::permanent(format!("the shards of {id} have different numbers of replicas, or none was told"))
                .hint("make them equal first: `aws elasticache increase-replica-count --replica-configuration …`")
        })?;
        let replicas = i64::from(replicas);
        let members = prior.get("members").cloned().unwrap_or_default();
        if was == replicas {
            return Ok(Plan { intent: Intent::default(), unchanged: Some(steps::outputs(was, was, &members)) });
        }
        let is_on = |key: &str| text(prior, key).is_some_and(|value| value == "enabled" || value == "enabling");
        if replicas == 0 && (is_on("automatic_failover") || is_on("multi_az")) {
            let message = format!("{id} fails over automatically, and needs at least 1 replica for that");
            return Err(Failure::permanent(message).hint("want 1 or more replicas"));
        }
        let region = by_hand::region(Some(target));
        let line = |from: i64, to: i64| command(if to > from { "increase" } else { "decrease" }, &id, &to.to_string(), &region);
        let change = Change {
            object,
            field: FIELD.to_owned(),
            label: "replicas of each shard".to_owned(),
            prior: json!(was),
            after: json!(replicas),
        };
        let within = within.unwrap_or(WITHIN);
        let intent = Intent {
            revert: kept(rollback).map_or(Revert::Fields { settle: within }, |reason| Revert::Keep { reason }),
            note: json!({ "replication_group": id, "members": members }),
            by_hand: vec![line(was, replicas)],
            undo_by_hand: vec![line(replicas, was)],
            changes: vec![change],
            ..Intent::default()
        };
        Ok(Plan { intent, unchanged: None })
    }

    async fn apply(&self, cx: &Context, inputs: &Inputs, intent: &Intent) -> Applied {
        let read = || Ok((Noted::of(intent)?, account(NAME, &self.connections, cx)?, Input::of(inputs)?.within.unwrap_or(WITHIN)));
        match read() {
            Ok((noted, aws, within)) => group_change::apply(&noted, cx, &aws, within).await,
            Err(failure) => Applied::NotApplied { failure },
        }
    }

    async fn verify(&self, cx: &Context, _: &Inputs, intent: &Intent) -> Result<Verdict, Failure> {
        group_change::verify(&Noted::of(intent)?, cx, &account(NAME, &self.connections, cx)?).await
    }

    async fn live(&self, cx: &Context, intent: &Intent) -> Result<Vec<Option<Value>>, Failure> {
        Ok(vec![group_change::live(&Noted::of(intent)?, cx, &account(NAME, &self.connections, cx)?).await?])
    }

    async fn revert(&self, cx: &Context, intent: &Intent, swaps: &[Swap]) -> Applied {
        let read = || Ok((Noted::of(intent)?, account(NAME, &self.connections, cx)?));
        match read() {
            Ok((noted, aws)) => group_change::revert(&noted, cx, &aws, swaps).await,
            Err(failure) => Applied::NotApplied { failure },
        }
    }

    async fn followed(&self, cx: &Context, intent: &Intent) -> Result<Followed, Failure> {
        group_change::followed(&Noted::of(intent)?, cx, &account(NAME, &self.connections, cx)?).await
    }

    fn under_way_for(&self, inputs: &Inputs) -> Option<std::time::Duration> {
        Some(Input::of(inputs).ok()?.within.unwrap_or(WITHIN).0)
    }
}
