//! The kinds of objects the simulated cluster serves, and the request paths that name them.
//!
//! It must not know what a request does with an object. Invariant: each path names at most one resource, in the way the API
//! server's own paths do (`/api/v1/namespaces/NS/pods/NAME`, `/apis/apps/v1/namespaces/NS/deployments/NAME/scale`).

/// A kind of object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Resource {
    Namespaces,
    Pods,
    Deployments,
}

impl Resource {
    pub(crate) const ALL: [Self; 3] = [Self::Namespaces, Self::Pods, Self::Deployments];

    /// The name in paths, which is also the start of the object's key in the store.
    pub(crate) fn plural(self) -> &'static str {
        match self {
            Self::Namespaces => "namespaces",
            Self::Pods => "pods",
            Self::Deployments => "deployments",
        }
    }

    pub(crate) fn kind(self) -> &'static str {
        match self {
            Self::Namespaces => "Namespace",
            Self::Pods => "Pod",
            Self::Deployments => "Deployment",
        }
    }

    pub(crate) fn group(self) -> &'static str {
        match self {
            Self::Namespaces | Self::Pods => "",
            Self::Deployments => "apps",
        }
    }

    pub(crate) fn api_version(self) -> &'static str {
        match self {
            Self::Namespaces | Self::Pods => "v1",
            Self::Deployments => "apps/v1",
        }
    }

    pub(crate) fn namespaced(self) -> bool {
        self != Self::Namespaces
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
