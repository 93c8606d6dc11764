//! The kinds of objects the simulated cluster serves, and the request paths that name them.
//!
//! It must not know what a request does with an object. Invariant: each path names at most one resource, in the way the API
//! server's own paths do (`/api/v1/namespaces/NS/pods/NAME`, `/apis/apps/v1/namespaces/NS/deployments/NAME/scale`).

/// A kind of object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(clippy::enum_variant_names, reason = "a ResourceQuota is called so in Kubernetes")]
pub(crate) enum Resource {
    Namespaces,
    Nodes,
    Pods,
    Services,
    Endpoints,
    ConfigMaps,
    Events,
    ResourceQuotas,
    Deployments,
    ReplicaSets,
    StatefulSets,
    Jobs,
    HorizontalPodAutoscalers,
    EndpointSlices,
    Leases,
    PodDisruptionBudgets,
    RabbitmqClusters,
    Applications,
    AppProjects,
    ScaledObjects,
}

/// What the API says of a kind.
struct Entry {
    plural: &'static str,
    kind: &'static str,
    group: &'static str,
    version: &'static str,
    namespaced: bool,
    short_names: &'static [&'static str],
}

const fn entry(
    plural: &'static str,
    kind: &'static str,
    group: &'static str,
    version: &'static str,
    short_names: &'static [&'static str],
) -> Entry {
    Entry { plural, kind, group, version, namespaced: true, short_names }
}

const fn of_the_cluster(plural: &'static str, kind: &'static str, short_names: &'static [&'static str]) -> Entry {
    Entry { plural, kind, group: "", version: "v1", namespaced: false, short_names }
}

impl Resource {
    pub(crate) const ALL: [Self; 20] = [
        Self::Namespaces,
        Self::Nodes,
        Self::Pods,
        Self::Services,
        Self::Endpoints,
        Self::ConfigMaps,
        Self::Events,
        Self::ResourceQuotas,
        Self::Deployments,
        Self::ReplicaSets,
        Self::StatefulSets,
        Self::Jobs,
        Self::HorizontalPodAutoscalers,
        Self::EndpointSlices,
        Self::Leases,
        Self::PodDisruptionBudgets,
        Self::RabbitmqClusters,
        Self::Applications,
        Self::AppProjects,
        Self::ScaledObjects,
    ];

    fn entry(self) -> &'static Entry {
        match self {
            Self::Namespaces => &const { of_the_cluster("namespaces", "Namespace", &["ns"]) },
            Self::Nodes => &const { of_the_cluster("nodes", "Node", &["no"]) },
            Self::Pods => &const { entry("pods", "Pod", "", "v1", &["po"]) },
            Self::Services => &const { entry("services", "Service", "", "v1", &["svc"]) },
            Self::Endpoints => &const { entry("endpoints", "Endpoints", "", "v1", &["ep"]) },
            Self::ConfigMaps => &const { entry("configmaps", "ConfigMap", "", "v1", &["cm"]) },
            Self::Events => &const { entry("events", "Event", "", "v1", &["ev"]) },
            Self::ResourceQuotas => &const { entry("resourcequotas", "ResourceQuota", "", "v1", &["quota"]) },
            Self::Deployments => &const { entry("deployments", "Deployment", "apps", "v1", &["deploy"]) },
            Self::ReplicaSets => &const { entry("replicasets", "ReplicaSet", "apps", "v1", &["rs"]) },
            Self::StatefulSets => &const { entry("statefulsets", "StatefulSet", "apps", "v1", &["sts"]) },
            Self::Jobs => &const { entry("jobs", "Job", "batch", "v1", &[]) },
            Self::HorizontalPodAutoscalers => {
                &const { entry("horizontalpodautoscalers", "HorizontalPodAutoscaler", "autoscaling", "v2", &["hpa"]) }
            }
            Self::EndpointSlices => &const { entry("endpointslices", "EndpointSlice", "discovery.k8s.io", "v1", &[]) },
            Self::Leases => &const { entry("leases", "Lease", "coordination.k8s.io", "v1", &[]) },
            Self::PodDisruptionBudgets => &const { entry("poddisruptionbudgets", "PodDisruptionBudget", "policy", "v1", &["pdb"]) },
            Self::RabbitmqClusters => &const { entry("rabbitmqclusters", "RabbitmqCluster", "rabbitmq.com", "v1beta1", &["rmq"]) },
            Self::Applications => &const { entry("applications", "Application", "argoproj.io", "v1alpha1", &["app", "apps"]) },
            Self::AppProjects => &const { entry("appprojects", "AppProject", "argoproj.io", "v1alpha1", &["appproj", "appprojs"]) },
            Self::ScaledObjects => &const { entry("scaledobjects", "ScaledObject", "keda.sh", "v1alpha1", &["so"]) },
        }
    }

    /// The name in paths, which is also the start of the object's key in the store.
    pub(crate) fn plural(self) -> &'static str {
        self.entry().plural
    }

    pub(crate) fn kind(self) -> &'static str {
        self.entry().kind
    }

    pub(crate) fn group(self) -> &'static str {
        self.entry().group
    }

    /// `v1`, `apps/v1`
    pub(crate) fn api_version(self) -> String {
        match self.entry() {
            Entry { group: "", version, .. } => (*version).to_owned(),
            Entry { group, version, .. } => format!("{group}/{version}"),
        }
    }

    pub(crate) fn namespaced(self) -> bool {
        self.entry().namespaced
    }

    /// What `kubectl` takes for the plural.
    pub(crate) fn short_names(self) -> &'static [&'static str] {
        self.entry().short_names
    }

    /// `v1`, `v2`
    pub(crate) fn version(self) -> &'static str {
        self.entry().version
    }

    /// `Deployment.apps`, as validation errors say it.
    pub(crate) fn qualified_kind(self) -> String {
        match self.group() {
            "" => self.kind().to_owned(),
            group => format!("{}.{group}", self.kind()),
        }
    }

    /// The kind in the labels of objects, `NAMESPACE/KIND/NAME`: `hpa` for an autoscaler, else the kind in lower case.
    pub(crate) fn label(self) -> String {
        match self {
            Self::HorizontalPodAutoscalers => "hpa".to_owned(),
            _ => self.kind().to_lowercase(),
        }
    }

    /// The kind that a label names.
    pub(crate) fn of_label(label: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|resource| resource.label() == label)
    }

    /// Whether it is one of Argo CD's, which only a cluster with Argo CD serves.
    pub(crate) fn is_argo_cds(self) -> bool {
        self.group() == "argoproj.io"
    }

    /// Whether an object must have a `spec`.
    pub(crate) fn has_spec(self) -> bool {
        use Resource::{ConfigMaps, EndpointSlices, Endpoints, Events, Leases, Namespaces, Nodes};
        !matches!(self, ConfigMaps | Events | Endpoints | EndpointSlices | Namespaces | Nodes | Leases)
    }

    /// Whether it has a `status` subresource.
    pub(crate) fn has_status(self) -> bool {
        !matches!(self, Self::ConfigMaps | Self::Events | Self::Endpoints | Self::EndpointSlices | Self::Leases) && !self.is_argo_cds()
    }

    /// Whether the server counts the changes of what is wanted.
    pub(crate) fn has_generation(self) -> bool {
        use Resource::{Deployments, Jobs, PodDisruptionBudgets, Pods, ReplicaSets, StatefulSets};
        matches!(self, Deployments | ReplicaSets | StatefulSets | Jobs | PodDisruptionBudgets | Pods) || self.is_custom()
    }

    /// Whether it has this subresource.
    pub(crate) fn has_subresource(self, name: &str) -> bool {
        match name {
            "status" => self.has_status(),
            "scale" => self.scales(),
            "resize" => self == Self::Pods,
            _ => false,
        }
    }

    /// Whether it is of a definition (CRD): it knows no strategic merge.
    pub(crate) fn is_custom(self) -> bool {
        matches!(self, Self::ScaledObjects | Self::RabbitmqClusters) || self.is_argo_cds()
    }

    /// Whether it has a `scale` subresource.
    pub(crate) fn scales(self) -> bool {
        matches!(self, Self::Deployments | Self::ReplicaSets | Self::StatefulSets)
    }

    /// `deployments.apps`, as error messages say it.
    pub(crate) fn qualified(self) -> String {
        match self.group() {
            "" => self.plural().to_owned(),
            group => format!("{}.{group}", self.plural()),
        }
    }

    fn of(group_version: &str, plural: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|resource| resource.api_version() == group_version && resource.plural() == plural)
    }
}

/// What a path below `/api` or `/apis` names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ResourcePath {
    pub(crate) resource: Resource,
    pub(crate) namespace: Option<String>,
    pub(crate) name: Option<String>,
    pub(crate) subresource: Option<String>,
}

impl ResourcePath {
    /// The resource that `path` names; none for a path that the cluster does not serve.
    pub(crate) fn parse(path: &str) -> Option<Self> {
        let segments: Vec<&str> = path.trim_matches('/').split('/').collect();
        let (group_version, rest) = match segments.as_slice() {
            ["api", version, rest @ ..] => ((*version).to_owned(), rest),
            ["apis", group, version, rest @ ..] => (format!("{group}/{version}"), rest),
            _ => return None,
        };
        let owned = |text: &&str| (*text).to_owned();
        let (namespace, plural, rest) = match rest {
            ["namespaces", rest @ ..] if rest.len() <= 1 && group_version == "v1" => (None, "namespaces", rest),
            ["namespaces", namespace, plural, rest @ ..] => (Some(owned(namespace)), *plural, rest),
            [plural, rest @ ..] => (None, *plural, rest),
            [] => return None,
        };
        let resource = Resource::of(&group_version, plural)?;
        if rest.len() > 2 || (namespace.is_some() && !resource.namespaced()) {
            return None;
        }
        if resource.namespaced() && namespace.is_none() && !rest.is_empty() {
            return None;
        }
        Some(Self { resource, namespace, name: rest.first().map(owned), subresource: rest.get(1).map(owned) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_name_objects_as_the_api_server_does() {
        let scale = ResourcePath::parse("/apis/apps/v1/namespaces/production/deployments/ticket-service/scale").unwrap();
        assert_eq!(scale.resource, Resource::Deployments);
        assert_eq!(scale.namespace.as_deref(), Some("production"));
        assert_eq!(scale.name.as_deref(), Some("ticket-service"));
        assert_eq!(scale.subresource.as_deref(), Some("scale"));

        let namespace = ResourcePath::parse("/api/v1/namespaces/kube-system").unwrap();
        assert_eq!(namespace.resource, Resource::Namespaces);
        assert_eq!(namespace.name.as_deref(), Some("kube-system"));

        assert_eq!(ResourcePath::parse("/api/v1/pods").unwrap().namespace, None);
        for unknown in ["/api/v1", "/", "/api/v1/secrets", "/api/v1/pods/x", "/apis/apps/v1/namespaces/a/pods", "/apis/apps/v2/deployments"]
        {
            assert_eq!(ResourcePath::parse(unknown), None, "{unknown}");
        }
    }
}
