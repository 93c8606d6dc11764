//! The sum of connections: how many a workload may open at its worst moment, and how many the server has left for it.
//!
//! Must not ask anything. Invariant: every part is rounded against the workload: surge up, the size of a pool down.

use serde::{Deserialize, Serialize};

use super::pooled::Pooled;

/// How many pods a rollout adds, as the Deployment says it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Surge {
    /// None: a StatefulSet, a ReplicaSet, or the strategy `Recreate`.
    #[default]
    None,
    /// So many.
    Pods(i64),
    /// So many percent of the replicas, rounded up as Kubernetes does.
    Percent(i64),
}

impl Surge {
    /// The pods that a rollout of `replicas` adds.
    pub(crate) fn of(self, replicas: i64) -> i64 {
        match self {
            Self::None => 0,
            Self::Pods(pods) => pods.max(0),
            Self::Percent(percent) => {
                let hundredths = i128::from(replicas.max(0)) * i128::from(percent.max(0));
                i64::try_from((hundredths + 99) / 100).unwrap_or(i64::MAX)
            }
        }
    }
}

/// All that goes into the sum.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Parts {
    /// The wanted replicas.
    pub(crate) replicas: i64,
    /// How many an autoscaler may make of them; none where there is no autoscaler.
    pub(crate) maximum: Option<i64>,
    /// What a rollout adds.
    pub(crate) surge: Surge,
    /// Pods on their way out: they hold their connections until they are gone.
    pub(crate) terminating: i64,
    /// The fewest pods to count, beside the terminating ones: those that are there.
    pub(crate) at_least: i64,
    /// Connections that each pod opens.
    pub(crate) pool_size: i64,
    /// The server's `max_connections`.
    pub(crate) max_connections: i64,
    /// Connections that ordinary users never get.
    pub(crate) reserved: i64,
    /// Connections that others hold now, over all databases.
    pub(crate) others: i64,
    /// Connections that the workload holds now.
    pub(crate) own: i64,
    /// Connections to be left free.
    pub(crate) spare: i64,
    /// PgBouncer between the pods and the server.
    pub(crate) pooled: Option<Pooled>,
}

/// The whole sum.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Sum {
    /// Whether `pods` × `current_pool_size` is at most `free`.
    pub(crate) fits: bool,
    /// The largest pool that each pod may have; 0 where not even one connection fits.
    pub(crate) largest_pool_size: i64,
    /// The pool that was counted with.
    pub(crate) current_pool_size: i64,
    /// The most pods that there may be at once.
    pub(crate) pods: i64,
    /// The wanted replicas.
    pub(crate) replicas: i64,
    /// The most replicas: the wanted count, or the autoscaler's maximum where that is more.
    pub(crate) maximum: i64,
    /// What a rollout adds to them.
    pub(crate) surge: i64,
    /// Pods on their way out.
    pub(crate) terminating: i64,
    /// What is left for the workload.
    pub(crate) free: i64,
    /// The server's limit.
    pub(crate) max_connections: i64,
    /// What ordinary users never get.
    pub(crate) reserved: i64,
    /// What others hold.
    pub(crate) others: i64,
    /// What is to be left free.
    pub(crate) spare: i64,
    /// What everybody holds now, the workload too.
    pub(crate) in_use: i64,
    /// PgBouncer between the pods and the server: then the pods' pools count against the clients that it takes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) pooled: Option<Pooled>,
}

impl Parts {
    /// The sum of them.
    pub(crate) fn sum(&self) -> Sum {
        let replicas = self.replicas.max(0);
        let maximum = self.maximum.map_or(replicas, |maximum| maximum.max(replicas));
        let surge = self.surge.of(maximum);
        let terminating = self.terminating.max(0);
        let pods = maximum.saturating_add(surge).max(self.at_least).saturating_add(terminating);
        let free = [self.reserved, self.others, self.spare].iter().fold(self.max_connections, |left, part| left.saturating_sub(*part));
        let wanted = i128::from(pods) * i128::from(self.pool_size);
        let obstacle = self.pooled.as_ref().is_some_and(|pooled| pooled.obstacle(free).is_some());
        let room = self.pooled.as_ref().map_or(free, Pooled::room);
        Sum {
            fits: !obstacle && wanted <= i128::from(room),
            // Without a pod any size fits; what all of them together may hold is the limit then.
            largest_pool_size: if obstacle { 0 } else { (room / pods.max(1)).max(0) },
            current_pool_size: self.pool_size,
            pods,
            replicas,
            maximum,
            surge,
            terminating,
            free,
            max_connections: self.max_connections,
            reserved: self.reserved,
            others: self.others,
            spare: self.spare,
            in_use: self.others.saturating_add(self.own),
            pooled: self.pooled.clone(),
        }
    }
}

impl Sum {
    /// The whole sum in one line.
    pub(crate) fn line(&self) -> String {
        let base = if self.maximum > self.replicas {
            format!("{} replicas at the autoscaler's maximum (wanted: {})", self.maximum, self.replicas)
        } else {
            format!("{} replicas", self.replicas)
        };
        let counted = [self.maximum, self.surge, self.terminating].into_iter().map(i128::from).sum::<i128>();
        let there = i128::from(self.pods) - counted;
        let there = if there > 0 { format!(" + {there} more that are there now") } else { String::new() };
        let wanted = i128::from(self.pods) * i128::from(self.current_pool_size);
        let connections = self.pooled.as_ref().map_or_else(|| "connections".to_owned(), |pooled| pooled.line(wanted));
        format!(
            "{base} + {} surge + {} terminating{there} = {} pods × {} = {wanted} {connections}; {}; at most {} a pod",
            self.surge,
            self.terminating,
            self.pods,
            self.current_pool_size,
            self.free_line(),
            self.largest_pool_size,
        )
    }

    /// What the pods' pools together may come to.
    pub(crate) fn room(&self) -> i64 {
        self.pooled.as_ref().map_or(self.free, Pooled::room)
    }

    /// That room, and of what.
    pub(crate) fn room_line(&self) -> String {
        match &self.pooled {
            None => self.free_line(),
            Some(pooled) => format!("PgBouncer takes {} clients of them", pooled.room()),
        }
    }

    /// What is left for the workload, and of what.
    pub(crate) fn free_line(&self) -> String {
        let spare = if self.spare > 0 { format!(" − {} to be left free", self.spare) } else { String::new() };
        format!("{} − {} reserved − {} others{spare} = {} free", self.max_connections, self.reserved, self.others, self.free)
    }

    /// What makes the difference between fitting and not: each part without which it would fit, else all that take anything.
    pub(crate) fn causes(&self) -> Vec<String> {
        let pool = i128::from(self.current_pool_size);
        let over = i128::from(self.pods) * pool - i128::from(self.room());
        let here = |held: i64| if self.pooled.is_none() { i128::from(held) } else { 0 };
        let parts = [
            (i128::from(self.surge) * pool, format!("the surge of a rollout ({} pods)", self.surge)),
            (
                i128::from(self.maximum - self.replicas) * pool,
                format!("the autoscaler's maximum ({}, {} more than wanted)", self.maximum, self.maximum - self.replicas),
            ),
            (i128::from(self.terminating) * pool, format!("pods on their way out ({})", self.terminating)),
            (here(self.others), format!("connections that others hold ({})", self.others)),
            (here(self.spare), format!("connections to be left free ({})", self.spare)),
        ];
        let alone: Vec<String> = parts.iter().filter(|(takes, _)| *takes > 0 && *takes >= over).map(|(_, text)| text.clone()).collect();
        if alone.is_empty() { parts.into_iter().filter(|(takes, _)| *takes > 0).map(|(_, text)| text).collect() } else { alone }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(replicas: i64, maximum: Option<i64>, surge: Surge, pool_size: i64, others: i64) -> Parts {
        Parts { replicas, maximum, surge, pool_size, max_connections: 200, reserved: 3, others, ..Parts::default() }
    }

    #[test]
    fn the_sums_of_the_procedure() {
        let quarter = Surge::Percent(25);
        // Parts; pods, free, largest, fits.
        let table = [
            (parts(16, None, quarter, 20, 0), (20, 197, 9, false)),
            (parts(16, None, quarter, 10, 0), (20, 197, 9, false)),
            (parts(16, None, quarter, 9, 0), (20, 197, 9, true)),
            (parts(16, Some(16), quarter, 20, 8), (20, 189, 9, false)),
            (parts(16, Some(20), quarter, 20, 0), (25, 197, 7, false)),
            (parts(16, Some(20), quarter, 7, 8), (25, 189, 7, true)),
            (parts(8, None, quarter, 20, 0), (10, 197, 19, false)),
            (parts(8, None, Surge::None, 20, 0), (8, 197, 24, true)),
            (parts(8, Some(4), Surge::None, 20, 0), (8, 197, 24, true)),
            (parts(300, None, Surge::None, 1, 0), (300, 197, 0, false)),
            (parts(1, None, Surge::None, 1, 300), (1, -103, 0, false)),
            (parts(0, None, quarter, 20, 0), (0, 197, 197, true)),
        ];
        for (parts, wanted) in table {
            let sum = parts.sum();
            assert_eq!((sum.pods, sum.free, sum.largest_pool_size, sum.fits), wanted, "{parts:?}");
        }
    }

    #[test]
    fn surge_is_rounded_as_kubernetes_does() {
        for (surge, replicas, wanted) in [
            (Surge::Percent(25), 1, 1),
            (Surge::Percent(25), 4, 1),
            (Surge::Percent(25), 5, 2),
            (Surge::Percent(100), 16, 16),
            (Surge::Percent(0), 16, 0),
            (Surge::Pods(3), 16, 3),
            (Surge::Pods(-1), 16, 0),
            (Surge::None, 16, 0),
            (Surge::Percent(i64::MAX), i64::MAX, i64::MAX),
        ] {
            assert_eq!(surge.of(replicas), wanted, "{surge:?} of {replicas}");
        }
    }

    #[test]
    fn what_is_there_and_what_is_leaving_count() {
        let now = Parts { terminating: 2, at_least: 12, spare: 10, own: 40, ..parts(8, None, Surge::Percent(25), 10, 5) };
        let sum = now.sum();
        assert_eq!((sum.pods, sum.free, sum.largest_pool_size, sum.in_use), (14, 182, 13, 45));
        assert_eq!(
            sum.line(),
            "8 replicas + 2 surge + 2 terminating + 2 more that are there now = 14 pods × 10 = 140 connections; 200 − 3 reserved − 5 others − 10 \
             to be left free = 182 free; at most 13 a pod"
        );
    }

    #[test]
    fn the_line_and_the_causes_are_for_people() {
        let quarter = Surge::Percent(25);
        let sum = parts(16, None, quarter, 20, 0).sum();
        assert_eq!(
            sum.line(),
            "16 replicas + 4 surge + 0 terminating = 20 pods × 20 = 400 connections; 200 − 3 reserved − 0 others = 197 free; at most 9 a pod"
        );
        let line = parts(16, Some(20), quarter, 20, 0).sum().line();
        assert!(line.starts_with("20 replicas at the autoscaler's maximum (wanted: 16) + 5 surge + 0 terminating = 25 pods"), "{line}");
        assert_eq!(
            parts(8, None, quarter, 20, 8).sum().causes(),
            ["the surge of a rollout (2 pods)"],
            "without the others it would not fit either"
        );
        assert_eq!(parts(8, Some(12), Surge::None, 20, 0).sum().causes(), ["the autoscaler's maximum (12, 4 more than wanted)"]);
        assert_eq!(parts(9, None, Surge::None, 20, 30).sum().causes(), ["connections that others hold (30)"]);
        assert_eq!(parts(9, None, Surge::None, 30, 0).sum().causes(), Vec::<String>::new(), "pods and pool alone are too many");
    }

    #[test]
    fn nothing_overflows() {
        let huge = Parts {
            replicas: i64::MAX,
            maximum: Some(i64::MAX),
            surge: Surge::Percent(i64::MAX),
            terminating: i64::MAX,
            pool_size: i64::MAX,
            others: i64::MAX,
            own: i64::MAX,
            ..parts(0, None, Surge::None, 0, 0)
        };
        let sum = huge.sum();
        assert!(!sum.fits && sum.largest_pool_size == 0);
        assert!(!sum.line().is_empty() && !sum.causes().is_empty());
    }
}
