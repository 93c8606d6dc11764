//! The playbooks of the root, and the actions that they may use.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{App, AppError};
use crate::actions::{command, http, kubernetes, postgres};
use crate::environment::{Connections, SecretValues, forms_of};
use crate::model::catalogue::Catalogue;
use crate::model::definition::Definition;
use crate::model::playbook::Playbook;
use crate::playbook::{self, Diagnostics, Listed, LoadError};
use crate::ports::action::{Action, Actions};

impl App {
    /// Every action, with these ways to the target's systems.
    ///
    /// # Errors
    /// When this program does not know where it is itself: it supervises commands.
    pub fn actions(&self, connections: Arc<Connections>, secrets: &SecretValues) -> Result<Actions, AppError> {
        actions(connections, secrets)
    }

    /// What there is to know about every action.
    ///
    /// # Errors
    /// As [`App::actions`].
    pub fn catalogue(&self) -> Result<Catalogue, AppError> {
        catalogue()
    }

    /// A playbook with all that it calls.
    ///
    /// # Errors
    /// [`AppError::Load`]
    pub fn definition(&self, name: &str) -> Result<Definition, AppError> {
        Ok(playbook::load_definition(&self.locations.playbooks(), name, &self.catalogue()?)?)
    }
}

/// What is wrong with a playbook, or nothing.
#[derive(Debug)]
pub struct Checked {
    /// Its name, or its file where it lies elsewhere.
    pub name: String,
    /// Its file.
    pub path: PathBuf,
    /// What is wrong with it and all that it calls.
    pub problems: Diagnostics,
}

impl App {
    /// The playbooks of the root, at a glance.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn list(&self) -> Result<Vec<Listed>, AppError> {
        let folder = self.locations.playbooks();
        playbook::list(&folder)
            .map_err(|error| AppError::System { what: format!("{} cannot be read", folder.display()), why: error.to_string() })
    }

    /// A playbook by itself: what it calls is not looked at.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn load(&self, path: &Path, catalogue: &Catalogue) -> Result<Playbook, Diagnostics> {
        playbook::load(path, catalogue)
    }

    /// Checks a playbook, by its name or its file, with all that it calls.
    ///
    /// # Errors
    /// When there is no such playbook.
    pub fn check(&self, given: &str, catalogue: &Catalogue) -> Result<Checked, AppError> {
        let name = self.name_of(given);
        let path = self.locations.playbooks().join(format!("{name}.yaml"));
        let by_itself = Path::new(given);
        // A file elsewhere calls nothing of the root's.
        let (name, path, checked) = if name == given && by_itself.is_file() {
            let checked = playbook::load(by_itself, catalogue).map(|_| ());
            (given.to_owned(), by_itself.to_owned(), checked)
        } else {
            match playbook::load_definition(&self.locations.playbooks(), &name, catalogue) {
                Ok(_) => (name, path, Ok(())),
                Err(LoadError::Invalid(problems)) => (name, path, Err(problems)),
                Err(error @ LoadError::Unknown { .. }) => return Err(error.into()),
            }
        };
        Ok(Checked { name, path, problems: checked.err().unwrap_or_default() })
    }

    /// The name of a playbook of the root, which may be given by its file: `playbooks/pre-event.yaml`.
    pub fn name_of(&self, given: &str) -> String {
        let path = Path::new(given);
        let folder = path.parent().and_then(|folder| folder.canonicalize().ok());
        let is_ours = path.extension().is_some_and(|extension| extension == "yaml")
            && folder.is_some_and(|folder| self.locations.playbooks().canonicalize().is_ok_and(|ours| ours == folder));
        match path.file_stem() {
            Some(stem) if is_ours => stem.to_string_lossy().into_owned(),
            _ => given.to_owned(),
        }
    }
}

fn actions(connections: Arc<Connections>, secrets: &SecretValues) -> Result<Actions, AppError> {
    let supervisor = std::env::current_exe()
        .map_err(|error| AppError::System { what: "this program's own file cannot be found".to_owned(), why: error.to_string() })?;
    let secrets = secrets.clone();
    let redactions = Arc::new(move || {
        use secrecy::ExposeSecret;
        // In every form: a command may print a secret encoded, and its output goes to files as it comes.
        let forms = |(name, value): (&str, &secrecy::SecretString)| {
            forms_of(value.expose_secret()).into_iter().map(|form| (name.to_owned(), form)).collect::<Vec<_>>()
        };
        secrets.iter().flat_map(forms).collect()
    });
    let mut all: Vec<Arc<dyn Action>> = command::builtin(command::CommandSettings { supervisor, redactions });
    all.extend(http::builtin(&connections));
    all.extend(kubernetes::builtin(&connections));
    all.extend(postgres::builtin(&connections));
    Ok(Actions::new(all))
}

/// What there is to know about every action; needs no root.
///
/// # Errors
/// When this program does not know where it is itself: it supervises commands.
pub fn catalogue() -> Result<Catalogue, AppError> {
    Ok(actions(Arc::new(Connections::new()), &SecretValues::new())?.catalogue())
}

/// The JSON Schema of playbooks, for editors; needs no root.
///
/// # Errors
/// As [`catalogue`].
pub fn schema() -> Result<serde_json::Value, AppError> {
    Ok(playbook::schema(&catalogue()?))
}

/// The JSON Schema of environments' files, for editors; needs no root.
pub fn environment_schema() -> serde_json::Value {
    playbook::environment_schema()
}
