//! How settings of instances are swapped: all are looked at before the first is sent, and each is read back.
//!
//! Must not decide what is wanted. Invariant: a setting is sent to an instance only where it is as it was recorded there.

use std::collections::BTreeMap;

use serde_json::Value;

use super::super::facts::{console, instances};
use super::super::failure;
use super::by_hand::{split, statement};
use super::{Set, outputs};
use crate::actions::support;
use crate::environment::{NamedRow, PgBouncerAccess, PgBouncerInstance, PostgresError, PostgresSession};
use crate::model::change::Change;
use crate::model::outcome::{Applied, Failure};
use crate::ports::action::Context;

/// The settings of an instance, and whether each may be changed while it runs.
pub(super) type Config = BTreeMap<String, (String, bool)>;
/// Those of all instances.
pub(super) type Configs = BTreeMap<String, Config>;

/// Settings of one instance: what it has, and whether it may be changed.
async fn read(session: &PostgresSession) -> Result<Config, PostgresError> {
    let rows = session.named_rows("SHOW CONFIG").await?;
    let row = |mut row: NamedRow| {
        let changeable = row.get("changeable").is_none_or(|text| text == "yes");
        Some((row.remove("key")?, (row.remove("value").unwrap_or_default(), changeable)))
    };
    Ok(rows.into_iter().filter_map(row).collect())
}

/// Whether a setting's value is the same; PgBouncer writes numbers without what is superfluous.
pub(super) fn same(live: &str, wanted: &str) -> bool {
    live == wanted || matches!((live.parse::<f64>(), wanted.parse::<f64>()), (Ok(live), Ok(wanted)) if live.to_bits() == wanted.to_bits())
}

/// One setting of one instance to be changed.
pub(super) struct Part<'c> {
    pub(super) at: &'c str,
    pub(super) name: &'c str,
    pub(super) from: &'c str,
    pub(super) to: &'c str,
}

/// What came of a part.
enum Came {
    /// It is there, and this much was sent.
    Set,
    /// It was there already.
    There,
}

/// How a swap ended early.
struct Ended {
    failure: Failure,
    /// A statement was sent and its answer is not known.
    unknown: bool,
}

impl Set {
    /// The environment's pooler.
    pub(super) fn access(&self, pooler: &Value) -> Result<&PgBouncerAccess, Failure> {
        self.connections.pgbouncer_for(pooler).map_err(|error| support::not_connected(&error))
    }

    /// Every instance with its settings.
    pub(super) async fn configs(&self, cx: &Context, access: &PgBouncerAccess) -> Result<Configs, Failure> {
        let mut all = BTreeMap::new();
        for instance in instances(&self.connections, cx, access).await? {
            let session = console(&self.connections, cx, access, &instance).await?;
            all.insert(instance.at.to_string(), read(&session).await.map_err(|error| failure(cx, &error))?);
        }
        Ok(all)
    }

    /// Changes each part where it is as recorded: all are looked at before the first is sent.
    pub(super) async fn swap(&self, cx: &Context, pooler: &Value, parts: &[Part<'_>]) -> Applied {
        let prepared = async {
            let access = self.access(pooler)?;
            let known = instances(&self.connections, cx, access).await?;
            for part in parts {
                self.look(cx, access, &known, part).await?;
            }
            Ok::<_, Failure>((access, known))
        };
        let (access, known) = match prepared.await {
            Ok(prepared) => prepared,
            Err(failure) => return Applied::NotApplied { failure },
        };
        let mut sent = Vec::new();
        for part in parts {
            match self.set(cx, access, &known, part).await {
                Ok(Came::Set) => sent.push(format!("{} at {}", part.name, part.at)),
                Ok(Came::There) => {}
                Err(Ended { failure, unknown: true }) => return Applied::Unknown { failure },
                Err(Ended { failure, .. }) if sent.is_empty() => return Applied::NotApplied { failure },
                Err(Ended { mut failure, .. }) => {
                    failure.message = format!(
                        "{} of {} settings were changed ({}), and then: {}",
                        sent.len(),
                        parts.len(),
                        sent.join(", "),
                        failure.message
                    );
                    return Applied::FailedWithEffect { failure, outputs: Value::Null };
                }
            }
        }
        match self.configs(cx, access).await {
            Ok(live) => Applied::Applied { outputs: outputs(cx, &live, parts) },
            // Each of them was read back after it was set.
            Err(_) => Applied::Applied { outputs: outputs(cx, &BTreeMap::new(), parts) },
        }
    }

    async fn session(
        &self,
        cx: &Context,
        access: &PgBouncerAccess,
        known: &[PgBouncerInstance],
        at: &str,
    ) -> Result<PostgresSession, Failure> {
        let instance = known.iter().find(|instance| instance.at.to_string() == at).ok_or_else(|| {
            Failure::permanent(format!("there is no instance of PgBouncer at {at} any more"))
                .hint("what takes its place has the settings of the configuration file")
        })?;
        console(&self.connections, cx, access, instance).await
    }

    async fn look(&self, cx: &Context, access: &PgBouncerAccess, known: &[PgBouncerInstance], part: &Part<'_>) -> Result<bool, Failure> {
        let session = self.session(cx, access, known, part.at).await?;
        let live = read(&session).await.map_err(|error| failure(cx, &error))?;
        standing(part, live.get(part.name).map(|(value, _)| value.as_str()))
    }

    async fn set(&self, cx: &Context, access: &PgBouncerAccess, known: &[PgBouncerInstance], part: &Part<'_>) -> Result<Came, Ended> {
        let certain = |failure: Failure| Ended { failure, unknown: false };
        let session = self.session(cx, access, known, part.at).await.map_err(certain)?;
        let live = read(&session).await.map_err(|error| certain(failure(cx, &error)))?;
        if standing(part, live.get(part.name).map(|(value, _)| value.as_str())).map_err(certain)? {
            return Ok(Came::There);
        }
        if let Err(error) = session.rows(&statement(part.name, part.to)).await {
            let refused = matches!(error, PostgresError::Refused { .. });
            let mut failure = failure(cx, &error);
            failure.message = format!("{} was not set to {}: {}", part.name, part.to, failure.message);
            if refused {
                failure.hint = Some(
                    "is the value one that PgBouncer takes, and the user one of its `admin_users`? A user of `stats_users` may only look"
                        .to_owned(),
                );
            }
            return Err(Ended { failure, unknown: !refused });
        }
        // It says yes to some settings that it does not take over while it runs.
        let read_back = read(&session).await.map_err(|error| Ended { failure: failure(cx, &error), unknown: true })?;
        match read_back.get(part.name) {
            Some((value, _)) if same(value, part.to) => Ok(Came::Set),
            other => {
                let value = other.map_or("gone", |(value, _)| value.as_str());
                Err(certain(Failure::permanent(cx.log.redact(&format!(
                    "PgBouncer at {} took `{}`, and {} is {value} all the same",
                    part.at,
                    statement(part.name, part.to),
                    part.name
                )))))
            }
        }
    }
}

/// Whether a part is there already; an error where somebody else changed it.
pub(super) fn standing(part: &Part<'_>, live: Option<&str>) -> Result<bool, Failure> {
    match live {
        Some(live) if same(live, part.to) => Ok(true),
        Some(live) if same(live, part.from) => Ok(false),
        Some(live) => Err(Failure::permanent(format!(
            "{} of PgBouncer at {} is {live}: somebody else changed it from {} meanwhile (or a RELOAD did), and it was left alone",
            part.name, part.at, part.from
        ))),
        None => Err(Failure::permanent(format!("PgBouncer at {} has no setting {} any more", part.at, part.name))),
    }
}

/// A part from what is recorded of a field.
pub(super) fn part<'c>(field: &'c str, from: &'c Value, to: &'c Value) -> Result<Part<'c>, Failure> {
    let part = || {
        let (at, name) = split(field)?;
        Some(Part { at, name, from: from.as_str()?, to: to.as_str()? })
    };
    part().ok_or_else(|| Failure::permanent(format!("{field} is no setting of PgBouncer")))
}

/// The parts of changes, from prior to after.
pub(super) fn parts(changes: &[Change]) -> Result<Vec<Part<'_>>, Failure> {
    changes.iter().map(|change| part(&change.field, &change.prior, &change.after)).collect()
}
