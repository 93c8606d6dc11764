//! The paths among jq's expressions: `.spec.template.spec.containers[] | select(.name == "app") | .env`. What else jq can do is not told.
//!
//! Must not guess. Invariant: an expression that is not read whole is none; one that is read selects just what jq's `del` of it would remove.

use serde_json::Value;

/// A step on the way down.
#[derive(Clone, Debug, PartialEq)]
enum Step {
    /// `.name`
    Key(String),
    /// `[0]`
    Index(usize),
    /// `[]`
    Each,
    /// `select(.name == "x")`
    Select(Vec<String>, Value),
}

/// An expression that is a path.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Path(Vec<Step>);

impl Path {
    /// Reads one; `None` where it is anything else than a path.
    pub(super) fn read(text: &str) -> Option<Self> {
        let mut rest = text.trim();
        let mut steps = Vec::new();
        while !rest.is_empty() {
            let (mut found, after) = step(rest)?;
            steps.append(&mut found);
            rest = after.trim_start();
            if let Some(after) = rest.strip_prefix('|') {
                rest = after.trim_start();
                if rest.is_empty() {
                    return None;
                }
            }
        }
        (!steps.is_empty()).then_some(Self(steps))
    }

    /// What it selects in an object, as the names and places on the way.
    pub(super) fn selected(&self, object: &Value) -> Vec<Vec<String>> {
        let mut at: Vec<(Vec<String>, Option<&Value>)> = vec![(Vec::new(), Some(object))];
        for step in &self.0 {
            at = at.into_iter().flat_map(|(path, value)| next(step, path, value)).collect();
        }
        at.into_iter().map(|(path, _)| path).collect()
    }
}

fn next<'a>(step: &Step, path: Vec<String>, value: Option<&'a Value>) -> Vec<(Vec<String>, Option<&'a Value>)> {
    let with = |name: String, value: Option<&'a Value>| {
        let mut path = path.clone();
        path.push(name);
        (path, value)
    };
    match step {
        Step::Key(name) => vec![with(name.clone(), value.and_then(|value| value.get(name)))],
        Step::Index(index) => vec![with(index.to_string(), value.and_then(|value| value.get(index)))],
        Step::Each => match value {
            Some(Value::Array(list)) => list.iter().enumerate().map(|(index, value)| with(index.to_string(), Some(value))).collect(),
            Some(Value::Object(map)) => map.iter().map(|(name, value)| with(name.clone(), Some(value))).collect(),
            _ => Vec::new(),
        },
        Step::Select(inner, wanted) => {
            let found = value.and_then(|value| inner.iter().try_fold(value, |at, name| at.get(name)));
            if found == Some(wanted) { vec![(path, value)] } else { Vec::new() }
        }
    }
}

/// The first step or steps, and what comes after them.
fn step(text: &str) -> Option<(Vec<Step>, &str)> {
    if let Some(inner) = text.strip_prefix("select(") {
        let (condition, after) = inner.split_once(')')?;
        let (path, wanted) = condition.split_once("==")?;
        let wanted = serde_json::from_str(wanted.trim()).ok()?;
        let keys = Path::read(path)?.0.into_iter().map(|step| if let Step::Key(name) = step { Some(name) } else { None });
        return Some((vec![Step::Select(keys.collect::<Option<_>>()?, wanted)], after));
    }
    let (mut steps, rest) = if let Some(rest) = text.strip_prefix('[') {
        let (step, rest) = bracket(rest)?;
        (vec![step], rest)
    } else {
        let rest = text.strip_prefix('.')?;
        if let Some(inner) = rest.strip_prefix('[') {
            let (step, rest) = bracket(inner)?;
            (vec![step], rest)
        } else if rest.starts_with('"') {
            let (name, rest) = string(rest)?;
            (vec![Step::Key(name)], rest)
        } else {
            let end = rest.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(rest.len());
            let name = rest.get(..end).filter(|name| name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_'))?;
            (vec![Step::Key(name.to_owned())], rest.get(end..)?)
        }
    };
    let rest = rest.strip_prefix('?').unwrap_or(rest);
    // A bracket may follow without a dot.
    if rest.starts_with('[') {
        let (mut more, rest) = step(rest)?;
        steps.append(&mut more);
        return Some((steps, rest));
    }
    Some((steps, rest))
}

/// After a `[`.
fn bracket(text: &str) -> Option<(Step, &str)> {
    if let Some(rest) = text.strip_prefix(']') {
        return Some((Step::Each, rest));
    }
    if text.starts_with('"') {
        let (name, rest) = string(text)?;
        return Some((Step::Key(name), rest.strip_prefix(']')?));
    }
    let (index, rest) = text.split_once(']')?;
    Some((Step::Index(index.trim().parse().ok()?), rest))
}

/// A text in quotes, without any that is escaped.
fn string(text: &str) -> Option<(String, &str)> {
    let (name, rest) = text.strip_prefix('"')?.split_once('"')?;
    (!name.contains('\\')).then(|| (name.to_owned(), rest))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn paths_select_what_jq_would() {
        let object = json!({
            "metadata": { "annotations": { "a.b/c": "1" } },
            "spec": { "replicas": 2, "list": [{ "name": "a", "env": [{ "name": "X" }] }, { "name": "b" }] },
        });
        for (text, wanted) in [
            (".spec.replicas", vec!["spec/replicas"]),
            (".spec.missing", vec!["spec/missing"]),
            (".spec", vec!["spec"]),
            (".metadata.annotations.\"a.b/c\"", vec!["metadata/annotations/a.b/c"]),
            (".metadata.annotations[\"a.b/c\"]", vec!["metadata/annotations/a.b/c"]),
            (".spec.list[].env", vec!["spec/list/0/env", "spec/list/1/env"]),
            (".spec.list[]?.env[]?", vec!["spec/list/0/env/0"]),
            (".spec.list[1].name", vec!["spec/list/1/name"]),
            (".spec.list[] | select(.name == \"b\")", vec!["spec/list/1"]),
            (".spec.list[]|select(.name==\"a\").env[] | select(.name == \"X\") | .value", vec!["spec/list/0/env/0/value"]),
            (".spec.list[] | select(.name == \"z\")", vec![]),
            (".spec.nothing[]", vec![]),
        ] {
            let path = Path::read(text).unwrap_or_else(|| panic!("{text}"));
            let found: Vec<String> = path.selected(&object).iter().map(|path| path.join("/")).collect();
            assert_eq!(found, wanted, "{text}");
        }
    }

    #[test]
    fn what_is_no_path_is_none() {
        for text in [
            "",
            ".",
            "spec.replicas",
            ".spec | keys",
            "..",
            ".spec.list[] | select(.name | test(\"a\"))",
            ".spec.list[] | select(.name != \"a\")",
            ".spec.list[] | select(.a == \"x\" or .b == \"y\")",
            ".spec.list[-1]",
            ".spec.list[0:2]",
            ".spec.a-b",
            ".spec |",
            "del(.spec)",
        ] {
            assert_eq!(Path::read(text), None, "{text}");
        }
    }
}
