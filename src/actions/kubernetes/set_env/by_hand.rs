//! `k8s.set_env` as lines for a person's hands.
//!
//! Must not hold a sensitive value. Invariant: a secret stands in no argument, where a process list would show it; it goes by way of stdin.

use serde_json::{Value, json};

use crate::actions::kubernetes::by_hand::{container, container_path, input_word, place, variable_name};
use crate::actions::kubernetes::workload::Workload;
use crate::model::by_hand::{ByHand, quoted, word};
use crate::model::change::Change;
use crate::model::run::TargetSpec;

/// From the inputs alone.
pub(super) fn by_hand(inputs: &Value, target: Option<&TargetSpec>) -> ByHand {
    let (workload, namespace, container) = (input_word(inputs, "workload"), place(inputs, target), container(inputs));
    let sensitive = |name: &str| {
        let names = inputs.get("sensitive").and_then(Value::as_array);
        names.is_some_and(|names| names.iter().any(|sensitive| sensitive == name))
    };
    let mut lines = ByHand { look: vec![format!("kubectl set env {workload} --list{container}{namespace}")], ..ByHand::default() };
    let (mut sets, mut undoes) = (Vec::new(), Vec::new());
    for (name, value) in inputs.get("env").and_then(Value::as_object).into_iter().flatten() {
        if sensitive(name) {
            lines.act.push(from_stdin(name, &workload, &format!("{container}{namespace}")));
            continue;
        }
        sets.push(pair(name, value));
        let before = variable_name(name, "BEFORE");
        let path = format!("{{.spec.template.spec.{}.env[?(@.name==\"{name}\")].value}}", container_path(inputs));
        lines.look.push(format!("{before}=$(kubectl get {workload}{namespace} -o jsonpath='{path}')"));
        // `NAME=value` where there was a value, else `NAME-`, which removes it.
        undoes.push(format!("\"${{{before}:+{name}=}}${{{before}:-{name}-}}\""));
    }
    let done = format!("kubectl rollout status {workload}{namespace}");
    if !sets.is_empty() {
        lines.act.push(format!("kubectl set env {workload} {}{container}{namespace}", sets.join(" ")));
        lines.undo.push(format!("kubectl set env {workload} {}{container}{namespace}", undoes.join(" ")));
        lines.undo.push(done.clone());
    }
    lines.act.push(done);
    lines
}

/// From the changes of an intent: what does them, or what undoes them.
pub(super) fn lines(
    workload: &Workload,
    namespace: &str,
    container: &str,
    changes: &[Change],
    hidden: &[&str],
    after: bool,
) -> Vec<String> {
    let place = format!(" -c {} -n {namespace}", quoted(container));
    let mut lines = Vec::new();
    let mut sets = Vec::new();
    for change in changes {
        let value = if after { &change.after } else { &change.prior };
        let name = change.label.as_str();
        if hidden.contains(&name) {
            if after {
                lines.push(from_stdin(name, &workload.to_string(), &place));
            }
        } else if value.is_object() {
            // No `kubectl set env` makes a reference to one key: a patch that merges the list by name does.
            let element = match value.get("valueFrom") {
                Some(from) => json!({ "name": name, "value": null, "valueFrom": from }),
                None => continue,
            };
            let patch = json!({ "spec": { "template": { "spec": { "containers": [{ "name": container, "env": [element] }] } } } });
            lines.push(format!("kubectl patch {workload} -n {namespace} --type strategic -p {}", word(&patch)));
        } else {
            sets.push(pair(name, value));
        }
    }
    if !sets.is_empty() {
        lines.push(format!("kubectl set env {workload} {}{place}", sets.join(" ")));
    }
    lines
}

/// `NAME=value`, or `NAME-` where it is to go.
fn pair(name: &str, value: &Value) -> String {
    match value {
        Value::Null => format!("{name}-"),
        Value::String(text) => quoted(&format!("{name}={text}")),
        other => quoted(&format!("{name}={other}")),
    }
}

fn from_stdin(name: &str, workload: &str, place: &str) -> String {
    format!("printf '%s=%s\\n' {name} \"${{{}}}\" | kubectl set env -e - {workload}{place}", variable_name(name, "SECRET"))
}
