//! What a run is started with, worked out before anything is recorded.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::{App, AppError};
use crate::environment::{Environment, SecretValues, resolve};
use crate::machine;
use crate::model::definition::Definition;
use crate::model::id::RunId;
use crate::model::instruction::Command;
use crate::model::playbook::SecretDeclaration;
use crate::model::run::RunSpec;
use crate::playbook;
use crate::ports::journal::Journal;
use crate::store::definition_hash;

/// What was asked for.
#[derive(Clone, Debug)]
pub struct Request {
    /// The playbook.
    pub playbook: String,
    /// Parameters as given: `-p name=value`.
    pub params: BTreeMap<String, String>,
    /// The environment, where one was named.
    pub environment: Option<String>,
    /// How many steps may be at work at once.
    pub max_parallel: u32,
}

/// A run that could be started.
pub struct Prepared {
    /// What it executes.
    pub definition: Definition,
    /// What it is.
    pub spec: RunSpec,
    /// Where it acts.
    pub environment: Option<Environment>,
}

impl App {
    /// Loads, binds, and looks whether everything that the run needs is there. Records nothing.
    ///
    /// # Errors
    /// [`AppError`]
    pub fn prepare(&self, request: &Request) -> Result<Prepared, AppError> {
        let definition = self.definition(&request.playbook)?;
        let root = definition.root();
        let params =
            playbook::bind(root, &request.params).map_err(|problems| AppError::Params { playbook: root.name.clone(), problems })?;
        let environment = self.environment(&definition, request.environment.as_deref())?;
        secrets_of(&definition, environment.as_ref())?;
        let target = environment.as_ref().map(|environment| environment.spec.clone());
        if let Some(environment) = &environment {
            self.prove(environment, None)?;
        }
        let (params, vars) = machine::start::bind(root, params, target.as_ref()).map_err(|why| {
            let hint = self.remedy(&why, target.as_ref());
            AppError::Vars { playbook: root.name.clone(), why, hint }
        })?;
        let spec = RunSpec {
            playbook: root.name.clone(),
            definition: definition_hash(&definition),
            params,
            vars,
            target,
            max_parallel: request.max_parallel.max(1),
            by: super::operator(),
        };
        Ok(Prepared { definition, spec, environment })
    }

    /// Records the run. From here on it exists, and can be resumed.
    ///
    /// # Errors
    /// [`AppError::Journal`]
    pub fn create(&self, prepared: &Prepared) -> Result<RunId, AppError> {
        self.keep_plugins(&prepared.definition)?;
        let run = RunId::generate();
        let events = machine::start(prepared.spec.clone());
        let store = self.store()?;
        futures::executor::block_on(store.create(run, &prepared.definition, Timestamp::now(), events))?;
        Ok(run)
    }
}

/// The secrets of a definition: those of the playbook and of all that it calls.
///
/// # Errors
/// [`AppError::Secrets`]
pub(super) fn secrets_of(definition: &Definition, environment: Option<&Environment>) -> Result<SecretValues, AppError> {
    let declared = declared(definition);
    let none = BTreeMap::new();
    let sources = environment.map_or(&none, |environment| &environment.secret_sources);
    let mut secrets = resolve(&declared, sources)?;
    // Not for steps: so that they are kept out of every text.
    for (place, value) in environment.map(Environment::credentials).unwrap_or_default() {
        secrets.insert(place, value);
    }
    Ok(secrets)
}

/// The same as far as they are there: for what ends a run, leaves a step out or takes it back. A step that needs one that is missing fails with its name.
pub(super) fn secrets_at_hand(definition: &Definition, environment: Option<&Environment>) -> SecretValues {
    let none = BTreeMap::new();
    let sources = environment.map_or(&none, |environment| &environment.secret_sources);
    let mut secrets = SecretValues::new();
    for declaration in declared(definition) {
        if let Ok(found) = resolve(std::slice::from_ref(&declaration), sources)
            && let Some(value) = found.get(&declaration.name)
        {
            secrets.insert(declaration.name, value.clone());
        }
    }
    for (place, value) in environment.map(Environment::credentials).unwrap_or_default() {
        secrets.insert(place, value);
    }
    secrets
}

/// Whether an operator's commands only end, leave out or take back.
pub(super) fn go_without_secrets(commands: &[(Command, Option<String>)]) -> bool {
    let only = |command: &Command| match command {
        Command::Cancel { .. }
        | Command::Rollback { .. }
        | Command::Skip { .. }
        | Command::MarkDone { .. }
        | Command::Reject { .. }
        | Command::Pause => true,
        Command::Approve { .. } | Command::Retry { .. } | Command::Resume => false,
    };
    !commands.is_empty() && commands.iter().all(|(command, _)| only(command))
}

fn declared(definition: &Definition) -> Vec<SecretDeclaration> {
    let mut declared: BTreeMap<&str, &SecretDeclaration> = BTreeMap::new();
    // The root's own declaration wins over a called playbook's of the same name.
    let called = definition.playbooks.values().filter(|playbook| playbook.name != definition.root);
    for playbook in called.chain([definition.root()]) {
        declared.extend(playbook.secrets.iter().map(|secret| (secret.name.as_str(), secret)));
    }
    declared.into_values().cloned().collect()
}
