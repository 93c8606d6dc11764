//! The environment that a run acts on.

use serde_json::Map;

use super::{App, AppError};
use crate::environment::Environment;
use crate::model::definition::Definition;
use crate::model::run::TargetSpec;
use crate::sandbox;

/// The built-in environment.
pub(super) const SANDBOX: &str = "sandbox";

impl App {
    /// The names of the environments that the root has files for.
    pub fn environments(&self) -> Vec<String> {
        let Ok(entries) = std::fs::read_dir(self.locations.playbooks().join("environments")) else { return Vec::new() };
        let mut names: Vec<String> = entries
            .filter_map(Result::ok)
            .map(|entry| entry.path())
            .filter(|path| path.extension().is_some_and(|extension| extension == "yaml"))
            .filter_map(|path| Some(path.file_stem()?.to_string_lossy().into_owned()))
            .collect();
        names.sort();
        names
    }

    /// The environment for a new run: none where the playbook names no target; the sandbox where the root has no environment file.
    ///
    /// # Errors
    /// When one has to be named, or the named one does not exist or cannot be reached.
    pub(super) fn environment(&self, definition: &Definition, named: Option<&str>) -> Result<Option<Environment>, AppError> {
        if !definition.playbooks.values().any(|playbook| playbook.needs_target) {
            return Ok(None);
        }
        let files = self.environments();
        let known = || files.iter().cloned().chain([SANDBOX.to_owned()]).collect::<Vec<_>>();
        match named {
            Some(name) => self.environment_named(name, known()).map(Some),
            None if files.is_empty() => self.environment_named(SANDBOX, known()).map(Some),
            None => Err(AppError::NoEnvironment { known: known() }),
        }
    }

    /// What a run would record of its target, without reaching it: none where the playbook names no target, or where no environment is named and
    /// none goes without saying.
    ///
    /// # Errors
    /// When the named one does not exist.
    pub(super) fn target_by_name(&self, definition: &Definition, named: Option<&str>) -> Result<Option<TargetSpec>, AppError> {
        if !definition.playbooks.values().any(|playbook| playbook.needs_target) {
            return Ok(None);
        }
        let files = self.environments();
        match named {
            None if !files.is_empty() => Ok(None),
            None | Some(SANDBOX) => {
                Ok(Some(TargetSpec { environment: SANDBOX.to_owned(), identity: Map::new(), values: sandbox::target_values() }))
            }
            Some(name) => {
                let known = files.into_iter().chain([SANDBOX.to_owned()]).collect();
                self.environment_named(name, known).map(|environment| Some(environment.spec))
            }
        }
    }

    /// The environment that a run was started in.
    pub(super) fn environment_named(&self, name: &str, known: Vec<String>) -> Result<Environment, AppError> {
        if name == SANDBOX {
            return self.sandbox();
        }
        if known.iter().any(|known| known == name) {
            return Err(AppError::NotSupported {
                what: format!("the environment `{name}` has a file, and this version cannot read environment files yet"),
                hint: "run in the sandbox: `--env sandbox`".to_owned(),
            });
        }
        Err(AppError::UnknownEnvironment { name: name.to_owned(), known })
    }

    /// The sandbox, started where it does not run.
    fn sandbox(&self) -> Result<Environment, AppError> {
        let exe = std::env::current_exe()
            .map_err(|error| AppError::System { what: "this program's own file cannot be found".to_owned(), why: error.to_string() })?;
        let folder = self.locations.sandbox();
        let ready = self.runtime()?.block_on(sandbox::ensure_up(&folder, &exe))?;
        Ok(Environment::sandbox(
            ready.address,
            ready.admin_token.clone().into(),
            &ready.cluster_uid,
            ready.service_token.clone().into(),
            ready.postgres_password.clone().into(),
            sandbox::target_values(),
        ))
    }
}
