//! Locks on objects within one machine: files that the operating system locks (`flock(2)`), in a folder that all users of the machine share.
//!
//! Invariant: a lock is held by an open file and nothing else, so that the kernel frees it when its holder dies, however it dies. What a file
//! says about its holder is for people; it decides nothing. Files are never deleted: deleting one that another process has just opened
//! would make two locks of one. Where somebody else deletes one (whoever cleans `/tmp`), its lock counts as lost.

use std::fs::{DirBuilder, File, OpenOptions, Permissions, TryLockError};
use std::io::{Error, ErrorKind, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use async_trait::async_trait;

use crate::model::change::ObjectRef;
use crate::model::id::ContentHash;
use crate::ports::lock::{Attempt, Guard, Hold, Keeper, LockError, Locks};

/// Where locks are unless `RUNSHEET_LOCK_DIR` names a folder. Not `TMPDIR`, which differs between users who must meet here.
const FOLDER: &str = "/tmp/runsheet-locks";

/// As much as is read of what a holder wrote.
const LONGEST_HOLDER: u64 = 400;

/// Locks as files of one folder.
#[derive(Clone, Debug)]
pub struct FileLocks {
    folder: PathBuf,
}

impl FileLocks {
    /// Locks in this folder. It is made when the first lock is taken.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self { folder: folder.into() }
    }

    /// The locks of this machine: in the folder that `RUNSHEET_LOCK_DIR` names, else in `/tmp/runsheet-locks`.
    pub fn machine_wide() -> Self {
        Self::new(std::env::var_os("RUNSHEET_LOCK_DIR").filter(|folder| !folder.is_empty()).unwrap_or_else(|| FOLDER.into()))
    }

    /// The file that locks this object.
    pub fn file(&self, object: &ObjectRef) -> PathBuf {
        let readable: String = object
            .0
            .chars()
            .take(100)
            .map(|character| if character.is_ascii_alphanumeric() || "._-".contains(character) { character } else { '_' })
            .collect();
        // Two objects may have the same readable name; the digest tells them apart.
        self.folder.join(format!("{readable}-{}.lock", &ContentHash::of(object.0.as_bytes()).0[..16]))
    }

    fn prepare(&self) -> Result<(), String> {
        let failed = |error: &Error| format!("the folder {} cannot be made or used: {}", self.folder.display(), reason(error));
        match DirBuilder::new().recursive(true).mode(0o1777).create(&self.folder) {
            // The process's own mask has taken the others' bits away. Another user's folder keeps its permissions.
            Ok(()) => match std::fs::symlink_metadata(&self.folder) {
                Ok(found) if !found.is_dir() => Err(format!("{} is not a folder", self.folder.display())),
                Ok(found) if found.permissions().mode() & 0o7777 != 0o1777 => {
                    let _ = std::fs::set_permissions(&self.folder, Permissions::from_mode(0o1777));
                    Ok(())
                }
                Ok(_) => Ok(()),
                Err(error) => Err(failed(&error)),
            },
            Err(error) => Err(failed(&error)),
        }
    }
}

/// What came of trying to lock a file.
pub(super) enum FileAttempt {
    /// It is ours.
    Taken(FileGuard),
    /// Somebody else of this machine has it.
    Held {
        /// As the holder wrote it.
        by: String,
    },
}

impl FileLocks {
    /// Takes the lock of this machine, or says who holds it.
    ///
    /// # Errors
    /// When the folder or the file cannot be used.
    pub(super) fn try_file(&self, object: &ObjectRef, holder: &str) -> Result<FileAttempt, LockError> {
        let hint = || "check the folder's permissions; RUNSHEET_LOCK_DIR names another".to_owned();
        let failed = |why: String| LockError { object: object.clone(), why, hint: hint(), keeper: Keeper::Machine };
        self.prepare().map_err(failed)?;
        let path = self.file(object);
        let at = |error: Error| failed(format!("{}: {}", path.display(), reason(&error)));
        let mut file = open(&path).map_err(at)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(FileAttempt::Held { by: held_by(&mut file) }),
            Err(TryLockError::Error(error)) => return Err(at(error)),
        }
        let guard = FileGuard { file, path: path.clone() };
        guard.note(holder, object).map_err(at)?;
        Ok(FileAttempt::Taken(guard))
    }
}

#[async_trait]
impl Locks for FileLocks {
    async fn try_lock(&self, object: &ObjectRef, holder: &str) -> Result<Attempt, LockError> {
        Ok(match self.try_file(object, holder)? {
            FileAttempt::Taken(guard) => Attempt::Taken(Box::new(guard)),
            FileAttempt::Held { by } => Attempt::Held { by },
        })
    }
}

/// Opens the file, or makes it. Never with `O_CREAT` alone: in a folder like `/tmp` Linux refuses that for a file of another user
/// (`fs.protected_regular`).
fn open(path: &Path) -> Result<File, Error> {
    #[expect(clippy::cast_possible_wrap, reason = "the flag is one bit, far below the sign")]
    let no_follow = rustix::fs::OFlags::NOFOLLOW.bits() as i32;
    let mut last = Error::from(ErrorKind::NotFound);
    // Twice: another process may make the file between the two calls. It never deletes one.
    for _ in 0..2 {
        match OpenOptions::new().read(true).write(true).custom_flags(no_follow).open(path) {
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            other => return other,
        }
        match OpenOptions::new().read(true).write(true).create_new(true).mode(0o666).custom_flags(no_follow).open(path) {
            Ok(file) => {
                // For every user, whatever this process's mask says.
                file.set_permissions(Permissions::from_mode(0o666))?;
                return Ok(file);
            }
            Err(error) => last = error,
        }
        if last.kind() != ErrorKind::AlreadyExists {
            break;
        }
    }
    Err(last)
}

/// What the holder wrote, made safe to print: the folder is everybody's.
fn held_by(file: &mut File) -> String {
    let mut bytes = Vec::new();
    let read = file.take(LONGEST_HOLDER).read_to_end(&mut bytes);
    let text = String::from_utf8_lossy(&bytes);
    let holder: String = text.lines().next().unwrap_or_default().chars().filter(|character| !character.is_control()).collect();
    if read.is_err() || holder.is_empty() { "a process that has not said who it is yet".to_owned() } else { holder }
}

fn reason(error: &Error) -> String {
    match error.kind() {
        ErrorKind::PermissionDenied => "permission denied; set RUNSHEET_LOCK_DIR to a folder that all who work on it may write".to_owned(),
        ErrorKind::ReadOnlyFilesystem => "the file system is read-only; set RUNSHEET_LOCK_DIR to another folder".to_owned(),
        ErrorKind::StorageFull => "the disk is full".to_owned(),
        _ if error.raw_os_error() == Some(rustix::io::Errno::LOOP.raw_os_error()) => {
            "it is a symbolic link, and a lock must be a file".to_owned()
        }
        ErrorKind::NotADirectory | ErrorKind::AlreadyExists => {
            "a part of its path is a file; set RUNSHEET_LOCK_DIR to another folder".to_owned()
        }
        ErrorKind::Unsupported => "the file system has no locks; set RUNSHEET_LOCK_DIR to a folder on a local disk".to_owned(),
        _ => crate::environment::error_chain(error),
    }
}

/// A lock that is held. The file is closed by `exec`, as std opens all, so that no child keeps it.
pub(super) struct FileGuard {
    file: File,
    path: PathBuf,
}

impl FileGuard {
    fn note(&self, holder: &str, object: &ObjectRef) -> Result<(), Error> {
        let holder: String = holder.chars().map(|character| if character.is_control() { ' ' } else { character }).collect();
        self.file.set_len(0)?;
        (&self.file).write_all(format!("{holder}\n{object}\n").as_bytes())
    }

    /// The locked file itself, as this machine tells it from every other: device and inode. A file that is locked keeps its inode even where
    /// somebody deletes it.
    pub(super) fn inode(&self) -> Result<(u64, u64), Error> {
        self.file.metadata().map(|metadata| (metadata.dev(), metadata.ino()))
    }
}

#[async_trait]
impl Guard for FileGuard {
    fn hold(&self) -> Hold {
        let there = std::fs::symlink_metadata(&self.path).map(|metadata| (metadata.dev(), metadata.ino()));
        match (self.inode(), there) {
            (Ok(own), Ok(there)) if own == there => Hold::Firm,
            // Whoever comes next makes a file of its own, and locks that.
            _ => Hold::Lost { why: format!("its file {} was deleted or replaced", self.path.display()) },
        }
    }

    async fn release(self: Box<Self>) {
        drop(self);
    }
}

impl Drop for FileGuard {
    fn drop(&mut self) {
        // Only for people; closing the file is what frees the lock.
        let _ = self.file.set_len(0);
        let _ = self.file.unlock();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object() -> ObjectRef {
        ObjectRef("k8s:0b5c/production/deployment/ticket-service".to_owned())
    }

    fn attempt(locks: &FileLocks, object: &ObjectRef, holder: &str) -> FileAttempt {
        locks.try_file(object, holder).expect("a lock can be tried")
    }

    #[test]
    fn one_holder_at_a_time_and_the_other_is_told_who() {
        let folder = tempfile::tempdir().unwrap();
        let (first, second) = (FileLocks::new(folder.path().join("locks")), FileLocks::new(folder.path().join("locks")));
        let FileAttempt::Taken(guard) = attempt(&first, &object(), "run 3fa9c1d2\nof pre-event") else { panic!("nobody holds it") };
        let FileAttempt::Held { by } = attempt(&second, &object(), "another") else { panic!("two hold it") };
        assert_eq!(by, "run 3fa9c1d2 of pre-event");
        let other = ObjectRef("k8s:0b5c/production/deployment/other".to_owned());
        assert!(matches!(attempt(&second, &other, "another"), FileAttempt::Taken(_)));
        drop(guard);
        assert_eq!(std::fs::read_to_string(first.file(&object())).unwrap(), "", "a file that nobody holds names nobody");
        assert!(matches!(attempt(&second, &object(), "another"), FileAttempt::Taken(_)));
    }

    #[test]
    fn a_lock_whose_file_is_deleted_is_lost() {
        let folder = tempfile::tempdir().unwrap();
        let locks = FileLocks::new(folder.path().join("locks"));
        let FileAttempt::Taken(guard) = attempt(&locks, &object(), "me") else { panic!("nobody holds it") };
        assert_eq!(guard.hold(), Hold::Firm);
        std::fs::remove_dir_all(folder.path().join("locks")).unwrap();
        assert!(matches!(guard.hold(), Hold::Lost { .. }), "{:?}", guard.hold());
        // Another has taken it meanwhile: with a file of its own.
        let FileAttempt::Taken(other) = attempt(&locks, &object(), "another") else { panic!("the file is gone, and its lock") };
        assert!(matches!(guard.hold(), Hold::Lost { why } if why.contains("was deleted or replaced")));
        assert_eq!(other.hold(), Hold::Firm);
    }

    #[test]
    fn what_a_dead_holder_left_written_holds_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let locks = FileLocks::new(folder.path());
        std::fs::write(locks.file(&object()), "run of a process that was killed\n").unwrap();
        assert!(matches!(attempt(&locks, &object(), "me"), FileAttempt::Taken(_)));
    }

    #[test]
    fn all_users_of_the_machine_can_use_the_folder_and_its_files() {
        let folder = tempfile::tempdir().unwrap();
        let locks = FileLocks::new(folder.path().join("locks"));
        let _taken = attempt(&locks, &object(), "me");
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o7777;
        assert_eq!(mode(&folder.path().join("locks")), 0o1777);
        assert_eq!(mode(&locks.file(&object())), 0o666);
    }

    #[test]
    fn names_that_look_alike_are_different_locks() {
        let locks = FileLocks::new("/x");
        assert_ne!(locks.file(&ObjectRef("a/b".into())), locks.file(&ObjectRef("a_b".into())));
        let long = |end: &str| ObjectRef(format!("{}{end}", "x".repeat(300)));
        assert_ne!(locks.file(&long("1")), locks.file(&long("2")));
        assert!(locks.file(&long("1")).file_name().unwrap().len() < 255);
    }

    #[test]
    fn a_symbolic_link_and_a_file_for_a_folder_are_refused_in_words() {
        let folder = tempfile::tempdir().unwrap();
        let locks = FileLocks::new(folder.path());
        std::os::unix::fs::symlink(folder.path().join("victim"), locks.file(&object())).unwrap();
        let error = locks.try_file(&object(), "me").err().expect("a link is refused").to_string();
        assert!(error.contains("symbolic link") && error.contains("ticket-service"), "{error}");
        assert!(!folder.path().join("victim").exists());

        std::fs::write(folder.path().join("file"), "").unwrap();
        let error = FileLocks::new(folder.path().join("file")).try_file(&object(), "me").err().expect("a file is no folder").to_string();
        assert!(error.contains("file"), "{error}");
    }

    #[test]
    fn what_a_holder_wrote_cannot_disturb_a_terminal() {
        let folder = tempfile::tempdir().unwrap();
        let locks = FileLocks::new(folder.path());
        let file = open(&locks.file(&object())).unwrap();
        file.try_lock().unwrap();
        (&file).write_all(format!("\x1b[2Jme{}\nsecond line", "!".repeat(2000)).as_bytes()).unwrap();
        let FileAttempt::Held { by } = attempt(&locks, &object(), "me") else { panic!("it is held") };
        assert!(by.starts_with("[2Jme!!") && by.len() <= 400, "{by:?}");
    }
}
