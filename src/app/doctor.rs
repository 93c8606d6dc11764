//! Whether runs can be made here: this machine, the playbooks, an environment, and what its account may do.
//!
//! Must not change anything on a target, nor make a database, a lock or a folder. Invariant: one thing that is wrong does not keep the others from
//! being looked at, and all of it ends within bounded time.

use std::collections::BTreeMap;
use std::path::Path;

use rustix::fs::{Access, access};
use serde::Serialize;

use super::doctor_access::{AccessExam, PlaybookAccess};
use super::environment_check::{EnvironmentCheck, Finding, Verdict};
use super::{App, AppError};
use crate::engine::lock_files::FileLocks;
use crate::model::catalogue::Catalogue;
use crate::model::change::ObjectRef;
use crate::model::definition::Definition;
use crate::playbook::{self, BindError, Diagnostics};
use crate::store::check_place;

/// What is to be looked at.
#[derive(Clone, Debug, Default)]
pub struct DoctorRequest {
    /// Playbooks by name or file; empty: all of the root.
    pub playbooks: Vec<String>,
    /// The environment; `None`: only this machine and the playbooks.
    pub environment: Option<String>,
    /// Parameters as given, for those of the playbooks that have them.
    pub params: BTreeMap<String, String>,
}

/// What was found.
#[derive(Debug, Serialize)]
pub struct Doctor {
    /// Of this machine.
    pub machine: Vec<Finding>,
    /// Playbooks that cannot be loaded.
    pub invalid: Vec<InvalidPlaybook>,
    /// Of the environment, where one was named.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub environment: Option<EnvironmentCheck>,
    /// Of the account, where the environment has a cluster that could be asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub access: Option<AccessExam>,
}

/// A playbook that cannot be loaded.
#[derive(Debug, Serialize)]
pub struct InvalidPlaybook {
    /// Its name, or its file where it lies elsewhere.
    pub name: String,
    /// What is wrong with it and all that it calls.
    pub problems: Diagnostics,
}

impl Doctor {
    /// The worst that was found.
    pub fn verdict(&self) -> Verdict {
        let playbooks = self.invalid.iter().map(|_| Verdict::Invalid);
        let environment = self.environment.iter().map(EnvironmentCheck::verdict);
        let findings = self.machine.iter().chain(self.access.iter().flat_map(|access| &access.findings)).map(|finding| finding.verdict);
        let steps = self.access.iter().flat_map(|access| &access.playbooks).map(PlaybookAccess::verdict);
        findings.chain(playbooks).chain(environment).chain(steps).max().unwrap_or(Verdict::Good)
    }
}

impl App {
    /// Looks at everything that was asked for.
    ///
    /// # Errors
    /// When there is no such playbook or environment, or a parameter fits none of the playbooks.
    pub fn doctor(&self, request: &DoctorRequest) -> Result<Doctor, AppError> {
        let catalogue = self.catalogue()?;
        let (definitions, invalid) = self.definitions(&request.playbooks, &catalogue)?;
        let bound = bind(&definitions, &request.params)?;
        let mut machine = vec![good("version", format!("runsheet {}", env!("CARGO_PKG_VERSION"))), self.state(), locks()];
        machine.push(self.loaded(definitions.len(), invalid.len()));
        machine.extend(self.plugin_findings()?);
        let mut doctor = Doctor { machine, invalid, environment: None, access: None };
        let Some(name) = &request.environment else { return Ok(doctor) };
        let check = self.check_environment(name)?;
        if reaches_its_cluster(&check) {
            let environment = self.environment_named(name)?;
            if environment.connections.kubernetes().is_some() {
                let playbooks: Vec<_> = definitions.iter().zip(&bound).collect();
                doctor.access = Some(self.examine_access(&environment, &catalogue, &playbooks)?);
            }
        }
        doctor.environment = Some(check);
        Ok(doctor)
    }

    fn definitions(&self, given: &[String], catalogue: &Catalogue) -> Result<(Vec<Definition>, Vec<InvalidPlaybook>), AppError> {
        let all: Vec<String> = match given {
            [] => self.list()?.into_iter().map(|listed| listed.name).collect(),
            given => given.to_vec(),
        };
        let (mut definitions, mut invalid) = (Vec::new(), Vec::new());
        for given in all {
            let checked = self.check(&given, catalogue)?;
            if !checked.problems.is_empty() {
                invalid.push(InvalidPlaybook { name: checked.name, problems: checked.problems });
            } else if checked.name == given && Path::new(&given).is_file() {
                // A file elsewhere calls nothing of the root's.
                match self.load(Path::new(&given), catalogue) {
                    Ok(playbook) => {
                        let (root, none) = (playbook.name.clone(), BTreeMap::new());
                        let playbooks = BTreeMap::from([(root.clone(), playbook)]);
                        definitions.push(Definition { playbooks, root, sources: none, plugins: BTreeMap::new() });
                    }
                    Err(problems) => invalid.push(InvalidPlaybook { name: given, problems }),
                }
            } else {
                definitions.push(self.definition(&checked.name)?);
            }
        }
        Ok((definitions, invalid))
    }

    fn loaded(&self, good_ones: usize, invalid: usize) -> Finding {
        let what = "playbooks";
        match (good_ones, invalid) {
            (0, 0) => finding(what, Verdict::Notice, "there is no playbook yet", Some("`runsheet schema` helps an editor with the first")),
            (1, 0) => good(what, "1 playbook can be loaded".to_owned()),
            (all, 0) => good(what, format!("{all} playbooks can be loaded")),
            (all, wrong) => {
                let text = format!("{wrong} of {} playbooks cannot be loaded", all + wrong);
                finding(what, Verdict::Invalid, &text, Some("`runsheet validate` shows each mistake with its place"))
            }
        }
    }

    /// Whether the database can be read, and written or made.
    fn state(&self) -> Finding {
        let what = "state";
        let file = &self.locations.state;
        let shown = self.shown(file);
        let opened = check_place(file).and_then(|()| self.store_if_any().map(|store| store.is_some()));
        match opened {
            Ok(true) => good(what, format!("{shown} can be read and written")),
            Ok(false) => good(what, format!("{shown} is not there yet; the first run can make it")),
            Err(error) => finding(what, Verdict::Refused, &error.to_string(), Some(error.hint())),
        }
    }
}

/// Whether the folder of locks can be used, or made.
fn locks() -> Finding {
    let what = "locks";
    let file = FileLocks::machine_wide().file(&ObjectRef(String::new()));
    let folder = file.parent().unwrap_or(Path::new("."));
    let there = folder.ancestors().find(|folder| folder.symlink_metadata().is_ok()).unwrap_or(Path::new("."));
    let shown = folder.display();
    if !there.is_dir() {
        let text = format!("locks cannot be kept in {shown}: {} is not a folder", there.display());
        return finding(what, Verdict::Refused, &text, Some("remove it, or name another folder by RUNSHEET_LOCK_DIR"));
    }
    if access(there, Access::WRITE_OK | Access::EXEC_OK).is_err() {
        let text = format!("locks cannot be kept in {shown}: this account may not write in {}", there.display());
        return finding(what, Verdict::Refused, &text, Some("check the folder's permissions; RUNSHEET_LOCK_DIR names another"));
    }
    good(what, format!("{shown} can be used"))
}

/// The parameters of each playbook: those that were given to it, and its defaults.
fn bind(definitions: &[Definition], given: &BTreeMap<String, String>) -> Result<Vec<serde_json::Map<String, serde_json::Value>>, AppError> {
    let has = |definition: &Definition, name: &str| definition.root().params.iter().any(|param| param.name == name);
    if let Some(name) = given.keys().find(|name| !definitions.iter().any(|definition| has(definition, name))) {
        let problem = BindError {
            param: name.clone(),
            message: format!("no playbook that is looked at has a parameter `{name}`"),
            hint: Some("`runsheet show PLAYBOOK` lists its parameters".to_owned()),
        };
        return Err(AppError::Params { playbook: String::new(), problems: vec![problem] });
    }
    let of = |definition: &Definition| {
        let own: BTreeMap<String, String> =
            given.iter().filter(|(name, _)| has(definition, name)).map(|(name, value)| (name.clone(), value.clone())).collect();
        // What is not given is not known yet; what is given must fit.
        let mut known = definition.root().clone();
        known.params.retain(|param| param.default.is_some() || own.contains_key(&param.name));
        playbook::bind(&known, &own).map_err(|problems| AppError::Params { playbook: definition.root.clone(), problems })
    };
    definitions.iter().map(of).collect()
}

/// Whether the account's rights are worth asking for: of the cluster that is meant, by credentials that it takes.
fn reaches_its_cluster(check: &EnvironmentCheck) -> bool {
    let wrong = |finding: &Finding| {
        ["kubeconfig", "cluster", "uid"].contains(&finding.what.as_str()) && matches!(finding.verdict, Verdict::Invalid | Verdict::Refused)
    };
    check.problems.is_empty() && !check.findings.iter().any(wrong)
}

pub(super) fn finding(what: &str, verdict: Verdict, text: &str, hint: Option<&str>) -> Finding {
    Finding { what: what.to_owned(), verdict, text: text.to_owned(), hint: hint.map(str::to_owned) }
}

pub(super) fn good(what: &str, text: String) -> Finding {
    finding(what, Verdict::Good, &text, None)
}
