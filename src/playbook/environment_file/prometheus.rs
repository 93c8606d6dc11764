//! The key `prometheus` of an environment.

use super::super::yaml::Node;
use super::reading::EnvironmentReader;
use crate::model::environment::{PrometheusLogin, PrometheusTarget};

impl EnvironmentReader<'_> {
    pub(super) fn prometheus(&mut self, node: &Node) -> Option<PrometheusTarget> {
        let what = "`prometheus`";
        self.inner.map(node, what, &["url", "bearer", "user", "password", "ca_file"])?;
        let url = self.api_url(node, what, "the server, without `/api/v1`: `https://HOST:9090`");
        let login = self.prometheus_login(node);
        let ca_file = node.get("ca_file").and_then(|at| self.path(at, "`ca_file`"));
        Some(PrometheusTarget { url: url?, login: login?, ca_file })
    }

    fn prometheus_login(&mut self, node: &Node) -> Option<PrometheusLogin> {
        match (node.get("bearer"), node.get("user"), node.get("password")) {
            (None, None, None) => Some(PrometheusLogin::None),
            (Some(at), None, None) => self.secret_ref(at, "`bearer`").map(PrometheusLogin::Bearer),
            (None, Some(user), Some(password)) => {
                let name = self.inner.text(user, "`user`").filter(|name| self.filled(name, user, "`user`"));
                let password = self.secret_ref(password, "`password`");
                Some(PrometheusLogin::Basic { user: name?, password: password? })
            }
            (Some(at), ..) => {
                let message = "`bearer` excludes `user` and `password`";
                self.inner.problems.hint("wrong-value", at.span, message, "a server takes one of them: keep that one");
                None
            }
            (None, Some(at), None) => {
                self.inner.problems.hint("missing-key", at.span, "`user` needs `password`", "`{ env: NAME }` or `{ file: PATH }`");
                None
            }
            (None, None, Some(at)) => {
                self.inner.problems.hint("missing-key", at.span, "`password` needs `user`", "name who logs in");
                None
            }
        }
    }
}
