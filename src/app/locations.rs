//! Where things are: the root with its playbooks, and the database.

use std::path::{Path, PathBuf};

use super::error::AppError;

/// The places of one invocation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Locations {
    /// The folder that holds `playbooks/`.
    pub root: PathBuf,
    /// The database.
    pub state: PathBuf,
}

impl Locations {
    /// From what was said on the command line or in the environment: the root is the nearest folder upwards that holds `playbooks/`, the database
    /// `state/runsheet.db` in it.
    ///
    /// # Errors
    /// When there is no such folder.
    pub fn find(root: Option<&Path>, state: Option<&Path>, here: &Path) -> Result<Self, AppError> {
        let root = match root {
            Some(root) if root.join("playbooks").is_dir() => here.join(root),
            Some(root) => return Err(AppError::NoRoot { from: root.to_owned(), given: true }),
            None => here
                .ancestors()
                .find(|folder| folder.join("playbooks").is_dir())
                .map(Path::to_owned)
                .ok_or_else(|| AppError::NoRoot { from: here.to_owned(), given: false })?,
        };
        let state = state.map_or_else(|| root.join("state").join("runsheet.db"), |state| here.join(state));
        Ok(Self { root, state })
    }

    /// The folder of playbooks.
    pub fn playbooks(&self) -> PathBuf {
        self.root.join("playbooks")
    }

    /// The folder that the database is in: files, locks and the sandbox lie beside it.
    pub fn state_folder(&self) -> PathBuf {
        self.state.parent().map_or_else(|| PathBuf::from("."), Path::to_owned)
    }

    /// The sandbox's folder.
    pub fn sandbox(&self) -> PathBuf {
        self.state_folder().join("sandbox")
    }

    /// A run's folder for files.
    pub fn files(&self, run: crate::model::id::RunId) -> PathBuf {
        self.state_folder().join("files").join(run.to_string())
    }
}
