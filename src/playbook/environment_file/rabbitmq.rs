//! The key `rabbitmq` of an environment.

use super::super::yaml::Node;
use super::reading::EnvironmentReader;
use crate::model::environment::RabbitmqTarget;

impl EnvironmentReader<'_> {
    pub(super) fn rabbitmq(&mut self, node: &Node) -> Option<RabbitmqTarget> {
        let what = "`rabbitmq`";
        self.inner.map(node, what, &["url", "user", "password", "ca_file"])?;
        let url = self.api_url(node, what, "the management API, without `/api`: `https://HOST:15671`");
        let user = self.needed(node, what, "user", "who asks; the tag `monitoring` is enough");
        let password = match node.get("password") {
            Some(at) => self.secret_ref(at, "`password`"),
            None => {
                self.inner.missing(node.span, what, "password", "`{ env: NAME }` or `{ file: PATH }`");
                None
            }
        };
        let ca_file = node.get("ca_file").and_then(|at| self.path(at, "`ca_file`"));
        Some(RabbitmqTarget { url: url?, user: user?, password: password?, ca_file })
    }

    /// The key `url` of a system that is asked over HTTP: its paths are added to what stands there.
    pub(super) fn api_url(&mut self, node: &Node, what: &str, hint: &str) -> Option<String> {
        let Some(at) = node.get("url") else {
            self.inner.missing(node.span, what, "url", hint);
            return None;
        };
        let url = self.url(at, "`url`")?;
        if url.contains(['?', '#']) {
            self.inner.problems.hint("wrong-value", at.span, "`url` has a query or a fragment, and paths are added to it", hint);
            return None;
        }
        Some(url.trim_end_matches('/').to_owned())
    }
}
