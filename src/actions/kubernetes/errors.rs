//! What an answer of the Kubernetes API means: the one place where statuses become failures.
//!
//! Invariant: a write is *not applied* only where the server certainly did not do it; everything else that is not an answer is unknown. A read
//! is never unknown.

use crate::actions::support::{asked_wait, at_most};
use crate::environment::{KubeError, KubeReply};
use crate::model::outcome::{Applied, Failure};
use crate::ports::action::Log;

/// What was asked, for messages.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked<'a> {
    /// `patch`, as access rules name it.
    pub verb: &'static str,
    /// `deployments/scale`, as access rules name it.
    pub resource: &'a str,
    /// The object's name; empty for a list.
    pub name: &'a str,
    /// Empty for what belongs to no namespace.
    pub namespace: &'a str,
}

impl std::fmt::Display for Asked<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.verb, self.resource)?;
        if !self.name.is_empty() {
            write!(f, " `{}`", self.name)?;
        }
        if !self.namespace.is_empty() {
            write!(f, " in namespace {}", self.namespace)?;
        }
        Ok(())
    }
}

/// Why a request did not do what was asked.
#[derive(Clone, Debug)]
pub(super) enum Trouble {
    /// The server answered with another status than 2xx.
    Refused {
        /// The status.
        status: u16,
        /// The server's own words, shortened.
        message: String,
        /// `reason` of the `Status` object: `NotFound`, `Invalid`; empty where there was none.
        reason: String,
        /// `Retry-After`, where the server sent one.
        retry_after: Option<String>,
    },
    /// The server forbids it, and does not say that it is ready: it may not have read yet who may do what.
    NotReady {
        /// The server's own words, shortened.
        message: String,
    },
    /// There was no whole answer.
    Silent(KubeError),
    /// The answer is not what this API answers.
    Garbled {
        /// What is missing.
        what: String,
    },
}

impl Trouble {
    /// What a reply other than 2xx is.
    pub(super) fn of(reply: &KubeReply, log: &dyn Log) -> Self {
        let text = |key: &str| reply.body.get(key).and_then(serde_json::Value::as_str).unwrap_or_default();
        Self::Refused {
            status: reply.status,
            message: at_most(&log.redact(text("message")), 500).to_owned(),
            reason: text("reason").to_owned(),
            retry_after: reply.retry_after.clone(),
        }
    }

    /// Whether the object is not there, by the API's own word (and not because the path is unknown to a proxy in between).
    pub(super) fn is_gone(&self) -> bool {
        matches!(self, Self::Refused { status: 404, reason, .. } if reason == "NotFound")
    }

    /// Whether the account may not do it.
    pub(super) fn is_forbidden(&self) -> bool {
        matches!(self, Self::Refused { status: 403, .. })
    }

    /// The same, by a server that does not say that it is ready.
    pub(super) fn not_ready(self) -> Self {
        match self {
            Self::Refused { message, .. } => Self::NotReady { message },
            other => other,
        }
    }

    /// Whether a precondition of a write did not hold (a failed JSON Patch `test`, an outdated `resourceVersion`).
    pub(super) fn is_conflict(&self) -> bool {
        matches!(self, Self::Refused { status: 409 | 422, .. })
    }

    /// Whether a `test` of a JSON Patch failed. The server says no more than that, and nothing of an object, as it does where it refuses the
    /// result of a patch.
    pub(super) fn is_failed_test(&self) -> bool {
        matches!(self, Self::Refused { status: 422, message, .. } if message == "the server rejected our request due to an error in our request")
    }

    /// Whether the object was at another version than the write named.
    pub(super) fn is_outdated(&self) -> bool {
        matches!(self, Self::Refused { status: 409, reason, .. } if reason == "Conflict")
    }

    /// The failure that people see.
    pub(super) fn failure(&self, asked: Asked<'_>) -> Failure {
        match self {
            Self::Silent(error @ KubeError::NotSent { .. }) => Failure::transient(format!("{asked}: {error}"))
                .hint("check that the cluster is up and reachable from here: `kubectl get --raw /readyz`"),
            Self::Silent(KubeError::Credentials(error)) => Failure::transient(format!("{asked}: {error}")).hint(error.hint()),
            Self::Silent(error @ (KubeError::TimedOut { .. } | KubeError::Cut { .. })) => Failure::transient(format!("{asked}: {error}")),
            Self::Silent(error @ KubeError::TooLarge) => Failure::permanent(format!("{asked}: {error}")),
            Self::Garbled { what } => Failure::permanent(format!("{asked}: the answer is not one of the Kubernetes API: {what}"))
                .hint("check that the environment's cluster URL leads to a Kubernetes API server and not to a proxy's page"),
            Self::NotReady { message } => {
                let failure = refused(asked, 403, message, None);
                let message =
                    format!("{}; the API server does not say that it is ready, and may not have read yet who may do what", failure.message);
                Failure { message, transient: true, ..failure }
            }
            Self::Refused { status, message, retry_after, .. } => refused(asked, *status, message, retry_after.as_deref()),
        }
    }

    /// What it means for a write.
    pub(super) fn of_write(&self, asked: Asked<'_>) -> Applied {
        let failure = self.failure(asked);
        let sure = match self {
            Self::Silent(KubeError::NotSent { .. } | KubeError::Credentials(_)) | Self::NotReady { .. } => true,
            Self::Silent(KubeError::TimedOut { .. } | KubeError::Cut { .. } | KubeError::TooLarge) | Self::Garbled { .. } => false,
            Self::Refused { status: 408, .. } => false,
            // An API server that sheds load says when to come back, and has done nothing.
            Self::Refused { status: 503, retry_after, .. } => retry_after.is_some(),
            Self::Refused { status, .. } => *status < 500,
        };
        if sure { Applied::NotApplied { failure } } else { Applied::Unknown { failure } }
    }
}

/// What to do about a rule of the cluster.
const BY_RULE: &str =
    "it is a rule of the cluster that refuses it, and not this account's permissions: ask who keeps that rule, or want less";

/// Whether a webhook, a policy, a quota or a node's size refuses it: not for who asks, but for what is asked.
fn is_of_admission(message: &str) -> bool {
    let forbidden = message.split_once("is forbidden: ").is_some_and(|(_, why)| !why.starts_with("User "));
    forbidden || ["denied the request", "denied request"].iter().any(|sign| message.contains(sign))
}

fn refused(asked: Asked<'_>, status: u16, message: &str, retry_after: Option<&str>) -> Failure {
    let said = if message.is_empty() { String::new() } else { format!(": {message}") };
    let Asked { verb, resource, namespace, .. } = asked;
    let place = if namespace.is_empty() { String::new() } else { format!(" -n {namespace}") };
    let wait = retry_after.and_then(asked_wait);
    let after = retry_after.map(|after| format!(" (Retry-After: {after})")).unwrap_or_default();
    match status {
        401 => {
            Failure::permanent(format!("{asked}: the credentials are not accepted (401){said}")).hint("renew the token of this environment")
        }
        403 if is_of_admission(message) => Failure::permanent(format!("{asked}: forbidden (403){said}")).hint(BY_RULE),
        403 => {
            // To kubectl a name after the slash is an object's.
            let (kind, part) = resource.split_once('/').unwrap_or((resource, ""));
            let part = if part.is_empty() { String::new() } else { format!(" --subresource={part}") };
            Failure::permanent(format!("{asked}: forbidden (403){said}"))
                .hint(format!("allow the verb `{verb}` on `{resource}` in a Role; `kubectl auth can-i {verb} {kind}{part}{place}` tells"))
        }
        404 => Failure::permanent(format!("{asked}: not found (404){said}")).hint("check the name, the namespace and the environment"),
        408 => Failure::transient(format!("{asked}: the server gave up waiting (408){said}")),
        409 => Failure::transient(format!("{asked}: conflict (409){said}")).hint("somebody else changed the object at the same time"),
        410 => Failure::transient(format!("{asked}: the version asked for is too old (410){said}")),
        422 if is_of_admission(message) => Failure::permanent(format!("{asked}: the server does not accept it (422){said}")).hint(BY_RULE),
        422 => Failure::permanent(format!("{asked}: the server does not accept it (422){said}")),
        429 => Failure::transient(format!("{asked}: too many requests (429){after}{said}")).retry_after(wait),
        500..=599 => Failure::transient(format!("{asked}: the server failed ({status}){after}{said}")).retry_after(wait),
        _ => Failure::permanent(format!("{asked}: answered with status {status}{said}")),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::{Value, json};

    use super::*;

    struct Plain;

    impl Log for Plain {
        fn line(&self, _: &str) {}
        fn part(&self, _: u64, _: u64, _: &str) {}
        fn redact(&self, text: &str) -> String {
            text.replace("hunter2", "[secret]")
        }
    }

    const ASKED: Asked<'_> = Asked { verb: "patch", resource: "deployments/scale", name: "x", namespace: "production" };

    fn reply(status: u16, retry_after: Option<&str>) -> Trouble {
        let body = json!({ "reason": "Some", "message": "it is hunter2" });
        Trouble::of(&KubeReply { status, retry_after: retry_after.map(str::to_owned), body }, &Plain)
    }

    #[test]
    fn each_trouble_has_one_meaning() {
        let silent = Trouble::Silent;
        // Trouble, whether a write certainly was not applied, whether another try can help, what the message says.
        let table = [
            (reply(401, None), true, false, "the credentials are not accepted (401): it is [secret]"),
            (reply(403, None), true, false, "patch deployments/scale `x` in namespace production: forbidden (403)"),
            (reply(403, None).not_ready(), true, true, "does not say that it is ready"),
            (reply(404, None), true, false, "not found (404)"),
            (reply(408, None), false, true, "gave up waiting (408)"),
            (reply(409, None), true, true, "conflict (409)"),
            (reply(410, None), true, true, "too old (410)"),
            (reply(415, None), true, false, "status 415"),
            (reply(422, None), true, false, "does not accept it (422)"),
            (reply(429, None), true, true, "too many requests (429)"),
            (reply(500, None), false, true, "the server failed (500)"),
            (reply(503, None), false, true, "the server failed (503)"),
            (reply(503, Some("2")), true, true, "the server failed (503) (Retry-After: 2)"),
            (reply(301, None), true, false, "status 301"),
            (silent(KubeError::NotSent { why: "refused".into() }), true, true, "no connection to the Kubernetes API: refused"),
            (silent(KubeError::TimedOut { after: Duration::from_secs(10) }), false, true, "did not answer within 10 s"),
            (silent(KubeError::Cut { why: "eof".into() }), false, true, "was cut before the whole answer was there: eof"),
            (silent(KubeError::TooLarge), false, false, "larger than 32 MiB"),
            (Trouble::Garbled { what: "no JSON".into() }, false, false, "not one of the Kubernetes API: no JSON"),
        ];
        for (trouble, sure, transient, text) in table {
            let (failure, was_sure) = match trouble.of_write(ASKED) {
                Applied::NotApplied { failure } => (failure, true),
                Applied::Unknown { failure } => (failure, false),
                other => panic!("{other:?}"),
            };
            assert_eq!((was_sure, failure.transient), (sure, transient), "{trouble:?}");
            assert!(failure.message.contains(text), "{failure}");
            assert_eq!(trouble.failure(ASKED), failure, "a read fails with the same words");
        }
    }

    #[test]
    fn a_failed_precondition_is_not_taken_for_a_rule_that_refuses() {
        let said = |message: &str| Trouble::of(&KubeReply { status: 422, retry_after: None, body: json!({ "message": message }) }, &Plain);
        assert!(said("the server rejected our request due to an error in our request").is_failed_test());
        assert!(!said("ValidatingAdmissionPolicy 'p' with binding 'p' denied request: no").is_failed_test());
    }

    #[test]
    fn a_role_is_asked_for_only_where_one_would_help() {
        let hint = |message: &str| {
            let trouble = Trouble::of(&KubeReply { status: 403, retry_after: None, body: json!({ "message": message }) }, &Plain);
            trouble.failure(ASKED).hint.unwrap_or_default()
        };
        let by_role = r#"deployments.apps "x" is forbidden: User "v" cannot patch resource "deployments/scale" in API group "apps" in the namespace "n""#;
        assert!(hint(by_role).contains("Role") && hint("").contains("Role"));
        for by_rule in [
            r#"admission webhook "freeze.example.com" denied the request: not now"#,
            r#"pods "x" is forbidden: exceeded quota: q, requested: pods=1, used: pods=8, limited: pods=8"#,
            r#"pods "x" is forbidden: node didn't have enough allocatable resources: cpu, requested: 1000000, allocatable: 64000"#,
        ] {
            assert_eq!(hint(by_rule), BY_RULE, "{by_rule}");
        }
    }

    #[test]
    fn only_the_apis_own_word_makes_an_object_gone() {
        let gone = |body: Value| Trouble::of(&KubeReply { status: 404, retry_after: None, body }, &Plain).is_gone();
        assert!(gone(json!({ "reason": "NotFound" })));
        assert!(!gone(Value::Null), "a proxy's page says nothing of the object");
    }
}
