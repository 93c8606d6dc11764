//! The key `postgres` of an environment.

use super::super::yaml::Node;
use super::reading::EnvironmentReader;
use crate::model::environment::PostgresTarget;

impl EnvironmentReader<'_> {
    pub(super) fn postgres(&mut self, node: &Node) -> Option<PostgresTarget> {
        let what = "`postgres`";
        self.inner.map(node, what, &["host", "port", "database", "user", "password", "tls", "ca_file"])?;
        let host = self.needed(node, what, "host", "the name or address of the server");
        let database = self.needed(node, what, "database", "the database that is connected to");
        let user = self.needed(node, what, "user", "who connects");
        let port = self.port(node, 5432);
        let tls = self.tls(node);
        let password = node.get("password").and_then(|at| self.secret_ref(at, "`password`"));
        let ca_file = node.get("ca_file").and_then(|at| self.path(at, "`ca_file`"));
        Some(PostgresTarget { host: host?, port: port?, database: database?, user: user?, password, tls: tls?, ca_file })
    }
}
