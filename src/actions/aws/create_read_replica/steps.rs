//! The creation of a replica, from what its intent keeps: asked for once, waited for, asked about.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};

use crate::actions::aws::errors::of_write;
use crate::actions::aws::instance::{Instance, MARK, RUN};
use crate::actions::aws::settling::{Looks, Seen, Wait};
use crate::environment::{Aws, NewReplica};
use crate::model::duration::Span;
use crate::model::intent::Intent;
use crate::model::outcome::{Applied, Failure, Verdict};
use crate::ports::action::Context;

/// How long a replica that was asked for may not be seen at all.
const SEEN_AFTER: Duration = Duration::from_secs(180);

/// What an intent keeps for later.
pub(super) struct Noted {
    replica: String,
    source: String,
    mark: String,
    within: Span,
}

/// The outputs, of what was observed.
pub(super) fn outputs_of(observed: &Value, replica: &str, source: &str, created: bool) -> Value {
    let (endpoint, arn) = (observed.get("endpoint"), observed.get("arn"));
    json!({ "replica": replica, "source": source, "created": created, "endpoint": endpoint, "arn": arn })
}

/// That what bears the replica's name replicates the wanted source.
///
/// # Errors
/// What it is instead.
pub(super) fn same_source(replica: &str, source: &str, live: Option<&str>) -> Result<(), Failure> {
    match live {
        Some(live) if live == source => Ok(()),
        Some(live) => Err(Failure::permanent(format!("{replica} is there already, as a read replica of {live}, not of {source}"))
            .hint("take another name for the replica")),
        None => Err(Failure::permanent(format!("{replica} is there already, and is a database of its own, no read replica"))
            .hint("take another name for the replica; one that was promoted never becomes a replica again")),
    }
}

/// That replicas of the source can be made.
///
/// # Errors
/// Why not.
pub(super) fn can_be_replicated(source: &str, observed: &Value) -> Result<(), Failure> {
    if observed.is_null() {
        return Err(Failure::permanent(format!("there is no DB instance {source} to be replicated"))
            .hint("check the name and the environment: `aws rds describe-db-instances` lists them"));
    }
    if let Some(cluster) = observed.get("cluster").and_then(Value::as_str) {
        return Err(Failure::permanent(format!("{source} belongs to the cluster {cluster}, whose readers are made another way"))
            .hint("add a reader to the cluster: `aws rds create-db-instance --db-cluster-identifier …`"));
    }
    if observed.get("backup_retention_days").and_then(Value::as_i64).unwrap_or(0) == 0 {
        return Err(Failure::permanent(format!("{source} has no automatic backups (`BackupRetentionPeriod` 0), and no replica can be made without"))
            .hint(format!("`aws rds modify-db-instance --db-instance-identifier {source} --backup-retention-period 1 --apply-immediately` turns them on, which takes a first backup")));
    }
    Ok(())
}

impl Noted {
    pub(super) fn of(intent: &Intent) -> Result<Self, Failure> {
        let text = |key: &str| intent.note.get(key).and_then(Value::as_str).map(str::to_owned);
        let read = || {
            Some(Self { replica: text("replica")?, source: text("source")?, mark: text("mark")?, within: text("within")?.parse().ok()? })
        };
        read().ok_or_else(|| Failure::permanent("what this step recorded does not name a replica and its source"))
    }

    async fn read(&self, cx: &Context, aws: &Aws) -> Result<Option<Instance>, Failure> {
        Instance::read(aws, &self.replica, &*cx.log).await
    }

    fn outputs(&self, instance: &Instance) -> Value {
        let created = instance.mark() == Some(self.mark.as_str());
        outputs_of(&instance.observed(), &self.replica, &self.source, created)
    }

    fn broken(&self, instance: &Instance) -> Failure {
        let holds = instance.holds().unwrap_or_default();
        let hint = format!("its events say why: `aws rds describe-events --source-type db-instance --source-identifier {}`", self.replica);
        Failure::permanent(format!("the replica will not serve by itself: {holds}")).hint(hint)
    }

    pub(super) async fn apply(&self, cx: &Context, aws: &Aws, class: Option<String>, zone: Option<String>) -> Applied {
        let found = match self.read(cx, aws).await {
            Ok(found) => found,
            Err(failure) => return Applied::NotApplied { failure },
        };
        let mut seen = found.is_some();
        if found.is_none() {
            let tags = BTreeMap::from([(MARK.to_owned(), self.mark.clone()), (RUN.to_owned(), cx.run.to_string())]);
            let wanted = NewReplica { id: self.replica.clone(), source: self.source.clone(), class, zone, tags };
            cx.log.line(&format!("{} is created as a read replica of {}: that takes tens of minutes", self.replica, self.source));
            match aws.create_read_replica(&wanted).await {
                Ok(()) => {}
                // Somebody was first; whether it is what is wanted is seen below.
                Err(error) if error.code() == "DBInstanceAlreadyExists" => seen = true,
                Err(error) => return of_write(aws, &format!("create {} as a replica of {}", self.replica, self.source), &error, &*cx.log),
            }
        }
        let mut wait = Wait::begin(cx, self.within);
        loop {
            let look = self.read(cx, aws).await.map(|instance| self.look(instance.as_ref(), &mut seen, wait.passed()));
            if let Some(applied) = wait.after(look).await {
                return applied;
            }
        }
    }

    fn look(&self, instance: Option<&Instance>, seen: &mut bool, passed: Duration) -> Seen {
        let Some(instance) = instance else {
            if *seen || passed >= SEEN_AFTER {
                return Seen::Over(Failure::permanent(format!("{} is gone: somebody has deleted it, or RDS has", self.replica)));
            }
            return Seen::UnderWay(format!("{} is not seen yet", self.replica));
        };
        *seen = true;
        if let Err(failure) = same_source(&self.replica, &self.source, instance.0.source.as_deref()) {
            return Seen::Over(failure);
        }
        match instance.holds() {
            None => Seen::Done(self.outputs(instance)),
            Some(_) if instance.is_broken() => Seen::Over(self.broken(instance)),
            Some(holds) => Seen::UnderWay(holds),
        }
    }

    pub(super) async fn verify(&self, cx: &Context, aws: &Aws) -> Result<Verdict, Failure> {
        let mut looks = Looks::default();
        loop {
            let verdict = self.verdict(cx, aws).await?;
            if !matches!(verdict, Verdict::InProgress { .. }) || !looks.again().await {
                return Ok(verdict);
            }
        }
    }

    async fn verdict(&self, cx: &Context, aws: &Aws) -> Result<Verdict, Failure> {
        let Some(instance) = self.read(cx, aws).await? else { return Ok(Verdict::Absent) };
        if let Err(failure) = same_source(&self.replica, &self.source, instance.0.source.as_deref()) {
            return Ok(Verdict::CannotTell { reason: failure.message });
        }
        Ok(match instance.holds() {
            None => Verdict::Present { outputs: self.outputs(&instance) },
            Some(_) if instance.is_broken() => Verdict::CannotTell { reason: self.broken(&instance).message },
            Some(message) => Verdict::InProgress { message },
        })
    }

    /// What it replicates now; `None` where it is not there, or replicates nothing.
    pub(super) async fn live(&self, cx: &Context, aws: &Aws) -> Result<Option<String>, Failure> {
        Ok(self.read(cx, aws).await?.and_then(|instance| instance.0.source))
    }
}
