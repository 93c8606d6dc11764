//! PgBouncer, by its admin console: every instance by itself.
//!
//! Must not change anything but what `pgbouncer.set` is told to. Invariant: what is said of the pooler is said of all its instances, or it is an error.

mod facts;
mod limits;
mod pools;
mod set;

pub(in crate::actions) use facts::all;
pub(in crate::actions) use limits::{Limits, Seen, Server};

use std::sync::Arc;

use serde_json::Value;

use super::reading::Reader;
use crate::environment::{Connections, PostgresError};
use crate::model::by_hand::word;
use crate::model::outcome::Failure;
use crate::model::permission::{Extent, Need, Needs, Permission, Purpose};
use crate::model::run::TargetSpec;
use crate::ports::action::{Action, Context};

/// The actions on the pooler that these connections lead to.
pub fn builtin(connections: &Arc<Connections>) -> Vec<Arc<dyn Action>> {
    vec![Arc::new(Reader::<pools::Pools>::new(connections)), Arc::new(set::Set::new(Arc::clone(connections)))]
}

/// What a failure of a console means for a step: a read has had no effect.
fn failure(cx: &Context, error: &PostgresError) -> Failure {
    let text = cx.log.redact(&error.to_string());
    let failure = if error.is_transient() { Failure::transient(text) } else { Failure::permanent(text) };
    match error {
        PostgresError::Authentication { .. } => failure.hint(
            "check the user and the password of `pgbouncer` in the environment, PgBouncer's auth_file, and that the user is one of its `admin_users` \
             (or `stats_users`, who may only look)",
        ),
        PostgresError::NoDatabase { .. } => failure.hint("the admin console's database is `pgbouncer`: check `pgbouncer.database` in the environment"),
        PostgresError::Refused { .. } => failure.hint("is this PgBouncer itself, and not PostgreSQL? PgBouncer's log says more"),
        _ => failure.hint(error.hint()),
    }
}

/// What finding the instances needs: those of a Service are listed by the cluster.
pub(in crate::actions) fn needs(pooler: &Value, target: Option<&TargetSpec>) -> Needs {
    let mut needs = Needs::default();
    if pooler.get("service").is_some() {
        let cluster = target.and_then(|target| target.values.get("kubernetes")).and_then(|cluster| cluster.get("namespace"));
        let namespace = pooler.get("namespace").or(cluster).and_then(Value::as_str);
        let permission = Permission::new("list", "discovery.k8s.io", "endpointslices", namespace);
        needs.add(Need { permission, purpose: Purpose::Reads, extent: Extent::Always });
    }
    needs
}

/// The beginning of a line for `psql` on each instance that is named; those of a Service are found first.
fn psql(pooler: &Value) -> (Vec<String>, Vec<String>) {
    let text = |key: &str| pooler.get(key).map(word);
    let (user, database) = (text("user").unwrap_or_else(|| "USER".to_owned()), text("database").unwrap_or_else(|| "pgbouncer".to_owned()));
    if let Some(service) = text("service") {
        let namespace = text("namespace").map(|name| format!(" -n {name}")).unwrap_or_default();
        let look = vec![
            format!("kubectl get endpointslices{namespace} -l kubernetes.io/service-name={service} -o yaml"),
            "# for each of these addresses in the place of ADDRESS:".to_owned(),
        ];
        let port = text("port").unwrap_or_else(|| "6432".to_owned());
        return (look, vec![format!("psql -h ADDRESS -p {port} -U {user} {database}")]);
    }
    let instances = pooler.get("instances").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
    let line = |instance: &str| {
        let (host, port) = instance.rsplit_once(':').unwrap_or((instance, "6432"));
        format!("psql -h {} -p {port} -U {user} {database}", crate::model::by_hand::quoted(host.trim_matches(['[', ']'])))
    };
    (Vec::new(), instances.map(line).collect())
}
