//! `argocd.sync_window`: denies the Applications of a project to sync for a time, by a window of its AppProject: the event's deployment freeze.
//!
//! Must not change a window that is there. Invariant: a window is added at the end of the list as it was read, and only that very window is taken away.

mod list;

use std::sync::{Arc, LazyLock};

use async_trait::async_trait;
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use super::foretold::{ARGOCD, foretell, judge, tell};
use super::tracking::Thing;
use super::window::{denied_until, freeze};
use super::{GROUP, appproject_place};
use crate::actions::kubernetes::api::Api;
use crate::actions::kubernetes::by_hand::input_word;
use crate::actions::kubernetes::permissions::{Asking, On};
use crate::actions::kubernetes::swap_fields::{Place, UID, swap_judged, uid_of};
use crate::actions::kubernetes::workload::is_name;
use crate::actions::kubernetes::{cluster, named_ref};
use crate::actions::support::{DurationText, kept, output, parse, schema};
use crate::environment::Connections;
use crate::model::by_hand::{ByHand, quoted, variables_in};
use crate::model::catalogue::ActionEntry;
use crate::model::change::{Change, ObjectRef, Swap};
use crate::model::duration::Span;
use crate::model::intent::{Intent, Revert};
use crate::model::outcome::{Applied, Failure, Verdict};
use crate::model::permission::Needs;
use crate::model::run::TargetSpec;
use crate::model::step::{Effect, Rollback};
use crate::ports::action::{Action, Context, Inputs, Plan};

const NAME: &str = "argocd.sync_window";
/// The list of a project's windows.
const WINDOWS: &str = "spec.syncWindows";
/// The longest freeze.
const LONGEST: Span = Span::seconds(31 * 24 * 3600);
/// How much earlier than asked a window that is open already may end: who asks twice asks a little later.
const SLACK: Span = Span::seconds(60);

/// The inputs of `argocd.sync_window`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Input {
    /// The AppProject; `default` where it is left out.
    #[serde(default = "default_project")]
    project: String,
    /// The Applications of it, by name or by patterns with `*`; all of them where it is left out.
    #[serde(default = "all_applications")]
    #[schemars(extend("minItems" = 1))]
    applications: Vec<String>,
    /// How long they may not sync, from now on: `1m` to `31d`.
    #[schemars(with = "DurationText")]
    duration: Span,
    /// Whether they may still be synced by hand.
    #[serde(default)]
    manual_sync: bool,
}

fn default_project() -> String {
    "default".to_owned()
}

fn all_applications() -> Vec<String> {
    vec!["*".to_owned()]
}

impl Input {
    fn of(inputs: &Inputs) -> Result<Self, Failure> {
        let input: Self = parse(NAME, inputs)?;
        if !is_name(&input.project) {
            let name: String = input.project.chars().take(80).collect();
            return Err(Failure::permanent(format!("`{name}` is not an AppProject's name")).hint("lower-case letters, digits, `-` and `.`"));
        }
        if input.applications.is_empty() || input.applications.iter().any(String::is_empty) {
            return Err(Failure::permanent("`applications` names none")
                .hint("leave it out for all of the project, or name them: `[ticket-service]`"));
        }
        if input.duration < Span::seconds(60) || input.duration > LONGEST {
            return Err(Failure::permanent(format!("a freeze of {} cannot be had", input.duration)).hint("`duration` is from 1m to 31d"));
        }
        Ok(input)
    }

    fn place(&self, target: Option<&TargetSpec>) -> Place {
        appproject_place(&super::namespace(target), &self.project)
    }
}

/// The action.
pub(super) struct SyncWindow {
    connections: Arc<Connections>,
}

static ENTRY: LazyLock<Arc<ActionEntry>> = LazyLock::new(|| {
    Arc::new(ActionEntry {
        name: NAME.to_owned(),
        summary: "Deny Argo CD to sync the Applications of a project for a time".to_owned(),
        page: include_str!("page.md").to_owned(),
        inputs: schema::<Input>(),
        outputs: vec![
            output("project", "string", "the AppProject"),
            output("applications", "list", "the Applications that may not sync, by name or by pattern"),
            output("until", "string", "until when, a time in UTC"),
            output("window", "map", "the window that was added; null where others denied it already"),
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
        let project = match inputs.get("project").filter(|project| !project.is_null()) {
            Some(project) => project.as_str().filter(|name| is_name(name))?,
            None => "default",
        };
        let place = appproject_place(&super::namespace(target), project);
        named_ref(target?, &place.namespace, &place.shown)
    };
    object().into_iter().collect()
}

fn permissions(inputs: &Value, target: Option<&TargetSpec>) -> Needs {
    let mut asking = Asking::within(Some(&super::namespace(target)));
    let any = On::any(GROUP, "appprojects");
    let given = inputs.get("project").filter(|project| !project.is_null()).map_or(Some("default"), Value::as_str);
    let on = given.filter(|name| variables_in(name).is_empty()).map_or_else(|| any.clone(), |name| any.clone().named(name));
    asking.reads("get", &on);
    asking.changes("patch", &on);
    let mut needs = asking.needs();
    super::reads(&mut needs, target);
    needs
}

fn lines(inputs: &Value, target: Option<&TargetSpec>) -> ByHand {
    let given = input_word(inputs, "project");
    let project = if given.is_empty() { "default".to_owned() } else { given };
    let duration = input_word(inputs, "duration");
    let namespace = super::namespace(target);
    let list = inputs.get("applications").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let names: Vec<&str> = list.iter().filter_map(Value::as_str).collect();
    let names = quoted(if names.is_empty() { "*".to_owned() } else { names.join(",") }.as_str());
    ByHand {
        look: vec![format!("argocd proj windows list {project}")],
        act: vec![format!(
            "argocd proj windows add {project} --kind deny --schedule \"$(date -u '+%-M %-H %-d %-m *')\" --duration {duration} --time-zone UTC --applications {names}"
        )],
        undo: vec![
            format!("kubectl get appprojects.argoproj.io {project} -n {namespace} -o yaml"),
            format!("argocd proj windows delete {project} \"$WINDOW_ID\""),
        ],
    }
}

fn outputs(project: &str, applications: &Value, until: &str, window: &Value) -> Value {
    json!({ "project": project, "applications": applications, "until": until, "window": window })
}

/// What an intent keeps for later, and its one change: the window.
struct Noted<'a> {
    place: Place,
    window: &'a Value,
    until: &'a str,
    /// Whether there was a list before: an empty one that was not there is taken away again.
    had_list: bool,
}

impl<'a> Noted<'a> {
    fn of(intent: &'a Intent) -> Result<Self, Failure> {
        let text = |key: &str| intent.note.get(key).and_then(Value::as_str);
        let read = || {
            let place = appproject_place(text("namespace")?, text("project")?).of(intent);
            let had_list = intent.note.get("had_list")?.as_bool()?;
            Some(Self { place, window: &intent.changes.first()?.after, until: text("until")?, had_list })
        };
        read().ok_or_else(|| Failure::permanent("what this step recorded does not name a project and its window"))
    }

    fn outputs(&self) -> Value {
        outputs(&self.place.name, &self.window["applications"], self.until, self.window)
    }
}

impl SyncWindow {
    pub(super) fn new(connections: Arc<Connections>) -> Self {
        Self { connections }
    }

    async fn write(&self, cx: &Context, intent: &Intent, there: bool) -> Result<Applied, Failure> {
        let noted = Noted::of(intent)?;
        let api = Api::new(&self.connections, cx)?;
        let written = swap_judged(&api, &noted.place, "", |project| {
            if there { list::added(project, noted.window) } else { list::taken_away(project, noted.window, noted.had_list) }
        });
        Ok(match written.await {
            Ok(project) if there && !list::has(&project, noted.window) => Applied::FailedWithEffect {
                failure: Failure::permanent(format!("{} was given a sync window, and the server made another of it", noted.place))
                    .hint("look at it: `kubectl get appprojects.argoproj.io -o yaml`; is Argo CD older than its sync windows?"),
                outputs: json!({}),
            },
            Ok(_) => Applied::Applied { outputs: noted.outputs() },
            Err(applied) => applied,
        })
    }

    async fn project(&self, cx: &Context, intent: &Intent) -> Result<Option<Value>, Failure> {
        Noted::of(intent)?.place.read(&Api::new(&self.connections, cx)?).await
    }
}

#[async_trait]
impl Action for SyncWindow {
    fn entry(&self) -> Arc<ActionEntry> {
        Arc::clone(&ENTRY)
    }

    async fn observe(&self, cx: &Context, inputs: &Inputs) -> Result<Value, Failure> {
        let input = Input::of(inputs)?;
        let target = cx.target.as_ref();
        let place = input.place(target);
        let api = Api::new(&self.connections, cx)?;
        let project = place.read(&api).await?.ok_or_else(|| place.missing())?;
        let now = Timestamp::now();
        let thing = Thing { group: GROUP, kind: "AppProject", object: &project };
        Ok(json!({
            "project": input.project,
            "windows": list::of(&project),
            "had_list": list::is_there(&project),
            "denied_until": denied_until(&project, &input.applications, now).map(|until| until.to_string()),
            "now": now.to_string(),
            "uid": uid_of(&project),
            ARGOCD: foretell(&api, target, thing, [WINDOWS]).await?,
        }))
    }

    fn plan(&self, cx: &Context, inputs: &Inputs, prior: &Value, rollback: &Rollback) -> Result<Plan, Failure> {
        let input = Input::of(inputs)?;
        let place = input.place(cx.target.as_ref());
        let unobserved = || Failure::permanent(format!("{place} was not observed"));
        let time = |key: &str| prior.get(key).and_then(Value::as_str).and_then(|text| text.parse::<Timestamp>().ok());
        let now = time("now").ok_or_else(unobserved)?;
        let applications = json!(input.applications);
        let asked = jiff::SignedDuration::try_from(input.duration.0.saturating_sub(SLACK.0)).unwrap_or_default();
        let enough = now.checked_add(asked).map_err(|_| unobserved())?;
        if let Some(until) = time("denied_until").filter(|until| *until >= enough) {
            let outputs = outputs(&input.project, &applications, &until.to_string(), &Value::Null);
            return Ok(Plan { intent: Intent::default(), unchanged: Some(outputs) });
        }
        let (window, until) = freeze(&input.applications, now, input.duration, input.manual_sync).ok_or_else(unobserved)?;
        let object = named_ref(cluster(NAME, cx)?, &place.namespace, &place.shown).ok_or_else(unobserved)?;
        let schedule = window["schedule"].as_str().unwrap_or_default();
        let changes = vec![Change {
            object,
            // Its beginning is what tells it from others.
            field: format!("{WINDOWS}[{schedule}]"),
            label: format!("deny window of the project {} until {until}", input.project),
            prior: Value::Null,
            after: window.clone(),
        }];
        let told = judge(&foretold_of_list(prior, &changes), &changes)?;
        let had_list = prior.get("had_list").and_then(Value::as_bool).ok_or_else(unobserved)?;
        let (project, namespace) = (&input.project, &place.namespace);
        let patch = quoted(&json!([{ "op": "add", "path": "/spec/syncWindows/-", "value": window }]).to_string());
        let first = quoted(&json!({ "spec": { "syncWindows": [window] } }).to_string());
        let target = format!("kubectl patch appprojects.argoproj.io {project} -n {namespace}");
        let intent = Intent {
            revert: match kept(rollback) {
                Some(reason) => Revert::Keep { reason },
                None => Revert::Fields { settle: Span::seconds(60) },
            },
            note: json!({
                "project": project, "namespace": namespace, "had_list": had_list, "until": until.to_string(), "uid": prior[UID], ARGOCD: told,
                "says": format!("until {until} no commit is rolled out by itself to these Applications, and nothing is healed"),
            }),
            by_hand: vec![if had_list { format!("{target} --type=json -p {patch}") } else { format!("{target} --type=merge -p {first}") }],
            undo_by_hand: vec![format!(
                "argocd proj windows list {project}  # then: argocd proj windows delete {project} ID, the one that begins at `{schedule}`"
            )],
            changes,
            ..Intent::default()
        };
        Ok(Plan { intent, unchanged: None })
    }

    async fn apply(&self, cx: &Context, _: &Inputs, intent: &Intent) -> Applied {
        tell(cx, intent);
        self.write(cx, intent, true).await.unwrap_or_else(|failure| Applied::NotApplied { failure })
    }

    async fn verify(&self, cx: &Context, _: &Inputs, intent: &Intent) -> Result<Verdict, Failure> {
        let noted = Noted::of(intent)?;
        Ok(match self.project(cx, intent).await? {
            None => Verdict::CannotTell { reason: format!("there is no {} any more", noted.place) },
            Some(project) if list::has(&project, noted.window) => Verdict::Present { outputs: noted.outputs() },
            Some(_) => Verdict::Absent,
        })
    }

    async fn live(&self, cx: &Context, intent: &Intent) -> Result<Vec<Option<Value>>, Failure> {
        let noted = Noted::of(intent)?;
        let project = self.project(cx, intent).await?;
        let there = |project: &Value| if list::has(project, noted.window) { noted.window.clone() } else { Value::Null };
        Ok(vec![project.as_ref().map(there)])
    }

    async fn revert(&self, cx: &Context, intent: &Intent, swaps: &[Swap]) -> Applied {
        match swaps {
            [] => Applied::Applied { outputs: json!({}) },
            [swap] => self.write(cx, intent, !swap.to.is_null()).await.unwrap_or_else(|failure| Applied::NotApplied { failure }),
            _ => Applied::NotApplied { failure: Failure::permanent(format!("{NAME} puts back one window, and more were asked for")) },
        }
    }
}

/// What is foretold of the list, as if it were foretold of the window in it.
fn foretold_of_list(prior: &Value, changes: &[Change]) -> Value {
    let mut prior = json!({ ARGOCD: prior.get(ARGOCD) });
    if let Some(fields) = prior[ARGOCD].get_mut("fields").and_then(Value::as_object_mut)
        && let Some(stand) = fields.remove(WINDOWS)
    {
        fields.extend(changes.iter().map(|change| (change.field.clone(), stand.clone())));
    }
    prior
}

#[cfg(test)]
mod tests;
