//! A playbook as commands for a person's hands.
//!
//! Must not reach a target: it is for the night on which nothing can be reached. Invariant: what is printed needs neither the store nor a run.

use std::collections::BTreeMap;

use super::target::SANDBOX;
use super::{App, AppError};
use crate::model::sheet::Sheet;
use crate::planner;
use crate::playbook;

impl App {
    /// The playbook as commands, with these parameters (the others are variables) and the values of the environment.
    ///
    /// # Errors
    /// When the playbook cannot be loaded, a parameter is unknown or wrong, or the environment does not exist.
    pub fn by_hand(&self, name: &str, given: &BTreeMap<String, String>, environment: Option<&str>) -> Result<Sheet, AppError> {
        let definition = self.definition(name)?;
        let root = definition.root();
        // One that is not given is a variable; one that is given must fit.
        let mut known = root.clone();
        known.params.retain(|param| param.default.is_some() || given.contains_key(&param.name));
        let params = playbook::bind(&known, given).map_err(|problems| AppError::Params { playbook: root.name.clone(), problems })?;
        let target = self.target_by_name(&definition, environment)?;
        let asked = planner::ByHandOf { definition: &definition, catalogue: &self.catalogue()?, params: &params, target: target.as_ref() };
        let mut sheet = planner::sheet(&asked);
        let file = match environment {
            Some(name) if name != SANDBOX => Some(self.environment_definition(name)?),
            _ => None,
        };
        planner::lead_to_cluster(&mut sheet, file.as_ref().and_then(|file| file.kubernetes.as_ref()));
        Ok(sheet)
    }
}
