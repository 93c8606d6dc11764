//! A client whose credentials are renewed: read again from their file, or asked for again from their plugin, before they expire.
//!
//! Must not send a request twice. Invariants: a request that fails for want of credentials was certainly not sent; however many requests wait, one
//! renewal is under way at a time, and it ends within its own limit even where no request waits for it any longer.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use base64::Engine;
use futures::future::BoxFuture;
use http::{Request, Response};
use jiff::Timestamp;
use kube::client::Body;
use secrecy::{ExposeSecret, SecretString};

use super::kubeconfig::{CredentialSource, Login};
use super::kubernetes::chain;

/// So long before they expire, credentials are renewed.
const AHEAD: Duration = Duration::from_secs(60);
/// How often a token's file is read.
const FILE_AGAIN: Duration = Duration::from_secs(60);
/// After a refusal (401), credentials of at least this age are renewed.
const REFUSED_AGAIN: Duration = Duration::from_secs(10);
/// The longest token that is read, in bytes.
const LONGEST_TOKEN: u64 = 64 * 1024;

/// Why there are no credentials.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CredentialsError {
    /// The plugin's program is not there.
    #[error("the credential plugin `{plugin}` is not installed on this machine")]
    Missing {
        /// Its command.
        plugin: String,
        /// What the kubeconfig says about installing it.
        install: Option<String>,
    },
    /// The plugin cannot be run.
    #[error("the credential plugin `{plugin}` cannot be run: {why}")]
    NotStarted {
        /// Its command.
        plugin: String,
        /// Why.
        why: String,
    },
    /// The plugin wants a person.
    #[error("the credential plugin `{plugin}` wants a terminal (`interactiveMode: Always`), and a run has none")]
    Interactive {
        /// Its command.
        plugin: String,
    },
    /// The plugin takes too long.
    #[error("the credential plugin `{plugin}` did not finish within {} s{}", limit.as_secs_f32(), after_colon(said))]
    Slow {
        /// Its command.
        plugin: String,
        /// What it was given.
        limit: Duration,
        /// What it complained, shortened.
        said: String,
    },
    /// The plugin failed.
    #[error("the credential plugin `{plugin}` {how}{}", after_colon(said))]
    Failed {
        /// Its command.
        plugin: String,
        /// How it ended.
        how: String,
        /// What it complained, shortened.
        said: String,
    },
    /// The plugin did not print credentials.
    #[error("the credential plugin `{plugin}` gave nothing that could be used: {what}")]
    Garbled {
        /// Its command.
        plugin: String,
        /// What is wrong.
        what: String,
    },
    /// The token's file cannot be read.
    #[error("the token's file {path} cannot be used: {why}")]
    TokenFile {
        /// The file.
        path: String,
        /// Why.
        why: String,
    },
    /// The credentials are there and cannot be used.
    #[error("no client for the Kubernetes API could be made of the credentials: {why}")]
    Unusable {
        /// Why.
        why: String,
    },
    /// They are still being asked for.
    #[error("the credentials for the Kubernetes API were not there in time: they are still being asked for")]
    StillAsking,
}

fn after_colon(said: &str) -> String {
    if said.is_empty() { String::new() } else { format!(": {said}") }
}

impl CredentialsError {
    /// What to do about it.
    pub fn hint(&self) -> String {
        match self {
            Self::Missing { install: Some(install), .. } => format!("install it: {install}"),
            Self::Missing { plugin, install: None } => format!("install it, or mend the PATH: `command -v {plugin}` has to find it"),
            Self::NotStarted { .. } => "check that it may be executed, and `exec` in the kubeconfig".to_owned(),
            Self::Interactive { .. } => "use an account that needs no person: a token's file, or a plugin that keeps its login".to_owned(),
            Self::Slow { .. } => {
                "log in by hand first (`kubectl get namespaces` with the same context), or give it more time: `exec_timeout` in the environment"
                    .to_owned()
            }
            Self::Failed { .. } | Self::Garbled { .. } => {
                "log in again, then see that `kubectl get namespaces` works with the same context".to_owned()
            }
            Self::TokenFile { .. } => "check `tokenFile` in the kubeconfig, and who may read that file".to_owned(),
            Self::Unusable { .. } => "check the certificates and keys in the kubeconfig".to_owned(),
            Self::StillAsking => "it is tried again; log in by hand where it waits for you".to_owned(),
        }
    }
}

/// Set while a request waits for its credentials: then nothing of it has been sent.
#[derive(Clone, Debug, Default)]
pub(super) struct Waiting(Arc<AtomicBool>);

impl Waiting {
    pub(super) fn is_set(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }

    fn set(&self, waiting: bool) {
        self.0.store(waiting, Ordering::SeqCst);
    }
}

/// A client as long as its credentials are good.
struct Held {
    client: kube::Client,
    token: Option<SecretString>,
    since: Instant,
    /// When it is to be renewed, by the wall clock: that is what credentials expire by.
    renew: Option<Timestamp>,
}

/// A cluster's login, with the client that it gave last.
pub(super) struct Fresh {
    login: Login,
    held: Mutex<Option<Held>>,
    renewing: tokio::sync::Mutex<()>,
    failed: Mutex<Option<(Instant, CredentialsError)>>,
}

impl Fresh {
    pub(super) fn new(login: Login) -> Arc<Self> {
        Arc::new(Self { login, held: Mutex::default(), renewing: tokio::sync::Mutex::default(), failed: Mutex::default() })
    }

    /// The client for people above: each request goes through the one that is good then.
    pub(super) fn handle(self: &Arc<Self>) -> kube::Client {
        kube::Client::new(Handle(Arc::clone(self)), self.login.namespace().to_owned())
    }

    /// A client whose credentials are good.
    pub(super) async fn client(self: &Arc<Self>) -> Result<kube::Client, CredentialsError> {
        if let Some(client) = self.current() {
            return Ok(client);
        }
        let (this, asked) = (Arc::clone(self), Instant::now());
        // A task of its own: a request that gives up does not take the renewal with it.
        match tokio::spawn(async move { this.renew(asked).await }).await {
            Ok(result) => result,
            Err(error) => Err(CredentialsError::Unusable { why: chain(&error) }),
        }
    }

    fn current(&self) -> Option<kube::Client> {
        let held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        held.as_ref().filter(|held| held.renew.is_none_or(|renew| Timestamp::now() < renew)).map(|held| held.client.clone())
    }

    async fn renew(&self, asked: Instant) -> Result<kube::Client, CredentialsError> {
        let _one_at_a_time = self.renewing.lock().await;
        if let Some(client) = self.current() {
            return Ok(client);
        }
        // Whoever waited for a renewal that failed fails with it, and does not have it done again.
        if let Some((at, error)) = &*self.failed.lock().unwrap_or_else(PoisonError::into_inner)
            && *at >= asked
        {
            return Err(error.clone());
        }
        let renewed = self.obtain().await;
        match renewed {
            Ok(held) => {
                let client = held.client.clone();
                *self.held.lock().unwrap_or_else(PoisonError::into_inner) = Some(held);
                Ok(client)
            }
            Err(error) => {
                *self.failed.lock().unwrap_or_else(PoisonError::into_inner) = Some((Instant::now(), error.clone()));
                Err(error)
            }
        }
    }

    async fn obtain(&self) -> Result<Held, CredentialsError> {
        let mut config = self.login.config.clone();
        let (token, renew) = match &self.login.source {
            CredentialSource::Fixed => return held(config, None, None),
            CredentialSource::TokenFile(path) => {
                let renew = Timestamp::now().checked_add(FILE_AGAIN).ok();
                match token_of(path).await {
                    Ok(token) => (Some(token), renew),
                    // Some hand a token's file over and remove it: the last one read is good until the server says otherwise.
                    Err(error) => match self.last_token() {
                        Some(token) => (Some(token), renew),
                        None => return Err(error),
                    },
                }
            }
            CredentialSource::Plugin(plugin) => {
                let given = plugin.run().await?;
                if let Some((certificate, key)) = given.certificate {
                    let encoded = |text: &str| base64::engine::general_purpose::STANDARD.encode(text);
                    config.auth_info.client_certificate_data = Some(encoded(&certificate));
                    config.auth_info.client_key_data = Some(encoded(key.expose_secret()).into());
                }
                (given.token, given.expires.map(|at| renewal(at, Timestamp::now())))
            }
        };
        config.auth_info.token = token.clone();
        held(config, token, renew)
    }

    fn last_token(&self) -> Option<SecretString> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner).as_ref().and_then(|held| held.token.clone())
    }

    /// The server did not accept the credentials: the next request has new ones, where there could be some.
    fn refused(&self) {
        if matches!(self.login.source, CredentialSource::Fixed) {
            return;
        }
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(held) = held.as_mut().filter(|held| held.since.elapsed() >= REFUSED_AGAIN) {
            held.renew = Some(Timestamp::UNIX_EPOCH);
        }
    }
}

/// When credentials that expire then are renewed: a minute before, or in the middle of a shorter life.
fn renewal(expires: Timestamp, now: Timestamp) -> Timestamp {
    let life = Duration::try_from(expires.duration_since(now)).unwrap_or_default();
    expires.checked_sub(AHEAD.min(life / 2)).unwrap_or(expires)
}

fn held(config: kube::Config, token: Option<SecretString>, renew: Option<Timestamp>) -> Result<Held, CredentialsError> {
    let client = kube::Client::try_from(config).map_err(|error| CredentialsError::Unusable { why: chain(&error) })?;
    Ok(Held { client, token, since: Instant::now(), renew })
}

async fn token_of(path: &std::path::Path) -> Result<SecretString, CredentialsError> {
    use tokio::io::AsyncReadExt;
    let wrong = |why: String| CredentialsError::TokenFile { path: path.display().to_string(), why };
    let about = tokio::fs::metadata(path).await.map_err(|error| wrong(chain(&error)))?;
    if !about.is_file() {
        return Err(wrong("it is not a file".to_owned()));
    }
    let mut text = String::new();
    let file = tokio::fs::File::open(path).await.map_err(|error| wrong(chain(&error)))?;
    file.take(LONGEST_TOKEN + 1).read_to_string(&mut text).await.map_err(|error| wrong(chain(&error)))?;
    let token = text.trim();
    if token.is_empty() || text.len() as u64 > LONGEST_TOKEN || token.chars().any(|c| c.is_whitespace() || c.is_control()) {
        let what = if token.is_empty() { "it is empty" } else { "what it holds is no token" };
        return Err(wrong(what.to_owned()));
    }
    Ok(token.to_owned().into())
}

/// The service under the client that others hold.
struct Handle(Arc<Fresh>);

impl tower_service::Service<Request<Body>> for Handle {
    type Response = Response<Body>;
    type Error = Box<dyn std::error::Error + Send + Sync>;
    type Future = BoxFuture<'static, Result<Self::Response, Self::Error>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let fresh = Arc::clone(&self.0);
        let waiting = request.extensions().get::<Waiting>().cloned().unwrap_or_default();
        waiting.set(true);
        Box::pin(async move {
            let client = fresh.client().await?;
            waiting.set(false);
            let response = client.send(request).await?;
            if response.status() == http::StatusCode::UNAUTHORIZED {
                fresh.refused();
            }
            Ok(response)
        })
    }
}

#[cfg(test)]
#[path = "credentials_tests.rs"]
mod tests;
