//! `status`: where a run stands, once or as it goes on.

use std::time::Duration;

use clap_complete::engine::ArgValueCompleter;

use super::complete;
use super::context::Context;
use super::exit_code;
use super::failure::Failure;
use super::output::Format;
use super::select;
use super::watch::{Watch, print_event};
use crate::app::{App, Filter, Observer, Owner, RunSummary};
use crate::model::id::RunId;
use crate::report::{self, RunView, Style, status_json};

/// How often a followed run is looked at.
const LOOK: Duration = Duration::from_millis(150);
/// How many events are read at once.
pub const PAGE: u32 = 1000;

/// The arguments of `status`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  runsheet status                 the only open run, else the latest
  runsheet status --follow        watch a run that another terminal, or the background, drives
  runsheet status 3fa9c1d2 --commands                 # how a person puts back what it owes, without runsheet
  runsheet status 3fa9c1d2 -o json | jq '.steps[] | {id, status}'")]
pub struct Args {
    /// The run, or a playbook: its latest [default: the only open one, else the latest]
    #[arg(value_name = "RUN", add = ArgValueCompleter::new(complete::runs))]
    run: Option<String>,
    /// Follow it until it ends, or nobody works on it any more
    #[arg(short, long)]
    follow: bool,
    /// Print only the commands by which a person puts back what it owes
    #[arg(long, conflicts_with = "follow")]
    commands: bool,
}

/// Shows a run.
///
/// # Errors
/// When there is no such run, or it cannot be read.
pub fn run(cx: &Context, args: Args) -> Result<u8, Failure> {
    let app = cx.app()?;
    let run = select::for_question(&app, args.run.as_deref())?;
    let mut view = cx.view(&app, run)?;
    if args.commands {
        let commands = report::undo::commands(&view);
        if cx.output.is_text() {
            cx.output.page(&commands.join("\n"));
        } else {
            cx.output.json(&serde_json::json!({ "run": run, "short_id": run.short(), "commands": commands }));
        }
        return Ok(exit_code::SUCCEEDED);
    }
    if args.follow {
        view = follow(cx, &app, view)?;
        if cx.output.format == Format::Jsonl {
            return Ok(exit_code::SUCCEEDED);
        }
    }
    if cx.output.is_text() && !view.owed().is_empty() {
        let found = app.runs(1, &Filter { run: Some(run), ..Filter::default() })?.runs;
        if let Some(found) = found.first()
            && app.sandbox_is_gone(found)?
        {
            cx.output.note(&gone(&[found]));
        }
    }
    show(cx, &view);
    Ok(exit_code::SUCCEEDED)
}

/// That the sandbox of these runs is gone, and what that means.
pub fn gone(runs: &[&RunSummary]) -> String {
    let names: Vec<String> = runs.iter().map(|run| format!("{} of {}", run.run.short(), run.playbook)).collect();
    let (run, it, owes) = if let [_] = runs { ("run", "it", "is owed by it") } else { ("runs", "they", "is owed by them") };
    format!(
        "{run} {}: the sandbox that {it} acted on is gone (it was reset). What {it} changed went with it: nothing {owes} any more, and nothing can be rolled back",
        names.join(", ")
    )
}

fn show(cx: &Context, view: &RunView) {
    if cx.output.is_text() {
        let style = Style { now: jiff::Timestamp::now(), ..cx.output.out.clone() };
        cx.output.page(&report::status(view, &style));
    } else {
        cx.output.json(&status_json(view));
    }
}

/// Shows what happens to the run until it ends, or no process works on it.
fn follow(cx: &Context, app: &App, view: RunView) -> Result<RunView, Failure> {
    let run = view.run();
    if cx.output.format == Format::Jsonl {
        app.records(run)?.iter().filter(|record| record.seq <= view.seq()).for_each(|record| print_event(run, record));
    }
    let mut seq = view.seq();
    let watch = Watch::start(cx, view);
    let followed = until_over(app, run, &mut seq, &watch);
    let mut view = watch.finish();
    followed?;
    view.set_owner_alive(app.owner(run)? != Owner::Nobody);
    Ok(view)
}

fn until_over(app: &App, run: RunId, seq: &mut u64, watch: &Watch) -> Result<(), Failure> {
    while wait_for_more(app, run, *seq)? {
        let records = app.records_after(run, *seq, PAGE)?;
        *seq = records.last().map_or(*seq, |last| last.seq);
        watch.committed(run, &records);
    }
    Ok(())
}

/// Waits until the run has events after this seq; false: no process works on it, and there are none.
///
/// # Errors
/// When the store cannot be read.
pub fn wait_for_more(app: &App, run: RunId, seq: u64) -> Result<bool, Failure> {
    loop {
        // Asked before reading: what a process wrote before it left is found below.
        let owned = app.owner(run)? != Owner::Nobody;
        if !app.records_after(run, seq, 1)?.is_empty() {
            return Ok(true);
        }
        if !owned {
            return Ok(false);
        }
        std::thread::sleep(LOOK);
    }
}
