//! Actions on a cluster, called as the engine calls them.
//!
//! It must not know the sandbox. Invariant: every wait has an end and says what it waited for.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use http::Method;
use runsheet::environment::KubeCall;
use runsheet::model::change::{Change, Swap};
use runsheet::model::id::{RunId, StepPath};
use runsheet::model::intent::Intent;
use runsheet::model::outcome::{Applied, Failure, Followed, Verdict};
use runsheet::model::step::Rollback;
use runsheet::ports::action::{Action, Actions, Context, Inputs, Log, Plan};
use serde_json::{Value, json};

use super::PATIENCE;
use super::control_plane::{Cluster, SandboxCluster};

/// What was logged.
#[derive(Default)]
pub struct Lines(Mutex<Vec<String>>);

impl Lines {
    /// All of it.
    pub fn text(&self) -> String {
        self.0.lock().expect("the lines").join("\n")
    }
}

impl Log for Lines {
    fn line(&self, line: &str) {
        self.0.lock().expect("the lines").push(line.to_owned());
    }

    fn part(&self, _: u64, _: u64, _: &str) {}

    fn redact(&self, text: &str) -> String {
        text.to_owned()
    }
}

/// A cluster and the actions on it.
pub struct Bench {
    /// The cluster.
    pub cluster: Box<dyn Cluster>,
    /// The log of every step.
    pub log: Arc<Lines>,
    actions: Actions,
    client: kube::Client,
}

impl Bench {
    /// On a fresh cluster.
    pub async fn start() -> Self {
        let cluster: Box<dyn Cluster> = Box::new(SandboxCluster::start().await);
        let connections = cluster.connections();
        let client = connections.kube_client().expect("a client of the cluster");
        Self { actions: Actions::new(runsheet::actions::builtin(&connections)), client, cluster, log: Arc::default() }
    }

    /// An action with its inputs, as a step of its own.
    pub fn step(&self, action: &str, inputs: Value) -> Step<'_> {
        let action = Arc::clone(self.actions.get(action).expect("an action"));
        // From the end: the first digits of an id are its time.
        let key: String = RunId::generate().to_string().chars().rev().filter(char::is_ascii_hexdigit).collect();
        let cx = Context {
            run: RunId::generate(),
            step: StepPath::new("step"),
            idempotency_key: key,
            attempt: 1,
            target: Some(self.cluster.target()),
            effect: action.entry().effect,
            timeout: None,
            log: Arc::clone(&self.log) as Arc<dyn Log>,
            files: std::env::temp_dir(),
        };
        Step { bench: self, action, cx, inputs: Inputs(inputs) }
    }

    /// An object as it is.
    pub async fn get(&self, path: &str) -> Option<Value> {
        let reply = KubeCall::get(path, PATIENCE).send(&self.client).await.expect("an answer");
        match reply.status {
            404 => None,
            200 => Some(reply.body),
            status => panic!("GET {path}: {status}: {}", reply.body),
        }
    }

    /// Writes as somebody else does.
    #[track_caller]
    pub fn write<'a>(&'a self, method: Method, path: &'a str, media: &'static str, body: Value) -> impl Future<Output = Value> + 'a {
        let at = std::panic::Location::caller();
        async move {
            let path_with_owner = format!("{path}?fieldManager=somebody-else");
            let call = KubeCall { method: method.clone(), path: path_with_owner, body: Some((media, body)), timeout: PATIENCE };
            let reply = call.send(&self.client).await.expect("an answer");
            assert!((200..300).contains(&reply.status), "{at}: {method} {path}: {}: {}", reply.status, reply.body);
            reply.body
        }
    }

    /// Creates an object as somebody else does.
    #[track_caller]
    pub fn create<'a>(&'a self, collection: &'a str, object: Value) -> impl Future<Output = Value> + 'a {
        self.write(Method::POST, collection, "application/json", object)
    }

    /// Changes an object as somebody else does, by a strategic merge patch.
    #[track_caller]
    pub fn patch<'a>(&'a self, path: &'a str, patch: Value) -> impl Future<Output = Value> + 'a {
        self.write(Method::PATCH, path, "application/strategic-merge-patch+json", patch)
    }

    /// The objects of a list.
    pub async fn list(&self, path: &str) -> Vec<Value> {
        let list = self.get(path).await.expect("a list");
        list["items"].as_array().cloned().unwrap_or_default()
    }

    /// Waits until it is so; what was asked for then.
    pub async fn until<T, F: Future<Output = Option<T>>>(&self, what: &str, mut ask: impl FnMut() -> F) -> T {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(found) = ask().await {
                return found;
            }
            assert!(Instant::now() < deadline, "waited in vain until {what}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

/// What somebody set in an object: without what servers and controllers write.
pub fn settled(object: Option<Value>) -> Option<Value> {
    let mut object = object?;
    let all = object.as_object_mut()?;
    all.remove("status");
    let metadata = all.get_mut("metadata").and_then(Value::as_object_mut)?;
    for field in ["resourceVersion", "managedFields", "generation"] {
        metadata.remove(field);
    }
    if let Some(annotations) = metadata.get_mut("annotations").and_then(Value::as_object_mut) {
        annotations.remove("deployment.kubernetes.io/revision");
        if annotations.is_empty() {
            metadata.remove("annotations");
        }
    }
    Some(object)
}

/// A step: an action with its inputs.
pub struct Step<'a> {
    bench: &'a Bench,
    pub action: Arc<dyn Action>,
    pub cx: Context,
    pub inputs: Inputs,
}

impl Step<'_> {
    /// The same step, done again in another run.
    pub fn anew(&self) -> Self {
        let again = self.bench.step(&self.action.entry().name, self.inputs.0.clone());
        Self { bench: self.bench, action: again.action, cx: again.cx, inputs: again.inputs }
    }

    /// What it observes.
    pub async fn observe(&self) -> Result<Value, Failure> {
        self.action.observe(&self.cx, &self.inputs).await
    }

    /// What it plans.
    pub async fn try_plan(&self) -> Result<Plan, Failure> {
        let prior = self.observe().await?;
        let mut plan = self.action.plan(&self.cx, &self.inputs, &prior, &Rollback::Auto)?;
        plan.intent.prior = prior;
        Ok(plan)
    }

    /// The same, where it must.
    #[track_caller]
    pub fn plan(&self) -> impl Future<Output = Plan> {
        let at = std::panic::Location::caller();
        async move { self.try_plan().await.unwrap_or_else(|failure| panic!("{at}: {failure} ({:?})", failure.hint)) }
    }

    /// Applies an intent.
    pub async fn apply(&self, intent: &Intent) -> Applied {
        self.action.apply(&self.cx, &self.inputs, intent).await
    }

    /// Asks whether it happened.
    pub async fn verify(&self, intent: &Intent) -> Verdict {
        self.action.verify(&self.cx, &self.inputs, intent).await.expect("a verdict")
    }

    /// The live values.
    pub async fn live(&self, intent: &Intent) -> Vec<Option<Value>> {
        self.action.live(&self.cx, intent).await.expect("the live values")
    }

    /// Takes the whole intent back.
    pub async fn revert(&self, intent: &Intent) -> Applied {
        let swap = |change: &Change| Swap {
            object: change.object.clone(),
            field: change.field.clone(),
            label: change.label.clone(),
            from: change.after.clone(),
            to: change.prior.clone(),
        };
        let swaps: Vec<Swap> = intent.changes.iter().map(swap).collect();
        self.action.revert(&self.cx, intent, &swaps).await
    }

    /// Waits until the platform has followed what was taken back.
    pub async fn until_followed(&self, intent: &Intent) {
        let name = self.action.entry().name.clone();
        let last = Mutex::new(String::new());
        let ask = || async {
            match self.action.followed(&self.cx, intent).await.expect("whether it has followed") {
                Followed::Yes => Some(()),
                Followed::No { holds } => {
                    *last.lock().expect("what holds it") = holds;
                    None
                }
            }
        };
        let deadline = Instant::now() + PATIENCE;
        while ask().await.is_none() {
            assert!(Instant::now() < deadline, "{name}: nothing followed: {}", last.lock().expect("what holds it"));
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// A step that reads: planned and applied.
    pub async fn read(&self) -> Applied {
        let plan = self.plan().await;
        assert!(plan.intent.changes.is_empty(), "a read changes nothing");
        self.apply(&plan.intent).await
    }

    /// Its outputs, where it must have some.
    #[track_caller]
    pub fn outputs(&self) -> impl Future<Output = Value> {
        let at = std::panic::Location::caller();
        async move {
            match self.read().await {
                Applied::Applied { outputs } => outputs,
                other => panic!("{at}: {other:?}"),
            }
        }
    }

    /// Waits until its outputs are as wanted; them.
    pub async fn until_outputs(&self, what: &str, is: impl Fn(&Value) -> bool) -> Value {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let outputs = self.outputs().await;
            if is(&outputs) {
                return outputs;
            }
            assert!(Instant::now() < deadline, "waited in vain until {what}: {outputs:#}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

/// The Deployment of the tests with another name: its pods run this image and request so much CPU.
pub fn deployment(name: &str, replicas: u32, image: &str, cpu: &str) -> Value {
    let labels = json!({ "app": name });
    let container = json!({
        "name": "app", "image": image, "ports": [{ "name": "http", "containerPort": 8080 }],
        "resources": { "requests": { "cpu": cpu, "memory": "32Mi" } },
    });
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": { "name": name },
        "spec": { "replicas": replicas, "selector": { "matchLabels": labels }, "template": { "metadata": { "labels": labels }, "spec": { "containers": [container] } } },
    })
}
