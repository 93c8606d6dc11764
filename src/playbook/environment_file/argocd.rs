//! The key `argocd` of an environment.

use super::super::yaml::Node;
use super::reading::EnvironmentReader;
use crate::model::environment::ArgoCdTarget;

impl EnvironmentReader<'_> {
    pub(super) fn argocd(&mut self, node: &Node) -> Option<ArgoCdTarget> {
        self.inner.map(node, "`argocd`", &["namespace"])?;
        let Some(at) = node.get("namespace") else { return Some(ArgoCdTarget::default()) };
        let namespace = self.inner.text(at, "`namespace`").filter(|name| self.label(name, at))?;
        Some(ArgoCdTarget { namespace })
    }
}
