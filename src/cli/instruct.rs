//! Tells a run what an operator wants: its owner where it has one, else by taking it over.

use serde_json::json;

use super::context::Context;
use super::drive::{Drive, drive};
use super::exit_code::{self, Asked};
use super::failure::Failure;
use crate::app::{App, Owner, Reply, Stay};
use crate::model::instruction::Command;
use crate::report::RunView;

/// Tells the run, and gives the exit code.
///
/// # Errors
/// When the run refuses, or cannot be driven.
pub fn instruct(cx: &Context, app: &App, view: RunView, command: Command, reason: Option<String>, asked: Asked) -> Result<u8, Failure> {
    let run = view.run();
    if app.owner(run)? == Owner::Nobody {
        return drive(cx, app, view, Drive::told(command, reason, asked));
    }
    let name = command.name();
    match app.instruct(run, command, reason)? {
        Reply::Taken => {
            if cx.output.is_text() {
                let follow = format!("runsheet status {} --follow", run.short());
                cx.output.page(&format!("run {} took it: {name}\nfollow it: {follow}", run.short()));
            } else {
                cx.output.json(&json!({ "run": run, "command": name, "reply": "taken" }));
            }
            Ok(exit_code::SUCCEEDED)
        }
        Reply::Refused { why } => {
            Err(Failure::new(exit_code::REFUSED, why).hint(format!("`runsheet status {}` shows where the run stands", run.short())))
        }
        Reply::NoAnswer if app.owner(run)? == Owner::Nobody => {
            // Its owner has gone meanwhile; the instruction lies in the inbox, and is taken up with the run.
            let view = cx.view(app, run)?;
            drive(cx, app, view, Drive { command: None, asked, stay: Stay::WhileItGoesOn, wait: false })
        }
        Reply::NoAnswer => {
            Err(Failure::new(exit_code::WAITING, format!("run {} has not answered yet: {name} lies in its inbox", run.short()))
                .hint(format!("do not send it again; `runsheet status {}` shows whether it was taken", run.short())))
        }
    }
}
