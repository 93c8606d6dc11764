//! Why AWS did not do, or did not answer, what was asked, by cause.
//!
//! Invariant: each cause has its own words and its own way out, and none repeats a secret or a page of HTML.

use std::time::Duration;

use super::super::connections::ConnectionError;

/// What a service says when it is asked too often: nothing was done.
const THROTTLING: &[&str] = &[
    "Throttling",
    "ThrottlingException",
    "ThrottledException",
    "RequestThrottled",
    "RequestThrottledException",
    "RequestLimitExceeded",
    "TooManyRequestsException",
    "BandwidthLimitExceeded",
    "SlowDown",
];
/// What it says of credentials that have run out.
const EXPIRED: &[&str] = &["ExpiredToken", "ExpiredTokenException", "RequestExpired"];
/// What it says of credentials that it does not know.
const UNKNOWN: &[&str] = &[
    "InvalidClientTokenId",
    "UnrecognizedClientException",
    "SignatureDoesNotMatch",
    "InvalidAccessKeyId",
    "MissingAuthenticationToken",
    "IncompleteSignature",
    "AuthFailure",
    "OptInRequired",
];
/// What it says where the account may not do it.
const DENIED: &[&str] = &["AccessDenied", "AccessDeniedException", "UnauthorizedOperation", "AuthorizationError", "NotAuthorized"];

/// Why there is no answer, or no good one. `operation` is as IAM names it: `rds:CreateDBInstanceReadReplica`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AwsError {
    /// There is no way to it.
    #[error(transparent)]
    Connection(#[from] ConnectionError),
    /// This program was built without it.
    #[error("this build of runsheet has no AWS")]
    NotBuilt,
    /// There are no credentials; certainly nothing was sent.
    #[error("there are no AWS credentials for {place}: {why}")]
    NoCredentials {
        /// Which account, where.
        place: String,
        /// Why.
        why: String,
    },
    /// The request certainly did not reach the service.
    #[error("no connection to AWS for {operation}: {why}")]
    NotSent {
        /// What was asked.
        operation: &'static str,
        /// Why.
        why: String,
    },
    /// No answer came in time.
    #[error("AWS did not answer {operation} within {} s", after.as_secs_f32())]
    TimedOut {
        /// What was asked.
        operation: &'static str,
        /// The limit.
        after: Duration,
    },
    /// The connection ended before the whole answer was there.
    #[error("the connection to AWS was cut before {operation} was answered: {why}")]
    Cut {
        /// What was asked.
        operation: &'static str,
        /// How.
        why: String,
    },
    /// The answer is not one of the service's.
    #[error("the answer to {operation} (status {status}) is not one of AWS: {what}")]
    Garbled {
        /// What was asked.
        operation: &'static str,
        /// The HTTP status.
        status: u16,
        /// What is wrong with it.
        what: String,
    },
    /// The service says no.
    #[error("AWS refused {operation}: {code} ({status}){}", said(message))]
    Refused {
        /// What was asked.
        operation: &'static str,
        /// The HTTP status.
        status: u16,
        /// `InvalidReplicationGroupState`.
        code: String,
        /// The service's own words, shortened.
        message: String,
        /// `Retry-After`, where it sent one.
        retry_after: Option<String>,
    },
}

fn said(message: &str) -> String {
    if message.is_empty() { String::new() } else { format!(": {message}") }
}

impl AwsError {
    /// What the service calls it; empty where it is not its answer.
    pub fn code(&self) -> &str {
        match self {
            Self::Refused { code, .. } => code,
            _ => "",
        }
    }

    fn is_one_of(&self, codes: &[&str]) -> bool {
        codes.contains(&self.code())
    }

    /// Whether it was asked too often.
    pub fn is_throttled(&self) -> bool {
        self.is_one_of(THROTTLING) || matches!(self, Self::Refused { status: 429, .. })
    }

    /// Whether the account may not do it.
    pub fn is_denied(&self) -> bool {
        self.is_one_of(DENIED)
    }

    /// Whether the credentials have run out.
    pub fn is_expired(&self) -> bool {
        self.is_one_of(EXPIRED)
    }

    /// Whether the service does not know the credentials.
    pub fn is_unauthenticated(&self) -> bool {
        self.is_one_of(UNKNOWN)
    }

    /// Whether the request certainly had no effect.
    pub fn had_no_effect(&self) -> bool {
        match self {
            Self::Connection(_) | Self::NotBuilt | Self::NoCredentials { .. } | Self::NotSent { .. } => true,
            Self::TimedOut { .. } | Self::Cut { .. } => false,
            // A page of a proxy in between, which says no by its status.
            Self::Garbled { status, .. } => (400..500).contains(status),
            Self::Refused { status, .. } => *status < 500 || self.is_throttled(),
        }
    }

    /// Whether the same can work when it is tried again a little later.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Connection(error) => matches!(error, ConnectionError::Lookup { .. }),
            Self::NotBuilt | Self::NoCredentials { .. } => false,
            Self::NotSent { .. } | Self::TimedOut { .. } | Self::Cut { .. } => true,
            Self::Garbled { status, .. } => *status >= 500,
            Self::Refused { status, .. } => *status >= 500 || self.is_throttled(),
        }
    }

    /// What to do about it.
    pub fn hint(&self) -> String {
        match self {
            Self::Connection(error) => error.hint().to_owned(),
            Self::NotBuilt => "use a build with the feature `aws`, which is on by default".to_owned(),
            Self::NoCredentials { .. } => {
                "log in (`aws sso login`, or the profile that the environment names): `aws sts get-caller-identity` has to work here"
                    .to_owned()
            }
            Self::NotSent { .. } => {
                "check the network between here and AWS, the proxy, and the environment's `region` and `endpoint`".to_owned()
            }
            Self::TimedOut { .. } | Self::Cut { .. } => "check the network between here and AWS".to_owned(),
            Self::Garbled { .. } => "check that the environment's `endpoint` leads to AWS and not to a proxy's page".to_owned(),
            Self::Refused { operation, .. } if self.is_denied() => {
                format!("let these credentials do `{operation}` (an IAM policy), or log in as somebody who may")
            }
            Self::Refused { .. } if self.is_expired() => {
                "log in again (`aws sso login`), or compare this machine's clock; a run that is open goes on with `runsheet resume`"
                    .to_owned()
            }
            Self::Refused { .. } if self.is_unauthenticated() => {
                "check which credentials are used (`aws sts get-caller-identity`), and the environment's `profile`".to_owned()
            }
            Self::Refused { .. } if self.is_throttled() => {
                "the account makes too many requests; it is tried again later, where the step says `retry`".to_owned()
            }
            Self::Refused { status, .. } if *status >= 500 => {
                "AWS itself has trouble: <https://health.aws.amazon.com> may say more".to_owned()
            }
            Self::Refused { code, .. } => refused(code).to_owned(),
        }
    }
}

/// What to do about what services refuse because of what is there.
fn refused(code: &str) -> &'static str {
    match code {
        "InvalidReplicationGroupState" | "InvalidCacheClusterState" => {
            "something else is changing it: wait until it is `available` (`aws elasticache describe-replication-groups`), then try again"
        }
        "InvalidDBInstanceState" => {
            "something else is changing it: wait until it is `available` (`aws rds describe-db-instances`), then try again"
        }
        "InsufficientCacheClusterCapacity" | "InsufficientDBInstanceCapacity" => {
            "AWS has no such machine free in this availability zone now: try again later, or take another type"
        }
        "NodeQuotaForCustomerExceeded"
        | "NodeQuotaForClusterExceeded"
        | "ClusterQuotaForCustomerExceeded"
        | "ClusterQuotaForCustomer.Exceeded"
        | "InstanceQuotaExceeded"
        | "StorageQuotaExceeded" => "the account's quota is used up: have it raised (Service Quotas), or remove what is not needed",
        "DBInstanceAlreadyExists" => "take another name, or look whose that is: `aws rds describe-db-instances`",
        _ => "the message says what AWS does not accept",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(status: u16, code: &str) -> AwsError {
        let (code, message) = (code.to_owned(), "words".to_owned());
        AwsError::Refused { operation: "rds:CreateDBInstanceReadReplica", status, code, message, retry_after: None }
    }

    #[test]
    fn only_what_was_certainly_refused_had_no_effect() {
        for (error, no_effect, transient) in [
            (refused(400, "Throttling"), true, true),
            (refused(503, "RequestLimitExceeded"), true, true),
            (refused(403, "AccessDenied"), true, false),
            (refused(400, "InvalidReplicationGroupState"), true, false),
            (refused(500, "InternalFailure"), false, true),
            (refused(503, "ServiceUnavailable"), false, true),
            (AwsError::Garbled { operation: "o", status: 200, what: "w".into() }, false, false),
            (AwsError::Garbled { operation: "o", status: 403, what: "w".into() }, true, false),
            (AwsError::Garbled { operation: "o", status: 502, what: "w".into() }, false, true),
            (AwsError::NotSent { operation: "o", why: "w".into() }, true, true),
            (AwsError::Cut { operation: "o", why: "w".into() }, false, true),
            (AwsError::TimedOut { operation: "o", after: Duration::from_secs(1) }, false, true),
        ] {
            assert_eq!((error.had_no_effect(), error.is_transient()), (no_effect, transient), "{error}");
            assert!(!error.hint().is_empty());
        }
    }

    #[test]
    fn each_refusal_says_what_to_do() {
        for (code, part) in [
            ("AccessDenied", "`rds:CreateDBInstanceReadReplica`"),
            ("ExpiredToken", "aws sso login"),
            ("InvalidClientTokenId", "profile"),
            ("InvalidDBInstanceState", "available"),
            ("InstanceQuotaExceeded", "quota"),
            ("Throttling", "too many requests"),
        ] {
            let error = refused(400, code);
            assert!(error.hint().contains(part), "{code}: {}", error.hint());
            assert_eq!(error.to_string(), format!("AWS refused rds:CreateDBInstanceReadReplica: {code} (400): words"));
        }
    }
}
