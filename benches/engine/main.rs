//! Whole runs of the engine, each beside what cannot be had for less: raw SQLite on the same disk, in the same process, at the same time.
//!
//! `cargo bench --bench engine` measures everything; `cargo bench --bench engine -- noop resume` these parts. Each figure that is held against
//! one stands beside it, with `met` or `MISSED`. Ratios are medians over short blocks in turn, since disks are not equally fast from second to
//! second. Must not touch anything but temporary folders on the build's own disk.

mod alternating;
mod chain;
mod command_line;
mod fan_out;
mod fields;
mod growth;
mod measure;
mod memory;
mod raw;
mod recording;
mod resume;
mod scene;
mod slices;

use std::process::ExitCode;

use measure::Failed;

/// Measures and prints one part.
type Part = fn() -> Result<(), Failed>;

/// The parts, in the order in which they are measured.
const PARTS: [(&str, Part); 7] = [
    ("noop", chain::noop),
    ("observed", chain::observed),
    ("fan-out", fan_out::measure),
    ("growth", growth::measure),
    ("resume", resume::measure),
    ("memory", memory::measure),
    ("list", command_line::measure),
];

fn main() -> ExitCode {
    // Cargo itself adds `--bench`.
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failed) => complain(&failed.to_string()),
    }
}

#[expect(clippy::print_stderr, reason = "a bench has no other way to say what went wrong")]
fn complain(what: &str) -> ExitCode {
    eprintln!("error: {what}");
    ExitCode::FAILURE
}

fn run(arguments: &[String]) -> Result<(), Failed> {
    if let [flag, kind] = arguments
        && flag == memory::CHILD
    {
        return memory::child(kind);
    }
    if let Some(unknown) = arguments.iter().find(|argument| PARTS.iter().all(|(name, _)| name != argument)) {
        let names: Vec<&str> = PARTS.iter().map(|(name, _)| *name).collect();
        return Err(format!("there is no part `{unknown}`; there are {}", names.join(", ")).into());
    }
    for (name, part) in PARTS {
        if arguments.is_empty() || arguments.iter().any(|argument| argument == name) {
            part()?;
        }
    }
    Ok(())
}
