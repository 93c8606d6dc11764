//! `resume`: goes on with a run.

use clap_complete::engine::ArgValueCompleter;

use super::complete;
use super::confirm::say_target;
use super::context::Context;
use super::drive::{Drive, drive};
use super::exit_code::{self, Asked};
use super::failure::Failure;
use super::run::detach;
use super::select;
use crate::app::{App, AppError, Owner, OwnershipError, Stay};
use crate::model::id::RunId;
use crate::model::instruction::Command;
use crate::model::status::RunStatus;
use crate::report::RunView;

/// The arguments of `resume`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Every failed step gets a fresh set of attempts; `retry` gives them to just one.

Examples:
  runsheet resume                  the only open run
  runsheet resume 3fa9c1d2 --watch stay, and take up whatever becomes due
  runsheet resume --detach         the same in the background")]
pub struct Args {
    /// The run [default: the only open one]
    #[arg(value_name = "RUN", add = ArgValueCompleter::new(complete::open_runs))]
    run: Option<String>,
    /// Stay with the run while it waits for people and times too
    #[arg(long)]
    watch: bool,
    /// Wait for locks that another run holds, instead of refusing
    #[arg(short, long)]
    wait: bool,
    /// Leave the run to a background process, which stays with it, and return once it has it
    #[arg(short, long, conflicts_with_all = ["watch", "wait"])]
    detach: bool,
}

/// Goes on with a run.
///
/// # Errors
/// When it is another process's, has ended, or cannot be driven.
pub fn run(cx: &Context, args: Args) -> Result<u8, Failure> {
    let app = cx.app()?;
    let run = select::open_one(&app, args.run.as_deref())?;
    refuse_owned(&app, run)?;
    let view = cx.view(&app, run)?;
    let status = view.status();
    if status.is_finished() {
        let again = format!("start a new one: `runsheet run {}`", view.playbook());
        return Err(Failure::new(exit_code::REFUSED, format!("run {} is {status}: there is nothing left to do", run.short())).hint(again));
    }
    if status == RunStatus::Stuck {
        let what = format!("run {} is stuck: what could not be taken back needs an operator", run.short());
        return Err(
            Failure::new(exit_code::STUCK, what).hint(format!("`runsheet status {}` shows what is left, and what to type", run.short()))
        );
    }
    select::refuse_gone(&app, run)?;
    say_target(cx, &view);
    if args.detach {
        return detach(cx, &app, run, view.playbook());
    }
    let stay = if args.watch { Stay::Always } else { Stay::WhileItGoesOn };
    // A run that nobody has had yet is begun: that needs no word.
    let command = view.owner().is_some().then_some((Command::Resume, None));
    let asked = if is_asked_back(&view) { Asked::Back } else { Asked::Forward };
    drive(cx, &app, view, Drive { command, asked, stay, wait: args.wait })
}

/// Whether what is gone on with is a rollback that somebody asked for.
fn is_asked_back(view: &RunView) -> bool {
    let asked = |command: &Command| matches!(command, Command::Rollback { .. } | Command::Cancel { rollback: true });
    view.rollback().is_some_and(|rollback| !rollback.ended)
        && view.instructions().any(|told| told.refused.is_none() && asked(&told.command))
}

/// That another process has the run, before anything of it is read or asked.
fn refuse_owned(app: &App, run: RunId) -> Result<(), Failure> {
    match app.owner(run)? {
        Owner::Nobody => Ok(()),
        Owner::Unnamed => Err(AppError::from(OwnershipError::Owned { run, owner: None }).into()),
        Owner::Process(owner) => Err(AppError::from(OwnershipError::Owned { run, owner: Some(owner) }).into()),
    }
}
