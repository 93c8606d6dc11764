//! What a run is started with, worked out before anything is recorded.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::{App, AppError};
use crate::environment::{Environment, POSTGRES_PASSWORD, SecretValues, resolve};
use crate::machine;
use crate::model::definition::Definition;
use crate::model::id::RunId;
use crate::model::playbook::SecretDeclaration;
use crate::model::run::RunSpec;
use crate::model::step::Uses;
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
        refuse_monitor(&definition)?;
        let root = definition.root();
        let params =
            playbook::bind(root, &request.params).map_err(|problems| AppError::Params { playbook: root.name.clone(), problems })?;
        let environment = self.environment(&definition, request.environment.as_deref())?;
        secrets_of(&definition, environment.as_ref())?;
        let target = environment.as_ref().map(|environment| environment.spec.clone());
        if let Some(environment) = &environment {
            self.prove(environment, None)?;
        }
        let (params, vars) =
            machine::start::bind(root, params, target.as_ref()).map_err(|why| AppError::Vars { playbook: root.name.clone(), why })?;
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
    let mut declared: BTreeMap<&str, &SecretDeclaration> = BTreeMap::new();
    // The root's own declaration wins over a called playbook's of the same name.
    let called = definition.playbooks.values().filter(|playbook| playbook.name != definition.root);
    for playbook in called.chain([definition.root()]) {
        declared.extend(playbook.secrets.iter().map(|secret| (secret.name.as_str(), secret)));
    }
    let declared: Vec<SecretDeclaration> = declared.into_values().cloned().collect();
    let none = BTreeMap::new();
    let sources = environment.map_or(&none, |environment| &environment.secret_sources);
    let mut secrets = resolve(&declared, sources)?;
    if let Some(password) = environment.and_then(Environment::postgres_password) {
        // Not for steps: so that it is kept out of every text.
        secrets.insert(POSTGRES_PASSWORD, password);
    }
    Ok(secrets)
}

fn refuse_monitor(definition: &Definition) -> Result<(), AppError> {
    for playbook in definition.playbooks.values() {
        if let Some(step) = playbook.steps.iter().find(|step| matches!(step.uses, Uses::Monitor { .. })) {
            return Err(AppError::NotSupported {
                what: format!(
                    "{}.yaml, line {}: step `{}` uses `monitor`, which this version does not run yet",
                    playbook.name, step.line, step.id
                ),
                hint: "use `wait` with a condition, or take the step out".to_owned(),
            });
        }
    }
    Ok(())
}
