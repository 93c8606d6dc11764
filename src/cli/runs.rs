//! `runs`: lists runs; `runs verify`: checks their journals.

use clap_complete::engine::ArgValueCompleter;
use serde_json::{Value, json};

use super::complete;
use super::context::Context;
use super::exit_code;
use super::failure::Failure;
use crate::app::{App, AppError, Filter, JournalError, Owner, RunSummary};
use crate::model::status::RunStatus;
use crate::report::{RunRow, runs_table, text};

/// The arguments of `runs`.
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Args {
    #[command(subcommand)]
    command: Option<Command>,
    /// Only those that have not ended
    #[arg(long)]
    open: bool,
    /// Only those of this playbook
    #[arg(long, value_name = "PLAYBOOK", add = ArgValueCompleter::new(complete::playbooks))]
    playbook: Option<String>,
    /// At most so many, the latest first
    #[arg(short = 'n', long, value_name = "N", default_value_t = 50)]
    limit: u32,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Check every event of a run, or of all, against the hash chain
    Verify {
        /// The run [default: all]
        #[arg(value_name = "RUN", add = ArgValueCompleter::new(complete::runs))]
        run: Option<String>,
    },
}

/// Lists runs, or checks them.
///
/// # Errors
/// When the store cannot be read, or a run's journal is damaged.
pub fn run(cx: &Context, args: Args) -> Result<u8, Failure> {
    if let Some(Command::Verify { run }) = args.command {
        return verify(cx, run.as_deref());
    }
    let app = cx.app()?;
    let filter = Filter { open: args.open, playbook: args.playbook, ..Filter::default() };
    let listed = app.runs(args.limit, &filter)?;
    let mut gone = Vec::new();
    for run in listed.runs.iter().filter(|run| run.owed > 0 || !run.status.is_finished()) {
        if app.sandbox_is_gone(run)? {
            gone.push(run);
        }
    }
    let is_gone = |run: &RunSummary| gone.iter().any(|gone| gone.run == run.run);
    // Nothing that is gone is owed.
    let owed = |run: &RunSummary| if is_gone(run) { 0 } else { run.owed };
    if cx.output.is_text() {
        let filtered = filter.open || filter.playbook.is_some();
        if listed.runs.is_empty() && filtered && !app.runs(1, &Filter::default())?.runs.is_empty() {
            cx.output.page("No such runs. All of them: runsheet runs");
        } else {
            let rows = listed
                .runs
                .iter()
                .map(|run| Ok(row(run, owed(run), is_gone(run), alive(&app, run)?)))
                .collect::<Result<Vec<RunRow>, Failure>>()?;
            cx.output.page(&runs_table(&rows, &cx.output.out));
        }
    } else {
        let documents =
            listed.runs.iter().map(|run| Ok(document(run, owed(run), alive(&app, run)?))).collect::<Result<Vec<Value>, Failure>>()?;
        cx.output.list(documents);
    }
    if !gone.is_empty() && cx.output.is_text() {
        cx.output.note(&super::status::gone(&gone));
    }
    for damaged in &listed.damaged {
        cx.output.note(&format!("run {} cannot be listed: {}; `runsheet runs verify {0}` says what is wrong", damaged.run, damaged.what));
    }
    if listed.runs.len() == args.limit as usize && cx.output.is_text() {
        cx.output.note(&format!("the latest {}; more with --limit", args.limit));
    }
    Ok(exit_code::SUCCEEDED)
}

/// Whether a process works on a run that should be at work.
fn alive(app: &App, run: &RunSummary) -> Result<Option<bool>, Failure> {
    match run.status {
        RunStatus::Running | RunStatus::RollingBack => Ok(Some(app.owner(run.run)? != Owner::Nobody)),
        _ => Ok(None),
    }
}

fn row(run: &RunSummary, owed: u64, gone: bool, alive: Option<bool>) -> RunRow {
    RunRow {
        id: run.run,
        playbook: run.playbook.clone(),
        environment: run.environment.as_ref().map(|name| if gone { format!("{name} (gone)") } else { name.clone() }),
        status: run.status,
        reason: run.reason.clone(),
        started: run.created_at,
        updated: run.updated_at,
        alive,
        owed: usize::try_from(owed).unwrap_or(usize::MAX),
        by: run.by.clone(),
    }
}

fn document(run: &RunSummary, owed: u64, alive: Option<bool>) -> Value {
    json!({
        "id": run.run, "short_id": run.run.short(), "playbook": run.playbook, "environment": run.environment, "status": run.status,
        "reason": run.reason, "created_at": run.created_at, "updated_at": run.updated_at, "by": run.by,
        "steps": run.steps.iter().map(|(status, count)| (status.as_str().to_owned(), (*count).into())).collect::<serde_json::Map<_, _>>(),
        "owed": owed, "events": run.events,
        "owner": run.owner.as_ref().map(|owner| json!({ "pid": owner.pid, "host": owner.host, "by": owner.by, "alive": alive })),
    })
}

fn verify(cx: &Context, text: Option<&str>) -> Result<u8, Failure> {
    let app = cx.app()?;
    let runs = match text {
        Some(text) => vec![app.find_run(text)?],
        None => {
            let listed = app.runs(u32::MAX, &Filter::default())?;
            let mut all: Vec<_> = listed.runs.iter().map(|run| run.run).chain(listed.damaged.iter().map(|damaged| damaged.run)).collect();
            all.sort();
            all
        }
    };
    let (mut sound, mut events, mut damaged) = (0_usize, 0_u64, Vec::new());
    for run in runs {
        match app.verify(run) {
            Ok(count) => {
                sound += 1;
                events += count;
            }
            Err(AppError::Journal(error @ JournalError::Damaged { .. })) => damaged.push((run, error.to_string())),
            Err(error) => return Err(error.into()),
        }
    }
    if cx.output.is_text() {
        let are = if sound == 1 { "is" } else { "are" };
        cx.output.page(&format!(
            "{} {are} sound, with {}",
            text::count(sound, "run"),
            text::count(usize::try_from(events).unwrap_or(usize::MAX), "event")
        ));
        damaged.iter().for_each(|(run, what)| cx.output.page(&format!("run {run} is damaged: {what}")));
    } else {
        let damaged: Vec<Value> = damaged.iter().map(|(run, what)| json!({ "run": run, "what": what })).collect();
        cx.output.json(&json!({ "sound": sound, "events": events, "damaged": damaged }));
    }
    if damaged.is_empty() {
        return Ok(exit_code::SUCCEEDED);
    }
    if cx.output.is_text() {
        cx.output.note("keep a copy of the database; restore these runs from a backup; the others go on");
    }
    Ok(exit_code::STORE)
}
