//! `k8s.set_resources` as lines for a person's hands.
//!
//! Invariant: what is put back is what the first lines read.

use serde_json::{Map, Value, json};

use super::inputs::FIELDS;
use crate::actions::kubernetes::by_hand::{container, container_path, input_word, place, variable_name};
use crate::actions::kubernetes::workload::Workload;
use crate::model::by_hand::{ByHand, quoted, variable, word};
use crate::model::change::Change;
use crate::model::run::TargetSpec;

/// From the inputs alone.
pub(super) fn by_hand(inputs: &Value, target: Option<&TargetSpec>) -> ByHand {
    let (workload, namespace) = (input_word(inputs, "workload"), place(inputs, target));
    let mut lines = ByHand::default();
    let (mut to, mut back) = (Vec::new(), Vec::new());
    for field in FIELDS {
        let Some(value) = inputs.pointer(&format!("/{}", field.replace('.', "/"))).filter(|value| !value.is_null()) else { continue };
        let before = variable_name(field, "BEFORE");
        let path = format!("{{.spec.template.spec.{}.resources.{field}}}", container_path(inputs));
        lines.look.push(format!("{before}=$(kubectl get {workload}{namespace} -o jsonpath='{path}')"));
        to.push((field, text(value)));
        back.push((field, variable(&before)));
    }
    if inputs.get("mode").and_then(Value::as_str) == Some("in_place") {
        let container = match inputs.get("container").and_then(Value::as_str) {
            Some(name) => name.to_owned(),
            None => {
                let path = "{.spec.template.spec.containers[0].name}";
                lines.look.push(format!("CONTAINER=$(kubectl get {workload}{namespace} -o jsonpath='{path}')"));
                variable("CONTAINER")
            }
        };
        let labels = "{{range $k, $v := .spec.selector.matchLabels}}{{$k}}={{$v}},{{end}}";
        lines.look.push(format!("SELECTOR=$(kubectl get {workload}{namespace} -o go-template='{labels}')"));
        let resize = |amounts: &[(&str, String)]| {
            let patch = quoted(&resize_patch(&container, amounts));
            format!(
                "for pod in $(kubectl get pods{namespace} -l \"${{SELECTOR%,}}\" -o name); do kubectl patch \"$pod\"{namespace} --subresource resize -p {patch}; done"
            )
        };
        lines.act.push(resize(&to));
        // The template still holds what the pods had.
        lines.undo.push(resize(&back));
        return lines;
    }
    let place = format!("{}{namespace}", container(inputs));
    let done = format!("kubectl rollout status {workload}{namespace}");
    // `0` is how `kubectl set resources` takes an amount away.
    let back: Vec<(&str, String)> = back;
    let undo = format!("kubectl set resources {workload}{}{place}", flags(&back)).replace("_BEFORE}\"", "_BEFORE:-0}\"");
    lines.act = vec![format!("kubectl set resources {workload}{}{place}", flags(&to)), done.clone()];
    lines.undo = vec![undo, done];
    lines
}

/// From the changes of an intent: what does them, or what undoes them.
pub(super) fn lines(workload: &Workload, namespace: &str, container: &str, changes: &[Change], after: bool) -> Vec<String> {
    let amount = |change: &Change| text(if after { &change.after } else { &change.prior });
    let field = |change: &Change| FIELDS.into_iter().find(|field| change.field.ends_with(&format!(".resources.{field}"))).unwrap_or("?");
    let mut lines = Vec::new();
    let mut objects: Vec<&str> = changes.iter().map(|change| change.object.0.as_str()).collect();
    objects.dedup();
    for object in objects {
        let amounts: Vec<(&str, String)> =
            changes.iter().filter(|change| change.object.0 == object).map(|change| (field(change), amount(change))).collect();
        lines.push(match object.rsplit_once("/pod/") {
            Some((_, pod)) => {
                let patch = quoted(&resize_patch(container, &amounts));
                format!("kubectl patch pod/{pod} -n {namespace} --subresource resize -p {patch}")
            }
            None => format!("kubectl set resources {workload}{} -c {} -n {namespace}", flags(&amounts), quoted(container)),
        });
    }
    lines
}

fn text(value: &Value) -> String {
    match value {
        // As `kubectl set resources` takes an amount away.
        Value::Null => "0".to_owned(),
        Value::String(text) => text.clone(),
        other => word(other),
    }
}

/// ` --requests=cpu=1,memory=1Gi --limits=cpu=2`
fn flags(amounts: &[(&str, String)]) -> String {
    let mut out = String::new();
    for side in ["requests", "limits"] {
        let of_side =
            amounts.iter().filter_map(|(field, amount)| Some(format!("{}={amount}", field.strip_prefix(side)?.strip_prefix('.')?)));
        let list = of_side.collect::<Vec<_>>().join(",");
        if !list.is_empty() {
            out.push_str(&format!(" --{side}={}", quoted(&list)));
        }
    }
    out
}

fn resize_patch(container: &str, amounts: &[(&str, String)]) -> String {
    let mut resources = Map::new();
    for (side, resource, amount) in amounts.iter().filter_map(|(field, amount)| field.split_once('.').map(|(side, of)| (side, of, amount)))
    {
        let of_side = resources.entry(side).or_insert_with(|| json!({}));
        of_side[resource] = json!(amount);
    }
    json!({ "spec": { "containers": [{ "name": container, "resources": resources }] } }).to_string()
}
