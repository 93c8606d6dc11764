//! `aws.elasticache.modify_replication_group`: gives the nodes of a replication group another type.
//!
//! Must not take ElastiCache's word for it: the members' own node types and what they have pending tell what has happened. Invariant: nothing is sent
//! where another node type is there than the one that was recorded, or where something else waits that would be applied with it.

mod steps;

use std::sync::{Arc, LazyLock};

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use self::steps::Noted;
use super::account::{account, identifier, object_ref, touched};
use super::by_hand;
use super::errors::failure;
use super::group::{Group, changeable, text};
use super::group_change;
use super::settling::WITHIN;
use crate::actions::support::{DurationText, kept, output, parse, schema, target};
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

const NAME: &str = "aws.elasticache.modify_replication_group";
/// The field, as the API names it.
const FIELD: &str = "CacheNodeType";

/// The inputs of `aws.elasticache.modify_replication_group`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Input {
    /// The replication group's name: `ticket-redis`.
    replication_group: String,
    /// The node type that all its nodes are to have: `cache.r6g.large`.
    node_type: String,
    /// Whether it is changed at once (the default). `false`: in the group's next maintenance window; the step ends when the change waits for it.
    #[serde(default = "yes")]
    apply_immediately: bool,
    /// How long the change may take until all nodes have the type, and how long a rollback waits for the way back; `1h` where it is left out.
    #[schemars(with = "Option<DurationText>")]
    within: Option<Span>,
}

fn yes() -> bool {
    true
}

impl Input {
    fn of(inputs: &Inputs) -> Result<Self, Failure> {
        let input: Self = parse(NAME, inputs)?;
        identifier("replication_group", &input.replication_group)?;
        let good = input.node_type.starts_with("cache.") && input.node_type.split('.').count() == 3 && input.node_type.len() <= 64;
        if !good {
            return Err(Failure::permanent(format!("`node_type` cannot be `{}`", input.node_type)).hint("such as `cache.r6g.large`"));
        }
        Ok(input)
    }
}

/// The action.
pub(super) struct ModifyReplicationGroup {
    connections: Arc<Connections>,
}

static ENTRY: LazyLock<Arc<ActionEntry>> = LazyLock::new(|| {
    Arc::new(ActionEntry {
        name: NAME.to_owned(),
        summary: "Change the node type of an ElastiCache replication group".to_owned(),
        page: include_str!("page.md").to_owned(),
        inputs: schema::<Input>(),
        outputs: vec![
            output("node_type", "string", "the node type that all nodes have now"),
            output("previous_node_type", "string", "the node type before"),
            output("pending", "boolean", "whether the change only waits for the maintenance window"),
            output("maintenance_window", "string", "the maintenance window, in UTC; null where it is not told"),
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

/// The lines for a person's hands.
fn lines(inputs: &Value, target: Option<&TargetSpec>) -> ByHand {
    let group = by_hand::input(inputs, "replication_group").unwrap_or_default();
    let region = by_hand::region(target);
    let (assigned, before) = by_hand::own("NODE_TYPE_BEFORE", inputs, "replication_group");
    let describe = |query: &str| {
        format!("aws elasticache describe-replication-groups --replication-group-id {group} --query '{query}' --output text{region}")
    };
    let immediately = inputs.get("apply_immediately").and_then(Value::as_bool).unwrap_or(true);
    let node_type = by_hand::input(inputs, "node_type").unwrap_or_default();
    ByHand {
        look: vec![format!("{assigned}=$({})", describe("ReplicationGroups[0].CacheNodeType"))],
        act: vec![modify(&group, &node_type, immediately, &region)],
        undo: vec![modify(&group, &before, immediately, &region)],
    }
}

fn modify(group: &str, node_type: &str, immediately: bool, region: &str) -> String {
    let when = if immediately { "--apply-immediately" } else { "--no-apply-immediately" };
    format!("aws elasticache modify-replication-group --replication-group-id {group} --cache-node-type {node_type} {when}{region}")
}

impl ModifyReplicationGroup {
    pub(super) fn new(connections: Arc<Connections>) -> Self {
        Self { connections }
    }
}

#[async_trait]
impl Action for ModifyReplicationGroup {
    fn entry(&self) -> Arc<ActionEntry> {
        Arc::clone(&ENTRY)
    }

    async fn observe(&self, cx: &Context, inputs: &Inputs) -> Result<Value, Failure> {
        let Input { replication_group: id, node_type, .. } = Input::of(inputs)?;
        let aws = account(NAME, &self.connections, cx)?;
        let group = Group::needed(&aws, &id, &*cx.log).await?;
        let mut observed = group.observed();
        let wants_another = group.is_settled() && group.node_type() != Some(node_type.as_str());
        if wants_another {
            let allowed = aws.allowed_node_types(&id).await;
            let allowed = allowed.map_err(|error| failure(&aws, &format!("ask which node types {id} can have"), &error, &*cx.log))?;
            observed["larger"] = json!(allowed.up);
            observed["smaller"] = json!(allowed.down);
        }
        Ok(observed)
    }

    fn plan(&self, cx: &Context, inputs: &Inputs, prior: &Value, rollback: &Rollback) -> Result<Plan, Failure> {
        let Input { replication_group: id, node_type, apply_immediately, within } = Input::of(inputs)?;
        let target = target(NAME, cx.target.as_ref())?;
        let object = object_ref(target, "elasticache", &id).ok_or_else(|| Failure::permanent("the environment names no AWS account"))?;
        changeable(&id, prior)?;
        let unobserved = || Failure::permanent(format!("the members of {id} have different node types, or none was told"));
        let was = text(prior, "node_type").filter(|was| !was.is_empty()).ok_or_else(unobserved)?;
        let window = text(prior, "maintenance_window");
        let outputs = |pending: bool| steps::outputs(was, was, pending, window);
        if let Some(pending) = text(prior, "pending_node_type") {
            if pending == node_type && !apply_immediately {
                return Ok(Plan { intent: Intent::default(), unchanged: Some(outputs(true)) });
            }
            let message = format!("{id} has the node type {was}, and a change to {pending} waits for its maintenance window");
            return Err(Failure::permanent(message).hint(format!(
                "whoever asked for that may want it at once (`{}`) or take it back (the same with {was})",
                modify(&id, pending, true, "")
            )));
        }
        if was == node_type {
            return Ok(Plan { intent: Intent::default(), unchanged: Some(outputs(false)) });
        }
        let also: Vec<&str> = prior.get("also_pending").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect();
        if apply_immediately && !also.is_empty() {
            let message = format!("{id} has more that waits ({}), and whatever waits would be applied at once with it", also.join(", "));
            return Err(Failure::permanent(message).hint("apply or take back what waits first, or say `apply_immediately: false`"));
        }
        let list = |key: &str| prior.get(key).and_then(Value::as_array).cloned().unwrap_or_default();
        let (larger, smaller) = (list("larger"), list("smaller"));
        if !larger.iter().chain(&smaller).any(|allowed| *allowed == json!(node_type)) {
            let named = |list: &[Value]| list.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(", ");
            let message = format!("{id} cannot be changed from {was} to {node_type}");
            return Err(Failure::permanent(message).hint(format!("larger: {}; smaller: {}", named(&larger), named(&smaller))));
        }
        let region = by_hand::region(Some(target));
        let change = Change { object, field: FIELD.to_owned(), label: "node type".to_owned(), prior: json!(was), after: json!(node_type) };
        let within = within.unwrap_or(WITHIN);
        let intent = Intent {
            revert: kept(rollback).map_or(Revert::Fields { settle: within }, |reason| Revert::Keep { reason }),
            note: json!({ "replication_group": id, "apply_immediately": apply_immediately, "window": window }),
            by_hand: vec![modify(&id, &node_type, apply_immediately, &region)],
            undo_by_hand: vec![modify(&id, was, apply_immediately, &region)],
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
