//! `completions`, and what completes in the shell: names of playbooks and actions, ids of runs, steps.
//!
//! Must not: print, fail or take long: whoever presses Tab wants an answer or nothing.

use std::ffi::OsStr;

use clap_complete::engine::CompletionCandidate;
use clap_complete::env::Shells;

use super::exit_code;
use super::failure::Failure;
use crate::app::{App, Filter, Locations};
use crate::report::RunView;

/// The variable by which a shell's script asks for completions.
pub const VARIABLE: &str = "COMPLETE";

/// How many runs are offered.
const RUNS: u32 = 50;

/// The arguments of `completions`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  source <(runsheet completions bash)                                     in ~/.bashrc
  source <(runsheet completions zsh)                                      in ~/.zshrc
  runsheet completions fish > ~/.config/fish/completions/runsheet.fish")]
pub struct Args {
    /// bash, elvish, fish, powershell or zsh
    #[arg(value_name = "SHELL", value_parser = clap::builder::PossibleValuesParser::new(["bash", "elvish", "fish", "powershell", "zsh"]))]
    shell: String,
}

/// Prints the script that a shell reads once.
///
/// # Errors
/// When it cannot be written.
pub fn run(args: &Args) -> Result<u8, Failure> {
    let failed = |why: String| Failure::usage(format!("no completions for {}: {why}", args.shell));
    let shells = Shells::builtins();
    let shell = shells.completer(&args.shell).ok_or_else(|| failed("this shell is not known".to_owned()))?;
    let mut script = Vec::new();
    shell.write_registration(VARIABLE, "runsheet", "runsheet", "runsheet", &mut script).map_err(|error| failed(error.to_string()))?;
    super::output::write_out(String::from_utf8_lossy(&script).trim_end());
    Ok(exit_code::SUCCEEDED)
}

/// The playbooks of the root.
pub fn playbooks(typed: &OsStr) -> Vec<CompletionCandidate> {
    let listed = app().and_then(|app| app.list().ok()).unwrap_or_default();
    fitting(typed, listed.into_iter().map(|listed| (listed.name, listed.summary)))
}

/// The environments of the root, and the sandbox.
pub fn environments(typed: &OsStr) -> Vec<CompletionCandidate> {
    let listed = app().and_then(|app| app.list_environments().ok()).unwrap_or_default();
    fitting(typed, listed.into_iter().map(|one| (one.name, one.summary)))
}

/// The actions.
pub fn actions(typed: &OsStr) -> Vec<CompletionCandidate> {
    let Ok(catalogue) = app().map_or_else(crate::app::catalogue, |app| app.catalogue()) else { return Vec::new() };
    fitting(typed, catalogue.iter().map(|entry| (entry.name.clone(), entry.summary.clone())))
}

/// The plugins of the root.
pub fn plugins(typed: &OsStr) -> Vec<CompletionCandidate> {
    let shown = app().and_then(|app| app.list_plugins().ok()).unwrap_or_default();
    fitting(typed, shown.into_iter().map(|plugin| (plugin.name, plugin.summary)))
}

/// The latest runs.
pub fn runs(typed: &OsStr) -> Vec<CompletionCandidate> {
    of_runs(typed, &Filter::default())
}

/// The runs that have not ended.
pub fn open_runs(typed: &OsStr) -> Vec<CompletionCandidate> {
    of_runs(typed, &Filter { open: true, ..Filter::default() })
}

/// The steps of the only open run, else of the latest, or of the run on the command line.
pub fn steps(typed: &OsStr) -> Vec<CompletionCandidate> {
    fitting(typed, step_words().unwrap_or_default().into_iter())
}

/// What may stand first where a run may be left out: steps and runs.
pub fn steps_or_runs(typed: &OsStr) -> Vec<CompletionCandidate> {
    let mut all = steps(typed);
    all.extend(open_runs(typed));
    all
}

fn of_runs(typed: &OsStr, filter: &Filter) -> Vec<CompletionCandidate> {
    let listed = app().and_then(|app| app.runs(RUNS, filter).ok()).unwrap_or_default();
    fitting(typed, listed.runs.into_iter().map(|run| (run.run.short(), format!("{} {}", run.playbook, run.status))))
}

fn step_words() -> Option<Vec<(String, String)>> {
    let app = app()?;
    let words: Vec<String> = std::env::args().collect();
    let named = words.iter().filter(|word| word.len() >= 8).find_map(|word| app.find_run(word).ok());
    let run = match named {
        Some(run) => run,
        None => super::select::for_question(&app, None).ok()?,
    };
    let records = app.records(run).ok()?;
    let definition = app.definition_of(&records).ok()?;
    let mut view = RunView::new(run).with_definition(&definition);
    records.iter().for_each(|record| view.apply(record));
    Some(view.steps().map(|step| (step.path.to_string(), step.status.to_string())).collect())
}

fn fitting(typed: &OsStr, all: impl Iterator<Item = (String, String)>) -> Vec<CompletionCandidate> {
    let typed = typed.to_string_lossy();
    all.filter(|(word, _)| word.starts_with(typed.as_ref()))
        .map(|(word, help)| CompletionCandidate::new(word).help(Some(help.into())))
        .collect()
}

/// The app where the command line, the environment or the current folder says.
fn app() -> Option<App> {
    let words: Vec<std::ffi::OsString> = std::env::args_os().collect();
    let after = |option: &str| words.windows(2).find(|pair| pair[0] == option).map(|pair| pair[1].clone());
    let root = after("--root").or_else(|| std::env::var_os("RUNSHEET_ROOT")).filter(|root| !root.is_empty());
    let state = after("--state").or_else(|| std::env::var_os("RUNSHEET_STATE")).filter(|state| !state.is_empty());
    let here = std::env::current_dir().ok()?;
    Locations::find(root.as_deref().map(std::path::Path::new), state.as_deref().map(std::path::Path::new), &here).ok().map(App::new)
}
