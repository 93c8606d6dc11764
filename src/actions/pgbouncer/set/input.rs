//! The inputs of `pgbouncer.set`: which settings it changes, and which it leaves to whoever is responsible for them.
//!
//! Must not ask anything. Invariant: no name or value passes that could become more than one setting's.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::NAME;
use crate::actions::support::parse;
use crate::model::outcome::Failure;
use crate::ports::action::Inputs;

/// Settings that decide who gets in, or where it listens and writes: they are changed in its file, by whoever is responsible for that.
const OTHERS: &[&str] = &[
    "admin_users",
    "stats_users",
    "auth_",
    "client_tls_",
    "server_tls_",
    "listen_",
    "unix_socket_",
    "logfile",
    "syslog",
    "pidfile",
    "user",
    "job_name",
    "service_name",
    "conffile",
    "resolv_conf",
];

/// The inputs of `pgbouncer.set`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Input {
    /// The pooler: `${{ target.pgbouncer }}`. The password is the environment's.
    pooler: Map<String, Value>,
    /// The settings by name, in the units of PgBouncer's configuration: `default_pool_size: 30` connections, `server_idle_timeout: 600` seconds.
    #[schemars(schema_with = "settings_schema")]
    settings: BTreeMap<String, Value>,
}

fn settings_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({ "type": "object", "minProperties": 1, "additionalProperties": { "type": ["string", "number", "boolean"] } })
}

impl Input {
    /// The pooler, and the settings as texts.
    pub(super) fn of(inputs: &Inputs) -> Result<(Value, BTreeMap<String, String>), Failure> {
        let input: Self = parse(NAME, inputs)?;
        if input.settings.is_empty() {
            return Err(Failure::permanent("`settings` names none").hint("give it at least one, `default_pool_size: 30`"));
        }
        let mut settings = BTreeMap::new();
        for (name, value) in input.settings {
            let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
            if name.is_empty() || name.len() > 60 || !name.chars().all(plain) {
                let shown: String = name.chars().take(60).collect();
                return Err(Failure::permanent(format!("`{shown}` is not the name of a setting of PgBouncer")));
            }
            if OTHERS.iter().any(|other| name == *other || (other.ends_with('_') && name.starts_with(other))) {
                return Err(Failure::permanent(format!("{NAME} does not change `{name}`"))
                    .hint("what decides who gets in, and where PgBouncer listens and writes, is changed in its configuration file"));
            }
            settings.insert(name.clone(), text_of(&name, &value)?);
        }
        Ok((Value::Object(input.pooler), settings))
    }
}

/// A value as PgBouncer writes it.
fn text_of(name: &str, value: &Value) -> Result<String, Failure> {
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Bool(true) => "1".to_owned(),
        Value::Bool(false) => "0".to_owned(),
        Value::Number(number) => match number.as_f64() {
            #[expect(clippy::cast_possible_truncation, reason = "it is whole and small")]
            Some(exact) if exact.fract() == 0.0 && exact.abs() < 1e15 => (exact as i64).to_string(),
            _ => number.to_string(),
        },
        _ => return Err(Failure::permanent(format!("the setting `{name}` is to become {value}, which is no text, number or boolean"))),
    };
    if text.len() > 1000 || text.chars().any(char::is_control) {
        return Err(Failure::permanent(format!("the value of the setting `{name}` holds what PgBouncer takes in no setting")));
    }
    Ok(text)
}
