//! Supervised children, with the real binary as their supervisor: nothing outlives its engine, nothing is lost that was known.
//!
//! Linux only where it looks at `/proc`.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use runsheet::process::{Cause, Ended, Recovered, Request, RunError, StartError, Stream, recover, run, run_until};
use tempfile::TempDir;

const RUNSHEET: &str = env!("CARGO_BIN_EXE_runsheet");
/// Set for the copy of this test binary that plays the engine: the folder of the attempt's files.
const ENGINE: &str = "RUNSHEET_TEST_ENGINE_FILES";

fn shell(files: &Path, script: &str) -> Request {
    let mut request = Request::new(RUNSHEET, "sh", files, 1);
    request.args = vec!["-c".into(), script.into()];
    request.grace = Duration::from_millis(300);
    request
}

fn folder() -> TempDir {
    tempfile::tempdir().unwrap()
}

async fn ended(request: Request) -> Ended {
    run(request, |_, _| {}).await.unwrap()
}

fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !holds() {
        assert!(Instant::now() < deadline, "it never came about that {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Whether a process does anything; a dead one that its parent has not reaped does not.
fn lives(pid: &str) -> bool {
    std::fs::read_to_string(format!("/proc/{}/stat", pid.trim()))
        .is_ok_and(|stat| stat.rsplit_once(')').is_some_and(|(_, rest)| !rest.trim_start().starts_with(['Z', 'X'])))
}

fn pid_in(file: &Path) -> Option<String> {
    std::fs::read_to_string(file).ok().filter(|text| text.ends_with('\n')).map(|text| text.trim().to_owned())
}

fn wait_for_pid(file: &Path) -> String {
    eventually("a process wrote its number", || pid_in(file).is_some());
    pid_in(file).unwrap()
}

fn settled(files: &Path) -> Recovered {
    let mut found = Recovered::StillRunning;
    eventually("the attempt's lock is free", || {
        found = recover(files, 1).unwrap();
        found != Recovered::StillRunning
    });
    found
}

#[tokio::test]
async fn output_is_passed_on_and_kept_and_the_outcome_recorded() {
    let files = folder();
    let mut lines = Vec::new();
    let ended =
        run(shell(files.path(), "echo one; echo two >&2; exit 3"), |stream, line| lines.push((stream, line.to_owned()))).await.unwrap();
    lines.sort_by_key(|(stream, _)| stream.as_str());
    assert_eq!(lines, [(Stream::Stderr, "two".into()), (Stream::Stdout, "one".into())]);
    assert_eq!((ended.code, ended.signal, ended.cause, ended.truncated()), (Some(3), None, Cause::Itself, false));
    assert_eq!((ended.stdout.tail.as_str(), ended.stderr.tail.as_str()), ("one\n", "two\n"));
    assert_eq!(std::fs::read_to_string(files.path().join("attempt-1.stdout")).unwrap(), "one\n");
    assert_eq!(recover(files.path(), 1).unwrap(), Recovered::Ended(Box::new(ended)));
}

#[tokio::test]
async fn a_hundred_megabytes_of_output_stay_bounded() {
    let files = folder();
    let script = "head -c 100000000 /dev/zero | tr '\\0' 'x' | fold -w 1000; grep VmHWM /proc/$PPID/status >&2";
    let mut request = shell(files.path(), script);
    request.capture_limit = 1_000_000;
    request.redactions = vec![("token".into(), "s3cret".into())];
    let (mut lines, mut told) = (0, false);
    let on_line = |_: Stream, line: &str| {
        lines += 1;
        told |= line.contains("came too fast to be shown here");
    };
    let ended = run(request, on_line).await.unwrap();
    assert!(told || lines == 100_001, "lines are missing, and nobody is told: {lines}");
    assert_eq!((ended.code, ended.stdout.kept, ended.truncated()), (Some(0), 1_000_000, true));
    assert!(ended.stdout.bytes > 100_000_000 && !ended.stdout.whole && ended.stdout.tail.len() <= 64 * 1024);
    assert_eq!(std::fs::metadata(files.path().join("attempt-1.stdout")).unwrap().len(), 1_000_000);
    let peak: u64 = ended.stderr.tail.split_whitespace().nth(1).unwrap().parse().unwrap();
    assert!(peak < 64 * 1024, "the supervisor took {peak} KiB");
}

#[tokio::test]
async fn cancelling_ends_even_what_ignores_sigterm() {
    let files = folder();
    let (ready, is_ready) = tokio::sync::oneshot::channel();
    let mut ready = Some(ready);
    let request = shell(files.path(), "trap '' TERM; echo ready; while :; do sleep 0.05; done");
    let on_line = |_: Stream, _: &str| {
        if let Some(ready) = ready.take() {
            ready.send(()).unwrap();
        }
    };
    let ended = run_until(request, on_line, async { is_ready.await.unwrap() }).await.unwrap();
    assert_eq!((ended.signal, ended.cause), (Some(9), Cause::Stopped));
    assert!(ended.duration() >= Duration::from_millis(300));
}

#[tokio::test]
async fn cancelling_asks_first() {
    let files = folder();
    let (ready, is_ready) = tokio::sync::oneshot::channel();
    let mut ready = Some(ready);
    let mut request = shell(files.path(), "trap 'echo bye; exit 7' TERM; echo ready; while :; do sleep 0.05; done");
    request.grace = Duration::from_secs(20);
    let on_line = |_: Stream, _: &str| {
        if let Some(ready) = ready.take() {
            ready.send(()).unwrap();
        }
    };
    let ended = run_until(request, on_line, async { is_ready.await.unwrap() }).await.unwrap();
    assert_eq!((ended.code, ended.cause, ended.stdout.tail.as_str()), (Some(7), Cause::Stopped, "ready\nbye\n"));
}

#[tokio::test]
async fn the_time_is_over() {
    let files = folder();
    let mut request = shell(files.path(), "sleep 1000");
    request.timeout = Some(Duration::from_millis(100));
    let ended = ended(request).await;
    assert_eq!((ended.signal, ended.cause), (Some(15), Cause::Timeout));
}

#[tokio::test]
async fn a_program_killed_from_outside_is_told_by_its_signal() {
    let files = folder();
    let ended = ended(shell(files.path(), "kill -9 $$")).await;
    assert_eq!((ended.code, ended.signal, ended.cause), (None, Some(9), Cause::Itself));
}

#[tokio::test]
async fn a_daemon_with_a_session_of_its_own_is_ended() {
    let files = folder();
    let pid = files.path().join("pid");
    // Detached twice over: another session, its parent gone, no stream of ours, deaf to SIGTERM.
    let script = format!(
        "setsid sh -c 'trap \"\" TERM; sh -c \"echo \\$\\$ >{pid}; while :; do sleep 0.05; done\" & exit 0' </dev/null >/dev/null 2>&1; while [ ! -s {pid} ]; do sleep 0.02; done",
        pid = pid.display()
    );
    let ended = ended(shell(files.path(), &script)).await;
    assert_eq!((ended.code, ended.cause), (Some(0), Cause::Itself));
    assert!(!lives(&pid_in(&pid).unwrap()));
}

#[tokio::test]
async fn what_keeps_the_output_open_after_the_program_has_ended_is_not_waited_for() {
    let files = folder();
    let begun = Instant::now();
    let ended = ended(shell(files.path(), "sleep 1000 & echo $!")).await;
    assert_eq!((ended.code, ended.cause), (Some(0), Cause::Itself));
    assert!(begun.elapsed() < Duration::from_secs(15));
    assert!(!lives(&ended.stdout.tail));
}

#[tokio::test]
async fn the_last_output_of_a_pipeline_is_waited_for() {
    let files = folder();
    let ended = ended(shell(files.path(), "(sleep 0.3; echo late) & exit 0")).await;
    assert_eq!(ended.stdout.tail, "late\n");
}

/// Not a test of its own: what `the_engine_is_killed` kills.
#[tokio::test]
async fn engine_to_be_killed() {
    let Some(files) = std::env::var_os(ENGINE).map(PathBuf::from) else { return };
    let script = format!(
        "trap '' TERM; sh -c 'trap \"\" TERM; echo $$ >{0}/grandchild; while :; do sleep 0.05; done' & echo $$ >{0}/child; echo $PPID >{0}/supervisor; wait",
        files.display()
    );
    let _ = run(shell(&files, &script), |_, _| {}).await;
}

fn start_engine(files: &Path) -> std::process::Child {
    std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "processes::engine_to_be_killed", "--nocapture"])
        .env(ENGINE, files)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

#[test]
fn the_engine_is_killed_and_nothing_of_the_program_is_left() {
    let files = folder();
    let mut engine = start_engine(files.path());
    let pids = ["child", "grandchild", "supervisor"].map(|name| wait_for_pid(&files.path().join(name)));
    assert_eq!(recover(files.path(), 1).unwrap(), Recovered::StillRunning);
    engine.kill().unwrap();
    engine.wait().unwrap();
    let Recovered::Ended(ended) = settled(files.path()) else { panic!("the outcome is known") };
    assert_eq!((ended.signal, ended.cause), (Some(9), Cause::Stopped));
    assert!(!lives(&pids[0]) && !lives(&pids[1]), "the lock is free only when nothing lives");
    eventually("the supervisor has gone", || !lives(&pids[2]));
}

#[test]
fn engine_and_supervisor_are_killed_and_nothing_of_the_program_is_left() {
    let files = folder();
    let mut engine = start_engine(files.path());
    let pids = ["child", "grandchild", "supervisor"].map(|name| wait_for_pid(&files.path().join(name)));
    // Stopped first, so that it cannot do anything about it.
    kill("-STOP", &engine.id().to_string());
    kill("-KILL", &pids[2]);
    // By the kernel, before anybody looks.
    eventually("the program has died with its supervisor", || !lives(&pids[0]));
    engine.kill().unwrap();
    engine.wait().unwrap();
    assert!(lives(&pids[1]), "else nothing is left to be found");
    assert_eq!(settled(files.path()), Recovered::Killed);
    assert!(!lives(&pids[0]) && !lives(&pids[1]), "the lock is free only when nothing lives");
}

fn kill(signal: &str, pid: &str) {
    assert!(std::process::Command::new("kill").args([signal, pid]).status().unwrap().success());
}

#[tokio::test]
async fn a_supervisor_that_is_killed_takes_everything_with_it() {
    let files = folder();
    let grandchild = files.path().join("grandchild");
    let script = format!(
        "sh -c 'echo $$ >{0}; sleep 1000' & while [ ! -s {0} ]; do sleep 0.02; done; kill -9 $PPID; sleep 1000",
        grandchild.display()
    );
    let error = run(shell(files.path(), &script), |_, _| {}).await.unwrap_err();
    assert!(matches!(error, RunError::Lost { .. }), "{error}");
    assert!(!lives(&pid_in(&grandchild).unwrap()));
    assert_eq!(recover(files.path(), 1).unwrap(), Recovered::Killed);
}

#[tokio::test]
async fn letting_go_of_the_future_ends_the_program() {
    let files = folder();
    let child = files.path().join("child");
    let going = tokio::spawn(run(shell(files.path(), &format!("echo $$ >{}; sleep 1000", child.display())), |_, _| {}));
    let (files_path, child_path) = (files.path().to_owned(), child.clone());
    let pid = tokio::task::spawn_blocking(move || wait_for_pid(&child_path)).await.unwrap();
    going.abort();
    let found = tokio::task::spawn_blocking(move || settled(&files_path)).await.unwrap();
    assert!(matches!(found, Recovered::Ended(ended) if ended.cause == Cause::Stopped && ended.signal == Some(15)));
    assert!(!lives(&pid));
}

#[tokio::test]
async fn an_outcome_is_known_although_nobody_was_there_to_hear_it() {
    let files = folder();
    let gate = files.path().join("gate");
    // The engine lets go when the program has ended by itself, and only what it left behind is being ended.
    let script = format!("sleep 1000 & touch {}; exit 4", gate.display());
    let going = tokio::spawn(run(shell(files.path(), &script), |_, _| {}));
    let files_path = files.path().to_owned();
    let found = tokio::task::spawn_blocking(move || {
        eventually("the program is about to end", || gate.exists());
        let marker = std::fs::read_to_string(files_path.join("attempt-1.started")).unwrap();
        let marker: serde_json::Value = serde_json::from_str(&marker).unwrap();
        let supervisor = marker["supervisor"].to_string();
        eventually("the program has ended", || {
            let children = std::fs::read_dir("/proc").unwrap().flatten().filter(|entry| {
                std::fs::read_to_string(entry.path().join("stat")).is_ok_and(|stat| {
                    let rest: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
                    rest[1] == supervisor && stat.contains("(sh)")
                })
            });
            children.count() == 0
        });
        going.abort();
        settled(&files_path)
    });
    assert!(matches!(found.await.unwrap(), Recovered::Ended(ended) if ended.code == Some(4) && ended.cause == Cause::Itself));
}

#[tokio::test]
async fn what_is_cancelled_before_it_starts_never_runs() {
    let files = folder();
    let trace = files.path().join("trace");
    let request = shell(files.path(), &format!("touch {}", trace.display()));
    let error = run_until(request, |_, _| {}, std::future::ready(())).await.unwrap_err();
    assert!(matches!(error, RunError::NotStarted(StartError::Cancelled)), "{error}");
    assert!(!trace.exists());
    assert_eq!(recover(files.path(), 1).unwrap(), Recovered::NeverStarted);
}

#[tokio::test]
async fn an_attempt_that_was_given_up_never_starts() {
    let files = folder();
    let trace = files.path().join("trace");
    assert_eq!(recover(files.path(), 1).unwrap(), Recovered::NeverStarted);
    let error = run(shell(files.path(), &format!("touch {}", trace.display())), |_, _| {}).await.unwrap_err();
    assert!(matches!(error, RunError::NotStarted(StartError::GivenUp { .. })), "{error}");
    assert!(!trace.exists());
}

#[tokio::test]
async fn an_attempt_is_not_made_twice_but_the_next_has_files_of_its_own() {
    let files = folder();
    ended(shell(files.path(), "echo first")).await;
    let error = run(shell(files.path(), "echo again"), |_, _| {}).await.unwrap_err();
    assert!(matches!(error, RunError::NotStarted(StartError::AlreadyStarted { .. })), "{error}");
    let mut second = shell(files.path(), "echo second");
    second.attempt = 2;
    ended(second).await;
    assert_eq!(std::fs::read_to_string(files.path().join("attempt-1.stdout")).unwrap(), "first\n");
    assert_eq!(std::fs::read_to_string(files.path().join("attempt-2.stdout")).unwrap(), "second\n");
}

#[tokio::test]
async fn secrets_are_in_no_file_no_argument_and_not_in_the_supervisors_environment() {
    let files = folder();
    const SECRET: &str = "hunter2-of-the-test";
    let script = "printf %s \"$TOKEN\" | cut -c1-7 | tr -d '\\n'; printf %s \"$TOKEN\" | cut -c8-; \
        tr '\\0' ' ' </proc/$PPID/cmdline; tr '\\0' '\\n' </proc/$PPID/environ; cat >&2; printf %s \"$TOKEN\" | tr a-z A-Z";
    let mut request = shell(files.path(), script);
    request.env.insert("TOKEN".into(), SECRET.into());
    request.stdin = Some(SECRET.as_bytes().to_vec());
    request.redactions = vec![("token".into(), SECRET.into())];
    let mut lines = String::new();
    let ended = run(request, |_, line| lines.push_str(line)).await.unwrap();
    // The program had it: what it changed is seen, what it printed as it was is not.
    assert!(ended.stdout.tail.starts_with("[secret token]\n"), "{}", ended.stdout.tail);
    assert!(ended.stdout.tail.ends_with(&SECRET.to_uppercase()));
    assert_eq!(ended.stdout.tail.matches("[secret").count(), 1, "the supervisor's own: {}", ended.stdout.tail);
    assert!(ended.stdout.tail.contains("__supervise"));
    assert_eq!(ended.stderr.tail, "[secret token]");
    let mut read = 0;
    for file in std::fs::read_dir(files.path()).unwrap().flatten() {
        let text = String::from_utf8_lossy(&std::fs::read(file.path()).unwrap()).into_owned();
        assert!(!text.contains(SECRET), "{}", file.path().display());
        read += 1;
    }
    assert!(read >= 4 && !lines.contains(SECRET));
}

#[tokio::test]
async fn stdin_is_what_was_given_and_then_closed() {
    let files = folder();
    let mut request = shell(files.path(), "cat; echo .");
    request.stdin = Some(b"a\nb".to_vec());
    assert_eq!(ended(request).await.stdout.tail, "a\nb.\n");
    let mut nothing = shell(files.path(), "cat; echo .");
    nothing.attempt = 2;
    assert_eq!(ended(nothing).await.stdout.tail, ".\n");
    let mut unread = shell(files.path(), "exec 0<&-; echo .");
    unread.attempt = 3;
    unread.stdin = Some(vec![b'x'; 1 << 20]);
    assert_eq!(ended(unread).await.stdout.tail, ".\n");
}

#[tokio::test]
async fn the_environment_is_what_was_given_and_no_more() {
    let files = folder();
    // Its own, and its supervisor's.
    let mut request = shell(files.path(), "env; tr '\\0' '\\n' </proc/$PPID/environ");
    request.env.insert("OWN".into(), "value".into());
    let ended = ended(request).await;
    let names: Vec<&str> = ended.stdout.tail.lines().filter_map(|line| line.split('=').next()).collect();
    assert!(names.contains(&"OWN") && names.contains(&"PATH"), "{names:?}");
    for name in names {
        // What the shell itself sets.
        let allowed = ["OWN", "PATH", "HOME", "LANG", "TZ", "TMPDIR", "USER", "PWD", "OLDPWD", "SHLVL", "_"];
        assert!(allowed.contains(&name), "{name}");
    }
}

#[tokio::test]
async fn the_program_has_a_session_of_its_own_without_a_terminal() {
    let files = folder();
    let ended = ended(shell(files.path(), "cut -d' ' -f1,5,6,7 /proc/$$/stat")).await;
    let fields: Vec<&str> = ended.stdout.tail.split_whitespace().collect();
    assert!(fields[0] == fields[1] && fields[1] == fields[2] && fields[3] == "0", "{fields:?}");
}

#[tokio::test]
async fn what_cannot_be_started_never_ran_and_says_why() {
    let files = folder();
    let mut missing = shell(files.path(), "");
    missing.program = "no-such-program".into();
    let mut nowhere = shell(files.path(), "");
    nowhere.cwd = Some(files.path().join("nowhere"));
    let mut long = shell(files.path(), "");
    long.args.push("x".repeat(200_000));
    let mut elsewhere = shell(files.path(), "");
    elsewhere.supervisor_exe = files.path().join("moved");
    let mut folder_is_file = shell(files.path(), "");
    std::fs::write(files.path().join("file"), "").unwrap();
    folder_is_file.files = files.path().join("file/of");
    for (request, wanted) in [
        (missing, "the program `no-such-program` was not found in PATH ("),
        (nowhere, "nowhere cannot be used: it does not exist"),
        (elsewhere, "moved could not be used: it does not exist"),
        (folder_is_file, "file/of cannot be written: a part of its path is not a folder"),
        (long, "/sh was not started: its arguments and environment together are too long for the system"),
    ] {
        let error = run(request, |_, _| {}).await.unwrap_err();
        assert!(matches!(error, RunError::NotStarted(_)) && error.to_string().contains(wanted), "{error}");
    }
    assert_eq!(recover(files.path(), 1).unwrap(), Recovered::NeverStarted);
}

#[tokio::test]
async fn a_program_that_the_system_refuses_never_ran() {
    let files = folder();
    let broken = files.path().join("broken");
    // The right kind of file, but its loader does not exist: only the system finds out.
    let mut bytes = std::fs::read("/bin/sh").unwrap();
    let at = bytes.windows(8).position(|part| part.starts_with(b"/lib")).expect("a dynamically linked shell");
    bytes[at..at + 4].copy_from_slice(b"/xyz");
    // Copied by a process of its own: no child of another test can then hold it open for writing (`ETXTBSY`).
    let bytes_of = files.path().join("bytes");
    std::fs::write(&bytes_of, bytes).unwrap();
    let copied = std::process::Command::new("install").args(["-m", "755"]).args([&bytes_of, &broken]).status().unwrap();
    assert!(copied.success());
    let mut request = shell(files.path(), "");
    request.program = broken.display().to_string();
    let error = run(request, |_, _| {}).await.unwrap_err();
    assert!(matches!(error, RunError::NotStarted(StartError::Refused { .. })), "{error}");
    assert!(error.to_string().ends_with("broken was not started: it does not exist"), "{error}");
    assert_eq!(recover(files.path(), 1).unwrap(), Recovered::NeverStarted);
}
