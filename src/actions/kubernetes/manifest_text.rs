//! A manifest as a line for a person's hands, in which variables may stand for values that are not known yet.
//!
//! Must not ask anything. Invariant: the text is JSON once the shell has put the values of its variables in; a number stays a number.

use serde_json::Value;

use crate::model::by_hand::{quoted, variables_in};

/// The manifest as one word for a shell.
pub(super) fn manifest_word(manifest: &Value) -> String {
    quoted(&text(manifest))
}

/// Members that hold numbers: a variable in their place must not become a text.
const NUMBERS: [&str; 10] = [
    "minReplicaCount",
    "maxReplicaCount",
    "minReplicas",
    "maxReplicas",
    "averageUtilization",
    "replicas",
    "backoffLimit",
    "ttlSecondsAfterFinished",
    "activeDeadlineSeconds",
    "stabilizationWindowSeconds",
];

fn text(value: &Value) -> String {
    match value {
        Value::Object(map) => {
            let member = |(key, inner): (&String, &Value)| {
                let bare = NUMBERS.contains(&key.as_str()) && inner.as_str().is_some_and(|text| !variables_in(text).is_empty());
                let inner = if bare { inner.as_str().unwrap_or_default().to_owned() } else { text(inner) };
                format!("{}:{inner}", Value::from(key.as_str()))
            };
            format!("{{{}}}", map.iter().map(member).collect::<Vec<_>>().join(","))
        }
        Value::Array(list) => format!("[{}]", list.iter().map(text).collect::<Vec<_>>().join(",")),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::model::by_hand::variable;

    #[test]
    fn a_variable_for_a_number_is_bare_and_one_in_a_text_is_not() {
        let manifest = json!({ "spec": { "minReplicas": variable("floor"), "list": [{ "image": format!("x:{}", variable("tag")) }] } });
        assert_eq!(manifest_word(&manifest), r#"'{"spec":{"minReplicas":'"${FLOOR}"',"list":[{"image":"x:'"${TAG}"'"}]}}'"#);
    }
}
