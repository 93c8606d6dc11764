//! `runsheet list` beside `sqlite3 FILE 'select 1'`: what starting the program costs.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::measure::{Failed, Wanted, figure, heading, median, say};
use super::scene::{self, Does, Scene, chain};

/// How often each is started.
const TIMES: usize = 41;
/// How many playbooks there are to list.
const PLAYBOOKS: usize = 8;
/// How many times longer `list` may take.
const LIMIT: f64 = 3.0;

/// Starts both in turn.
pub fn measure() -> Result<(), Failed> {
    heading("`runsheet list` beside `sqlite3 FILE 'select 1'`");
    let root = scene::folder()?;
    let playbooks = root.path().join("playbooks");
    std::fs::create_dir(&playbooks)?;
    for nth in 0..PLAYBOOKS {
        let name = format!("playbook-{nth}");
        let text = format!(
            "playbook: {name}\nsummary: One of some\nsteps:\n  - id: first\n    uses: noop\n  - id: second\n    needs: [first]\n    uses: noop\n"
        );
        std::fs::write(playbooks.join(format!("{name}.yaml")), text)?;
    }
    let scene = Scene::new()?;
    scene.create(&chain(10, Does::Noop), 16)?;
    let file = scene.file().to_owned();

    let mut list = Command::new(env!("CARGO_BIN_EXE_runsheet"));
    list.arg("list").arg("--root").arg(root.path()).arg("--state").arg(&file);
    let mut shell = Command::new("sqlite3");
    shell.arg(&file).arg("select 1");
    if let Err(why) = started(&mut list).and(started(&mut shell)) {
        say(&format!("  not measured: {why}"));
        return Ok(());
    }
    let (mut lists, mut shells) = (vec![], vec![]);
    for _ in 0..TIMES {
        shells.push(started(&mut shell)?.as_secs_f64() * 1e3);
        lists.push(started(&mut list)?.as_secs_f64() * 1e3);
    }
    let ratio = median(lists.iter().zip(&shells).map(|(list, shell)| list / shell).collect());
    figure("sqlite3", median(shells), "ms", Wanted::Nothing);
    figure("list", median(lists), "ms", Wanted::Nothing);
    figure(&format!("`list` by `sqlite3` ({TIMES} times each)"), ratio, "", Wanted::AtMost(LIMIT));
    Ok(())
}

/// How long the command took from its start to its end.
fn started(command: &mut Command) -> Result<Duration, Failed> {
    let began = Instant::now();
    let status = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
    let took = began.elapsed();
    let name = command.get_program().to_string_lossy().into_owned();
    match status {
        Ok(status) if status.success() => Ok(took),
        Ok(status) => Err(format!("{name} ended with {status}").into()),
        Err(error) => Err(format!("{name} cannot be started: {error}").into()),
    }
}
