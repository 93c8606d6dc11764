//! `cancel`: ends a run.

use clap_complete::engine::ArgValueCompleter;

use super::complete;
use super::confirm::{confirm_back, say_target};
use super::context::Context;
use super::exit_code::Asked;
use super::failure::Failure;
use super::instruct::instruct;
use super::rollback::preview;
use super::select;
use crate::model::instruction::Command;

/// The arguments of `cancel`.
#[derive(Debug, clap::Args)]
#[command(after_help = "What runs is let finish; what was done is kept and listed, or taken back with --rollback.")]
pub struct Args {
    /// The run [default: the only open one]
    #[arg(value_name = "RUN", add = ArgValueCompleter::new(complete::open_runs))]
    run: Option<String>,
    /// Take back what ran
    #[arg(long)]
    rollback: bool,
    /// Why; it is kept with the run
    #[arg(short, long, value_name = "TEXT")]
    reason: Option<String>,
    /// Confirm --rollback outside the sandbox by the name of the run's environment
    #[arg(long, value_name = "ENVIRONMENT", requires = "rollback", add = ArgValueCompleter::new(complete::environments))]
    confirm: Option<String>,
}

/// Ends a run.
///
/// # Errors
/// When it is not confirmed, or the run refuses.
pub fn run(cx: &Context, args: Args) -> Result<u8, Failure> {
    let app = cx.app()?;
    let run = select::open_one(&app, args.run.as_deref())?;
    let view = cx.view(&app, run)?;
    if !view.status().is_finished() {
        select::refuse_gone(&app, run)?;
    }
    let asked = if args.rollback {
        preview(cx, &view, &[]);
        say_target(cx, &view);
        let asked = format!("End run {} and take back what it did", run.short());
        confirm_back(cx, &app, &view, &asked, args.confirm.as_deref())?;
        Asked::Back
    } else {
        Asked::Cancel
    };
    instruct(cx, &app, view, Command::Cancel { rollback: args.rollback }, args.reason, asked)
}
