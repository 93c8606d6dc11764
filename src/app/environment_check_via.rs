//! Whether the ways of an environment lead where they should: each is opened, and no byte is sent through it.
//!
//! Must not log in to what is at their ends. Invariant: each way is tried within its own time, and one that fails does not keep the others from being
//! tried.

use std::collections::BTreeSet;
use std::time::Instant;

use serde_json::Value;
use url::Url;

use super::environment_check::{EnvironmentCheck, Verdict};
use crate::environment::Environment;
use crate::model::environment::{EnvironmentDefinition, Via, Way};

/// Tries each way.
pub(super) async fn ways(check: &mut EnvironmentCheck, environment: &Environment, definition: &EnvironmentDefinition) {
    let what = "via";
    for via in &definition.via {
        let ports = ports(via, definition);
        if ports.is_empty() {
            let text = format!("{} by {} was not tried: nothing in this file names a port of it", via.key(), via.way);
            check.add(what, Verdict::Notice, text, Some("write `HOST:PORT` as the key where only one port is meant".to_owned()));
        }
        for port in ports {
            let begun = Instant::now();
            let failed = match environment.connections.reach(&via.host, port).await {
                Ok(reach) => reach.probe().await,
                Err(error) => Some(error),
            };
            match failed {
                None => {
                    let took = begun.elapsed().as_millis().max(1);
                    check.good(what, format!("{}:{port} is reached by {} within {took} ms", via.host, via.way));
                }
                Some(error) => check.add(what, Verdict::Refused, error.to_string(), Some(error.hint().to_owned())),
            }
        }
    }
}

/// The ports by which the file names a host: the way's own, those of systems, and those of URLs.
fn ports(via: &Via, definition: &EnvironmentDefinition) -> BTreeSet<u16> {
    if let Some(port) = via.port {
        return BTreeSet::from([port]);
    }
    let mut found = BTreeSet::new();
    for value in definition.target_values().values() {
        named(value, &via.host, &mut found);
    }
    if let (true, Way::PortForward { port: Some(_), .. }) = (found.is_empty(), &via.way) {
        // Whatever port is asked for, this one is what it leads to.
        found.insert(80);
    }
    found
}

fn named(value: &Value, host: &str, found: &mut BTreeSet<u16>) {
    let is_host = |text: &str| text.trim_matches(['[', ']']).eq_ignore_ascii_case(host);
    match value {
        Value::String(text) => {
            let url = Url::parse(text).ok().filter(|url| url.host_str().is_some_and(is_host));
            found.extend(url.and_then(|url| url.port_or_known_default()));
        }
        Value::Array(items) => items.iter().for_each(|item| named(item, host, found)),
        Value::Object(map) => {
            if map.get("host").and_then(Value::as_str).is_some_and(is_host) {
                found.extend(map.get("port").and_then(Value::as_u64).and_then(|port| u16::try_from(port).ok()));
            }
            map.values().for_each(|item| named(item, host, found));
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_ports_of_a_host_are_found_where_it_is_named() {
        let mut found = BTreeSet::new();
        let values = json!({
            "a": { "url": "http://Db.internal/x", "deep": ["https://db.internal:8443", "https://other.internal:1"] },
            "postgres": { "host": "db.internal", "port": 5432, "user": "x" },
        });
        named(&values, "db.internal", &mut found);
        assert_eq!(found.into_iter().collect::<Vec<_>>(), [80, 5432, 8443]);
    }
}
