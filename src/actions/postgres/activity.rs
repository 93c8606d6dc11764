//! What a PostgreSQL server says of its connections: the limit, what is reserved, and who holds how many.
//!
//! Must not count with what it cannot see: a connection whose client is hidden counts as somebody else's. Invariant: all databases are counted,
//! because the limit is the server's.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use super::budget::Parts;
use crate::actions::pgbouncer::Seen;
use crate::environment::{PostgresError, PostgresSession};
use crate::model::outcome::Failure;

/// The settings that take from what ordinary users get. `reserved_connections` is there from PostgreSQL 16, `rds.…` at Amazon.
pub(super) const SETTINGS: &str = "SELECT name, setting FROM pg_settings WHERE name IN ('max_connections', 'superuser_reserved_connections', \
     'reserved_connections', 'rds.rds_superuser_reserved_connections')";

/// Who is connected, but for the asking session itself.
pub(super) const ACTIVITY: &str =
    "SELECT datname, usename, client_addr, backend_type, pid FROM pg_stat_activity WHERE pid <> pg_backend_pid()";

/// One row: the columns as texts.
type Row = Vec<Option<String>>;

/// How the server's connections stand.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Activity {
    pub(super) max_connections: i64,
    pub(super) reserved: i64,
    /// Held from the workload's pods' addresses.
    pub(super) own: i64,
    /// Held by PgBouncer.
    pub(super) pooled: i64,
    /// Held by others.
    pub(super) others: i64,
    /// Of the others, those whose client the server hides from us.
    pub(super) hidden: i64,
    /// The others by `database/user`, the most first.
    pub(super) holders: Vec<(String, i64)>,
}

/// What the server's settings allow.
pub(super) struct Limits {
    pub(super) max_connections: i64,
    /// What ordinary users never get.
    pub(super) reserved: i64,
}

/// From the answer to [`SETTINGS`].
pub(super) fn limits(settings: &[Row]) -> Result<Limits, Failure> {
    let mut found = Limits { max_connections: -1, reserved: 0 };
    for row in settings {
        let [Some(name), Some(setting)] = row.as_slice() else { continue };
        let number: i64 = setting.parse().map_err(|_| {
            let shown: String = setting.chars().take(40).collect();
            Failure::permanent(format!("PostgreSQL's setting {name} is `{shown}`, which is not a number"))
        })?;
        if name == "max_connections" {
            found.max_connections = number;
        } else {
            found.reserved = found.reserved.saturating_add(number.max(0));
        }
    }
    if found.max_connections < 0 {
        return Err(Failure::permanent("PostgreSQL does not tell its max_connections")
            .hint("is this PostgreSQL itself, and not a pooler before it? Name the server in `database`"));
    }
    Ok(found)
}

/// What the server answered.
pub(super) struct Answers {
    settings: Vec<Row>,
    activity: Vec<Row>,
}

fn pid(row: &Row) -> Option<i64> {
    row.get(4)?.as_deref()?.parse().ok()
}

impl Answers {
    /// Asks the server.
    pub(super) async fn read(session: &PostgresSession) -> Result<Self, Failure> {
        let settings = session.rows(SETTINGS).await.map_err(|error| failure(&error))?;
        let activity = session.rows(ACTIVITY).await.map_err(|error| failure(&error))?;
        Ok(Self { settings, activity })
    }

    /// Whose each connection is, by its process.
    pub(super) fn seen(&self) -> Seen {
        let row = |row: &Row| Some((pid(row)?, (row.first()?.clone()?, row.get(1)?.clone()?)));
        self.activity.iter().filter_map(row).collect()
    }

    /// How they stand. `addresses`: those of the workload's pods; `held`: the processes that are PgBouncer's.
    pub(super) fn counted(&self, addresses: &BTreeSet<IpAddr>, held: &BTreeSet<i64>) -> Result<Activity, Failure> {
        Activity::of(&self.settings, &self.activity, addresses, held)
    }
}

impl Activity {
    fn of(settings: &[Row], activity: &[Row], addresses: &BTreeSet<IpAddr>, pooled: &BTreeSet<i64>) -> Result<Self, Failure> {
        let Limits { max_connections, reserved } = limits(settings)?;
        let mut found = Self { max_connections, reserved, ..Self::default() };
        let mut holders: BTreeMap<String, i64> = BTreeMap::new();
        for row in activity {
            let [database, user, address, kind, ..] = row.as_slice() else { continue };
            let (database, user) = (database.as_deref(), user.as_deref());
            let hidden = kind.is_none();
            // Of what is hidden, a background process has no user.
            if kind.as_deref().is_some_and(|kind| kind != "client backend") || (hidden && (database.is_none() || user.is_none())) {
                continue;
            }
            if pid(row).is_some_and(|pid| pooled.contains(&pid)) {
                found.pooled += 1;
                continue;
            }
            let address = address.as_deref().and_then(|address| address.parse::<IpAddr>().ok()).map(|address| address.to_canonical());
            if address.is_some_and(|address| addresses.contains(&address)) {
                found.own += 1;
                continue;
            }
            found.others += 1;
            found.hidden += i64::from(hidden);
            *holders.entry(format!("{}/{}", database.unwrap_or("-"), user.unwrap_or("-"))).or_default() += 1;
        }
        found.holders = holders.into_iter().collect();
        found.holders.sort_by_key(|(_, count)| -count);
        Ok(found)
    }

    /// Puts what was read into the sum.
    pub(super) fn fill(&self, parts: &mut Parts) {
        parts.max_connections = self.max_connections;
        parts.reserved = self.reserved;
        parts.others = self.others;
        parts.own = self.own.saturating_add(self.pooled);
    }

    /// The others in words; empty where there are none.
    pub(super) fn holders(&self) -> String {
        let shown: Vec<String> = self.holders.iter().take(5).map(|(who, count)| format!("{who} {count}")).collect();
        let more = if self.holders.len() > 5 { format!(", and {} more", self.holders.len() - 5) } else { String::new() };
        if shown.is_empty() { String::new() } else { format!("others (database/user): {}{more}", shown.join(", ")) }
    }

    /// What to know before the sum is believed; `pods` is how many the workload has now.
    pub(super) fn doubts(&self, pods: i64) -> Vec<String> {
        let mut doubts = Vec::new();
        if self.hidden > 0 {
            doubts.push(format!(
                "the server hides the clients of {} connections, which are counted as others; `GRANT pg_read_all_stats TO` this user shows them",
                self.hidden
            ));
        } else if self.own == 0 && self.pooled == 0 && pods > 0 && self.others > 0 {
            doubts.push(
                "no connection comes from an address of the workload's pods: where their addresses are translated on the way (NAT, a proxy), \
                 their connections are counted among the others"
                    .to_owned(),
            );
        }
        doubts
    }
}

/// What a failure of PostgreSQL means for a step: a read has had no effect.
pub(super) fn failure(error: &PostgresError) -> Failure {
    let failure = if error.is_transient() { Failure::transient(error.to_string()) } else { Failure::permanent(error.to_string()) };
    failure.hint(error.hint())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(rows: &[&[&str]]) -> Vec<Row> {
        rows.iter().map(|row| row.iter().map(|text| (!text.is_empty()).then(|| (*text).to_owned())).collect()).collect()
    }

    #[test]
    fn everybody_on_the_server_is_counted() {
        let settings = rows(&[
            &["max_connections", "200"],
            &["superuser_reserved_connections", "3"],
            &["reserved_connections", "5"],
            &["rds.rds_superuser_reserved_connections", "2"],
        ]);
        let activity = rows(&[
            &["tickettoken", "app", "10.0.0.1", "client backend"],
            &["tickettoken", "app", "::ffff:10.0.0.2", "client backend"],
            &["tickettoken", "app", "10.0.0.9", "client backend"],
            &["analytics", "job", "10.0.0.9", "client backend"],
            &["analytics", "job", "", "client backend"],
            &["", "", "", "checkpointer"],
            &["tickettoken", "app", "", "parallel worker"],
            &["", "", "", ""],
            &["other", "someone", "", ""],
        ]);
        let pods = BTreeSet::from(["10.0.0.1".parse().unwrap(), "10.0.0.2".parse().unwrap()]);
        let found = Activity::of(&settings, &activity, &pods, &BTreeSet::new()).unwrap();
        assert_eq!((found.max_connections, found.reserved), (200, 10));
        assert_eq!((found.own, found.others, found.hidden), (2, 4, 1));
        assert_eq!(found.holders(), "others (database/user): analytics/job 2, other/someone 1, tickettoken/app 1");
        assert!(found.doubts(2)[0].contains("hides the clients of 1 connections"));
        let strangers = Activity { hidden: 0, own: 0, ..found };
        assert!(strangers.doubts(2)[0].contains("translated on the way") && strangers.doubts(0).is_empty());
    }

    #[test]
    fn a_server_that_does_not_tell_is_an_error() {
        let error = Activity::of(&[], &[], &BTreeSet::new(), &BTreeSet::new()).unwrap_err();
        assert_eq!(error.message, "PostgreSQL does not tell its max_connections");
        let error = Activity::of(&rows(&[&["max_connections", "many"]]), &[], &BTreeSet::new(), &BTreeSet::new()).unwrap_err();
        assert_eq!(error.message, "PostgreSQL's setting max_connections is `many`, which is not a number");
    }
}
