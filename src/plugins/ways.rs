//! Private hosts, for plugins: those that a question names are reached by the environment's ways, and the plugin is told at which address.
//!
//! Must not open a way that nobody asked for. Invariant: it is open before the plugin is asked, and as long as that is.

use std::any::Any;
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use async_trait::async_trait;
use serde_json::Value;

use crate::model::outcome::Failure;

/// What opens the ways that an environment names.
#[async_trait]
pub trait Ways: Send + Sync {
    /// The hosts that are reached by a way, in lower case; with a port where only that one is meant.
    fn hosts(&self) -> Vec<(String, Option<u16>)>;

    /// Opens the way to a port of a host.
    ///
    /// # Errors
    /// Why it does not lead there.
    async fn open(&self, host: &str, port: u16) -> Result<Opened, Failure>;
}

/// A way that is open.
pub struct Opened {
    /// Where it begins, on this machine.
    pub address: SocketAddr,
    /// Ends it when it is dropped.
    pub held: Box<dyn Any + Send + Sync>,
}

/// The ways that a question needs.
#[derive(Default)]
pub(super) struct Reached {
    /// `ADDRESS:PORT` by `HOST:PORT`.
    pub(super) hosts: BTreeMap<String, String>,
    _held: Vec<Box<dyn Any + Send + Sync>>,
}

impl Reached {
    /// Opens the ways to all that a question names.
    pub(super) async fn open(ways: &dyn Ways, question: &Value) -> Result<Self, Failure> {
        let mut reached = Self::default();
        for (host, port) in named(question, &ways.hosts()) {
            let Opened { address, held } = ways.open(&host, port).await?;
            reached.hosts.insert(format!("{host}:{port}"), address.to_string());
            reached._held.push(held);
        }
        Ok(reached)
    }
}

/// The ports of these hosts that are named in any text: `HOST:PORT`, or a URL whose scheme has one.
fn named(question: &Value, hosts: &[(String, Option<u16>)]) -> BTreeSet<(String, u16)> {
    let mut found = BTreeSet::new();
    if !hosts.is_empty() {
        each_text(question, &mut |text| {
            let text = text.to_ascii_lowercase();
            for (host, only) in hosts {
                let ports = text.match_indices(host.as_str()).filter_map(|(at, _)| port_at(&text, at, at + host.len(), *only));
                found.extend(ports.filter(|port| only.is_none_or(|only| only == *port)).map(|port| (host.clone(), port)));
            }
        });
    }
    found
}

fn each_text(value: &Value, see: &mut impl FnMut(&str)) {
    match value {
        Value::String(text) => see(text),
        Value::Array(all) => all.iter().for_each(|one| each_text(one, see)),
        Value::Object(all) => all.values().for_each(|one| each_text(one, see)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// The port of a host that stands at this place of a text; `None` where it is only a part of another name, or where no port can be told.
fn port_at(text: &str, begin: usize, end: usize, only: Option<u16>) -> Option<u16> {
    let of_a_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    let (before, after) = (text.get(..begin)?, text.get(end..)?);
    if before.ends_with(of_a_name) || after.starts_with(of_a_name) {
        return None;
    }
    let digits: String = after.strip_prefix(':').unwrap_or_default().chars().take_while(char::is_ascii_digit).collect();
    if !digits.is_empty() {
        return digits.parse().ok().filter(|port| *port > 0);
    }
    let scheme = before.rsplit_once("://").filter(|(_, user)| !user.contains(['/', ' '])).map(|(scheme, _)| scheme);
    let scheme = scheme.map(|scheme| scheme.rsplit(|c: char| !c.is_ascii_alphanumeric()).next().unwrap_or_default());
    match scheme {
        Some("http" | "ws") => Some(80),
        Some("https" | "wss") => Some(443),
        Some("postgres" | "postgresql") => Some(5432),
        Some("redis" | "rediss") => Some(6379),
        Some("amqp") => Some(5672),
        Some("amqps") => Some(5671),
        _ => only,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_port_of_a_private_host_is_known_by_how_it_is_named() {
        let hosts = [("db.internal".to_owned(), None), ("mq.internal".to_owned(), Some(15672))];
        for (text, wanted) in [
            ("http://db.internal/x", Some(("db.internal", 80))),
            ("https://ana@DB.internal", Some(("db.internal", 443))),
            ("postgres://db.internal/tickets", Some(("db.internal", 5432))),
            ("see http://db.internal:8080/x", Some(("db.internal", 8080))),
            ("db.internal:6432", Some(("db.internal", 6432))),
            ("db.internal", None),
            ("db.internal:0", None),
            ("my-db.internal:80", None),
            ("db.internal.example:80", None),
            ("http://elsewhere/db.internal", None),
            ("mq.internal", Some(("mq.internal", 15672))),
            ("http://mq.internal:15672/api", Some(("mq.internal", 15672))),
            ("http://mq.internal/api", None),
        ] {
            let found = named(&json!({ "inputs": { "env": [{ "URL": text }] }, "n": 1 }), &hosts);
            assert_eq!(
                found.into_iter().collect::<Vec<_>>(),
                wanted.map(|(host, port)| (host.to_owned(), port)).into_iter().collect::<Vec<_>>(),
                "{text}"
            );
        }
    }
}
