//! `argocd.pause_sync`: has an Application of Argo CD sync no more by itself, and gives it back as it was.
//!
//! Must not sync it, nor stop a sync that is under way. Invariant: `spec.syncPolicy.automated` is only ever taken away as it was recorded, and put back
//! as that; any other value that is found there is somebody else's and stays.

use std::sync::{Arc, LazyLock};

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use super::application::{AUTOMATED, Application};
use super::foretold::{ARGOCD, Syncs, foretell, judge, tell};
use super::tracking::Thing;
use super::{GROUP, named, set};
use crate::actions::kubernetes::api::Api;
use crate::actions::kubernetes::by_hand::{input_word, variable_name};
use crate::actions::kubernetes::permissions::{Asking, On};
use crate::actions::kubernetes::standing::{Together, field};
use crate::actions::kubernetes::swap_fields::{Place, UID, back, forth, swap_fields, uid_of};
use crate::actions::kubernetes::{cluster, named_ref};
use crate::actions::support::{kept, output, parse, schema};
use crate::environment::Connections;
use crate::model::by_hand::{ByHand, quoted, variables_in};
use crate::model::catalogue::ActionEntry;
use crate::model::change::{Change, ObjectRef, Swap};
use crate::model::duration::Span;
use crate::model::intent::{Intent, Revert};
use crate::model::outcome::{Applied, Failure, Verdict};
use crate::model::permission::{Extent, Needs, Purpose};
use crate::model::run::TargetSpec;
use crate::model::step::{Effect, Rollback};
use crate::ports::action::{Action, Context, Inputs, Plan};

const NAME: &str = "argocd.pause_sync";

/// The inputs of `argocd.pause_sync`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Input {
    /// The Application: `NAME`, or `NAMESPACE/NAME` where it is not in Argo CD's own namespace (`target.argocd.namespace`).
    application: String,
}

fn input(inputs: &Inputs, target: Option<&TargetSpec>) -> Result<Place, Failure> {
    let input: Input = parse(NAME, inputs)?;
    named(&input.application, target)
}

/// The action.
pub(super) struct PauseSync {
    connections: Arc<Connections>,
}

static ENTRY: LazyLock<Arc<ActionEntry>> = LazyLock::new(|| {
    Arc::new(ActionEntry {
        name: NAME.to_owned(),
        summary: "Pause the automated sync of an Argo CD Application".to_owned(),
        page: include_str!("page.md").to_owned(),
        inputs: schema::<Input>(),
        outputs: vec![
            output("application", "string", "the Application: `NAMESPACE/NAME`"),
            output("previous_automated", "map", "`spec.syncPolicy.automated` as it was; null where it did not sync by itself"),
            output("syncing", "boolean", "whether a sync was under way when it was paused: that goes on to its end"),
        ],
        effect: Effect::Idempotent,
        effect_from_step: false,
        observes: true,
        reverts: true,
        needs_target: true,
        immediate: false,
        touches,
        by_hand: lines,
        permissions,
    })
});

fn touches(inputs: &Value, target: Option<&TargetSpec>) -> Vec<ObjectRef> {
    let object = || {
        let place = named(inputs.get("application")?.as_str()?, target).ok()?;
        named_ref(target?, &place.namespace, &place.shown)
    };
    object().into_iter().collect()
}

fn permissions(inputs: &Value, target: Option<&TargetSpec>) -> Needs {
    const BY_SET: Extent = Extent::Where("an ApplicationSet makes the Application");
    let place = super::text(inputs, "application").and_then(|text| named(text, target).ok());
    let namespace = place.as_ref().map_or_else(|| super::namespace(target), |place| place.namespace.clone());
    let any = On::any(GROUP, "applications");
    let on = place.map_or_else(|| any.clone(), |place| any.clone().named(&place.name));
    let mut asking = Asking::within(Some(&namespace));
    asking.reads("get", &on);
    asking.changes("patch", &on);
    asking.add(Purpose::Reads, BY_SET, "get", &On::any(GROUP, "applicationsets"));
    let mut needs = asking.needs();
    super::reads(&mut needs, target);
    needs
}

fn lines(inputs: &Value, target: Option<&TargetSpec>) -> ByHand {
    let written = inputs.get("application").and_then(Value::as_str).unwrap_or_default();
    let (namespace, name) = match written.split_once('/') {
        Some((namespace, name)) => (quoted(namespace), quoted(name)),
        None => match variables_in(written).as_slice() {
            // What is known only later is `NAMESPACE/NAME` all the same, as the output of `argocd.application` has it.
            [variable] => (format!("\"${{{variable}%%/*}}\""), format!("\"${{{variable}#*/}}\"")),
            _ => (super::namespace(target), input_word(inputs, "application")),
        },
    };
    let before = variable_name("automated", "BEFORE");
    let patch = |value: &str| {
        format!(
            "kubectl patch applications.argoproj.io {name} -n {namespace} --type=merge -p '{{\"spec\":{{\"syncPolicy\":{{\"automated\":{value}}}}}}}'"
        )
    };
    ByHand {
        look: vec![format!(
            "{before}=$(kubectl get applications.argoproj.io {name} -n {namespace} -o jsonpath='{{.spec.syncPolicy.automated}}')"
        )],
        act: vec![patch("null")],
        // Where nothing was there, nothing is put back.
        undo: vec![patch(&format!("'\"${{{before}:-null}}\"'"))],
    }
}

fn shown(place: &Place) -> String {
    format!("{}/{}", place.namespace, place.name)
}

fn outputs(place: &Place, automated: &Value, syncing: bool) -> Value {
    json!({ "application": shown(place), "previous_automated": automated, "syncing": syncing })
}

impl PauseSync {
    pub(super) fn new(connections: Arc<Connections>) -> Self {
        Self { connections }
    }

    fn asked(&self, cx: &Context, intent: &Intent) -> Result<(Place, Api), Failure> {
        let name = intent.note.get("application").and_then(Value::as_str);
        let name = name.ok_or_else(|| Failure::permanent("what this step recorded does not name an Application"))?;
        Ok((named(name, None)?.of(intent), Api::new(&self.connections, cx)?))
    }

    async fn swap(&self, cx: &Context, intent: &Intent, swaps: Option<&[Swap]>) -> Result<Applied, Failure> {
        let (place, api) = self.asked(cx, intent)?;
        let swaps = match swaps {
            Some(swaps) => back(swaps)?,
            None => forth(&intent.changes)?,
        };
        if swaps.is_empty() {
            return Ok(Applied::Applied { outputs: Value::Null });
        }
        Ok(match swap_fields(&api, &place, &swaps).await {
            Ok(object) => {
                let prior = intent.changes.first().map_or(&Value::Null, |change| &change.prior);
                Applied::Applied { outputs: outputs(&place, prior, Application::of(object).is_syncing()) }
            }
            Err(applied) => applied,
        })
    }
}

#[async_trait]
impl Action for PauseSync {
    fn entry(&self) -> Arc<ActionEntry> {
        Arc::clone(&ENTRY)
    }

    async fn observe(&self, cx: &Context, inputs: &Inputs) -> Result<Value, Failure> {
        let target = cx.target.as_ref();
        let place = input(inputs, target)?;
        let api = Api::new(&self.connections, cx)?;
        let object = place.read(&api).await?.ok_or_else(|| place.missing())?;
        // An Application may be one of another Application, which heals it in turn.
        let thing = Thing { group: GROUP, kind: "Application", object: &object };
        let foretold = foretell(&api, target, thing, [AUTOMATED]).await?;
        let application = Application::of(object);
        let set = set::of(&api, &application, &place.namespace).await?;
        Ok(json!({
            "application": shown(&place),
            "project": application.project(),
            "automated": application.automated(),
            "paused": matches!(application.syncs(), Syncs::ByHand | Syncs::Not),
            "self_heals": application.syncs() == Syncs::Heals,
            "syncing": application.is_syncing(),
            "sync": application.sync_status(),
            "health": application.health(),
            "set": set,
            "uid": uid_of(&application.object),
            ARGOCD: foretold,
        }))
    }

    fn plan(&self, cx: &Context, inputs: &Inputs, prior: &Value, rollback: &Rollback) -> Result<Plan, Failure> {
        let place = input(inputs, cx.target.as_ref())?;
        let unobserved = || Failure::permanent(format!("{place} was not observed"));
        let automated = prior.get("automated").ok_or_else(unobserved)?;
        if prior.get("paused").and_then(Value::as_bool).ok_or_else(unobserved)? {
            let syncing = prior.get("syncing").and_then(Value::as_bool).unwrap_or_default();
            return Ok(Plan { intent: Intent::default(), unchanged: Some(outputs(&place, &Value::Null, syncing)) });
        }
        if let Some(set) = prior.get("set").and_then(Value::as_str) {
            return Err(set::refusal(&place, set));
        }
        let object = named_ref(cluster(NAME, cx)?, &place.namespace, &place.shown).ok_or_else(unobserved)?;
        let label = format!("automated sync of {}", shown(&place));
        let changes = vec![Change { object, field: AUTOMATED.to_owned(), label, prior: automated.clone(), after: Value::Null }];
        let told = judge(prior, &changes)?;
        let Place { name, namespace, .. } = &place;
        let patch = |value: &Value| {
            let body = quoted(&json!({ "spec": { "syncPolicy": { "automated": value } } }).to_string());
            format!("kubectl patch applications.argoproj.io {name} -n {namespace} --type=merge -p {body}")
        };
        let intent = Intent {
            revert: match kept(rollback) {
                Some(reason) => Revert::Keep { reason },
                None => Revert::Fields { settle: Span::seconds(60) },
            },
            note: json!({ "application": shown(&place), "uid": prior[UID], ARGOCD: told, "says": "until it is put back, no commit is rolled out by itself" }),
            by_hand: vec![patch(&Value::Null)],
            undo_by_hand: vec![patch(automated)],
            changes,
            ..Intent::default()
        };
        Ok(Plan { intent, unchanged: None })
    }

    async fn apply(&self, cx: &Context, _: &Inputs, intent: &Intent) -> Applied {
        tell(cx, intent);
        self.swap(cx, intent, None).await.unwrap_or_else(|failure| Applied::NotApplied { failure })
    }

    async fn verify(&self, cx: &Context, _: &Inputs, intent: &Intent) -> Result<Verdict, Failure> {
        let (place, api) = self.asked(cx, intent)?;
        let Some(object) = place.read(&api).await? else {
            return Ok(Verdict::CannotTell { reason: format!("there is no {place} any more") });
        };
        let application = Application::of(object);
        let stands = intent
            .changes
            .iter()
            .map(|change| field(&format!("{AUTOMATED} of {place}"), application.automated(), &change.prior, &change.after, |a, b| a == b));
        let prior = intent.changes.first().map_or(&Value::Null, |change| &change.prior);
        Ok(Together::of(stands).verdict(|| outputs(&place, prior, application.is_syncing())))
    }

    async fn live(&self, cx: &Context, intent: &Intent) -> Result<Vec<Option<Value>>, Failure> {
        let (place, api) = self.asked(cx, intent)?;
        let object = place.read(&api).await?.map(Application::of);
        Ok(intent.changes.iter().map(|_| object.as_ref().map(|application| application.automated().clone())).collect())
    }

    async fn revert(&self, cx: &Context, intent: &Intent, swaps: &[Swap]) -> Applied {
        self.swap(cx, intent, Some(swaps)).await.unwrap_or_else(|failure| Applied::NotApplied { failure })
    }
}

#[cfg(test)]
mod tests;
