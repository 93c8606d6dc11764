//! From the tree to the definition, key by key.
//!
//! Must not stop at the first mistake. Invariant: every key is either read or reported.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use super::super::reader::Reader;
use super::super::yaml::{Kind, Node};
use super::words::Hidden;
use crate::model::duration::Span;
use crate::model::environment::{ClusterAccount, EnvironmentDefinition, KubernetesTarget, SANDBOX, SYSTEMS, TlsMode};
use crate::model::notification::{Confirm, NotifyRule, NotifyTo, Occasion, WebhookUrl};

/// The keys of an environment.
const KEYS: &[&str] = &[
    "environment",
    "summary",
    "confirm",
    "kubernetes",
    "argocd",
    "aws",
    "postgres",
    "pgbouncer",
    "prometheus",
    "rabbitmq",
    "redis",
    "via",
    "secrets",
    "notify",
    "values",
];
/// How long a credential plugin may take, where the file does not say.
const EXEC_TIMEOUT: Span = Span::seconds(60);
/// The longest that a credential plugin may be given.
const LONGEST_EXEC_TIMEOUT: Span = Span::seconds(300);

/// What reading an environment carries along.
pub(super) struct EnvironmentReader<'f> {
    pub(super) inner: Reader<'f>,
    /// What no diagnostic may quote.
    pub(super) hidden: Vec<Hidden>,
    path: &'f Path,
    home: Option<&'f Path>,
}

impl<'f> EnvironmentReader<'f> {
    pub(super) fn new(inner: Reader<'f>, path: &'f Path, home: Option<&'f Path>) -> Self {
        Self { inner, hidden: Vec::new(), path, home }
    }

    /// The whole file.
    pub(super) fn environment(&mut self, root: &Node) -> Option<EnvironmentDefinition> {
        self.inner.map(root, "an environment", KEYS)?;
        let filled = |key: &str| root.get(key).filter(|node| !matches!(node.kind, Kind::Null));
        let confirms = [(Confirm::Yes.as_str(), Confirm::Yes), (Confirm::Name.as_str(), Confirm::Name)];
        let kubernetes = filled("kubernetes").and_then(|at| self.kubernetes(at));
        let namespace = filled("kubernetes").map(|_| kubernetes.as_ref().map_or("", |kubernetes| kubernetes.namespace.as_str()));
        Some(EnvironmentDefinition {
            name: self.name(root),
            summary: filled("summary").and_then(|at| self.inner.text(at, "`summary`")).unwrap_or_default(),
            file: self.path.to_owned(),
            confirm: filled("confirm").and_then(|at| self.inner.choice(at, "`confirm`", &confirms)).unwrap_or_default(),
            argocd: filled("argocd").and_then(|at| self.argocd(at)),
            aws: filled("aws").and_then(|at| self.aws(at)),
            postgres: filled("postgres").and_then(|at| self.postgres(at)),
            prometheus: filled("prometheus").and_then(|at| self.prometheus(at)),
            rabbitmq: filled("rabbitmq").and_then(|at| self.rabbitmq(at)),
            redis: filled("redis").and_then(|at| self.redis(at)),
            pgbouncer: filled("pgbouncer").and_then(|at| self.pgbouncer(at)),
            via: filled("via").map(|at| self.via(at, namespace)).unwrap_or_default(),
            secrets: filled("secrets").map(|at| self.secrets(at)).unwrap_or_default(),
            notify: filled("notify").map(|at| self.notify(at)).unwrap_or_default(),
            values: filled("values").map(|at| self.values(at)).unwrap_or_default(),
            kubernetes,
        })
    }

    fn name(&mut self, root: &Node) -> String {
        let stem = self.path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
        let Some(at) = root.get("environment") else {
            let top = self.inner.file.place(root.span.start, 1);
            self.inner.missing(top, "an environment", "environment", &format!("begin with `environment: {stem}`"));
            return stem;
        };
        let name = self.inner.text(at, "the name of an environment").unwrap_or_default();
        if name == SANDBOX || (stem == SANDBOX && !name.is_empty()) {
            let hint = "rename the file and what stands here; `--env sandbox` is always the simulated platform";
            self.inner.problems.hint("reserved-name", at.span, "`sandbox` is the name of the built-in environment", hint);
        } else if !name.is_empty() && self.inner.file_name(&name, at.span, "the name of an environment") && name != stem {
            let hint = format!("write `environment: {stem}`, or rename the file to {name}.yaml");
            self.inner.problems.hint("name", at.span, format!("the environment is called `{name}`, and its file {stem}.yaml"), hint);
        }
        name
    }

    fn kubernetes(&mut self, node: &Node) -> Option<KubernetesTarget> {
        let what = "`kubernetes`";
        self.inner.map(node, what, &["context", "in_cluster", "kubeconfig", "namespace", "cluster_uid", "proxy", "exec_timeout"])?;
        let account = self.account(node);
        let namespace = match node.get("namespace") {
            Some(at) => self.inner.text(at, "`namespace`").filter(|name| self.label(name, at)),
            None => {
                self.inner.missing(node.span, what, "namespace", "name where steps act that name no namespace");
                None
            }
        };
        let uid = match node.get("cluster_uid") {
            Some(at) => self.inner.text(at, "`cluster_uid`").filter(|uid| self.uid(uid, at)).map(|uid| (uid, at.span.line)),
            None => {
                let hint = "it is the UID of the cluster's namespace kube-system, and keeps a run from acting on another cluster: \
                            `runsheet environment check` prints it";
                self.inner.problems.hint(super::NO_UID, node.span, format!("{what} needs `cluster_uid`"), hint);
                Some((String::new(), node.span.line))
            }
        };
        let proxy = node.get("proxy").and_then(|at| self.url(at, "`proxy`"));
        let exec_timeout = match node.get("exec_timeout") {
            None => Some(EXEC_TIMEOUT),
            Some(at) => self.inner.duration(at, "`exec_timeout`").filter(|span| {
                let fits = (Span::millis(100)..=LONGEST_EXEC_TIMEOUT).contains(span);
                if !fits {
                    self.inner.problems.add("wrong-value", at.span, "`exec_timeout` is from 100ms to 5m");
                }
                fits
            }),
        };
        let (uid, line) = uid?;
        Some(KubernetesTarget {
            account: account?,
            namespace: namespace?,
            cluster_uid: uid,
            cluster_uid_line: line,
            proxy,
            exec_timeout: exec_timeout?,
        })
    }

    fn account(&mut self, node: &Node) -> Option<ClusterAccount> {
        let in_cluster = node.get("in_cluster").and_then(|at| self.inner.boolean(at, "`in_cluster`"));
        let kubeconfig = node.get("kubeconfig").and_then(|at| self.path(at, "`kubeconfig`"));
        match (node.get("context"), in_cluster) {
            (Some(at), Some(true)) => {
                self.inner.problems.add("wrong-value", at.span, "`context` and `in_cluster: true` exclude each other");
                None
            }
            (Some(at), _) => {
                let name = self.inner.text(at, "`context`").filter(|name| self.filled(name, at, "`context`"))?;
                Some(ClusterAccount::Context { name, kubeconfig })
            }
            (None, Some(true)) => {
                if let Some(at) = node.get("kubeconfig") {
                    let message = "`kubeconfig` and `in_cluster: true` exclude each other";
                    self.inner.problems.hint("wrong-value", at.span, message, "an account in the cluster needs no kubeconfig: remove this");
                }
                Some(ClusterAccount::InCluster)
            }
            (None, _) => {
                let hint = "name a context of the kubeconfig (`kubectl config get-contexts`), or write `in_cluster: true`";
                self.inner.missing(node.span, "`kubernetes`", "context", hint);
                None
            }
        }
    }

    fn secrets(&mut self, node: &Node) -> BTreeMap<String, crate::model::notification::SecretRef> {
        let mut secrets = BTreeMap::new();
        for (key, value) in self.inner.entries(node, "`secrets`") {
            self.inner.id(&key.name, key.span, "the name of a secret");
            if let Some(source) = self.secret_ref(value, &format!("the secret `{}`", key.name)) {
                secrets.insert(key.name.clone(), source);
            }
        }
        secrets
    }

    fn notify(&mut self, node: &Node) -> Vec<NotifyRule> {
        let mut rules = Vec::new();
        for item in self.inner.items(node, "`notify`") {
            if let Some(rule) = self.rule(item) {
                rules.push(rule);
            }
        }
        rules
    }

    fn rule(&mut self, node: &Node) -> Option<NotifyRule> {
        let what = "an entry of `notify`";
        self.inner.map(node, what, &["on", "webhook", "command"])?;
        let occasions = Occasion::ALL.map(|occasion| (occasion.as_str(), occasion));
        let names = Occasion::ALL.map(Occasion::as_str).join(", ");
        let mut on = Vec::new();
        match node.get("on") {
            None => self.inner.missing(node.span, what, "on", &format!("a list of: {names}")),
            Some(at) => {
                let items = self.inner.items(at, "`on`");
                if items.is_empty() && matches!(at.kind, Kind::List(_)) {
                    self.inner.problems.hint("wrong-value", at.span, "`on` names nothing", format!("a list of: {names}"));
                }
                on.extend(items.iter().filter_map(|item| self.inner.choice(item, "`on`", &occasions)));
                on.sort_unstable();
                on.dedup();
            }
        }
        let to = match (node.get("webhook"), node.get("command")) {
            (Some(at), None) => self.webhook(at),
            (None, Some(at)) => self.command(at),
            (Some(_), Some(at)) => {
                self.inner.problems.hint(
                    "wrong-value",
                    at.span,
                    "`webhook` and `command` exclude each other",
                    "write two entries, one for each",
                );
                None
            }
            (None, None) => {
                self.inner.missing(node.span, what, "webhook", "`webhook: { url: … }`, or `command: [PROGRAM, ARGUMENT, …]`");
                None
            }
        };
        (!on.is_empty()).then_some(NotifyRule { on, to: to? })
    }

    fn webhook(&mut self, node: &Node) -> Option<NotifyTo> {
        self.inner.map(node, "`webhook`", &["url", "bearer"])?;
        let bearer = node.get("bearer").and_then(|at| self.secret_ref(at, "`bearer`"));
        let url = match node.get("url") {
            None => {
                self.inner.missing(node.span, "`webhook`", "url", "`https://…`, or `{ env: NAME }` where the URL itself is a secret");
                None
            }
            Some(at) if matches!(at.kind, Kind::Map(_)) => self.secret_ref(at, "`url`").map(WebhookUrl::Secret),
            Some(at) => self.url(at, "`url`").map(WebhookUrl::Plain),
        };
        Some(NotifyTo::Webhook { url: url?, bearer })
    }

    fn command(&mut self, node: &Node) -> Option<NotifyTo> {
        let items = self.inner.items(node, "`command`");
        if items.is_empty() {
            if matches!(node.kind, Kind::List(_)) {
                self.inner.problems.hint("wrong-value", node.span, "`command` names no program", "write `[PROGRAM, ARGUMENT, …]`");
            }
            return None;
        }
        let argv: Vec<String> = items.iter().filter_map(|item| self.inner.text(item, "an argument of `command`")).collect();
        (argv.len() == items.len()).then_some(NotifyTo::Command { argv })
    }

    fn values(&mut self, node: &Node) -> Map<String, Value> {
        let mut values = Map::new();
        for (key, value) in self.inner.entries(node, "`values`") {
            self.inner.id(&key.name, key.span, "the name of a value");
            if SYSTEMS.contains(&key.name.as_str()) {
                let hint = format!("`target.{0}` is made from the key `{0}` at the top of the file: rename this", key.name);
                self.inner.problems.hint("clash", key.span, format!("a value cannot be called `{}`", key.name), hint);
                continue;
            }
            self.refuse_secrets(&key.name, value);
            values.insert(key.name.clone(), self.inner.literal(value, "`values`"));
        }
        values
    }

    /// An absolute URL without credentials in it.
    pub(super) fn url(&mut self, node: &Node, what: &str) -> Option<String> {
        let text = self.inner.text(node, what)?;
        if self.has_credentials(&text, node) {
            return None;
        }
        let parsed = url::Url::parse(&text).ok().filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
        if parsed.is_none() {
            self.inner.problems.add("wrong-value", node.span, format!("{what} is not an absolute URL: `https://HOST/PATH`"));
        }
        parsed.map(|_| text)
    }

    /// A file's path, absolute.
    pub(super) fn path(&mut self, node: &Node, what: &str) -> Option<PathBuf> {
        let text = self.inner.text(node, what)?;
        if !self.filled(&text, node, what) {
            return None;
        }
        let path = match (text.strip_prefix("~/"), self.home) {
            (Some(rest), Some(home)) => home.join(rest),
            (Some(_), None) => {
                let hint = "write the whole path, or set HOME";
                self.inner.problems.hint("wrong-value", node.span, format!("{what}: nothing says where `~` is"), hint);
                return None;
            }
            (None, _) => self.path.parent().map_or_else(|| PathBuf::from(&text), |folder| folder.join(&text)),
        };
        Some(path)
    }

    /// A text that has to be there.
    pub(super) fn needed(&mut self, node: &Node, what: &str, key: &'static str, hint: &str) -> Option<String> {
        let Some(at) = node.get(key) else {
            self.inner.missing(node.span, what, key, hint);
            return None;
        };
        let text = self.inner.text(at, &format!("`{key}`"))?;
        self.filled(&text, at, &format!("`{key}`")).then_some(text)
    }

    /// The key `port`; the system's own where it is left out.
    pub(super) fn port(&mut self, node: &Node, own: u16) -> Option<u16> {
        let Some(at) = node.get("port") else { return Some(own) };
        let port = self.inner.count(at, "`port`").and_then(|port| u16::try_from(port).ok());
        if port.is_none() {
            self.inner.problems.add("wrong-value", at.span, "`port` is a whole number from 1 to 65535");
        }
        port
    }

    /// The key `tls`.
    pub(super) fn tls(&mut self, node: &Node) -> Option<TlsMode> {
        let modes = TlsMode::ALL.map(|mode| (mode.as_str(), mode));
        node.get("tls").map_or(Some(TlsMode::default()), |at| self.inner.choice(at, "`tls`", &modes))
    }

    pub(super) fn filled(&mut self, text: &str, node: &Node, what: &str) -> bool {
        let filled = !text.trim().is_empty();
        if !filled {
            self.inner.problems.add("wrong-value", node.span, format!("{what} is empty"));
        }
        filled
    }

    /// What Kubernetes takes as the name of a namespace.
    pub(super) fn label(&mut self, name: &str, node: &Node) -> bool {
        let letters = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        let good = (1..=63).contains(&name.len()) && name.chars().all(letters) && !name.starts_with('-') && !name.ends_with('-');
        if !good {
            let message = "`namespace` is not the name of one: lower-case letters, digits and `-`, at most 63";
            self.inner.problems.add("wrong-value", node.span, message);
        }
        good
    }

    fn uid(&mut self, uid: &str, node: &Node) -> bool {
        let good = (1..=128).contains(&uid.len()) && uid.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
        if !good {
            let hint = "`runsheet environment check` prints the cluster's own";
            self.inner.problems.hint("wrong-value", node.span, "`cluster_uid` is not a UID: letters, digits and `-`", hint);
        }
        good
    }
}
