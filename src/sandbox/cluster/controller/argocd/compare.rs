//! What a repository says against what is there: only what it names is compared, and only that is put back.
//!
//! It must not store anything. Invariant: after a merge without anything ignored, both are the same.

use serde_json::Value;

use crate::sandbox::cluster::store::text;

/// A place in an object, as a JSON pointer has it.
type Place = Vec<String>;

/// The places whose differences an Application ignores in an object.
pub(super) fn ignored(application: &Value, said: &Value) -> Vec<Place> {
    let group = text(said, "/apiVersion").split_once('/').map_or("", |(group, _)| group);
    let is = |rule: &Value, key: &str, value: &str, optional: bool| match rule[key].as_str() {
        None | Some("") => optional || value.is_empty(),
        Some(pattern) => pattern == "*" || pattern == value,
    };
    let rules = application["spec"]["ignoreDifferences"].as_array().into_iter().flatten().filter(|rule| {
        is(rule, "group", group, false)
            && is(rule, "kind", text(said, "/kind"), false)
            && is(rule, "name", text(said, "/metadata/name"), true)
            && is(rule, "namespace", text(said, "/metadata/namespace"), true)
    });
    let mut places = Vec::new();
    for rule in rules {
        let texts = |key: &str| rule[key].as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect::<Vec<_>>();
        places.extend(
            texts("jsonPointers")
                .iter()
                .filter_map(|pointer| pointer.strip_prefix('/'))
                .map(|rest| rest.split('/').map(|token| token.replace("~1", "/").replace("~0", "~")).collect()),
        );
        // Of jq no more than plain names.
        let plain = |path: &&str| path.chars().all(|c| c.is_ascii_alphanumeric() || c == '.');
        places.extend(
            texts("jqPathExpressions")
                .iter()
                .filter_map(|path| path.strip_prefix('.'))
                .filter(plain)
                .map(|path| path.split('.').map(str::to_owned).collect()),
        );
    }
    places
}

/// Whether what is there is what is said, but for what is ignored.
pub(super) fn same(said: &Value, live: &Value, ignored: &[Place]) -> bool {
    let mut wanted = live.clone();
    merge(&mut wanted, said, live, ignored);
    wanted == *live
}

/// Makes `object` what is said; `live` is as it was.
pub(super) fn merge(object: &mut Value, said: &Value, live: &Value, ignored: &[Place]) {
    into(object, said, live, ignored, &mut Vec::new());
}

fn into(object: &mut Value, said: &Value, live: &Value, ignored: &[Place], at: &mut Place) {
    if ignored.contains(at) {
        return;
    }
    match (&mut *object, said) {
        (Value::Object(members), Value::Object(said)) => {
            for (name, value) in said {
                at.push(name.clone());
                into(members.entry(name.clone()).or_insert(Value::Null), value, &live[name.as_str()], ignored, at);
                at.pop();
            }
            // What was only looked for is not made.
            members.retain(|name, value| !value.is_null() || live.get(name).is_some());
        }
        (Value::Array(elements), Value::Array(said)) if said.iter().all(|one| one["name"].is_string()) && !said.is_empty() => {
            for one in said {
                let place = elements.iter().position(|element| element["name"] == one["name"]);
                let place = place.unwrap_or_else(|| {
                    elements.push(Value::Null);
                    elements.len() - 1
                });
                at.push(place.to_string());
                let before = live.get(place).cloned().unwrap_or_default();
                if let Some(element) = elements.get_mut(place) {
                    into(element, one, &before, ignored, at);
                }
                at.pop();
            }
            elements.retain(|element| !element.is_null());
        }
        (object, said) => *object = said.clone(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn live(replicas: i64, pool: &str) -> Value {
        json!({
            "apiVersion": "apps/v1", "kind": "Deployment", "metadata": { "name": "x", "namespace": "n", "uid": "u" },
            "spec": { "replicas": replicas, "paused": true, "containers": [{ "name": "side" }, { "name": "app", "env": [{ "name": "A", "value": "1" }, { "name": "POOL", "value": pool }] }] },
        })
    }

    #[test]
    fn only_what_is_said_is_compared_and_put_back() {
        let said = json!({
            "apiVersion": "apps/v1", "kind": "Deployment", "metadata": { "name": "x", "namespace": "n" },
            "spec": { "replicas": 2, "containers": [{ "name": "app", "env": [{ "name": "POOL", "value": "20" }] }] },
        });
        assert!(same(&said, &live(2, "20"), &[]));
        for changed in [live(8, "20"), live(2, "9")] {
            assert!(!same(&said, &changed, &[]));
            let mut healed = changed.clone();
            merge(&mut healed, &said, &changed, &[]);
            assert_eq!(healed, live(2, "20"));
        }
        let application = |rule: Value| json!({ "spec": { "ignoreDifferences": [rule] } });
        let rule = json!({ "group": "apps", "kind": "Deployment", "jsonPointers": ["/spec/replicas"] });
        assert!(same(&said, &live(8, "20"), &ignored(&application(rule.clone()), &said)));
        assert!(!same(&said, &live(8, "9"), &ignored(&application(rule), &said)));
        let rule = json!({ "group": "apps", "kind": "Deployment", "jqPathExpressions": [".spec.replicas"] });
        assert!(same(&said, &live(8, "20"), &ignored(&application(rule), &said)));
        let rule = json!({ "group": "apps", "kind": "StatefulSet", "jsonPointers": ["/spec/replicas"] });
        assert!(!same(&said, &live(8, "20"), &ignored(&application(rule), &said)));
    }
}
