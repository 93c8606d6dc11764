//! `logs`: what happened in a run, line by line, and what a step printed.

use clap_complete::engine::ArgValueCompleter;
use serde_json::json;

use super::context::Context;
use super::failure::Failure;
use super::output::{Format, write_out};
use super::status::{PAGE, wait_for_more};
use super::watch::print_event;
use super::{complete, exit_code, select};
use crate::app::{App, tail};
use crate::model::event::Record;
use crate::model::id::{RunId, StepPath};
use crate::report::{RunView, Style, event_json, lines};

/// The most that is printed of one file, in bytes: its end.
const TAIL: u64 = 1 << 20;

/// The arguments of `logs`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  runsheet logs                    the events of the only open run, else of the latest
  runsheet logs 3fa9c1d2 warm      those of one step, and what it printed
  runsheet logs --follow           as they happen")]
pub struct Args {
    /// The run, or a playbook: its latest [default: the only open one, else the latest]
    #[arg(value_name = "RUN", add = ArgValueCompleter::new(complete::runs))]
    run: Option<String>,
    /// Only this step, with what it printed
    #[arg(value_name = "STEP", add = ArgValueCompleter::new(complete::steps))]
    step: Option<String>,
    /// Go on as long as a process works on the run
    #[arg(short, long)]
    follow: bool,
}

/// Prints what happened.
///
/// # Errors
/// When there is no such run or step, or it cannot be read.
pub fn run(cx: &Context, args: Args) -> Result<u8, Failure> {
    let app = cx.app()?;
    let run = select::for_question(&app, args.run.as_deref())?;
    let records = app.records(run)?;
    let definition = app.definition_of(&records)?;
    let mut logs = Logs {
        cx,
        run,
        view: RunView::new(run).with_definition(&definition),
        step: args.step.as_deref().map(StepPath::from),
        documents: Vec::new(),
    };
    logs.print(&records);
    if let Some(step) = args.step.as_deref().filter(|step| logs.view.step(step).is_none()) {
        return Err(
            Failure::usage(format!("run {} has no step {step}", run.short())).hint(format!("`runsheet status {}` lists them", run.short()))
        );
    }
    if args.follow {
        let mut seq = logs.view.seq();
        while wait_for_more(&app, run, seq)? {
            let more = app.records_after(run, seq, PAGE)?;
            logs.print(&more);
            seq = logs.view.seq();
        }
    }
    logs.end(&app)?;
    Ok(exit_code::SUCCEEDED)
}

struct Logs<'a> {
    cx: &'a Context,
    run: RunId,
    view: RunView,
    step: Option<StepPath>,
    documents: Vec<serde_json::Value>,
}

impl Logs<'_> {
    fn print(&mut self, records: &[Record]) {
        let style = Style { now: jiff::Timestamp::now(), ..self.cx.output.out.clone() };
        for record in records {
            self.view.apply(record);
            if !self.wanted(record) {
                continue;
            }
            match self.cx.output.format {
                Format::Text => lines::line(&self.view, record, &style).iter().for_each(|line| write_out(line)),
                Format::Jsonl => print_event(self.run, record),
                Format::Json => self.documents.push(event_json(record)),
            }
        }
    }

    /// Whether an event is of the step that was asked for, or beneath it.
    fn wanted(&self, record: &Record) -> bool {
        let Some(wanted) = &self.step else { return true };
        let beneath = |path: &StepPath| {
            path.as_str()
                .strip_prefix(wanted.as_str())
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('/') || rest.starts_with('['))
        };
        record.event.step().is_some_and(beneath)
    }

    /// The step's files, after its events.
    fn end(self, app: &App) -> Result<(), Failure> {
        let mut files = Vec::new();
        for file in self.step.iter().flat_map(|step| app.step_files(self.run, step)) {
            let (text, cut) = tail(&file, TAIL).map_err(|error| {
                Failure::new(exit_code::FAILED, format!("what the step printed cannot be read: {error}"))
                    .place(file.path.display().to_string())
                    .hint("check the file's permissions")
            })?;
            match self.cx.output.format {
                Format::Text => {
                    let end = if cut { ", its end" } else { "" };
                    write_out(&format!("\n==> {} ({} bytes{end})", file.path.display(), file.size));
                    text.lines().for_each(|line| write_out(&crate::report::text::clean(line)));
                }
                Format::Json | Format::Jsonl => files.push(json!({ "path": file.path, "size": file.size, "cut": cut, "text": text })),
            }
        }
        match self.cx.output.format {
            Format::Text => {}
            Format::Json => self.cx.output.json(&json!({ "run": self.run, "step": self.step, "events": self.documents, "files": files })),
            Format::Jsonl => files.iter().for_each(|file| self.cx.output.json(file)),
        }
        Ok(())
    }
}
