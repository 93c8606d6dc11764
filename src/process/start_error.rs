//! Why a program never ran.
//!
//! Invariant: whoever gets a [`StartError`] may rely on it that not one instruction of the program was executed by this call.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// Why a program never ran.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
pub enum StartError {
    /// No folder of `PATH` has it.
    #[error("the program `{program}` was not found in PATH ({searched})")]
    NotFound {
        /// As written.
        program: String,
        /// The child's `PATH`.
        searched: String,
    },
    /// The path names nothing.
    #[error("the program {} does not exist", path.display())]
    NoSuchFile {
        /// Which.
        path: PathBuf,
    },
    /// There is a file, but it is no program.
    #[error("{} cannot be run: {why}", path.display())]
    NotExecutable {
        /// Which.
        path: PathBuf,
        /// Why.
        why: String,
        /// What to do.
        hint: String,
    },
    /// There is no working folder.
    #[error("the working folder {} cannot be used: {why}", path.display())]
    WorkingFolder {
        /// Which.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// The attempt's own files cannot be written.
    #[error("the attempt's file {} cannot be written: {why}", path.display())]
    Files {
        /// Which.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// This very attempt was started before: by this call nothing was, but it may have had its effect then.
    #[error("attempt {attempt} in {} was started before: it is not started a second time", files.display())]
    AlreadyStarted {
        /// The folder of the attempt's files.
        files: PathBuf,
        /// Which.
        attempt: u32,
    },
    /// This attempt was found never to have started, and given up.
    #[error("attempt {attempt} in {} was given up before it was started", files.display())]
    GivenUp {
        /// The folder of the attempt's files.
        files: PathBuf,
        /// Which.
        attempt: u32,
    },
    /// The engine went away before the program was started.
    #[error("it was cancelled before the program was started")]
    Cancelled,
    /// The supervisor itself did not get so far.
    #[error("the supervisor {} could not be used: {why}", exe.display())]
    Supervisor {
        /// The binary.
        exe: PathBuf,
        /// Why.
        why: String,
    },
    /// The system refused to start it.
    #[error("{} was not started: {why}", path.display())]
    Refused {
        /// Which.
        path: PathBuf,
        /// Why.
        why: String,
    },
}

impl StartError {
    /// What to do about it.
    pub fn hint(&self) -> String {
        match self {
            Self::NotFound { .. } => "install it, write its full path, or set PATH in the step's `env`".into(),
            Self::NoSuchFile { .. } => "check the path; a relative one is looked up from `cwd`".into(),
            Self::NotExecutable { hint, .. } => hint.clone(),
            Self::WorkingFolder { .. } => "make the folder, or correct `cwd`".into(),
            Self::Files { .. } => "check the permissions and the free space of the state folder".into(),
            Self::AlreadyStarted { .. } => "`runsheet status` shows what is known of it; `runsheet retry` makes a new attempt".into(),
            Self::GivenUp { .. } => "nothing was done; `runsheet retry` makes a new attempt".into(),
            Self::Cancelled => "nothing was done; it may be tried again".into(),
            Self::Supervisor { .. } => {
                "was the runsheet binary moved or replaced while the run was going? `runsheet resume` uses the new one".into()
            }
            Self::Refused { .. } => "nothing was done; run the program by hand to see more".into(),
        }
    }

    /// Whether trying again can help without anybody mending anything.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Cancelled)
    }

    pub(super) fn files(path: &Path, error: &std::io::Error) -> Self {
        Self::Files { path: path.to_owned(), why: plain(error) }
    }
}

/// What the system says, without its number.
pub(super) fn plain(error: &std::io::Error) -> String {
    use std::io::ErrorKind as K;
    match error.kind() {
        K::NotFound => "it does not exist".into(),
        K::PermissionDenied => "permission denied".into(),
        K::StorageFull => "no space is left on the disk".into(),
        K::ReadOnlyFilesystem => "the file system is read-only".into(),
        K::NotADirectory => "a part of its path is not a folder".into(),
        K::ArgumentListTooLong => "its arguments and environment together are too long for the system".into(),
        K::ExecutableFileBusy => "the file is being written by another process".into(),
        _ => {
            let text = error.to_string();
            text.split(" (os error").next().unwrap_or_default().to_lowercase()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_message_shows_the_systems_number() {
        for number in [1, 2, 5, 7, 8, 11, 12, 13, 23, 24, 26, 28, 30] {
            let text = plain(&std::io::Error::from_raw_os_error(number));
            assert!(!text.contains("os error") && !text.is_empty(), "{number}: {text}");
        }
    }
}
