//! `rollback`: takes back what a run did, or some steps of it.

use clap_complete::engine::ArgValueCompleter;
use serde_json::json;

use super::complete;
use super::confirm::{confirm_back, say_target};
use super::context::Context;
use super::exit_code::{self, Asked};
use super::failure::Failure;
use super::instruct::instruct;
use super::select;
use crate::app::App;
use crate::model::id::StepPath;
use crate::model::instruction::Command;
use crate::report::{Role, RunView};

/// How many entries the preview lists.
const LISTED: usize = 40;

/// The arguments of `rollback`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Puts back the values that were there before the run. What somebody else changed meanwhile is left alone, and the run is stuck until an operator decides.

Where the environment wants its runs confirmed by its name, so is this: typed, or with --confirm; --yes is not enough there.

Examples:
  runsheet rollback                          what the only open run did, else what was changed last; nothing, where nothing is owed
  runsheet rollback 3fa9c1d2 --only scale    just that step; what needs it has to be named too")]
pub struct Args {
    /// The run [default: the only open one that owes something, else the one whose changes are the latest]
    #[arg(value_name = "RUN", add = ArgValueCompleter::new(complete::runs))]
    run: Option<String>,
    /// Only this step; may be given several times
    #[arg(long, value_name = "STEP", add = ArgValueCompleter::new(complete::steps))]
    only: Vec<String>,
    /// Why; it is kept with the run
    #[arg(short, long, value_name = "TEXT")]
    reason: Option<String>,
    /// Confirm outside the sandbox by the name of the run's environment
    #[arg(long, value_name = "ENVIRONMENT", add = ArgValueCompleter::new(complete::environments))]
    confirm: Option<String>,
}

/// Takes back what a run did.
///
/// # Errors
/// When it is not confirmed, or the run refuses.
pub fn run(cx: &Context, args: Args) -> Result<u8, Failure> {
    let app = cx.app()?;
    let Some(view) = select::to_take_back(cx, &app, args.run.as_deref())? else { return nothing_owed(cx, &app) };
    preview(cx, &view, &args.only);
    say_target(cx, &view);
    let asked = format!("Take this back (run {} of {})", view.run().short(), view.playbook());
    confirm_back(cx, &app, &view, &asked, args.confirm.as_deref())?;
    let only: Vec<StepPath> = args.only.iter().map(|step| StepPath::from(step.as_str())).collect();
    instruct(cx, &app, view, Command::Rollback { only }, args.reason, Asked::Back)
}

/// Says that there is nothing to take back.
fn nothing_owed(cx: &Context, app: &App) -> Result<u8, Failure> {
    if cx.output.is_text() {
        let open = select::open(app)?.len();
        let mut said = "no run owes anything: nothing was done".to_owned();
        if open > 0 {
            let runs = if open == 1 { "1 run is open".to_owned() } else { format!("{open} runs are open") };
            said.push_str(&format!("\n{runs}: `runsheet cancel RUN` ends one, `runsheet rollback RUN` too"));
        }
        cx.output.page(&said);
    } else {
        cx.output.json(&json!({ "run": null, "owed": [] }));
    }
    Ok(exit_code::SUCCEEDED)
}

/// Shows on standard error what would be taken back, and what stays.
pub fn preview(cx: &Context, view: &RunView, only: &[String]) {
    let style = &cx.output.err;
    let within = |path: &StepPath| {
        only.is_empty()
            || only.iter().any(|step| {
                path.as_str()
                    .strip_prefix(step.as_str())
                    .is_some_and(|rest| rest.is_empty() || rest.starts_with('/') || rest.starts_with('['))
            })
    };
    let owed: Vec<_> = view.owed().into_iter().filter(|owed| owed.steps.iter().any(within)).collect();
    if owed.is_empty() {
        cx.output.note(&format!("Run {} of {} owes nothing that can be put back.", view.run().short(), view.playbook()));
    } else {
        let title = format!("Run {} of {} would put back:", view.run().short(), view.playbook());
        cx.output.note(&style.paint(Role::Strong, &title));
        // What was changed last goes back first.
        owed.iter().rev().take(LISTED).for_each(|owed| cx.output.note(&format!("  {}", owed.in_words())));
        if owed.len() > LISTED {
            cx.output.note(&format!("  … {} more", owed.len() - LISTED));
        }
    }
    let notes: Vec<_> = view.notes().filter(|(step, _)| within(&step.path)).collect();
    if !notes.is_empty() {
        cx.output.note(&style.paint(Role::Strong, "Notes:"));
        notes.iter().take(LISTED).for_each(|(step, says)| cx.output.note(&format!("  {}: {says}", step.path)));
    }
    let lasting: Vec<_> = view.lasting().filter(|(step, _)| within(&step.path)).collect();
    if !lasting.is_empty() {
        cx.output.note(&style.paint(Role::Strong, "It would keep, as nothing can take it back:"));
        lasting.iter().take(LISTED).for_each(|(step, why)| cx.output.note(&format!("  {}: {why}", step.path)));
        if lasting.len() > LISTED {
            cx.output.note(&format!("  … {} more", lasting.len() - LISTED));
        }
    }
}
