//! Which run is meant where none is named.
//!
//! Invariant: what acts on a run never guesses between several.

use super::context::Context;
use super::exit_code;
use super::failure::Failure;
use crate::app::{App, Filter, Owner, RunSummary};
use crate::model::id::RunId;
use crate::model::status::RunStatus;
use crate::report::RunView;

/// What there is to do about a run whose sandbox is gone.
const NOTHING_LEFT: &str = "it was reset, and what was done in it went with it: nothing can go on, and nothing is owed";
/// How many runs a message names.
const NAMED: usize = 10;
/// Of how many ended runs, the latest, it is looked up whether a rollback action of theirs would give something back.
const LOOKED_UP: usize = 50;

/// The run that is named, by its id or as the latest of its playbook; or the only open one, or of several the one at work or the latest; else the
/// latest: for questions.
///
/// # Errors
/// When the text names no run, or there is none at all.
pub fn for_question(app: &App, text: Option<&str>) -> Result<RunId, Failure> {
    if let Some(text) = text {
        return app.find_run(text).or_else(|error| latest_of(app, text)?.ok_or_else(|| error.into()));
    }
    let open = open(app)?;
    match open.as_slice() {
        [] => latest(app),
        [only] => Ok(only.run),
        // The one at work, else the latest: never one that has ended, while others have not.
        [first, ..] => {
            let mut live = Vec::new();
            for run in &open {
                if app.owner(run.run)? != Owner::Nobody {
                    live.push(run.run);
                }
            }
            Ok(if let [only] = live.as_slice() { *only } else { first.run })
        }
    }
}

/// The run that is named, or the only open one: for what makes a run go on or end.
///
/// # Errors
/// When the text names no run, or none or several are open.
pub fn open_one(app: &App, text: Option<&str>) -> Result<RunId, Failure> {
    if let Some(text) = text {
        return Ok(app.find_run(text)?);
    }
    match open(app)?.as_slice() {
        [only] => Ok(only.run),
        [] => Err(none_open(&of_gone_sandboxes(app)?)),
        several => Err(which(several, OPEN)),
    }
}

/// Refuses a run whose sandbox is gone: with it nothing can go on.
///
/// # Errors
/// When it is such a one, or the store cannot be read.
pub fn refuse_gone(app: &App, run: RunId) -> Result<(), Failure> {
    let found = app.runs(1, &Filter { run: Some(run), ..Filter::default() })?.runs;
    match found.first() {
        Some(found) if app.sandbox_is_gone(found)? => {
            let what = format!("the sandbox that run {} of {} acted on is gone", run.short(), found.playbook);
            Err(Failure::new(exit_code::REFUSED, what).hint(NOTHING_LEFT))
        }
        Some(_) | None => Ok(()),
    }
}

/// That no run is open with which anything can go on.
fn none_open(gone: &[RunSummary]) -> Failure {
    let what = match gone {
        [] => return Failure::usage("no run is open").hint("`runsheet runs` lists all; `runsheet run PLAYBOOK` starts one"),
        [_] => "no run is open but one whose sandbox is gone".to_owned(),
        several => format!("no run is open but {} whose sandbox is gone", several.len()),
    };
    Failure::usage(what).hint(NOTHING_LEFT)
}

/// The run that is named, or the only open one, or the latest where none is open: for what may act on an ended run too.
///
/// # Errors
/// When the text names no run, there is none, or several are open.
pub fn open_one_or_latest(app: &App, text: Option<&str>) -> Result<RunId, Failure> {
    if let Some(text) = text {
        return Ok(app.find_run(text)?);
    }
    match open(app)?.as_slice() {
        [only] => Ok(only.run),
        [] => latest(app),
        several => Err(which(several, OPEN)),
    }
}

/// The run that is named; else, of those that owe something, the only open one, or the one that was the last to change something. `None`: none owes
/// anything.
///
/// # Errors
/// When the text names no run, there is none at all, or those that owe something are several open ones, or in several environments.
pub fn to_take_back(cx: &Context, app: &App, text: Option<&str>) -> Result<Option<RunView>, Failure> {
    if let Some(text) = text {
        return Ok(Some(cx.view(app, app.find_run(text)?)?));
    }
    latest(app)?;
    let mut owing = Vec::new();
    let mut looked_up = 0;
    // What a sandbox had that is gone, nobody can give back.
    for run in app.without_gone(app.runs(u32::MAX, &Filter::default())?.runs)? {
        // What a rollback action would give back is not in the ledger.
        let ended = run.status.is_finished();
        let may = match run.status {
            _ if run.owed > 0 || !ended => true,
            RunStatus::RolledBack => false,
            _ => looked_up < LOOKED_UP,
        };
        if may {
            looked_up += usize::from(ended && run.owed == 0);
            let view = cx.view(app, run.run)?;
            if !view.owed().is_empty() || view.status() == RunStatus::RollingBack {
                owing.push((run, view));
            }
        }
    }
    if owing.iter().any(|(run, _)| run.environment != owing[0].0.environment) {
        let runs: Vec<RunSummary> = owing.into_iter().map(|(run, _)| run).collect();
        return Err(which(&runs, "owe something, in several environments,"));
    }
    let open: Vec<RunSummary> = owing.iter().map(|(run, _)| run).filter(|run| !run.status.is_finished()).cloned().collect();
    match open.as_slice() {
        [] => Ok(owing.into_iter().map(|(_, view)| view).max_by_key(changed_at)),
        [only] => Ok(owing.into_iter().map(|(_, view)| view).find(|view| view.run() == only.run)),
        several => Err(which(several, OPEN)),
    }
}

/// When the run was the last to change something that it owes.
fn changed_at(view: &RunView) -> Option<jiff::Timestamp> {
    let steps = view.owed().into_iter().flat_map(|owed| owed.steps);
    steps.filter_map(|step| view.step(step.as_str()).and_then(|step| step.ended_at.or(step.started_at))).max()
}

/// The open runs, the latest first, without those whose sandbox is gone: with them nothing can go on.
///
/// # Errors
/// When the store cannot be read.
pub fn open(app: &App) -> Result<Vec<RunSummary>, Failure> {
    Ok(app.without_gone(app.runs(u32::MAX, &Filter { open: true, ..Filter::default() })?.runs)?)
}

/// The open runs whose sandbox is gone.
fn of_gone_sandboxes(app: &App) -> Result<Vec<RunSummary>, Failure> {
    let all = app.runs(u32::MAX, &Filter { open: true, ..Filter::default() })?.runs;
    let there = app.without_gone(all.clone())?;
    Ok(all.into_iter().filter(|run| there.iter().all(|there| there.run != run.run)).collect())
}

/// What several runs have in common, where one of them is to be named.
pub const OPEN: &str = "are open,";

/// That several runs could be meant, which all are, or do, this.
pub fn which(runs: &[RunSummary], all: &str) -> Failure {
    let named = runs.iter().take(NAMED).map(|run| {
        let on = run.environment.as_ref().map(|environment| format!(" on {environment}")).unwrap_or_default();
        format!("{}  {} {}{on}", run.run.short(), run.playbook, run.status)
    });
    let more = runs.len().saturating_sub(NAMED);
    let mut lines: Vec<String> = std::iter::once("name one of them:".to_owned()).chain(named).collect();
    if more > 0 {
        lines.push(format!("… {more} more"));
    }
    Failure::usage(format!("{} runs {all} and none was named", runs.len())).hint(lines.join("\n"))
}

/// The latest run of a playbook.
fn latest_of(app: &App, playbook: &str) -> Result<Option<RunId>, Failure> {
    let runs = app.runs(u32::MAX, &Filter::default())?.runs;
    Ok(runs.into_iter().find(|run| run.playbook == playbook).map(|run| run.run))
}

fn latest(app: &App) -> Result<RunId, Failure> {
    let runs = app.runs(1, &Filter::default())?.runs;
    let none = || Failure::from(crate::app::AppError::NoRuns { state: app.locations.state.clone() });
    runs.first().map(|run| run.run).ok_or_else(none)
}
