//! Whether an environment's Redis, RabbitMQ and Prometheus answer, as the actions on them ask.
//!
//! Must not change anything there. Invariant: each asks once and ends within its time.

use std::time::Instant;

use serde_json::{Value, json};

use super::{CONNECT, EnvironmentCheck, TIMEOUT, Verdict};
use crate::environment::{ApiAccess, ApiSystem, Connections, Environment, RedisError};
use crate::model::environment::{EnvironmentDefinition, PrometheusTarget, RabbitmqTarget, RedisTarget, TlsMode};

/// The tags of a RabbitMQ user who may see nodes.
const SEES_NODES: [&str; 2] = ["monitoring", "administrator"];

/// All three, where the file names them.
pub(super) async fn brokers(check: &mut EnvironmentCheck, definition: &EnvironmentDefinition) {
    // A kubeconfig that is wrong says nothing of them.
    let only = EnvironmentDefinition { kubernetes: None, ..definition.clone() };
    let Ok(environment) = Environment::of(only) else { return };
    let connections = &environment.connections;
    if let Some(target) = &definition.redis {
        redis(check, connections, target).await;
    }
    if let Some(target) = &definition.rabbitmq {
        rabbitmq(check, connections, target).await;
    }
    if let Some(target) = &definition.prometheus {
        prometheus(check, connections, target).await;
    }
}

async fn redis(check: &mut EnvironmentCheck, connections: &Connections, target: &RedisTarget) {
    let what = "redis";
    let value = json!({ "host": target.host, "port": target.port });
    let access = match connections.redis_for(&value) {
        Ok(access) => access,
        Err(error) => return check.add(what, Verdict::Refused, error.to_string(), Some(error.hint().to_owned())),
    };
    if let (Some(source), None) = (&target.password, &access.password) {
        let text = format!("{} was not asked: its password comes from {source}, which gives none", access.place());
        return check.add(what, Verdict::Invalid, text, None);
    }
    let begun = Instant::now();
    let answered = async { connections.redis_session(&access, CONNECT).await?.info().await };
    match answered.await {
        Ok(info) => {
            let took = begun.elapsed().as_millis().max(1);
            let Some(version) = info.lines().find_map(|line| line.trim_end().strip_prefix("redis_version:")) else {
                let error = RedisError::Garbled { place: access.place(), why: "its INFO has no `redis_version`".to_owned() };
                return check.add(what, Verdict::Refused, error.to_string(), Some(error.hint().to_owned()));
            };
            let text = format!("{} answered within {took} ms: Redis {version}", access.place());
            if access.tls == TlsMode::Require {
                let hint = "write `tls: verify-full`, with the server's `ca_file` where the machine does not know it";
                return check.add(what, Verdict::Notice, format!("{text}; the server's certificate is not checked"), Some(hint.to_owned()));
            }
            check.good(what, text);
        }
        Err(error) => check.add(what, Verdict::Refused, error.to_string(), Some(error.hint().to_owned())),
    }
}

/// The answer of an API to one question; `None` where there is none, which is told.
async fn asked(
    check: &mut EnvironmentCheck,
    connections: &Connections,
    system: ApiSystem,
    url: &str,
    path: &str,
    query: &[(&str, &str)],
) -> Option<(ApiAccess, Value, u128)> {
    let what = system.key();
    let access = match connections.api_for(system, &json!({ "url": url })) {
        Ok(access) => access,
        Err(error) => {
            check.add(what, Verdict::Refused, error.to_string(), Some(error.hint().to_owned()));
            return None;
        }
    };
    if !access.has_credential() {
        let text = format!("{} was not asked: the source of its password or token gives none", access.place());
        check.add(what, Verdict::Invalid, text, None);
        return None;
    }
    let begun = Instant::now();
    let answered = async { connections.api_client(&access, TIMEOUT).await?.ask(path, query, &[]).await };
    match answered.await {
        Ok(reply) => Some((access, reply.body, begun.elapsed().as_millis().max(1))),
        Err(error) => {
            check.add(what, Verdict::Refused, error.to_string(), Some(error.hint().to_owned()));
            None
        }
    }
}

async fn rabbitmq(check: &mut EnvironmentCheck, connections: &Connections, target: &RabbitmqTarget) {
    let answered = asked(check, connections, ApiSystem::Rabbitmq, &target.url, "/api/whoami", &[]).await;
    let Some((access, body, took)) = answered else { return };
    // Once they were one text with commas, now they are a list.
    let tags: Vec<&str> = match body.get("tags") {
        Some(Value::Array(tags)) => tags.iter().filter_map(Value::as_str).collect(),
        Some(Value::String(tags)) => tags.split(',').map(str::trim).collect(),
        _ => Vec::new(),
    };
    let text = format!("{} let {} in within {took} ms", access.place(), target.user);
    if tags.iter().any(|tag| SEES_NODES.contains(tag)) {
        return check.good("rabbitmq", text);
    }
    let hint = format!("`rabbitmqctl set_user_tags {} monitoring`", target.user);
    check.add("rabbitmq", Verdict::Notice, format!("{text}; it has no tag `monitoring`, and may not see the nodes"), Some(hint));
}

async fn prometheus(check: &mut EnvironmentCheck, connections: &Connections, target: &PrometheusTarget) {
    let query = [("query", "vector(1)")];
    let answered = asked(check, connections, ApiSystem::Prometheus, &target.url, "/api/v1/query", &query).await;
    let Some((access, body, took)) = answered else { return };
    if body.get("status").and_then(Value::as_str) == Some("success") {
        return check.good("prometheus", format!("{} answered a query within {took} ms", access.place()));
    }
    let text = format!("{} answered a query with something else than Prometheus does", access.place());
    check.add("prometheus", Verdict::Refused, text, Some("check its URL: something else answers there".to_owned()));
}
