//! `aws.rds.describe`: how a DB instance stands.
//!
//! Must not change anything. Invariant: `ready` is more than RDS's `available`.

use std::sync::{Arc, LazyLock};

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use super::account::{account, identifier};
use super::by_hand;
use super::instance::{Instance, missing};
use crate::actions::reading::{Reading, entry};
use crate::actions::support::{output, parse, target};
use crate::environment::Connections;
use crate::model::by_hand::ByHand;
use crate::model::catalogue::ActionEntry;
use crate::model::outcome::Failure;
use crate::model::permission::needs_nothing;
use crate::model::run::TargetSpec;
use crate::ports::action::{Context, Inputs};

const NAME: &str = "aws.rds.describe";

/// The inputs of `aws.rds.describe`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Input {
    /// The DB instance's name: `ticket-db`.
    db_instance: String,
}

impl Input {
    fn of(inputs: &Inputs) -> Result<Self, Failure> {
        let input: Self = parse(NAME, inputs)?;
        identifier("db_instance", &input.db_instance)?;
        Ok(input)
    }
}

/// The reading.
pub(super) struct Describe;

static ENTRY: LazyLock<Arc<ActionEntry>> = LazyLock::new(|| {
    entry::<Input>(
        NAME,
        "See how an RDS DB instance and its replicas stand",
        include_str!("describe.md"),
        vec![
            output("status", "string", "what RDS says: `available`, `creating`, `modifying`, …"),
            output("ready", "boolean", "whether it serves: available, with an endpoint and, as a replica, replicating"),
            output("class", "string", "its class: `db.r6g.large`"),
            output("engine", "string", "its engine: `postgres`"),
            output("engine_version", "string", "the engine's version"),
            output("source", "string", "the instance that it replicates; null where it is no replica"),
            output("replicas", "list", "the names of its read replicas"),
            output(
                "backup_retention_days",
                "integer",
                "for how many days automatic backups are kept; 0: there are none, and no replica can be made",
            ),
            output("endpoint", "map", "where it listens: `host` and `port`; null until it does"),
            output("storage_gib", "integer", "its storage, in GiB"),
            output("multi_az", "boolean", "whether it has a standby in another availability zone"),
            output("availability_zone", "string", "its availability zone"),
            output("replication", "string", "how its replication stands: `replicating`, `error`, …; null where RDS does not tell"),
            output("made_by_runsheet", "boolean", "whether this tool made it, by its tag"),
            output("holds", "string", "what keeps it from serving, in words; null where nothing does"),
        ],
        lines,
        needs_nothing,
    )
});

fn lines(inputs: &Value, target: Option<&TargetSpec>) -> ByHand {
    let name = by_hand::input(inputs, "db_instance").unwrap_or_default();
    let region = by_hand::region(target);
    ByHand { act: vec![format!("aws rds describe-db-instances --db-instance-identifier {name}{region}")], ..ByHand::default() }
}

#[async_trait]
impl Reading for Describe {
    fn entry() -> Arc<ActionEntry> {
        Arc::clone(&ENTRY)
    }

    fn check(_: &Connections, cx: &Context, inputs: &Inputs) -> Result<(), Failure> {
        Input::of(inputs)?;
        target(NAME, cx.target.as_ref()).map(drop)
    }

    async fn read(connections: &Arc<Connections>, cx: &Context, inputs: &Inputs) -> Result<Value, Failure> {
        let Input { db_instance: id } = Input::of(inputs)?;
        let aws = account(NAME, connections, cx)?;
        let instance = Instance::read(&aws, &id, &*cx.log).await?.ok_or_else(|| missing(&aws, &id))?;
        Ok(instance.observed())
    }
}
