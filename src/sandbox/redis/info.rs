//! What `INFO` says: the cache's memory grows with the load, its clients with the Pods of the ticket service.
//!
//! It must not read a clock. Invariant: the same world, the same answer; what goes beyond the limit is evicted.

use crate::sandbox::traffic::ready_pods;
use crate::sandbox::world::World;

/// The version of the server that it behaves as.
pub(super) const VERSION: &str = "7.0.15";
/// What its limit is: `maxmemory` of an ElastiCache node of the type cache.t4g.medium, in bytes.
const LIMIT: u64 = 3_317_862_236;
/// What the cache holds when nobody comes, and what each request a second adds (sessions, carts, seats), in bytes.
const BASE: u64 = 900 << 20;
const PER_REQUEST: f64 = 512.0 * 1024.0;
/// What one key takes, in bytes.
const PER_KEY: u64 = 2048;
/// The connections that each Pod keeps, and those of everybody else, whoever asks among them.
const PER_POD: usize = 4;
const OTHERS: usize = 2;
const MOST_CLIENTS: u64 = 65_000;

/// The sections that a client can ask for, in the order in which they are given.
const SECTIONS: [&str; 6] = ["server", "clients", "memory", "stats", "replication", "keyspace"];

/// The answer; all sections where none is named.
pub(super) fn info(world: &World, wanted: &[String]) -> String {
    // At most a million requests a second.
    let wants = BASE + (world.load.rps * PER_REQUEST) as u64;
    let used = wants.min(LIMIT);
    let evicted = (wants - used) / PER_KEY;
    let clients = ready_pods(&world.store).len() * PER_POD + OTHERS;
    let looked_up = (world.load.rps * 1000.0) as u64 + 1000;
    let all = wanted.is_empty() || wanted.iter().any(|name| ["all", "default", "everything"].contains(&name.to_ascii_lowercase().as_str()));
    let mut text = String::new();
    for section in SECTIONS.into_iter().filter(|section| all || wanted.iter().any(|name| name.eq_ignore_ascii_case(section))) {
        let lines: Vec<(&str, String)> = match section {
            "server" => vec![
                ("redis_version", VERSION.to_owned()),
                ("redis_mode", "standalone".to_owned()),
                ("tcp_port", super::PORT.to_string()),
                ("uptime_in_seconds", "86400".to_owned()),
            ],
            "clients" => vec![
                ("connected_clients", clients.to_string()),
                ("maxclients", MOST_CLIENTS.to_string()),
                ("blocked_clients", "0".to_owned()),
            ],
            "memory" => vec![
                ("used_memory", used.to_string()),
                ("used_memory_rss", (used / 100 * 104).to_string()),
                ("used_memory_peak", used.to_string()),
                ("maxmemory", LIMIT.to_string()),
                ("maxmemory_policy", "volatile-lru".to_owned()),
                ("mem_fragmentation_ratio", "1.04".to_owned()),
            ],
            "stats" => vec![
                ("instantaneous_ops_per_sec", ((world.load.rps * 6.0) as u64).to_string()),
                ("rejected_connections", "0".to_owned()),
                ("expired_keys", "0".to_owned()),
                ("evicted_keys", evicted.to_string()),
                ("keyspace_hits", (looked_up / 20 * 19).to_string()),
                ("keyspace_misses", (looked_up / 20).to_string()),
            ],
            "replication" => vec![
                ("role", "master".to_owned()),
                ("connected_slaves", "1".to_owned()),
                ("slave0", "ip=10.0.3.7,port=6379,state=online,offset=104857600,lag=0".to_owned()),
                ("master_repl_offset", "104857600".to_owned()),
            ],
            _ => vec![("db0", format!("keys={},expires={},avg_ttl=900000", used / PER_KEY, used / PER_KEY))],
        };
        if !text.is_empty() {
            text.push_str("\r\n");
        }
        let (first, rest) = section.split_at(1);
        text.push_str(&format!("# {}{rest}\r\n", first.to_uppercase()));
        lines.into_iter().for_each(|(name, value)| text.push_str(&format!("{name}:{value}\r\n")));
    }
    text
}
