//! The check of an environment's PgBouncer: every instance lets us in, and says who may do what.
//!
//! Must not change anything. Invariant: an instance that cannot be reached does not keep the others from being asked.

use std::time::Instant;

use super::{CONNECT, EnvironmentCheck, TIMEOUT, Verdict};
use crate::environment::{Environment, PgBouncerInstance};
use crate::model::environment::EnvironmentDefinition;

const WHAT: &str = "pgbouncer";

/// Logs in to the admin console of every instance and asks for its version.
pub(super) async fn pooler(check: &mut EnvironmentCheck, definition: &EnvironmentDefinition) {
    let Some(target) = &definition.pgbouncer else { return };
    // A kubeconfig that is wrong is told of by itself, and says nothing of instances that are named.
    let environment =
        Environment::of(definition.clone()).or_else(|_| Environment::of(EnvironmentDefinition { kubernetes: None, ..definition.clone() }));
    let Ok(environment) = environment else { return };
    let Ok(access) = environment.connections.pgbouncer() else { return };
    if let (Some(source), None) = (&target.password, &access.password) {
        let text = format!("PgBouncer was not asked: its password comes from {source}, which gives none");
        return check.add(WHAT, Verdict::Invalid, text, None);
    }
    let namespace = definition.kubernetes.as_ref().map_or("default", |kubernetes| kubernetes.namespace.as_str());
    let instances = match environment.connections.pgbouncer_instances(access, namespace, TIMEOUT).await {
        Ok(instances) => instances,
        Err(error) => return check.add(WHAT, Verdict::Refused, error.to_string(), Some(error.hint.to_owned())),
    };
    for instance in instances {
        ask(check, &environment, &instance).await;
    }
}

async fn ask(check: &mut EnvironmentCheck, environment: &Environment, instance: &PgBouncerInstance) {
    let connections = &environment.connections;
    let Ok(access) = connections.pgbouncer() else { return };
    let begun = Instant::now();
    let answered = async { connections.pgbouncer_session(access, instance, CONNECT).await?.rows("SHOW VERSION").await };
    match answered.await {
        Ok(rows) => {
            let version = rows.first().and_then(|row| row.first().cloned().flatten()).unwrap_or_else(|| "an unknown version".to_owned());
            let took = begun.elapsed().as_millis().max(1);
            check.good(WHAT, format!("{} let {} in within {took} ms; {version}", instance.at, access.target.user));
        }
        Err(error) => check.add(WHAT, Verdict::Refused, error.to_string(), Some(error.hint().to_owned())),
    }
}
