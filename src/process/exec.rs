//! The stage between supervisor and program: it ties the program's life to the supervisor's, then becomes the program.
//!
//! Two things cannot be said to the system from outside without unsafe code: that a process is to die with its parent, and that it is to lead a session.
//! Both survive `execve`, so this stage asks for them itself. The session has no terminal: a program that wants to ask for a password fails at once
//! instead of being stopped.
//!
//! Must not write to the streams it was given: they are the program's.

use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use super::durable;
use super::start_error::{StartError, plain};

/// The first argument under which the supervisor's binary is this stage.
pub(super) const EXEC: &str = "exec";

/// The command that becomes `path`, as a child of the calling process. The caller adds environment, working folder and streams.
pub(super) fn stage(refusal: &Path, path: &Path, name: &str, args: &[String]) -> std::io::Result<Command> {
    // The link keeps naming the running binary when its file is replaced meanwhile.
    let mut command = if cfg!(target_os = "linux") { Command::new("/proc/self/exe") } else { Command::new(std::env::current_exe()?) };
    command
        .arg0("runsheet")
        .arg(super::SUPERVISE)
        .arg(EXEC)
        .arg(std::process::id().to_string())
        .arg(refusal)
        .arg(path)
        .arg(name)
        .args(args);
    Ok(command)
}

/// Becomes the program; returns only where that is impossible, which it leaves in the refusal's file.
pub(super) fn main(mut args: impl Iterator<Item = OsString>) -> ExitCode {
    let parent: Option<i32> = args.next().and_then(|text| text.to_str().and_then(|text| text.parse().ok()));
    let (Some(parent), Some(refusal), Some(path), Some(name)) = (parent, args.next(), args.next(), args.next()) else {
        return ExitCode::from(2);
    };
    let path = PathBuf::from(path);
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL)) {
        return refuse(Path::new(&refusal), path, format!("it cannot be tied to its supervisor: {}", plain(&error.into())));
    }
    // Where the supervisor died before it could be tied to, there is nobody to start it for.
    if rustix::process::getppid().is_none_or(|found| found.as_raw_nonzero().get() != parent) {
        return ExitCode::from(2);
    }
    if let Err(error) = rustix::process::setsid() {
        return refuse(Path::new(&refusal), path, format!("it cannot have a session of its own: {}", plain(&error.into())));
    }
    let error = Command::new(&path).arg0(name).args(args).exec();
    refuse(Path::new(&refusal), path, plain(&error))
}

fn refuse(refusal: &Path, path: PathBuf, why: String) -> ExitCode {
    // Without the file the supervisor takes the exit code for the program's, which is the safe side: "it may have run".
    let written = serde_json::to_vec(&StartError::Refused { path, why }).map(|bytes| durable::write(refusal, &bytes));
    ExitCode::from(if matches!(written, Ok(Ok(()))) { 127 } else { 126 })
}
