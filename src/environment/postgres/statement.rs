//! One statement in a transaction of its own, with bound parameters, bounded rows, and an outcome that says whether it can have been committed.
//!
//! Must not put a value into a statement's text. Invariant: before COMMIT is sent, nothing that happens leaves an effect: the server rolls back what is not
//! committed; once it is sent, only the server's answer says what became of it.

use std::time::Duration;

use futures::{StreamExt, pin_mut};
use serde_json::Value;
use tokio_postgres::Transaction;
use tokio_postgres::types::ToSql;

use super::cell::{Cell, Parameter};
use super::error::PostgresError;
use super::session::PostgresSession;

/// What is asked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Statement<'a> {
    /// One statement, with `$1` and so on for its parameters.
    pub(crate) sql: &'a str,
    /// The parameters.
    pub(crate) params: &'a [Value],
    /// Whether it may write.
    pub(crate) writes: bool,
    /// How many rows are taken.
    pub(crate) max_rows: usize,
    /// How many bytes of rows are taken, as JSON.
    pub(crate) max_bytes: usize,
    /// How long it may take.
    pub(crate) within: Duration,
    /// How long it may wait for a lock that another holds.
    pub(crate) lock: Duration,
}

/// What was answered.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Answered {
    /// The names of the columns.
    pub(crate) columns: Vec<String>,
    /// The rows, as many as are taken.
    pub(crate) rows: Vec<Vec<Value>>,
    /// Whether there were more.
    pub(crate) truncated: bool,
    /// The rows that it changed, or found.
    pub(crate) affected: Option<u64>,
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub(crate) enum StatementError {
    /// Nothing was committed.
    #[error("{0}")]
    Nothing(PostgresError),
    /// What is asked does not fit, or what is answered cannot be taken; nothing was committed.
    #[error("{0}")]
    Refused(String),
    /// COMMIT was sent, and its answer is not known.
    #[error("COMMIT was sent, and its answer is not known: {0}")]
    Unknown(PostgresError),
}

impl PostgresSession {
    /// Does it. `before_commit` is given the id of the transaction, where it has one, and has to have kept it before COMMIT is sent.
    pub(crate) async fn statement(
        &mut self,
        asked: Statement<'_>,
        before_commit: impl FnOnce(&str) -> std::io::Result<()>,
    ) -> Result<Answered, StatementError> {
        // The server ends what takes too long by itself; this is for one that does not answer at all.
        let after = asked.within + Duration::from_secs(2);
        let place = self.place().to_owned();
        let classify = self.classifier();
        let late = || PostgresError::TimedOut { place: place.clone(), what: "answer", after };
        let nothing = |error: &tokio_postgres::Error| StatementError::Nothing(classify(error));
        let begun = async {
            let transaction =
                self.client_mut().build_transaction().read_only(!asked.writes).start().await.map_err(|error| nothing(&error))?;
            let (statement, lock) = (asked.within.as_millis().max(1), asked.lock.as_millis().max(1));
            let limits = format!("SET LOCAL statement_timeout = {statement}; SET LOCAL lock_timeout = {lock}");
            transaction.batch_execute(&limits).await.map_err(|error| nothing(&error))?;
            let answered = execute(&transaction, asked, &nothing).await?;
            if asked.writes {
                let id = transaction.simple_query("SELECT txid_current_if_assigned()").await.map_err(|error| nothing(&error))?;
                let id = id.iter().find_map(|message| match message {
                    tokio_postgres::SimpleQueryMessage::Row(row) => row.get(0).map(str::to_owned),
                    _ => None,
                });
                if let Some(id) = id {
                    before_commit(&id).map_err(|error| {
                        StatementError::Refused(format!(
                            "the transaction's id could not be kept, so it was not committed: {}",
                            error.kind()
                        ))
                    })?;
                }
            }
            Ok::<_, StatementError>((transaction, answered))
        };
        let (transaction, answered) = tokio::time::timeout(after, begun).await.map_err(|_| StatementError::Nothing(late()))??;
        match tokio::time::timeout(after, transaction.commit()).await {
            Ok(Ok(())) => Ok(answered),
            // The server says no: a constraint that is checked at the end.
            Ok(Err(error)) if error.as_db_error().is_some_and(|refusal| !refusal.code().code().starts_with("57P")) => Err(nothing(&error)),
            Ok(Err(error)) if asked.writes => Err(StatementError::Unknown(classify(&error))),
            Ok(Err(error)) => Err(nothing(&error)),
            Err(_) if asked.writes => Err(StatementError::Unknown(late())),
            Err(_) => Err(StatementError::Nothing(late())),
        }
    }
}

async fn execute(
    transaction: &Transaction<'_>,
    asked: Statement<'_>,
    nothing: &impl Fn(&tokio_postgres::Error) -> StatementError,
) -> Result<Answered, StatementError> {
    let statement = transaction.prepare(asked.sql).await.map_err(|error| nothing(&error))?;
    if statement.params().len() != asked.params.len() {
        let (wanted, given) = (statement.params().len(), asked.params.len());
        return Err(StatementError::Refused(format!("the statement has {wanted} parameters, and `params` gives {given}")));
    }
    let columns: Vec<String> = statement.columns().iter().map(|column| column.name().to_owned()).collect();
    if let Some(twice) = columns.iter().enumerate().find_map(|(at, name)| columns[..at].contains(name).then_some(name)) {
        return Err(StatementError::Refused(format!("two columns are called `{twice}`: give one another name, `… AS other`")));
    }
    let params: Vec<Parameter<'_>> = asked.params.iter().map(Parameter).collect();
    let params: Vec<&(dyn ToSql + Sync)> = params.iter().map(|param| param as &(dyn ToSql + Sync)).collect();
    let portal = transaction.bind(&statement, &params).await.map_err(|error| nothing(&error))?;
    // How many rows a write has changed is only told at its end.
    let most = if asked.writes { 0 } else { i32::try_from(asked.max_rows.saturating_add(1)).unwrap_or(i32::MAX) };
    let stream = transaction.query_portal_raw(&portal, most).await.map_err(|error| nothing(&error))?;
    pin_mut!(stream);
    let mut answered = Answered { columns, ..Answered::default() };
    let mut bytes = 0_usize;
    while let Some(row) = stream.next().await {
        let row = row.map_err(|error| nothing(&error))?;
        if answered.truncated || answered.rows.len() >= asked.max_rows {
            answered.truncated = true;
            continue;
        }
        let mut cells = Vec::with_capacity(row.len());
        for (at, name) in answered.columns.iter().enumerate() {
            let cell: Cell = row.try_get(at).map_err(|error| {
                let why = std::error::Error::source(&error).map_or_else(|| error.to_string(), ToString::to_string);
                StatementError::Refused(format!("the column `{name}` cannot be taken: {why}"))
            })?;
            bytes = bytes.saturating_add(cell.0.to_string().len() + name.len() + 4);
            cells.push(cell.0);
        }
        if bytes > asked.max_bytes {
            if answered.rows.is_empty() {
                return Err(StatementError::Refused(format!("the first row alone is larger than {} bytes: select less", asked.max_bytes)));
            }
            answered.truncated = true;
            continue;
        }
        answered.rows.push(cells);
    }
    answered.affected = stream.rows_affected();
    Ok(answered)
}
