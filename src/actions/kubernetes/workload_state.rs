//! How a workload stands: its fields, as the API gives them.
//!
//! Invariant: a count that the API leaves out is 0, as its own types say; a shape that is not a workload's is an error.

use serde_json::Value;

use super::api::{Api, asked};
use super::errors::Trouble;
use super::workload::Workload;
use crate::model::outcome::Failure;

/// A workload as it was read.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct WorkloadState {
    pub(super) replicas: i64,
    pub(super) ready: i64,
    pub(super) available: i64,
    pub(super) updated: i64,
    pub(super) generation: i64,
    pub(super) observed_generation: i64,
    /// As `kubectl -l` takes it.
    pub(super) selector: String,
}

impl WorkloadState {
    /// From the object.
    pub(super) fn of(object: &Value) -> Result<Self, Trouble> {
        let garbled = |what: &str| Trouble::Garbled { what: what.to_owned() };
        let spec = object.get("spec").ok_or_else(|| garbled("the object has no spec"))?;
        let selector = spec.get("selector").and_then(selector_text).ok_or_else(|| garbled("spec.selector is not a label selector"))?;
        let status = |key: &str| object.pointer(&format!("/status/{key}")).and_then(Value::as_i64).unwrap_or(0);
        Ok(Self {
            // The API fills in 1 where a manifest leaves it out.
            replicas: spec.get("replicas").and_then(Value::as_i64).unwrap_or(1),
            ready: status("readyReplicas"),
            available: status("availableReplicas"),
            updated: status("updatedReplicas"),
            generation: object.pointer("/metadata/generation").and_then(Value::as_i64).unwrap_or(0),
            observed_generation: status("observedGeneration"),
            selector,
        })
    }

    /// Reads it, with the object; `None` where there is no such workload.
    ///
    /// # Errors
    /// A read that failed.
    pub(super) async fn read(api: &Api, workload: &Workload, namespace: &str) -> Result<Option<(Self, Value)>, Failure> {
        match api.get(&workload.path(namespace)).await.and_then(|object| Ok((Self::of(&object)?, object))) {
            Ok(read) => Ok(Some(read)),
            Err(trouble) if trouble.is_gone() => Ok(None),
            Err(trouble) => Err(trouble.failure(asked("get", workload.kind.plural(), workload, namespace))),
        }
    }

    /// Whether its controller has seen the latest spec.
    pub(super) fn is_observed(&self) -> bool {
        self.observed_generation >= self.generation
    }
}

/// A label selector as text; `None` where it is empty or of another shape: an empty one would find every pod.
fn selector_text(selector: &Value) -> Option<String> {
    let mut terms = Vec::new();
    if let Some(labels) = selector.get("matchLabels").and_then(Value::as_object) {
        for (key, value) in labels {
            terms.push(format!("{key}={}", value.as_str()?));
        }
    }
    if let Some(expressions) = selector.get("matchExpressions").and_then(Value::as_array) {
        for expression in expressions {
            let key = expression.get("key")?.as_str()?;
            let values = || -> Option<String> {
                let values = expression.get("values")?.as_array()?;
                Some(values.iter().map(Value::as_str).collect::<Option<Vec<_>>>()?.join(","))
            };
            terms.push(match expression.get("operator")?.as_str()? {
                "In" => format!("{key} in ({})", values()?),
                "NotIn" => format!("{key} notin ({})", values()?),
                "Exists" => key.to_owned(),
                "DoesNotExist" => format!("!{key}"),
                _ => return None,
            });
        }
    }
    (!terms.is_empty()).then(|| terms.join(","))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn selectors_become_text() {
        let selector = json!({
            "matchLabels": { "app": "x" },
            "matchExpressions": [
                { "key": "tier", "operator": "In", "values": ["a", "b"] },
                { "key": "old", "operator": "DoesNotExist" },
            ],
        });
        assert_eq!(selector_text(&selector).unwrap(), "app=x,tier in (a,b),!old");
    }

    #[test]
    fn a_selector_that_would_find_everything_is_refused() {
        assert_eq!(selector_text(&json!({})), None);
        assert_eq!(selector_text(&json!({ "matchLabels": {} })), None);
        assert!(WorkloadState::of(&json!({ "spec": { "selector": {} } })).is_err());
    }
}
