//! Which autoscaler (HPA v2) owns the replicas of a workload.
//!
//! Must not write.

use serde_json::Value;

use super::api::Api;
use super::errors::Asked;
use crate::model::outcome::Failure;

/// The names of the autoscalers of a namespace that scale this object (`Deployment`, its name).
///
/// # Errors
/// A read that failed.
pub(super) async fn autoscalers(api: &Api, namespace: &str, kind: &str, name: &str) -> Result<Vec<String>, Failure> {
    let asked = Asked { verb: "list", resource: "horizontalpodautoscalers", name: "", namespace };
    let path = format!("/apis/autoscaling/v2/namespaces/{namespace}/horizontalpodautoscalers");
    let list = api.get(&path).await.map_err(|trouble| trouble.failure(asked))?;
    let items = list.get("items").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let scales = |item: &Value| {
        let target = item.pointer("/spec/scaleTargetRef")?;
        let meant = target.get("kind")?.as_str()?.eq_ignore_ascii_case(kind) && target.get("name")?.as_str()? == name;
        meant.then(|| item.pointer("/metadata/name").and_then(Value::as_str).unwrap_or("?").to_owned())
    };
    Ok(items.iter().filter_map(scales).collect())
}
