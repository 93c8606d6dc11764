//! What PgBouncer lets through, from what its instances say.

use std::collections::BTreeMap;

use super::super::facts::{Pool, User};
use super::*;

const SERVER: Server<'_> = Server { host: "db.example", port: 5432, database: "tickettoken" };

fn database(name: &str, pool_size: i64) -> Database {
    Database {
        name: name.to_owned(),
        host: "db.example".to_owned(),
        port: 5432,
        database: name.to_owned(),
        pool_size,
        reserve: 5,
        ..Database::default()
    }
}

fn pool(database: &str, user: &str) -> Pool {
    Pool { database: database.to_owned(), user: user.to_owned(), ..Pool::default() }
}

fn client(user: &str, address: &str) -> Link {
    Link { database: "tickettoken".to_owned(), user: user.to_owned(), address: Some(address.parse().unwrap()), pid: 0 }
}

fn instance(at: &str) -> Facts {
    let config = [("max_client_conn", "1000"), ("pool_mode", "transaction"), ("reserve_pool_timeout", "5")];
    Facts {
        at: at.to_owned(),
        config: config.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
        databases: vec![database("tickettoken", 20), database("analytics", 3)],
        pools: vec![pool("tickettoken", "app")],
        clients: vec![client("app", "10.1.0.1"), client("reporting", "10.0.9.9")],
        ..Facts::default()
    }
}

fn limits(all: &[Facts], seen: &Seen) -> Limits {
    Limits::of(all, SERVER, &BTreeSet::from(["10.1.0.1".parse().unwrap()]), seen)
}

#[test]
fn each_pair_of_database_and_user_has_a_pool_on_each_instance() {
    let one = limits(&[instance("a")], &Seen::new());
    assert_eq!((one.servers, one.own_clients, one.other_clients, one.max_client_conn), (25, 1, 1, 1000));
    assert_eq!((one.servers_text.as_str(), one.mode.as_str(), one.refused), ("25 (1 pool: 20 + 5 reserve)", "transaction", None));
    // A pair that one instance has yet, the other may get.
    let mut other = instance("b");
    other.pools.push(pool("analytics", "job"));
    other.config.insert("max_client_conn".to_owned(), "900".to_owned());
    let both = limits(&[instance("a"), other], &Seen::new());
    assert_eq!((both.servers, both.max_client_conn), (2 * (25 + 8), 900));
    assert_eq!(both.servers_text, "2 × 33 (2 pools: 23 + 10 reserve)");
}

#[test]
fn what_bounds_them_is_counted_and_named() {
    let mut bounded = instance("a");
    bounded.pools.extend([pool("tickettoken", "reporting"), pool("analytics", "app")]);
    assert_eq!(limits(&[bounded.clone()], &Seen::new()).servers, 25 + 25 + 8);
    bounded.databases[0].max_connections = 30;
    let by_database = limits(&[bounded.clone()], &Seen::new());
    assert_eq!((by_database.servers, by_database.servers_text.ends_with("bounded by max_db_connections)")), (30 + 8, true));
    bounded.config.insert("max_user_connections".to_owned(), "12".to_owned());
    let by_user = limits(&[bounded.clone()], &Seen::new());
    assert_eq!((by_user.servers, by_user.servers_text.contains("bounded by max_user_connections")), (24, true));
    bounded.users.insert("app".to_owned(), User { pool_size: Some(2), ..User::default() });
    assert_eq!(limits(&[bounded.clone()], &Seen::new()).servers, 12 + 12, "of app 7 and 7, of reporting 25");
    // A reserve that nobody may wait for is none.
    let mut without = instance("a");
    without.config.insert("reserve_pool_timeout".to_owned(), "0".to_owned());
    assert_eq!(limits(&[without], &Seen::new()).servers, 20);
}

#[test]
fn what_a_database_and_a_user_may_have_of_clients_counts_where_it_is_less() {
    let most = |change: &dyn Fn(&mut Facts)| {
        let mut facts = instance("a");
        change(&mut facts);
        limits(&[facts], &Seen::new()).max_client_conn
    };
    let for_all = |facts: &mut Facts| drop(facts.config.insert("max_user_client_connections".to_owned(), "300".to_owned()));
    let of = |facts: &mut Facts, user: &str, clients: i64| {
        facts.users.insert(user.to_owned(), User { max_clients: Some(clients), ..User::default() });
    };
    assert_eq!(most(&|facts: &mut Facts| facts.databases[0].max_clients = 400), 400);
    assert_eq!(most(&|facts: &mut Facts| facts.databases[1].max_clients = 400), 1000, "another database's");
    assert_eq!(most(&for_all), 300);
    assert_eq!(most(&|facts: &mut Facts| of(facts, "app", 200)), 200);
    assert_eq!(most(&|facts: &mut Facts| of(facts, "reporting", 200)), 1000, "another user's");
    let own_wins = |facts: &mut Facts| {
        for_all(facts);
        of(facts, "app", 500);
    };
    assert_eq!(most(&own_wins), 500);
    let before_the_first = |facts: &mut Facts| {
        facts.clients.remove(0);
        for_all(facts);
    };
    assert_eq!(most(&before_the_first), 300, "whoever the workload is");
}

#[test]
fn only_what_leads_to_the_server_is_counted() {
    let mut facts = instance("a");
    facts.databases[1].host = "replica.example".to_owned();
    facts.pools.push(pool("analytics", "job"));
    assert_eq!(limits(&[facts.clone()], &Seen::new()).servers, 25);
    // By another name, but its connections are seen on the server.
    facts.servers.push(Link { database: "analytics".to_owned(), user: "job".to_owned(), address: None, pid: 77 });
    let seen = BTreeMap::from([(77, ("analytics".to_owned(), "job".to_owned()))]);
    let both = limits(&[facts.clone()], &seen);
    assert_eq!((both.servers, both.held), (25 + 8, BTreeSet::from([77])));
    // Where no name fits, all of them are taken to.
    facts.databases.iter_mut().for_each(|database| database.host = "127.0.0.1".to_owned());
    assert_eq!(limits(&[facts], &Seen::new()).servers, 25 + 8);
}

#[test]
fn session_mode_is_refused_where_the_workload_is_in_it() {
    let refused = |change: fn(&mut Facts)| {
        let mut facts = instance("a");
        change(&mut facts);
        limits(&[instance("b"), facts], &Seen::new()).refused
    };
    assert_eq!(refused(|_| {}), None);
    let session = refused(|facts| drop(facts.config.insert("pool_mode".to_owned(), "session".to_owned())));
    assert!(session.unwrap().contains("PgBouncer at a pools in session mode"));
    assert!(refused(|facts| facts.databases[0].pool_mode = Some("session".to_owned())).is_some(), "a database's own mode wins");
    assert!(refused(|facts| facts.pools[0].mode = Some("session".to_owned())).is_some(), "what the pool says wins");
    assert_eq!(refused(|facts| facts.databases[1].pool_mode = Some("session".to_owned())), None, "another database may be in it");
    let other_user = |facts: &mut Facts| {
        drop(facts.users.insert("reporting".to_owned(), User { pool_mode: Some("session".to_owned()), ..User::default() }))
    };
    assert_eq!(refused(other_user), None, "and another user");
    let lacks = refused(|facts| facts.databases[0].database = "other".to_owned());
    assert!(lacks.is_none(), "its pods use it by that name all the same");
    let empty = refused(|facts| facts.databases.clear());
    assert!(empty.unwrap().contains("PgBouncer at a has no database that leads to tickettoken"));
}

#[test]
fn before_the_first_client_the_workloads_pool_is_counted_all_the_same() {
    let mut fresh = instance("a");
    fresh.pools = vec![pool("tickettoken", "reporting")];
    fresh.clients = vec![client("reporting", "10.0.9.9")];
    let limits = limits(&[fresh], &Seen::new());
    assert_eq!(limits.servers, 25 + 25);
    assert!(limits.doubts[0].contains("no client of PgBouncer comes from an address of the workload's pods"));
}
