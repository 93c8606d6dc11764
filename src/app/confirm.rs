//! What has to be confirmed before a run starts, and what whoever confirms it is shown.
//!
//! Must not ask: whoever has a terminal does. Invariant: what is shown is made from the very values that the run would be started with.

use std::collections::BTreeSet;

use super::prepare::{Prepared, Request, secrets_of};
use super::target::SANDBOX;
use super::{App, AppError};
use crate::environment::{Environment, KubernetesAccess, Redactor};
use crate::model::notification::{Confirm, NotifyRule};
use crate::model::preview::{Fact, Foreseen, Preview};
use crate::planner;

/// What an environment wants of the runs in it.
#[derive(Clone, Debug, Default)]
pub(super) struct Wishes {
    /// How they are confirmed.
    pub confirm: Confirm,
    /// Who is told of them.
    pub notify: Vec<NotifyRule>,
    /// What else there is to know of the target before its namespace and identity: the context.
    pub facts: Vec<Fact>,
}

/// What has to be confirmed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Confirmation {
    /// The environment's name.
    pub environment: String,
    /// How.
    pub confirm: Confirm,
}

impl Wishes {
    /// What this environment wants. The sandbox wants nothing.
    pub fn of(environment: &Environment) -> Self {
        let Some(definition) = &environment.definition else { return Self::default() };
        let mut facts = Vec::new();
        if let Some(KubernetesAccess::Login(login)) = environment.connections.kubernetes() {
            let mut fact = |name: &str, value: Option<&str>| {
                facts.extend(value.map(|value| Fact { name: name.to_owned(), value: value.to_owned() }));
            };
            fact("context", login.context());
            fact("cluster", Some(login.url()));
            fact("account", login.user());
        }
        Self { confirm: definition.confirm, notify: definition.notify.clone(), facts }
    }
}

impl App {
    /// What has to be confirmed before this run starts; `None`: nothing, since it acts on the sandbox, or on no target at all.
    pub fn confirmation(&self, prepared: &Prepared) -> Option<Confirmation> {
        let environment = prepared.environment.as_ref()?;
        let name = &environment.spec.environment;
        (name != SANDBOX).then(|| Confirmation { environment: name.clone(), confirm: Wishes::of(environment).confirm })
    }

    /// What has to be confirmed before a run in this environment is taken back; `None`: a yes is enough, as in the sandbox.
    ///
    /// # Errors
    /// When the environment's file is gone, or cannot be read.
    pub fn confirmation_in(&self, environment: Option<&str>) -> Result<Option<Confirmation>, AppError> {
        let Some(name) = environment.filter(|name| *name != SANDBOX) else { return Ok(None) };
        let definition = self.environment_definition(name).map_err(|error| match error {
            AppError::UnknownEnvironment { name, .. } => AppError::EnvironmentGone { file: self.environment_file(&name), name },
            other => other,
        })?;
        Ok(Some(Confirmation { environment: name.to_owned(), confirm: definition.confirm }))
    }

    /// What the run would do, as far as that is known now. Asks the target nothing.
    ///
    /// # Errors
    /// As [`App::catalogue`].
    pub fn preview(&self, prepared: &Prepared, request: &Request) -> Result<Preview, AppError> {
        let given: BTreeSet<String> = request.params.keys().cloned().collect();
        let facts = prepared.environment.as_ref().map(|environment| Wishes::of(environment).facts).unwrap_or_default();
        let catalogue = self.catalogue()?;
        let mut preview = planner::preview(planner::Asked {
            definition: &prepared.definition,
            spec: &prepared.spec,
            given: &given,
            catalogue: &catalogue,
            facts: &facts,
        });
        // Somebody may have written a secret's text into a playbook or a parameter all the same.
        let redactor = Redactor::of(&secrets_of(&prepared.definition, prepared.environment.as_ref())?);
        for param in &mut preview.params {
            param.value = redactor.value(std::mem::take(&mut param.value));
        }
        for (_, input) in preview.steps.iter_mut().flat_map(|step| &mut step.inputs) {
            if let Foreseen::Known(value) = input {
                *value = redactor.value(std::mem::take(value));
            }
        }
        Ok(preview)
    }
}
