//! The environment that a run acts on, and the proof that it is the one that is meant.
//!
//! Must not change anything on a target. Invariant: nothing drives a run before [`App::prove`] has compared what the target says it is.

use std::path::PathBuf;
use std::sync::PoisonError;

use serde_json::{Map, Value};

use super::{App, AppError};
use crate::environment::Environment;
use crate::model::definition::Definition;
use crate::model::environment::EnvironmentDefinition;
pub(super) use crate::model::environment::SANDBOX;
use crate::model::id::RunId;
use crate::model::run::TargetSpec;
use crate::playbook::{self, LoadError};
use crate::sandbox;

impl App {
    /// The folder of environments.
    pub(super) fn environments_folder(&self) -> PathBuf {
        self.locations.playbooks().join("environments")
    }

    /// The file of an environment.
    pub(super) fn environment_file(&self, name: &str) -> PathBuf {
        self.environments_folder().join(format!("{name}.yaml"))
    }

    /// A file as people know it: from the root on.
    pub(super) fn shown(&self, file: &std::path::Path) -> String {
        file.strip_prefix(&self.locations.root).unwrap_or(file).display().to_string()
    }

    /// The names of the environments that the root has files for.
    ///
    /// # Errors
    /// When their folder cannot be read.
    pub fn environments(&self) -> Result<Vec<String>, AppError> {
        let folder = self.environments_folder();
        let unreadable = |error: std::io::Error| AppError::System {
            what: format!("the environments in {} cannot be read", folder.display()),
            why: error.to_string(),
        };
        let entries = match std::fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(unreadable(error)),
        };
        let mut names = Vec::new();
        for entry in entries {
            let path = entry.map_err(unreadable)?.path();
            // One that is called `.yml` is meant to be an environment too: the sandbox must not be taken in its place.
            let is_yaml = path.extension().is_some_and(|extension| extension == "yaml" || extension == "yml");
            if let Some(stem) = path.file_stem().filter(|_| is_yaml) {
                names.push(stem.to_string_lossy().into_owned());
            }
        }
        names.sort();
        names.dedup();
        Ok(names)
    }

    /// The names that `--env` takes: the root's environments, and the sandbox.
    ///
    /// # Errors
    /// As [`environments`](Self::environments).
    pub fn environment_choices(&self) -> Result<Vec<String>, AppError> {
        let files = self.environments()?.into_iter().filter(|name| name != SANDBOX);
        Ok(files.chain([SANDBOX.to_owned()]).collect())
    }

    /// What the file of an environment says.
    ///
    /// # Errors
    /// When there is no such file, or something is wrong with it.
    pub fn environment_definition(&self, name: &str) -> Result<EnvironmentDefinition, AppError> {
        let file = self.environment_file(name);
        if file.symlink_metadata().is_err() {
            let misnamed = self.environments_folder().join(format!("{name}.yml"));
            if misnamed.symlink_metadata().is_ok() {
                return Err(AppError::NotSupported {
                    what: format!("{} is not read: an environment's file ends in `.yaml`", self.shown(&misnamed)),
                    hint: format!("rename it to {name}.yaml"),
                });
            }
            return Err(AppError::UnknownEnvironment { name: name.to_owned(), known: self.environment_choices()? });
        }
        playbook::load_environment(&file, std::env::home_dir().as_deref()).map_err(|problems| LoadError::Invalid(problems).into())
    }

    /// The environment for a new run: none where the playbook names no target; the sandbox where the root has no environment file.
    ///
    /// # Errors
    /// When one has to be named, or the named one does not exist or gives no way to its systems.
    pub(super) fn environment(&self, definition: &Definition, named: Option<&str>) -> Result<Option<Environment>, AppError> {
        if !definition.playbooks.values().any(|playbook| playbook.needs_target) {
            return Ok(None);
        }
        match named {
            Some(name) => self.environment_named(name).map(Some),
            None if self.environments()?.is_empty() => self.environment_named(SANDBOX).map(Some),
            None => Err(AppError::NoEnvironment { known: self.environment_choices()? }),
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
        let files = self.environments()?;
        match named {
            None if !files.is_empty() => Ok(None),
            None | Some(SANDBOX) => Ok(Some(TargetSpec {
                environment: SANDBOX.to_owned(),
                identity: Map::new(),
                values: sandbox::target_values_in(&self.locations.sandbox())?,
            })),
            Some(name) => {
                let definition = self.environment_definition(name)?;
                Ok(Some(TargetSpec { environment: definition.name.clone(), identity: Map::new(), values: definition.target_values() }))
            }
        }
    }

    /// The environment that a run was started in, as its file says it now.
    ///
    /// # Errors
    /// As [`environment`](Self::environment).
    pub(super) fn environment_of_run(&self, name: Option<&str>) -> Result<Option<Environment>, AppError> {
        let Some(name) = name else { return Ok(None) };
        match self.environment_named(name) {
            Err(AppError::UnknownEnvironment { name, .. }) => {
                let file = self.environment_file(&name);
                Err(AppError::EnvironmentGone { name, file })
            }
            other => other.map(Some),
        }
    }

    /// An environment, by its name.
    pub(super) fn environment_named(&self, name: &str) -> Result<Environment, AppError> {
        if name == SANDBOX {
            return self.sandbox();
        }
        let definition = self.environment_definition(name)?;
        let mut made = self.environment.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(environment) = made.as_ref().filter(|made| made.definition.as_deref() == Some(&definition)) {
            // Whoever has just logged in is not asked to again.
            return Ok(environment.clone());
        }
        let environment = Environment::of(definition)?;
        *made = Some(environment.clone());
        Ok(environment)
    }

    /// That the environment's systems are those that its file means, and those that a run was started against.
    ///
    /// # Errors
    /// [`AppError::Identity`]
    pub(super) fn prove(&self, environment: &Environment, run: Option<(&Map<String, Value>, RunId)>) -> Result<(), AppError> {
        let file = match &environment.definition {
            Some(definition) => self.shown(&definition.file),
            None => "the sandbox's folder".to_owned(),
        };
        let recorded = run.map(|(identity, run)| (identity, run.short()));
        let recorded = recorded.as_ref().map(|(identity, run)| (*identity, run.as_str()));
        Ok(self.runtime()?.block_on(environment.prove_identity(&file, recorded))?)
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
            sandbox::target_values_with(ready.pooler),
        ))
    }
}
