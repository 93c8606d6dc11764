//! Wires it all together: where things are, what a run is started with, who may go on with it, and how it is driven.
//!
//! Architecture invariant: nothing here prints or reads a terminal; `cli` and `server` do. Nothing here decides what happens to a step.

mod by_hand;
mod confirm;
mod detach;
mod doctor;
mod doctor_access;
mod doctor_kinds;
mod doctor_moot;
mod doctor_ways;
mod drive;
mod environment_check;
mod environment_check_via;
mod environments;
mod error;
mod gone;
mod instruct;
mod locations;
mod notify;
mod operator;
mod playbooks;
mod plugins;
mod possible;
mod prepare;
mod runs;
pub mod sandbox;
mod sandbox_shell;
mod step_files;
mod target;

use std::sync::OnceLock;

pub use confirm::Confirmation;
pub use doctor::{Doctor, DoctorRequest, InvalidPlaybook};
pub use doctor_access::{AccessExam, Lack, PlaybookAccess, StepAccess};
pub use drive::Driving;
pub use environment_check::{EnvironmentCheck, Finding, Verdict};
pub use environments::{Draft, DraftOptions, ListedEnvironment};
pub use error::AppError;
pub(crate) use error::without_number;
pub use instruct::Reply;
pub use locations::Locations;
pub use operator::operator;
pub use playbooks::{Checked, catalogue, environment_schema, schema};
pub use plugins::{PluginCheck, PluginProgram, ShownAction, ShownPlugin};
pub use prepare::{Prepared, Request};
pub use step_files::{StepFile, tail};

// The words of the layers beneath in which this one speaks: `cli` and `server` know no other module.
pub use crate::engine::ownership::{OwnedBy, Owner, OwnershipError};
pub use crate::engine::{Ended, Stay, Stop};
pub use crate::playbook::{BindError, Diagnostic, Diagnostics, Listed, LoadError, render};
pub use crate::ports::journal::JournalError;
pub use crate::ports::observer::{Observer, Progress};
pub use crate::store::{Filter, FindError, RunSummary, Runs};

use crate::store::{Access, Store};

/// Everything that commands need. Made for each invocation; what it holds is opened when it is first needed.
pub struct App {
    /// Where things are.
    pub locations: Locations,
    store: OnceLock<std::sync::Arc<Store>>,
    runtime: OnceLock<tokio::runtime::Runtime>,
    /// The environment that was made last: its login is good for as long as its file says the same.
    environment: std::sync::Mutex<Option<crate::environment::Environment>>,
    plugins: OnceLock<crate::plugins::Plugins>,
}

impl App {
    /// An app at these places.
    pub fn new(locations: Locations) -> Self {
        Self {
            locations,
            store: OnceLock::new(),
            runtime: OnceLock::new(),
            environment: std::sync::Mutex::default(),
            plugins: OnceLock::new(),
        }
    }

    /// The store, opened to write (and made) where it is not open yet.
    ///
    /// # Errors
    /// [`JournalError`]
    pub fn store(&self) -> Result<std::sync::Arc<Store>, JournalError> {
        if let Some(store) = self.store.get() {
            return Ok(std::sync::Arc::clone(store));
        }
        let store = std::sync::Arc::new(Store::open(&self.locations.state, Access::ReadWrite)?);
        Ok(std::sync::Arc::clone(self.store.get_or_init(|| store)))
    }

    /// The store to read, or `None` where there is none yet: a question makes no database.
    ///
    /// # Errors
    /// [`JournalError`]
    pub fn store_if_any(&self) -> Result<Option<std::sync::Arc<Store>>, JournalError> {
        if let Some(store) = self.store.get() {
            return Ok(Some(std::sync::Arc::clone(store)));
        }
        if !self.locations.state.exists() {
            return Ok(None);
        }
        Ok(Some(std::sync::Arc::new(Store::open(&self.locations.state, Access::ReadOnly)?)))
    }

    /// The runtime for what is asynchronous, started when it is first needed.
    ///
    /// # Errors
    /// When the operating system gives no threads.
    pub fn runtime(&self) -> Result<&tokio::runtime::Runtime, AppError> {
        if let Some(runtime) = self.runtime.get() {
            return Ok(runtime);
        }
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .map_err(|error| AppError::System { what: "no threads for input and output".to_owned(), why: error.to_string() })?;
        Ok(self.runtime.get_or_init(|| runtime))
    }
}
