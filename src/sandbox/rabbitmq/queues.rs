//! The queues: purchases, which the Pods of the ticket service consume, and notifications, which nobody waits for.
//!
//! It must not read a clock. Invariant: the same world and time, the same counts.

use regex::RegexBuilder;
use serde_json::{Value, json};

use super::cluster::{self, Node};
use super::{Failure, failure, only};
use crate::sandbox::call::Call;
use crate::sandbox::traffic::{self, PURCHASES};
use crate::sandbox::world::World;

/// Over how long rates are averaged, in seconds.
const AVERAGED: f64 = 5.0;
/// As many as the API gives at once.
const LARGEST_PAGE: usize = 500;

/// All queues as the statistics of this time have them.
pub(super) fn all(world: &World, nodes: &[Node], time: u64, speed: f64) -> Vec<Value> {
    let traffic = &world.traffic;
    // A queue holds far fewer messages than 2^53.
    let waiting = traffic.waiting.at(time, speed).round() as u64;
    let consumers = traffic::ready_pods(&world.store).len();
    let unacknowledged = waiting.min(consumers as u64 * 10);
    let rate = |tally: &traffic::Tally| (tally.rate(time, speed, AVERAGED) * 10.0).round() / 10.0;
    // What comes to an empty queue goes at once.
    let (published, taken) = (rate(&traffic.published), rate(if waiting == 0 { &traffic.published } else { &traffic.taken }));
    let (members, online) = cluster::members(nodes);
    let leader = online.first().cloned();
    let purchases = json!({
        "name": PURCHASES, "vhost": "/", "type": "quorum", "state": "running", "durable": true, "auto_delete": false, "exclusive": false,
        "arguments": { "x-queue-type": "quorum" }, "leader": leader, "members": members, "online": online, "node": leader,
        "messages": waiting, "messages_ready": waiting - unacknowledged, "messages_unacknowledged": unacknowledged, "consumers": consumers,
        "messages_details": { "rate": rate(&traffic.waiting) },
        "message_stats": {
            "publish_details": { "rate": published }, "deliver_get_details": { "rate": taken },
            "ack_details": { "rate": taken },
        },
    });
    let notifications = json!({
        "name": "ticket-notifications", "vhost": "/", "type": "classic", "state": "running", "durable": true, "auto_delete": false,
        "exclusive": false, "arguments": {}, "node": leader, "messages": 0, "messages_ready": 0, "messages_unacknowledged": 0, "consumers": 1,
        "messages_details": { "rate": 0.0 },
    });
    vec![notifications, purchases]
}

/// One page of those that were asked for.
pub(super) fn page(call: &Call, queues: &[Value]) -> Result<Value, Failure> {
    let name = call.query("name");
    let matches: Box<dyn Fn(&str) -> bool> = if call.flag("use_regex") {
        // Long patterns are no use here, and must not take long.
        let built = RegexBuilder::new(name).size_limit(1 << 20).build();
        let regex = built.map_err(|_| failure(400, "bad_request", "Pagination parameters are invalid"))?;
        Box::new(move |text| regex.is_match(text))
    } else {
        let name = name.to_owned();
        Box::new(move |text| text.contains(&name))
    };
    let found: Vec<&Value> = queues.iter().filter(|queue| queue["name"].as_str().is_some_and(&matches)).collect();
    let columns = call.query("columns");
    let Ok(page) = call.query("page").parse::<usize>() else {
        return Ok(found.iter().map(|queue| only(queue, columns)).collect());
    };
    let size = call.query("page_size").parse::<usize>().unwrap_or(100);
    if page == 0 || !(1..=LARGEST_PAGE).contains(&size) {
        return Err(failure(400, "bad_request", "Pagination parameters are invalid"));
    }
    let pages = found.len().div_ceil(size).max(1);
    if page > pages {
        let reason = format!("Page out of range, page: {page} page size: {size}, len: {}", found.len());
        return Err(failure(400, "page_out_of_range", &reason));
    }
    let items: Vec<Value> = found.iter().skip((page - 1) * size).take(size).map(|queue| only(queue, columns)).collect();
    Ok(json!({
        "filtered_count": found.len(), "item_count": items.len(), "items": items, "page": page, "page_count": pages, "page_size": size,
        "total_count": queues.len(),
    }))
}
