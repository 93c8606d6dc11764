//! The files of environments: text in, a checked [`EnvironmentDefinition`] and diagnostics out, and their JSON Schema.
//!
//! Must not reach anything or read any other file. Invariants: a definition comes out only where no problem was found; no diagnostic quotes what
//! stands where a secret's source belongs.
//!
//! | file | what it does |
//! |---|---|
//! | `reading` | the tree to the definition, key by key |
//! | `argocd`, `aws`, `pgbouncer`, `postgres`, `prometheus`, `rabbitmq`, `redis` | a system, each in a file of its own |
//! | `via` | the ways to what cannot be reached from here |
//! | `secrets` | where secrets come from, and what looks like one that was written down |
//! | `words` | diagnostics in the words of environments, without secrets |
//! | `schema` | the file's format for editors |

mod argocd;
mod aws;
#[cfg(test)]
mod brokers_tests;
mod pgbouncer;
mod postgres;
mod prometheus;
mod rabbitmq;
mod reading;
mod redis;
mod schema;
mod secrets;
#[cfg(test)]
mod tests;
mod via;
mod words;

use std::path::Path;

pub use schema::environment_schema;

use super::diagnostics::Diagnostics;
use super::reader::Reader;
use super::source::File;
use super::yaml;
use crate::model::catalogue::Catalogue;
use crate::model::environment::EnvironmentDefinition;

/// The code of the problem that an environment does not say its cluster's UID.
pub const NO_UID: &str = "cluster-uid";

/// An environment's file, as far as it can be read.
#[derive(Debug)]
pub struct DraftedEnvironment {
    /// What it says; with problems, only as much of it as has none.
    pub definition: Option<EnvironmentDefinition>,
    /// What is wrong with it.
    pub problems: Diagnostics,
}

/// Loads an environment from its file. `home` is what `~/` stands for in paths; other relative paths begin at the file's folder.
///
/// # Errors
/// Everything that is wrong with the file, each with its place.
pub fn load_environment(path: &Path, home: Option<&Path>) -> Result<EnvironmentDefinition, Diagnostics> {
    let drafted = draft_environment(path, home);
    match drafted.definition {
        Some(definition) if drafted.problems.is_empty() => Ok(definition),
        _ => Err(drafted.problems),
    }
}

/// As [`load_environment`], with what could be read where something is wrong.
pub fn draft_environment(path: &Path, home: Option<&Path>) -> DraftedEnvironment {
    match File::read(path) {
        Ok(file) => drafted(&file, path, home),
        Err(problems) => DraftedEnvironment { definition: None, problems: words::without_secrets(problems, &[]) },
    }
}

fn drafted(file: &File, path: &Path, home: Option<&Path>) -> DraftedEnvironment {
    let catalogue = Catalogue::new([]);
    let mut reader = reading::EnvironmentReader::new(Reader::new(file, &catalogue), path, home);
    let root = yaml::parse(file, &mut reader.inner.problems);
    let definition = root.and_then(|root| reader.environment(&root));
    let hidden = reader.hidden;
    DraftedEnvironment { definition, problems: words::without_secrets(reader.inner.problems.finish(), &hidden) }
}
