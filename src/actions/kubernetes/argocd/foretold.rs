//! What Argo CD will make of a change: found before the change, by the Application that owns the object.
//!
//! Must not change anything, and must not be in the way of who has no Argo CD: an object without its marks is asked no more about, and what may not be
//! read is told and gone on without. Invariant: a field counts as put back unless something says that it is not.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::application::Application;
use super::ignore::{Ignored, Rule, ignored};
use super::settings::Settings;
use super::tracking::{Thing, marks};
use super::{application_place, appproject_place, namespace};
use crate::actions::kubernetes::api::Api;
use crate::actions::kubernetes::differences::value_at;
use crate::actions::kubernetes::errors::Trouble;
use crate::actions::kubernetes::field_path::FieldPath;
use crate::actions::kubernetes::managed;
use crate::model::change::Change;
use crate::model::intent::Intent;
use crate::model::outcome::Failure;
use crate::model::run::TargetSpec;
use crate::ports::action::Context;

/// The key under which a reading keeps what is foretold, and an intent's note what is told of it.
pub(in crate::actions::kubernetes) const ARGOCD: &str = "argocd";
/// How many replicas a workload has.
pub(in crate::actions::kubernetes) const REPLICAS: &str = "spec.replicas";
/// Who Argo CD is to the API server, where it applies server-side.
const APPLIER: &str = "argocd-controller";
/// What `kubectl apply`, and Argo CD like it, applied last.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// How an Application syncs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Syncs {
    /// By itself, also where the cluster was changed and its repository was not.
    Heals,
    /// By itself, where its repository was changed.
    ByCommit,
    /// When a person says so.
    ByHand,
    /// Not at all: its controller was told to leave it alone.
    Not,
}

/// What becomes of a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Stand {
    /// It is as the repository has it, or is made so.
    Kept,
    /// Its differences are ignored.
    Ignored,
    /// The repository says nothing of it.
    NotNamed,
}

/// What is foretold of an object's fields.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(in crate::actions::kubernetes) struct Foretold {
    /// `NAMESPACE/NAME`; null where it is not known.
    pub(super) application: Option<String>,
    pub(super) project: String,
    pub(super) syncs: Syncs,
    /// Until when a sync window denies it to sync.
    pub(super) frozen_until: Option<String>,
    /// Whether a sync leaves alone what is ignored.
    respects: bool,
    /// The fields that were asked about.
    pub(super) fields: BTreeMap<String, Stand>,
    /// The rules that ignore differences hold expressions that cannot be told.
    untold: bool,
    /// What could not be read, in words.
    pub(super) unknown: Option<String>,
}

impl Foretold {
    fn unknown(why: String) -> Self {
        Self {
            application: None,
            project: String::new(),
            syncs: Syncs::ByHand,
            frozen_until: None,
            respects: false,
            fields: BTreeMap::new(),
            untold: false,
            unknown: Some(why),
        }
    }

    /// What an earlier reading holds of it.
    pub(super) fn read(prior: &Value) -> Option<Self> {
        prior.get(ARGOCD).and_then(|foretold| Self::deserialize(foretold).ok())
    }

    /// The fields that it would put back now.
    pub(super) fn put_back(&self) -> Vec<&str> {
        if self.syncs != Syncs::Heals || self.frozen_until.is_some() {
            return Vec::new();
        }
        self.fields.iter().filter(|(_, stand)| **stand == Stand::Kept).map(|(field, _)| field.as_str()).collect()
    }
}

/// What Argo CD will make of changes of these fields of an object, to be kept in the reading; null for an object that nobody marks.
///
/// # Errors
/// A read that failed for another reason than that this account may not do it, or that there is no such thing.
pub(in crate::actions::kubernetes) async fn foretell<'f>(
    api: &Api,
    target: Option<&TargetSpec>,
    thing: Thing<'_>,
    fields: impl IntoIterator<Item = &'f str>,
) -> Result<Value, Failure> {
    let here = namespace(target);
    let shown = format!("{} {}", thing.kind, thing.metadata("name"));
    for mark in marks(&thing) {
        let place = application_place(mark.namespace.as_deref().unwrap_or(&here), &mark.application);
        let application = match api.get(&place.path).await {
            Ok(object) => Application::of(object),
            // Helm's releases bear the common label too: nothing is to be told of them.
            Err(trouble) if trouble.is_gone() && !mark.is_argo_cds() => continue,
            Err(trouble) if trouble.is_gone() => {
                let why = format!(
                    "{shown} is marked as one of the Argo CD Application {}, which is not in namespace {} of this cluster: whether it heals itself is not known",
                    place.name, place.namespace
                );
                return Ok(json!(Foretold::unknown(why)));
            }
            Err(Trouble::Refused { status: 404, .. }) if !mark.is_argo_cds() => return Ok(Value::Null),
            Err(Trouble::Refused { status: 404, .. }) => {
                let why = format!(
                    "{shown} is marked as one of the Argo CD Application {}, and this cluster knows no Applications: whether one elsewhere heals itself is not known",
                    place.name
                );
                return Ok(json!(Foretold::unknown(why)));
            }
            Err(trouble) if trouble.is_forbidden() => {
                let why = format!(
                    "whether Argo CD puts back what is changed in {shown} is not known: this account may not get applications.argoproj.io `{}` in namespace {}",
                    place.name, place.namespace
                );
                return Ok(json!(Foretold::unknown(why)));
            }
            Err(trouble) => return Err(trouble.failure(place.asked("get"))),
        };
        let settings = Settings::read(api, &here).await?;
        if !mark.counts(&settings) || (!mark.is_annotation() && !application.may_own(&thing)) {
            continue;
        }
        let mut foretold = of_application(&application, &settings, &thing, fields);
        if foretold.syncs == Syncs::Heals {
            foretold.frozen_until = frozen_until(api, &here, &application).await?;
        }
        return Ok(json!(foretold));
    }
    Ok(Value::Null)
}

/// Whether the repository is known to say how many replicas a workload has. Under an autoscaler it should not.
pub(super) fn names_replicas(workload: &Value) -> bool {
    match Named::of(workload, true) {
        Named::Unknown => false,
        named => REPLICAS.parse().is_ok_and(|replicas| !named.lacks(&replicas)),
    }
}

/// The same of the replicas of a workload under an autoscaler, which a change of that one moves; null where the repository is not known to name them.
///
/// # Errors
/// As for [`foretell`].
pub(in crate::actions::kubernetes) async fn foretell_pods(
    api: &Api,
    target: Option<&TargetSpec>,
    workload: Thing<'_>,
) -> Result<Value, Failure> {
    if names_replicas(workload.object) { foretell(api, target, workload, [REPLICAS]).await } else { Ok(Value::Null) }
}

fn of_application<'f>(
    application: &Application,
    settings: &Settings,
    thing: &Thing<'_>,
    fields: impl IntoIterator<Item = &'f str>,
) -> Foretold {
    let mut rules: Vec<Rule> = application.ignores();
    rules.extend(settings.ignores(thing));
    let named = Named::of(thing.object, application.is_synced());
    let mut untold = false;
    let mut stand = |field: &str| {
        let path: FieldPath = field.parse().ok()?;
        let said = ignored(&rules, thing, &path, is_plain(thing.object, &path));
        untold |= said == Ignored::Untold;
        let stand = if said == Ignored::Yes {
            Stand::Ignored
        } else if named.lacks(&path) {
            Stand::NotNamed
        } else {
            Stand::Kept
        };
        Some((field.to_owned(), stand))
    };
    let fields = fields.into_iter().filter_map(&mut stand).collect();
    Foretold {
        application: Some(application.qualified()),
        project: application.project().to_owned(),
        syncs: application.syncs(),
        frozen_until: None,
        respects: application.respects_ignored(),
        fields,
        untold,
        unknown: None,
    }
}

/// Until when a sync window denies it. Who may not read the project goes by none.
async fn frozen_until(api: &Api, namespace: &str, application: &Application) -> Result<Option<String>, Failure> {
    let place = appproject_place(namespace, application.project());
    match api.get(&place.path).await {
        Ok(project) => Ok(super::window::frozen_until(&project, application.matched(), Timestamp::now()).map(|until| until.to_string())),
        Err(Trouble::Refused { status: 403 | 404, .. }) => Ok(None),
        Err(trouble) => Err(trouble.failure(place.asked("get"))),
    }
}

/// Whether a field is a variable with a plain value, so that a change of it is one of the value alone.
fn is_plain(object: &Value, field: &FieldPath) -> bool {
    let [.., list, _] = field.parts() else { return false };
    list == "env" && field.get(object).get("value").is_some()
}

/// What the repository says of an object, as far as the object shows it.
enum Named {
    /// What was applied server-side: the managed fields are what the repository says.
    Owned(Value),
    /// What was applied last.
    Applied(Value),
    /// That cannot be told.
    Unknown,
}

impl Named {
    fn of(object: &Value, synced: bool) -> Self {
        if managed::appliers(object).iter().any(|manager| manager == APPLIER) {
            return Self::Owned(object.clone());
        }
        // What differs from the repository already shows nothing of it.
        let text = object.pointer("/metadata/annotations").and_then(|all| all.get(LAST_APPLIED)).and_then(Value::as_str);
        text.filter(|_| synced).and_then(|text| serde_json::from_str(text).ok()).map_or(Self::Unknown, Self::Applied)
    }

    /// Whether it says nothing of a field, so that whatever is there is no difference.
    fn lacks(&self, field: &FieldPath) -> bool {
        match self {
            Self::Owned(object) => !managed::applied_by(object, [field]).iter().any(|manager| manager == APPLIER),
            Self::Applied(applied) => value_at(applied, field).is_null(),
            Self::Unknown => false,
        }
    }
}

/// What is to be told of these changes, from the reading; null where nothing is.
///
/// # Errors
/// Where a change would be put back: with the Application, the field, and what to do.
pub(in crate::actions::kubernetes) fn judge(prior: &Value, changes: &[Change]) -> Result<Value, Failure> {
    let Some(foretold) = Foretold::read(prior) else { return Ok(Value::Null) };
    if changes.is_empty() {
        return Ok(Value::Null);
    }
    if let Some(unknown) = &foretold.unknown {
        return Ok(json!(unknown));
    }
    let application = foretold.application.as_deref().unwrap_or_default();
    let stands = |wanted: Stand| changes.iter().find(|change| foretold.fields.get(&change.field) == Some(&wanted));
    let object = |change: &Change| change.object.0.split_once('/').map_or(change.object.0.as_str(), |(_, object)| object).to_owned();
    let kept = stands(Stand::Kept);
    let told = match (foretold.syncs, kept) {
        (Syncs::Heals, Some(change)) => {
            let (field, object) = (&change.field, object(change));
            let Some(until) = &foretold.frozen_until else { return Err(put_back(&foretold, field, &object, application)) };
            Some(format!(
                "the Argo CD Application {application} keeps {field} of {object} as its repository has it, and a sync window denies it to sync until {until}: what is still changed then is put back"
            ))
        }
        (Syncs::ByCommit, Some(change)) => Some(format!(
            "the Argo CD Application {application} syncs by itself when its repository changes: the next commit puts {} of {} back",
            change.field,
            object(change)
        )),
        (Syncs::ByHand, Some(change)) => Some(format!(
            "the Argo CD Application {application} has {} of {}: whoever syncs it by hand puts it back",
            change.field,
            object(change)
        )),
        (Syncs::Heals | Syncs::ByCommit | Syncs::ByHand, None) => stands(Stand::Ignored).filter(|_| !foretold.respects).map(|change| {
            format!(
                "the Argo CD Application {application} ignores differences of {} of {}, and a sync for another reason puts it back all the same: its syncOptions lack RespectIgnoreDifferences=true",
                change.field,
                object(change)
            )
        }),
        (Syncs::Not, _) => None,
    };
    Ok(json!(told))
}

fn put_back(foretold: &Foretold, field: &str, object: &str, application: &str) -> Failure {
    let untold = if foretold.untold {
        " (its rules to ignore differences hold jq expressions that are no plain paths: those do not count)"
    } else {
        ""
    };
    let name = application.rsplit('/').next().unwrap_or_default();
    Failure::permanent(format!(
        "{field} of {object} belongs to the Argo CD Application {application}, which heals itself: within seconds it would put back what its repository says{untold}"
    ))
    .hint(format!(
        "change it in the repository; or pause the Application before (`uses: argocd.pause_sync`, `application: {name}`), freeze its project (`argocd.sync_window`), or have its `ignoreDifferences` name the field, with `RespectIgnoreDifferences=true` among its syncOptions"
    ))
}

/// Tells the operator what the plan says of Argo CD, when it is carried out.
pub(in crate::actions::kubernetes) fn tell(cx: &Context, intent: &Intent) {
    if let Some(text) = intent.note.get(ARGOCD).and_then(Value::as_str) {
        cx.log.line(text);
    }
}

#[cfg(test)]
#[path = "foretold_tests.rs"]
mod tests;
