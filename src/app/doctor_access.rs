//! Which steps an account may not do: each permission that they need is asked of the cluster once, by SelfSubjectAccessReview.
//!
//! Must not change anything: a review is a question. Invariant: what the cluster does not answer is told as not known, never as allowed; at most
//! [`AT_ONCE`] questions are under way, and all of it ends within [`WITHIN`].

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures::StreamExt;
use http::Method;
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::doctor::{finding, good};
use super::doctor_kinds::{Kinds, Resolved, look_up, resolved};
use super::doctor_moot::{missing_groups, without_moot};
use super::environment_check::{Finding, Verdict};
use super::{App, AppError};
use crate::environment::{Environment, KubeCall, KubeError};
use crate::model::catalogue::Catalogue;
use crate::model::definition::Definition;
use crate::model::permission::{Extent, Need, Permission, Purpose};
use crate::planner::{self, NeedsAsked, StepNeeds};

/// How many questions are under way at most.
const AT_ONCE: usize = 8;
/// How long one answer may take.
pub(super) const TIMEOUT: Duration = Duration::from_secs(5);
/// How long all of them may take.
pub(super) const WITHIN: Duration = Duration::from_secs(60);

const ACCESS_REVIEWS: &str = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews";
const SUBJECT_REVIEWS: &str = "/apis/authentication.k8s.io/v1/selfsubjectreviews";

/// What an account may do.
#[derive(Debug, Serialize)]
pub struct AccessExam {
    /// Who it is, as the cluster knows it; `None` where it does not say.
    pub account: Option<String>,
    /// What concerns all playbooks.
    pub findings: Vec<Finding>,
    /// The playbooks that could be loaded.
    pub playbooks: Vec<PlaybookAccess>,
}

/// A playbook with what its steps lack.
#[derive(Debug, Serialize)]
pub struct PlaybookAccess {
    /// Its name.
    pub name: String,
    /// How many of its steps ask the cluster for anything.
    pub steps_asking: usize,
    /// Why a run of it would be refused, whatever the account may do; each reason with its steps.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub impossible: Option<String>,
    /// What to do about that.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub hints: Vec<String>,
    /// The steps that lack something, or of which something is not known.
    pub steps: Vec<StepAccess>,
}

impl PlaybookAccess {
    /// The worst that was found.
    pub fn verdict(&self) -> Verdict {
        let impossible = self.impossible.iter().map(|_| Verdict::Refused);
        self.steps.iter().flat_map(|step| &step.lacks).map(|lack| lack.verdict).chain(impossible).max().unwrap_or(Verdict::Good)
    }
}

/// A step with what it lacks.
#[derive(Debug, Serialize)]
pub struct StepAccess {
    /// Its path: `caller/step`.
    pub path: String,
    /// Its action.
    pub uses: String,
    /// What the account may not do, or what is not known of that.
    pub lacks: Vec<Lack>,
}

/// Something that a step lacks.
#[derive(Debug, Serialize)]
pub struct Lack {
    /// What is not allowed; `None` where it is not even known what is needed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub permission: Option<Permission>,
    /// What it is for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub purpose: Option<Purpose>,
    /// Where it is needed, if not always: `an autoscaler owns the replicas`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub needed_where: Option<&'static str>,
    /// Whether the step can be done all the same.
    pub verdict: Verdict,
    /// In words.
    pub text: String,
}

/// The cluster's answers; what was not answered is not in it.
type Answers = BTreeMap<Permission, bool>;

impl App {
    /// Asks the cluster for everything that the playbooks need. The parameters are those that are known.
    ///
    /// # Errors
    /// When the operating system gives no threads.
    pub(super) fn examine_access(
        &self,
        environment: &Environment,
        catalogue: &Catalogue,
        playbooks: &[(&Definition, &Map<String, Value>)],
    ) -> Result<AccessExam, AppError> {
        let target = &environment.spec;
        let needed: Vec<(&str, Vec<StepNeeds>)> = playbooks
            .iter()
            .map(|(definition, params)| {
                let asked = NeedsAsked { definition, catalogue, params, target };
                (definition.root.as_str(), planner::permissions(asked))
            })
            .collect();
        let mut impossible = Vec::with_capacity(playbooks.len());
        for (definition, params) in playbooks {
            let (steps, vars) = planner::foreseen_of(NeedsAsked { definition, catalogue, params, target });
            impossible.push(self.impossible(&steps, &vars, Some(target))?);
        }
        let steps = needed.iter().flat_map(|(_, steps)| steps);
        let missing = self.runtime()?.block_on(missing_groups(environment, steps));
        let needed: Vec<(&str, Vec<StepNeeds>)> =
            needed.into_iter().map(|(name, steps)| (name, steps.into_iter().map(|step| without_moot(step, &missing)).collect())).collect();
        let kinds: BTreeSet<Permission> = needed
            .iter()
            .flat_map(|(_, steps)| steps)
            .flat_map(|step| &step.needs.all)
            .map(|need| need.permission.clone())
            .filter(Permission::is_of_kind)
            .collect();
        let known = if kinds.is_empty() { Kinds::default() } else { self.runtime()?.block_on(look_up(environment, kinds)) };
        let needed: Vec<(&str, Vec<Resolved>)> =
            needed.into_iter().map(|(name, steps)| (name, steps.into_iter().map(|step| resolved(step, &known)).collect())).collect();
        let of_steps = needed.iter().flat_map(|(_, steps)| steps).flat_map(|(step, _)| &step.needs.all);
        let changes = of_steps.clone().any(|need| need.purpose == Purpose::Changes);
        let mut wanted: BTreeSet<Permission> = of_steps.map(|need| need.permission.clone()).collect();
        let namespace = target.values.get("kubernetes").and_then(|cluster| cluster.get("namespace")).and_then(Value::as_str);
        let leases: Vec<Permission> = match namespace {
            Some(namespace) if changes => ["get", "create", "update", "delete"]
                .map(|verb| Permission::new(verb, "coordination.k8s.io", "leases", Some(namespace)))
                .to_vec(),
            _ => Vec::new(),
        };
        wanted.extend(leases.iter().cloned());
        let ways = super::doctor_ways::permissions(environment);
        wanted.extend(ways.iter().cloned());
        let count = wanted.len();
        let (account, answers, unanswered) = self.runtime()?.block_on(ask_all(environment, wanted));
        let mut findings = Vec::new();
        findings.extend(unanswered.map(|unanswered| unanswered.finding(answers.len(), count)));
        findings.extend(locks(&leases, &answers));
        findings.extend(super::doctor_ways::judged(&ways, &answers));
        let playbooks = needed
            .into_iter()
            .zip(impossible)
            .map(|((name, steps), impossible)| PlaybookAccess {
                name: name.to_owned(),
                hints: impossible.iter().flat_map(|found| found.hints.clone()).collect(),
                impossible: impossible.map(|found| found.problems),
                steps_asking: steps.len(),
                steps: steps
                    .into_iter()
                    .map(|(step, first)| {
                        let judged = judged(&step, &answers);
                        StepAccess { lacks: first.into_iter().chain(judged.lacks).collect(), ..judged }
                    })
                    .filter(|step| !step.lacks.is_empty())
                    .collect(),
            })
            .collect();
        Ok(AccessExam { account, findings, playbooks })
    }
}

/// What of the locks between machines is missing.
fn locks(leases: &[Permission], answers: &Answers) -> Option<Finding> {
    let missing: Vec<&str> = leases.iter().filter(|lease| answers.get(*lease) == Some(&false)).map(|lease| lease.verb.as_str()).collect();
    let all = leases.first()?;
    if missing.is_empty() {
        let known = leases.iter().all(|lease| answers.contains_key(lease));
        return known.then(|| good("locks", "runs can lock what they change between machines, by Leases".to_owned()));
    }
    let text = format!("may not {}: locks hold on this machine only", Permission { verb: missing.join(", "), ..all.clone() });
    let hint = "allow `get`, `create`, `update` and `delete` on `leases` of coordination.k8s.io, or run from one machine alone";
    Some(finding("locks", Verdict::Notice, &text, Some(hint)))
}

/// What a step lacks, by the cluster's answers.
fn judged(step: &StepNeeds, answers: &Answers) -> StepAccess {
    let denied = |need: &&Need| answers.get(&need.permission) == Some(&false);
    let forward = |need: &&Need| need.purpose != Purpose::Reverts;
    let mut changes = step.needs.all.iter().filter(|need| need.purpose == Purpose::Changes).peekable();
    // Which of them it will be is decided by what is found; where none is allowed, that does not matter.
    let cannot = changes.peek().is_some() && changes.all(|need| denied(&need));
    let mut lacks = Vec::new();
    for need in step.needs.all.iter().filter(forward) {
        match answers.get(&need.permission) {
            Some(true) => {}
            Some(false) => lacks.push(lack(need, cannot)),
            None => lacks.push(unknown(need)),
        }
    }
    let told = |permission: &Permission, lacks: &[Lack]| lacks.iter().any(|lack| lack.permission.as_ref() == Some(permission));
    for need in step.needs.all.iter().filter(|need| need.purpose == Purpose::Reverts) {
        // What is missing on the way there is not told again for the way back.
        if denied(&need) && !told(&need.permission, &lacks) {
            lacks.push(lack(need, false));
        }
    }
    for what in &step.needs.untold {
        let text = format!("what it needs is not known before it runs, for want of {what}");
        lacks.push(Lack { permission: None, purpose: None, needed_where: None, verdict: Verdict::Notice, text });
    }
    StepAccess { path: step.path.to_string(), uses: step.uses.clone(), lacks }
}

fn lack(need: &Need, cannot_change: bool) -> Lack {
    let Need { permission, purpose, extent } = need;
    let who = if *purpose == Purpose::Reverts { "its rollback may not" } else { "may not" };
    let mut text = format!("{who} {permission}");
    match extent {
        Extent::Always => {}
        Extent::Where(condition) => text.push_str(&format!(", needed where {condition}")),
        Extent::Without(unknown) => text.push_str(&format!("; it can do without, and leaves open: {unknown}")),
    }
    let verdict = match (purpose, extent) {
        (Purpose::Reverts, _) | (_, Extent::Without(_)) => Verdict::Notice,
        (_, Extent::Always) => Verdict::Refused,
        (Purpose::Changes, Extent::Where(_)) if cannot_change => Verdict::Refused,
        (_, Extent::Where(_)) => Verdict::Notice,
    };
    let needed_where = if let Extent::Where(condition) = extent { Some(*condition) } else { None };
    Lack { permission: Some(permission.clone()), purpose: Some(*purpose), needed_where, verdict, text }
}

fn unknown(need: &Need) -> Lack {
    let text = format!("whether it may {} was not answered", need.permission);
    let (permission, purpose) = (Some(need.permission.clone()), Some(need.purpose));
    Lack { permission, purpose, needed_where: None, verdict: Verdict::Notice, text }
}

/// Why not all was answered.
enum Unanswered {
    Silent(KubeError),
    Status(u16, String),
    Late,
}

impl Unanswered {
    /// Whether another question may be answered all the same.
    fn may_pass(&self) -> bool {
        match self {
            Self::Silent(error) => matches!(error, KubeError::TimedOut { .. } | KubeError::Cut { .. }),
            Self::Status(status, _) => matches!(status, 429 | 500..=599),
            Self::Late => false,
        }
    }

    fn finding(self, answered: usize, count: usize) -> Finding {
        let so_far = format!("{answered} of {count} questions were answered");
        let (verdict, why, hint) = match self {
            Self::Silent(error) => {
                let hint = match &error {
                    KubeError::Credentials(error) => error.hint(),
                    _ => "check that the cluster can be reached from here".to_owned(),
                };
                (Verdict::Refused, error.to_string(), hint)
            }
            Self::Status(401, said) => (
                Verdict::Refused,
                format!("the credentials are not accepted (401){said}"),
                "renew the token of this environment".to_owned(),
            ),
            Self::Status(403, said) => (
                Verdict::Notice,
                format!("the account may not ask that (403){said}"),
                "allow `create` on `selfsubjectaccessreviews` of authorization.k8s.io: the ClusterRole system:basic-user has it".to_owned(),
            ),
            Self::Status(status, said) => (
                Verdict::Notice,
                format!("the cluster answers with status {status}{said}"),
                "it must serve authorization.k8s.io/v1; `kubectl auth can-i --list` asks the same".to_owned(),
            ),
            Self::Late => (
                Verdict::Notice,
                format!("the cluster was too slow: not all answers came within {} s", WITHIN.as_secs()),
                "ask for fewer playbooks at once".to_owned(),
            ),
        };
        let what = if answered == 0 { "what the account may do is not known" } else { "not all that the account may do is known" };
        finding("permissions", verdict, &format!("{what}: {why}; {so_far}"), Some(&hint))
    }
}

/// The account, the answers, and what kept the others from coming.
async fn ask_all(environment: &Environment, wanted: BTreeSet<Permission>) -> (Option<String>, Answers, Option<Unanswered>) {
    let mut answers = Answers::new();
    let client = match environment.connections.kube_client() {
        Ok(client) => client,
        Err(error) => return (None, answers, Some(Unanswered::Silent(KubeError::NotSent { why: error.to_string() }))),
    };
    let deadline = tokio::time::Instant::now() + WITHIN;
    let account = who(&client).await;
    let mut questions = Vec::with_capacity(wanted.len());
    for permission in wanted {
        questions.push(ask(&client, permission));
    }
    let mut missed = None;
    let mut stream = futures::stream::iter(questions).buffer_unordered(AT_ONCE);
    loop {
        match tokio::time::timeout_at(deadline, stream.next()).await {
            Ok(None) => return (account, answers, missed),
            Ok(Some(Ok((permission, allowed)))) => drop(answers.insert(permission, allowed)),
            Ok(Some(Err(unanswered))) if unanswered.may_pass() => drop(missed.get_or_insert(unanswered)),
            // What is said to one question would be said to the others.
            Ok(Some(Err(unanswered))) => return (account, answers, Some(unanswered)),
            Err(_) => return (account, answers, Some(Unanswered::Late)),
        }
    }
}

/// Who the account is. Clusters of before Kubernetes 1.28 do not say.
async fn who(client: &kube::Client) -> Option<String> {
    let review = json!({ "apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview" });
    let reply = post(client, SUBJECT_REVIEWS, review).await.ok()?;
    Some(reply.body.pointer("/status/userInfo/username")?.as_str()?.chars().take(200).collect())
}

async fn ask(client: &kube::Client, permission: Permission) -> Result<(Permission, bool), Unanswered> {
    let Permission { group, version: _, resource, subresource, verb, namespace, name } = &permission;
    let mut attributes = Map::new();
    let texts = [("group", group.as_str()), ("resource", resource), ("subresource", subresource), ("verb", verb)];
    let places = [("namespace", namespace.as_deref().unwrap_or_default()), ("name", name.as_deref().unwrap_or_default())];
    for (key, text) in texts.into_iter().chain(places).filter(|(_, text)| !text.is_empty()) {
        attributes.insert(key.to_owned(), json!(text));
    }
    let spec = json!({ "resourceAttributes": attributes });
    let review = json!({ "apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview", "spec": spec });
    let reply = post(client, ACCESS_REVIEWS, review).await.map_err(Unanswered::Silent)?;
    let allowed = reply.body.pointer("/status/allowed").and_then(Value::as_bool);
    match allowed.filter(|_| (200..300).contains(&reply.status)) {
        Some(allowed) => Ok((permission, allowed)),
        None => {
            let said = reply.body.get("message").and_then(Value::as_str).unwrap_or_default();
            let line: String = said.chars().map(|c| if c.is_control() { ' ' } else { c }).take(300).collect();
            Err(Unanswered::Status(reply.status, if line.is_empty() { line } else { format!(": {line}") }))
        }
    }
}

async fn post(client: &kube::Client, path: &str, review: Value) -> Result<crate::environment::KubeReply, KubeError> {
    let body = Some(("application/json", review));
    KubeCall { method: Method::POST, path: path.to_owned(), body, timeout: TIMEOUT }.send(client).await
}

#[cfg(test)]
#[path = "doctor_tests.rs"]
mod tests;
