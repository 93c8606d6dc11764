//! The key `pgbouncer` of an environment.

use super::super::yaml::{Kind, Node};
use super::reading::EnvironmentReader;
use crate::model::environment::{CONSOLE, HostPort, PGBOUNCER_PORT, PgBouncerPlace, PgBouncerTarget};

const KEYS: &[&str] = &["instances", "service", "namespace", "port", "database", "user", "password", "tls", "ca_file"];

impl EnvironmentReader<'_> {
    pub(super) fn pgbouncer(&mut self, node: &Node) -> Option<PgBouncerTarget> {
        let what = "`pgbouncer`";
        self.inner.map(node, what, KEYS)?;
        let place = self.place(node, what);
        let user = self.needed(node, what, "user", "one of its `admin_users`, or of its `stats_users`, who may only look");
        let database = match node.get("database") {
            Some(at) => self.inner.text(at, "`database`").filter(|text| self.filled(text, at, "`database`")),
            None => Some(CONSOLE.to_owned()),
        };
        let tls = self.tls(node);
        let password = node.get("password").and_then(|at| self.secret_ref(at, "`password`"));
        let ca_file = node.get("ca_file").and_then(|at| self.path(at, "`ca_file`"));
        Some(PgBouncerTarget { place: place?, user: user?, database: database?, password, tls: tls?, ca_file })
    }

    fn place(&mut self, node: &Node, what: &str) -> Option<PgBouncerPlace> {
        match (node.get("instances"), node.get("service")) {
            (Some(at), None) => {
                if let Some(at) = ["namespace", "port"].into_iter().find_map(|key| node.get(key)) {
                    let hint = "each of `instances` is `HOST:PORT`: remove this";
                    self.inner.problems.hint("wrong-value", at.span, "this belongs to `service`, and `instances` are named", hint);
                    return None;
                }
                self.instances(at).map(PgBouncerPlace::Instances)
            }
            (None, Some(at)) => {
                let name = self.inner.text(at, "`service`").filter(|name| self.filled(name, at, "`service`"));
                let namespace = match node.get("namespace") {
                    Some(at) => Some(self.inner.text(at, "`namespace`").filter(|name| self.filled(name, at, "`namespace`"))?),
                    None => None,
                };
                let port = self.port(node, PGBOUNCER_PORT);
                Some(PgBouncerPlace::Service { name: name?, namespace, port: port? })
            }
            (Some(_), Some(at)) => {
                self.inner.problems.hint("wrong-value", at.span, "`instances` and `service` exclude each other", "keep one of them");
                None
            }
            (None, None) => {
                let hint = "`instances: [HOST:PORT, …]`, each by itself; or `service: NAME`, whose pods are the instances";
                self.inner.missing(node.span, what, "instances", hint);
                None
            }
        }
    }

    fn instances(&mut self, node: &Node) -> Option<Vec<HostPort>> {
        let items = self.inner.items(node, "`instances`");
        if items.is_empty() {
            if matches!(node.kind, Kind::List(_)) {
                self.inner.problems.hint("wrong-value", node.span, "`instances` names none", "write `[HOST:PORT, …]`");
            }
            return None;
        }
        let mut found = Vec::new();
        for item in items {
            let text = self.inner.text(item, "an instance")?;
            let Some(place) = HostPort::parse(&text, PGBOUNCER_PORT) else {
                self.inner.problems.hint("wrong-value", item.span, "an instance is `HOST:PORT`", "for example `10.0.0.5:6432`");
                return None;
            };
            if found.contains(&place) {
                self.inner.problems.add("wrong-value", item.span, format!("the instance {place} is named twice"));
                return None;
            }
            found.push(place);
        }
        Some(found)
    }
}
