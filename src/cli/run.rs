//! `run`: starts a run, and watches it or leaves it to the background.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use clap_complete::engine::ArgValueCompleter;
use serde_json::{Value, json};

use super::complete;
use super::confirm::confirm_run;
use super::context::Context;
use super::drive::{Drive, drive};
use super::exit_code::{self, Asked};
use super::failure::Failure;
use super::output::Format;
use super::watch::print_event;
use crate::app::{App, Filter, Owner, Request, Stay, without_number};
use crate::model::id::RunId;
use crate::model::preview::Preview;
use crate::report::{Role, text};

/// How many runs, or objects of one, a warning names.
const NAMED: usize = 5;

/// The arguments of `run`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  runsheet run pre-event -p event_id=0190a6c4-7b3e-7c21-9f10-3f6d2b8c5a11 -p level=high
  runsheet run pre-event --params-file event.json --detach
  runsheet run pre-event --params-file event.json --env staging --confirm staging -o jsonl

Before a run outside the sandbox starts, it is shown what will be touched, and that has to be confirmed: with a yes (--yes) or, where the environment \
wants it, with the environment's name (--confirm). Nothing is recorded before.")]
pub struct Args {
    /// The playbook's name, as `list` shows it
    #[arg(value_name = "PLAYBOOK", add = ArgValueCompleter::new(complete::playbooks))]
    playbook: String,
    /// A parameter; may be given several times
    #[arg(short, long = "param", value_name = "NAME=VALUE", value_parser = pair)]
    params: Vec<(String, String)>,
    /// A file with parameters, a JSON object; `-p` goes before it
    #[arg(long, value_name = "FILE.json", value_hint = clap::ValueHint::FilePath)]
    params_file: Option<PathBuf>,
    /// The environment to act on [default: the sandbox, while the root has no environment file]
    #[arg(short, long, value_name = "NAME", add = ArgValueCompleter::new(complete::environments))]
    env: Option<String>,
    /// How many steps may be at work at once
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    max_parallel: u32,
    /// Leave the run to a background process, and return once it has it
    #[arg(short, long, conflicts_with_all = ["watch", "wait"])]
    detach: bool,
    /// Wait for locks that another run holds, instead of refusing
    #[arg(short, long)]
    wait: bool,
    /// Stay with the run while it waits for people and times too
    #[arg(long)]
    watch: bool,
    /// Confirm a run outside the sandbox by the name of its environment
    #[arg(long, value_name = "ENVIRONMENT")]
    confirm: Option<String>,
}

/// `NAME=VALUE`
pub(super) fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.trim().is_empty() => Ok((name.trim().to_owned(), value.to_owned())),
        _ => Err("write it as NAME=VALUE".to_owned()),
    }
}

/// Starts a run.
///
/// # Errors
/// When the run cannot be started, or driven.
pub fn run(cx: &Context, args: Args) -> Result<u8, Failure> {
    let app = cx.app()?;
    let mut params = match &args.params_file {
        Some(file) => params_of(file)?,
        None => BTreeMap::new(),
    };
    let mut given = BTreeMap::new();
    for (name, value) in args.params {
        if given.insert(name.clone(), value).is_some() {
            return Err(Failure::usage(format!("parameter `{name}` is given twice")).hint("leave one of them out"));
        }
    }
    params.extend(given);
    let request = Request { playbook: app.name_of(&args.playbook), params, environment: args.env, max_parallel: args.max_parallel };
    let prepared = super::environment::prepare(cx, &app, &request)?;
    let preview = app.preview(&prepared, &request)?;
    app.refuse_impossible(&prepared, &preview)?;
    warn_of_half_done(cx, &app, &preview)?;
    confirm_run(cx, &app, &prepared, &request, args.confirm.as_deref())?;
    let run = app.create(&prepared)?;
    if args.detach {
        return detach(cx, &app, run, &prepared.spec.playbook);
    }
    if cx.output.format == Format::Jsonl {
        app.records(run)?.iter().for_each(|record| print_event(run, record));
    } else {
        cx.output.note(&format!("run {} of {}", run.short(), prepared.spec.playbook));
    }
    let view = cx.view(&app, run)?;
    let stay = if args.watch { Stay::Always } else { Stay::WhileItGoesOn };
    drive(cx, &app, view, Drive { command: None, asked: Asked::Forward, stay, wait: args.wait })
        .map_err(|failure| begun(&app, failure, run))
}

/// Names the runs that are half done on what this one would change.
fn warn_of_half_done(cx: &Context, app: &App, preview: &Preview) -> Result<(), Failure> {
    for (run, objects) in app.half_done(preview)?.into_iter().take(NAMED) {
        let objects: Vec<String> = objects.iter().take(NAMED).map(|object| text::clean(&object.in_words())).collect();
        let word = cx.output.err.paint(Role::Attention, "warning:");
        let (short, objects) = (run.run.short(), objects.join(", "));
        let what = match app.owner(run.run)? {
            Owner::Nobody => format!("is half done on {objects}: resume it or roll it back first"),
            Owner::Process(_) | Owner::Unnamed => {
                format!("is going on, and has changed {objects}: `runsheet status {short} --follow` shows it")
            }
        };
        cx.output.note(&format!("{word} run {short} of {} {what}", run.playbook));
    }
    Ok(())
}

/// What keeps a run from going on, with what to do about the run, which exists by now.
fn begun(app: &App, failure: Failure, run: RunId) -> Failure {
    let short = run.short();
    if !app.locations.state.exists() {
        // It was recorded in a file that is gone.
        return failure;
    }
    let over = app.runs(1, &Filter { run: Some(run), ..Filter::default() });
    if over.is_ok_and(|runs| runs.runs.first().is_some_and(|run| run.status.is_finished())) {
        // It was refused before anything was done, and has ended: there is nothing to go on with.
        return failure;
    }
    let next = format!("the run is recorded: `runsheet resume {short}` goes on with it, `runsheet cancel {short}` ends it");
    let hint = failure.hint.as_ref().map_or_else(|| next.clone(), |hint| format!("{hint}\n{next}"));
    failure.hint(hint)
}

/// Leaves a run to the background.
pub(super) fn detach(cx: &Context, app: &App, run: RunId, playbook: &str) -> Result<u8, Failure> {
    let (pid, log) = app.detach(run).map_err(|error| begun(app, error.into(), run))?;
    let short = run.short();
    if cx.output.is_text() {
        cx.output.page(&format!(
            "run {short} of {playbook} goes on in the background: process {pid}, log {}\nfollow it: runsheet status {short} --follow",
            log.display()
        ));
    } else {
        cx.output.json(&json!({ "run": run, "short_id": short, "playbook": playbook, "pid": pid, "log": log }));
    }
    Ok(exit_code::SUCCEEDED)
}

/// Parameters from a file: an object, whose texts stand as they are and whose other values as JSON.
fn params_of(file: &Path) -> Result<BTreeMap<String, String>, Failure> {
    let wrong = |why: String| {
        Failure::new(exit_code::PLAYBOOK, format!("the parameters' file cannot be used: {why}"))
            .place(file.display().to_string())
            .hint("it holds one JSON object: {\"level\": \"high\"}")
    };
    /// The largest file of parameters that is read.
    const LARGEST: u64 = 4 << 20;
    let unread = |error: std::io::Error| wrong(without_number(&error.to_string()).to_owned());
    let size = std::fs::metadata(file).map_err(unread)?.len();
    if size > LARGEST {
        return Err(wrong(format!("it has {size} bytes, and at most {LARGEST} are read")));
    }
    let text = std::fs::read_to_string(file).map_err(unread)?;
    let value: Value = serde_json::from_str(&text).map_err(|error| wrong(error.to_string()))?;
    let Value::Object(values) = value else { return Err(wrong("it holds no object".to_owned())) };
    let text_of = |value| match value {
        Value::String(text) => text,
        other => other.to_string(),
    };
    Ok(values.into_iter().map(|(name, value)| (name, text_of(value))).collect())
}
