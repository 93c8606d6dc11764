//! `plugin.yaml`: what a plugin is, and the actions it brings.
//!
//! Must not start anything. Invariant: a manifest that was read is whole: its schemas are schemas, each input and output says what it is, and what its
//! texts refer to is there.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::{Map, Value};
use serde_saphyr::{DuplicateKeyPolicy, MergeKeyPolicy, Spanned};

use super::page;
use super::problem::{Problem, plain};
use crate::model::by_hand::nothing_by_hand;
use crate::model::catalogue::{ActionEntry, OutputField, touches_nothing};
use crate::model::declared;
use crate::model::permission::needs_nothing;
use crate::model::step::Effect;

/// The manifest's file name.
pub const FILE: &str = "plugin.yaml";
/// The version of the protocol that this program speaks.
pub const PROTOCOL: u32 = 1;
/// The longest manifest, and the longest page, in bytes.
const LONGEST: u64 = 256 * 1024;

/// What `plugin.yaml` says.
#[derive(Clone, Debug)]
pub struct Manifest {
    /// Its name, the same as its folder's.
    pub name: String,
    /// One line for people.
    pub summary: String,
    /// Its executable, from its folder on.
    pub executable: PathBuf,
    /// Programs that it needs on this machine.
    pub needs: Vec<Need>,
    /// Its actions, by name.
    pub actions: Vec<PluginAction>,
}

/// A program that a plugin needs.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, serde::Serialize)]
#[serde(deny_unknown_fields)]
pub struct Need {
    /// Its name, looked up in `PATH`.
    pub program: String,
    /// How to get it.
    pub hint: String,
}

/// One action of a plugin.
#[derive(Clone, Debug)]
pub struct PluginAction {
    /// Its name for the plugin: `run` of `k6.run`.
    pub short: String,
    /// What the catalogue says of it.
    pub entry: ActionEntry,
    /// The JSON Schema of its outputs.
    pub outputs: Value,
    /// Whether the plugin can be asked whether an attempt happened.
    pub verifies: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    plugin: Spanned<String>,
    protocol: Spanned<u32>,
    summary: String,
    executable: Spanned<String>,
    #[serde(default)]
    needs: Vec<Need>,
    actions: Spanned<BTreeMap<String, Spanned<WrittenAction>>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenAction {
    summary: String,
    page: Option<Spanned<String>>,
    effect: Spanned<Effect>,
    #[serde(default)]
    effect_from_step: Option<Spanned<bool>>,
    #[serde(default)]
    observes: Option<Spanned<bool>>,
    #[serde(default)]
    verifies: Option<Spanned<bool>>,
    #[serde(default)]
    reverts: Option<Spanned<bool>>,
    #[serde(default)]
    needs_target: bool,
    #[serde(default)]
    touches: Vec<Spanned<String>>,
    #[serde(default)]
    by_hand: Vec<Spanned<String>>,
    #[serde(default)]
    inputs: Option<Spanned<Value>>,
    #[serde(default)]
    outputs: Option<Spanned<Map<String, Value>>>,
}

/// Reads the manifest of the plugin in this folder.
///
/// # Errors
/// Everything that is wrong with it.
pub(super) fn read(folder: &Path) -> Result<Manifest, Vec<Problem>> {
    let path = folder.join(FILE);
    let text = text_of(&path).map_err(|problem| vec![problem])?;
    let mut options = serde_saphyr::Options::default();
    options.duplicate_keys = DuplicateKeyPolicy::Error;
    options.merge_keys = MergeKeyPolicy::Error;
    options.strict_booleans = true;
    options.leading_zero_numbers_as_strings = true;
    let mut reading = Reading { folder, path: &path, text: &text, problems: Vec::new() };
    let written: Written = match serde_saphyr::from_str_with_options(&text, options) {
        Ok(written) => written,
        Err(error) => {
            let at = error.location().map_or((0, 0), |location| (location.line(), location.column()));
            let message = error.without_snippet().to_string();
            let message = message.split(" at line ").next().unwrap_or(&message).trim_start_matches("error: ").to_owned();
            reading.add(at, message, "docs/plugins.md lists what a manifest has");
            return Err(reading.problems);
        }
    };
    let manifest = reading.manifest(written);
    if reading.problems.is_empty() { Ok(manifest) } else { Err(reading.problems) }
}

fn text_of(path: &Path) -> Result<String, Problem> {
    let unreadable = |error: &std::io::Error| {
        let message = format!("{} cannot be read: {}", path.display(), plain(error));
        Problem::whole(path, message, "each folder of `plugins` holds a `plugin.yaml`: `runsheet plugin new NAME` writes one")
    };
    let size = std::fs::metadata(path).map_err(|error| unreadable(&error))?.len();
    if size > LONGEST {
        let message = format!("{} is {size} bytes long, more than the {LONGEST} that are read", path.display());
        return Err(Problem::whole(path, message, "make it shorter"));
    }
    let bytes = std::fs::read(path).map_err(|error| unreadable(&error))?;
    String::from_utf8(bytes).map_err(|_| Problem::whole(path, format!("{} is not UTF-8", path.display()), "save it as UTF-8"))
}

type Place = (u64, u64);

fn place<T>(spanned: &Spanned<T>) -> Place {
    (spanned.referenced.line(), spanned.referenced.column())
}

struct Reading<'a> {
    folder: &'a Path,
    path: &'a Path,
    text: &'a str,
    problems: Vec<Problem>,
}

impl Reading<'_> {
    fn add(&mut self, (line, column): Place, message: impl Into<String>, hint: impl Into<String>) {
        let number = |value: u64| u32::try_from(value).unwrap_or(u32::MAX);
        let nth = usize::try_from(line.saturating_sub(1)).unwrap_or(usize::MAX);
        let source_line = if line == 0 { "" } else { self.text.lines().nth(nth).unwrap_or_default() };
        self.problems.push(Problem {
            path: self.path.to_owned(),
            line: number(line),
            column: number(column),
            source_line: source_line.to_owned(),
            message: message.into(),
            hint: Some(hint.into()),
        });
    }

    fn manifest(&mut self, written: Written) -> Manifest {
        let Written { plugin, protocol, summary, executable, needs, actions } = written;
        let folder = self.folder.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        if !is_name(&plugin.value, '-') {
            self.add(place(&plugin), format!("`{}` is no name for a plugin", plugin.value), "a name is lower-case letters, digits and `-`");
        } else if plugin.value != folder {
            let message = format!("the plugin calls itself `{}`, and its folder is `{folder}`", plugin.value);
            self.add(place(&plugin), message, "give both the same name");
        }
        if protocol.value != PROTOCOL {
            let message = format!("this plugin speaks version {} of the protocol, and runsheet version {PROTOCOL}", protocol.value);
            self.add(place(&protocol), message, "get a version of the plugin that fits this runsheet");
        }
        self.executable(&executable);
        if actions.value.is_empty() {
            self.add(place(&actions), "a plugin without actions does nothing", "add one under `actions:`");
        }
        let actions = actions.value.into_iter().map(|(short, action)| self.action(&plugin.value, short, action)).collect();
        Manifest { name: plugin.value, summary, executable: PathBuf::from(executable.value), needs, actions }
    }

    fn executable(&mut self, written: &Spanned<String>) {
        use std::os::unix::fs::PermissionsExt;
        let at = place(written);
        let path = Path::new(&written.value);
        if !path.components().all(|part| matches!(part, std::path::Component::Normal(_) | std::path::Component::CurDir)) {
            return self.add(at, format!("`{}` leads out of the plugin's folder", written.value), "put the executable into the folder");
        }
        match std::fs::symlink_metadata(self.folder.join(path)) {
            Err(error) => self.add(at, format!("there is no executable `{}`: {}", written.value, plain(&error)), "put it into the folder"),
            Ok(found) if !found.is_file() => self.add(at, format!("`{}` is not a file", written.value), "name a program or a script"),
            Ok(found) if found.permissions().mode() & 0o111 == 0 => {
                self.add(at, format!("`{}` is not executable", written.value), format!("chmod +x {}", self.folder.join(path).display()));
            }
            Ok(_) => {}
        }
    }

    fn action(&mut self, plugin: &str, short: String, spanned: Spanned<WrittenAction>) -> PluginAction {
        let at = place(&spanned);
        let written = spanned.value;
        let name = format!("{plugin}.{short}");
        if !is_name(&short, '_') {
            self.add(at, format!("`{short}` is no name for an action"), "a name is lower-case letters, digits and `_`");
        }
        let flag = |flag: &Option<Spanned<bool>>| flag.as_ref().is_some_and(|flag| flag.value);
        let effect = written.effect.value;
        let (observes, reverts, verifies) = (flag(&written.observes), flag(&written.reverts), flag(&written.verifies));
        for (key, set) in [("observes", &written.observes), ("reverts", &written.reverts), ("verifies", &written.verifies)] {
            if let Some(set) = set.as_ref().filter(|set| set.value && effect == Effect::Read) {
                self.add(place(set), format!("an action that only reads has no `{key}`"), "remove it: what it reads is what it observes");
            }
        }
        if let Some(set) = written.reverts.as_ref().filter(|set| set.value && !observes) {
            self.add(place(set), "what `reverts` has to observe what was there before", "add `observes: true`");
        }
        let effect_from_step = flag(&written.effect_from_step);
        if let Some(set) = written.effect_from_step.as_ref().filter(|set| set.value && (observes || effect == Effect::Read)) {
            self.add(place(set), "an action that observes knows its own effect", "remove `effect_from_step`");
        }
        let mut inputs = self.inputs(&name, at, written.inputs);
        for (mark, texts) in [(declared::TOUCHES, written.touches), (declared::BY_HAND, written.by_hand)] {
            texts.iter().for_each(|text| self.places(&inputs, text));
            if let Some(inputs) = inputs.as_object_mut().filter(|_| !texts.is_empty()) {
                inputs.insert(mark.to_owned(), texts.into_iter().map(|text| text.value).collect());
            }
        }
        let (outputs, fields) = self.outputs(&name, written.outputs);
        let mut entry = ActionEntry {
            name,
            summary: written.summary,
            page: String::new(),
            inputs,
            outputs: fields,
            effect,
            effect_from_step,
            observes,
            reverts,
            needs_target: written.needs_target,
            immediate: false,
            touches: touches_nothing,
            by_hand: nothing_by_hand,
            permissions: needs_nothing,
        };
        entry.page = match &written.page {
            Some(file) => self.page(&entry.name, file),
            None => page::of(&entry),
        };
        PluginAction { short, entry, outputs, verifies }
    }

    fn page(&mut self, name: &str, file: &Spanned<String>) -> String {
        let path = self.folder.join(&file.value);
        let text = match text_of(&path) {
            Ok(text) if !file.value.contains("..") => text,
            Ok(_) | Err(_) => {
                self.add(place(file), format!("the page `{}` cannot be read", file.value), "put it into the plugin's folder");
                return String::new();
            }
        };
        if !text.starts_with(&format!("# {name}\n")) {
            self.add(place(file), format!("the page of `{name}` does not begin with its name"), format!("begin it with `# {name}`"));
        }
        text
    }

    /// The schema of the inputs: an object that takes nothing that it does not describe.
    fn inputs(&mut self, name: &str, action: Place, written: Option<Spanned<Value>>) -> Value {
        let at = written.as_ref().map_or(action, place);
        let mut schema = match written.map(|written| written.value) {
            None | Some(Value::Null) => Map::new(),
            Some(Value::Object(schema)) => schema,
            Some(_) => {
                self.add(at, format!("the inputs of `{name}` are no schema"), "write a JSON Schema: `properties:` with each input");
                Map::new()
            }
        };
        schema.entry("type").or_insert_with(|| "object".into());
        schema.entry("properties").or_insert_with(|| Value::Object(Map::new()));
        let closed = schema.entry("additionalProperties").or_insert(Value::Bool(false)) == &Value::Bool(false);
        if schema.get("type") != Some(&Value::from("object")) || !closed {
            self.add(
                at,
                format!("the inputs of `{name}` must be an object without other properties"),
                "leave `type` and `additionalProperties` out",
            );
        }
        let schema = Value::Object(schema);
        self.schema(&schema, at, &format!("the inputs of `{name}`"));
        for (input, schema) in schema["properties"].as_object().into_iter().flatten() {
            if schema["description"].as_str().is_none_or(str::is_empty) {
                self.add(at, format!("the input `{input}` of `{name}` has no description"), "say what it is, with its unit");
            }
        }
        schema
    }

    /// The schema of the outputs, and what the catalogue says of them.
    fn outputs(&mut self, name: &str, written: Option<Spanned<Map<String, Value>>>) -> (Value, Vec<OutputField>) {
        let Some(Spanned { value: written, referenced, .. }) = written else {
            return (serde_json::json!({ "type": "object", "additionalProperties": false }), Vec::new());
        };
        let at = (referenced.line(), referenced.column());
        let mut fields = Vec::new();
        for (output, schema) in &written {
            if !is_name(output, '_') {
                self.add(at, format!("`{output}` is no name for an output"), "a name is lower-case letters, digits and `_`");
            }
            let help = schema["description"].as_str().unwrap_or_default();
            if help.is_empty() {
                self.add(at, format!("the output `{output}` of `{name}` has no description"), "say what it is, with its unit");
            }
            let kind = match schema["type"].as_str() {
                Some("object") => "map",
                Some("array") => "list",
                Some(kind @ ("integer" | "string" | "number" | "boolean")) => kind,
                _ => "any",
            };
            fields.push(OutputField { name: output.clone(), kind: kind.to_owned(), help: help.to_owned() });
        }
        let required: Vec<&String> = written.keys().collect();
        let schema = serde_json::json!({ "type": "object", "properties": written, "required": required, "additionalProperties": false });
        self.schema(&schema, at, &format!("the outputs of `{name}`"));
        (schema, fields)
    }

    fn schema(&mut self, schema: &Value, at: Place, what: &str) {
        if leads_elsewhere(schema) {
            return self.add(at, format!("the schema of {what} refers to another file"), "only references within it (`#/…`) are followed");
        }
        if let Err(error) = jsonschema::meta::validate(schema) {
            let within = error.instance_path().to_string();
            let within = if within.is_empty() { String::new() } else { format!(" (at {within})") };
            self.add(at, format!("{what} are no JSON Schema{within}: {error}"), "it is draft 2020-12 unless `$schema` says otherwise");
        }
    }

    fn places(&mut self, inputs: &Value, text: &Spanned<String>) {
        for name in declared::places(&text.value) {
            let first = name.split('.').next().unwrap_or_default();
            if first != "target" && inputs["properties"].get(first).is_none() {
                let hint = "write `{INPUT}`, `{target.environment}` or `{target.NAME}` of what the target says that it is";
                self.add(place(text), format!("there is no input `{first}`"), hint);
            }
        }
    }
}

fn leads_elsewhere(schema: &Value) -> bool {
    match schema {
        Value::Object(map) => map.iter().any(|(key, value)| {
            let elsewhere = key == "$ref" && value.as_str().is_some_and(|to| !to.starts_with('#'));
            elsewhere || leads_elsewhere(value)
        }),
        Value::Array(items) => items.iter().any(leads_elsewhere),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    }
}

/// Lower-case letters, digits and one more character, beginning with a letter.
pub(super) fn is_name(name: &str, also: char) -> bool {
    name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.len() <= 64
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == also)
}
