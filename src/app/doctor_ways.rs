//! What the ways of an environment need of its cluster: port-forwards, and the Services that they lead to.
//!
//! Must not ask anything. Invariant: each namespace that a way leads to is asked about once.

use std::collections::{BTreeMap, BTreeSet};

use super::doctor::{finding, good};
use super::environment_check::{Finding, Verdict};
use crate::environment::Environment;
use crate::model::environment::{ForwardEnd, Way};
use crate::model::permission::Permission;

/// What has to be allowed so that every way of the environment can be opened.
pub(super) fn permissions(environment: &Environment) -> BTreeSet<Permission> {
    let mut all = BTreeSet::new();
    for via in environment.definition.iter().flat_map(|definition| &definition.via) {
        let Way::PortForward { namespace, end, .. } = &via.way else { continue };
        let mut add = |verb: &str, group: &str, resource: &str| {
            all.insert(Permission::new(verb, group, resource, Some(namespace)));
        };
        // The request is a GET; clusters from 1.35 on ask for `create` as well.
        add("get", "", "pods/portforward");
        add("create", "", "pods/portforward");
        if let ForwardEnd::Service(_) = end {
            add("get", "", "services");
            add("list", "discovery.k8s.io", "endpointslices");
        }
    }
    all
}

/// What of it is missing; `None` where there is no such way, or not all is known.
pub(super) fn judged(wanted: &BTreeSet<Permission>, answers: &BTreeMap<Permission, bool>) -> Option<Finding> {
    if wanted.is_empty() {
        return None;
    }
    let missing: Vec<String> = wanted.iter().filter(|one| answers.get(*one) == Some(&false)).map(ToString::to_string).collect();
    if !missing.is_empty() {
        let text = format!("may not {}: what the environment reaches by a port-forward (`via`) is not reached", missing.join(", "));
        return Some(finding("via", Verdict::Refused, &text, Some("allow it in a Role of that namespace")));
    }
    let known = wanted.iter().all(|one| answers.contains_key(one));
    known.then(|| good("via", "the account may open every port-forward of the environment".to_owned()))
}
