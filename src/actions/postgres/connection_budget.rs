//! `postgres.connection_budget`: proves that a workload's connections fit, before anything grows.
//!
//! Must not change anything. Invariant: it succeeds only with the whole sum; with `require: fits` only where the pools fit.

use std::sync::{Arc, LazyLock};

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value, json};

use super::activity::{ACTIVITY, SETTINGS};
use super::budget::{Parts, Sum};
use super::prove::{Read, Reading, Through};
use super::workload;
use crate::actions::kubernetes::{WorkloadName, capacity_permissions};
use crate::actions::pgbouncer;
use crate::actions::support::{self, output, parse, schema};
use crate::environment::Connections;
use crate::model::by_hand::{ByHand, word};
use crate::model::catalogue::{ActionEntry, touches_nothing};
use crate::model::intent::Intent;
use crate::model::outcome::{Applied, Failure, Verdict};
use crate::model::permission::Needs;
use crate::model::run::TargetSpec;
use crate::model::step::{Effect, Rollback};
use crate::ports::action::{Action, Context, Inputs, Plan};

const NAME: &str = "postgres.connection_budget";

/// The inputs of `postgres.connection_budget`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Input {
    /// The workload whose pods connect: `deployment/NAME`, `statefulset/NAME` or `replicaset/NAME`.
    workload: WorkloadName,
    /// Its namespace; the environment's (`target.kubernetes.namespace`) where it is left out.
    namespace: Option<String>,
    /// The wanted replicas. An autoscaler's maximum counts where it is more.
    #[serde(deserialize_with = "support::whole")]
    #[schemars(range(min = 0))]
    replicas: i32,
    /// The variable of the container that holds the size of a pod's pool: `DB_POOL_MAX`.
    pool_env: Option<String>,
    /// The connections that each pod opens, where no variable says it. One of `pool_env` and `pool_size` must be there.
    #[serde(default, deserialize_with = "some_whole")]
    #[schemars(range(min = 1))]
    pool_size: Option<i32>,
    /// The container with the variable, where several have it.
    container: Option<String>,
    /// The server: host, port, user and database, as `${{ target.postgres }}` has them. The password is the environment's.
    database: Map<String, Value>,
    /// What stands between the pods and the server: `pgbouncer`, the environment's (`target.pgbouncer`), or `direct`, which is meant where it is left
    /// out.
    #[serde(default)]
    through: Option<Through>,
    /// `fits`: the step fails where the pools do not fit. Left out, it fails only where not even one connection a pod fits.
    require: Option<Require>,
    /// Connections to be left free, for people and for what comes; 0 where it is left out.
    #[serde(default, deserialize_with = "some_whole")]
    #[schemars(range(min = 0))]
    reserve: Option<i32>,
    /// The most replicas, in the place of the autoscaler's maximum: where that is about to be changed, say.
    #[serde(default, deserialize_with = "some_whole")]
    #[schemars(range(min = 0))]
    maximum: Option<i32>,
}

/// What must hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Require {
    Fits,
}

fn some_whole<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<i32>, D::Error> {
    match Value::deserialize(deserializer)? {
        Value::Null => Ok(None),
        value => support::whole(value).map(Some).map_err(serde::de::Error::custom),
    }
}

impl Input {
    fn of(inputs: &Inputs) -> Result<Self, Failure> {
        let input: Self = parse(NAME, inputs)?;
        let least = [
            ("replicas", Some(input.replicas), 0),
            ("pool_size", input.pool_size, 1),
            ("reserve", input.reserve, 0),
            ("maximum", input.maximum, 0),
        ];
        if let Some((name, Some(value), least)) = least.into_iter().find(|(_, value, least)| value.is_some_and(|value| value < *least)) {
            return Err(Failure::permanent(format!("`{name}` of {NAME} is {value}, and must be at least {least}")));
        }
        match (&input.pool_env, input.pool_size) {
            (Some(_), Some(_)) | (None, None) => Err(Failure::permanent(format!("{NAME} needs one of `pool_env` and `pool_size`"))
                .hint("`pool_env: DB_POOL_MAX` reads the size from the workload's template; `pool_size: 20` gives it")),
            _ => Ok(input),
        }
    }
}

/// The action.
pub(super) struct ConnectionBudget {
    connections: Arc<Connections>,
}

static ENTRY: LazyLock<Arc<ActionEntry>> = LazyLock::new(|| {
    Arc::new(ActionEntry {
        name: NAME.to_owned(),
        summary: "Prove that a workload's database connections fit".to_owned(),
        page: include_str!("connection_budget.md").to_owned(),
        inputs: schema::<Input>(),
        outputs: vec![
            output("fits", "boolean", "whether `pods` × `current_pool_size` is at most `free`"),
            output("largest_pool_size", "integer", "the most connections that each pod may open"),
            output(
                "current_pool_size",
                "integer",
                "the connections that each pod opens now; the largest, where pods of an earlier template are still there",
            ),
            output("pods", "integer", "the most pods at once: maximum + surge + terminating"),
            output("replicas", "integer", "the wanted replicas"),
            output("maximum", "integer", "the most replicas: the wanted ones, or the autoscaler's maximum where that is more"),
            output("surge", "integer", "the pods that a rollout of `maximum` adds"),
            output("terminating", "integer", "the pods on their way out"),
            output("free", "integer", "the connections left for the workload: max_connections − reserved − others − the input `reserve`"),
            output("max_connections", "integer", "the server's limit"),
            output("reserved", "integer", "the connections that ordinary users never get"),
            output("others", "integer", "the connections that others hold now, over all databases"),
            output(
                "pooler",
                "map",
                "through PgBouncer: `pool_mode`, `instances`, `clients` of the pods, `other_clients`, `clients_of_one_instance`, `max_client_conn` of one, \
                 `room` for the pods' clients, `server_connections` that PostgreSQL may see; else null",
            ),
            output("in_use", "integer", "the connections that everybody holds now"),
            output("sum", "string", "the whole sum in one line, for people"),
        ],
        effect: Effect::Read,
        effect_from_step: false,
        observes: false,
        reverts: false,
        needs_target: true,
        immediate: false,
        touches: touches_nothing,
        by_hand,
        permissions,
    })
});

fn permissions(inputs: &Value, target: Option<&TargetSpec>) -> Needs {
    let mut needs = capacity_permissions(inputs, target);
    let pooler = target.and_then(|target| target.values.get("pgbouncer")).filter(|_| inputs.get("through") == Some(&json!("pgbouncer")));
    if let Some(pooler) = pooler {
        pgbouncer::needs(pooler, target).all.into_iter().for_each(|need| needs.add(need));
    }
    needs
}

fn outputs(sum: &Sum) -> Value {
    json!({
        "fits": sum.fits,
        "largest_pool_size": sum.largest_pool_size,
        "current_pool_size": sum.current_pool_size,
        "pods": sum.pods,
        "replicas": sum.replicas,
        "maximum": sum.maximum,
        "surge": sum.surge,
        "terminating": sum.terminating,
        "free": sum.free,
        "max_connections": sum.max_connections,
        "reserved": sum.reserved,
        "others": sum.others,
        "pooler": sum.pooled.as_ref().map(|pooled| pooled.output(i128::from(sum.pods) * i128::from(sum.current_pool_size))),
        "in_use": sum.in_use,
        "sum": sum.line(),
    })
}

/// The questions that a person would ask; the sum is theirs.
fn by_hand(inputs: &Value, target: Option<&TargetSpec>) -> ByHand {
    let input = |name: &str| inputs.get(name).filter(|value| !value.is_null());
    let default = target.and_then(|target| target.values.get("kubernetes")).and_then(|cluster| cluster.get("namespace"));
    let namespace = input("namespace").or(default).map(|name| format!(" -n {}", word(name))).unwrap_or_default();
    let workload = input("workload").map(word).unwrap_or_default();
    let mut act = vec![
        format!(
            "kubectl get {workload}{namespace} -o jsonpath='{{.spec.replicas}} replicas, surge {{.spec.strategy.rollingUpdate.maxSurge}}'"
        ),
        format!("kubectl get hpa{namespace}"),
    ];
    if let Some(variable) = input("pool_env") {
        let container = input("container").map(|name| format!(" -c {}", word(name))).unwrap_or_default();
        act.push(format!("kubectl set env {workload}{namespace}{container} --list | grep {}", word(variable)));
    }
    let database = |name: &str| input("database").and_then(|database| database.get(name)).map(word);
    let options = [("-h", "host"), ("-p", "port"), ("-U", "user"), ("-d", "database")];
    let options: String = options.into_iter().filter_map(|(option, name)| Some(format!(" {option} {}", database(name)?))).collect();
    act.push(format!("psql{options} -c {}", word(&json!(SETTINGS))));
    act.push(format!("psql{options} -c {}", word(&json!(ACTIVITY))));
    act.extend(sum_in_words(inputs));
    ByHand { act, ..ByHand::default() }
}

/// How the answers become a sum: for a person who has nothing else.
fn sum_in_words(inputs: &Value) -> [String; 4] {
    let of = |name: &str| inputs.get(name).filter(|value| !value.is_null()).map(word);
    let replicas = of("replicas").unwrap_or_else(|| "the wanted replicas".to_owned());
    let maximum = of("maximum").unwrap_or_else(|| "the autoscaler's MAXPODS".to_owned());
    let size = of("pool_size").or(of("pool_env")).unwrap_or_else(|| "the pool's size".to_owned());
    let reserve = of("reserve").filter(|spare| spare != "0").map(|spare| format!(" - {spare} to be left free")).unwrap_or_default();
    [
        format!(
            "# pods = the larger of {replicas} and {maximum} (if there is one), + the surge of a rollout (a percentage of that, rounded up; 25% where none is said), + pods that are terminating"
        ),
        format!(
            "# free = max_connections - all reserved ones - the rows of pg_stat_activity whose backend_type is `client backend` and whose client_addr is no pod's (kubectl get pods -o wide){reserve}"
        ),
        format!("# it fits where pods x {size} <= free"),
        "# the largest pool size = free / pods, rounded down".to_owned(),
    ]
}

impl ConnectionBudget {
    pub(super) fn new(connections: Arc<Connections>) -> Self {
        Self { connections }
    }

    async fn sum(&self, cx: &Context, input: &Input) -> Result<(Read, Sum), Failure> {
        let database = Value::Object(input.database.clone());
        let reading = Reading {
            action: NAME,
            workload: &input.workload,
            namespace: input.namespace.as_deref(),
            database: &database,
            through: input.through.unwrap_or_default(),
            maximum: input.maximum.map(i64::from),
        };
        let mut read = reading.read(&self.connections, cx).await?;
        let pool_size = match (&input.pool_env, input.pool_size) {
            (_, Some(size)) => i64::from(size),
            (variable, None) => {
                let (variable, container) = (variable.as_deref().unwrap_or_default(), input.container.as_deref());
                let size = workload::pool_size(&read.capacity, variable, container)?;
                match workload::larger_in_pods(&read.capacity, variable, container, size) {
                    Some((larger, pods)) => {
                        let text =
                            format!("pods that are there still have {variable} {larger}, {pods} of them more than the template's {size}");
                        cx.log.line(&text);
                        read.larger = Some(text);
                        larger
                    }
                    None => size,
                }
            }
        };
        let spare = i64::from(input.reserve.unwrap_or(0));
        read.parts = Parts { replicas: i64::from(input.replicas), pool_size, spare, ..read.parts };
        let sum = read.parts.sum();
        cx.log.line(&sum.line());
        for text in read.remarks() {
            cx.log.line(&text);
        }
        Ok((read, sum))
    }

    async fn demanded(&self, cx: &Context, inputs: &Inputs) -> Result<Value, Failure> {
        let input = Input::of(inputs)?;
        let (read, sum) = self.sum(cx, &input).await?;
        let demanded = sum.largest_pool_size >= 1 && (sum.fits || input.require != Some(Require::Fits));
        if demanded { Ok(outputs(&sum)) } else { Err(read.failure(&sum, cx)) }
    }
}

#[async_trait]
impl Action for ConnectionBudget {
    fn entry(&self) -> Arc<ActionEntry> {
        Arc::clone(&ENTRY)
    }

    async fn observe(&self, cx: &Context, inputs: &Inputs) -> Result<Value, Failure> {
        let input = Input::of(inputs)?;
        self.sum(cx, &input).await.map(|(_, sum)| outputs(&sum))
    }

    fn plan(&self, cx: &Context, inputs: &Inputs, _: &Value, _: &Rollback) -> Result<Plan, Failure> {
        let input = Input::of(inputs)?;
        support::target(NAME, cx.target.as_ref())?;
        let known = self.connections.postgres_for(&Value::Object(input.database));
        known.map_err(|error| support::not_connected(&error))?;
        if input.through == Some(Through::PgBouncer) {
            self.connections.pgbouncer().map_err(|error| support::not_connected(&error))?;
        }
        let by_hand = by_hand(&inputs.0, cx.target.as_ref()).act.iter().map(|line| cx.log.redact(line)).collect();
        Ok(Plan { intent: Intent { by_hand, ..Intent::default() }, unchanged: None })
    }

    async fn apply(&self, cx: &Context, inputs: &Inputs, _: &Intent) -> Applied {
        match self.demanded(cx, inputs).await {
            Ok(outputs) => Applied::Applied { outputs },
            Err(failure) => Applied::NotApplied { failure },
        }
    }

    async fn verify(&self, _: &Context, _: &Inputs, _: &Intent) -> Result<Verdict, Failure> {
        Ok(Verdict::Absent)
    }
}

#[cfg(test)]
#[path = "connection_budget_tests.rs"]
mod tests;
