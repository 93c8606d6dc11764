//! The inputs of `k8s.job`, and the Job that is made of them.
//!
//! Must not ask anything. Invariant: every attempt of one doing of a step makes the very same Job, under the same name.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::actions::kubernetes::created::marked;
use crate::actions::kubernetes::namespace;
use crate::actions::kubernetes::workload::is_name;
use crate::actions::support::{DurationText, parse, whole};
use crate::model::duration::Span;
use crate::model::outcome::Failure;
use crate::model::run::TargetSpec;
use crate::ports::action::Inputs;

/// The action's name.
pub(super) const NAME: &str = "k8s.job";
/// How much of the idempotency key a Job's name holds.
const SUFFIX: usize = 10;

/// The inputs of `k8s.job`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Input {
    /// What the Job is called, at most 52 characters; a suffix is added that is the same for every attempt of one doing.
    pub(super) name: String,
    /// The image. This or `from`.
    image: Option<String>,
    /// The command as a list of words; the image's own where it is left out.
    #[serde(default)]
    command: Vec<String>,
    /// Its arguments as a list of words; the image's own where they are left out.
    #[serde(default)]
    args: Vec<String>,
    /// Environment variables: names and texts. They are stored; give secrets by the Job's service account or a CronJob.
    #[serde(default)]
    env: BTreeMap<String, String>,
    /// The service account its pod runs as; the namespace's default where it is left out.
    service_account: Option<String>,
    /// The CPU it requests, and may use at most: `500m`.
    cpu: Option<String>,
    /// The memory it requests, and may use at most: `256Mi`.
    memory: Option<String>,
    /// A CronJob whose Job is run now, as it stands there: `cronjob/NAME`. Instead of `image` and all that goes with it.
    from: Option<String>,
    /// How long the Job may take, waiting for its pod included (`activeDeadlineSeconds`); `10m` where it is left out.
    #[schemars(with = "Option<DurationText>")]
    timeout: Option<Span>,
    /// How many more pods are tried after one that failed; 0 where it is left out.
    #[serde(default, deserialize_with = "whole")]
    #[schemars(range(min = 0, max = 100))]
    backoff_limit: i32,
    /// How long the Job stays there after its end, at least `1m`; `1h` where it is left out. What came of it can be told for as long.
    #[schemars(with = "Option<DurationText>")]
    ttl: Option<Span>,
    /// Its namespace; the environment's (`target.kubernetes.namespace`) where it is left out.
    namespace: Option<String>,
}

impl Input {
    pub(super) fn of(inputs: &Inputs, target: Option<&TargetSpec>) -> Result<(Self, String), Failure> {
        let input: Self = parse(NAME, inputs)?;
        let refused = |message: String, hint: &str| Err(Failure::permanent(message).hint(hint.to_owned()));
        if !is_name(&input.name) || input.name.contains('.') || input.name.len() > 63 - SUFFIX - 1 {
            let shown: String = input.name.chars().take(80).collect();
            return refused(format!("`{shown}` is not a Job's name"), "lower-case letters, digits and `-`, at most 52 of them");
        }
        let given = [!input.command.is_empty(), !input.args.is_empty(), !input.env.is_empty(), input.service_account.is_some()];
        let limits = [input.cpu.is_some(), input.memory.is_some()];
        match (&input.image, &input.from) {
            (None, None) => return refused(format!("{NAME} needs an image to run"), "give `image`, or `from: cronjob/NAME`"),
            (Some(_), Some(_)) => return refused(format!("{NAME} takes `image` or `from`, not both"), "leave one of them out"),
            (None, Some(_)) if given.into_iter().chain(limits).any(|given| given) => {
                return refused(
                    format!("with `from`, {NAME} runs the CronJob's Job as it stands there"),
                    "leave command, args, env, service_account, cpu and memory out",
                );
            }
            _ => {}
        }
        if input.from.is_some() && input.cron_job().is_none() {
            return refused(format!("`{}` names no CronJob", input.from.as_deref().unwrap_or_default()), "write `cronjob/NAME`");
        }
        if input.ttl() < Span::seconds(60) {
            return refused(format!("a `ttl` of {} is too short: what came of the Job could not be told", input.ttl()), "at least `1m`");
        }
        if input.backoff_limit < 0 {
            return refused(format!("backoff_limit cannot be {}", input.backoff_limit), "0 or more");
        }
        let namespace = namespace(input.namespace.as_deref(), target)?;
        Ok((input, namespace))
    }

    /// The CronJob whose Job is run.
    pub(super) fn cron_job(&self) -> Option<&str> {
        self.from.as_deref()?.strip_prefix("cronjob/").filter(|name| is_name(name))
    }

    /// How long the Job stays after its end.
    pub(super) fn ttl(&self) -> Span {
        self.ttl.unwrap_or(Span::seconds(3600))
    }

    /// How long the Job may take.
    pub(super) fn timeout(&self) -> Span {
        self.timeout.unwrap_or(Span::seconds(600)).max(Span::seconds(1))
    }

    /// The Job's name for one doing of the step.
    pub(super) fn job_name(&self, key: &str) -> String {
        let suffix: String = key.chars().take(SUFFIX).collect();
        format!("{}-{suffix}", self.name)
    }

    /// The Job. `template`: the `spec` of a CronJob's Job.
    pub(super) fn manifest(&self, namespace: &str, key: &str, template: Option<&Value>) -> Value {
        let mut spec = template.cloned().unwrap_or_else(|| json!({ "template": { "spec": self.pod() } }));
        spec["backoffLimit"] = json!(self.backoff_limit);
        spec["activeDeadlineSeconds"] = json!(self.timeout().0.as_secs().max(1));
        spec["ttlSecondsAfterFinished"] = json!(self.ttl().0.as_secs());
        let metadata =
            json!({ "name": self.job_name(key), "namespace": namespace, "labels": { "app.kubernetes.io/managed-by": "runsheet" } });
        marked(json!({ "apiVersion": "batch/v1", "kind": "Job", "metadata": metadata, "spec": spec }), key)
    }

    fn pod(&self) -> Value {
        let mut container = Map::new();
        container.insert("name".to_owned(), json!("job"));
        container.insert("image".to_owned(), json!(self.image));
        for (field, words) in [("command", &self.command), ("args", &self.args)] {
            if !words.is_empty() {
                container.insert(field.to_owned(), json!(words));
            }
        }
        if !self.env.is_empty() {
            let env: Vec<Value> = self.env.iter().map(|(name, value)| json!({ "name": name, "value": value })).collect();
            container.insert("env".to_owned(), json!(env));
        }
        let given = [("cpu", &self.cpu), ("memory", &self.memory)];
        let resources: Map<String, Value> =
            given.into_iter().filter_map(|(name, amount)| Some((name.to_owned(), json!(amount.as_ref()?)))).collect();
        if !resources.is_empty() {
            container.insert("resources".to_owned(), json!({ "requests": resources, "limits": resources }));
        }
        let mut pod = Map::new();
        pod.insert("restartPolicy".to_owned(), json!("Never"));
        if let Some(account) = &self.service_account {
            pod.insert("serviceAccountName".to_owned(), json!(account));
        }
        pod.insert("containers".to_owned(), json!([container]));
        Value::Object(pod)
    }
}
