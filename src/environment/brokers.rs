//! The ways to an environment's Redis, RabbitMQ and Prometheus: as its file says them, and the sandbox's.
//!
//! Must not reach anything. Invariant: a credential goes into one access alone, that of the server it stands beside.

use std::net::SocketAddr;

use secrecy::SecretString;
use serde_json::{Map, Value};

use super::connections::Connections;
use super::http_api::{ApiAccess, ApiLogin, ApiSystem};
use super::redis::{REDIS_PORT, RedisAccess};
use super::target::credential;
use crate::model::environment::{EnvironmentDefinition, PrometheusLogin, TlsMode};

/// The sandbox's user of each of them.
const SANDBOX_USER: &str = "runsheet";

/// Those that a file describes.
pub(super) fn of_file(mut connections: Connections, definition: &EnvironmentDefinition) -> Connections {
    if let Some(redis) = &definition.redis {
        connections = connections.with_redis(RedisAccess {
            host: redis.host.clone(),
            port: redis.port,
            user: redis.user.clone(),
            tls: redis.tls,
            ca_file: redis.ca_file.clone(),
            password: redis.password.as_ref().and_then(credential),
        });
    }
    if let Some(rabbitmq) = &definition.rabbitmq {
        connections = connections.with_api(ApiAccess {
            system: ApiSystem::Rabbitmq,
            url: rabbitmq.url.clone(),
            login: ApiLogin::Basic(rabbitmq.user.clone(), credential(&rabbitmq.password)),
            ca_file: rabbitmq.ca_file.clone(),
        });
    }
    if let Some(prometheus) = &definition.prometheus {
        connections = connections.with_api(ApiAccess {
            system: ApiSystem::Prometheus,
            url: prometheus.url.clone(),
            login: match &prometheus.login {
                PrometheusLogin::None => ApiLogin::None,
                PrometheusLogin::Bearer(source) => ApiLogin::Bearer(credential(source)),
                PrometheusLogin::Basic { user, password } => ApiLogin::Basic(user.clone(), credential(password)),
            },
            ca_file: prometheus.ca_file.clone(),
        });
    }
    connections
}

/// The sandbox's, which are reached on loopback; their hosts that stand in URLs lead there already.
pub(super) fn of_sandbox(
    mut connections: Connections,
    values: &Map<String, Value>,
    address: SocketAddr,
    password: &SecretString,
) -> Connections {
    let text = |system: &str, key: &str| values.get(system)?.get(key)?.as_str().map(str::to_owned);
    if let Some(host) = text("redis", "host") {
        let port = values["redis"].get("port").and_then(Value::as_u64).and_then(|port| u16::try_from(port).ok());
        connections = connections.with_host(host.clone(), address).with_redis(RedisAccess {
            host,
            port: port.unwrap_or(REDIS_PORT),
            user: text("redis", "user"),
            tls: TlsMode::Disable,
            ca_file: None,
            password: Some(password.clone()),
        });
    }
    for system in [ApiSystem::Prometheus, ApiSystem::Rabbitmq] {
        if let Some(url) = text(system.key(), "url") {
            let login = ApiLogin::Basic(SANDBOX_USER.to_owned(), Some(password.clone()));
            connections = connections.with_api(ApiAccess { system, url, login, ca_file: None });
        }
    }
    connections
}
