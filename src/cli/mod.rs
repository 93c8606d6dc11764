//! The command line: a file for each command, exit codes.
//!
//! Architecture invariant: what runs and plays is in `app`; here is only what people type and see. A question starts no runtime and no client.

mod actions;
mod answer;
mod args;
mod ask;
mod cancel;
mod complete;
mod confirm;
mod context;
mod crash;
mod doctor;
mod drive;
mod environment;
pub mod exit_code;
mod failure;
mod instruct;
mod list;
mod logs;
mod output;
mod plugin;
mod resume;
mod rollback;
mod run;
mod runs;
mod sandbox;
mod schema;
mod select;
mod show;
mod status;
mod usage;
mod validate;
mod watch;

use std::process::ExitCode;

use clap::{CommandFactory, Parser};

use args::{Cli, Command};
use context::Context;
use failure::Failure;
use output::{Format, Output};

/// Runs the command line.
pub fn main() -> ExitCode {
    // A shell's script asks for candidates; answered, the process ends there.
    clap_complete::CompleteEnv::with_factory(Cli::command).var(complete::VARIABLE).complete();
    crash::install();
    log();
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return ExitCode::from(wrong(&error)),
    };
    cli.globals.color.install();
    let cx = Context::new(cli.globals);
    let code = match crash::caught(|| dispatch(&cx, cli.command)) {
        Ok(code) => code,
        Err(failure) => {
            tell(&cx.output, &failure);
            failure.code
        }
    };
    let lost = output::is_lost() && code == exit_code::SUCCEEDED;
    ExitCode::from(if lost { exit_code::FAILED } else { code })
}

fn dispatch(cx: &Context, command: Command) -> Result<u8, Failure> {
    match command {
        Command::List => list::run(cx),
        Command::Show(args) => show::run(cx, args),
        Command::Logs(args) => logs::run(cx, args),
        Command::Validate(args) => validate::run(cx, args),
        Command::Schema(args) => schema::run(cx, &args),
        Command::Actions(args) => actions::run(cx, args),
        Command::Completions(args) => complete::run(&args),
        Command::Run(args) => run::run(cx, args),
        Command::Resume(args) => resume::run(cx, args),
        Command::Runs(args) => runs::run(cx, args),
        Command::Status(args) => status::run(cx, args),
        Command::Approve(args) => answer::approve(cx, args),
        Command::Reject(args) => answer::reject(cx, args),
        Command::Retry(args) => answer::retry(cx, args),
        Command::Skip(args) => answer::skip(cx, args),
        Command::MarkDone(args) => answer::mark_done(cx, args),
        Command::Rollback(args) => rollback::run(cx, args),
        Command::Cancel(args) => cancel::run(cx, args),
        Command::Doctor(args) => doctor::run(cx, args),
        Command::Environment(command) => environment::run(cx, command),
        Command::Plugin(command) => plugin::run(cx, command),
        Command::Sandbox(command) => sandbox::run(cx, command),
    }
}

/// A failure, in the form that was asked for.
fn tell(output: &Output, failure: &Failure) {
    if output.is_text() {
        output.note(&failure.text(&output.err));
    } else {
        output.json(&failure.json());
    }
}

/// A command line that could not be parsed; gives the exit code.
fn wrong(error: &clap::Error) -> u8 {
    match usage::failure(error) {
        Some(failure) => {
            tell(&Output::new(format_of_args()), &failure);
            failure.code
        }
        None => {
            let asked = error.exit_code() == 0;
            let _ = error.print();
            if asked { exit_code::SUCCEEDED } else { exit_code::USAGE }
        }
    }
}

/// The form that a command line asks for which cannot be parsed.
fn format_of_args() -> Format {
    let args: Vec<String> = std::env::args().collect();
    let asked = |format: &str| {
        args.iter().any(|arg| *arg == format!("-o{format}") || *arg == format!("--output={format}"))
            || args.windows(2).any(|pair| matches!(pair[0].as_str(), "-o" | "--output") && pair[1] == format)
    };
    match (asked("json"), asked("jsonl")) {
        (true, _) => Format::Json,
        (_, true) => Format::Jsonl,
        _ => Format::Text,
    }
}

/// What RUNSHEET_LOG asks for (`debug`, `runsheet::engine=trace`) goes to standard error; nothing by default.
fn log() {
    let Ok(filter) = tracing_subscriber::EnvFilter::try_from_env("RUNSHEET_LOG") else { return };
    // Only a second subscriber is refused, and there is none.
    let _ = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).try_init();
}
