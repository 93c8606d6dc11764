//! A Job by a person's hands.
//!
//! Invariant: made of the inputs alone.

use serde_json::{Map, Value, json};

use crate::actions::kubernetes::by_hand::{assigned, namespace_word, own};
use crate::actions::kubernetes::manifest_text::manifest_word;
use crate::model::by_hand::{ByHand, quoted, variable, word};
use crate::model::duration::Span;
use crate::model::run::TargetSpec;

/// The lines.
pub(super) fn lines(inputs: &Value, target: Option<&TargetSpec>) -> ByHand {
    let given = |key: &str| inputs.get(key).filter(|value| !value.is_null());
    let Some(name) = given("name").and_then(Value::as_str) else { return ByHand::default() };
    let namespace = namespace_word(inputs, target);
    let job = own("JOB", name);
    let there = quoted(&variable(&job));
    let seconds = |key: &str, default: u64| match given(key).and_then(Value::as_str) {
        Some(text) => text.parse::<Span>().map_or_else(|_| json!(text), |span| json!(span.0.as_secs())),
        None => json!(default),
    };
    let timeout = seconds("timeout", 600);
    let create = match given("from") {
        Some(from) => format!("kubectl create job {} --from={} -n {namespace} -o name", quoted(&format!("{name}-by-hand")), word(from)),
        None => {
            let mut container = Map::new();
            container.insert("name".to_owned(), json!("job"));
            for key in ["image", "command", "args"] {
                if let Some(value) = given(key) {
                    container.insert(key.to_owned(), value.clone());
                }
            }
            if let Some(env) = given("env").and_then(Value::as_object) {
                let env: Vec<Value> = env.iter().map(|(name, value)| json!({ "name": name, "value": value })).collect();
                container.insert("env".to_owned(), json!(env));
            }
            let amounts: Map<String, Value> =
                ["cpu", "memory"].iter().filter_map(|key| Some(((*key).to_owned(), given(key)?.clone()))).collect();
            if !amounts.is_empty() {
                container.insert("resources".to_owned(), json!({ "requests": amounts, "limits": amounts }));
            }
            let mut pod = Map::new();
            pod.insert("restartPolicy".to_owned(), json!("Never"));
            if let Some(account) = given("service_account") {
                pod.insert("serviceAccountName".to_owned(), account.clone());
            }
            pod.insert("containers".to_owned(), json!([container]));
            let manifest = json!({
                "apiVersion": "batch/v1", "kind": "Job", "metadata": { "generateName": format!("{name}-") },
                "spec": {
                    "backoffLimit": given("backoff_limit").cloned().unwrap_or(json!(0)),
                    "activeDeadlineSeconds": timeout,
                    "ttlSecondsAfterFinished": seconds("ttl", 3600),
                    "template": { "spec": pod },
                },
            });
            format!("printf '%s' {} | kubectl create -n {namespace} -o name -f -", manifest_word(&manifest))
        }
    };
    ByHand {
        look: Vec::new(),
        act: vec![
            format!("{}=$({create})", assigned(&job)),
            format!("kubectl wait --for=condition=complete {there} -n {namespace} --timeout={}s", word(&timeout)),
            format!("kubectl logs {there} -n {namespace} --tail=100"),
        ],
        undo: Vec::new(),
    }
}
