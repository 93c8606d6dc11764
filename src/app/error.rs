//! Why something could not be done, for people, with what to do.

use std::path::{Path, PathBuf};

use crate::engine::EngineError;
use crate::engine::ownership::OwnershipError;
use crate::environment::{IdentityError, KubeconfigError, SecretsError};
use crate::model::change::ObjectRef;
use crate::model::id::ContentHash;
use crate::playbook::{BindError, LoadError};
use crate::ports::journal::JournalError;
use crate::sandbox::SandboxError;
use crate::store::FindError;

/// Why something could not be done.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    /// There is no folder with playbooks.
    #[error("{}", no_root(from, *given))]
    NoRoot {
        /// Where it was looked for.
        from: PathBuf,
        /// Whether that was said on the command line.
        given: bool,
    },
    /// A playbook cannot be loaded.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// Parameters are missing or wrong.
    #[error("{}", list(problems))]
    Params {
        /// The playbook.
        playbook: String,
        /// Each one.
        problems: Vec<BindError>,
    },
    /// A `var` has no value.
    #[error("playbook {playbook}: {why}")]
    Vars {
        /// The playbook.
        playbook: String,
        /// Which, and why.
        why: String,
        /// What to add to the environment, where that mends it.
        hint: Option<String>,
    },
    /// It is known before the start that the run cannot work.
    #[error("{playbook} cannot work as things are, and was not started\n{problems}")]
    Impossible {
        /// The playbook.
        playbook: String,
        /// Which steps, and why.
        problems: String,
        /// What to do.
        hint: String,
    },
    /// An environment has to be named.
    #[error("this run needs an environment, and none was named")]
    NoEnvironment {
        /// The names that there are.
        known: Vec<String>,
    },
    /// There is no such environment.
    #[error("there is no environment `{name}`")]
    UnknownEnvironment {
        /// As given.
        name: String,
        /// The names that there are.
        known: Vec<String>,
    },
    /// The environment that a run was started in has no file any more.
    #[error("the environment `{name}`, in which the run was started, has no file any more")]
    EnvironmentGone {
        /// Its name.
        name: String,
        /// Where the file would be.
        file: PathBuf,
    },
    /// The kubeconfig gives no way to the cluster.
    #[error(transparent)]
    Kubeconfig(#[from] KubeconfigError),
    /// The playbook uses what this version has not.
    #[error("{what}")]
    NotSupported {
        /// What.
        what: String,
        /// What to do.
        hint: String,
    },
    /// A plugin of the run is not there as it was when the run was started.
    #[error("the run was started with the plugin `{name}` in the version {}, which is not there any more", short(hash))]
    PluginGone {
        /// Its name.
        name: String,
        /// The hash of its files.
        hash: ContentHash,
        /// Where its copy was kept.
        folder: PathBuf,
    },
    /// Something is wrong with a plugin or with its folder.
    #[error("{what}")]
    Plugin {
        /// What.
        what: String,
        /// What to do.
        hint: String,
    },
    /// There is no such plugin.
    #[error("there is no plugin `{name}`")]
    UnknownPlugin {
        /// As given.
        name: String,
        /// The names that there are.
        known: Vec<String>,
    },
    /// Secrets cannot be had.
    #[error(transparent)]
    Secrets(#[from] SecretsError),
    /// The target is not the one that the run was started against, or does not say which it is.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// The sandbox does not do what it should.
    #[error(transparent)]
    Sandbox(#[from] SandboxError),
    /// Another live process has the run.
    #[error(transparent)]
    Owned(#[from] OwnershipError),
    /// What the run would change is locked by somebody else.
    #[error("{} is locked by {by}", object.in_words())]
    Locked {
        /// On what.
        object: ObjectRef,
        /// Who holds it.
        by: String,
    },
    /// A lock cannot be tried.
    #[error(transparent)]
    Lock(crate::ports::lock::LockError),
    /// The store failed.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// No run, or more than one, is meant by that.
    #[error(transparent)]
    Find(#[from] FindError),
    /// There is no run at all.
    #[error("there are no runs yet in {}", state.display())]
    NoRuns {
        /// The database.
        state: PathBuf,
    },
    /// The run has been told, and refuses.
    #[error("{why}")]
    Refused {
        /// Why, and what to do instead.
        why: String,
    },
    /// The operating system does not give what is needed.
    #[error("{what}: {}", without_number(why))]
    System {
        /// What.
        what: String,
        /// Why.
        why: String,
    },
}

/// As much of a hash as people need to tell two versions apart.
pub(super) fn short(hash: &ContentHash) -> &str {
    &hash.0[..hash.0.len().min(12)]
}

fn no_root(from: &Path, given: bool) -> String {
    let shown = from.display();
    match (given, from.is_dir()) {
        (false, _) => format!("neither {shown} nor any folder above it holds a folder `playbooks`"),
        (true, true) => format!("{shown} holds no folder `playbooks`"),
        (true, false) if from.exists() => format!("{shown} is a file, not a folder"),
        (true, false) => format!("there is no folder {shown}"),
    }
}

/// What the system said, without the number that it gives it.
pub(crate) fn without_number(why: &str) -> &str {
    why.split(" (os error").next().unwrap_or(why)
}

fn list(problems: &[BindError]) -> String {
    problems.iter().map(|problem| problem.message.clone()).collect::<Vec<_>>().join("\n")
}

impl From<EngineError> for AppError {
    fn from(error: EngineError) -> Self {
        match error {
            EngineError::Journal(error) => Self::Journal(error),
            EngineError::Locked { object, by } => Self::Locked { object, by },
            EngineError::Lock(error) => Self::Lock(error),
        }
    }
}

impl AppError {
    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::NoRoot { given: true, .. } => "name the folder that holds `playbooks` with `--root` (or RUNSHEET_ROOT)".to_owned(),
            Self::NoRoot { .. } => "go to the folder that holds your playbooks, or name it with `--root`".to_owned(),
            Self::Load(LoadError::Unknown { hint, .. }) => hint.clone(),
            Self::Load(LoadError::Invalid(_)) => return None,
            Self::Vars { hint, .. } => return hint.clone(),
            Self::Impossible { hint, .. } => hint.clone(),
            Self::Params { playbook, problems } => {
                let hints: Vec<String> = problems.iter().filter_map(|problem| problem.hint.clone()).collect();
                if hints.is_empty() { format!("`runsheet show {playbook}` lists its parameters") } else { hints.join("\n") }
            }
            Self::NoEnvironment { known } => format!("name one with `--env`: {}", known.join(", ")),
            Self::UnknownEnvironment { known, .. } => format!("there are: {}", known.join(", ")),
            Self::EnvironmentGone { file, .. } => format!("put {} back: a run goes on only where it was started", file.display()),
            Self::Kubeconfig(error) => error.hint(),
            Self::NotSupported { hint, .. } => hint.clone(),
            Self::PluginGone { name, folder, .. } => format!(
                "put that version back into plugins/{name}, or its copy into {}: a run goes on only with the plugins it was started with; `runsheet cancel` ends it as it is",
                folder.display()
            ),
            Self::Plugin { hint, .. } => hint.clone(),
            Self::UnknownPlugin { known, .. } if known.is_empty() => "`runsheet plugin new NAME` writes one".to_owned(),
            Self::UnknownPlugin { known, .. } => format!("there are: {}", known.join(", ")),
            Self::Secrets(_) => "a secret's value is never stored: it has to be there again for `runsheet resume`".to_owned(),
            Self::Identity(error) => error.hint(),
            Self::Sandbox(SandboxError::Io { .. }) => {
                "check the path and its permissions, or name another database with `--state`: the sandbox lies beside it".to_owned()
            }
            Self::Sandbox(_) => "`runsheet sandbox status` tells how it is; `runsheet sandbox reset` makes a new one".to_owned(),
            Self::Owned(error) => match error {
                OwnershipError::Owned { run, .. } => format!(
                    "follow it with `runsheet status {0} --follow`; approve, skip, cancel and the like reach it from here",
                    run.short()
                ),
                OwnershipError::Unusable { .. } => "check the folder's permissions".to_owned(),
            },
            Self::Locked { .. } => "wait for its end, or start with `--wait`; `runsheet runs` shows what is open".to_owned(),
            Self::Lock(error) => error.hint.clone(),
            Self::Journal(error) => error.hint().to_owned(),
            Self::Find(FindError::Journal(error)) => error.hint().to_owned(),
            Self::Find(_) => "`runsheet runs` lists them".to_owned(),
            Self::NoRuns { .. } => "start one: `runsheet list` shows the playbooks".to_owned(),
            Self::Refused { .. } => return None,
            Self::System { .. } => {
                "mend that (permissions, free space, limits), then try again; runs that were started stay as they are".to_owned()
            }
        })
    }
}
