//! The playbooks of the root, and the actions that they may use.

use std::sync::Arc;

use super::{App, AppError};
use crate::actions::{command, http, kubernetes};
use crate::environment::{Connections, SecretValues};
use crate::model::catalogue::Catalogue;
use crate::model::definition::Definition;
use crate::playbook;
use crate::ports::action::{Action, Actions};

impl App {
    /// Every action, with these ways to the target's systems.
    ///
    /// # Errors
    /// When this program does not know where it is itself: it supervises commands.
    pub fn actions(&self, connections: Arc<Connections>, secrets: &SecretValues) -> Result<Actions, AppError> {
        let supervisor = std::env::current_exe()
            .map_err(|error| AppError::System { what: "this program's own file cannot be found".to_owned(), why: error.to_string() })?;
        let secrets = secrets.clone();
        let redactions = Arc::new(move || {
            use secrecy::ExposeSecret;
            secrets.iter().map(|(name, value)| (name.to_owned(), value.expose_secret().to_owned())).collect()
        });
        let mut all: Vec<Arc<dyn Action>> = command::builtin(command::CommandSettings { supervisor, redactions });
        all.extend(http::builtin(&connections));
        all.extend(kubernetes::builtin(&connections));
        Ok(Actions::new(all))
    }

    /// What there is to know about every action.
    ///
    /// # Errors
    /// As [`App::actions`].
    pub fn catalogue(&self) -> Result<Catalogue, AppError> {
        Ok(self.actions(Arc::new(Connections::new()), &SecretValues::new())?.catalogue())
    }

    /// A playbook with all that it calls.
    ///
    /// # Errors
    /// [`AppError::Load`]
    pub fn definition(&self, name: &str) -> Result<Definition, AppError> {
        Ok(playbook::load_definition(&self.locations.playbooks(), name, &self.catalogue()?)?)
    }
}
