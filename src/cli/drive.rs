//! Drives a run in this process, shows it, and says how it ended.

use std::sync::{Arc, Mutex, PoisonError};

use serde_json::json;

use super::context::Context;
use super::exit_code::{self, Asked, Ending, exit_code};
use super::failure::Failure;
use super::output::{Format, write_err};
use super::watch::Watch;
use crate::app::{App, Driving, Stay};
use crate::model::instruction::Command;
use crate::model::status::{RunStatus, StepStatus};
use crate::report::text::clean;
use crate::report::{Role, RunView, status_json, summary};

/// How many warnings of what people could not be told are printed.
const UNTOLD: usize = 20;

/// How a run is driven.
pub struct Drive {
    /// What it is told first, with the reason.
    pub command: Option<(Command, Option<String>)>,
    /// What for.
    pub asked: Asked,
    /// How long to stay with it.
    pub stay: Stay,
    /// Wait for locks that others hold.
    pub wait: bool,
}

impl Drive {
    /// Told this, stayed with while it goes on.
    pub fn told(command: Command, reason: Option<String>, asked: Asked) -> Self {
        Self { command: Some((command, reason)), asked, stay: Stay::WhileItGoesOn, wait: false }
    }
}

/// Drives the run until there is nothing left to do or to stay for, prints how it ended, and gives the exit code. `view`: the run as it stands.
///
/// # Errors
/// When it cannot be driven, or refuses what it is told.
pub fn drive(cx: &Context, app: &App, mut view: RunView, how: Drive) -> Result<u8, Failure> {
    let run = view.run();
    // This process works on it from now on.
    view.set_owner_alive(true);
    let watch = Watch::start(cx, view);
    // Where there is a frame, said once it is gone; else at once.
    let untold: Arc<Mutex<Vec<String>>> = Arc::default();
    let at_once = !matches!(*watch, Watch::Live(_));
    let warning = cx.output.err.paint(Role::Attention, "warning:");
    let driving = Driving {
        observer: watch.clone(),
        stay: how.stay,
        wait_for_locks: how.wait,
        commands: how.command.iter().cloned().collect(),
        warn: {
            let (untold, warning) = (Arc::clone(&untold), warning.clone());
            Arc::new(move |what: &str| {
                let mut untold = untold.lock().unwrap_or_else(PoisonError::into_inner);
                if untold.len() < UNTOLD {
                    if at_once {
                        write_err(&format!("{warning} {}", clean(what)));
                    }
                    untold.push(what.to_owned());
                }
            })
        },
        stop: None,
    };
    let driven = app.drive(run, driving);
    let mut view = watch.finish();
    for what in untold.lock().unwrap_or_else(PoisonError::into_inner).iter().filter(|_| !at_once) {
        cx.output.note(&format!("{warning} {}", clean(what)));
    }
    let ended = driven?;
    // This process is about to end: nobody works on the run then.
    view.set_owner_alive(false);
    let refused = how.command.as_ref().and_then(|(command, _)| {
        // It was told after all that the records held before, so that the last of its kind is its own.
        view.instructions().filter(|told| told.command == *command).last()?.refused.clone()
    });
    if let Some(why) = refused {
        let code = if view.status() == RunStatus::Stuck { exit_code::STUCK } else { exit_code::REFUSED };
        return Err(Failure::new(code, why).hint(format!("`runsheet status {}` shows where the run stands", run.short())));
    }
    let rolled_back = view.rollback().is_some_and(|rollback| rollback.ended);
    let failed = view.with_status(StepStatus::Failed).next().is_some();
    let code = exit_code(Ending::new(&ended, failed, rolled_back), how.asked);
    end(cx, &view, code);
    Ok(code)
}

/// Prints how a run ended.
fn end(cx: &Context, view: &RunView, code: u8) {
    match cx.output.format {
        Format::Text => cx.output.page(&summary(view, &now(cx))),
        Format::Json => {
            let mut document = status_json(view);
            document["exit_code"] = code.into();
            cx.output.json(&document);
        }
        Format::Jsonl => cx.output.json(&json!({ "run": view.run(), "kind": "ended", "status": view.status(), "exit_code": code })),
    }
}

fn now(cx: &Context) -> crate::report::Style {
    crate::report::Style { now: jiff::Timestamp::now(), ..cx.output.out.clone() }
}
