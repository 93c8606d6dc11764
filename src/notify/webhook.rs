//! A webhook: a `POST` of the document, tried again where that can help.
//!
//! Must not write the URL's path anywhere: a chat's webhook is a secret. Invariant: bounded tries, each bounded in time; the answer's body is not read.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use url::Url;

use super::notice::Notice;
use super::notifier::{Limits, Settings};
use crate::environment::{Connections, HttpOptions, Redactor, SecretSource, SecretValues, error_chain, resolve};
use crate::model::notification::{Occasion, SecretRef, WebhookUrl};
use crate::model::playbook::SecretDeclaration;

/// One webhook.
pub(super) struct WebhookCall {
    url: Url,
    bearer: Option<SecretString>,
    connections: Arc<Connections>,
    limits: Limits,
}

/// What came of one try.
enum Tried {
    Told,
    /// It may work the next time.
    Again(String),
    Never(String),
}

impl WebhookCall {
    /// Reads its secrets, which are added to those that are kept out of texts.
    pub fn new(url: &WebhookUrl, bearer: Option<&SecretRef>, secrets: &mut SecretValues, settings: &Settings) -> Result<Self, String> {
        let bearer = bearer.map(|from| secret("the webhook's bearer token", from)).transpose()?;
        let text = match url {
            WebhookUrl::Plain(text) => SecretString::from(text.clone()),
            WebhookUrl::Secret(from) => {
                let value = secret("the webhook's URL", from)?;
                secrets.insert("webhook_url", value.clone());
                value
            }
        };
        if let Some(bearer) = &bearer {
            secrets.insert("webhook_bearer", bearer.clone());
        }
        let url = Url::parse(text.expose_secret().trim()).map_err(|error| format!("the webhook's URL is not one: {error}"))?;
        if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
            return Err("the webhook's URL is not one of `https://` (or `http://`) and a host".to_owned());
        }
        Ok(Self { url, bearer, connections: Arc::clone(&settings.connections), limits: settings.limits })
    }

    /// The webhook without what may be a secret: `webhook https://hooks.example`.
    pub fn name(&self) -> String {
        format!("webhook {}", self.url.origin().ascii_serialization())
    }

    /// Tells it.
    ///
    /// # Errors
    /// Why it could not be told, after the last try.
    pub async fn send(&self, notice: &Notice, occasion: Occasion, redactor: &Redactor) -> Result<(), String> {
        let body = notice.document(occasion, redactor).to_string();
        let mut pause = self.limits.pause;
        let mut tries = 0;
        loop {
            tries += 1;
            // The limit covers looking up the host's name too.
            let tried = tokio::time::timeout(self.limits.webhook, self.post(&body)).await;
            let why = match tried {
                Ok(Tried::Told) => return Ok(()),
                Ok(Tried::Never(why)) => return Err(why),
                Ok(Tried::Again(why)) => why,
                Err(_) => format!("no answer within {}", in_words(self.limits.webhook)),
            };
            if tries >= self.limits.tries {
                return Err(if tries == 1 { why } else { format!("{why} (tried {tries} times)") });
            }
            tokio::time::sleep(pause).await;
            pause *= 2;
        }
    }

    async fn post(&self, body: &str) -> Tried {
        let options = HttpOptions {
            connect_timeout: self.limits.webhook,
            follow_redirects: false,
            credentials: true,
            ca_file: None,
            insecure: false,
            server_name: None,
        };
        let route = match self.connections.http_client(&self.url, &options).await {
            Ok(route) => route,
            // Its texts name the host at most.
            Err(error) => return Tried::Never(error.to_string()),
        };
        let mut request = route.client.post(route.url).header(http::header::CONTENT_TYPE, "application/json").body(body.to_owned());
        if let Some(host) = route.host {
            request = request.header(http::header::HOST, host);
        }
        if let Some(bearer) = &self.bearer {
            request = request.bearer_auth(bearer.expose_secret());
        }
        match request.send().await {
            Ok(answer) => match answer.status().as_u16() {
                200..=299 => Tried::Told,
                status @ 500..=599 => Tried::Again(format!("it answered with status {status}")),
                status @ 300..=399 => Tried::Never(format!("it answered with status {status}, and redirects are not followed")),
                status => Tried::Never(format!("it answered with status {status}")),
            },
            Err(error) => Tried::Again(error_chain(&error.without_url())),
        }
    }
}

fn in_words(time: Duration) -> String {
    if time.as_secs() > 0 { format!("{} s", time.as_secs()) } else { format!("{} ms", time.as_millis()) }
}

/// A secret's value, by the same rules as a run's secrets.
fn secret(what: &str, from: &SecretRef) -> Result<SecretString, String> {
    let source = match from {
        SecretRef::Env(name) => SecretSource::Env(name.clone()),
        SecretRef::File(path) => SecretSource::File(path.clone()),
    };
    let declared = SecretDeclaration { name: what.to_owned(), env: None, help: None };
    let values = resolve(&[declared], &BTreeMap::from([(what.to_owned(), source)])).map_err(|error| error.to_string())?;
    values.get(what).cloned().ok_or_else(|| format!("{what} has no value"))
}
