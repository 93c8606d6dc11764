//! From a file, or a text, to a checked playbook.
//!
//! Must not read any other file: `definition` does. Invariant: a playbook comes out only where no problem was found.

use std::path::Path;

use super::check::{self, Declared, OutputUse};
use super::diagnostics::Diagnostics;
use super::header;
use super::reader::Reader;
use super::source::File;
use super::step::Call;
use super::template::Scope;
use super::yaml;
use crate::model::catalogue::Catalogue;
use crate::model::playbook::Playbook;

/// A file as far as it can be read by itself.
pub(super) struct Loaded {
    pub(super) file: File,
    pub(super) playbook: Option<Playbook>,
    pub(super) diagnostics: Diagnostics,
    pub(super) calls: Vec<Call>,
    pub(super) output_uses: Vec<OutputUse>,
}

/// Loads a playbook from its file. What it calls is not looked at: [`load_definition`](super::load_definition) does that.
///
/// # Errors
/// Everything that is wrong with the file, each with its place.
pub fn load(path: &Path, catalogue: &Catalogue) -> Result<Playbook, Diagnostics> {
    let stem = path.file_stem().map(|stem| stem.to_string_lossy().into_owned());
    finish(read(File::read(path)?, stem.as_deref(), catalogue))
}

/// Loads a playbook from its text; `name` is what messages call it.
///
/// # Errors
/// Everything that is wrong with the text, each with its place.
pub fn load_text(name: &str, text: &str, catalogue: &Catalogue) -> Result<Playbook, Diagnostics> {
    finish(read(File::new(name, text)?, None, catalogue))
}

fn finish(loaded: Loaded) -> Result<Playbook, Diagnostics> {
    match loaded.playbook {
        Some(playbook) if loaded.diagnostics.is_empty() => Ok(playbook),
        _ => Err(loaded.diagnostics),
    }
}

/// Reads a file's text; `stem` is the name that the playbook must have.
pub(super) fn read(file: File, stem: Option<&str>, catalogue: &Catalogue) -> Loaded {
    let mut calls = Vec::new();
    let mut output_uses = Vec::new();
    let (playbook, diagnostics) = {
        let mut reader = Reader::new(&file, catalogue);
        let root = yaml::parse(&file, &mut reader.problems);
        let playbook = root.and_then(|root| playbook(&mut reader, &root, stem, &mut calls, &mut output_uses));
        (playbook, reader.problems.finish())
    };
    Loaded { file, playbook, diagnostics, calls, output_uses }
}

fn playbook(
    reader: &mut Reader<'_>,
    root: &yaml::Node,
    stem: Option<&str>,
    calls: &mut Vec<Call>,
    output_uses: &mut Vec<OutputUse>,
) -> Option<Playbook> {
    reader.map(root, "a playbook", &header::KEYS)?;
    let top = reader.file.place(root.span.start, 1);
    let name = match root.get("playbook") {
        Some(at) => {
            let name = reader.text(at, "the name of a playbook").unwrap_or_default();
            if reader.file_name(&name, at.span, "the name of a playbook")
                && let Some(stem) = stem.filter(|stem| *stem != name)
            {
                let hint = format!("write `playbook: {stem}`, or rename the file to {name}.yaml");
                reader.problems.hint("name", at.span, format!("the playbook is called `{name}`, and its file {stem}.yaml"), hint);
            }
            name
        }
        None => {
            reader.missing(top, "a playbook", "playbook", "begin with `playbook: NAME`");
            String::new()
        }
    };
    let summary = match root.get("summary") {
        Some(at) => reader.text(at, "`summary`").unwrap_or_default(),
        None => {
            reader.missing(top, "a playbook", "summary", "say in one line what it is for");
            String::new()
        }
    };
    let filled = |key: &str| root.get(key).filter(|node| !matches!(node.kind, yaml::Kind::Null));
    let params = filled("params").map(|node| reader.params(node)).unwrap_or_default();
    let secrets = filled("secrets").map(|node| reader.secrets(node)).unwrap_or_default();
    let scope = Scope { what: "`vars`", ..Scope::TOP };
    let vars = filled("vars").map(|node| reader.named(node, "`vars`", scope)).unwrap_or_default();
    let mut steps = Vec::new();
    match filled("steps") {
        Some(node) => {
            let items = reader.items(node, "`steps`");
            if items.is_empty() && matches!(node.kind, yaml::Kind::List(_)) {
                reader.problems.add("missing-key", node.span, "a playbook needs at least one step");
            }
            for item in items {
                // A step that cannot be read has no index, so that the others keep theirs.
                let index = steps.len();
                let first = reader.occurrences.len();
                match reader.step(item, index, calls) {
                    Some(step) => steps.push(step),
                    None => {
                        reader.occurrences.truncate(first);
                        calls.retain(|call| call.step != index);
                    }
                }
            }
        }
        None => reader.missing(top, "a playbook", "steps", "list at least one step under `steps:`"),
    }
    let scope = Scope { what: "`outputs`", steps: true, null: true, ..Scope::TOP };
    let outputs = filled("outputs").map(|node| reader.named(node, "`outputs`", scope)).unwrap_or_default();
    let order = check::order_vars(reader, &vars);
    let unreadable = filled("steps").is_some_and(|node| matches!(&node.kind, yaml::Kind::List(items) if items.len() != steps.len()));
    if !unreadable {
        *output_uses = check::check(reader, &Declared { params: &params, secrets: &secrets, vars: &vars, steps: &steps });
    }
    let mut values: Vec<Option<_>> = vars.into_iter().map(|var| Some((var.name, var.value))).collect();
    Some(Playbook {
        name,
        summary,
        params,
        secrets,
        vars: order.into_iter().filter_map(|at| values.get_mut(at).and_then(Option::take)).collect(),
        steps: steps.into_iter().map(|drafted| drafted.step).collect(),
        outputs: outputs.into_iter().map(|output| (output.name, output.value)).collect(),
        needs_target: reader.needs_target,
    })
}
