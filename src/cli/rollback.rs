//! `rollback`: takes back what a run did, or some steps of it.

use clap_complete::engine::ArgValueCompleter;

use super::complete;
use super::confirm::{acts_on, say_target};
use super::context::Context;
use super::exit_code::Asked;
use super::failure::Failure;
use super::instruct::instruct;
use super::{ask, select};
use crate::model::id::StepPath;
use crate::model::instruction::Command;
use crate::report::{Role, RunView};

/// How many entries the preview lists.
const LISTED: usize = 40;

/// The arguments of `rollback`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Puts back the values that were there before the run. What somebody else changed meanwhile is left alone, and the run is stuck until an operator decides.

Examples:
  runsheet rollback                          what the only open run did, else the latest that owes something
  runsheet rollback 3fa9c1d2 --only scale    just that step; what needs it has to be named too")]
pub struct Args {
    /// The run [default: the only open one that owes something, else the latest that does]
    #[arg(value_name = "RUN", add = ArgValueCompleter::new(complete::runs))]
    run: Option<String>,
    /// Only this step; may be given several times
    #[arg(long, value_name = "STEP", add = ArgValueCompleter::new(complete::steps))]
    only: Vec<String>,
    /// Why; it is kept with the run
    #[arg(short, long, value_name = "TEXT")]
    reason: Option<String>,
}

/// Takes back what a run did.
///
/// # Errors
/// When it is not confirmed, or the run refuses.
pub fn run(cx: &Context, args: Args) -> Result<u8, Failure> {
    let app = cx.app()?;
    let run = select::to_take_back(cx, &app, args.run.as_deref())?;
    let view = cx.view(&app, run)?;
    preview(cx, &view, &args.only);
    say_target(cx, &view);
    ask::confirm(cx, &format!("Take this back (run {} of {}{})?", run.short(), view.playbook(), environment(&view)))?;
    let only: Vec<StepPath> = args.only.iter().map(|step| StepPath::from(step.as_str())).collect();
    instruct(cx, &app, view, Command::Rollback { only }, args.reason, Asked::Back)
}

/// ` on staging`; nothing for the sandbox. Which cluster that is stands above the question, where it can be read in one piece.
pub fn environment(view: &RunView) -> String {
    acts_on(view).and(view.environment()).map(|name| format!(" on {name}")).unwrap_or_default()
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
        owed.iter().take(LISTED).for_each(|owed| cx.output.note(&format!("  {}", owed.in_words())));
        if owed.len() > LISTED {
            cx.output.note(&format!("  … {} more", owed.len() - LISTED));
        }
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
