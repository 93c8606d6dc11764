//! What PgBouncer lets through: how many clients it takes, and how many connections PostgreSQL may see of it.
//!
//! Must not ask anything. Invariant: every part is counted against the workload: each pool to its full size with its reserve, on every instance at the
//! same time, and clients as unevenly spread as they may be.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use super::facts::{Database, Facts, Link};

/// Whose a connection of the server is, by its process: database and user.
pub(in crate::actions) type Seen = BTreeMap<i64, (String, String)>;

/// The server that is counted, as the environment names it.
#[derive(Clone, Copy, Debug)]
pub(in crate::actions) struct Server<'a> {
    pub(in crate::actions) host: &'a str,
    pub(in crate::actions) port: u16,
    pub(in crate::actions) database: &'a str,
}

/// All that its instances let through together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::actions) struct Limits {
    /// How many instances there are.
    pub(in crate::actions) instances: i64,
    /// The mode of the workload's pools: `transaction`.
    pub(in crate::actions) mode: String,
    /// The fewest clients that one of them takes.
    pub(in crate::actions) max_client_conn: i64,
    /// The clients of others that are connected now.
    pub(in crate::actions) other_clients: i64,
    /// The workload's own.
    pub(in crate::actions) own_clients: i64,
    /// The most connections to the server that all of them open.
    pub(in crate::actions) servers: i64,
    /// The same in words: `25 (1 pool: 20 + 5 reserve) + …`.
    pub(in crate::actions) servers_text: String,
    /// The server's processes that are theirs.
    pub(in crate::actions) held: BTreeSet<i64>,
    /// Why it cannot be counted on, where it cannot.
    pub(in crate::actions) refused: Option<String>,
    /// What to know before it is believed.
    pub(in crate::actions) doubts: Vec<String>,
}

/// The most connections to the server that one instance opens.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Open {
    pools: i64,
    sizes: i64,
    reserve: i64,
    most: i64,
    bounds: Vec<&'static str>,
}

impl Open {
    fn words(&self) -> String {
        let pools = if self.pools == 1 { "1 pool".to_owned() } else { format!("{} pools", self.pools) };
        let reserve = if self.reserve > 0 { format!(" + {} reserve", self.reserve) } else { String::new() };
        let bounds = if self.bounds.is_empty() { String::new() } else { format!(", bounded by {}", self.bounds.join(" and ")) };
        format!("{} ({pools}: {}{reserve}{bounds})", self.most, self.sizes)
    }
}

/// The databases of an instance that lead to the server: those that name its host and port, and those whose connections are seen on it. Where none
/// does, by whatever name the instance reaches it, all of them.
fn leading<'f>(facts: &'f Facts, server: Server<'_>, seen: &Seen) -> Vec<&'f Database> {
    let is_seen = |database: &Database| {
        facts.servers.iter().any(|link| {
            link.database == database.name
                && seen.get(&link.pid).is_some_and(|(name, user)| *name == database.database && *user == link.user)
        })
    };
    let named = |database: &&Database| {
        (database.host.eq_ignore_ascii_case(server.host) && database.port == i64::from(server.port)) || is_seen(database)
    };
    let found: Vec<&Database> = facts.databases.iter().filter(named).collect();
    if found.is_empty() { facts.databases.iter().collect() } else { found }
}

/// The users that have a pool of each database, on whichever instance: the next client may come to another.
type Pairs<'f> = BTreeMap<&'f str, BTreeSet<&'f str>>;

fn pairs<'f>(all: &'f [Facts], server: Server<'_>, is_own: impl Fn(Option<IpAddr>) -> bool) -> Pairs<'f> {
    let mut pairs: Pairs<'f> = BTreeMap::new();
    for pool in all.iter().flat_map(|facts| &facts.pools) {
        pairs.entry(pool.database.as_str()).or_default().insert(pool.user.as_str());
    }
    if !all.iter().flat_map(|facts| &facts.clients).any(|link| is_own(link.address)) {
        // The workload's own pool, before its first client.
        for database in all.iter().flat_map(|facts| &facts.databases).filter(|database| database.database == server.database) {
            pairs.entry(database.name.as_str()).or_default().insert("");
        }
    }
    pairs
}

fn open(facts: &Facts, leading: &[&Database], pairs: &Pairs<'_>) -> Open {
    let mut open = Open::default();
    // The reserve is only used where a client has to wait for it.
    let reserves = facts.setting("reserve_pool_timeout").is_none_or(|seconds| seconds > 0.0);
    let (all_bases, all_users) = (facts.count("max_db_connections"), facts.count("max_user_connections"));
    let mut by_user: BTreeMap<&str, i64> = BTreeMap::new();
    let mut by_database = 0_i64;
    let mut without_bounds = 0_i64;
    for database in leading {
        let mut of_this = 0_i64;
        for user in pairs.get(database.name.as_str()).into_iter().flatten().copied() {
            let own = facts.users.get(user);
            let size = own.and_then(|own| own.pool_size).unwrap_or(database.pool_size).max(0);
            let reserve = if reserves { own.and_then(|own| own.reserve).unwrap_or(database.reserve).max(0) } else { 0 };
            open.pools += 1;
            open.sizes = open.sizes.saturating_add(size);
            open.reserve = open.reserve.saturating_add(reserve);
            let both = size.saturating_add(reserve);
            of_this = of_this.saturating_add(both);
            let sum = by_user.entry(user).or_default();
            *sum = sum.saturating_add(both);
        }
        without_bounds = without_bounds.saturating_add(of_this);
        let most = if database.max_connections > 0 { database.max_connections } else { all_bases };
        by_database = by_database.saturating_add(if most > 0 { of_this.min(most) } else { of_this });
    }
    let bounded_users = by_user.iter().map(|(user, sum)| {
        let most = facts.users.get(*user).and_then(|own| own.max_connections).unwrap_or(all_users);
        if most > 0 { (*sum).min(most) } else { *sum }
    });
    let by_user = bounded_users.fold(0, i64::saturating_add);
    open.most = by_database.min(by_user);
    if by_database < without_bounds && by_database == open.most {
        open.bounds.push("max_db_connections");
    }
    if by_user < without_bounds && by_user == open.most {
        open.bounds.push("max_user_connections");
    }
    open
}

/// The modes of the workload's pools on one instance: those that its pods use, else those of the server's own database.
fn modes(facts: &Facts, leading: &[&Database], pairs: &Pairs<'_>, server: Server<'_>, pods: &BTreeSet<IpAddr>) -> BTreeSet<String> {
    let default = facts.config.get("pool_mode").cloned().unwrap_or_else(|| "session".to_owned());
    let own: BTreeSet<(&str, &str)> = facts
        .clients
        .iter()
        .filter(|link| link.address.is_some_and(|address| pods.contains(&address)))
        .map(|link| (link.database.as_str(), link.user.as_str()))
        .collect();
    let mode = |database: &Database, user: Option<&str>| {
        let pool = facts.pools.iter().find(|pool| pool.database == database.name && user.is_none_or(|user| pool.user == user));
        let of_user = user.and_then(|user| facts.users.get(user)).and_then(|own| own.pool_mode.clone());
        let of_pool = pool.and_then(|pool| pool.mode.clone());
        of_pool.or(of_user).or_else(|| database.pool_mode.clone()).unwrap_or_else(|| default.clone())
    };
    let used = leading.iter().flat_map(|database| {
        let mine = own.iter().filter(|(name, _)| *name == database.name);
        mine.map(|(_, user)| mode(database, Some(user))).collect::<Vec<_>>()
    });
    let used: BTreeSet<String> = used.collect();
    if !used.is_empty() {
        return used;
    }
    let bases = leading.iter().filter(|database| database.database == server.database);
    bases
        .flat_map(|database| {
            let users = pairs.get(database.name.as_str()).cloned().unwrap_or_default();
            if users.is_empty() { vec![mode(database, None)] } else { users.into_iter().map(|user| mode(database, Some(user))).collect() }
        })
        .collect()
}

/// The users as whom the workload's pods connect; before the first of them has, all that have a pool of the server's own database.
fn users<'f>(all: &'f [Facts], server: Server<'_>, pairs: &Pairs<'f>, is_own: impl Fn(Option<IpAddr>) -> bool) -> BTreeSet<&'f str> {
    let own = all.iter().flat_map(|facts| &facts.clients).filter(|link| is_own(link.address));
    let own: BTreeSet<&str> = own.map(|link| link.user.as_str()).collect();
    if !own.is_empty() {
        return own;
    }
    let bases = all.iter().flat_map(|facts| &facts.databases).filter(|database| database.database == server.database);
    bases.filter_map(|database| pairs.get(database.name.as_str())).flatten().copied().collect()
}

/// The most clients that any of these users may have connected to one instance; `None`: no limit of theirs.
fn clients_of_a_user(facts: &Facts, users: &BTreeSet<&str>) -> Option<i64> {
    let for_all = Some(facts.count("max_user_client_connections")).filter(|most| *most > 0);
    users.iter().filter_map(|user| facts.users.get(*user).and_then(|own| own.max_clients).or(for_all)).min()
}

impl Limits {
    /// Of these instances. `pods`: the addresses of the workload's pods; `seen`: whose the server's connections are.
    pub(in crate::actions) fn of(all: &[Facts], server: Server<'_>, pods: &BTreeSet<IpAddr>, seen: &Seen) -> Self {
        let mut limits = Self { instances: i64::try_from(all.len()).unwrap_or(i64::MAX), max_client_conn: i64::MAX, ..Self::default() };
        let is_own = |address: Option<IpAddr>| address.is_some_and(|address| pods.contains(&address));
        let pairs = pairs(all, server, is_own);
        let users = users(all, server, &pairs, is_own);
        let (mut modes_of_all, mut opens, mut lacking) = (BTreeSet::new(), Vec::new(), Vec::new());
        for facts in all {
            let leading = leading(facts, server, seen);
            limits.max_client_conn = limits.max_client_conn.min(facts.count("max_client_conn"));
            let to_server = leading.iter().filter(|database| database.database == server.database);
            let of_databases = to_server.map(|database| database.max_clients).filter(|most| *most > 0);
            for most in of_databases.chain(clients_of_a_user(facts, &users)) {
                limits.max_client_conn = limits.max_client_conn.min(most);
            }
            let own = facts.clients.iter().filter(|link| is_own(link.address)).count();
            limits.own_clients += i64::try_from(own).unwrap_or(i64::MAX);
            limits.other_clients += i64::try_from(facts.clients.len() - own).unwrap_or(i64::MAX);
            // A process of that number may be another's by now.
            let is_theirs = |link: &&Link, database: &Database| {
                link.database == database.name
                    && seen.get(&link.pid).is_some_and(|(name, user)| *name == database.database && *user == link.user)
            };
            let theirs = facts.servers.iter().filter(|link| leading.iter().any(|database| is_theirs(link, database)));
            limits.held.extend(theirs.map(|link| link.pid));
            let modes = modes(facts, &leading, &pairs, server, pods);
            if modes.is_empty() {
                lacking.push(facts.at.as_str());
            }
            for mode in &modes {
                if mode == "session" {
                    let why = format!(
                        "PgBouncer at {} pools in session mode: a client keeps its connection to the server for as long as it is connected, so that \
                         the pools of all pods would need as many as without it",
                        facts.at
                    );
                    limits.refused.get_or_insert(why);
                }
            }
            modes_of_all.extend(modes);
            opens.push(open(facts, &leading, &pairs));
        }
        if let Some(at) = lacking.first() {
            limits
                .refused
                .get_or_insert_with(|| format!("PgBouncer at {at} has no database that leads to {} on the server", server.database));
        }
        limits.mode = modes_of_all.into_iter().collect::<Vec<_>>().join(", ");
        limits.servers = opens.iter().map(|open| open.most).fold(0, i64::saturating_add);
        limits.servers_text = words(&opens);
        if limits.own_clients == 0 && limits.other_clients > 0 && !pods.is_empty() {
            limits.doubts.push(
                "no client of PgBouncer comes from an address of the workload's pods: where their addresses are translated on the way, or they do not \
                 use it yet, its clients are counted as others'"
                    .to_owned(),
            );
        }
        limits
    }
}

/// `2 × 25 (1 pool: 20 + 5 reserve) + 40 (…)`.
fn words(opens: &[Open]) -> String {
    let mut counted: Vec<(&Open, usize)> = Vec::new();
    for open in opens {
        match counted.iter_mut().find(|(known, _)| *known == open) {
            Some((_, count)) => *count += 1,
            None => counted.push((open, 1)),
        }
    }
    let words = counted.iter().map(|(open, count)| if *count == 1 { open.words() } else { format!("{count} × {}", open.words()) });
    words.collect::<Vec<_>>().join(" + ")
}

#[cfg(test)]
#[path = "limits_tests.rs"]
mod tests;
