//! `approve`, `reject`, `retry`, `skip`, `mark-done`: what an operator says about one step.
//!
//! Invariant: the step is looked for in the run that is meant, never in several at once.

use clap_complete::engine::ArgValueCompleter;
use serde_json::{Map, Value};

use super::confirm::say_target;
use super::context::Context;
use super::exit_code::Asked;
use super::failure::Failure;
use super::instruct::instruct;
use super::run::pair;
use super::{ask, complete, select};
use crate::app::App;
use crate::model::id::StepPath;
use crate::model::instruction::Command;
use crate::model::status::{RunStatus, StepStatus};
use crate::report::RunView;

/// The arguments of `approve` and `reject`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  runsheet approve                    the only gate that is closed
  runsheet approve go_live            that step of the only open run
  runsheet approve 3fa9c1d2 go_live   that step of that run")]
pub struct GateArgs {
    /// The run, where two are given; else the step [default: the only open run]
    #[arg(value_name = "RUN", add = ArgValueCompleter::new(complete::steps_or_runs))]
    first: Option<String>,
    /// The step that waits [default: the only one that does]
    #[arg(value_name = "STEP", add = ArgValueCompleter::new(complete::steps))]
    second: Option<String>,
    /// Why; it is kept with the run
    #[arg(short, long, value_name = "TEXT")]
    reason: Option<String>,
}

/// The arguments of `retry` and `skip`.
#[derive(Debug, clap::Args)]
pub struct StepArgs {
    /// The run, where two are given; else the step [default: the only open run in which the step can be told this]
    #[arg(value_name = "RUN", add = ArgValueCompleter::new(complete::steps_or_runs))]
    first: Option<String>,
    /// The step, as `status` names it [default: the only one that waits for a person]
    #[arg(value_name = "STEP", add = ArgValueCompleter::new(complete::steps))]
    second: Option<String>,
    /// Why; it is kept with the run. `skip` needs it, and `retry` of a step whose outcome is unknown
    #[arg(short, long, value_name = "TEXT")]
    reason: Option<String>,
}

/// The arguments of `mark-done`.
#[derive(Debug, clap::Args)]
#[command(allow_missing_positional = true)]
pub struct DoneArgs {
    /// The run [default: the only open one in which the step can be told this]
    #[arg(value_name = "RUN", add = ArgValueCompleter::new(complete::steps_or_runs))]
    run: Option<String>,
    /// The step, as `status` names it
    #[arg(value_name = "STEP", required = true, add = ArgValueCompleter::new(complete::steps))]
    step: String,
    /// An output for later steps: JSON, or text; may be given several times
    #[arg(long = "set", value_name = "NAME=VALUE", value_parser = pair)]
    outputs: Vec<(String, String)>,
    /// Why; it is kept with the run
    #[arg(short, long, value_name = "TEXT")]
    reason: Option<String>,
}

/// Opens a gate.
///
/// # Errors
/// When no gate, or more than one, could be meant, or the run refuses.
pub fn approve(cx: &Context, args: GateArgs) -> Result<u8, Failure> {
    gate(cx, args, Asked::Forward, |step| Command::Approve { step })
}

/// Refuses a gate.
///
/// # Errors
/// As [`approve`].
pub fn reject(cx: &Context, args: GateArgs) -> Result<u8, Failure> {
    gate(cx, args, Asked::Instruction, |step| Command::Reject { step })
}

/// Tries a step again.
///
/// # Errors
/// When the step is not found, a reason is missing, or the run refuses.
pub fn retry(cx: &Context, args: StepArgs) -> Result<u8, Failure> {
    let app = cx.app()?;
    let again = [StepStatus::Failed, StepStatus::Unknown, StepStatus::RollbackFailed, StepStatus::Kept, StepStatus::RolledBack];
    let (view, step) = told(cx, &app, args.first, args.second, &again)?;
    say_target(cx, &view);
    let unknown = view.step(&step).is_some_and(|step| step.status == StepStatus::Unknown);
    let reason = match args.reason {
        None if unknown => Some(ask::reason(None, "doing a step again whose outcome is unknown")?),
        reason => reason,
    };
    instruct(cx, &app, view, Command::Retry { step: step.as_str().into() }, reason, Asked::Forward)
}

/// Leaves a step out.
///
/// # Errors
/// As [`retry`].
pub fn skip(cx: &Context, args: StepArgs) -> Result<u8, Failure> {
    let app = cx.app()?;
    let (view, step) = told(cx, &app, args.first, args.second, &LEFT)?;
    let reason = ask::reason(args.reason, "`skip`")?;
    let asked = standing(&view);
    instruct(cx, &app, view, Command::Skip { step: step.as_str().into() }, Some(reason), asked)
}

/// Says that a step is done.
///
/// # Errors
/// As [`retry`].
pub fn mark_done(cx: &Context, args: DoneArgs) -> Result<u8, Failure> {
    let app = cx.app()?;
    let view = find(cx, &app, args.run.as_deref(), &args.step, &LEFT)?;
    let reason = ask::reason(args.reason, "`mark-done`")?;
    let value = |text: String| serde_json::from_str(&text).unwrap_or(Value::String(text));
    let outputs: Map<String, Value> = args.outputs.into_iter().map(|(name, text)| (name, value(text))).collect();
    let outputs = if outputs.is_empty() { Value::Null } else { Value::Object(outputs) };
    let asked = standing(&view);
    instruct(cx, &app, view, Command::MarkDone { step: args.step.as_str().into(), outputs }, Some(reason), asked)
}

/// The step that is meant, and its run: two words name both, one the step, or a run of which one step waits for a person.
fn told(
    cx: &Context,
    app: &App,
    first: Option<String>,
    second: Option<String>,
    fitting: &[StepStatus],
) -> Result<(RunView, String), Failure> {
    let word = match (first, second) {
        (Some(run), Some(step)) => return Ok((find(cx, app, Some(&run), &step, fitting)?, step)),
        (Some(word), None) => word,
        (None, _) => {
            let view = only(cx, app, "has a step that waits for a person", |view| view.needs_person().is_some())?;
            let step = only_pressing(&view)?;
            return Ok((view, step));
        }
    };
    let found = find(cx, app, None, &word, fitting);
    if found.as_ref().is_ok_and(|view| view.step(&word).is_some()) {
        return found.map(|view| (view, word));
    }
    let Ok(run) = app.find_run(&word) else { return found.map(|view| (view, word)) };
    let view = cx.view(app, run)?;
    let step = only_pressing(&view)?;
    Ok((view, step))
}

/// The only step of a run that waits for a person.
fn only_pressing(view: &RunView) -> Result<String, Failure> {
    let run = view.run().short();
    let needs = view.needs_person().map(|needs| needs.needs).unwrap_or_default();
    match needs.as_slice() {
        [need] => Ok(need.step.as_str().to_owned()),
        [] => Err(Failure::usage(format!("no step of run {run} waits for a person, and none was named"))
            .hint(format!("name the step: `runsheet status {run}` lists them"))),
        several => {
            let names: Vec<&str> = several.iter().take(10).map(|need| need.step.as_str()).collect();
            Err(Failure::usage(format!("{} steps of run {run} wait for a person, and none was named", several.len()))
                .hint(format!("name the step: {}", names.join(", "))))
        }
    }
}

/// What can be skipped or marked as done.
const LEFT: [StepStatus; 7] = [
    StepStatus::Pending,
    StepStatus::Waiting,
    StepStatus::Failed,
    StepStatus::Unknown,
    StepStatus::RollbackFailed,
    StepStatus::Kept,
    StepStatus::RollingBack,
];

/// A run that stood still before does what is asked by taking it; one that goes on is judged by its end.
fn standing(view: &RunView) -> Asked {
    if matches!(view.status(), RunStatus::Paused | RunStatus::Stuck) { Asked::Instruction } else { Asked::Forward }
}

fn gate(cx: &Context, args: GateArgs, asked: Asked, command: impl FnOnce(StepPath) -> Command) -> Result<u8, Failure> {
    let app = cx.app()?;
    let (view, step) = match (args.first, args.second) {
        (Some(run), Some(step)) => (cx.view(&app, app.find_run(&run)?)?, StepPath::from(step.as_str())),
        (Some(one), None) => step_or_run(cx, &app, &one)?,
        (None, _) => {
            let view = only(cx, &app, "waits at a gate", |view| view.gates().next().is_some())?;
            let step = only_gate(&view)?;
            (view, step)
        }
    };
    instruct(cx, &app, view, command(step), args.reason, asked)
}

/// One word may be a gate of the run that is open, or a run with one gate.
fn step_or_run(cx: &Context, app: &App, word: &str) -> Result<(RunView, StepPath), Failure> {
    let gated = |view: &RunView| view.gates().any(|(step, _)| step.path.as_str() == word);
    let no_step = match only(cx, app, &format!("waits at a gate before {word}"), gated) {
        // Where only one run is open, it may still be that it is named.
        Ok(view) if view.step(word).is_some() => return Ok((view, StepPath::from(word))),
        other => other,
    };
    let Ok(run) = app.find_run(word) else { return no_step.map(|view| (view, StepPath::from(word))) };
    let view = cx.view(app, run)?;
    let step = only_gate(&view)?;
    Ok((view, step))
}

fn only_gate(view: &RunView) -> Result<StepPath, Failure> {
    let gates: Vec<&StepPath> = view.gates().map(|(step, _)| &step.path).collect();
    let run = view.run().short();
    match gates.as_slice() {
        [gate] => Ok((*gate).clone()),
        [] => Err(Failure::new(super::exit_code::REFUSED, format!("run {run} waits at no gate: it is {}", view.status()))
            .hint(format!("`runsheet status {run}` shows what it waits for"))),
        several => {
            let names: Vec<&str> = several.iter().take(10).map(|gate| gate.as_str()).collect();
            Err(Failure::usage(format!("run {run} waits at {} gates, and none was named", several.len()))
                .hint(format!("name the step: {}", names.join(", "))))
        }
    }
}

/// The run with the step: the named one, or the only one in which the step has one of these statuses.
fn find(cx: &Context, app: &App, run: Option<&str>, step: &str, fitting: &[StepStatus]) -> Result<RunView, Failure> {
    if let Some(run) = run {
        return cx.view(app, app.find_run(run)?);
    }
    let fits = |view: &RunView| view.step(step).is_some_and(|step| fitting.contains(&step.status));
    only(cx, app, &format!("has a step {step} that could be told this"), fits)
}

/// The only open run, or the only one of several that fits, or the latest where none is open: then the run itself says why it refuses.
fn only(cx: &Context, app: &App, what: &str, fits: impl Fn(&RunView) -> bool) -> Result<RunView, Failure> {
    let open = select::open(app)?;
    if open.len() <= 1 {
        return cx.view(app, select::open_one_or_latest(app, None)?);
    }
    let mut fitting = Vec::new();
    for run in &open {
        let view = cx.view(app, run.run)?;
        if fits(&view) {
            fitting.push((view, run.clone()));
        }
    }
    if fitting.len() > 1 {
        let runs: Vec<_> = fitting.into_iter().map(|(_, run)| run).collect();
        return Err(select::which(&runs, select::OPEN));
    }
    fitting.pop().map(|(view, _)| view).ok_or_else(|| {
        Failure::usage(format!("none of the {} open runs {what}", open.len()))
            .hint("`runsheet runs --open` lists them; name one before the step")
    })
}
