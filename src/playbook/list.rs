//! The playbooks of a folder, at a glance.
//!
//! Must not check them: a list of a hundred playbooks has to come at once, so that each file is read only as far as its name and summary.
//! Invariant: a file that cannot be read is listed all the same, with its problem.

use std::path::{Path, PathBuf};

use granit_parser::{Event, Parser};

use super::source::File;

/// One playbook of a folder.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Listed {
    /// Its file's name without `.yaml`, which is also its own.
    pub name: String,
    /// One line for people; empty where it could not be read.
    pub summary: String,
    /// Its file.
    pub path: PathBuf,
    /// What is wrong with it, as far as was looked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

/// The playbooks of a folder, by name. A folder that is not there holds none.
///
/// # Errors
/// When the folder is there and cannot be read.
pub fn list(dir: &Path) -> std::io::Result<Vec<Listed>> {
    let entries = match std::fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut listed = Vec::new();
    for entry in entries {
        let path = entry?.path();
        let stem = path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
        match path.extension().and_then(|extension| extension.to_str()) {
            Some("yaml") => listed.push(look(path, stem)),
            Some("yml") => {
                let problem = Some(format!("rename it to {stem}.yaml: playbooks end in `.yaml`"));
                listed.push(Listed { name: stem, summary: String::new(), path, problem });
            }
            _ => {}
        }
    }
    listed.sort_by(|a, b| a.name.cmp(&b.name).then_with(|| a.path.cmp(&b.path)));
    Ok(listed)
}

/// The names of the playbooks of a folder.
pub(super) fn names(dir: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    let paths = entries.map(|entry| entry.path()).filter(|path| path.extension().is_some_and(|extension| extension == "yaml"));
    let mut names: Vec<String> = paths.filter_map(|path| Some(path.file_stem()?.to_str()?.to_owned())).collect();
    names.sort();
    names
}

fn look(path: PathBuf, name: String) -> Listed {
    let (summary, problem) = match File::read(&path) {
        Err(diagnostics) => (String::new(), diagnostics.problems.first().map(|problem| problem.message.clone())),
        Ok(file) => {
            let (own, summary, problem) = head(&file);
            let problem = problem.or_else(|| match own {
                None => Some("it has no `playbook: NAME` at the top".to_owned()),
                Some(own) if own != name => Some(format!("it is called `{own}`, and its file {name}.yaml")),
                Some(_) => None,
            });
            (summary.unwrap_or_default(), problem)
        }
    };
    Listed { name, summary, path, problem }
}

/// Name, summary and problem, reading no further than needed.
fn head(file: &File) -> (Option<String>, Option<String>, Option<String>) {
    let (mut name, mut summary) = (None, None);
    let (mut depth, mut key): (usize, Option<String>) = (0, None);
    for event in Parser::new_from_str(&file.text) {
        match event {
            Err(error) => return (name, summary, Some(format!("line {}: it is not YAML: {}", error.marker().line(), error.info()))),
            Ok((Event::MappingStart(..) | Event::SequenceStart(..), _)) => {
                depth += 1;
                key = None;
            }
            Ok((Event::MappingEnd | Event::SequenceEnd, _)) => {
                depth = depth.saturating_sub(1);
                key = None;
            }
            Ok((Event::Scalar(text, ..), _)) if depth == 1 => match key.take().as_deref() {
                None => key = Some(text.into_owned()),
                Some("playbook") => name = Some(text.into_owned()),
                Some("summary") => summary = Some(text.lines().next().unwrap_or_default().to_owned()),
                Some(_) => {}
            },
            Ok(_) => {}
        }
        if name.is_some() && summary.is_some() {
            break;
        }
    }
    (name, summary, None)
}
