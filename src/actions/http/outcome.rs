//! What an answer, or the want of one, means: the one place where statuses become outcomes.
//!
//! Invariant: a write is *not applied* only where the server certainly did not do it. A read is never unknown.

use super::request::Request;
use super::send::{Answer, Unanswered};
use crate::actions::support::{asked_wait, not_connected};
use crate::model::outcome::{Applied, Failure};
use crate::ports::action::Log;

/// What a status means that was not expected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::actions) enum Meaning {
    /// The server did not do it; whether another try can help.
    NotApplied { transient: bool },
    /// It may have done something else than was meant.
    WithEffect,
    /// Nobody knows.
    Unknown,
}

/// What a status means that was not expected.
pub(in crate::actions) fn meaning(read: bool, status: u16, retry_after: bool) -> Meaning {
    if read {
        return Meaning::NotApplied { transient: matches!(status, 408 | 425 | 429 | 500..=599) };
    }
    match status {
        425 | 429 => Meaning::NotApplied { transient: true },
        503 if retry_after => Meaning::NotApplied { transient: true },
        408 | 500..=599 => Meaning::Unknown,
        400..=499 => Meaning::NotApplied { transient: false },
        _ => Meaning::WithEffect,
    }
}

/// What came of a request.
pub(super) fn outcome(request: &Request, sent: Result<Answer, Unanswered>, log: &dyn Log) -> Applied {
    let read = request.method.is_read();
    let answer = match sent {
        Ok(answer) => answer,
        Err(unanswered) => return no_answer(request, &unanswered, log),
    };
    let outputs = answer.outputs(request, log);
    if request.expect.iter().any(|range| range.holds(answer.status)) {
        return Applied::Applied { outputs };
    }
    let mut failure = unexpected(request, &answer, log);
    match meaning(read, answer.status, answer.header("retry-after").is_some()) {
        Meaning::NotApplied { transient } => {
            failure.transient = transient;
            Applied::NotApplied { failure }
        }
        Meaning::WithEffect => Applied::FailedWithEffect { failure, outputs },
        Meaning::Unknown => {
            failure.transient = true;
            Applied::Unknown { failure }
        }
    }
}

fn no_answer(request: &Request, unanswered: &Unanswered, log: &dyn Log) -> Applied {
    let message = log.redact(&format!("{}: {unanswered}", request.name()));
    match unanswered {
        Unanswered::NoRoute(error) => Applied::NotApplied { failure: Failure { message, ..not_connected(error) } },
        Unanswered::NotConnected(_) => Applied::NotApplied {
            failure: Failure::transient(message).hint("nothing was sent: check that the server is up and reachable from here"),
        },
        Unanswered::TimedOut(_) | Unanswered::Cut(_) if request.method.is_read() => {
            Applied::NotApplied { failure: Failure::transient(message) }
        }
        Unanswered::TimedOut(_) | Unanswered::Cut(_) => Applied::Unknown {
            failure: Failure::transient(message)
                .hint("the server may have done it: look there; a `verify` in the step's inputs finds out by itself"),
        },
    }
}

fn unexpected(request: &Request, answer: &Answer, log: &dyn Log) -> Failure {
    let wanted: Vec<String> = request.expect.iter().map(ToString::to_string).collect();
    let mut message = format!("{} was answered with status {}, not {}", request.name(), answer.status, wanted.join(", "));
    if let Some(location) = answer.header("location").filter(|_| (300..400).contains(&answer.status)) {
        message.push_str(&format!("; it redirects to {location}"));
    }
    if let Some(after) = answer.header("retry-after") {
        message.push_str(&format!(" (Retry-After: {after})"));
    }
    let said = answer.text(log, 200);
    if !said.trim().is_empty() {
        message.push_str(": ");
        message.push_str(said.trim());
    }
    let failure = Failure::permanent(log.redact(&message)).retry_after(answer.header("retry-after").and_then(asked_wait));
    match answer.status {
        300..=399 if !request.method.is_read() => failure.hint("a write never follows a redirect: write the final URL"),
        300..=399 => failure.hint("write the final URL; credentials never follow a redirect to another place"),
        401 | 403 => failure.hint("check the credentials: `bearer`, `basic` or `secret_headers`"),
        404 => failure.hint("check the URL"),
        _ => failure,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_status_has_one_meaning() {
        let (permanent, transient) = (Meaning::NotApplied { transient: false }, Meaning::NotApplied { transient: true });
        let table = [
            // Status, of a read, of a write, of a write with Retry-After.
            (204, permanent, Meaning::WithEffect, Meaning::WithEffect),
            (302, permanent, Meaning::WithEffect, Meaning::WithEffect),
            (400, permanent, permanent, permanent),
            (401, permanent, permanent, permanent),
            (404, permanent, permanent, permanent),
            (408, transient, Meaning::Unknown, Meaning::Unknown),
            (409, permanent, permanent, permanent),
            (429, transient, transient, transient),
            (500, transient, Meaning::Unknown, Meaning::Unknown),
            (502, transient, Meaning::Unknown, Meaning::Unknown),
            (503, transient, Meaning::Unknown, transient),
            (504, transient, Meaning::Unknown, Meaning::Unknown),
        ];
        for (status, read, write, later) in table {
            assert_eq!(meaning(true, status, false), read, "read {status}");
            assert_eq!(meaning(false, status, false), write, "write {status}");
            assert_eq!(meaning(false, status, true), later, "write {status} with Retry-After");
        }
    }
}
