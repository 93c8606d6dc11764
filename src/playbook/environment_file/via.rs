//! The key `via` of an environment: each host with the way that leads there.
//!
//! Must not reach anything. Invariant: what is read here can be an argument of `ssh` and a part of a path as it stands; nothing in it begins an option.

use std::net::Ipv6Addr;

use super::super::yaml::Node;
use super::reading::EnvironmentReader;
use crate::model::environment::{ForwardEnd, PortName, Via, Way};

/// How ways are written.
const FORMS: &str = "write `k8s:service/NAME:PORT`, `k8s:pod/NAME:PORT` or `ssh:HOST`";

impl EnvironmentReader<'_> {
    /// `namespace` is the cluster's; `None` where the file names no cluster.
    pub(super) fn via(&mut self, node: &Node, namespace: Option<&str>) -> Vec<Via> {
        let mut all: Vec<Via> = Vec::new();
        for (key, value) in self.inner.entries(node, "`via`") {
            let place = host_and_port(&key.name);
            if place.is_none() {
                let message = format!("`{}` is no host: `HOST` or `HOST:PORT`, without `https://` or a path", key.name);
                self.inner.problems.hint("wrong-value", key.span, message, "write the host as URLs and systems name it");
            }
            let Some(text) = self.inner.text(value, &format!("the way to `{}`", key.name)) else { continue };
            let way = match way(&text, namespace.unwrap_or_default()) {
                Ok(Way::PortForward { .. }) if namespace.is_none() => {
                    let message = format!("`{text}` is a port-forward, and this environment names no cluster");
                    self.inner.problems.hint("wrong-value", value.span, message, "add the key `kubernetes`");
                    continue;
                }
                Ok(way) => way,
                Err(why) => {
                    self.inner.problems.hint("wrong-value", value.span, format!("`{text}` is no way to a host: {why}"), FORMS);
                    continue;
                }
            };
            let Some((host, port)) = place else { continue };
            if all.iter().any(|known| known.host == host && known.port == port) {
                let message = format!("there are two ways to `{}`", key.name);
                self.inner.problems.hint("duplicate-key", key.span, message, "keep one of them");
            }
            all.push(Via { host, port, way });
        }
        all
    }
}

/// The host in lower case, and its port.
fn host_and_port(key: &str) -> Option<(String, Option<u16>)> {
    let (host, port) = split(key)?;
    let port = port.map(|port| port.parse::<u16>().ok().filter(|port| *port > 0)).map_or(Some(None), |port| port.map(Some))?;
    Some((host.to_ascii_lowercase(), port))
}

/// The parts of `HOST:PORT`, `[ADDRESS]:PORT` or a host alone, where the host is one.
fn split(text: &str) -> Option<(&str, Option<&str>)> {
    if let Some(rest) = text.strip_prefix('[') {
        let (address, rest) = rest.split_once(']')?;
        address.parse::<Ipv6Addr>().ok()?;
        let port = if rest.is_empty() { None } else { Some(rest.strip_prefix(':')?) };
        return Some((address, port));
    }
    let (host, port) = text.split_once(':').map_or((text, None), |(host, port)| (host, Some(port)));
    is_word(host).then_some((host, port))
}

/// Letters, digits, `.`, `_` and `-`, which none of them begins with.
fn is_word(text: &str) -> bool {
    (1..=253).contains(&text.len())
        && !text.starts_with(['-', '.'])
        && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-'))
}

fn way(text: &str, namespace: &str) -> Result<Way, String> {
    if let Some(rest) = text.strip_prefix("k8s:") {
        return port_forward(rest, namespace);
    }
    match text.strip_prefix("ssh:") {
        Some(rest) => ssh(rest),
        None => Err("it begins with neither `k8s:` nor `ssh:`".to_owned()),
    }
}

fn port_forward(text: &str, namespace: &str) -> Result<Way, String> {
    let (object, port) = text.split_once(':').map_or((text, None), |(object, port)| (object, Some(port)));
    let parts: Vec<&str> = object.split('/').collect();
    let (namespace, kind, name) = match parts.as_slice() {
        [kind, name] => (namespace, *kind, *name),
        [namespace, kind, name] => (*namespace, *kind, *name),
        _ => return Err("after `k8s:` comes `service/NAME` or `pod/NAME`".to_owned()),
    };
    let is_name = |name: &str| {
        is_word(name)
            && !name.ends_with(['-', '.'])
            && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '.'))
    };
    if !namespace.is_empty() && (!is_name(namespace) || namespace.contains('.')) {
        return Err(format!("`{namespace}` is not the name of a namespace"));
    }
    if !is_name(name) {
        return Err(format!("`{name}` is not the name of an object"));
    }
    let end = match kind {
        "service" => ForwardEnd::Service(name.to_owned()),
        "pod" => ForwardEnd::Pod(name.to_owned()),
        other => return Err(format!("`{other}` is neither `service` nor `pod`")),
    };
    let port =
        port.map(|port| port_name(port).ok_or_else(|| format!("`{port}` is neither the number of a port nor its name"))).transpose()?;
    Ok(Way::PortForward { namespace: namespace.to_owned(), end, port })
}

fn port_name(text: &str) -> Option<PortName> {
    if text.chars().all(|c| c.is_ascii_digit()) {
        return text.parse::<u16>().ok().filter(|port| *port > 0).map(PortName::Number);
    }
    let good = (1..=63).contains(&text.len()) && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
    good.then(|| PortName::Name(text.to_owned()))
}

fn ssh(text: &str) -> Result<Way, String> {
    let (user, place) = text.rsplit_once('@').map_or((None, text), |(user, place)| (Some(user), place));
    if let Some(user) = user.filter(|user| !is_word(user)) {
        return Err(format!("`{}` is not the name of an account", user.split(':').next().unwrap_or_default()));
    }
    let (host, port) = split(place).ok_or_else(|| format!("`{place}` is not a host"))?;
    let number =
        |port: &str| port.parse::<u16>().ok().filter(|port| *port > 0).ok_or_else(|| format!("`{port}` is not the number of a port"));
    Ok(Way::Ssh { user: user.map(str::to_owned), host: host.to_owned(), port: port.map(number).transpose()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_way_reads_the_same_when_it_is_shown() {
        for (text, shown) in [
            ("k8s:service/ticket-service:80", "k8s:production/service/ticket-service:80"),
            ("k8s:data/service/rabbitmq:amqp", "k8s:data/service/rabbitmq:amqp"),
            ("k8s:pod/rabbitmq-0", "k8s:production/pod/rabbitmq-0"),
            ("ssh:bastion.example", "ssh:bastion.example"),
            ("ssh:ana@bastion.example:2222", "ssh:ana@bastion.example:2222"),
            ("ssh:[2001:db8::1]:22", "ssh:[2001:db8::1]:22"),
        ] {
            let read = way(text, "production").unwrap_or_else(|why| panic!("{text}: {why}"));
            assert_eq!(read.to_string(), shown);
            assert_eq!(way(shown, "other"), Ok(read), "{shown}");
        }
    }

    #[test]
    fn what_is_no_way_is_refused_with_the_reason() {
        for (text, why) in [
            ("http://bastion", "it begins with neither `k8s:` nor `ssh:`"),
            ("k8s:ticket-service", "after `k8s:` comes `service/NAME`"),
            ("k8s:deployment/x:80", "`deployment` is neither `service` nor `pod`"),
            ("k8s:service/X:80", "`X` is not the name of an object"),
            ("k8s:service/x:0", "`0` is neither the number of a port nor its name"),
            ("k8s:service/x:70000", "`70000` is neither"),
            ("ssh:", "`` is not a host"),
            ("ssh:-oProxyCommand=x", "is not a host"),
            ("ssh:-l@bastion", "`-l` is not the name of an account"),
            ("ssh:ana:hunter2@bastion", "`ana` is not the name of an account"),
            ("ssh:bastion:ssh", "`ssh` is not the number of a port"),
        ] {
            let error = way(text, "production").unwrap_err();
            assert!(error.contains(why) && !error.contains("hunter2"), "{text}: {error}");
        }
        assert!(way("k8s:a/b/../x", "n").is_err());
    }

    #[test]
    fn a_host_is_named_as_urls_name_it() {
        assert_eq!(host_and_port("DB.internal"), Some(("db.internal".to_owned(), None)));
        assert_eq!(host_and_port("db.internal:5432"), Some(("db.internal".to_owned(), Some(5432))));
        assert_eq!(host_and_port("[::1]:80"), Some(("::1".to_owned(), Some(80))));
        for other in ["http://x", "x/y", "", "x:0", "x:y", "[x]", "-x"] {
            assert_eq!(host_and_port(other), None, "{other}");
        }
    }
}
