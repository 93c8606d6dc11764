//! Argo CD, as an environment's file says where it is.

use serde::Serialize;

/// The Argo CD that rolls out what is in the cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ArgoCdTarget {
    /// The namespace of its AppProjects and, unless they say otherwise, its Applications.
    pub namespace: String,
}

impl ArgoCdTarget {
    /// The namespace where the file does not say.
    pub const NAMESPACE: &'static str = "argocd";
}

impl Default for ArgoCdTarget {
    fn default() -> Self {
        Self { namespace: Self::NAMESPACE.to_owned() }
    }
}
