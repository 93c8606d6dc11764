//! `k8s.set_env`: sets and removes variables of a container in a workload's template.
//!
//! Must not wait for the rollout: that is a check's part. Invariant: all variables of a step are swapped by one patch, from the values that were
//! recorded; any other value that is found there is somebody else's and stays. A sensitive value is in no intent, output or message.

mod by_hand;
mod keep_within;
mod note;
mod variable;

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use self::keep_within::KeepWithin;
use self::note::{Noted, noted_values};
use self::variable::{Variables, Wanted, digest};
use super::api::Api;
use super::argocd::{self, ARGOCD, Thing};
use super::field_path::FieldPath;
use super::managed;
use super::permissions::{Asking, On};
use super::pod_template::{self, place};
use super::rollout::Rollout;
use super::standing::Together;
use super::swap_fields::{Judged, UID, foreign, swap_judged, uid_of};
use super::workload::Rolling;
use super::{cluster, namespace, object_ref};
use crate::actions::support::{DurationText, kept, output, parse, redacted, schema};
use crate::environment::Connections;
use crate::model::catalogue::ActionEntry;
use crate::model::change::{Change, Swap};
use crate::model::duration::Span;
use crate::model::intent::{Intent, Revert};
use crate::model::outcome::{Applied, Failure, Followed, Verdict};
use crate::model::permission::{Extent, Needs, Purpose};
use crate::model::run::TargetSpec;
use crate::model::step::{Effect, Rollback};
use crate::ports::action::{Action, Context, Inputs, Plan};

pub(super) const NAME: &str = "k8s.set_env";

/// The inputs of `k8s.set_env`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Input {
    /// The workload: `deployment/NAME` or `statefulset/NAME`.
    workload: Rolling,
    /// The container; needed only where there are several.
    container: Option<String>,
    /// The variables by name, and what they are to be: a text (a number is taken as its text), or `null`: the variable is to go.
    #[schemars(schema_with = "variable::schema")]
    env: BTreeMap<String, Wanted>,
    /// Names of variables whose values are never stored. Each takes `${{ secrets.NAME }}`, and the step then has no rollback by itself.
    #[serde(default)]
    sensitive: Vec<String>,
    /// Its namespace; the environment's (`target.kubernetes.namespace`) where it is left out.
    namespace: Option<String>,
    /// How long a rollback waits for the rollout to finish and the old pods to go; `10m` where it is left out.
    #[schemars(with = "Option<DurationText>")]
    settle: Option<Span>,
    /// Where the variable is the size of a pool of connections: the database that all pods together must fit. It is proved right before each
    /// write, forth and back; where it does not hold, nothing is sent.
    keep_within: Option<KeepWithin>,
}

impl Input {
    fn of(inputs: &Inputs, target: Option<&TargetSpec>) -> Result<(Self, String), Failure> {
        let input: Self = parse(NAME, inputs)?;
        if input.env.is_empty() {
            return Err(Failure::permanent("`env` names no variable").hint("give it at least one, `NAME: value`"));
        }
        if let Some(name) = input.env.keys().find(|name| !variable::is_name(name)) {
            let shown: String = name.chars().take(80).collect();
            return Err(Failure::permanent(format!("`{shown}` is not a variable's name"))
                .hint("letters, digits, `_`, `-` and `.`, the first of them no digit"));
        }
        if let Some(name) = input.sensitive.iter().find(|name| !input.env.contains_key(*name)) {
            return Err(Failure::permanent(format!("`sensitive` names {name}, which is not in `env`")));
        }
        let namespace = namespace(input.namespace.as_deref(), target)?;
        Ok((input, namespace))
    }

    fn is_sensitive(&self, name: &str) -> bool {
        self.sensitive.iter().any(|sensitive| sensitive == name)
    }

    /// What is wanted, with secrets in place.
    fn wanted(&self, name: &str) -> Value {
        self.env.get(name).and_then(|wanted| wanted.0.as_ref()).map_or(Value::Null, |text| json!(text))
    }
}

/// The action.
pub(super) struct SetEnv {
    connections: Arc<Connections>,
}

static ENTRY: LazyLock<Arc<ActionEntry>> = LazyLock::new(|| {
    let mut outputs = vec![
        output("env", "map", "the variables of the step as they are now; a sensitive one as `[sensitive]`"),
        output("previous_env", "map", "the same before; null where there was none, a map with `valueFrom` where it was a reference"),
    ];
    outputs.extend(Rollout::declared());
    Arc::new(ActionEntry {
        name: NAME.to_owned(),
        summary: "Set and remove environment variables of a Deployment or StatefulSet, which restarts its pods".to_owned(),
        page: include_str!("page.md").to_owned(),
        inputs: schema::<Input>(),
        outputs,
        effect: Effect::Idempotent,
        effect_from_step: false,
        observes: true,
        reverts: true,
        needs_target: true,
        immediate: false,
        touches: pod_template::touches,
        by_hand: by_hand::by_hand,
        permissions,
    })
});

fn permissions(inputs: &Value, target: Option<&TargetSpec>) -> Needs {
    let mut asking = Asking::of(inputs, target);
    if let Some(workload) = asking.workload(inputs) {
        asking.reads("get", &workload);
        asking.changes("patch", &workload);
    }
    if inputs.get("keep_within").is_some_and(|within| !within.is_null()) {
        asking.reads("list", &On::autoscalers());
        asking.add(Purpose::Reads, Extent::Where("KEDA is there"), "list", &On::scaled_objects());
        asking.reads("list", &On::pods());
    }
    asking.reverts("list", &On::pods());
    let mut needs = asking.needs();
    argocd::reads(&mut needs, target);
    needs
}

/// What stands in the place of a sensitive value.
pub(super) const HIDDEN: &str = "[sensitive]";

impl SetEnv {
    pub(super) fn new(connections: Arc<Connections>) -> Self {
        Self { connections }
    }

    /// Swaps variables, from what is recorded for each to what it is to be; sensitive ones as the inputs have them.
    async fn swap(&self, cx: &Context, noted: &Noted, swaps: &BTreeMap<String, (Value, Value)>, input: Option<&Input>) -> Applied {
        let wanted: BTreeMap<String, Value> = swaps.iter().map(|(name, (_, to))| (name.clone(), to.clone())).collect();
        let api = match Api::new(&self.connections, cx) {
            Ok(api) => api,
            Err(failure) => return Applied::NotApplied { failure },
        };
        let place = noted.place();
        if let Some(keep_within) = &noted.keep_within
            && let Err(failure) = keep_within.prove(&self.connections, &api, cx, noted, swaps, input.is_some()).await
        {
            return Applied::NotApplied { failure };
        }
        let swapped = swap_judged(&api, &place, "", |object| {
            let Some(variables) = Variables::of(object, &noted.container) else {
                return Judged::Foreign(foreign(format!("{place} has no container `{}` any more", noted.container)));
            };
            match noted.together(&variables, swaps, input.map(|input| |name: &str| input.wanted(name))) {
                Together::Wanted => Judged::Done,
                Together::Foreign(message) => Judged::Foreign(foreign(message)),
                Together::Recorded | Together::Mixed => {
                    let mut to = wanted.clone();
                    if let Some(input) = input {
                        to.extend(noted.sensitive.keys().map(|name| (name.clone(), input.wanted(name))));
                    }
                    to.retain(|name, to| variables.get(name) != *to);
                    Judged::Write(variables.swap(&to, &noted.places))
                }
            }
        });
        match swapped.await {
            Ok(object) => Applied::Applied { outputs: noted.outputs(swaps, &object) },
            Err(applied) => applied,
        }
    }
}

#[async_trait]
impl Action for SetEnv {
    fn entry(&self) -> Arc<ActionEntry> {
        Arc::clone(&ENTRY)
    }

    async fn observe(&self, cx: &Context, inputs: &Inputs) -> Result<Value, Failure> {
        let (input, namespace) = Input::of(inputs, cx.target.as_ref())?;
        let place = place(&input.workload.0, &namespace);
        let api = Api::new(&self.connections, cx)?;
        let object = place.read(&api).await?.ok_or_else(|| place.missing())?;
        let container = pod_template::container(&place, &object, input.container.as_deref())?;
        let variables = Variables::of(&object, &container).ok_or_else(|| place.missing())?;
        let (mut env, mut places, mut sensitive) = (Map::new(), Map::new(), Map::new());
        for name in input.env.keys() {
            if let Some((at, twice)) = variables.position(name) {
                if twice {
                    return Err(Failure::permanent(format!("container {container} of {place} has the variable {name} more than once"))
                        .hint("remove the one that does not count (`kubectl edit`); the last of them is the one that the pods see"));
                }
                places.insert(name.clone(), json!(at));
            }
            let live = variables.get(name);
            if input.is_sensitive(name) {
                let Some(wanted) = input.env.get(name).and_then(|wanted| wanted.0.as_deref()) else {
                    return Err(Failure::permanent(format!("the sensitive variable {name} cannot be removed by a step")).hint(
                        "its value is not stored, and without a new one there is nothing to compare it by: `kubectl set env` removes it",
                    ));
                };
                env.insert(name.clone(), if live.is_null() { Value::Null } else { json!(HIDDEN) });
                sensitive.insert(name.clone(), json!({ "as_wanted": live == wanted, "digest": digest(wanted, &live) }));
                continue;
            }
            if redacted(&*cx.log, live.clone()) != live {
                return Err(Failure::permanent(format!("what the variable {name} of {place} holds is a secret of this run"))
                    .hint(format!("list it under `sensitive: [{name}]`: it is then compared without being stored")));
            }
            env.insert(name.clone(), live);
        }
        let given: Vec<&String> = input.env.iter().filter(|(_, wanted)| wanted.0.is_some()).map(|(name, _)| name).collect();
        let mut observed = json!({
            "env": env, "sensitive": sensitive, "places": places, "given": given, "container": container, "name": place.name, "namespace": namespace,
            "uid": uid_of(&object),
        });
        // Whose the value is: that others gave the variable its place in the list says nothing of that.
        let values = |name: &String| ["value", "valueFrom"].map(|part| format!("{}.{part}", variable::field(&container, name)));
        let fields: Vec<FieldPath> = input.env.keys().flat_map(values).filter_map(|field| field.parse().ok()).collect();
        observed["applied_by"] = json!(managed::applied_by(&object, &fields));
        let named: Vec<String> = input.env.keys().map(|name| variable::field(&container, name)).collect();
        observed[ARGOCD] = argocd::foretell(&api, cx.target.as_ref(), Thing::of(&object), named.iter().map(String::as_str)).await?;
        let rollout = Rollout::of(input.workload.0.kind, &object);
        observed["holds"] = json!((!rollout.complete).then_some(&rollout.message));
        rollout.add_to(&mut observed);
        Ok(observed)
    }

    fn plan(&self, cx: &Context, inputs: &Inputs, prior: &Value, rollback: &Rollback) -> Result<Plan, Failure> {
        let (input, namespace) = Input::of(inputs, cx.target.as_ref())?;
        let workload = &input.workload.0;
        let unobserved = || Failure::permanent(format!("the variables of {workload} were not observed"));
        let object = object_ref(cluster(NAME, cx)?, &namespace, workload).ok_or_else(unobserved)?;
        let container = prior.get("container").and_then(Value::as_str).ok_or_else(unobserved)?;
        let given = prior.get("given").and_then(Value::as_array).ok_or_else(unobserved)?;
        let mut changes = Vec::new();
        let mut sensitive = Map::new();
        let mut wanted_env = Map::new();
        for (name, wanted) in &input.env {
            let was = prior.get("env").and_then(|env| env.get(name)).ok_or_else(unobserved)?;
            let secret = wanted.0.is_none() && given.iter().any(|given| given == name.as_str());
            let (before, after) = if input.is_sensitive(name) {
                if wanted.0.is_some() {
                    return Err(Failure::permanent(format!(
                        "the value of the sensitive variable {name} is given as plain text, which is stored with the run"
                    ))
                    .hint("declare it under `secrets:` and give `${{ secrets.NAME }}`"));
                }
                wanted_env.insert(name.clone(), json!(HIDDEN));
                let seen = prior.get("sensitive").and_then(|all| all.get(name)).ok_or_else(unobserved)?;
                sensitive.insert(name.clone(), seen.get("digest").cloned().unwrap_or_default());
                if seen.get("as_wanted") == Some(&json!(true)) {
                    continue;
                }
                (was.clone(), json!(format!("{HIDDEN} as the step gives it")))
            } else if secret {
                return Err(Failure::permanent(format!("the value of {name} is a secret, and the variable is not marked as sensitive"))
                    .hint(format!("add `sensitive: [{name}]`: its values are then not stored, and the step has no rollback by itself")));
            } else {
                let after = input.wanted(name);
                wanted_env.insert(name.clone(), after.clone());
                if was == &after {
                    continue;
                }
                (was.clone(), after)
            };
            changes.push(Change {
                object: object.clone(),
                field: variable::field(container, name),
                label: name.clone(),
                prior: before,
                after,
            });
        }
        if let Some(budget) = &input.keep_within {
            budget.can_prove(&input.env, &input.sensitive, &prior["env"])?;
        }
        if changes.is_empty() {
            let mut outputs = json!({ "env": wanted_env, "previous_env": prior["env"] });
            for field in Rollout::declared() {
                outputs[&field.name] = prior[&field.name].clone();
            }
            return Ok(Plan { intent: Intent::default(), unchanged: Some(outputs) });
        }
        let told = argocd::judge(prior, &changes)?;
        sensitive.retain(|name, _| changes.iter().any(|change| change.label == *name));
        let hidden: Vec<&str> = sensitive.keys().map(String::as_str).collect();
        let revert = match kept(rollback) {
            Some(reason) => Revert::Keep { reason },
            None if !hidden.is_empty() => {
                Revert::Keep { reason: format!("what {} held before is sensitive and was not recorded", hidden.join(", ")) }
            }
            None => Revert::Fields { settle: input.settle.unwrap_or(Span::seconds(600)) },
        };
        let lines = |after: bool| by_hand::lines(workload, &namespace, container, &changes, &hidden, after);
        let (by_hand, undo_by_hand) = (lines(true), lines(false));
        let places: Map<String, Value> =
            prior["places"].as_object().into_iter().flatten().map(|(name, at)| (name.clone(), at.clone())).collect();
        let mut note = json!({
            "workload": workload.to_string(),
            "namespace": namespace,
            "container": container,
            "uid": prior[UID],
            "places": places,
            "sensitive": sensitive,
            "warns": managed::warning(&format!("what is changed in {workload}"), &prior["applied_by"]),
            ARGOCD: told,
            "says": format!("it changes the pods' template: every pod of {workload} is restarted, and again by a rollback"),
        });
        if let Some(budget) = &input.keep_within {
            note["keep_within"] = json!(budget);
        }
        Ok(Plan { intent: Intent { changes, revert, note, by_hand, undo_by_hand, ..Intent::default() }, unchanged: None })
    }

    async fn apply(&self, cx: &Context, inputs: &Inputs, intent: &Intent) -> Applied {
        let read = || Ok((Noted::of(intent)?, Input::of(inputs, cx.target.as_ref())?.0));
        managed::warn(cx, intent);
        argocd::tell(cx, intent);
        match read() {
            Ok((noted, input)) => self.swap(cx, &noted, &noted_values(&noted, intent), Some(&input)).await,
            Err(failure) => Applied::NotApplied { failure },
        }
    }

    async fn verify(&self, cx: &Context, inputs: &Inputs, intent: &Intent) -> Result<Verdict, Failure> {
        let noted = Noted::of(intent)?;
        let input = Input::of(inputs, cx.target.as_ref())?.0;
        let place = noted.place();
        let Some(object) = place.read(&Api::new(&self.connections, cx)?).await? else {
            return Ok(Verdict::CannotTell { reason: format!("there is no {place} any more") });
        };
        let Some(variables) = Variables::of(&object, &noted.container) else {
            return Ok(Verdict::CannotTell { reason: format!("{place} has no container `{}` any more", noted.container) });
        };
        let swaps = noted_values(&noted, intent);
        Ok(noted.together(&variables, &swaps, Some(|name: &str| input.wanted(name))).verdict(|| noted.outputs(&swaps, &object)))
    }

    async fn live(&self, cx: &Context, intent: &Intent) -> Result<Vec<Option<Value>>, Failure> {
        let noted = Noted::of(intent)?;
        let object = noted.place().read(&Api::new(&self.connections, cx)?).await?;
        let variables = object.as_ref().and_then(|object| Variables::of(object, &noted.container));
        let one = |change: &Change| {
            variables.as_ref().map(|variables| match noted.sensitive.contains_key(&change.label) {
                // Nothing is known to compare it with, and nothing is put back.
                true => change.after.clone(),
                false => variables.get(&change.label),
            })
        };
        Ok(intent.changes.iter().map(one).collect())
    }

    async fn revert(&self, cx: &Context, intent: &Intent, swaps: &[Swap]) -> Applied {
        let noted = match Noted::of(intent) {
            Ok(noted) => noted,
            Err(failure) => return Applied::NotApplied { failure },
        };
        let mut values: BTreeMap<String, (Value, Value)> = BTreeMap::new();
        for swap in swaps {
            let Some(change) =
                intent.changes.iter().find(|change| change.field == swap.field && !noted.sensitive.contains_key(&change.label))
            else {
                return Applied::NotApplied {
                    failure: Failure::permanent(format!("{} of {} cannot be put back", swap.label, swap.object)),
                };
            };
            values.insert(change.label.clone(), (swap.from.clone(), swap.to.clone()));
        }
        self.swap(cx, &noted, &values, None).await
    }

    async fn followed(&self, cx: &Context, intent: &Intent) -> Result<Followed, Failure> {
        let noted = Noted::of(intent)?;
        pod_template::followed(&Api::new(&self.connections, cx)?, &noted.workload, &noted.namespace).await
    }
}

#[cfg(test)]
mod tests;
