//! Which run is meant where none is named.
//!
//! Invariant: what acts on a run never guesses between several.

use super::failure::Failure;
use crate::app::{App, Filter, RunSummary};
use crate::model::id::RunId;

/// How many runs a message names.
const NAMED: usize = 10;

/// The run that is named, or the only open one, else the latest: for questions.
///
/// # Errors
/// When the text names no run, or there is none at all.
pub fn for_question(app: &App, text: Option<&str>) -> Result<RunId, Failure> {
    if let Some(text) = text {
        return Ok(app.find_run(text)?);
    }
    match open(app)?.as_slice() {
        [only] => Ok(only.run),
        _ => latest(app),
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

/// The run that is named, or the only open one, or the latest that still owes something, or the latest: for what takes back.
///
/// # Errors
/// When the text names no run, there is none, or several are open.
pub fn to_take_back(app: &App, text: Option<&str>) -> Result<RunId, Failure> {
    if text.is_some() || !open(app)?.is_empty() {
        return open_one_or_latest(app, text);
    }
    let runs = app.runs(u32::MAX, &Filter::default())?.runs;
    match runs.iter().find(|run| run.owed > 0) {
        Some(owing) => Ok(owing.run),
        None => latest(app),
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
