//! What an account needs to be allowed in a cluster so that a step can be done, and taken back.
//!
//! Must not ask anything: who may what is the cluster's to say. Invariant: what cannot be told from the inputs alone is told as that, never guessed.

use std::fmt;

use serde::Serialize;
use serde_json::Value;

use super::run::TargetSpec;

/// One verb on one kind of object: `ResourceAttributes` of authorization.k8s.io/v1.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Permission {
    /// The API group; empty for the core group.
    pub group: String,
    /// The version of the API, where the resource has to be looked up by it; else empty.
    pub version: String,
    /// The resource in the plural: `deployments`; or its kind, `ScaledObject`, while it has to be looked up.
    pub resource: String,
    /// `scale`; empty for the object itself.
    pub subresource: String,
    /// `get`, `list`, `create`, `update`, `patch` or `delete`.
    pub verb: String,
    /// The namespace; `None` for what belongs to none.
    pub namespace: Option<String>,
    /// The object; `None`: any, or one that is known later.
    pub name: Option<String>,
}

impl Permission {
    /// On every object of a resource, `deployments/scale` for a subresource.
    pub fn new(verb: &str, group: &str, resource: &str, namespace: Option<&str>) -> Self {
        let (resource, subresource) = resource.split_once('/').unwrap_or((resource, ""));
        Self {
            group: group.to_owned(),
            version: String::new(),
            resource: resource.to_owned(),
            subresource: subresource.to_owned(),
            verb: verb.to_owned(),
            namespace: namespace.map(str::to_owned),
            name: None,
        }
    }

    /// The same on a kind whose resource only the cluster's own list tells.
    #[must_use]
    pub fn of_kind(self, version: &str, kind: &str) -> Self {
        Self { version: version.to_owned(), resource: kind.to_owned(), ..self }
    }

    /// Whether the resource has to be looked up.
    pub fn is_of_kind(&self) -> bool {
        !self.version.is_empty()
    }

    /// The resource as it was looked up.
    #[must_use]
    pub fn looked_up(self, resource: &str, namespaced: bool) -> Self {
        let namespace = self.namespace.filter(|_| namespaced);
        Self { version: String::new(), resource: resource.to_owned(), namespace, ..self }
    }

    /// On this object alone.
    #[must_use]
    pub fn of(self, name: Option<&str>) -> Self {
        Self { name: name.map(str::to_owned), ..self }
    }
}

/// Groups that Kubernetes itself brings, whose resources are known without them.
const WELL_KNOWN: [&str; 5] = ["", "apps", "batch", "autoscaling", "policy"];

impl fmt::Display for Permission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { group, version: _, resource, subresource, verb, namespace, name: _ } = self;
        write!(f, "{verb} {resource}")?;
        if !WELL_KNOWN.contains(&group.as_str()) {
            write!(f, ".{group}")?;
        }
        if !subresource.is_empty() {
            write!(f, "/{subresource}")?;
        }
        match namespace {
            Some(namespace) => write!(f, " in namespace {namespace}"),
            None => write!(f, " in the cluster"),
        }
    }
}

/// What a permission is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Purpose {
    /// To observe, check and verify.
    Reads,
    /// To do what the step is for.
    Changes,
    /// Only to take it back, and to see that the platform has followed.
    Reverts,
}

/// Whether a permission is needed whatever is found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Extent {
    /// It is.
    Always,
    /// Only where this is so: `an autoscaler owns the replicas`.
    Where(&'static str),
    /// The step can do without; then this is not known: `whether an autoscaler counts by these requests`.
    Without(&'static str),
}

/// A permission, with what it is for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Need {
    /// What has to be allowed.
    pub permission: Permission,
    /// What it is for.
    pub purpose: Purpose,
    /// Whether it is needed whatever is found.
    pub extent: Extent,
}

/// All that a step needs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Needs {
    /// Each permission once for each purpose.
    pub all: Vec<Need>,
    /// What more is needed cannot be told for want of these: `which workload it is`.
    pub untold: Vec<String>,
}

impl Needs {
    /// Adds a need, unless the same is there: one that is always needed takes the place of one that is needed at times.
    pub fn add(&mut self, need: Need) {
        let same = |known: &Need| known.permission == need.permission && known.purpose == need.purpose;
        if self.all.iter().any(|known| same(known) && (known.extent == Extent::Always || known.extent == need.extent)) {
            return;
        }
        if need.extent == Extent::Always {
            self.all.retain(|known| !same(known));
        }
        self.all.push(need);
    }

    /// Says that something is not known.
    pub fn untold(&mut self, what: impl Into<String>) {
        let what = what.into();
        if !self.untold.contains(&what) {
            self.untold.push(what);
        }
    }
}

/// What an action needs, from its inputs and the target; a [`variable`](super::by_hand::variable) stands for what is known later. Pure.
pub type NeedsOf = fn(&Value, Option<&TargetSpec>) -> Needs;

/// An action that asks no cluster for anything.
pub fn needs_nothing(_: &Value, _: Option<&TargetSpec>) -> Needs {
    Needs::default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_permission_reads_as_people_say_it() {
        for (permission, text) in [
            (Permission::new("patch", "apps", "deployments/scale", Some("production")), "patch deployments/scale in namespace production"),
            (Permission::new("list", "", "nodes", None), "list nodes in the cluster"),
            (
                Permission::new("list", "discovery.k8s.io", "endpointslices", Some("a")),
                "list endpointslices.discovery.k8s.io in namespace a",
            ),
            (Permission::new("patch", "keda.sh", "scaledobjects/status", Some("a")), "patch scaledobjects.keda.sh/status in namespace a"),
        ] {
            assert_eq!(permission.to_string(), text);
        }
    }

    #[test]
    fn what_is_always_needed_wins() {
        let permission = Permission::new("get", "", "pods", Some("a"));
        let need = |extent| Need { permission: permission.clone(), purpose: Purpose::Reads, extent };
        let mut needs = Needs::default();
        needs.add(need(Extent::Where("x")));
        needs.add(need(Extent::Always));
        needs.add(need(Extent::Without("y")));
        assert_eq!(needs.all, [need(Extent::Always)]);
    }
}
