//! What `INFO` says, as numbers with units.
//!
//! Must not ask anything. Invariant: a field that is missing is null, never 0; what lacks its version or its memory is no `INFO` at all.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

/// The server's statement.
#[derive(Debug)]
pub(super) struct Statement<'a> {
    fields: BTreeMap<&'a str, &'a str>,
}

/// One replica, as its primary sees it.
#[derive(Clone, Debug, PartialEq)]
struct Replica {
    address: String,
    state: String,
    lag_seconds: Option<u64>,
    behind_bytes: Option<u64>,
}

/// The parts of `ip=10.0.0.1,port=6379,lag=0`.
fn parts(text: &str) -> BTreeMap<&str, &str> {
    text.split(',').filter_map(|part| part.split_once('=')).collect()
}

/// A share of a whole in percent, with one decimal; `None` of nothing.
fn percent(part: u64, whole: u64) -> Option<f64> {
    // Counters stay far below 2^53.
    (whole > 0).then(|| (part as f64 / whole as f64 * 1000.0).round() / 10.0)
}

/// Bytes for people: `1.5 GiB`.
fn bytes(count: u64) -> String {
    let (mut value, mut unit) = (count as f64, "B");
    for next in ["KiB", "MiB", "GiB", "TiB"] {
        if value < 1024.0 {
            break;
        }
        (value, unit) = (value / 1024.0, next);
    }
    if unit == "B" { format!("{count} B") } else { format!("{value:.1} {unit}") }
}

impl<'a> Statement<'a> {
    /// Reads the answer to `INFO`.
    ///
    /// # Errors
    /// What is missing from it.
    pub(super) fn of(text: &'a str) -> Result<Self, String> {
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        let statement = Self { fields: lines.filter_map(|line| line.trim_end().split_once(':')).collect() };
        for field in ["redis_version", "used_memory"] {
            if !statement.fields.contains_key(field) {
                return Err(format!("its INFO has no `{field}`"));
            }
        }
        if statement.number("used_memory").is_none() {
            return Err("its INFO gives a `used_memory` that is no number".to_owned());
        }
        Ok(statement)
    }

    fn text(&self, field: &str) -> Option<&'a str> {
        self.fields.get(field).copied().filter(|text| !text.is_empty())
    }

    fn number(&self, field: &str) -> Option<u64> {
        self.text(field)?.parse().ok()
    }

    fn used(&self) -> u64 {
        self.number("used_memory").unwrap_or_default()
    }

    /// `maxmemory` 0 is no limit.
    fn most(&self) -> Option<u64> {
        self.number("maxmemory").filter(|most| *most > 0)
    }

    fn is_replica(&self) -> bool {
        self.text("role") == Some("slave")
    }

    fn replicas(&self) -> Vec<Replica> {
        let offset = self.number("master_repl_offset");
        let of = |(name, text): (&&str, &&str)| {
            name.strip_prefix("slave").filter(|rest| !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_digit()))?;
            let parts = parts(text);
            let number = |key: &str| parts.get(key).and_then(|value| value.parse::<u64>().ok());
            Some(Replica {
                address: format!("{}:{}", parts.get("ip")?, parts.get("port")?),
                state: parts.get("state").map_or("unknown", |state| state).to_owned(),
                lag_seconds: number("lag"),
                behind_bytes: offset.zip(number("offset")).map(|(whole, has)| whole.saturating_sub(has)),
            })
        };
        self.fields.iter().filter_map(of).collect()
    }

    fn lag(&self) -> Option<u64> {
        if self.is_replica() {
            // -1 while it is not connected.
            return self.number("master_last_io_seconds_ago");
        }
        self.replicas().iter().filter_map(|replica| replica.lag_seconds).max()
    }

    fn keyspace(&self) -> Map<String, Value> {
        let of = |(name, text): (&&str, &&str)| {
            name.strip_prefix("db").filter(|rest| !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_digit()))?;
            let parts = parts(text);
            let number = |key: &str| parts.get(key).and_then(|value| value.parse::<u64>().ok());
            Some(((*name).to_owned(), json!({ "keys": number("keys")?, "expires": number("expires") })))
        };
        self.fields.iter().filter_map(of).collect()
    }

    fn keys(&self) -> u64 {
        self.keyspace().values().filter_map(|database| database["keys"].as_u64()).sum()
    }

    /// In one line.
    pub(super) fn summary(&self) -> String {
        let mut said = vec![match self.most() {
            Some(most) => {
                let share = percent(self.used(), most).unwrap_or_default();
                format!("{} of {} used ({share}%)", bytes(self.used()), bytes(most))
            }
            None => format!("{} used, no limit set", bytes(self.used())),
        }];
        said.extend(self.number("connected_clients").map(|clients| match self.number("maxclients") {
            Some(most) => format!("{clients} of {most} clients"),
            None => format!("{clients} clients"),
        }));
        said.extend(self.number("blocked_clients").filter(|blocked| *blocked > 0).map(|blocked| format!("{blocked} of them blocked")));
        let evicted = self.number("evicted_keys").filter(|evicted| *evicted > 0);
        said.extend(evicted.map(|evicted| format!("{evicted} keys evicted since it started")));
        if self.is_replica() {
            said.push(format!("a replica whose link to its primary is {}", self.text("master_link_status").unwrap_or("unknown")));
        } else if self.text("role") == Some("master") {
            said.push(format!("{} replicas", self.replicas().len()));
        }
        if self.text("redis_mode") == Some("cluster") {
            said.push("one node of a cluster: the others are not in these numbers".to_owned());
        }
        said.extend((self.text("loading") == Some("1")).then(|| "it is loading its data".to_owned()));
        said.join(", ")
    }

    /// The action's outputs.
    pub(super) fn outputs(&self) -> Value {
        let (hits, misses) = (self.number("keyspace_hits"), self.number("keyspace_misses"));
        let replicas = self.replicas();
        let shown = |replica: &Replica| {
            let Replica { address, state, lag_seconds, behind_bytes } = replica;
            json!({ "address": address, "state": state, "lag_seconds": lag_seconds, "behind_bytes": behind_bytes })
        };
        let role = self.text("role").map(|role| match role {
            "master" => "primary",
            "slave" => "replica",
            other => other,
        });
        json!({
            "version": self.text("redis_version"),
            "mode": self.text("redis_mode"),
            "uptime_seconds": self.number("uptime_in_seconds"),
            "used_bytes": self.used(),
            "peak_bytes": self.number("used_memory_peak"),
            "max_bytes": self.most(),
            "used_percent": self.most().and_then(|most| percent(self.used(), most)),
            "rss_bytes": self.number("used_memory_rss"),
            "fragmentation": self.text("mem_fragmentation_ratio").and_then(|ratio| ratio.parse::<f64>().ok()).filter(|ratio| ratio.is_finite()),
            "policy": self.text("maxmemory_policy"),
            "evicted_keys": self.number("evicted_keys"),
            "expired_keys": self.number("expired_keys"),
            "hits": hits,
            "misses": misses,
            "hit_percent": hits.zip(misses).and_then(|(hits, misses)| percent(hits, hits.saturating_add(misses))),
            "clients": self.number("connected_clients"),
            "max_clients": self.number("maxclients"),
            "blocked_clients": self.number("blocked_clients"),
            "rejected_connections": self.number("rejected_connections"),
            "commands_per_second": self.number("instantaneous_ops_per_sec"),
            "role": role,
            "replicas": replicas.iter().map(shown).collect::<Vec<_>>(),
            "primary_link": self.text("master_link_status"),
            "lag_seconds": self.lag(),
            "behind_bytes": replicas.iter().filter_map(|replica| replica.behind_bytes).max(),
            "keys": self.keys(),
            "keyspace": self.keyspace(),
            "summary": self.summary(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PRIMARY: &str = "# Server\r\nredis_version:7.0.15\r\nredis_mode:standalone\r\nuptime_in_seconds:27\r\n# Clients\r\nconnected_clients:3\r\n\
        maxclients:10000\r\nblocked_clients:1\r\n# Memory\r\nused_memory:1610612736\r\nused_memory_rss:1700000000\r\nused_memory_peak:1700000000\r\n\
        maxmemory:2147483648\r\nmaxmemory_policy:allkeys-lru\r\nmem_fragmentation_ratio:1.06\r\n# Stats\r\nevicted_keys:7\r\nkeyspace_hits:3\r\n\
        keyspace_misses:1\r\n# Replication\r\nrole:master\r\nconnected_slaves:2\r\nmaster_repl_offset:1000\r\n\
        slave0:ip=10.0.0.1,port=6379,state=online,offset=990,lag=0\r\nslave1:ip=10.0.0.2,port=6379,state=wait_bgsave,offset=0,lag=4\r\n\
        # Keyspace\r\ndb0:keys=5,expires=2,avg_ttl=10\r\ndb3:keys=1,expires=0,avg_ttl=0\r\n";

    #[test]
    fn a_primary_tells_its_memory_and_its_replicas() {
        let statement = Statement::of(PRIMARY).unwrap();
        let told = statement.outputs();
        assert_eq!(
            (&told["used_bytes"], &told["max_bytes"], &told["used_percent"]),
            (&json!(1_610_612_736_u64), &json!(2_147_483_648_u64), &json!(75.0))
        );
        assert_eq!((&told["hit_percent"], &told["fragmentation"]), (&json!(75.0), &json!(1.06)));
        assert_eq!((&told["role"], &told["lag_seconds"], &told["behind_bytes"]), (&json!("primary"), &json!(4), &json!(1000)));
        assert_eq!(told["replicas"][0], json!({ "address": "10.0.0.1:6379", "state": "online", "lag_seconds": 0, "behind_bytes": 10 }));
        assert_eq!((&told["keys"], &told["keyspace"]["db3"]), (&json!(6), &json!({ "keys": 1, "expires": 0 })));
        assert_eq!(told["expired_keys"], Value::Null, "what is not said is not 0");
        let summary = "1.5 GiB of 2.0 GiB used (75%), 3 of 10000 clients, 1 of them blocked, 7 keys evicted since it started, 2 replicas";
        assert_eq!(told["summary"], summary);
    }

    #[test]
    fn a_replica_of_a_cluster_says_so() {
        let text = "redis_version:7.0.15\r\nredis_mode:cluster\r\nused_memory:1024\r\nmaxmemory:0\r\nrole:slave\r\nmaster_link_status:down\r\n\
            master_last_io_seconds_ago:-1\r\nkeyspace_hits:0\r\nkeyspace_misses:0\r\n";
        let told = Statement::of(text).unwrap().outputs();
        assert_eq!((&told["role"], &told["primary_link"], &told["lag_seconds"]), (&json!("replica"), &json!("down"), &Value::Null));
        assert_eq!((&told["max_bytes"], &told["used_percent"], &told["hit_percent"]), (&Value::Null, &Value::Null, &Value::Null));
        let summary = told["summary"].as_str().unwrap();
        assert!(summary.starts_with("1.0 KiB used, no limit set, a replica whose link to its primary is down"), "{summary}");
        assert!(summary.ends_with("one node of a cluster: the others are not in these numbers"), "{summary}");
    }

    #[test]
    fn what_is_no_info_is_refused() {
        for (text, why) in [
            ("", "no `redis_version`"),
            ("redis_version:7.0.15\r\n", "no `used_memory`"),
            ("redis_version:7\r\nused_memory:lots\r\n", "no number"),
        ] {
            assert!(Statement::of(text).unwrap_err().contains(why), "{text}");
        }
    }
}
