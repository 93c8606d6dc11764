//! A program that ends with this process, however that ends.
//!
//! Must not need anything but a POSIX shell. Invariant: the program leads a process group, and a watcher in it ends the group as soon as nobody holds the
//! leash: the kernel lets go of it for a process that was killed. A program whose other end hangs would not notice that its input has ended.

use std::io::{ErrorKind, PipeWriter};
use std::os::fd::AsRawFd;
use std::os::unix::fs::PermissionsExt;
use std::process::Stdio;

use tokio::process::{Child, Command};

use crate::environment::exec_plugin::Group;

/// Waits in the background for the end of the leash, and becomes the program. It reads by a path: not every shell knows descriptors above 9.
const SCRIPT: &str = "(read -r _ <\"$0\"; kill -KILL -$$) </dev/null >/dev/null 2>&1 & exec \"$@\"";

/// Holds a program; ends it, with all that it started, when it is dropped.
pub(super) struct Leash {
    // First the group is ended, then the watcher would be told.
    _group: Group,
    _held: PipeWriter,
}

/// Starts a program with pipes for its input, its output and its complaints.
pub(super) fn start(program: &str, arguments: &[String]) -> std::io::Result<(Child, Leash)> {
    let path = find(program)?;
    let (leash, held) = std::io::pipe()?;
    // Whatever else is started at this moment inherits it too, which does no harm: what counts is who holds the other end, and that is nobody else.
    rustix::io::fcntl_setfd(&leash, rustix::io::FdFlags::empty())?;
    let child = Command::new("/bin/sh")
        .args(["-c", SCRIPT])
        .arg(format!("/dev/fd/{}", leash.as_raw_fd()))
        .arg(path)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true)
        .spawn()?;
    let group = Group::of(&child);
    Ok((child, Leash { _group: group, _held: held }))
}

/// Where the program is: the first in `PATH` that may be executed.
fn find(program: &str) -> std::io::Result<std::path::PathBuf> {
    let mut error = ErrorKind::NotFound;
    for folder in std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()) {
        let path = folder.join(program);
        match std::fs::metadata(&path) {
            Ok(found) if found.is_file() && found.permissions().mode() & 0o111 != 0 => return Ok(path),
            Ok(found) if found.is_file() => error = ErrorKind::PermissionDenied,
            _ => {}
        }
    }
    Err(error.into())
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt;

    use super::*;

    async fn first_line(child: &mut Child) -> String {
        let mut out = tokio::io::BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        tokio::io::AsyncBufReadExt::read_line(&mut out, &mut line).await.unwrap();
        line.trim().to_owned()
    }

    #[tokio::test]
    async fn it_ends_with_whoever_holds_it_and_what_it_started_too() {
        // It heeds neither the end of its input nor what asks it to end, and neither does what it started.
        let script = "trap '' TERM HUP PIPE; (trap '' TERM HUP PIPE; echo $$; exec sleep 600) & wait";
        let (mut child, leash) = start("sh", &["-c".to_owned(), script.to_owned()]).unwrap();
        let _line = first_line(&mut child).await;
        let Leash { _group, _held } = leash;
        // As for a process that was killed: nobody ends the group, and the leash is let go.
        std::mem::forget(_group);
        drop(_held);
        let status = tokio::time::timeout(std::time::Duration::from_secs(20), child.wait()).await.expect("it has ended").unwrap();
        assert_eq!(std::os::unix::process::ExitStatusExt::signal(&status), Some(9));
        // Its complaints end once nobody is left who could complain.
        let mut rest = Vec::new();
        let mut complaints = child.stderr.take().unwrap();
        let complaints = complaints.read_to_end(&mut rest);
        tokio::time::timeout(std::time::Duration::from_secs(20), complaints).await.expect("what it started has ended").unwrap();
    }

    #[tokio::test]
    async fn a_program_that_is_not_there_is_told() {
        assert_eq!(start("no-such-program-anywhere", &[]).err().map(|error| error.kind()), Some(ErrorKind::NotFound));
    }

    #[tokio::test]
    async fn its_input_and_its_output_are_its_own() {
        let (mut child, _leash) = start("cat", &[]).unwrap();
        let mut input = child.stdin.take().unwrap();
        tokio::io::AsyncWriteExt::write_all(&mut input, b"word\n").await.unwrap();
        assert_eq!(first_line(&mut child).await, "word");
        drop(input);
        assert!(child.wait().await.unwrap().success());
    }
}
