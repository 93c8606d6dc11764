//! Whether Argo CD is where an environment's file says, and may be asked what it puts back.
//!
//! Must not change anything. Invariant: it ends within its time; that Argo CD may not be asked is worth knowing and no more, as runs go on without.

use std::time::Duration;

use serde_json::Value;

use super::{EnvironmentCheck, Verdict};
use crate::environment::{Environment, KubeCall};
use crate::model::environment::ArgoCdTarget;

const WHAT: &str = "argocd";
/// How long the API server may take to answer.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Lists the Applications of its namespace.
pub(super) async fn check(check: &mut EnvironmentCheck, environment: &Environment, argocd: &ArgoCdTarget) {
    let namespace = &argocd.namespace;
    let Ok(client) = environment.connections.kube_client() else {
        let hint = "name the cluster that it is in under `kubernetes`".to_owned();
        return check.add(WHAT, Verdict::Invalid, "Argo CD is asked through the Kubernetes API, and the file names no cluster", Some(hint));
    };
    let path = format!("/apis/argoproj.io/v1alpha1/namespaces/{namespace}/applications?limit=500");
    let notice = |text: String, hint: &str| (Verdict::Notice, text, Some(hint.to_owned()));
    let (verdict, text, hint) = match KubeCall::get(path, TIMEOUT).send(&client).await {
        Ok(reply) if reply.status == 200 => {
            let all = reply.body.get("items").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
            let heals = |one: &&Value| one.pointer("/spec/syncPolicy/automated/selfHeal") == Some(&Value::Bool(true));
            let healing = all.iter().filter(heals).count();
            match all.len() {
                0 => {
                    notice(format!("there is no Application in namespace {namespace}"), "correct `argocd.namespace`, or leave `argocd` out")
                }
                count => {
                    (Verdict::Good, format!("Applications in namespace {namespace}: {count}, of which {healing} heal themselves"), None)
                }
            }
        }
        Ok(reply) if reply.status == 404 => {
            notice("this cluster knows no Applications of Argo CD".to_owned(), "leave `argocd` out, or name the cluster that it runs in")
        }
        Ok(reply) => notice(
            format!("the Applications in namespace {namespace} may not be read: the answer has status {}", reply.status),
            "let this account `get` and `list` applications.argoproj.io there: without, nobody tells what Argo CD will put back",
        ),
        Err(error) => (Verdict::Refused, format!("the Applications in namespace {namespace} could not be read: {error}"), None),
    };
    check.add(WHAT, verdict, text, hint);
}
