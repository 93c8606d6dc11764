//! Whether a run can work at all, before it is recorded: what is known to fail is refused, with what to add to the environment.
//!
//! Must not ask the target. Invariant: a run is refused only for a step that will be reached, will fail, and whose failure stops the run.

use serde_json::Value;

use super::prepare::Prepared;
use super::target::SANDBOX;
use super::{App, AppError, Filter, RunSummary};
use crate::model::change::ObjectRef;
use crate::model::environment::SYSTEMS;
use crate::model::preview::{Foreseen, Preview, PreviewStep, Starts};
use crate::model::run::TargetSpec;
use crate::playbook::did_you_mean;
use crate::plugins;

/// How many steps a refusal names.
const NAMED: usize = 5;

impl App {
    /// Refuses a run of which it is known that it cannot work.
    ///
    /// # Errors
    /// [`AppError::Impossible`]
    pub fn refuse_impossible(&self, prepared: &Prepared, preview: &Preview) -> Result<(), AppError> {
        let Some(found) = self.impossible(&preview.steps, &[], prepared.spec.target.as_ref())? else { return Ok(()) };
        let mut hints = found.hints;
        if hints.is_empty() {
            hints.push(format!("`runsheet show {}` prints the playbook; mend it, or what it is given", preview.playbook));
        }
        Err(AppError::Impossible { playbook: preview.playbook.clone(), problems: found.problems, hint: hints.join("\n") })
    }

    /// Why a run of these steps cannot work, where that is known; `vars` are those that have no value, each with why.
    ///
    /// # Errors
    /// When the folder of plugins cannot be read.
    pub(super) fn impossible(
        &self,
        steps: &[PreviewStep],
        vars: &[(String, String)],
        target: Option<&TargetSpec>,
    ) -> Result<Option<Impossible>, AppError> {
        let mut problems: Vec<(String, String)> = vars.iter().map(|(name, why)| (format!("vars.{name}"), why.clone())).collect();
        let mut hints: Vec<String> = Vec::new();
        for step in certain(steps) {
            if let Some(why) = &step.problem {
                problems.push((step.path.to_string(), why.clone()));
            } else if let Some(system) = target.and_then(|target| lacking(step, target)) {
                let why = format!("`{}` needs {system}: no such key `{system}` in target;", step.uses);
                problems.push((step.path.to_string(), why));
            }
        }
        for hint in problems.iter().filter_map(|(_, why)| self.remedy(why, target)) {
            if !hints.contains(&hint) {
                hints.push(hint);
            }
        }
        for step in certain(steps) {
            let Some(plugin) = self.plugins()?.of_action(&step.uses) else { continue };
            let Some(plugins::Missing(need)) = plugins::missing(&plugin.manifest.needs) else { continue };
            let why = format!("the plugin {} needs `{}`, which is not in PATH", plugin.manifest.name, need.program);
            problems.push((step.path.to_string(), why));
            if !hints.contains(&need.hint) {
                hints.push(need.hint);
            }
        }
        Ok((!problems.is_empty()).then(|| Impossible { problems: in_words(&problems), hints }))
    }

    /// The open runs that changed what this one would, and have neither ended nor given it back: each with the objects.
    ///
    /// # Errors
    /// [`AppError::Journal`]
    pub fn half_done(&self, preview: &Preview) -> Result<Vec<(RunSummary, Vec<ObjectRef>)>, AppError> {
        let Some(store) = self.store_if_any()? else { return Ok(Vec::new()) };
        let mut found = Vec::new();
        let mut open = store.runs(u32::MAX, &Filter { open: true, ..Filter::default() })?.runs;
        open.retain(|run| run.owed > 0);
        for run in self.without_gone(open)? {
            let mut shared: Vec<ObjectRef> = store.owed(run.run)?.into_iter().map(|entry| entry.change.object).collect();
            shared.retain(|object| preview.locks.binary_search(object).is_ok());
            shared.sort();
            shared.dedup();
            if !shared.is_empty() {
                found.push((run, shared));
            }
        }
        Ok(found)
    }

    /// What to add to which file, where a value of the target is missing.
    pub(super) fn remedy(&self, why: &str, target: Option<&TargetSpec>) -> Option<String> {
        let target = target?;
        if target.environment == SANDBOX {
            return Missing::of(why).map(|_| "the sandbox has no such value, and takes no other: use one that it has".to_owned());
        }
        Some(Missing::of(why)?.remedy(&self.shown(&self.environment_file(&target.environment))))
    }
}

/// Why a run cannot work.
#[derive(Clone, Debug)]
pub(super) struct Impossible {
    /// Each reason with the steps that have it, a line each.
    pub problems: String,
    /// What to do, where that is known.
    pub hints: Vec<String>,
}

/// The steps that will be reached, and whose failure stops the run.
fn certain(steps: &[PreviewStep]) -> impl Iterator<Item = &PreviewStep> {
    steps.iter().filter(|step| step.starts == Starts::Yes && !step.optional)
}

/// The system of the environment that a step's action cannot do without, where the target names none.
fn lacking(step: &PreviewStep, target: &TargetSpec) -> Option<&'static str> {
    let (of, _) = step.uses.split_once('.')?;
    let system = ["aws", "prometheus", "rabbitmq", "redis"].into_iter().find(|system| *system == of)?;
    let told = step.inputs.iter().any(|(name, value)| name == "server" && *value != Foreseen::Known(Value::Null));
    (!told && !target.values.contains_key(system)).then_some(system)
}

/// Each reason once, with the steps that have it.
fn in_words(problems: &[(String, String)]) -> String {
    let mut by_reason: Vec<(&str, Vec<&str>)> = Vec::new();
    for (step, why) in problems {
        // Where in the file it stands differs, what is wrong does not.
        let bare = why.split_once("no such key").map_or(why.as_str(), |(at, _)| &why[at.len()..]);
        match by_reason.iter_mut().find(|(known, _)| *known == bare) {
            Some((_, steps)) => steps.push(step),
            None => by_reason.push((bare, vec![step])),
        }
    }
    let line = |(why, steps): &(&str, Vec<&str>)| {
        let more = if steps.len() > NAMED { format!(" and {} more", steps.len() - NAMED) } else { String::new() };
        format!("{}{more}: {why}", steps.iter().take(NAMED).copied().collect::<Vec<_>>().join(", "))
    };
    by_reason.iter().take(NAMED).map(line).collect::<Vec<_>>().join("\n")
}

/// A key that an expression looked for in the target and did not find.
#[derive(Debug, PartialEq, Eq)]
struct Missing<'a> {
    key: &'a str,
    /// Where it was looked for: `target`, `target.capacity`.
    within: &'a str,
    /// The keys that are there.
    known: Vec<&'a str>,
}

impl<'a> Missing<'a> {
    /// From what the expression said.
    fn of(why: &'a str) -> Option<Self> {
        let (_, rest) = why.split_once("no such key `")?;
        let (key, rest) = rest.split_once("` in ")?;
        let (within, rest) = rest.split_once(';')?;
        let is_target = within == "target" || within.starts_with("target.") || within.starts_with("target[");
        let known = rest.trim().strip_prefix("it has: ").map(|known| known.split(", ").collect()).unwrap_or_default();
        is_target.then_some(Self { key, within, known })
    }

    fn remedy(&self, file: &str) -> String {
        let Self { key, within, .. } = self;
        let within = within.strip_prefix("target").unwrap_or(within).trim_start_matches('.');
        let first = within.split(['.', '[']).next().unwrap_or_default();
        let place = match (within, SYSTEMS.contains(&first)) {
            ("", _) if SYSTEMS.contains(key) => String::new(),
            ("", _) => " under `values:`".to_owned(),
            (_, true) => format!(" under `{within}:`"),
            (_, false) => format!(" under `values.{within}:`"),
        };
        // What stands at the top of the file is no misspelling of a value.
        let known = self.known.iter().copied().filter(|known| !within.is_empty() || !SYSTEMS.contains(known));
        let near = did_you_mean(key, known).map(|_| self.nearest(key)).unwrap_or_default();
        format!("add `{key}:`{place} to {file}{near}")
    }

    /// Turned round: the playbook's key is right, and the file's is what may be misspelt.
    fn nearest(&self, key: &str) -> String {
        let near = self.known.iter().filter_map(|known| Some((*known, did_you_mean(key, [*known])?))).next();
        near.map(|(known, _)| format!("; it has `{known}`: did you mean `{key}`?")).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::expr::{Bindings, Root, resolve};
    use crate::model::template::{Source, Template};

    /// What an expression says of this target.
    fn said(expression: &str) -> String {
        let target = json!({ "kubernetes": { "namespace": "a" }, "capcity": { "low": { "replicas": 2 } } });
        let source = Source { text: expression.to_owned(), line: 3, column: 9 };
        resolve(&Template::Expression(source), &Bindings::new().with(Root::Target, target)).unwrap_err().to_string()
    }

    fn remedy(expression: &str) -> String {
        Missing::of(&said(expression)).unwrap_or_else(|| panic!("{}", said(expression))).remedy("playbooks/environments/staging.yaml")
    }

    #[test]
    fn what_the_target_lacks_is_named_with_its_file_and_place() {
        assert_eq!(remedy("target.postgres"), "add `postgres:` to playbooks/environments/staging.yaml");
        assert_eq!(remedy("target.url"), "add `url:` under `values:` to playbooks/environments/staging.yaml");
        assert_eq!(
            remedy("target.capacity[\"high\"].replicas"),
            "add `capacity:` under `values:` to playbooks/environments/staging.yaml; it has `capcity`: did you mean `capacity`?"
        );
        assert_eq!(remedy("target.capcity.high"), "add `high:` under `values.capcity:` to playbooks/environments/staging.yaml");
        assert_eq!(remedy("target.kubernetes.zone"), "add `zone:` under `kubernetes:` to playbooks/environments/staging.yaml");
    }

    #[test]
    fn what_is_wrong_with_something_else_has_no_remedy_in_the_environment() {
        assert_eq!(Missing::of("line 4: `params.gone`: no such key `gone` in params; it has: level"), None);
        assert_eq!(Missing::of("division by zero"), None);
    }

    #[test]
    fn steps_with_the_same_reason_are_told_together() {
        let problem = |step: &str, line: u32| {
            (step.to_owned(), format!("line {line}: `target.postgres`: no such key `postgres` in target; it has: kubernetes"))
        };
        let text = in_words(&[problem("budget", 3), problem("fits", 40), ("warm".to_owned(), "division by zero".to_owned())]);
        assert_eq!(text, "budget, fits: no such key `postgres` in target; it has: kubernetes\nwarm: division by zero");
    }
}
