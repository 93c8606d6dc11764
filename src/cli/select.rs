//! Which run is meant where none is named.
//!
//! Invariant: what acts on a run never guesses between several.

use super::context::Context;
use super::failure::Failure;
use crate::app::{App, Filter, Owner, RunSummary};
use crate::model::id::RunId;

/// How many runs a message names.
const NAMED: usize = 10;

/// The run that is named, or the only open one, or of several the one at work or the latest; else the latest: for questions.
///
/// # Errors
/// When the text names no run, or there is none at all.
pub fn for_question(app: &App, text: Option<&str>) -> Result<RunId, Failure> {
    if let Some(text) = text {
        return Ok(app.find_run(text)?);
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
        [] => Err(Failure::usage("no run is open").hint("`runsheet runs` lists all; `runsheet run PLAYBOOK` starts one")),
        several => Err(which(several)),
    }
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
        several => Err(which(several)),
    }
}

/// The run that is named, or the only open one that owes something, or the latest that does; where none does, as [`open_one_or_latest`]: for what
/// takes back.
///
/// # Errors
/// When the text names no run, there is none, or several are open that owe something.
pub fn to_take_back(cx: &Context, app: &App, text: Option<&str>) -> Result<RunId, Failure> {
    if text.is_some() {
        return open_one_or_latest(app, text);
    }
    let mut owing = Vec::new();
    // What a sandbox had that is gone, nobody can give back.
    for run in app.without_gone(open(app)?)? {
        // What a rollback action would give back is not in the ledger.
        if run.owed > 0 || !cx.view(app, run.run)?.owed().is_empty() {
            owing.push(run);
        }
    }
    match owing.as_slice() {
        [only] => return Ok(only.run),
        [] => {}
        several => return Err(which(several)),
    }
    let mut runs = app.runs(u32::MAX, &Filter::default())?.runs;
    runs.retain(|run| run.owed > 0);
    let runs = app.without_gone(runs)?;
    match runs.iter().find(|run| run.owed > 0) {
        Some(owing) => Ok(owing.run),
        None => open_one_or_latest(app, None),
    }
}

/// The open runs, the latest first.
///
/// # Errors
/// When the store cannot be read.
pub fn open(app: &App) -> Result<Vec<RunSummary>, Failure> {
    Ok(app.runs(u32::MAX, &Filter { open: true, ..Filter::default() })?.runs)
}

/// That several runs could be meant.
pub fn which(runs: &[RunSummary]) -> Failure {
    let named = runs.iter().take(NAMED).map(|run| format!("{}  {} {}", run.run.short(), run.playbook, run.status));
    let more = runs.len().saturating_sub(NAMED);
    let mut lines: Vec<String> = std::iter::once("name one of them:".to_owned()).chain(named).collect();
    if more > 0 {
        lines.push(format!("… {more} more"));
    }
    Failure::usage(format!("{} runs are open, and none was named", runs.len())).hint(lines.join("\n"))
}

fn latest(app: &App) -> Result<RunId, Failure> {
    let runs = app.runs(1, &Filter::default())?.runs;
    let none = || Failure::from(crate::app::AppError::NoRuns { state: app.locations.state.clone() });
    runs.first().map(|run| run.run).ok_or_else(none)
}
