//! What each account of the cluster may do, as rules of RBAC: the one place where that is written.
//!
//! It must not know requests. Invariant: what no rule allows is not allowed; a resource in a rule does not stand for its subresources.

/// A rule of a Role, or of a ClusterRole where it names no namespace.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rule {
    /// The namespace it is for; `None`: all of the cluster.
    namespace: Option<&'static str>,
    groups: &'static [&'static str],
    /// With their subresources: `deployments/scale`.
    resources: &'static [&'static str],
    verbs: &'static [&'static str],
    /// The only objects it is for; empty: all.
    names: &'static [&'static str],
}

/// What is asked for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wanted<'a> {
    pub(crate) verb: &'a str,
    pub(crate) group: &'a str,
    /// With its subresource.
    pub(crate) resource: &'a str,
    pub(crate) namespace: Option<&'a str>,
    pub(crate) name: Option<&'a str>,
}

const HOME: Option<&str> = Some("production");
const ANY: &[&str] = &["*"];
const READ: &[&str] = &["get", "list", "watch"];
const WRITE: &[&str] = &["create", "update", "patch", "delete"];
const WORKLOADS: &[&str] = &["deployments", "statefulsets", "replicasets", "deployments/scale", "statefulsets/scale", "replicasets/scale"];
const AUTOSCALERS: &[&str] = &["horizontalpodautoscalers"];
const SCALED_OBJECTS: &[&str] = &["scaledobjects"];

const fn at_home(groups: &'static [&'static str], resources: &'static [&'static str], verbs: &'static [&'static str]) -> Rule {
    Rule { namespace: HOME, groups, resources, verbs, names: &[] }
}

/// Which cluster it is, and that the namespace is there: whoever runs a playbook has to be able to read that.
const IDENTITY: Rule =
    Rule { namespace: None, groups: &[""], resources: &["namespaces"], verbs: &["get"], names: &["kube-system", "production"] };
/// The locks of runs between machines.
const LOCKS: Rule = at_home(&["coordination.k8s.io"], &["leases"], &["get", "create", "update", "delete"]);

/// Everything.
pub(crate) const ADMIN: &[Rule] = &[Rule { namespace: None, groups: ANY, resources: ANY, verbs: ANY, names: &[] }];

/// Reads everything, writes nothing.
pub(crate) const VIEWER: &[Rule] = &[Rule { namespace: None, groups: ANY, resources: ANY, verbs: READ, names: &[] }];

/// Reads what is in its namespace, but no Secrets, and changes workloads, their pods in place, autoscalers, ScaledObjects, ConfigMaps and Jobs.
pub(crate) const DEPLOYER: &[Rule] = &[
    IDENTITY,
    LOCKS,
    at_home(&["apps"], WORKLOADS, READ),
    at_home(&["apps"], WORKLOADS, WRITE),
    at_home(&["autoscaling"], AUTOSCALERS, READ),
    at_home(&["autoscaling"], AUTOSCALERS, WRITE),
    at_home(&["keda.sh"], SCALED_OBJECTS, READ),
    at_home(&["keda.sh"], SCALED_OBJECTS, WRITE),
    at_home(&["batch"], &["jobs"], READ),
    at_home(&["batch"], &["jobs"], WRITE),
    at_home(&["batch"], &["cronjobs"], READ),
    at_home(&[""], &["configmaps"], READ),
    at_home(&[""], &["configmaps"], WRITE),
    at_home(&[""], &["pods", "pods/log", "services", "endpoints", "events", "resourcequotas"], READ),
    at_home(&[""], &["pods/resize"], &["patch"]),
    at_home(&[""], &["pods/proxy", "pods/exec", "pods/portforward"], &["get", "create"]),
    at_home(&["discovery.k8s.io"], &["endpointslices"], READ),
    at_home(&["metrics.k8s.io"], &["pods"], &["get", "list"]),
    at_home(&["policy"], &["poddisruptionbudgets"], READ),
];

/// Reads workloads, pods and autoscalers, and sets replicas: by the `scale` subresource, or by the floor of an autoscaler or a
/// ScaledObject.
pub(crate) const SCALER: &[Rule] = &[
    IDENTITY,
    LOCKS,
    at_home(&["apps"], &["deployments", "statefulsets", "replicasets"], READ),
    at_home(&["apps"], &["deployments/scale", "statefulsets/scale"], &["get", "update", "patch"]),
    at_home(&[""], &["pods"], READ),
    at_home(&["autoscaling"], AUTOSCALERS, READ),
    at_home(&["autoscaling"], AUTOSCALERS, &["patch"]),
    at_home(&["keda.sh"], SCALED_OBJECTS, READ),
    at_home(&["keda.sh"], SCALED_OBJECTS, &["patch"]),
];

impl Rule {
    fn allows(&self, wanted: &Wanted<'_>) -> bool {
        let among = |all: &[&str], one: &str| all.contains(&"*") || all.contains(&one);
        (self.namespace.is_none() || self.namespace == wanted.namespace)
            && among(self.groups, wanted.group)
            && among(self.resources, wanted.resource)
            && among(self.verbs, wanted.verb)
            && (self.names.is_empty() || wanted.name.is_some_and(|name| self.names.contains(&name)))
    }
}

/// Whether any rule allows it.
pub(crate) fn allow(rules: &[Rule], wanted: &Wanted<'_>) -> bool {
    rules.iter().any(|rule| rule.allows(wanted))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_allows_what_it_says_and_nothing_else() {
        let wanted = Wanted { verb: "patch", group: "apps", resource: "deployments/scale", namespace: HOME, name: Some("x") };
        let of = |resource, verb, group, namespace, name| Wanted { verb, group, resource, namespace, name };
        for (rules, wanted, allowed) in [
            (SCALER, wanted, true),
            (SCALER, Wanted { resource: "deployments", ..wanted }, false),
            (SCALER, Wanted { namespace: Some("default"), ..wanted }, false),
            (SCALER, Wanted { namespace: None, ..wanted }, false),
            (SCALER, Wanted { group: "", ..wanted }, false),
            (DEPLOYER, of("secrets", "get", "", HOME, Some("x")), false),
            (DEPLOYER, of("nodes", "list", "", None, None), false),
            (DEPLOYER, of("pods", "delete", "", HOME, Some("x")), false),
            (DEPLOYER, of("namespaces", "get", "", None, Some("kube-system")), true),
            (DEPLOYER, of("namespaces", "get", "", None, Some("default")), false),
            (DEPLOYER, of("namespaces", "list", "", None, None), false),
            (VIEWER, of("nodes", "list", "", None, None), true),
            (VIEWER, wanted, false),
            (ADMIN, wanted, true),
        ] {
            assert_eq!(allow(rules, &wanted), allowed, "{wanted:?}");
        }
    }
}
