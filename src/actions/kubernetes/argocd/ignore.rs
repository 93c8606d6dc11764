//! Which fields an Application leaves as they are (`ignoreDifferences`): by JSON pointers, by jq's paths, and by who manages them.
//!
//! Must not ask anything. Invariant: a field counts as ignored only where the whole of what would be changed is.

use serde::Deserialize;
use serde_json::Value;

use super::jq;
use super::tracking::Thing;
use crate::actions::kubernetes::field_path::FieldPath;
use crate::actions::kubernetes::swap_fields::MANAGER;

/// A rule as it is written.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct RuleText {
    group: String,
    kind: String,
    name: String,
    namespace: String,
    #[serde(rename = "jsonPointers")]
    json_pointers: Vec<String>,
    #[serde(rename = "jqPathExpressions")]
    jq_path_expressions: Vec<String>,
    managed_fields_managers: Vec<String>,
}

/// A rule.
#[derive(Clone, Debug)]
pub(super) struct Rule {
    text: RuleText,
    /// It is one of the installation's for a kind, and names no object.
    everywhere: bool,
}

/// Whether a field is ignored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ignored {
    /// It is.
    Yes,
    /// It is not.
    No,
    /// An expression says so that cannot be told.
    Untold,
}

impl Rule {
    /// One of an Application.
    pub(super) fn of(rule: &Value) -> Option<Self> {
        RuleText::deserialize(rule).ok().map(|text| Self { text, everywhere: false })
    }

    /// One of the installation's for a kind.
    pub(super) fn of_all(text: RuleText) -> Self {
        Self { text, everywhere: true }
    }

    /// Whether it is about this object.
    fn is_about(&self, thing: &Thing<'_>) -> bool {
        let RuleText { group, kind, name, namespace, .. } = &self.text;
        let named = |pattern: &str, text: &str| pattern.is_empty() || glob(pattern, text);
        self.everywhere
            || (glob(group, thing.group)
                && glob(kind, thing.kind)
                && named(name, thing.metadata("name"))
                && named(namespace, thing.metadata("namespace")))
    }

    /// What it says of a field: of the whole of it, as the way to it in the object.
    fn says(&self, thing: &Thing<'_>, way: &[String]) -> Ignored {
        let RuleText { json_pointers, jq_path_expressions, managed_fields_managers, .. } = &self.text;
        if managed_fields_managers.iter().any(|manager| manager == MANAGER) {
            return Ignored::Yes;
        }
        if json_pointers.iter().any(|pointer| covers(&tokens(pointer), way)) {
            return Ignored::Yes;
        }
        let mut said = Ignored::No;
        for expression in jq_path_expressions {
            match jq::Path::read(expression) {
                Some(path) if path.selected(thing.object).iter().any(|found| covers(found, way)) => return Ignored::Yes,
                Some(_) => {}
                None => said = Ignored::Untold,
            }
        }
        said
    }
}

/// Whether the rules leave a field as it is. `plain`: a variable whose value alone is changed.
pub(super) fn ignored(rules: &[Rule], thing: &Thing<'_>, field: &FieldPath, plain: bool) -> Ignored {
    let mut way = way(thing.object, field);
    if plain {
        way.push("value".to_owned());
    }
    let said: Vec<Ignored> = rules.iter().filter(|rule| rule.is_about(thing)).map(|rule| rule.says(thing, &way)).collect();
    [Ignored::Yes, Ignored::Untold].into_iter().find(|one| said.contains(one)).unwrap_or(Ignored::No)
}

/// The way to a field as a JSON pointer has it: list elements by their places. One that is not there yet has none.
fn way(object: &Value, field: &FieldPath) -> Vec<String> {
    let mut at = Some(object);
    let mut way = Vec::new();
    for part in field.parts() {
        match at {
            Some(Value::Array(list)) => {
                let place = list.iter().position(|element| element["name"] == part.as_str());
                way.push(place.map_or_else(|| "-".to_owned(), |place| place.to_string()));
                at = place.and_then(|place| list.get(place));
            }
            other => {
                way.push(part.clone());
                at = other.and_then(|value| value.get(part));
            }
        }
    }
    way
}

fn covers(ignored: &[String], way: &[String]) -> bool {
    !ignored.is_empty() && way.starts_with(ignored)
}

/// The parts of a JSON pointer (RFC 6901).
fn tokens(pointer: &str) -> Vec<String> {
    let Some(rest) = pointer.strip_prefix('/') else { return Vec::new() };
    rest.split('/').map(|token| token.replace("~1", "/").replace("~0", "~")).collect()
}

/// Whether a pattern with `*` (any text) and `?` (any character) fits the whole text, as Argo CD's do.
pub(super) fn glob(pattern: &str, text: &str) -> bool {
    let (pattern, text): (Vec<char>, Vec<char>) = (pattern.chars().collect(), text.chars().collect());
    let (mut p, mut t) = (0, 0);
    // Where the last `*` stands, and up to where it reaches.
    let mut star: Option<(usize, usize)> = None;
    while t < text.len() {
        match pattern.get(p) {
            Some('*') => {
                star = Some((p, t));
                p += 1;
            }
            Some(c) if *c == '?' || Some(c) == text.get(t) => (p, t) = (p + 1, t + 1),
            _ => match star {
                Some((at, reach)) => {
                    star = Some((at, reach + 1));
                    (p, t) = (at + 1, reach + 1);
                }
                None => return false,
            },
        }
    }
    pattern.iter().skip(p).all(|c| *c == '*')
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn deployment() -> Value {
        json!({
            "apiVersion": "apps/v1", "kind": "Deployment", "metadata": { "name": "x", "namespace": "production" },
            "spec": { "replicas": 2, "template": { "spec": { "containers": [{ "name": "side" }, { "name": "app", "env": [{ "name": "A", "value": "1" }] }] } } },
        })
    }

    fn of(rule: Value, field: &str, plain: bool) -> Ignored {
        let object = deployment();
        ignored(&[Rule::of(&rule).unwrap()], &Thing::of(&object), &field.parse().unwrap(), plain)
    }

    #[test]
    fn a_field_is_ignored_where_a_rule_covers_the_whole_of_it() {
        let variable = "spec.template.spec.containers[app].env[A]";
        let pointers = |pointer: &str| json!({ "group": "apps", "kind": "Deployment", "jsonPointers": [pointer] });
        let jq = |expression: &str| json!({ "group": "apps", "kind": "Deployment", "jqPathExpressions": [expression] });
        for (rule, field, plain, wanted) in [
            (pointers("/spec/replicas"), "spec.replicas", false, Ignored::Yes),
            (pointers("/spec"), "spec.replicas", false, Ignored::Yes),
            (pointers("/spec/replica"), "spec.replicas", false, Ignored::No),
            (pointers("/spec/replicas/x"), "spec.replicas", false, Ignored::No),
            (pointers(""), "spec.replicas", false, Ignored::No),
            (pointers("/metadata/annotations/a.b~1c"), "metadata.annotations[a.b/c]", false, Ignored::Yes),
            (pointers("/spec/template/spec/containers/1/env/0/value"), variable, true, Ignored::Yes),
            (pointers("/spec/template/spec/containers/1/env/0/value"), variable, false, Ignored::No),
            (pointers("/spec/template/spec/containers/0/env"), variable, true, Ignored::No),
            (pointers("/spec/template/spec/containers/1/env"), "spec.template.spec.containers[app].env[NEW]", false, Ignored::Yes),
            (jq(".spec.template.spec.containers[].env[] | select(.name == \"A\")"), variable, false, Ignored::Yes),
            (jq(".spec.template.spec.containers[] | select(.name == \"side\") | .env"), variable, false, Ignored::No),
            (jq(".spec.replicas | select(. > 1)"), "spec.replicas", false, Ignored::Untold),
            (json!({ "group": "apps", "kind": "Deployment", "managedFieldsManagers": ["runsheet"] }), "spec.replicas", false, Ignored::Yes),
            (json!({ "group": "apps", "kind": "Deployment", "managedFieldsManagers": ["hpa"] }), "spec.replicas", false, Ignored::No),
        ] {
            assert_eq!(of(rule.clone(), field, plain), wanted, "{rule} {field}");
        }
    }

    #[test]
    fn a_rule_is_about_the_objects_that_it_names() {
        let rule = |group: &str, kind: &str, name: &str, namespace: &str| json!({ "group": group, "kind": kind, "name": name, "namespace": namespace, "jsonPointers": ["/spec/replicas"] });
        for (rule, is) in [
            (rule("apps", "Deployment", "", ""), true),
            (rule("*", "*", "", ""), true),
            (rule("apps", "Deployment", "x", "production"), true),
            (rule("apps", "Deployment", "y", ""), false),
            (rule("apps", "Deployment", "", "staging"), false),
            (rule("apps", "StatefulSet", "", ""), false),
            (rule("", "Deployment", "", ""), false),
            (json!({ "kind": 7 }), false),
        ] {
            let Some(read) = Rule::of(&rule) else {
                assert!(!is, "{rule}");
                continue;
            };
            let object = deployment();
            let said = ignored(&[read], &Thing::of(&object), &"spec.replicas".parse().unwrap(), false);
            assert_eq!(said == Ignored::Yes, is, "{rule}");
        }
    }

    #[test]
    fn patterns_fit_as_a_whole() {
        for (pattern, text, fits) in [
            ("*", "", true),
            ("shop-*", "shop-eu", true),
            ("*-eu", "shop-eu-1", false),
            ("s?op", "shop", true),
            ("*o*e*", "shop-eu", true),
            ("", "", true),
            ("", "x", false),
            ("shop", "shops", false),
        ] {
            assert_eq!(glob(pattern, text), fits, "{pattern} {text}");
        }
    }
}
