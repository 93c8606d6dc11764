//! Which process runs a run: whoever holds the lock of its file, `locks/run-<id>.lock` beside the database.
//!
//! Invariant: the kernel's lock alone decides, and is gone when the process is, however it ended. The file's text says who, for people. The
//! epoch in the journal is the second fence: a process that lost its lock writes nothing.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::{Error, ErrorKind, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::model::id::RunId;

/// How often a lock that seems to be held is tried before it is believed: [`Ownership::owner`] holds it for an instant to look.
const TRIES: u32 = 20;

/// Between two tries.
const PAUSE: Duration = Duration::from_millis(5);

/// The run is this process's until this is dropped.
#[derive(Debug)]
pub struct Ownership {
    file: File,
}

/// The process that runs a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OwnedBy {
    /// Its id.
    pub pid: u32,
    /// Its machine.
    pub host: String,
    /// Who started it.
    pub by: String,
    /// Since when, by its clock.
    pub since: Timestamp,
}

/// Whether a live process has a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Owner {
    /// None has: it can be taken.
    Nobody,
    /// One has, and has not said yet who it is.
    Unnamed,
    /// This one has.
    Process(OwnedBy),
}

/// Why a run could not be taken.
#[derive(Debug, thiserror::Error)]
pub enum OwnershipError {
    /// Another process has it.
    #[error("run {} is being run by {}", run.short(), name(owner.as_ref()))]
    Owned {
        /// The run.
        run: RunId,
        /// Who; `None` where it has not said so yet.
        owner: Option<OwnedBy>,
    },
    /// The lock's file cannot be used.
    #[error("the lock of run {run}, {}, cannot be used: {why}", file.display())]
    Unusable {
        /// The run.
        run: RunId,
        /// The file.
        file: PathBuf,
        /// Why.
        why: String,
    },
}

fn name(owner: Option<&OwnedBy>) -> String {
    owner.map_or_else(
        || "another process".to_owned(),
        |OwnedBy { pid, host, by, since }| format!("process {pid} on {host}, started by {by} at {since:.0}"),
    )
}

impl Ownership {
    /// Takes the run. `state` is the database's folder; `by` is `name@host`. Waits at most 100 ms.
    ///
    /// # Errors
    /// [`OwnershipError`]
    pub fn take(state: &Path, run: RunId, by: &str, since: Timestamp) -> Result<Self, OwnershipError> {
        let path = path(state, run);
        let unusable = |error: Error| unusable(run, &path, &error);
        DirBuilder::new().recursive(true).mode(0o700).create(state.join("locks")).map_err(unusable)?;
        let mut file = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(&path).map_err(unusable)?;
        for attempt in 1.. {
            match file.try_lock() {
                Ok(()) => break,
                Err(TryLockError::WouldBlock) if attempt < TRIES => std::thread::sleep(PAUSE),
                Err(TryLockError::WouldBlock) => return Err(OwnershipError::Owned { run, owner: read(&mut file) }),
                Err(TryLockError::Error(error)) => return Err(unusable(error)),
            }
        }
        let owner = OwnedBy {
            pid: std::process::id(),
            host: rustix::system::uname().nodename().to_string_lossy().into_owned(),
            by: by.to_owned(),
            since,
        };
        let text = serde_json::to_string(&owner).map_err(|error| unusable(error.into()))?;
        file.set_len(0).and_then(|()| file.write_all(text.as_bytes())).map_err(unusable)?;
        Ok(Self { file })
    }

    /// The live process that has the run, without taking it. Waits at most 100 ms.
    ///
    /// # Errors
    /// [`OwnershipError`]
    pub fn owner(state: &Path, run: RunId) -> Result<Owner, OwnershipError> {
        let path = path(state, run);
        let unusable = |error: Error| unusable(run, &path, &error);
        let mut file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Owner::Nobody),
            Err(error) => return Err(unusable(error)),
        };
        match file.try_lock_shared() {
            Ok(()) => file.unlock().map(|()| Owner::Nobody).map_err(unusable),
            Err(TryLockError::Error(error)) => Err(unusable(error)),
            Err(TryLockError::WouldBlock) => {
                // Between locking and writing its name the owner's file says nothing.
                for _ in 1..TRIES {
                    if let Some(owner) = read(&mut file) {
                        return Ok(Owner::Process(owner));
                    }
                    std::thread::sleep(PAUSE);
                }
                Ok(read(&mut file).map_or(Owner::Unnamed, Owner::Process))
            }
        }
    }
}

impl Drop for Ownership {
    fn drop(&mut self) {
        // Only for people; closing the file is what frees the lock.
        let _ = self.file.set_len(0);
        let _ = self.file.unlock();
    }
}

fn path(state: &Path, run: RunId) -> PathBuf {
    state.join("locks").join(format!("run-{run}.lock"))
}

/// What the file says, from its beginning.
fn read(file: &mut File) -> Option<OwnedBy> {
    let mut text = String::new();
    std::io::Seek::rewind(file).ok()?;
    file.take(4096).read_to_string(&mut text).ok()?;
    serde_json::from_str(&text).ok()
}

fn unusable(run: RunId, file: &Path, error: &Error) -> OwnershipError {
    let why = match error.kind() {
        ErrorKind::PermissionDenied => "permission denied; it belongs to whoever started the run, who alone can resume it".to_owned(),
        ErrorKind::ReadOnlyFilesystem => "the file system is read-only".to_owned(),
        ErrorKind::StorageFull => "the disk is full; make room, then try again".to_owned(),
        ErrorKind::NotADirectory | ErrorKind::AlreadyExists => "a part of its path is a file; name another place with `--state`".to_owned(),
        _ => crate::environment::error_chain(error),
    };
    OwnershipError::Unusable { run, file: file.to_owned(), why }
}

#[cfg(test)]
mod tests {
    use std::io::BufRead;
    use std::process::{Child, Command, Stdio};

    use super::*;

    const STATE: &str = "RUNSHEET_TEST_OWNERSHIP_STATE";

    fn run() -> RunId {
        RunId(uuid::Uuid::from_u128(7))
    }

    fn take(state: &Path) -> Result<Ownership, OwnershipError> {
        Ownership::take(state, run(), "me@here", Timestamp::UNIX_EPOCH)
    }

    #[test]
    fn a_run_has_one_owner_and_others_are_told_which() {
        let state = tempfile::tempdir().unwrap();
        assert_eq!(Ownership::owner(state.path(), run()).unwrap(), Owner::Nobody);
        let owned = take(state.path()).unwrap();
        let Owner::Process(owner) = Ownership::owner(state.path(), run()).unwrap() else { panic!("it is owned") };
        assert_eq!((owner.pid, owner.by.as_str()), (std::process::id(), "me@here"));
        let text = take(state.path()).unwrap_err().to_string();
        assert!(text.contains(&format!("process {} on {}, started by me@here", owner.pid, owner.host)), "{text}");
        drop(owned);
        assert_eq!(Ownership::owner(state.path(), run()).unwrap(), Owner::Nobody);
        take(state.path()).expect("it is free again");
    }

    #[test]
    fn looking_who_owns_it_does_not_keep_others_from_taking_it() {
        let state = tempfile::tempdir().unwrap();
        drop(take(state.path()).unwrap());
        let looked_at = File::open(path(state.path(), run())).unwrap();
        looked_at.try_lock_shared().unwrap();
        let looker = std::thread::spawn(move || {
            // As long as a look that the scheduler interrupted; less than `take` is ready to wait.
            std::thread::sleep(PAUSE * 2);
            drop(looked_at);
        });
        take(state.path()).expect("a look is no owner");
        looker.join().unwrap();
    }

    /// Not a test of its own: what `a_killed_owner_leaves_the_run_free` runs in a second process. Alone it has nothing to hold.
    #[test]
    fn second_process() {
        let Some(state) = std::env::var_os(STATE) else { return };
        let _owned = take(Path::new(&state)).unwrap();
        // Until it is killed, or the first process is gone.
        let _ = std::io::stdin().read_line(&mut String::new());
    }

    fn second(state: &Path) -> Child {
        Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "engine::ownership::tests::second_process", "--nocapture"])
            .env(STATE, state)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .unwrap()
    }

    #[test]
    fn a_killed_owner_leaves_the_run_free() {
        let state = tempfile::tempdir().unwrap();
        let mut child = second(state.path());
        let deadline = std::time::Instant::now() + Duration::from_secs(20);
        let owner = loop {
            assert!(std::time::Instant::now() < deadline, "the second process never took the run");
            match Ownership::owner(state.path(), run()).unwrap() {
                Owner::Process(owner) => break owner,
                Owner::Nobody | Owner::Unnamed => std::thread::sleep(PAUSE),
            }
        };
        assert_eq!(owner.pid, child.id());
        assert!(matches!(take(state.path()), Err(OwnershipError::Owned { owner: Some(found), .. }) if found.pid == child.id()));
        child.kill().unwrap();
        child.wait().unwrap();
        take(state.path()).expect("the kernel freed it");
    }

    #[test]
    fn a_child_that_outlives_its_parent_does_not_keep_the_run() {
        let state = tempfile::tempdir().unwrap();
        let _owned = take(state.path()).unwrap();
        let mut child = Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        // `cat` has answered: it is past `exec`, which closed what it had inherited.
        writeln!(child.stdin.as_ref().unwrap(), "there").unwrap();
        let mut line = String::new();
        std::io::BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        let held = std::fs::read_dir(format!("/proc/{}/fd", child.id()))
            .unwrap()
            .filter_map(|entry| std::fs::read_link(entry.unwrap().path()).ok())
            .any(|file| file == path(state.path(), run()));
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(!held, "a child inherited the run's lock");
    }

    #[test]
    fn a_file_where_the_folder_belongs_is_named() {
        let state = tempfile::tempdir().unwrap();
        std::fs::write(state.path().join("locks"), "").unwrap();
        let text = take(state.path()).unwrap_err().to_string();
        assert!(text.contains("a part of its path is a file") && text.contains("--state"), "{text}");
    }
}
