//! The key `redis` of an environment.

use super::super::yaml::Node;
use super::reading::EnvironmentReader;
use crate::model::environment::RedisTarget;

/// Redis's own port.
const PORT: u16 = 6379;

impl EnvironmentReader<'_> {
    pub(super) fn redis(&mut self, node: &Node) -> Option<RedisTarget> {
        let what = "`redis`";
        self.inner.map(node, what, &["host", "port", "user", "password", "tls", "ca_file"])?;
        let host = self.needed(node, what, "host", "the name or address of the server");
        let port = self.port(node, PORT);
        let user = match node.get("user") {
            None => Some(None),
            Some(at) => self.inner.text(at, "`user`").filter(|name| self.filled(name, at, "`user`")).map(Some),
        };
        let tls = self.tls(node);
        let password = node.get("password").and_then(|at| self.secret_ref(at, "`password`"));
        let ca_file = node.get("ca_file").and_then(|at| self.path(at, "`ca_file`"));
        if let (Some(at), None) = (node.get("user"), node.get("password")) {
            let hint = "a user of Redis's access control list logs in with a password: name its source, or remove `user`";
            self.inner.problems.hint("missing-key", at.span, "`user` needs `password`", hint);
        }
        Some(RedisTarget { host: host?, port: port?, user: user?, password, tls: tls?, ca_file })
    }
}
