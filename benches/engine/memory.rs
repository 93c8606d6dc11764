//! The most memory that a process holds which does nothing but run 10,000 steps. Each is measured in a process of its own: this bench again.

use std::fmt::Write as _;
use std::process::Command;
use std::sync::Arc;

use runsheet::app::{App, Driving, Locations, Request};
use runsheet::engine::Stay;
use runsheet::model::status::RunStatus;
use runsheet::ports::observer::{Observer, Silent};

use super::chain;
use super::measure::{Failed, Wanted, figure, heading, peak_memory, say};
use super::scene::{self, Does, Scene, chain as definition, id};

/// The argument that makes this bench a process that is measured.
pub const CHILD: &str = "--memory-of";
/// How many steps the run has.
const STEPS: usize = 10_000;
/// The most megabytes.
const LIMIT: f64 = 64.0;

/// What such a process runs.
const KINDS: [(&str, &str); 3] = [
    ("app", "from YAML, as the program does it"),
    ("noop", "the engine alone, `noop`"),
    ("set", "the engine alone, with an observed prior value"),
];

/// Starts one process after the other.
pub fn measure() -> Result<(), Failed> {
    heading(&format!("Peak memory of a {STEPS}-step run in a process of its own"));
    for (kind, what) in KINDS {
        let output = Command::new(std::env::current_exe()?).args([CHILD, kind]).output()?;
        if !output.status.success() {
            say(&format!("  {what}: not measured: {}", String::from_utf8_lossy(&output.stderr).trim()));
            continue;
        }
        let megabytes: f64 = String::from_utf8(output.stdout)?.trim().parse()?;
        figure(what, megabytes, "MB", Wanted::AtMost(LIMIT));
    }
    Ok(())
}

/// In the process: runs, and prints the peak.
pub fn child(kind: &str) -> Result<(), Failed> {
    match kind {
        "app" => from_yaml()?,
        "noop" => alone(Does::Noop)?,
        "set" => alone(Does::Set)?,
        _ => return Err(format!("there is no such thing to measure as {kind}").into()),
    }
    say(&format!("{:.2}", peak_memory()?));
    Ok(())
}

fn alone(does: Does) -> Result<(), Failed> {
    let scene = Scene::new()?;
    // A process that runs knows the definition from the store alone.
    let run = scene.create(&definition(STEPS, does), 16)?;
    chain::drive(&scene, run, Arc::new(Silent))
}

fn from_yaml() -> Result<(), Failed> {
    let folder = scene::folder()?;
    let mut text = "playbook: long\nsummary: A long chain\nsteps:\n".to_owned();
    for step in 0..STEPS {
        write!(text, "  - id: {}\n    uses: noop\n", id(step))?;
        if let Some(before) = step.checked_sub(1) {
            writeln!(text, "    needs: [{}]", id(before))?;
        }
    }
    let playbooks = folder.path().join("playbooks");
    std::fs::create_dir(&playbooks)?;
    std::fs::write(playbooks.join("long.yaml"), text)?;
    let app = App::new(Locations { root: folder.path().to_owned(), state: folder.path().join("state").join("runsheet.db") });
    let request = Request { playbook: "long".to_owned(), params: Default::default(), environment: None, max_parallel: 16 };
    let run = {
        let prepared = app.prepare(&request)?;
        app.create(&prepared)?
    };
    let observer: Arc<dyn Observer> = Arc::new(Silent);
    let driving = Driving {
        observer,
        stay: Stay::WhileItGoesOn,
        wait_for_locks: false,
        commands: vec![],
        warn: std::sync::Arc::new(|_: &str| {}),
        stop: None,
    };
    match app.drive(run, driving)?.status {
        RunStatus::Succeeded => Ok(()),
        status => Err(format!("the run ended {}", status.as_str()).into()),
    }
}
