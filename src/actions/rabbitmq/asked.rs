//! What is asked of the management API, and its answers as their types.
//!
//! Must not judge. Invariant: a list is read whole, page by page, or not at all.

use std::time::Duration;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Map, Value};

use super::queue::Queue;
use crate::actions::server::{failure, server};
use crate::actions::support::{not_connected, within};
use crate::environment::{ApiAccess, ApiClient, ApiError, ApiSystem, Connections};
use crate::model::outcome::Failure;
use crate::ports::action::Context;

/// The key of the system in environments.
pub(super) const SYSTEM: &str = "rabbitmq";
/// How long one question may take.
const WITHIN: Duration = Duration::from_secs(15);
/// As many queues as the API gives at once.
const PAGE: usize = 500;
/// What the API answers where a page is none any more.
const OUT_OF_RANGE: u16 = 400;
/// How many pages are read.
const MOST_PAGES: usize = 40;
/// The fields of a queue that are asked for: all of them are some 2 KiB each.
const COLUMNS: &str = "name,vhost,type,state,messages,messages_ready,messages_unacknowledged,consumers,leader,node,members,online,\
                       message_stats.publish_details.rate,message_stats.deliver_get_details.rate,message_stats.ack_details.rate";

/// The API, for the time of one call of an action.
pub(super) struct Api<'a> {
    client: ApiClient,
    access: ApiAccess,
    cx: &'a Context,
}

/// Which queues.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Which<'a> {
    pub(super) vhost: Option<&'a str>,
    pub(super) name: Option<&'a str>,
    pub(super) pattern: Option<&'a str>,
}

/// The access that is meant.
pub(super) fn access(
    action: &str,
    connections: &Connections,
    cx: &Context,
    input: Option<&Map<String, Value>>,
) -> Result<ApiAccess, Failure> {
    let server = server(action, SYSTEM, input, cx.target.as_ref())?;
    connections.api_for(ApiSystem::Rabbitmq, &server).map_err(|error| not_connected(&error))
}

impl<'a> Api<'a> {
    pub(super) async fn of(connections: &Connections, access: ApiAccess, cx: &'a Context) -> Result<Self, Failure> {
        let client = connections.api_client(&access, within(cx, WITHIN)).await.map_err(|error| failure(&error, cx))?;
        Ok(Self { client, access, cx })
    }

    pub(super) fn place(&self) -> String {
        self.access.place()
    }

    /// One question; `wanted` statuses are answers too.
    pub(super) async fn ask(&self, path: &str, query: &[(&str, &str)], wanted: &[u16]) -> Result<(u16, Value), Failure> {
        let reply = self.client.ask(path, query, wanted).await.map_err(|error| failure(&error, self.cx))?;
        Ok((reply.status, reply.body))
    }

    /// An answer of another shape.
    pub(super) fn garbled(&self, path: &str, what: &str) -> Failure {
        failure(&ApiError::Garbled { place: self.place(), path: path.to_owned(), what: what.to_owned() }, self.cx)
    }

    fn became_others(&self) -> Failure {
        Failure::transient(format!("the queues of {} became others while their pages were read", self.place()))
            .hint("try it again; a `vhost`, a `name` or a `pattern` makes for fewer pages")
    }

    /// The queues, in the API's order.
    pub(super) async fn queues(&self, which: Which<'_>) -> Result<Vec<Queue>, Failure> {
        let path = match which.vhost {
            Some(vhost) => format!("/api/queues/{}", utf8_percent_encode(vhost, NON_ALPHANUMERIC)),
            None => "/api/queues".to_owned(),
        };
        let size = PAGE.to_string();
        let (mut queues, mut read) = (Vec::new(), 0_u64);
        let mut first_count: Option<u64> = None;
        for page in 1..=MOST_PAGES {
            let number = page.to_string();
            let mut query = vec![("page", number.as_str()), ("page_size", size.as_str()), ("columns", COLUMNS)];
            if let Some(pattern) = which.pattern {
                query.extend([("name", pattern), ("use_regex", "true")]);
            } else if let Some(name) = which.name {
                // It is looked for anywhere in a name; those that only hold it are left out below.
                query.extend([("name", name), ("use_regex", "false")]);
            }
            // A page that was there is out of range where queues went meanwhile.
            let out_of_range: &[u16] = if page > 1 { &[OUT_OF_RANGE] } else { &[] };
            let (status, body) = self.ask(&path, &query, out_of_range).await?;
            if status == OUT_OF_RANGE {
                return Err(self.became_others());
            }
            let items =
                body.get("items").and_then(Value::as_array).ok_or_else(|| self.garbled(&path, "there is no list of queues in it"))?;
            read += items.len() as u64;
            for item in items {
                let queue = Queue::of(item).ok_or_else(|| self.garbled(&path, "a queue without a name"))?;
                if which.name.is_none_or(|name| queue.name == name) {
                    queues.push(queue);
                }
            }
            let count = |key: &str| body.get(key).and_then(Value::as_u64);
            let pages = count("page_count").ok_or_else(|| self.garbled(&path, "it does not say how many pages there are"))?;
            let all = count("filtered_count").ok_or_else(|| self.garbled(&path, "it does not say how many queues there are"))?;
            // A queue that goes between two pages moves another one out of sight.
            if *first_count.get_or_insert(all) != all {
                return Err(self.became_others());
            }
            if u64::try_from(page).is_ok_and(|page| page >= pages) {
                return if all == read { Ok(queues) } else { Err(self.became_others()) };
            }
        }
        Err(Failure::permanent(format!("{} has more than {} such queues", self.place(), PAGE * MOST_PAGES))
            .hint("name a `vhost`, a `name` or a `pattern`"))
    }
}
