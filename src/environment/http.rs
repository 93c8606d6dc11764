//! HTTP clients: each reaches one URL, through the target's own routes, with the TLS settings that were asked for.
//!
//! Must not send anything. Invariant: no client tries a request again by itself; credentials never follow a redirect to another origin; in a
//! confined environment no client can leave it.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderValue;
use url::Url;

use super::connections::{ConnectionError, Connections};
use super::kubernetes::chain;
use super::tls;
use super::via::{Reach, is_loopback};

/// The most redirects that a read follows.
const REDIRECTS: usize = 5;

/// How a URL is to be reached.
#[derive(Clone, Debug)]
pub struct HttpOptions {
    /// How long a connection may take to be made, TLS included.
    pub connect_timeout: Duration,
    /// Whether redirects are followed. Never for a write.
    pub follow_redirects: bool,
    /// Whether the request carries credentials: then only redirects within the same origin are followed.
    pub credentials: bool,
    /// PEM certificates to be trusted beside the machine's.
    pub ca_file: Option<PathBuf>,
    /// Whether any certificate will do.
    pub insecure: bool,
    /// The name that the server's certificate is checked against, where it is not the URL's host.
    pub server_name: Option<String>,
}

/// A client, with the URL and `Host` header that make it reach what was meant.
#[derive(Clone, Debug)]
pub struct HttpRoute {
    /// The client, for this URL only.
    pub client: reqwest::Client,
    /// The URL to be requested.
    pub url: Url,
    /// The `Host` header to be sent, where it is not the URL's.
    pub host: Option<HeaderValue>,
    /// The way, which is there as long as this is held.
    pub reach: Arc<Reach>,
}

impl Connections {
    /// A client for this URL.
    ///
    /// # Errors
    /// [`ConnectionError`]
    pub async fn http_client(&self, url: &Url, options: &HttpOptions) -> Result<HttpRoute, ConnectionError> {
        tls::install();
        let host = url.host_str().ok_or_else(|| ConnectionError::NoHost { url: url.to_string() })?.to_owned();
        let port = url.port_or_known_default().unwrap_or(443);
        let reach = self.reach_within(&host, port, options.connect_timeout).await?;
        let mapped = reach.address();
        // Another port of the same host would not be at the address of this one.
        let strict = options.credentials || self.is_confined() || mapped.is_some();
        let mut builder = reqwest::Client::builder()
            .user_agent(concat!("runsheet/", env!("CARGO_PKG_VERSION")))
            .retry(reqwest::retry::never())
            .connect_timeout(options.connect_timeout)
            .redirect(if options.follow_redirects { redirects(strict) } else { reqwest::redirect::Policy::none() });
        if mapped.is_some() || is_loopback(&host) {
            builder = builder.no_proxy();
        }
        let mut target = url.clone();
        let mut host_header = None;
        let mut addresses: Option<Vec<SocketAddr>> = mapped.map(|address| vec![address]);
        if let Some(name) = &options.server_name {
            if addresses.is_none() {
                addresses = Some(reach.addresses().await?);
            }
            target.set_host(Some(name)).map_err(|_| ConnectionError::ServerName { name: name.clone() })?;
            host_header = HeaderValue::from_str(authority(url, &host).as_str()).ok();
        }
        if let Some(addresses) = addresses {
            if url.port().is_some() {
                // A port in the URL would win over the mapped address's.
                let _ = target.set_port(None);
                host_header = HeaderValue::from_str(authority(url, &host).as_str()).ok();
            }
            let name = target.host_str().unwrap_or_default().to_owned();
            builder = builder.resolve_to_addrs(&name, &addresses);
        }
        builder = if url.scheme() == "http" && (strict || !options.follow_redirects) {
            builder.tls_backend_preconfigured(tls::trusting_nobody())
        } else {
            with_certificates(builder, options)?
        };
        let client = builder.build().map_err(|error| ConnectionError::Client { why: chain(&error) })?;
        Ok(HttpRoute { client, url: target, host: host_header, reach: Arc::new(reach) })
    }
}

fn authority(url: &Url, host: &str) -> String {
    url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}

fn with_certificates(mut builder: reqwest::ClientBuilder, options: &HttpOptions) -> Result<reqwest::ClientBuilder, ConnectionError> {
    if let Some(path) = &options.ca_file {
        let wrong = |why: String| ConnectionError::CaFile { path: path.clone(), why };
        let pem = std::fs::read(path).map_err(|error| wrong(chain(&error)))?;
        let certificates = reqwest::Certificate::from_pem_bundle(&pem).map_err(|error| wrong(chain(&error)))?;
        if certificates.is_empty() {
            return Err(wrong("it holds no PEM certificate".to_owned()));
        }
        builder = builder.tls_certs_merge(certificates);
    }
    Ok(if options.insecure { builder.tls_danger_accept_invalid_certs(true) } else { builder })
}

fn redirects(strict: bool) -> reqwest::redirect::Policy {
    reqwest::redirect::Policy::custom(move |attempt| {
        let same = attempt.previous().first().is_some_and(|first| first.origin() == attempt.url().origin());
        if attempt.previous().len() > REDIRECTS || (strict && !same) { attempt.stop() } else { attempt.follow() }
    })
}
