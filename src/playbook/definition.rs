//! A playbook with all that it calls.
//!
//! Must not read outside the playbooks' folder. Invariant: a definition holds every playbook that any of its playbooks calls, and none calls itself.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::bind::conform;
use super::diagnostics::{Diagnostics, Problems, did_you_mean};
use super::load::{Loaded, read};
use super::reader::{Reader, has_expression, is_name};
use super::source::File;
use super::yaml::Kind;
use crate::model::catalogue::Catalogue;
use crate::model::definition::Definition;
use crate::model::playbook::Playbook;

/// The most playbooks in one definition.
const PLAYBOOKS: usize = 500;

/// Why there is no definition.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// There is no playbook of this name.
    #[error("there is no playbook `{name}` in {}", dir.display())]
    Unknown {
        /// The name.
        name: String,
        /// The folder.
        dir: PathBuf,
        /// What to do.
        hint: String,
    },
    /// It, or one that it calls, is wrong.
    #[error("{0}")]
    Invalid(Diagnostics),
}

/// Loads `NAME.yaml` from the playbooks' folder and everything that it calls, and checks the calls.
///
/// # Errors
/// [`LoadError`]
pub fn load_definition(dir: &Path, name: &str, catalogue: &Catalogue) -> Result<Definition, LoadError> {
    let path = dir.join(format!("{name}.yaml"));
    if !is_name(name, '-') || path.symlink_metadata().is_err() {
        let hint = suggestion(dir, name).unwrap_or_else(|| "`runsheet list` shows what there is".to_owned());
        return Err(LoadError::Unknown { name: name.to_owned(), dir: dir.to_owned(), hint });
    }
    let mut all: BTreeMap<String, Loaded> = BTreeMap::new();
    let mut broken = Diagnostics::default();
    let mut queue = vec![name.to_owned()];
    while let Some(next) = queue.pop() {
        if all.contains_key(&next) {
            continue;
        }
        if all.len() >= PLAYBOOKS {
            let message = format!("`{name}` calls more than {PLAYBOOKS} playbooks, directly or not");
            broken.append(Diagnostics::whole(&path.display().to_string(), "too-large", message, Some("divide it".to_owned())));
            break;
        }
        let path = dir.join(format!("{next}.yaml"));
        match within(dir, &path).and_then(|()| File::read(&path)) {
            Ok(file) => {
                let loaded = read(file, Some(&next), catalogue);
                let callable = |name: &&str| is_name(name, '-') && dir.join(format!("{name}.yaml")).symlink_metadata().is_ok();
                queue.extend(loaded.calls.iter().map(|call| call.name.as_str()).filter(callable).map(str::to_owned));
                all.insert(next, loaded);
            }
            Err(diagnostics) => broken.append(diagnostics),
        }
    }
    let mut found = Diagnostics::default();
    let cycles = cycles(name, &all);
    for (caller, loaded) in &all {
        found.append(loaded.diagnostics.clone());
        found.append(check_calls(dir, caller, loaded, &all, &cycles, catalogue));
    }
    found.append(broken);
    if !found.is_empty() {
        return Err(LoadError::Invalid(found));
    }
    let targeted: BTreeSet<String> = all.keys().filter(|caller| reaches_target(caller, &all, &mut BTreeSet::new())).cloned().collect();
    let mut definition =
        Definition { root: name.to_owned(), playbooks: BTreeMap::new(), sources: BTreeMap::new(), plugins: BTreeMap::new() };
    for (name, loaded) in all {
        definition.sources.insert(name.clone(), loaded.file.text);
        if let Some(mut playbook) = loaded.playbook {
            playbook.needs_target = targeted.contains(&name);
            definition.playbooks.insert(name, playbook);
        }
    }
    Ok(definition)
}

/// Refuses a link that leads out of the folder.
fn within(dir: &Path, path: &Path) -> Result<(), Diagnostics> {
    let (Ok(root), Ok(real)) = (dir.canonicalize(), path.canonicalize()) else { return Ok(()) };
    if real.starts_with(&root) {
        return Ok(());
    }
    let name = path.display().to_string();
    let message = format!("{name} is a symbolic link that leads out of the playbooks' folder, to {}", real.display());
    Err(Diagnostics::whole(&name, "read", message, Some("put the playbook itself in its place".to_owned())))
}

fn suggestion(dir: &Path, name: &str) -> Option<String> {
    let listed = super::list::names(dir);
    did_you_mean(name, listed.iter().map(String::as_str)).or_else(|| {
        if listed.is_empty() {
            None
        } else {
            Some(format!("there are: {}", listed.iter().take(20).cloned().collect::<Vec<_>>().join(", ")))
        }
    })
}

/// Every call (caller, callee) that closes a cycle, with the way round.
fn cycles(root: &str, all: &BTreeMap<String, Loaded>) -> BTreeMap<(String, String), Vec<String>> {
    let mut found = BTreeMap::new();
    let mut done: BTreeSet<&str> = BTreeSet::new();
    // Depth first without recursion: the path, and for each of its members the calls still to be followed.
    for start in std::iter::once(root).chain(all.keys().map(String::as_str)) {
        let mut path: Vec<(&str, Vec<&str>)> = Vec::new();
        if !done.contains(start) {
            path.push((start, called_by(start, all)));
        }
        while let Some((name, rest)) = path.last_mut() {
            let name = *name;
            let Some(next) = rest.pop() else {
                done.insert(name);
                path.pop();
                continue;
            };
            if let Some(at) = path.iter().position(|(member, _)| *member == next) {
                let mut way: Vec<String> = path[at..].iter().map(|(member, _)| (*member).to_owned()).collect();
                way.push(next.to_owned());
                found.insert((name.to_owned(), next.to_owned()), way);
            } else if !done.contains(next) {
                path.push((next, called_by(next, all)));
            }
        }
    }
    found
}

fn called_by<'a>(name: &str, all: &'a BTreeMap<String, Loaded>) -> Vec<&'a str> {
    all.get(name).map(|loaded| loaded.calls.iter().map(|call| call.name.as_str()).collect()).unwrap_or_default()
}

fn reaches_target(name: &str, all: &BTreeMap<String, Loaded>, seen: &mut BTreeSet<String>) -> bool {
    // As deep as calls are nested, which cycles() has shown to end, and seen bounds.
    let mut queue = vec![name.to_owned()];
    while let Some(next) = queue.pop() {
        if !seen.insert(next.clone()) {
            continue;
        }
        let Some(loaded) = all.get(&next) else { continue };
        if loaded.playbook.as_ref().is_some_and(|playbook| playbook.needs_target) {
            return true;
        }
        queue.extend(loaded.calls.iter().map(|call| call.name.clone()));
    }
    false
}

fn check_calls(
    dir: &Path,
    caller: &str,
    loaded: &Loaded,
    all: &BTreeMap<String, Loaded>,
    cycles: &BTreeMap<(String, String), Vec<String>>,
    catalogue: &Catalogue,
) -> Diagnostics {
    let mut reader = Reader::new(&loaded.file, catalogue);
    for call in &loaded.calls {
        if let Some(way) = cycles.get(&(caller.to_owned(), call.name.clone())) {
            let message = if way.len() == 2 {
                format!("`{caller}` calls itself")
            } else {
                format!("these playbooks call each other: {}", way.join(" → "))
            };
            reader.problems.hint("call-cycle", call.span, message, "remove one of these calls");
            continue;
        }
        let Some(callee) = all.get(&call.name) else {
            if dir.join(format!("{}.yaml", call.name)).symlink_metadata().is_err() {
                let hint = suggestion(dir, &call.name).unwrap_or_else(|| format!("write {}.yaml beside this one", call.name));
                reader.problems.hint("unknown-playbook", call.span, format!("there is no playbook `{}`", call.name), hint);
            }
            continue;
        };
        if let Some(playbook) = &callee.playbook {
            check_params(&mut reader, call, playbook);
        }
    }
    check_outputs(&mut reader.problems, loaded, all);
    reader.problems.finish()
}

fn check_params(reader: &mut Reader<'_>, call: &super::step::Call, callee: &Playbook) {
    let empty = Vec::new();
    let given = match call.params.as_ref().map(|params| &params.kind) {
        Some(Kind::Map(given)) => given,
        _ => &empty,
    };
    for (key, value) in given {
        let Some(param) = callee.params.iter().find(|param| param.name == key.name) else {
            let names: Vec<&str> = callee.params.iter().map(|param| param.name.as_str()).collect();
            let hint = did_you_mean(&key.name, names.iter().copied())
                .unwrap_or_else(|| if names.is_empty() { "it takes none".to_owned() } else { format!("it takes: {}", names.join(", ")) });
            reader.problems.hint(
                "unknown-parameter",
                key.span,
                format!("playbook `{}` has no parameter `{}`", callee.name, key.name),
                hint,
            );
            continue;
        };
        if has_expression(value) {
            continue;
        }
        let literal = reader.literal(value, "a parameter");
        if let Err((message, hint)) = conform(param, literal) {
            reader.problems.full(
                "wrong-parameter",
                value.span,
                format!("parameter `{}` of `{}` {message}", param.name, callee.name),
                None,
                hint,
            );
        }
    }
    let missing: Vec<String> = callee
        .params
        .iter()
        .filter(|param| param.default.is_none() && !given.iter().any(|(key, _)| key.name == param.name))
        .map(|param| param.help.as_deref().map_or_else(|| format!("`{}`", param.name), |help| format!("`{}` ({help})", param.name)))
        .collect();
    if !missing.is_empty() {
        let span = call.params.as_ref().map_or(call.with, |params| params.span);
        reader.problems.hint(
            "missing-parameter",
            span,
            format!("playbook `{}` needs {}", callee.name, missing.join(", ")),
            "give it under `params:`",
        );
    }
}

fn check_outputs(problems: &mut Problems<'_>, loaded: &Loaded, all: &BTreeMap<String, Loaded>) {
    let Some(playbook) = &loaded.playbook else { return };
    for used in &loaded.output_uses {
        let Some(step) = playbook.steps.get(used.step) else { continue };
        let call = loaded.calls.iter().find(|call| call.step == used.step);
        let Some(callee) = call.and_then(|call| all.get(&call.name)).and_then(|callee| callee.playbook.as_ref()) else { continue };
        let known: Vec<&str> = callee.outputs.iter().chain(&step.outputs).map(|(name, _)| name.as_str()).collect();
        if !known.contains(&used.output.as_str()) {
            let hint = did_you_mean(&used.output, known.iter().copied()).unwrap_or_else(|| {
                if known.is_empty() {
                    format!("`{}` has none; name one under its `outputs:`", callee.name)
                } else {
                    format!("it has: {}", known.join(", "))
                }
            });
            problems.hint("unknown-output", used.span, format!("playbook `{}` has no output `{}`", callee.name, used.output), hint);
        }
    }
}
