//! The connections of the simulated PostgreSQL server: who holds how many, and whether the workloads ever asked for more than was free.
//!
//! It must not read clocks or answer anybody. Invariant: each Pod holds the whole pool that its own template says, from when its containers run
//! until it is gone; a moment at which that goes beyond what is free is never forgotten, over restarts too.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::cluster::Store;
use super::cluster::controller::stamp;
use super::cluster::resource::Resource;
use super::cluster::store::text;
use super::pooler::{Bouncers, Pooler};

/// The server's `max_connections`.
pub(crate) const LIMIT: u64 = 200;
/// Its `superuser_reserved_connections`.
pub(crate) const RESERVED: u64 = 3;
/// The variable that says how many connections a Pod opens.
const POOL: &str = "DB_POOL_MAX";
/// What others hold all the time: database, user, connections.
const OTHERS: [(&str, &str, u64); 2] = [("tickettoken", "reporting", 5), ("analytics", "analytics", 3)];
/// Whose the connections are that the fault `connections` takes: database, user.
const TAKER: (&str, &str) = ("analytics", "batch");

/// How the server's connections stand.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// Connections that are open: never more than ordinary users get.
    pub used: u64,
    /// `max_connections`.
    pub limit: u64,
    /// What only superusers get.
    pub reserved: u64,
    /// What others hold.
    pub others: u64,
    /// What is left for the workloads: limit − reserved − others.
    pub free: u64,
    /// The Pods that hold a pool.
    pub pods: u64,
    /// What their pools come to, whether they get it or not.
    pub wanted: u64,
    /// The most that was ever wanted.
    pub peak: u64,
    /// At how many changes the pools came to more than what is free.
    pub exceeded: u64,
    /// The first of them.
    pub first_exceeded: Option<Exceeded>,
    /// How the pooler stands, where there is one: then the pools are connections to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pooled: Option<Pooled>,
}

/// What PgBouncer makes of the Pods' pools.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pooled {
    /// How it pools.
    pub kind: Pooler,
    /// The Pods' connections to it.
    pub clients: u64,
    /// Its connections to the server.
    pub servers: u64,
    /// The clients that it turns away, or that wait for good.
    pub left_out: u64,
}

/// A moment at which the pools came to more than what is free.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exceeded {
    /// When.
    pub at: Timestamp,
    /// The Pods that held a pool.
    pub pods: u64,
    /// What their pools came to.
    pub wanted: u64,
    /// What was free.
    pub free: u64,
}

/// What is remembered of all moments.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Accounting {
    latest: u64,
    peak: u64,
    exceeded: u64,
    first_exceeded: Option<Exceeded>,
    /// What others took besides what they hold all the time.
    #[serde(default)]
    taken: u64,
}

/// One connection of `pg_stat_activity`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Held {
    pub(crate) database: String,
    pub(crate) user: String,
    /// The Pod's address, where it has one.
    pub(crate) address: Option<String>,
    pub(crate) application: String,
    /// The instance of PgBouncer that has it, where one has.
    pub(crate) bouncer: Option<usize>,
}

/// The Pods and PgBouncer's instances, with what they hold.
pub(crate) struct Account {
    /// Address, name.
    pods: Vec<(String, String)>,
    clients: [Vec<(usize, u64)>; 2],
    held: Vec<Held>,
}

/// The process id of the first of what [`held`] tells; those of sessions are far below.
pub(crate) const FIRST_PID: i64 = 1_000_000;

impl Account {
    /// The clients of an instance.
    pub(crate) fn clients(&self, at: usize) -> u64 {
        self.clients.get(at).into_iter().flatten().map(|(_, count)| count).sum()
    }

    /// The Pods with connections to an instance: address, name, how many.
    pub(crate) fn pods(&self, at: usize) -> impl Iterator<Item = (&str, &str, u64)> {
        let clients = self.clients.get(at).into_iter().flatten();
        clients.filter_map(|(pod, count)| self.pods.get(*pod).map(|(address, name)| (address.as_str(), name.as_str(), *count)))
    }

    /// The server's processes that serve an instance.
    pub(crate) fn servers(&self, at: usize) -> impl Iterator<Item = i64> {
        (FIRST_PID..).zip(&self.held).filter(move |(_, held)| held.bouncer == Some(at)).map(|(pid, _)| pid)
    }
}

/// How everybody's connections stand.
pub(crate) fn accounts(store: &Store, accounting: &Accounting, bouncers: &Bouncers) -> Account {
    let pods: Vec<(&Value, u64)> = pools(store).collect();
    Account {
        clients: if bouncers.is_there() { bouncers.clients(pods.iter().map(|(_, size)| *size)) } else { Default::default() },
        pods: pods.iter().map(|(pod, _)| (text(pod, "/status/podIP").to_owned(), text(pod, "/metadata/name").to_owned())).collect(),
        held: held(store, accounting, bouncers),
    }
}

/// The Pods that hold a pool, with its size.
fn pools(store: &Store) -> impl Iterator<Item = (&Value, u64)> {
    let running = store.list(Resource::Pods, None).map(|entry| &*entry.object).filter(|pod| text(pod, "/status/phase") == "Running");
    running.filter_map(|pod| pool_of(pod).map(|size| (pod, size)))
}

fn pool_of(pod: &Value) -> Option<u64> {
    let containers = pod.pointer("/spec/containers").and_then(Value::as_array).into_iter().flatten();
    let variables = containers.filter_map(|container| container["env"].as_array()).flatten();
    let size = variables.into_iter().find(|variable| variable["name"] == POOL)?["value"].as_str()?.trim().parse().ok()?;
    (size > 0).then_some(size)
}

fn others() -> u64 {
    OTHERS.iter().map(|(_, _, count)| count).sum()
}

/// What is left for the workloads where others take no more than they hold all the time.
fn most() -> u64 {
    LIMIT - RESERVED - others()
}

impl Accounting {
    fn free(&self) -> u64 {
        most().saturating_sub(self.taken)
    }

    /// Looks at the cluster after a change. Others take up to `taking` connections more. `now` is in milliseconds since 1970.
    pub(crate) fn sample(&mut self, store: &Store, bouncers: &Bouncers, taking: u64, now: u64) {
        let (pods, wanted) = demand(store);
        let (of_server, left_out) = on_server(store, bouncers, wanted);
        // The same demand as before is the same moment: nothing has changed for the server.
        if (of_server > self.free() || left_out > 0) && wanted != self.latest {
            self.exceeded += 1;
            let at = stamp(now).parse().unwrap_or(Timestamp::UNIX_EPOCH);
            self.first_exceeded.get_or_insert(Exceeded { at, pods, wanted, free: self.free() });
        }
        self.peak = self.peak.max(wanted);
        self.latest = wanted;
        // Who came first has it: they take what the pools leave, and give nothing of it back to them.
        self.taken = self.taken.max(most().saturating_sub(of_server)).min(taking);
    }

    /// How things stand.
    pub(crate) fn usage(&self, store: &Store, bouncers: &Bouncers) -> Usage {
        let (pods, wanted) = demand(store);
        let (of_server, left_out) = on_server(store, bouncers, wanted);
        let pooled = Pooled { kind: bouncers.kind, clients: wanted, servers: of_server, left_out };
        Usage {
            used: others() + self.taken + of_server.min(self.free()),
            limit: LIMIT,
            reserved: RESERVED,
            others: others() + self.taken,
            free: self.free(),
            pods,
            wanted,
            peak: self.peak.max(wanted),
            exceeded: self.exceeded,
            first_exceeded: self.first_exceeded.clone(),
            pooled: bouncers.is_there().then_some(pooled),
        }
    }
}

fn demand(store: &Store) -> (u64, u64) {
    pools(store).fold((0, 0), |(pods, sum), (_, size)| (pods + 1, u64::saturating_add(sum, size)))
}

/// What the server sees of the Pods' pools, and how many clients PgBouncer leaves out.
fn on_server(store: &Store, bouncers: &Bouncers, wanted: u64) -> (u64, u64) {
    if !bouncers.is_there() {
        return (wanted, 0);
    }
    let clients = bouncers.clients(pools(store).map(|(_, size)| size));
    let sums = clients.iter().enumerate().map(|(at, clients)| (at, clients.iter().map(|(_, count)| count).sum::<u64>()));
    sums.fold((0, 0), |(servers, left_out), (at, clients)| {
        (servers + bouncers.servers(at, clients), left_out + bouncers.left_out(at, clients))
    })
}

/// Every open connection, those of others first. Pods that come too late for what is free get none.
pub(crate) fn held(store: &Store, accounting: &Accounting, bouncers: &Bouncers) -> Vec<Held> {
    let mut held = Vec::new();
    for (database, user, count) in OTHERS.into_iter().chain([(TAKER.0, TAKER.1, accounting.taken)]) {
        let one = Held {
            database: database.to_owned(),
            user: user.to_owned(),
            address: Some("10.0.9.9".to_owned()),
            application: user.to_owned(),
            bouncer: None,
        };
        held.extend((0..count).map(|_| one.clone()));
    }
    let most = usize::try_from(LIMIT - RESERVED).unwrap_or(usize::MAX);
    if bouncers.is_there() {
        for (at, clients) in bouncers.clients(pools(store).map(|(_, size)| size)).iter().enumerate() {
            let servers = bouncers.servers(at, clients.iter().map(|(_, count)| count).sum());
            let one = Held {
                database: "tickettoken".to_owned(),
                user: "ticket_service".to_owned(),
                address: Some(Bouncers::address(at).to_owned()),
                application: String::new(),
                bouncer: Some(at),
            };
            let left = most.saturating_sub(held.len());
            held.extend((0..usize::try_from(servers).unwrap_or(usize::MAX).min(left)).map(|_| one.clone()));
        }
        return held;
    }
    for (pod, size) in pools(store) {
        let address = Some(text(pod, "/status/podIP")).filter(|address| !address.is_empty()).map(str::to_owned);
        let one = Held {
            database: "tickettoken".to_owned(),
            user: "ticket_service".to_owned(),
            address,
            application: text(pod, "/metadata/name").to_owned(),
            bouncer: None,
        };
        let left = most.saturating_sub(held.len());
        held.extend((0..usize::try_from(size).unwrap_or(usize::MAX).min(left)).map(|_| one.clone()));
    }
    held
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn with_pods(pods: &[(&str, &str, &str)]) -> Store {
        let mut store = Store::new(0);
        for (name, phase, pool) in pods {
            let pod = json!({
                "metadata": { "name": name, "namespace": "production" },
                "spec": { "containers": [{ "env": [{ "name": "DB_POOL_MAX", "value": pool }] }] },
                "status": { "phase": phase, "podIP": "10.1.0.1" },
            });
            store.put(Resource::Pods, pod, None);
        }
        store
    }

    #[test]
    fn pods_hold_their_pools_while_they_run() {
        let store = with_pods(&[("a", "Running", "20"), ("b", "Pending", "20"), ("c", "Running", "9"), ("d", "Running", "none")]);
        let usage = Accounting::default().usage(&store, &Bouncers::default());
        assert_eq!((usage.pods, usage.wanted, usage.used, usage.free), (2, 29, 37, 189));
        let held = held(&store, &Accounting::default(), &Bouncers::default());
        assert_eq!(held.len(), 37);
        assert_eq!(held.iter().filter(|one| one.address.as_deref() == Some("10.1.0.1")).count(), 29);
        assert_eq!(held.iter().filter(|one| one.database == "analytics").count(), 3);
    }

    #[test]
    fn what_went_beyond_is_counted_once_a_change_and_never_forgotten() {
        let mut accounting = Accounting::default();
        let (fits, over) = (with_pods(&[("a", "Running", "189")]), with_pods(&[("a", "Running", "189"), ("b", "Running", "1")]));
        accounting.sample(&fits, &Bouncers::default(), 0, 0);
        assert_eq!(accounting.usage(&fits, &Bouncers::default()).exceeded, 0);
        accounting.sample(&over, &Bouncers::default(), 0, 5_000);
        accounting.sample(&over, &Bouncers::default(), 0, 6_000);
        let further = with_pods(&[("a", "Running", "189"), ("b", "Running", "100")]);
        accounting.sample(&further, &Bouncers::default(), 0, 7_000);
        accounting.sample(&fits, &Bouncers::default(), 0, 8_000);
        let usage = accounting.usage(&fits, &Bouncers::default());
        assert_eq!((usage.exceeded, usage.peak, usage.wanted), (2, 289, 189));
        let first = usage.first_exceeded.unwrap();
        assert_eq!((first.at.as_second(), first.pods, first.wanted, first.free), (5, 2, 190, 189));
        assert_eq!(held(&further, &accounting, &Bouncers::default()).len(), 197, "nobody gets more than there is");
        let kept: Accounting = serde_json::from_value(serde_json::to_value(&accounting).unwrap()).unwrap();
        assert_eq!(kept.usage(&fits, &Bouncers::default()).exceeded, 2);
    }

    #[test]
    fn others_take_what_comes_free_and_keep_it() {
        let mut accounting = Accounting::default();
        let (many, few, more) =
            (with_pods(&[("a", "Running", "144")]), with_pods(&[("a", "Running", "18")]), with_pods(&[("a", "Running", "40")]));
        accounting.sample(&many, &Bouncers::default(), 150, 0);
        let usage = accounting.usage(&many, &Bouncers::default());
        assert_eq!((usage.others, usage.free, usage.used, usage.exceeded), (53, 144, 197, 0), "what the pools have, nobody takes");
        accounting.sample(&few, &Bouncers::default(), 150, 1_000);
        assert_eq!((accounting.usage(&few, &Bouncers::default()).others, accounting.usage(&few, &Bouncers::default()).free), (158, 39));
        let taken = held(&few, &accounting, &Bouncers::default()).iter().filter(|one| one.user == "batch").count();
        assert_eq!((taken, held(&few, &accounting, &Bouncers::default()).len()), (150, 176));
        accounting.sample(&more, &Bouncers::default(), 150, 2_000);
        assert_eq!(
            (accounting.usage(&more, &Bouncers::default()).free, accounting.usage(&more, &Bouncers::default()).exceeded),
            (39, 1),
            "they do not give it back to a pool"
        );
        accounting.sample(&more, &Bouncers::default(), 0, 3_000);
        assert_eq!(
            (accounting.usage(&more, &Bouncers::default()).others, accounting.usage(&more, &Bouncers::default()).free),
            (8, 189),
            "until the fault ends"
        );
    }

    #[test]
    fn through_pgbouncer_pools_are_clients_and_the_server_sees_less() {
        let store = with_pods(&[("a", "Running", "400"), ("b", "Running", "401")]);
        let mut accounting = Accounting::default();
        let bouncers = Bouncers::new(Pooler::Transaction);
        accounting.sample(&store, &bouncers, 0, 0);
        let usage = accounting.usage(&store, &bouncers);
        assert_eq!((usage.wanted, usage.used, usage.exceeded), (801, 8 + 20 + 25, 0));
        assert_eq!(usage.pooled, Some(Pooled { kind: Pooler::Transaction, clients: 801, servers: 45, left_out: 0 }));
        let account = accounts(&store, &accounting, &bouncers);
        assert_eq!((account.clients(0), account.clients(1), account.servers(1).count()), (401, 400, 25));
        assert_eq!(account.servers(0).next(), Some(FIRST_PID + 8), "the first after those of others");
        // Whoever has a connection in session mode keeps it: the others wait for good.
        let bouncers = Bouncers::new(Pooler::Session);
        Accounting::sample(&mut accounting, &store, &bouncers, 0, 1_000);
        assert_eq!(accounting.usage(&store, &bouncers).pooled.unwrap().left_out, 801 - 45);
        let mut fresh = Accounting::default();
        fresh.sample(&store, &bouncers, 0, 1_000);
        assert_eq!(fresh.usage(&store, &bouncers).exceeded, 1);
    }
}
