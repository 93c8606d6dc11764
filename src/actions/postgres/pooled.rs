//! The part of the sum that PgBouncer is: clients against what its instances take, and what PostgreSQL sees of them.
//!
//! Must not ask anything. Invariant: clients are taken to be spread as unevenly as they may be, so that a sum that fits holds while an instance restarts.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::actions::pgbouncer::Limits;

/// PgBouncer between the workload and the server.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Pooled {
    /// The mode of the workload's pools.
    pub(crate) mode: String,
    /// How many instances there are.
    pub(crate) instances: i64,
    /// The fewest clients that one of them takes.
    pub(crate) max_client_conn: i64,
    /// The clients of others.
    pub(crate) other_clients: i64,
    /// The most connections to the server that all instances open together.
    pub(crate) servers: i64,
    /// The same in words.
    pub(crate) servers_text: String,
    /// Why it cannot be counted on, where it cannot.
    pub(crate) refused: Option<String>,
}

impl From<&Limits> for Pooled {
    fn from(limits: &Limits) -> Self {
        Self {
            mode: limits.mode.clone(),
            instances: limits.instances,
            max_client_conn: limits.max_client_conn,
            other_clients: limits.other_clients,
            servers: limits.servers,
            servers_text: limits.servers_text.clone(),
            refused: limits.refused.clone(),
        }
    }
}

impl Pooled {
    /// Of so many clients, how many one instance may get: all of them where the other one of two is restarted; of more instances, a quarter more than an
    /// even share of those that are left when one is.
    pub(crate) fn share(&self, clients: i128) -> i128 {
        let left = i128::from(self.instances) - 1;
        if left <= 1 { clients } else { clients.min((clients * 5 + left * 4 - 1) / (left * 4)) }
    }

    /// The most clients of the workload that are sure to be taken.
    pub(crate) fn room(&self) -> i64 {
        let (most, left) = (i128::from(self.max_client_conn), i128::from(self.instances) - 1);
        let together = if left <= 1 { most } else { most.max(most * 4 * left / 5) };
        i64::try_from(together - i128::from(self.other_clients)).unwrap_or(i64::MAX)
    }

    /// Why it cannot be, whatever the size of the pods' pools is.
    pub(crate) fn obstacle(&self, free: i64) -> Option<String> {
        if self.refused.is_some() {
            return self.refused.clone();
        }
        (self.servers > free)
            .then(|| format!("PgBouncer may open {} connections to PostgreSQL, which has {free} left for it", self.servers))
    }

    /// `400 clients of PgBouncer …; PostgreSQL sees at most …`, for so many clients of the workload.
    pub(crate) fn line(&self, clients: i128) -> String {
        let all = clients + i128::from(self.other_clients);
        let others = if self.other_clients > 0 { format!(" + {} of others = {all}", self.other_clients) } else { String::new() };
        let spread = match self.instances {
            1 => format!("of the {} that it takes", self.max_client_conn),
            2 => format!("all of which one of 2 instances may get while the other restarts, of the {} that it takes", self.max_client_conn),
            many => format!(
                "of which one of {many} instances may get {} (one of them restarts, the others are loaded unevenly), of the {} that it takes",
                self.share(all),
                self.max_client_conn
            ),
        };
        format!(
            "clients of PgBouncer ({} mode){others}, {spread}; PostgreSQL sees at most {} = {} connections",
            self.mode, self.servers_text, self.servers
        )
    }

    /// As the output `pooler`.
    pub(crate) fn output(&self, clients: i128) -> Value {
        let all = clients + i128::from(self.other_clients);
        let whole = |number: i128| i64::try_from(number).unwrap_or(i64::MAX);
        json!({
            "pool_mode": self.mode, "instances": self.instances, "clients": whole(clients), "other_clients": self.other_clients,
            "clients_of_one_instance": whole(self.share(all)), "max_client_conn": self.max_client_conn, "room": self.room(),
            "server_connections": self.servers,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pooled(instances: i64, max_client_conn: i64, other_clients: i64) -> Pooled {
        Pooled { instances, max_client_conn, other_clients, mode: "transaction".to_owned(), ..Pooled::default() }
    }

    #[test]
    fn clients_are_spread_as_unevenly_as_they_may_be() {
        // Instances, their limit, clients of others; clients in all, what one may get, and what is left for the workload.
        for (instances, most, others, clients, share, room) in [
            (1, 1000, 0, 400, 400, 1000),
            (2, 1000, 100, 400, 400, 900),
            (3, 1000, 0, 400, 250, 1600),
            (5, 1000, 200, 1001, 313, 3000),
            (3, 100, 0, 0, 0, 160),
        ] {
            let pooled = pooled(instances, most, others);
            assert_eq!((pooled.share(clients), pooled.room()), (share, room), "{instances} × {most}");
            assert!(pooled.share(i128::from(room + others)) <= i128::from(most), "what is room is taken");
            assert!(pooled.share(i128::from(room + others) + 2) > i128::from(most), "and no more");
        }
    }

    #[test]
    fn what_is_in_the_way_is_said() {
        let fits = Pooled { servers: 55, ..pooled(2, 1000, 0) };
        assert_eq!(fits.obstacle(55), None);
        assert!(fits.obstacle(54).unwrap().contains("may open 55 connections to PostgreSQL, which has 54 left for it"));
        let session = Pooled { refused: Some("session mode".to_owned()), ..fits };
        assert_eq!(session.obstacle(1000).as_deref(), Some("session mode"));
    }
}
