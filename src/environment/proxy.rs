//! Which proxy requests to a cluster go through.
//!
//! Must not show a proxy's credentials. Invariant: what is named for this cluster wins over what is set for the machine, as in kubectl; loopback is
//! never reached through the machine's proxy.

use std::net::IpAddr;

use base64::Engine;
use http::Uri;
use hyper_util::client::proxy::matcher::Matcher;

use super::kubeconfig_error::KubeconfigError;

/// The proxy for a cluster: the environment's, else the kubeconfig's, else the machine's (`HTTPS_PROXY`, `NO_PROXY` and their kin).
pub(super) fn choose(cluster: &Uri, environment: Option<&str>, kubeconfig: Option<&str>) -> Result<Option<Uri>, KubeconfigError> {
    choose_with(cluster, environment, kubeconfig, &Matcher::from_env())
}

fn choose_with(
    cluster: &Uri,
    environment: Option<&str>,
    kubeconfig: Option<&str>,
    machine: &Matcher,
) -> Result<Option<Uri>, KubeconfigError> {
    let named = [("`proxy` of the environment", environment), ("`proxy-url` of the kubeconfig", kubeconfig)];
    for (from, url) in named {
        if let Some(url) = url.filter(|url| !url.is_empty()) {
            let parsed =
                url.parse::<Uri>().map_err(|_| KubeconfigError::Proxy { proxy: from.to_owned(), why: "it is not a URL".to_owned() });
            return usable(parsed?).map(Some);
        }
    }
    let host = cluster.host().unwrap_or_default();
    let loopback = host == "localhost" || host.trim_matches(['[', ']']).parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
    if loopback {
        return Ok(None);
    }
    let Some(found) = machine.intercept(cluster) else { return Ok(None) };
    // Its credentials are kept beside the URL; the client wants them within.
    let uri = match found.basic_auth().and_then(credentials) {
        None => found.uri().clone(),
        Some((user, password)) => {
            let encoded = |text: &str| percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string();
            let host = found.uri().authority().map(ToString::to_string).unwrap_or_default();
            let scheme = found.uri().scheme_str().unwrap_or("http");
            let whole = format!("{scheme}://{}:{}@{host}/", encoded(&user), encoded(&password));
            whole.parse().map_err(|_| KubeconfigError::Proxy { proxy: "of this machine".to_owned(), why: "it is not a URL".to_owned() })?
        }
    };
    usable(uri).map(Some)
}

/// The user and password of a `Proxy-Authorization` header.
fn credentials(header: &http::HeaderValue) -> Option<(String, String)> {
    let encoded = header.to_str().ok()?.strip_prefix("Basic ")?;
    let decoded = String::from_utf8(base64::engine::general_purpose::STANDARD.decode(encoded).ok()?).ok()?;
    decoded.split_once(':').map(|(user, password)| (user.to_owned(), password.to_owned()))
}

fn usable(uri: Uri) -> Result<Uri, KubeconfigError> {
    match uri.scheme_str() {
        Some("http" | "https") if uri.host().is_some() => Ok(uri),
        scheme => {
            let why = match scheme {
                Some(scheme) => format!("`{scheme}` is not supported"),
                None => "it does not begin with `http://`".to_owned(),
            };
            Err(KubeconfigError::Proxy { proxy: shown(&uri), why })
        }
    }
}

/// A proxy's URL without credentials.
pub(super) fn shown(uri: &Uri) -> String {
    let host = uri.authority().map(|authority| authority.as_str().rsplit('@').next().unwrap_or_default().to_owned()).unwrap_or_default();
    format!("{}://{host}", uri.scheme_str().unwrap_or("http"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(cluster: &str, environment: Option<&str>, kubeconfig: Option<&str>) -> Option<String> {
        let machine = Matcher::builder().https("http://ana:hunter2@machine:3128").no("internal.example,10.0.0.0/8,").build();
        choose_with(&cluster.parse().unwrap(), environment, kubeconfig, &machine).unwrap().map(|uri| uri.to_string())
    }

    #[test]
    fn what_is_named_for_the_cluster_wins() {
        let far = "https://api.example:6443";
        assert_eq!(chosen(far, Some("http://a:1"), Some("http://b:1")).unwrap(), "http://a:1/");
        assert_eq!(chosen(far, None, Some("http://b:1")).unwrap(), "http://b:1/");
        assert_eq!(chosen(far, None, Some("")).unwrap(), "http://ana:hunter2@machine:3128/");
        assert_eq!(chosen("https://api.internal.example", None, None), None, "NO_PROXY is about the cluster's host");
        assert_eq!(chosen("https://10.1.2.3:6443", None, None), None);
        assert_eq!(chosen("https://127.0.0.1:6443", None, None), None);
        assert_eq!(chosen("http://api.example", None, None), None, "HTTPS_PROXY is for https");
    }

    #[test]
    fn what_cannot_be_used_is_refused_without_its_credentials() {
        let refused = |proxy: &str| choose(&"https://api.example".parse().unwrap(), Some(proxy), None).unwrap_err().to_string();
        assert_eq!(refused("socks5://ana:hunter2@x:1"), "the proxy socks5://x:1 cannot be used: `socks5` is not supported");
        assert_eq!(refused("not a url"), "the proxy `proxy` of the environment cannot be used: it is not a URL");
        assert_eq!(shown(&"http://ana:hunter2@x:1".parse().unwrap()), "http://x:1");
    }
}
