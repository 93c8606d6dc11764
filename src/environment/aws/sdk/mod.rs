//! The requests to AWS, by way of its SDK.
//!
//! Must not try anything again: the SDK's own retries are off. Invariant: the SDK is told everything (region, endpoint, credentials, client, times) and
//! reads nothing of it from the machine; credentials are got before a request is made, so that a lack of them is no failed request.

mod connector;
mod credentials;
mod elasticache;
mod rds;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use aws_config::retry::RetryConfig;
use aws_config::stalled_stream_protection::StalledStreamProtectionConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{AppName, BehaviorVersion, Region, SdkConfig};
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;

use self::connector::{Connector, Unanswered};
use self::credentials::Keyring;
use super::super::kubernetes::chain;
use super::{AwsAccess, AwsError};

/// How long a request may take, answer included: its connection, and what the service does before it answers.
const REQUEST: Duration = Duration::from_secs(12);
/// How long credentials may take to be got: a person may have to be asked by a helper program.
const CREDENTIALS: Duration = Duration::from_secs(20);
/// The longest text of a service's that is repeated, in characters.
const LONGEST: usize = 500;

/// What all requests to an account share.
pub(super) struct Session {
    access: AwsAccess,
    connector: Connector,
    keyring: Keyring,
}

impl Session {
    pub(super) fn new(access: AwsAccess, hosts: BTreeMap<String, SocketAddr>, confined: bool) -> Self {
        let connector = Connector::new(hosts, confined);
        Self { keyring: Keyring::new(&access, connector.clone()), connector, access }
    }

    /// What a service's client is made of.
    async fn config(&self) -> Result<SdkConfig, AwsError> {
        let credentials = self.keyring.get().await.map_err(|why| AwsError::NoCredentials { place: self.access.place(), why })?;
        let mut config = SdkConfig::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new(self.access.region.clone()))
            .credentials_provider(SharedCredentialsProvider::new(credentials))
            .identity_cache(aws_config::identity::IdentityCache::no_cache())
            .http_client(self.connector.clone())
            .retry_config(RetryConfig::disabled())
            .timeout_config(TimeoutConfig::disabled())
            .stalled_stream_protection(StalledStreamProtectionConfig::disabled());
        config.set_app_name(AppName::new("runsheet").ok());
        // The region's own endpoints, where the environment names none. In the sandbox they are plain HTTP on loopback.
        config.set_endpoint_url(self.access.endpoint.clone());
        Ok(config.build())
    }

    /// The same for a service whose endpoint the sandbox serves under its host's name.
    async fn config_of(&self, service: &str) -> Result<SdkConfig, AwsError> {
        let config = self.config().await?;
        if !self.connector.is_confined() {
            return Ok(config);
        }
        let endpoint = format!("http://{service}.{}.amazonaws.com", self.access.region);
        Ok(config.into_builder().endpoint_url(endpoint).build())
    }

    /// Sends one request, within its time.
    async fn send<T, E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static>(
        &self,
        operation: &'static str,
        request: impl Future<Output = Result<T, SdkError<E, HttpResponse>>>,
    ) -> Result<T, AwsError> {
        match tokio::time::timeout(REQUEST, request).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => {
                let error = failed(operation, error, &self.keyring.secrets().await);
                if error.is_expired() || error.is_unauthenticated() {
                    // The next request asks for others, which may have been renewed.
                    self.keyring.forget().await;
                }
                Err(error)
            }
            Err(_) => Err(AwsError::TimedOut { operation, after: REQUEST }),
        }
    }

    pub(super) async fn caller_account(&self) -> Result<String, AwsError> {
        const OPERATION: &str = "sts:GetCallerIdentity";
        let sts = aws_sdk_sts::Client::new(&self.config_of("sts").await?);
        let caller = self.send(OPERATION, sts.get_caller_identity().send()).await?;
        caller.account.ok_or_else(|| AwsError::Garbled { operation: OPERATION, status: 200, what: "it names no account".to_owned() })
    }
}

/// What a failure of the SDK is. A service can say anything, also what it was sent: AWS repeats a request's headers where a signature does not fit.
fn failed<E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static>(
    operation: &'static str,
    error: SdkError<E, HttpResponse>,
    secrets: &[String],
) -> AwsError {
    let mut source: Option<&(dyn std::error::Error + 'static)> = Some(&error);
    while let Some(inner) = source {
        if let Some(unanswered) = inner.downcast_ref::<Unanswered>() {
            return unanswered.clone().of(operation);
        }
        source = inner.source();
    }
    match error {
        SdkError::ServiceError(refused) => {
            let (status, retry_after) = (refused.raw().status().as_u16(), refused.raw().headers().get("retry-after").map(str::to_owned));
            match refused.err().code() {
                Some(code) => AwsError::Refused {
                    operation,
                    status,
                    code: code.chars().take(LONGEST).collect(),
                    message: said(refused.err().message().unwrap_or_default(), secrets),
                    retry_after,
                },
                None => AwsError::Garbled { operation, status, what: kind(refused.raw()) },
            }
        }
        SdkError::ResponseError(answer) => {
            AwsError::Garbled { operation, status: answer.raw().status().as_u16(), what: kind(answer.raw()) }
        }
        SdkError::TimeoutError(_) => AwsError::TimedOut { operation, after: REQUEST },
        SdkError::ConstructionFailure(_) => AwsError::NotSent { operation, why: chain(&error) },
        error => AwsError::Cut { operation, why: chain(&error) },
    }
}

/// What came in the place of an answer; never its text.
fn kind(answer: &HttpResponse) -> String {
    match answer.headers().get("content-type").map(|kind| kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()) {
        Some(kind) if kind == "text/html" => "it is a page of HTML".to_owned(),
        Some(kind) if kind.ends_with("xml") => "its XML is incomplete, or another than the one that was asked for".to_owned(),
        Some(kind) if !kind.is_empty() => format!("it is {}", one_line(&kind)),
        _ => "it does not say what it is".to_owned(),
    }
}

/// A service's own words, without what it was sent in confidence.
fn said(text: &str, secrets: &[String]) -> String {
    one_line(&secrets.iter().fold(text.to_owned(), |text, secret| text.replace(secret, "[secret]")))
}

fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(LONGEST).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_sent_in_confidence_is_not_repeated() {
        let secrets = ["a-secret-key".to_owned(), format!("a-session-token-{}", "x".repeat(600))];
        let text = format!("The Canonical String should have been\n'POST\n/\nx-amz-security-token:{}\n' and {}", secrets[1], secrets[0]);
        let told = said(&text, &secrets);
        assert!(!told.contains("session-token") && !told.contains("secret-key"), "{told}");
        assert!(told.contains("x-amz-security-token:[secret] ' and [secret]"), "{told}");
        assert_eq!(said(&"long ".repeat(500), &secrets).chars().count(), LONGEST);
    }
}
