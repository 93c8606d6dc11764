//! A kubeconfig's context, or a Pod's own account, as a way to a cluster.
//!
//! Must not send a request or run a plugin, and must not repeat a line of a kubeconfig: it holds credentials. Invariant: what is tried again, and for
//! how long, is never left to the client's defaults.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::Engine;
use http::{HeaderValue, header};
use kube::config::{AuthInfo, Cluster, Context, Kubeconfig};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use secrecy::SecretString;

use super::exec_plugin::ExecPlugin;
use super::kubeconfig_error::KubeconfigError;
use super::kubernetes::chain;
use super::proxy;

/// How long a connection may take to be made.
const CONNECT: Duration = Duration::from_secs(5);
/// The largest file that is read, in bytes.
const LARGEST: u64 = 4 * 1024 * 1024;
/// Where a Pod finds its account's token.
const ACCOUNT_TOKEN: &str = "/var/run/secrets/kubernetes.io/serviceaccount/token";

/// Which login is meant.
#[derive(Clone, Debug)]
pub struct KubeconfigOptions {
    /// The context; `None`: the current one.
    pub context: Option<String>,
    /// The file; `None`: those of `KUBECONFIG`, else `~/.kube/config`.
    pub file: Option<PathBuf>,
    /// A proxy that wins over the kubeconfig's and the machine's.
    pub proxy: Option<String>,
    /// How long a credential plugin may take.
    pub exec_timeout: Duration,
}

/// Where credentials come from.
#[derive(Clone, Debug)]
pub(super) enum CredentialSource {
    /// They stand in the kubeconfig.
    Fixed,
    /// A file, read again and again.
    TokenFile(PathBuf),
    /// A plugin.
    Plugin(Box<ExecPlugin>),
}

/// A way to a cluster. `Debug` shows no credential.
#[derive(Clone)]
pub struct Login {
    pub(super) config: kube::Config,
    pub(super) source: CredentialSource,
    url: String,
    context: Option<String>,
    user: Option<String>,
    unverified: bool,
}

impl std::fmt::Debug for Login {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Login").field("url", &self.url).field("context", &self.context).field("user", &self.user).finish_non_exhaustive()
    }
}

impl Login {
    /// From a kubeconfig.
    ///
    /// # Errors
    /// [`KubeconfigError`]
    pub fn from_kubeconfig(options: &KubeconfigOptions) -> Result<Self, KubeconfigError> {
        let (kubeconfig, from) = read(options.file.as_deref())?;
        let context = match options.context.clone().or_else(|| kubeconfig.current_context.clone().filter(|name| !name.is_empty())) {
            Some(context) => context,
            None => return Err(KubeconfigError::NoCurrentContext { from, known: contexts(&kubeconfig) }),
        };
        of(&kubeconfig, context, &from, options)
    }

    /// From the account of the Pod that this process runs in.
    ///
    /// # Errors
    /// [`KubeconfigError::NotInCluster`]
    pub fn in_cluster(proxy: Option<&str>) -> Result<Self, KubeconfigError> {
        let mut config = kube::Config::incluster_env().map_err(|error| KubeconfigError::NotInCluster { why: chain(&error) })?;
        let file = config.auth_info.token_file.take().unwrap_or_else(|| ACCOUNT_TOKEN.to_owned());
        let url = config.cluster_url.to_string();
        config.proxy_url = proxy::choose(&config.cluster_url, proxy, None)?;
        ours(&mut config);
        Ok(Self { config, source: CredentialSource::TokenFile(file.into()), url, context: None, user: None, unverified: false })
    }

    /// Where the API server is.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The kubeconfig's context; `None` for an account in the cluster.
    pub fn context(&self) -> Option<&str> {
        self.context.as_deref()
    }

    /// The kubeconfig's user.
    pub fn user(&self) -> Option<&str> {
        self.user.as_deref()
    }

    /// The namespace that the context names, or `default`.
    pub fn namespace(&self) -> &str {
        &self.config.default_namespace
    }

    /// Whether the server's certificate is not checked, because the kubeconfig says so.
    pub fn is_unverified(&self) -> bool {
        self.unverified
    }

    /// The proxy that requests go through, without credentials.
    pub fn proxy(&self) -> Option<String> {
        self.config.proxy_url.as_ref().map(proxy::shown)
    }
}

/// What is ours and not the kubeconfig's to say.
fn ours(config: &mut kube::Config) {
    super::tls::install();
    config.default_retry = false;
    config.connect_timeout = Some(CONNECT);
    // The whole request has a timeout of its own; these would cut idle connections.
    config.read_timeout = None;
    config.write_timeout = None;
    // The API server's audit log shows who asked.
    config.headers.push((header::USER_AGENT, HeaderValue::from_static(concat!("runsheet/", env!("CARGO_PKG_VERSION")))));
    if config.cluster_url.scheme_str() == Some("http") && config.root_cert.is_none() {
        // Plain HTTP must not depend on certificates on this machine.
        config.root_cert = Some(Vec::new());
    }
}

/// The files that would be read, in their order.
fn paths(file: Option<&Path>) -> Result<Vec<PathBuf>, KubeconfigError> {
    if let Some(file) = file {
        return Ok(vec![file.to_owned()]);
    }
    let listed: Vec<PathBuf> = std::env::var_os("KUBECONFIG")
        .map(|value| std::env::split_paths(&value).filter(|path| !path.as_os_str().is_empty()).collect())
        .unwrap_or_default();
    if !listed.is_empty() {
        return Ok(listed);
    }
    let home = std::env::home_dir().filter(|home| !home.as_os_str().is_empty());
    home.map(|home| vec![home.join(".kube/config")]).ok_or_else(|| KubeconfigError::NoFile { tried: Vec::new() })
}

/// What stands in the files, the first of each name winning, and the files that were there, for people.
fn read(file: Option<&Path>) -> Result<(Kubeconfig, String), KubeconfigError> {
    let tried = paths(file)?;
    let mut merged: Option<Kubeconfig> = None;
    let mut from = Vec::new();
    for path in &tried {
        let unreadable = |why: String| KubeconfigError::Unreadable { path: path.clone(), why };
        let about = match std::fs::metadata(path) {
            // As kubectl does: of several files, those that are not there are passed over.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            Err(error) => return Err(unreadable(chain(&error))),
            Ok(about) => about,
        };
        if !about.is_file() || about.len() > LARGEST {
            let why = if about.is_file() { format!("it is larger than {} MiB", LARGEST >> 20) } else { "it is not a file".to_owned() };
            return Err(unreadable(why));
        }
        let one = Kubeconfig::read_from(path).map_err(|error| unreadable(told(&error)))?;
        from.push(path.display().to_string());
        merged = Some(match merged {
            None => one,
            Some(others) => others.merge(one).map_err(|error| unreadable(told(&error)))?,
        });
    }
    match merged {
        Some(kubeconfig) => Ok((kubeconfig, from.join(" and "))),
        None => Err(KubeconfigError::NoFile { tried }),
    }
}

/// What is wrong with a kubeconfig, without what stands in it.
fn told(error: &kube::config::KubeconfigError) -> String {
    match error {
        kube::config::KubeconfigError::Parse(error) => match error.location() {
            Some(place) => format!("it is not the YAML of a kubeconfig, line {}, column {}", place.line(), place.column()),
            None => "it is not the YAML of a kubeconfig".to_owned(),
        },
        other => chain(other),
    }
}

fn contexts(kubeconfig: &Kubeconfig) -> Vec<String> {
    kubeconfig.contexts.iter().map(|context| context.name.clone()).collect::<BTreeSet<_>>().into_iter().collect()
}

fn of(kubeconfig: &Kubeconfig, name: String, from: &str, options: &KubeconfigOptions) -> Result<Login, KubeconfigError> {
    let context: &Context = kubeconfig
        .contexts
        .iter()
        .find(|context| context.name == name)
        .and_then(|context| context.context.as_ref())
        .ok_or_else(|| KubeconfigError::NoContext { context: name.clone(), from: from.to_owned(), known: contexts(kubeconfig) })?;
    let wrong = |what: String| KubeconfigError::Wrong { from: from.to_owned(), context: name.clone(), what };
    let cluster: &Cluster = kubeconfig
        .clusters
        .iter()
        .find(|cluster| cluster.name == context.cluster)
        .and_then(|cluster| cluster.cluster.as_ref())
        .ok_or_else(|| wrong(format!("its cluster `{}` is not there", context.cluster)))?;
    let user = context.user.clone().filter(|user| !user.is_empty());
    let mut account: AuthInfo = match &user {
        None => AuthInfo::default(),
        Some(user) => kubeconfig
            .auth_infos
            .iter()
            .find(|named| named.name == *user)
            .and_then(|named| named.auth_info.clone())
            .ok_or_else(|| wrong(format!("its user `{user}` is not there")))?,
    };
    let (server, within) = cluster
        .server
        .as_deref()
        .and_then(without_login)
        .ok_or_else(|| wrong(format!("its cluster `{}` has no `server` that is a URL", context.cluster)))?;
    if let Some((user, password)) = within
        && !has_login(&account)
    {
        (account.username, account.password) = (Some(user), Some(password));
    }
    let url: http::Uri = server
        .parse()
        .ok()
        .filter(|url: &http::Uri| matches!(url.scheme_str(), Some("http" | "https")) && url.host().is_some())
        .ok_or_else(|| wrong(format!("its cluster `{}` has no `server` that is a URL", context.cluster)))?;
    let mut config = kube::Config::new(url.clone());
    config.root_cert = authority(cluster).map_err(&wrong)?;
    config.accept_invalid_certs = cluster.insecure_skip_tls_verify.unwrap_or(false);
    config.tls_server_name = cluster.tls_server_name.clone().filter(|name| !name.is_empty());
    config.disable_compression = cluster.disable_compression.unwrap_or(false);
    if let Some(namespace) = context.namespace.clone().filter(|namespace| !namespace.is_empty()) {
        config.default_namespace = namespace;
    }
    config.proxy_url = proxy::choose(&url, options.proxy.as_deref(), cluster.proxy_url.as_deref())?;
    for (key, file) in [("client-certificate", &account.client_certificate), ("client-key", &account.client_key)] {
        if let Some(file) = file {
            readable(Path::new(file)).map_err(|why| wrong(format!("`{key}` of its user: {file} {why}")))?;
        }
    }
    let source = credentials(&mut account, cluster, options.exec_timeout).map_err(&wrong)?;
    config.auth_info = account;
    ours(&mut config);
    let unverified = config.accept_invalid_certs;
    Ok(Login { config, source, url: server.trim_end_matches('/').to_owned(), context: Some(name), user, unverified })
}

fn has_login(account: &AuthInfo) -> bool {
    let AuthInfo { username, token, token_file, client_certificate, client_certificate_data, exec, .. } = account;
    let texts = [username, token_file, client_certificate, client_certificate_data];
    texts.iter().any(|text| text.is_some()) || token.is_some() || exec.is_some()
}

/// A server's URL without the user and password that may stand in it, and these: the URL is shown to people.
fn without_login(server: &str) -> Option<(String, Option<(String, SecretString)>)> {
    let mut url = url::Url::parse(server).ok().filter(url::Url::has_host)?;
    let plain = |text: &str| percent_encoding::percent_decode_str(text).decode_utf8().ok().map(std::borrow::Cow::into_owned);
    let within = match (url.username(), url.password()) {
        ("", None) => return Some((server.to_owned(), None)),
        (user, password) => plain(user).zip(plain(password.unwrap_or_default()).map(SecretString::from)),
    };
    url.set_username("").and_then(|()| url.set_password(None)).ok()?;
    Some((url.to_string(), within))
}

/// Takes out of the account what has to be renewed, so that only this program renews it.
fn credentials(account: &mut AuthInfo, cluster: &Cluster, limit: Duration) -> Result<CredentialSource, String> {
    if let Some(provider) = account.auth_provider.take() {
        let name = provider.name;
        return Err(format!("its user has the auth-provider `{name}`, which Kubernetes 1.26 dropped: write an `exec` plugin in its place"));
    }
    let exec = account.exec.take();
    let file = account.token_file.take();
    if account.token.is_some() || (account.username.is_some() && account.password.is_some()) {
        return Ok(CredentialSource::Fixed);
    }
    if let Some(file) = file {
        return Ok(CredentialSource::TokenFile(file.into()));
    }
    let Some(mut config) = exec else { return Ok(CredentialSource::Fixed) };
    if config.command.as_deref().is_none_or(|command| command.trim().is_empty()) {
        return Err("its user's `exec` names no `command`".to_owned());
    }
    if config.provide_cluster_info {
        config.cluster = Some(cluster.try_into().map_err(|error| told(&error))?);
    }
    Ok(CredentialSource::Plugin(Box::new(ExecPlugin { config, limit })))
}

/// The certificates that the cluster's is to be signed by; `None`: those that this machine trusts.
fn authority(cluster: &Cluster) -> Result<Option<Vec<Vec<u8>>>, String> {
    let (pem, what) = if let Some(data) = cluster.certificate_authority_data.as_deref().filter(|data| !data.is_empty()) {
        let what = "`certificate-authority-data` of its cluster".to_owned();
        let pem = base64::engine::general_purpose::STANDARD.decode(data.trim()).map_err(|_| format!("{what} is not base64"))?;
        (pem, what)
    } else if let Some(file) = cluster.certificate_authority.as_deref().filter(|file| !file.is_empty()) {
        let what = format!("`certificate-authority` of its cluster: {file}");
        readable(Path::new(file)).map_err(|why| format!("{what} {why}"))?;
        let pem = std::fs::read(file).map_err(|error| format!("{what} cannot be read: {}", chain(&error)))?;
        (pem, what)
    } else {
        return Ok(None);
    };
    let certificates: Result<Vec<Vec<u8>>, _> =
        CertificateDer::pem_slice_iter(&pem).map(|one| one.map(|certificate| certificate.to_vec())).collect();
    match certificates {
        Ok(certificates) if !certificates.is_empty() => Ok(Some(certificates)),
        _ => Err(format!("{what} holds no PEM certificate")),
    }
}

/// Why a file cannot be read.
fn readable(file: &Path) -> Result<(), String> {
    match std::fs::File::open(file).and_then(|opened| opened.metadata()) {
        Ok(about) if about.is_file() && about.len() <= LARGEST => Ok(()),
        Ok(_) => Err("is not a file of a certificate or key".to_owned()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Err("is not there".to_owned()),
        Err(error) => Err(format!("cannot be read: {}", chain(&error))),
    }
}

#[cfg(test)]
#[path = "kubeconfig_tests.rs"]
mod tests;
