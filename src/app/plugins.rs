//! The plugins of the root, and the copies that runs keep of those they use.
//!
//! Invariant: a run executes the plugins that it was started with, by the hash of their files, and no others; editing one changes nothing under a run.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use serde::Serialize;
use serde_json::Value;

use super::environment_check::{Finding, Verdict};
use super::error::short;
use super::playbooks::{Checked, catalogue, own_program, redactions};
use super::{App, AppError};
use crate::environment::{Connections, SecretValues};
use crate::model::definition::Definition;
use crate::model::id::ContentHash;
use crate::model::instruction::Command;
use crate::model::outcome::Failure;
use crate::model::step::Effect;
use crate::playbook::{Diagnostic, Diagnostics};
use crate::plugins::{self, BrokenPlugin, FILE, Opened, Plugin, PluginSettings, Plugins, Problem, SkeletonError, Ways};

/// What there is to know about a plugin.
#[derive(Clone, Debug, Serialize)]
pub struct ShownPlugin {
    /// Its name.
    pub name: String,
    /// One line for people; empty where it cannot be used.
    pub summary: String,
    /// Its folder.
    pub folder: PathBuf,
    /// The hash of its files.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hash: Option<ContentHash>,
    /// Its executable.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub executable: Option<PathBuf>,
    /// Programs that it needs.
    pub needs: Vec<PluginProgram>,
    /// Its actions.
    pub actions: Vec<ShownAction>,
    /// What is wrong with it.
    pub problems: Diagnostics,
}

/// A program that a plugin needs.
#[derive(Clone, Debug, Serialize)]
pub struct PluginProgram {
    /// Its name.
    pub program: String,
    /// Whether it is in `PATH`.
    pub found: bool,
    /// How to get it.
    pub hint: String,
}

/// An action of a plugin.
#[derive(Clone, Debug, Serialize)]
pub struct ShownAction {
    /// Its name: `k6.run`.
    pub name: String,
    /// One line for people.
    pub summary: String,
    /// What a second execution would mean.
    pub effect: Effect,
}

/// How a plugin was found to be.
#[derive(Debug, Serialize)]
pub struct PluginCheck {
    /// Its name.
    pub name: String,
    /// What is wrong with its files.
    pub problems: Diagnostics,
    /// What was found when it was talked with.
    pub findings: Vec<Finding>,
}

impl PluginCheck {
    /// Whether nothing is wrong with it.
    pub fn is_good(&self) -> bool {
        self.problems.is_empty() && self.findings.iter().all(|finding| matches!(finding.verdict, Verdict::Good | Verdict::Notice))
    }
}

/// The environment's ways to private hosts, for plugins.
struct PluginWays(Arc<Connections>);

#[async_trait]
impl Ways for PluginWays {
    fn hosts(&self) -> Vec<(String, Option<u16>)> {
        self.0.ways().map(|via| (via.host.clone(), via.port)).collect()
    }

    async fn open(&self, host: &str, port: u16) -> Result<Opened, Failure> {
        let reach = self.0.reach(host, port).await.map_err(|error| {
            let message = error.to_string();
            let failure = if error.is_transient() { Failure::transient(message) } else { Failure::permanent(message) };
            failure.hint(error.hint())
        })?;
        let address = reach.address().ok_or_else(|| Failure::permanent(format!("there is no way to {host}:{port}")))?;
        Ok(Opened { address, held: Box::new(reach) })
    }
}

impl App {
    /// The folder of plugins.
    pub fn plugins_folder(&self) -> PathBuf {
        self.locations.root.join("plugins")
    }

    /// Where runs keep copies of the plugins they use.
    fn kept_plugins(&self) -> PathBuf {
        self.locations.state_folder().join("plugins")
    }

    /// What plugins need beside their inputs.
    pub(super) fn plugin_settings(&self, connections: &Arc<Connections>, secrets: &SecretValues) -> Result<PluginSettings, AppError> {
        let root = std::path::absolute(&self.locations.root)
            .map_err(|error| AppError::System { what: "the root's own path cannot be found".to_owned(), why: error.to_string() })?;
        Ok(PluginSettings {
            supervisor: own_program()?,
            redactions: redactions(secrets),
            root,
            hosts: connections.hosts().map(|(host, address)| (host.to_owned(), address.to_string())).collect(),
            confined: connections.is_confined(),
            ways: Arc::new(PluginWays(Arc::clone(connections))),
        })
    }

    /// The plugins of the root, read once.
    pub(super) fn plugins(&self) -> Result<&Plugins, AppError> {
        if let Some(plugins) = self.plugins.get() {
            return Ok(plugins);
        }
        let builtin: BTreeSet<String> =
            catalogue()?.iter().filter_map(|entry| entry.name.split_once('.').map(|(first, _)| first.to_owned())).collect();
        let taken = |name: &str| builtin.contains(name);
        let plugins = Plugins::load(&self.plugins_folder(), taken).map_err(error)?;
        Ok(self.plugins.get_or_init(|| plugins))
    }

    /// The plugins whose actions a definition uses, with the hashes of their files.
    pub(super) fn plugins_used(&self, definition: &Definition) -> Result<BTreeMap<String, ContentHash>, AppError> {
        let plugins = self.plugins()?;
        if plugins.good.is_empty() {
            return Ok(BTreeMap::new());
        }
        // Wherever a playbook may name an action: a name that stands elsewhere ties the run to a plugin that it does not need, which does no harm.
        let mut used = BTreeMap::new();
        let playbooks = serde_json::to_value(&definition.playbooks)
            .map_err(|error| AppError::System { what: "the playbook cannot be looked through".to_owned(), why: error.to_string() })?;
        each_text(&playbooks, &mut |text| {
            if let Some(plugin) = plugins.of_action(text) {
                used.insert(plugin.manifest.name.clone(), plugin.hash.clone());
            }
        });
        Ok(used)
    }

    /// Keeps copies of the plugins that a run will use.
    pub(super) fn keep_plugins(&self, definition: &Definition) -> Result<(), AppError> {
        for name in definition.plugins.keys() {
            if let Some(plugin) = self.plugins()?.get(name) {
                plugin.keep(&self.kept_plugins()).map_err(error)?;
            }
        }
        Ok(())
    }

    /// The plugins of a run, as they were when it was started. What only ends it needs none.
    ///
    /// # Errors
    /// [`AppError::PluginGone`]
    pub(super) fn plugins_of_run(&self, definition: &Definition, commands: &[(Command, Option<String>)]) -> Result<Vec<Plugin>, AppError> {
        let only_ends = !commands.is_empty() && commands.iter().all(|(command, _)| matches!(command, Command::Cancel { rollback: false }));
        let mut found = Vec::new();
        for (name, hash) in &definition.plugins {
            let folder = self.kept_plugins();
            let kept = Plugin::kept(&folder, name, hash);
            let root = || self.plugins().ok().and_then(|plugins| plugins.get(name)).filter(|plugin| plugin.hash == *hash);
            match kept {
                Some(plugin) => found.push(plugin),
                None => match root() {
                    Some(plugin) => {
                        plugin.keep(&folder).map_err(error)?;
                        found.extend(Plugin::kept(&folder, name, hash));
                    }
                    None if only_ends => {}
                    None => return Err(AppError::PluginGone { name: name.clone(), hash: hash.clone(), folder }),
                },
            }
        }
        Ok(found)
    }

    /// The plugins of the root, those that cannot be used included, by name.
    ///
    /// # Errors
    /// When their folder cannot be read.
    pub fn list_plugins(&self) -> Result<Vec<ShownPlugin>, AppError> {
        let plugins = self.plugins()?;
        let broken = plugins.broken.iter().map(|plugin| ShownPlugin {
            name: plugin.name.clone(),
            summary: String::new(),
            folder: plugin.folder.clone(),
            hash: None,
            executable: None,
            needs: Vec::new(),
            actions: Vec::new(),
            problems: self.problems(plugin),
        });
        let mut all: Vec<ShownPlugin> = plugins.good.iter().map(shown).chain(broken).collect();
        all.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(all)
    }

    /// One of them.
    ///
    /// # Errors
    /// When there is none of that name.
    pub fn plugin(&self, name: &str) -> Result<ShownPlugin, AppError> {
        let all = self.list_plugins()?;
        let known = all.iter().map(|plugin| plugin.name.clone()).collect();
        let unknown = || AppError::UnknownPlugin { name: name.to_owned(), known };
        all.into_iter().find(|plugin| plugin.name == name).ok_or_else(unknown)
    }

    /// The plugins that cannot be used, with what is wrong.
    ///
    /// # Errors
    /// When their folder cannot be read.
    pub fn broken_plugins(&self) -> Result<Vec<Checked>, AppError> {
        let plugins = self.plugins()?;
        let checked = |plugin: &BrokenPlugin| Checked {
            name: format!("plugin {}", plugin.name),
            path: plugin.folder.join(FILE),
            problems: self.problems(plugin),
        };
        Ok(plugins.broken.iter().map(checked).collect())
    }

    /// Looks at a plugin's files, and talks with it. It is not asked to change anything.
    ///
    /// # Errors
    /// When there is no such plugin.
    pub fn check_plugin(&self, name: &str) -> Result<PluginCheck, AppError> {
        let shown = self.plugin(name)?;
        let mut check = PluginCheck { name: shown.name, problems: shown.problems, findings: Vec::new() };
        let Some(plugin) = self.plugins()?.get(name) else { return Ok(check) };
        let files = tempfile::tempdir()
            .map_err(|error| AppError::System { what: "no temporary folder can be made".to_owned(), why: error.to_string() })?;
        let settings = self.plugin_settings(&Arc::new(Connections::new()), &SecretValues::new())?;
        let found = self.runtime()?.block_on(plugins::check(plugin, &settings, files.path()));
        check.findings = found
            .into_iter()
            .map(|checked| {
                let verdict = match (checked.good, &checked.hint) {
                    (true, None) => Verdict::Good,
                    (true, Some(_)) => Verdict::Notice,
                    (false, _) => Verdict::Invalid,
                };
                Finding { what: name.to_owned(), verdict, text: checked.text, hint: checked.hint }
            })
            .collect();
        Ok(check)
    }

    /// Writes a new plugin that works; its files.
    ///
    /// # Errors
    /// When the name is none or taken, or the files cannot be written.
    pub fn new_plugin(&self, name: &str) -> Result<Vec<PathBuf>, AppError> {
        let builtin = catalogue()?.iter().any(|entry| entry.name.split('.').next() == Some(name));
        let written =
            if builtin { Err(SkeletonError::Taken(name.to_owned())) } else { plugins::write_skeleton(&self.plugins_folder(), name) };
        written.map_err(|error| {
            let hint = match &error {
                SkeletonError::Name(_) | SkeletonError::Taken(_) | SkeletonError::Exists(_) => "take another name",
                SkeletonError::Unwritable { .. } => "check the permissions and the free space of the root",
            };
            AppError::Plugin { what: error.to_string(), hint: hint.to_owned() }
        })
    }

    /// What `doctor` says of the plugins; nothing where there are none.
    pub(super) fn plugin_findings(&self) -> Result<Vec<Finding>, AppError> {
        let all = self.list_plugins()?;
        let broken: Vec<&str> = all.iter().filter(|plugin| !plugin.problems.is_empty()).map(|plugin| plugin.name.as_str()).collect();
        let mut findings = Vec::new();
        let finding = |verdict, text: String, hint: Option<String>| Finding { what: "plugins".to_owned(), verdict, text, hint };
        if !broken.is_empty() {
            let text = format!("{} of {} plugins cannot be used: {}", broken.len(), all.len(), broken.join(", "));
            findings.push(finding(Verdict::Invalid, text, Some("`runsheet plugin check` shows each mistake with its place".to_owned())));
        } else if !all.is_empty() {
            let text = format!("{} can be used", if all.len() == 1 { "1 plugin".to_owned() } else { format!("{} plugins", all.len()) });
            findings.push(finding(Verdict::Good, text, None));
        }
        for plugin in &all {
            for need in plugin.needs.iter().filter(|need| !need.found) {
                let text = format!("the plugin {} needs `{}`, which is not in PATH", plugin.name, need.program);
                findings.push(finding(Verdict::Notice, text, Some(need.hint.clone())));
            }
        }
        Ok(findings)
    }

    fn problems(&self, plugin: &BrokenPlugin) -> Diagnostics {
        let diagnostic = |problem: &Problem| {
            let rest = problem.source_line.chars().skip(problem.column.saturating_sub(1) as usize).collect::<String>();
            Diagnostic {
                code: "plugin",
                message: problem.message.clone(),
                path: self.shown(&problem.path),
                line: problem.line,
                column: problem.column,
                length: u32::try_from(rest.trim_end().chars().count()).unwrap_or(1).max(1),
                source_line: problem.source_line.clone(),
                label: None,
                hint: problem.hint.clone(),
            }
        };
        Diagnostics { problems: plugin.problems.iter().map(diagnostic).collect(), more: 0 }
    }
}

fn shown(plugin: &Plugin) -> ShownPlugin {
    let manifest = &plugin.manifest;
    let needs = manifest.needs.iter().map(|need| PluginProgram {
        program: need.program.clone(),
        found: plugins::missing(std::slice::from_ref(need)).is_none(),
        hint: need.hint.clone(),
    });
    let actions = manifest.actions.iter().map(|action| ShownAction {
        name: action.entry.name.clone(),
        summary: action.entry.summary.clone(),
        effect: action.entry.effect,
    });
    ShownPlugin {
        name: manifest.name.clone(),
        summary: manifest.summary.clone(),
        folder: plugin.folder.clone(),
        hash: Some(plugin.hash.clone()),
        executable: Some(manifest.executable.clone()),
        needs: needs.collect(),
        actions: actions.collect(),
        problems: Diagnostics::default(),
    }
}

impl ShownPlugin {
    /// As much of its hash as people need to tell two versions apart.
    pub fn version(&self) -> Option<&str> {
        self.hash.as_ref().map(short)
    }
}

fn error(problem: Problem) -> AppError {
    AppError::Plugin { what: problem.message, hint: problem.hint.unwrap_or_default() }
}

fn each_text(value: &Value, found: &mut impl FnMut(&str)) {
    match value {
        Value::String(text) => found(text),
        Value::Array(items) => items.iter().for_each(|item| each_text(item, found)),
        Value::Object(map) => map.values().for_each(|item| each_text(item, found)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}
