//! `k8s.apply`: server-side apply of one manifest, with the field manager `runsheet`.
//!
//! Must not take a field from another manager unless the step says so. Invariant: a manifest is only sent under the version of the object at which
//! every field was as recorded; what is created is only deleted by the very step that created it, and only as it was created.

mod by_hand;
mod manifest;
mod plan;
mod send;

use std::sync::{Arc, LazyLock};

use async_trait::async_trait;
use serde_json::{Value, json};

use self::manifest::{Input, NAME};
use self::plan::{Noted, Observed};
use self::send::{Answer, owned, send};
use super::api::Api;
use super::differences::{in_object, value_at};
use super::field_path::FieldPath;
use super::overtaken::Overtaken;
use super::swap_fields::{FieldSwap, Place, swap_fields};
use super::{argocd, cluster};
use crate::actions::support::{output, schema};
use crate::environment::Connections;
use crate::model::catalogue::ActionEntry;
use crate::model::change::{Change, ObjectRef, Swap};
use crate::model::intent::Intent;
use crate::model::outcome::{Applied, Failure, Followed, Verdict};
use crate::model::run::TargetSpec;
use crate::model::step::{Effect, Rollback};
use crate::ports::action::{Action, Context, Inputs, Plan};

/// The action.
pub(super) struct Apply {
    connections: Arc<Connections>,
}

static ENTRY: LazyLock<Arc<ActionEntry>> = LazyLock::new(|| {
    Arc::new(ActionEntry {
        name: NAME.to_owned(),
        summary: "Apply a manifest (server-side apply)".to_owned(),
        page: include_str!("page.md").to_owned(),
        inputs: schema::<Input>(),
        outputs: vec![
            output("name", "string", "the object's name"),
            output("kind", "string", "its kind"),
            output("created", "boolean", "whether it was created; false where it was there before"),
            output("changed", "list", "the fields that were changed, at most 50 of them; empty where it was created"),
        ],
        effect: Effect::Idempotent,
        effect_from_step: false,
        observes: true,
        reverts: true,
        needs_target: true,
        immediate: false,
        touches,
        by_hand: self::by_hand::lines,
        permissions: manifest::permissions,
    })
});

fn touches(inputs: &Value, target: Option<&TargetSpec>) -> Vec<ObjectRef> {
    let object = || Input::of(&Inputs(inputs.clone())).ok()?.1.object_ref(target?);
    object().into_iter().collect()
}

fn paths(changes: &[Change]) -> Result<Vec<FieldPath>, Failure> {
    changes.iter().map(|change| path(&change.field)).collect()
}

fn path(field: &str) -> Result<FieldPath, Failure> {
    field.parse().map_err(|error| Failure::permanent(format!("what this step recorded does not fit: {error}")))
}

/// How the object stands to what was recorded.
enum Stand {
    Wanted,
    Recorded,
    Foreign(String),
}

fn stand(place: &Place, object: &Value, changes: &[Change]) -> Result<Stand, Failure> {
    let paths = paths(changes)?;
    let pairs: Vec<(Value, &Change)> = paths.iter().map(|path| value_at(object, path)).zip(changes).collect();
    if pairs.iter().all(|(live, change)| *live == change.after) {
        return Ok(Stand::Wanted);
    }
    let foreign = pairs.iter().find(|(live, change)| *live != change.prior && *live != change.after);
    Ok(match foreign {
        None => Stand::Recorded,
        Some((live, change)) => Stand::Foreign(format!(
            "{} of {place} is {live}: somebody else changed it from {} to {live} meanwhile, and it was left alone",
            change.field, change.prior
        )),
    })
}

impl Apply {
    pub(super) fn new(connections: Arc<Connections>) -> Self {
        Self { connections }
    }

    fn asked(&self, cx: &Context, intent: &Intent) -> Result<(Noted, Place, Api), Failure> {
        let noted = Noted::of(intent)?;
        let place = noted.place();
        Ok((noted, place, Api::new(&self.connections, cx)?))
    }

    async fn try_apply(&self, cx: &Context, intent: &Intent) -> Result<Applied, Failure> {
        let (noted, place, api) = self.asked(cx, intent)?;
        argocd::tell(cx, intent);
        if let Some(created) = noted.created() {
            let done = created.create(&api).await;
            return Ok(done.map_or_else(|applied| applied, |_| Applied::Applied { outputs: noted.outputs }));
        }
        let mut overtaken = Overtaken::default();
        loop {
            let object = place.read_certain(&api).await?;
            match stand(&place, &object, &intent.changes)? {
                Stand::Wanted => return Ok(Applied::Applied { outputs: noted.outputs }),
                Stand::Foreign(message) => {
                    return Err(Failure::permanent(message)
                        .hint("find out who (`kubectl get --show-managed-fields -o yaml`), then decide which value holds"));
                }
                Stand::Recorded => {}
            }
            let mut manifest = noted.manifest.clone();
            // Under a version alone the server creates what is gone; under a uid it creates nothing.
            for guard in ["resourceVersion", "uid"] {
                manifest["metadata"][guard] = object["metadata"][guard].clone();
            }
            match send(&api, &place, &manifest, noted.force, false).await {
                Ok(Answer::Object(object)) => {
                    if !matches!(stand(&place, &object, &intent.changes)?, Stand::Wanted) {
                        cx.log.line(&format!("the server made something else of {place} than its dry run said: look at it"));
                    }
                    return Ok(Applied::Applied { outputs: noted.outputs });
                }
                Ok(Answer::Conflicts(conflicts)) => return Err(owned(&place, &conflicts)),
                Err(trouble) if overtaken.again(&trouble).await => {}
                Err(trouble) => return Ok(trouble.of_write(place.asked("patch"))),
            }
        }
    }

    async fn try_revert(&self, cx: &Context, intent: &Intent, swaps: &[Swap]) -> Result<Applied, Failure> {
        let (noted, place, api) = self.asked(cx, intent)?;
        let done = match noted.created() {
            _ if swaps.is_empty() => Ok(()),
            Some(created) => created.delete(&api).await,
            None => {
                let object = place.read_certain(&api).await?;
                let mut fields = Vec::new();
                for Swap { field, from, to, .. } in swaps {
                    let field = path(field)?;
                    fields.push(FieldSwap { from: in_object(&object, &field, from), to: in_object(&object, &field, to), field });
                }
                swap_fields(&api, &place, &fields).await.map(drop)
            }
        };
        Ok(done.map_or_else(|applied| applied, |()| Applied::Applied { outputs: Value::Null }))
    }
}

#[async_trait]
impl Action for Apply {
    fn entry(&self) -> Arc<ActionEntry> {
        Arc::clone(&ENTRY)
    }

    async fn observe(&self, cx: &Context, inputs: &Inputs) -> Result<Value, Failure> {
        let (input, manifest) = Input::of(inputs)?;
        cluster(NAME, cx)?;
        let api = Api::new(&self.connections, cx)?;
        Ok(json!(plan::observe(&api, &input, &manifest, cx.target.as_ref()).await?))
    }

    fn plan(&self, cx: &Context, inputs: &Inputs, prior: &Value, rollback: &Rollback) -> Result<Plan, Failure> {
        let (input, manifest) = Input::of(inputs)?;
        let observed: Observed = serde_json::from_value(prior.clone())
            .map_err(|error| Failure::permanent(format!("what was observed of {} does not fit: {error}", manifest.object)))?;
        plan::plan(cluster(NAME, cx)?, &input, &manifest, observed, &cx.idempotency_key, rollback)
    }

    async fn apply(&self, cx: &Context, _: &Inputs, intent: &Intent) -> Applied {
        self.try_apply(cx, intent).await.unwrap_or_else(|failure| Applied::NotApplied { failure })
    }

    async fn verify(&self, cx: &Context, _: &Inputs, intent: &Intent) -> Result<Verdict, Failure> {
        let (noted, place, api) = self.asked(cx, intent)?;
        let object = place.read(&api).await?;
        if let Some(created) = noted.created() {
            return Ok(match created.live(object.as_ref()) {
                Value::Null => Verdict::Absent,
                live if live == json!(place.name) => Verdict::Present { outputs: noted.outputs },
                live => Verdict::CannotTell { reason: format!("{place}: {}", live.as_str().unwrap_or_default()) },
            });
        }
        let Some(object) = object else { return Ok(Verdict::CannotTell { reason: format!("{place} is gone") }) };
        Ok(match stand(&place, &object, &intent.changes)? {
            Stand::Wanted => Verdict::Present { outputs: noted.outputs },
            Stand::Foreign(reason) => Verdict::CannotTell { reason },
            // The manifest goes as a whole or not at all.
            Stand::Recorded
                if paths(&intent.changes)?.iter().zip(&intent.changes).all(|(path, change)| value_at(&object, path) == change.prior) =>
            {
                Verdict::Absent
            }
            Stand::Recorded => Verdict::CannotTell { reason: format!("{place} has some of the fields as wanted and some as before") },
        })
    }

    async fn live(&self, cx: &Context, intent: &Intent) -> Result<Vec<Option<Value>>, Failure> {
        let (noted, place, api) = self.asked(cx, intent)?;
        let object = place.read(&api).await?;
        if let Some(created) = noted.created() {
            return Ok(vec![Some(created.live(object.as_ref())); intent.changes.len()]);
        }
        Ok(paths(&intent.changes)?.iter().map(|path| object.as_ref().map(|object| value_at(object, path))).collect())
    }

    async fn revert(&self, cx: &Context, intent: &Intent, swaps: &[Swap]) -> Applied {
        self.try_revert(cx, intent, swaps).await.unwrap_or_else(|failure| Applied::NotApplied { failure })
    }

    async fn followed(&self, cx: &Context, intent: &Intent) -> Result<Followed, Failure> {
        let (noted, place, api) = self.asked(cx, intent)?;
        let object = place.read(&api).await?;
        if noted.created().is_some() {
            let Some(object) = object else { return Ok(Followed::Yes) };
            let finalizers = object.pointer("/metadata/finalizers").and_then(Value::as_array).cloned().unwrap_or_default();
            let names: Vec<&str> = finalizers.iter().filter_map(Value::as_str).collect();
            let by = if names.is_empty() { String::new() } else { format!(": held by {}", names.join(", ")) };
            return Ok(Followed::No { holds: format!("{place} is not gone yet{by}") });
        }
        let number = |path: &str| object.as_ref().and_then(|object| object.pointer(path)).and_then(Value::as_i64);
        Ok(match (number("/status/observedGeneration"), number("/metadata/generation")) {
            (Some(observed), Some(generation)) if observed < generation => {
                Followed::No { holds: format!("the controller of {place} has not taken up the change yet") }
            }
            _ => Followed::Yes,
        })
    }
}

#[cfg(test)]
mod tests;
