//! The playbooks of the root, and the actions that they may use.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{App, AppError};
use crate::actions::{self, command};
use crate::engine::restore::Restore;
use crate::environment::{Connections, SecretValues, forms_of};
use crate::model::catalogue::Catalogue;
use crate::model::definition::Definition;
use crate::model::playbook::Playbook;
use crate::playbook::{self, Diagnostics, Listed, LoadError};
use crate::plugins::{self, Plugin};
use crate::ports::action::{Action, Actions};
use crate::ports::journal::Journal;

impl App {
    /// Every action that a run may use, its plugins' as they were when it started, with these ways to the target's systems, and with the journal.
    ///
    /// # Errors
    /// When this program does not know where it is itself (it supervises commands and plugins), or the store cannot be opened.
    pub fn actions(&self, connections: Arc<Connections>, secrets: &SecretValues, plugins: &[Plugin]) -> Result<Actions, AppError> {
        let settings = self.plugin_settings(&connections, secrets)?;
        let mut all = builtin(connections, secrets)?;
        // What earlier runs changed by other plugins can be given back too, by those as they are now.
        let is_kept = |plugin: &&Plugin| plugins.iter().any(|kept| kept.manifest.name == plugin.manifest.name);
        let others = self.plugins()?.good.iter().filter(|plugin| !is_kept(plugin));
        all.extend(plugins.iter().chain(others).flat_map(|plugin| plugins::actions(plugin, &settings)));
        let others = Actions::new(all);
        let store = self.store()?;
        let restore = Restore::new(Arc::clone(&store) as Arc<dyn Journal>, store, others.clone());
        Ok(others.and([Arc::new(restore) as Arc<dyn Action>]))
    }

    /// What there is to know about every action, those of the root's plugins included.
    ///
    /// # Errors
    /// As [`App::actions`].
    pub fn catalogue(&self) -> Result<Catalogue, AppError> {
        let plugins = self.plugins()?;
        let actions = plugins.good.iter().flat_map(|plugin| &plugin.manifest.actions);
        let entries = catalogue()?.iter().cloned().chain(actions.map(|action| Arc::new(action.entry.clone()))).collect::<Vec<_>>();
        let unusable = plugins.broken.iter().map(|plugin| {
            (plugin.name.clone(), format!("the plugin {0} cannot be used: `runsheet plugin check {0}` says why", plugin.name))
        });
        Ok(Catalogue::new(entries).with_unusable(unusable))
    }

    /// The JSON Schema of playbooks, for editors, with the actions of the root's plugins.
    ///
    /// # Errors
    /// As [`App::catalogue`].
    pub fn schema(&self) -> Result<serde_json::Value, AppError> {
        Ok(playbook::schema(&self.catalogue()?))
    }

    /// A playbook with all that it calls.
    ///
    /// # Errors
    /// [`AppError::Load`]
    pub fn definition(&self, name: &str) -> Result<Definition, AppError> {
        let mut definition = playbook::load_definition(&self.locations.playbooks(), name, &self.catalogue()?)?;
        definition.plugins = self.plugins_used(&definition)?;
        Ok(definition)
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

/// This program's own file: it supervises commands and plugins.
pub(super) fn own_program() -> Result<PathBuf, AppError> {
    std::env::current_exe()
        .map_err(|error| AppError::System { what: "this program's own file cannot be found".to_owned(), why: error.to_string() })
}

/// The secrets that are not to be written anywhere, in every form: a command may print one encoded, and its output goes to files as it comes.
pub(super) fn redactions(secrets: &SecretValues) -> Arc<dyn Fn() -> Vec<(String, String)> + Send + Sync> {
    let secrets = secrets.clone();
    Arc::new(move || {
        use secrecy::ExposeSecret;
        let forms = |(name, value): (&str, &secrecy::SecretString)| {
            forms_of(value.expose_secret()).into_iter().map(|form| (name.to_owned(), form)).collect::<Vec<_>>()
        };
        secrets.iter().flat_map(forms).collect()
    })
}

fn builtin(connections: Arc<Connections>, secrets: &SecretValues) -> Result<Vec<Arc<dyn Action>>, AppError> {
    let settings = command::CommandSettings { supervisor: own_program()?, redactions: redactions(secrets) };
    let mut all: Vec<Arc<dyn Action>> = command::builtin(settings);
    all.extend(actions::builtin(&connections));
    Ok(all)
}

/// What there is to know about every action that is built in; needs no root.
///
/// # Errors
/// When this program does not know where it is itself: it supervises commands.
pub fn catalogue() -> Result<Catalogue, AppError> {
    let others = Actions::new(builtin(Arc::new(Connections::new()), &SecretValues::new())?);
    Ok(others.and([Arc::new(Restore::without_journal()) as Arc<dyn Action>]).catalogue())
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
