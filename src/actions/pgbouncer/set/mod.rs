//! `pgbouncer.set`: changes settings of PgBouncer while it runs, on every instance.
//!
//! Must not write a configuration file, nor change who gets in. Invariant: a setting is sent to an instance only where it is as it was recorded there;
//! what each instance had before is what it is given back.

mod by_hand;
mod input;
mod swap;

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use self::by_hand::{lines, split};
use self::input::Input;
use self::swap::{Config, Configs, Part, part, parts, same, standing};
use crate::actions::support::{self, kept, output, redacted, schema};
use crate::environment::Connections;
use crate::model::catalogue::ActionEntry;
use crate::model::change::{Change, ObjectRef, Swap};
use crate::model::duration::Span;
use crate::model::intent::{Intent, Revert};
use crate::model::outcome::{Applied, Failure, Verdict};
use crate::model::permission::Needs;
use crate::model::run::TargetSpec;
use crate::model::step::{Effect, Rollback};
use crate::ports::action::{Action, Context, Inputs, Plan};

const NAME: &str = "pgbouncer.set";

/// What is kept of the step to find the instances again.
#[derive(Debug, Serialize, Deserialize)]
struct Note {
    pooler: Value,
    says: String,
}

/// The action.
pub(super) struct Set {
    connections: Arc<Connections>,
}

static ENTRY: LazyLock<Arc<ActionEntry>> = LazyLock::new(|| {
    Arc::new(ActionEntry {
        name: NAME.to_owned(),
        summary: "Change settings of PgBouncer while it runs, on every instance".to_owned(),
        page: include_str!("../set.md").to_owned(),
        inputs: schema::<Input>(),
        outputs: vec![
            output("instances", "map", "what each instance has now, by `HOST:PORT`: the settings of the step by name, as texts"),
            output("settings", "map", "what was asked for, as texts"),
            output("everywhere", "boolean", "whether every instance has all of it"),
        ],
        effect: Effect::Idempotent,
        effect_from_step: false,
        observes: true,
        reverts: true,
        needs_target: true,
        immediate: false,
        touches,
        by_hand: by_hand::by_hand,
        permissions,
    })
});

/// The pooler as a whole: its instances come and go.
fn object(pooler: &Value, target: Option<&TargetSpec>) -> Option<ObjectRef> {
    let text = |key: &str| pooler.get(key).and_then(Value::as_str);
    if let Some(service) = text("service") {
        let uid = target?.identity.get(crate::environment::KUBERNETES)?.as_str()?;
        let cluster = target.and_then(|target| target.values.get("kubernetes")).and_then(|cluster| cluster.get("namespace"));
        let namespace = text("namespace").or(cluster.and_then(Value::as_str))?;
        return Some(ObjectRef(format!("pgbouncer:{uid}/{namespace}/service/{service}")));
    }
    let instances: Vec<&str> = pooler.get("instances")?.as_array()?.iter().filter_map(Value::as_str).collect();
    Some(ObjectRef(format!("pgbouncer:{}", instances.join(","))))
}

fn touches(inputs: &Value, target: Option<&TargetSpec>) -> Vec<ObjectRef> {
    inputs.get("pooler").and_then(|pooler| object(pooler, target)).into_iter().collect()
}

fn permissions(inputs: &Value, target: Option<&TargetSpec>) -> Needs {
    super::needs(inputs.get("pooler").unwrap_or(&Value::Null), target)
}

impl Set {
    pub(super) fn new(connections: Arc<Connections>) -> Self {
        Self { connections }
    }
}

fn outputs(cx: &Context, live: &Configs, parts: &[Part<'_>]) -> Value {
    let settings: BTreeMap<&str, &str> = parts.iter().map(|part| (part.name, part.to)).collect();
    of_live(cx, live, &settings)
}

fn of_live(cx: &Context, live: &Configs, settings: &BTreeMap<&str, &str>) -> Value {
    let of = |config: &Config| -> Map<String, Value> {
        settings.keys().filter_map(|name| Some(((*name).to_owned(), json!(config.get(*name)?.0)))).collect()
    };
    let everywhere =
        live.values().all(|config| settings.iter().all(|(name, wanted)| config.get(*name).is_some_and(|(value, _)| same(value, wanted))));
    let instances: Map<String, Value> = live.iter().map(|(at, config)| (at.clone(), Value::Object(of(config)))).collect();
    redacted(&*cx.log, json!({ "instances": instances, "settings": settings, "everywhere": everywhere }))
}

fn note(intent: &Intent) -> Result<Note, Failure> {
    serde_json::from_value(intent.note.clone()).map_err(|error| Failure::permanent(format!("the record of {NAME} cannot be read: {error}")))
}

#[async_trait]
impl Action for Set {
    fn entry(&self) -> Arc<ActionEntry> {
        Arc::clone(&ENTRY)
    }

    async fn observe(&self, cx: &Context, inputs: &Inputs) -> Result<Value, Failure> {
        let (pooler, settings) = Input::of(inputs)?;
        let access = self.access(&pooler)?;
        let live = self.configs(cx, access).await?;
        for (at, config) in &live {
            for name in settings.keys() {
                match config.get(name) {
                    None => {
                        return Err(Failure::permanent(format!("PgBouncer at {at} has no setting {name}"))
                            .hint("`SHOW CONFIG` in its admin console lists them; some came with later versions"));
                    }
                    Some((_, false)) => {
                        return Err(Failure::permanent(format!("PgBouncer at {at} cannot change {name} while it runs"))
                            .hint("change it in the configuration file and restart PgBouncer"));
                    }
                    Some(_) => {}
                }
            }
        }
        let wanted: BTreeMap<&str, &str> = settings.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        Ok(of_live(cx, &live, &wanted))
    }

    fn plan(&self, cx: &Context, inputs: &Inputs, prior: &Value, rollback: &Rollback) -> Result<Plan, Failure> {
        let (pooler, settings) = Input::of(inputs)?;
        let access = self.access(&pooler)?;
        let target = support::target(NAME, cx.target.as_ref())?;
        let object = object(&pooler, Some(target)).ok_or_else(|| Failure::permanent(format!("{NAME} needs the cluster of its Service")))?;
        let unobserved = || Failure::permanent("the settings of PgBouncer were not observed");
        let instances = prior.get("instances").and_then(Value::as_object).ok_or_else(unobserved)?;
        let mut changes = Vec::new();
        for (at, config) in instances {
            for (name, wanted) in &settings {
                let live = config.get(name).and_then(Value::as_str).ok_or_else(unobserved)?;
                if !same(live, wanted) {
                    changes.push(Change {
                        object: object.clone(),
                        field: format!("{at}/{name}"),
                        label: format!("{name} at {at}"),
                        prior: json!(live),
                        after: json!(wanted),
                    });
                }
            }
        }
        if changes.is_empty() {
            return Ok(Plan { intent: Intent::default(), unchanged: Some(prior.clone()) });
        }
        let revert = match kept(rollback) {
            Some(reason) => Revert::Keep { reason },
            None => Revert::Fields { settle: Span::seconds(0) },
        };
        let says = "RELOAD and a restart of PgBouncer undo it: both go back to its configuration file".to_owned();
        let (by_hand, undo_by_hand) = (lines(access, &changes, true), lines(access, &changes, false));
        let note = json!(Note { pooler, says });
        Ok(Plan { intent: Intent { changes, revert, note, by_hand, undo_by_hand, ..Intent::default() }, unchanged: None })
    }

    async fn apply(&self, cx: &Context, _: &Inputs, intent: &Intent) -> Applied {
        match note(intent).and_then(|note| Ok((note, parts(&intent.changes)?))) {
            Ok((note, parts)) => self.swap(cx, &note.pooler, &parts).await,
            Err(failure) => Applied::NotApplied { failure },
        }
    }

    async fn verify(&self, cx: &Context, _: &Inputs, intent: &Intent) -> Result<Verdict, Failure> {
        let (note, parts) = (note(intent)?, parts(&intent.changes)?);
        let live = self.configs(cx, self.access(&note.pooler)?).await?;
        let (mut there, mut before) = (Vec::new(), Vec::new());
        for part in &parts {
            let place = format!("{} at {}", part.name, part.at);
            match live.get(part.at).map(|config| standing(part, config.get(part.name).map(|(value, _)| value.as_str()))) {
                Some(Ok(true)) => there.push(place),
                Some(Ok(false)) => before.push(place),
                Some(Err(failure)) => return Ok(Verdict::CannotTell { reason: failure.message }),
                None => return Ok(Verdict::CannotTell { reason: format!("there is no instance of PgBouncer at {} any more", part.at) }),
            }
        }
        Ok(match (there.is_empty(), before.is_empty()) {
            (_, true) => Verdict::Present { outputs: outputs(cx, &live, &parts) },
            (true, false) => Verdict::Absent,
            (false, false) => {
                let reason = format!("it was done in part: set are {}; as before are {}", there.join(", "), before.join(", "));
                Verdict::CannotTell { reason }
            }
        })
    }

    async fn live(&self, cx: &Context, intent: &Intent) -> Result<Vec<Option<Value>>, Failure> {
        let note = note(intent)?;
        let live = self.configs(cx, self.access(&note.pooler)?).await?;
        let one = |change: &Change| {
            let (at, name) = split(&change.field)?;
            let (value, _) = live.get(at)?.get(name)?;
            // Written as it was recorded, where it is the same.
            let known = [&change.prior, &change.after].into_iter().find(|known| known.as_str().is_some_and(|known| same(value, known)));
            Some(known.cloned().unwrap_or_else(|| json!(value)))
        };
        Ok(intent.changes.iter().map(one).collect())
    }

    async fn revert(&self, cx: &Context, intent: &Intent, swaps: &[Swap]) -> Applied {
        let parts: Result<Vec<Part<'_>>, Failure> = swaps.iter().map(|swap| part(&swap.field, &swap.from, &swap.to)).collect();
        match note(intent).and_then(|note| Ok((note, parts?))) {
            Ok((note, parts)) => self.swap(cx, &note.pooler, &parts).await,
            Err(failure) => Applied::NotApplied { failure },
        }
    }
}
