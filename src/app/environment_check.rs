//! Whether an environment's file is right, its systems can be reached and are the ones that are meant, and its secrets are there.
//!
//! Must not change anything on a target or show a secret. Invariant: every check ends within its time, and one that fails does not keep the others
//! from being done.

mod argocd;
mod aws;
mod brokers;
mod pgbouncer;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde::Serialize;
use serde_json::{Map, Value, json};

use super::{App, AppError};
use crate::environment::{Environment, IdentityError, KubeCall, SecretSource, resolve};
use crate::model::environment::{ClusterAccount, EnvironmentDefinition, KubernetesTarget, PostgresTarget, SANDBOX, TlsMode};
use crate::model::notification::{NotifyTo, SecretRef, WebhookUrl};
use crate::model::playbook::SecretDeclaration;
use crate::playbook::{self, Diagnostics, NO_UID};

/// How long a server may take to answer.
const TIMEOUT: Duration = Duration::from_secs(10);
/// How long a database server may take to let us in.
const CONNECT: Duration = Duration::from_secs(5);
/// The levels that the playbooks of this project know.
const LEVELS: [&str; 4] = ["low", "medium", "high", "critical"];

/// How a check came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// As it should be.
    Good,
    /// Worth knowing; runs can do without.
    Notice,
    /// The file, or what it needs on this machine, is wrong.
    Invalid,
    /// A run would be refused.
    Refused,
}

/// What was looked at, and how it came out.
#[derive(Clone, Debug, Serialize)]
pub struct Finding {
    /// What was looked at: `cluster`.
    pub what: String,
    /// How it came out.
    pub verdict: Verdict,
    /// In words.
    pub text: String,
    /// What to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

/// An environment that was checked.
#[derive(Debug, Serialize)]
pub struct EnvironmentCheck {
    /// Its name.
    pub name: String,
    /// What was looked at.
    pub findings: Vec<Finding>,
    /// What is wrong with its file.
    pub problems: Diagnostics,
}

impl EnvironmentCheck {
    /// The worst that was found.
    pub fn verdict(&self) -> Verdict {
        let has = |verdict| self.findings.iter().any(|finding| finding.verdict == verdict);
        match (has(Verdict::Refused), has(Verdict::Invalid) || !self.problems.is_empty(), has(Verdict::Notice)) {
            (_, true, _) if !self.problems.is_empty() => Verdict::Invalid,
            (true, _, _) => Verdict::Refused,
            (_, true, _) => Verdict::Invalid,
            (_, _, true) => Verdict::Notice,
            _ => Verdict::Good,
        }
    }

    pub(super) fn add(&mut self, what: &str, verdict: Verdict, text: impl Into<String>, hint: Option<String>) {
        self.findings.push(Finding { what: what.to_owned(), verdict, text: text.into(), hint });
    }

    pub(super) fn good(&mut self, what: &str, text: impl Into<String>) {
        self.add(what, Verdict::Good, text, None);
    }
}

impl App {
    /// Checks an environment.
    ///
    /// # Errors
    /// When there is none of that name, or the sandbox cannot be started.
    pub fn check_environment(&self, name: &str) -> Result<EnvironmentCheck, AppError> {
        let mut check = EnvironmentCheck { name: name.to_owned(), findings: Vec::new(), problems: Diagnostics::default() };
        if name == SANDBOX {
            let environment = self.environment_named(SANDBOX)?;
            self.check_cluster(&mut check, &environment, "the sandbox's folder", None)?;
            return Ok(check);
        }
        let file = self.environment_file(name);
        if file.symlink_metadata().is_err() {
            // It says what is wrong with the name.
            return self.environment_definition(name).map(|_| check);
        }
        let drafted = playbook::draft_environment(&file, std::env::home_dir().as_deref());
        // Whoever only lacks the UID is told it.
        let lacks_uid = !drafted.problems.is_empty() && drafted.problems.problems.iter().all(|problem| problem.code == NO_UID);
        let definition = match drafted.definition {
            Some(definition) if drafted.problems.is_empty() || lacks_uid => definition,
            _ => {
                check.problems = drafted.problems;
                return Ok(check);
            }
        };
        let shown = self.shown(&file);
        if lacks_uid {
            check.problems = drafted.problems;
        } else {
            check.good("file", format!("{shown} is valid"));
        }
        let uid_line = (!lacks_uid).then_some(()).and(definition.kubernetes.as_ref()).map(|kubernetes| kubernetes.cluster_uid_line);
        match Environment::of(definition.clone()) {
            Err(error) => check.add("kubeconfig", Verdict::Refused, error.to_string(), Some(error.hint())),
            Ok(environment) => {
                if let Some(kubernetes) = &definition.kubernetes {
                    login(&mut check, &environment, kubernetes);
                    self.check_cluster(&mut check, &environment, &shown, uid_line)?;
                }
                if let Some(place) = &definition.argocd {
                    self.runtime()?.block_on(argocd::check(&mut check, &environment, place));
                }
                self.runtime()?.block_on(super::environment_check_via::ways(&mut check, &environment, &definition));
            }
        }
        if definition.kubernetes.is_none() && definition.aws.is_none() {
            check.add(
                "identity",
                Verdict::Notice,
                "the file names neither a cluster nor an AWS account, so that nothing proves which environment this is: runs go to whatever answers at its \
                 addresses, and an open run is held to these addresses alone",
                Some("where it belongs to one of them, name that: `kubernetes` with `cluster_uid`, `aws` with `account`".to_owned()),
            );
        }
        secrets(&mut check, &definition);
        self.runtime()?.block_on(aws::account(&mut check, &definition, &shown));
        if let Some(postgres) = &definition.postgres {
            self.runtime()?.block_on(database(&mut check, &definition, postgres));
        }
        self.runtime()?.block_on(brokers::brokers(&mut check, &definition));
        self.runtime()?.block_on(pgbouncer::pooler(&mut check, &definition));
        capacity(&mut check, &definition.values);
        Ok(check)
    }

    fn check_cluster(
        &self,
        check: &mut EnvironmentCheck,
        environment: &Environment,
        file: &str,
        uid_line: Option<u32>,
    ) -> Result<(), AppError> {
        let runtime = self.runtime()?;
        let connections = &environment.connections;
        let Some(url) = connections.kubernetes().map(|access| access.url().to_owned()) else { return Ok(()) };
        let (live, took) = runtime.block_on(async {
            // How long the credentials take is not how long the cluster takes.
            let _ = connections.log_in().await;
            let begun = Instant::now();
            (connections.cluster_uid().await, begun.elapsed())
        });
        let live = match live {
            Ok(live) => live,
            Err(error) => {
                check.add("cluster", Verdict::Refused, error.to_string(), Some(error.hint()));
                return Ok(());
            }
        };
        check.good("cluster", format!("{url} answered within {} ms", took.as_millis().max(1)));
        let recorded = environment.spec.identity.get(crate::environment::KUBERNETES).and_then(Value::as_str).unwrap_or_default();
        if recorded.is_empty() {
            check.add(
                "uid",
                Verdict::Invalid,
                "the file does not say which cluster is meant",
                Some(format!("write `cluster_uid: {live}` under `kubernetes`")),
            );
        } else if recorded == live {
            check.good("uid", format!("it is the cluster that is meant: {live}"));
        } else {
            let place = uid_line.map_or_else(|| file.to_owned(), |line| format!("{file}:{line}"));
            let by = crate::environment::Recorded::InFile(place);
            let error = IdentityError::Different { what: "the cluster's UID".to_owned(), recorded: recorded.to_owned(), live, by };
            check.add("uid", Verdict::Refused, error.to_string(), Some(error.hint()));
        }
        let namespace =
            environment.spec.values.get("kubernetes").and_then(|kubernetes| kubernetes.get("namespace")).and_then(Value::as_str);
        if let Some(namespace) = namespace {
            runtime.block_on(check_namespace(check, environment, namespace));
        }
        Ok(())
    }
}

fn login(check: &mut EnvironmentCheck, environment: &Environment, kubernetes: &KubernetesTarget) {
    let Some(crate::environment::KubernetesAccess::Login(login)) = environment.connections.kubernetes() else { return };
    let mut text = match &kubernetes.account {
        ClusterAccount::InCluster => "the account of this Pod".to_owned(),
        ClusterAccount::Context { name, .. } => {
            let user = login.user().map_or_else(|| "without a user".to_owned(), |user| format!("as {user}"));
            format!("context {name} leads to {} {user}", login.url())
        }
    };
    if let Some(proxy) = login.proxy() {
        text.push_str(&format!(", through the proxy {proxy}"));
    }
    if login.is_unverified() {
        let hint = "give the cluster a `certificate-authority` in its place";
        text.push_str("; the server's certificate is not checked (`insecure-skip-tls-verify`)");
        check.add("kubeconfig", Verdict::Notice, text, Some(hint.to_owned()));
    } else {
        check.good("kubeconfig", text);
    }
}

async fn check_namespace(check: &mut EnvironmentCheck, environment: &Environment, namespace: &str) {
    let what = "namespace";
    let Ok(client) = environment.connections.kube_client() else { return };
    match KubeCall::get(format!("/api/v1/namespaces/{namespace}"), TIMEOUT).send(&client).await {
        Ok(reply) if reply.status == 200 => check.good(what, format!("{namespace} is there")),
        Ok(reply) if reply.status == 404 => {
            let hint = "correct `namespace`, or create it: a step that names none would fail";
            check.add(what, Verdict::Refused, format!("there is no namespace {namespace} in this cluster"), Some(hint.to_owned()));
        }
        Ok(reply) => {
            let text = format!("{namespace} may not be looked at: the answer has status {}", reply.status);
            check.add(what, Verdict::Notice, text, Some("let this account `get` the namespace".to_owned()));
        }
        Err(error) => check.add(what, Verdict::Refused, format!("{namespace} could not be looked at: {error}"), None),
    }
}

/// Every source of a secret that the file names, with what it is for.
fn sources(definition: &EnvironmentDefinition) -> Vec<(String, &SecretRef)> {
    let mut all: Vec<(String, &SecretRef)> = definition.secrets.iter().map(|(name, source)| (name.clone(), source)).collect();
    all.extend(definition.credentials().into_iter().map(|(place, source)| (place.to_owned(), source)));
    for (at, rule) in definition.notify.iter().enumerate() {
        if let NotifyTo::Webhook { url, bearer } = &rule.to {
            if let WebhookUrl::Secret(source) = url {
                all.push((format!("notify[{at}].webhook.url"), source));
            }
            all.extend(bearer.iter().map(|source| (format!("notify[{at}].webhook.bearer"), source)));
        }
    }
    all
}

fn secrets(check: &mut EnvironmentCheck, definition: &EnvironmentDefinition) {
    for (name, source) in sources(definition) {
        let declared = SecretDeclaration { name: name.clone(), env: None, help: None };
        match resolve(&[declared], &BTreeMap::from([(name.clone(), SecretSource::from(source))])) {
            Ok(_) => check.good("secret", format!("{name} comes from {source}")),
            Err(error) => check.add("secret", Verdict::Invalid, error.to_string(), None),
        }
    }
}

/// The environment for checks of its other systems: a kubeconfig that is wrong says nothing of them, unless the cluster is the way to them.
pub(super) fn reachable(definition: &EnvironmentDefinition) -> Option<Environment> {
    let without = || Environment::of(EnvironmentDefinition { kubernetes: None, ..definition.clone() });
    Environment::of(definition.clone()).or_else(|_| without()).ok()
}

/// Logs in and reads one setting, as the actions of databases do.
async fn database(check: &mut EnvironmentCheck, definition: &EnvironmentDefinition, postgres: &PostgresTarget) {
    let what = "postgres";
    let Some(environment) = reachable(definition) else { return };
    let connections = &environment.connections;
    let asked = json!({ "host": postgres.host, "port": postgres.port, "database": postgres.database, "user": postgres.user });
    let access = match connections.postgres_for(&asked) {
        Ok(access) => access,
        Err(error) => return check.add(what, Verdict::Refused, error.to_string(), Some(error.hint().to_owned())),
    };
    if let (Some(source), None) = (&postgres.password, &access.password) {
        let text = format!("{} was not asked: its password comes from {source}, which gives none", access.place());
        return check.add(what, Verdict::Invalid, text, None);
    }
    let begun = Instant::now();
    let answered = async { connections.postgres_session(&access, CONNECT).await?.rows("SHOW max_connections").await };
    match answered.await {
        Ok(rows) => {
            let most = rows.first().and_then(|row| row.first().cloned().flatten()).unwrap_or_else(|| "not told".to_owned());
            let took = begun.elapsed().as_millis().max(1);
            let text = format!("{} let {} in within {took} ms; max_connections {most}", access.place(), access.user);
            if access.tls == TlsMode::Require {
                let hint = "write `tls: verify-full`, with the server's `ca_file` where the machine does not know it";
                return check.add(what, Verdict::Notice, format!("{text}; the server's certificate is not checked"), Some(hint.to_owned()));
            }
            check.good(what, text);
        }
        Err(error) => check.add(what, Verdict::Refused, error.to_string(), Some(error.hint().to_owned())),
    }
}

/// The capacity table, as the playbooks of this project read it.
fn capacity(check: &mut EnvironmentCheck, values: &Map<String, Value>) {
    let hint =
        || Some("one entry for each level: `capacity: { low: { replicas: 2, rps: 500 }, medium: …, high: …, critical: … }`".to_owned());
    let Some(table) = values.get("capacity") else {
        return check.add("capacity", Verdict::Notice, "there is no capacity table: playbooks with levels cannot be run here", hint());
    };
    let Some(table) = table.as_object() else {
        return check.add("capacity", Verdict::Invalid, "`capacity` is no table of levels", hint());
    };
    let replicas = |level: &Value| level.get("replicas").and_then(Value::as_u64).filter(|replicas| *replicas >= 1);
    let wrong: Vec<&str> = table.iter().filter(|(_, level)| replicas(level).is_none()).map(|(name, _)| name.as_str()).collect();
    let missing: Vec<&str> = LEVELS.into_iter().filter(|level| !table.contains_key(*level)).collect();
    if !wrong.is_empty() {
        let text = format!("`replicas` has to be a whole number of at least 1: {}", wrong.join(", "));
        check.add("capacity", Verdict::Invalid, text, hint());
    } else if missing.is_empty() {
        check.good("capacity", "the capacity table has every level");
    } else {
        check.add("capacity", Verdict::Notice, format!("the capacity table has no level {}", missing.join(", ")), hint());
    }
}
