//! The deletion of a replica, from what its intent keeps.
//!
//! Invariant: the request is sent only for the very replica that was planned for, by its tag.

use serde_json::{Value, json};

use crate::actions::aws::errors::of_write;
use crate::actions::aws::instance::{Instance, MARK};
use crate::actions::aws::settling::{Looks, Seen, Wait};
use crate::environment::Aws;
use crate::model::duration::Span;
use crate::model::intent::Intent;
use crate::model::outcome::{Applied, Failure, Verdict};
use crate::ports::action::Context;

/// What an intent keeps for later.
pub(super) struct Noted {
    replica: String,
    source: String,
    mark: String,
    within: Span,
}

/// The outputs.
pub(super) fn outputs(replica: &str, source: Option<&str>, deleted: bool) -> Value {
    json!({ "replica": replica, "source": source, "deleted": deleted })
}

/// The source and the mark of a replica that may be deleted.
///
/// # Errors
/// Why it may not.
pub(super) fn deletable<'a>(
    replica: &str,
    source: Option<&'a str>,
    mark: Option<&'a str>,
    is_protected: bool,
    replicas: &[&str],
) -> Result<(&'a str, &'a str), Failure> {
    let Some(source) = source else {
        return Err(Failure::permanent(format!("{replica} is no read replica: it is a database of its own, and is left alone"))
            .hint("it may have been promoted; what it holds is nowhere else"));
    };
    let Some(mark) = mark else {
        return Err(Failure::permanent(format!("{replica} was not made by this tool (it bears no tag {MARK}), and is left alone")).hint(
            format!("whoever made it may delete it: `aws rds delete-db-instance --db-instance-identifier {replica} --skip-final-snapshot`"),
        ));
    };
    if is_protected {
        return Err(Failure::permanent(format!("{replica} is protected from deletion, and is left alone"))
            .hint(format!("`aws rds modify-db-instance --db-instance-identifier {replica} --no-deletion-protection` ends that")));
    }
    if !replicas.is_empty() {
        let message = format!("{replica} is itself the source of {}, which would lose it, and is left alone", replicas.join(", "));
        return Err(Failure::permanent(message).hint("delete or promote those first, where nobody needs them"));
    }
    Ok((source, mark))
}

impl Noted {
    pub(super) fn of(intent: &Intent) -> Result<Self, Failure> {
        let text = |key: &str| intent.note.get(key).and_then(Value::as_str).map(str::to_owned);
        let read = || {
            Some(Self { replica: text("replica")?, source: text("source")?, mark: text("mark")?, within: text("within")?.parse().ok()? })
        };
        read().ok_or_else(|| Failure::permanent("what this step recorded does not name a replica"))
    }

    async fn read(&self, cx: &Context, aws: &Aws) -> Result<Option<Instance>, Failure> {
        Instance::read(aws, &self.replica, &*cx.log).await
    }

    fn done(&self) -> Value {
        outputs(&self.replica, Some(&self.source), true)
    }

    /// Whether it is still the one that was planned for.
    fn is_it(&self, instance: &Instance) -> bool {
        instance.mark() == Some(self.mark.as_str()) && instance.0.source.as_deref() == Some(self.source.as_str())
    }

    /// That nothing has come between since it was planned: a protection, a replica of its own.
    fn still_deletable(&self, instance: &Instance) -> Result<(), Failure> {
        let replicas: Vec<&str> = instance.0.replicas.iter().map(String::as_str).collect();
        deletable(&self.replica, instance.0.source.as_deref(), instance.mark(), instance.0.protected, &replicas).map(drop)
    }

    fn another(&self) -> Failure {
        Failure::permanent(format!("{} is another by now than the one that was to be deleted, and is left alone", self.replica))
            .hint("look at it: `aws rds describe-db-instances`; `runsheet retry` plans the step anew")
    }

    pub(super) async fn apply(&self, cx: &Context, aws: &Aws) -> Applied {
        let found = match self.read(cx, aws).await {
            Ok(found) => found,
            Err(failure) => return Applied::NotApplied { failure },
        };
        match found {
            None => return Applied::Applied { outputs: self.done() },
            Some(instance) if instance.0.status == "deleting" => {}
            Some(instance) if !self.is_it(&instance) => return Applied::NotApplied { failure: self.another() },
            Some(instance) => {
                if let Err(failure) = self.still_deletable(&instance) {
                    return Applied::NotApplied { failure };
                }
                if let Err(error) = aws.delete_replica(&self.replica).await {
                    return of_write(aws, &format!("delete {}", self.replica), &error, &*cx.log);
                }
            }
        }
        let mut wait = Wait::begin(cx, self.within);
        loop {
            let look = self.read(cx, aws).await.map(|instance| match instance {
                None => Seen::Done(self.done()),
                Some(instance) => Seen::UnderWay(format!("{} is `{}`", self.replica, instance.0.status)),
            });
            if let Some(applied) = wait.after(look).await {
                return applied;
            }
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
        Ok(match self.read(cx, aws).await? {
            None => Verdict::Present { outputs: self.done() },
            Some(instance) if instance.0.status == "deleting" => Verdict::InProgress { message: format!("{} is `deleting`", self.replica) },
            Some(instance) if self.is_it(&instance) => Verdict::Absent,
            Some(_) => Verdict::CannotTell { reason: self.another().message },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_replica_of_this_tools_that_nobody_depends_on_is_deletable() {
        let of = |source, mark, is_protected, replicas: &[&str]| {
            deletable("r", source, mark, is_protected, replicas).map(|_| ()).map_err(|failure| failure.message)
        };
        assert_eq!(of(Some("db"), Some("key"), false, &[]), Ok(()));
        for (refused, part) in [
            (of(None, Some("key"), false, &[]), "is no read replica"),
            (of(Some("db"), None, false, &[]), "was not made by this tool"),
            (of(Some("db"), Some("key"), true, &[]), "is protected from deletion"),
            (of(Some("db"), Some("key"), false, &["r-1", "r-2"]), "is itself the source of r-1, r-2"),
        ] {
            assert!(refused.as_ref().is_err_and(|message| message.contains(part)), "{part}: {refused:?}");
        }
    }
}
