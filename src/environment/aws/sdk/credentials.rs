//! Whose credentials requests are signed with: those that the sandbox brings, or what the standard chain finds.
//!
//! Must not show a secret. Invariant: whoever brings keys has no other looked for; what was got is kept only as long as it is good.

use std::time::{Duration, Instant, SystemTime};

use aws_config::Region;
use aws_config::default_provider::credentials::DefaultCredentialsChain;
use aws_config::imds;
use aws_config::provider_config::ProviderConfig;
use aws_config::retry::RetryConfig;
use aws_credential_types::Credentials;
use aws_credential_types::provider::ProvideCredentials;
use secrecy::ExposeSecret;
use tokio::sync::Mutex;

use super::super::super::kubernetes::chain;
use super::super::{AwsAccess, AwsLogin};
use super::CREDENTIALS;
use super::connector::Connector;

/// How long instance metadata may take to be reached, and to answer: where there is none, nothing answers at all.
const METADATA: Duration = Duration::from_millis(700);
/// How long what does not say when it ends is kept: a profile may have been changed since.
const KEPT: Duration = Duration::from_secs(60);
/// How long before their end credentials are renewed.
const AHEAD: Duration = Duration::from_secs(120);

/// Where credentials are got and kept.
pub(super) struct Keyring {
    login: AwsLogin,
    region: Region,
    connector: Connector,
    got: Mutex<Option<(Credentials, Instant)>>,
}

impl Keyring {
    pub(super) fn new(access: &AwsAccess, connector: Connector) -> Self {
        Self { login: access.login.clone(), region: Region::new(access.region.clone()), connector, got: Mutex::default() }
    }

    /// Lets go of what was got.
    pub(super) async fn forget(&self) {
        self.got.lock().await.take();
    }

    /// What of them must never be shown.
    pub(super) async fn secrets(&self) -> Vec<String> {
        if let AwsLogin::Keys { secret, .. } = &self.login {
            return vec![secret.expose_secret().to_owned()];
        }
        let got = self.got.lock().await;
        let of = |credentials: &Credentials| {
            [Some(credentials.secret_access_key()), credentials.session_token()].map(|text| text.map(str::to_owned))
        };
        let secrets = got.as_ref().map(|(credentials, _)| of(credentials)).into_iter().flatten().flatten();
        secrets.filter(|secret| !secret.is_empty()).collect()
    }

    /// The credentials, or why there are none.
    pub(super) async fn get(&self) -> Result<Credentials, String> {
        let profile = match &self.login {
            AwsLogin::Keys { id, secret } => return Ok(Credentials::new(id, secret.expose_secret(), None, None, "the environment")),
            AwsLogin::Chain { profile } => profile.as_deref(),
        };
        let mut got = self.got.lock().await;
        if let Some((credentials, at)) = got.as_ref()
            && is_good(credentials, *at)
        {
            return Ok(credentials.clone());
        }
        let credentials = match tokio::time::timeout(CREDENTIALS, self.ask(profile)).await {
            Ok(credentials) => credentials?,
            Err(_) => return Err(format!("none were there within {} s", CREDENTIALS.as_secs())),
        };
        *got = Some((credentials.clone(), Instant::now()));
        Ok(credentials)
    }

    async fn ask(&self, profile: Option<&str>) -> Result<Credentials, String> {
        let config = ProviderConfig::without_region()
            .with_region(Some(self.region.clone()))
            .with_http_client(self.connector.clone())
            .with_retry_config(RetryConfig::disabled());
        let metadata = imds::Client::builder().configure(&config).max_attempts(1).connect_timeout(METADATA).read_timeout(METADATA).build();
        let mut chained = DefaultCredentialsChain::builder().region(self.region.clone()).imds_client(metadata);
        if let Some(profile) = profile {
            chained = chained.profile_name(profile);
        }
        let chained = chained.configure(config).build().await;
        let named = profile.map(|profile| format!("of the profile `{profile}`: ")).unwrap_or_default();
        chained.provide_credentials().await.map_err(|error| match chain(&error) {
            // Its own words are about providers and chains.
            why if why.contains("no providers in chain") => {
                format!("{named}neither the environment's variables, nor ~/.aws, nor SSO, nor a role of this machine gives any")
            }
            why => format!("{named}{why}"),
        })
    }
}

fn is_good(credentials: &Credentials, at: Instant) -> bool {
    match credentials.expiry() {
        Some(end) => end.duration_since(SystemTime::now()).is_ok_and(|left| left > AHEAD),
        None => at.elapsed() < KEPT,
    }
}
