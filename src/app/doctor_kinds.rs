//! Which resources the kinds are that have no short name: only the cluster's own lists tell.
//!
//! Must not guess a plural. Invariant: each list is asked for once, and what it does not name is a kind that the cluster does not know.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::doctor_access::{Lack, TIMEOUT, WITHIN};
use super::environment_check::Verdict;
use crate::environment::{Environment, KubeCall};
use crate::model::permission::{Need, Needs, Permission};
use crate::planner::StepNeeds;

/// What the cluster's own lists say of a kind.
pub(super) enum Kind {
    /// Its resource, and whether it belongs to a namespace.
    Known(String, bool),
    /// The cluster does not know it.
    Missing,
    /// It could not be asked.
    Untold(String),
}

/// By group, version and kind.
pub(super) type Kinds = BTreeMap<(String, String, String), Kind>;

/// By what a kind is looked up.
fn key(permission: &Permission) -> (String, String, String) {
    (permission.group.clone(), permission.version.clone(), permission.resource.clone())
}

/// Looks kinds up, each list once, within the time that all questions have.
pub(super) async fn look_up(environment: &Environment, kinds: BTreeSet<Permission>) -> Kinds {
    let mut found = Kinds::new();
    let Ok(client) = environment.connections.kube_client() else { return found };
    let mut lists: BTreeMap<String, Result<Vec<Value>, String>> = BTreeMap::new();
    let deadline = tokio::time::Instant::now() + WITHIN;
    for kind in kinds {
        let base = if kind.group.is_empty() { format!("/api/{}", kind.version) } else { format!("/apis/{}/{}", kind.group, kind.version) };
        if !lists.contains_key(&base) {
            let asked = tokio::time::timeout_at(deadline, KubeCall::get(base.as_str(), TIMEOUT).send(&client)).await;
            let list = match asked {
                Ok(Ok(reply)) if reply.status == 200 => Ok(reply.body["resources"].as_array().cloned().unwrap_or_default()),
                Ok(Ok(reply)) if reply.status == 404 => Ok(Vec::new()),
                Ok(Ok(reply)) => Err(format!("{base} answers with status {}", reply.status)),
                Ok(Err(error)) => Err(error.to_string()),
                Err(_) => Err(format!("{base} was not answered in time")),
            };
            lists.insert(base.clone(), list);
        }
        let is = |resource: &&Value| {
            resource["kind"] == kind.resource.as_str() && resource["name"].as_str().is_some_and(|name| !name.contains('/'))
        };
        let looked_up = match lists.get(&base) {
            Some(Ok(list)) => match list.iter().find(is) {
                Some(resource) => {
                    let name = resource["name"].as_str().unwrap_or_default();
                    Kind::Known(name.to_owned(), resource["namespaced"].as_bool().unwrap_or(false))
                }
                None => Kind::Missing,
            },
            Some(Err(why)) => Kind::Untold(why.clone()),
            None => continue,
        };
        found.insert(key(&kind), looked_up);
    }
    found
}

/// A step whose kinds were looked up, and what it lacks because they are not there.
pub(super) type Resolved = (StepNeeds, Vec<Lack>);

/// Puts resources in the place of kinds.
pub(super) fn resolved(step: StepNeeds, kinds: &Kinds) -> Resolved {
    let StepNeeds { path, uses, needs } = step;
    let (mut known, mut lacks): (Needs, Vec<Lack>) = (Needs { all: Vec::new(), untold: needs.untold }, Vec::new());
    for need in needs.all {
        if !need.permission.is_of_kind() {
            known.add(need);
            continue;
        }
        let Permission { group, version, resource: kind, .. } = &need.permission;
        let of = if group.is_empty() { version.clone() } else { format!("{group}/{version}") };
        let (verdict, text) = match kinds.get(&key(&need.permission)) {
            Some(Kind::Known(resource, namespaced)) => {
                known.add(Need { permission: need.permission.looked_up(resource, *namespaced), ..need });
                continue;
            }
            Some(Kind::Missing) => (Verdict::Refused, format!("the cluster knows no {kind} of {of}")),
            Some(Kind::Untold(why)) => (Verdict::Notice, format!("which resource the kind {kind} of {of} is could not be asked: {why}")),
            None => (Verdict::Notice, format!("which resource the kind {kind} of {of} is could not be asked")),
        };
        if !lacks.iter().any(|lack| lack.text == text) {
            lacks.push(Lack { permission: None, purpose: None, needed_where: None, verdict, text });
        }
    }
    (StepNeeds { path, uses, needs: known }, lacks)
}
