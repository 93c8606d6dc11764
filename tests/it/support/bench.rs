//! Actions on a cluster, called as the engine calls them.
//!
//! It must not know the sandbox. Invariant: every wait has an end and says what it waited for.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use http::Method;
use runsheet::environment::KubeCall;
use runsheet::model::catalogue::Catalogue;
use runsheet::model::change::{Change, Swap};
use runsheet::model::id::{RunId, StepPath};
use runsheet::model::intent::Intent;
use runsheet::model::outcome::{Applied, Failure, Followed, Verdict};
use runsheet::model::step::Rollback;
use runsheet::ports::action::{Action, Actions, Context, Inputs, Log, Plan};
use serde_json::{Value, json};

use super::PATIENCE;
use super::control_plane::{Cluster, NAMESPACE, SandboxCluster};
use super::real::{Namespace, Proxy, RealCluster};

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

/// The same tests on the sandbox and on a real control plane: functions that take a [`Bench`].
macro_rules! on_both {
    ($($test:ident),* $(,)?) => {
        mod sandbox {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $test() {
                super::$test(crate::support::Bench::sandbox().await).await;
            })*
        }
        mod real_cluster {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $test() {
                super::$test(crate::support::Bench::real().await).await;
            })*
        }
    };
}
pub(crate) use on_both;

/// What an action is tried on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum On {
    /// The sandbox.
    Sandbox,
    /// A real control plane.
    Real,
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
    /// On a fresh cluster of this kind.
    pub async fn start(on: On) -> Self {
        match on {
            On::Sandbox => Self::sandbox().await,
            On::Real => Self::real().await,
        }
    }

    /// On a fresh sandbox.
    pub async fn sandbox() -> Self {
        Self::on(Box::new(SandboxCluster::start().await))
    }

    /// In a fresh namespace of a real control plane.
    pub async fn real() -> Self {
        Self::on(Box::new(RealCluster::start().await))
    }

    /// In a fresh namespace of a real control plane, with what stands in front of it.
    pub async fn behind_proxy() -> (Self, Arc<Proxy>, Arc<Namespace>) {
        let cluster = RealCluster::start().await;
        let (proxy, namespace) = (Arc::clone(cluster.proxy()), Arc::clone(cluster.own_namespace()));
        (Self::on(Box::new(cluster)), proxy, namespace)
    }

    /// On this cluster.
    pub fn on(cluster: Box<dyn Cluster>) -> Self {
        let connections = cluster.connections();
        let client = connections.kube_client().expect("a client of the cluster");
        Self { actions: Actions::new(runsheet::actions::builtin(&connections)), client, cluster, log: Arc::default() }
    }

    /// An action with its inputs, as a step of its own.
    pub fn step(&self, action: &str, inputs: Value) -> Step<'_> {
        self.step_of(&self.actions, action, inputs)
    }

    /// The same as another account than the administrator.
    pub fn step_as(&self, account: &str, action: &str, inputs: Value) -> Step<'_> {
        let actions = Actions::new(runsheet::actions::builtin(&self.cluster.connections_as(account)));
        self.step_of(&actions, action, inputs)
    }

    /// What there is to know about every action.
    pub fn catalogue(&self) -> Catalogue {
        self.actions.catalogue()
    }

    fn step_of(&self, actions: &Actions, action: &str, inputs: Value) -> Step<'_> {
        let action = Arc::clone(actions.get(action).expect("an action"));
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

    /// A path with the cluster's own namespace.
    fn here(&self, path: &str) -> String {
        path.replace(&format!("/namespaces/{NAMESPACE}"), &format!("/namespaces/{}", self.cluster.namespace()))
    }

    /// An object as it is.
    pub async fn get(&self, path: &str) -> Option<Value> {
        let reply = KubeCall::get(self.here(path), PATIENCE).send(&self.client).await.expect("an answer");
        match reply.status {
            404 => None,
            200 => Some(reply.body),
            status => panic!("GET {path}: {status}: {}", reply.body),
        }
    }

    /// A request as it is; the status and the answer.
    pub async fn ask(&self, method: Method, path: &str, media: &'static str, body: Value) -> (u16, Value) {
        let call = KubeCall { method, path: self.here(path), body: Some((media, body)), timeout: PATIENCE };
        let reply = call.send(&self.client).await.expect("an answer");
        (reply.status, reply.body)
    }

    /// Applies (server-side) as this manager does, which takes what it wants.
    pub async fn apply_as(&self, manager: &str, path: &str, object: Value) -> Value {
        let path = format!("{path}?fieldManager={manager}&force=true");
        let (status, body) = self.ask(Method::PATCH, &path, "application/apply-patch+yaml", object).await;
        assert!((200..300).contains(&status), "{path}: {status}: {body}");
        body
    }

    /// Deletes an object and makes another under its name, which is as it was.
    pub async fn make_anew(&self, object: &str) {
        let was = self.get(object).await.expect("an object");
        self.delete(object).await;
        let metadata = &was["metadata"];
        let mut anew = json!({ "apiVersion": was["apiVersion"], "kind": was["kind"], "metadata": { "name": metadata["name"], "labels": metadata["labels"] } });
        for part in ["spec", "data"] {
            if !was[part].is_null() {
                anew[part] = was[part].clone();
            }
        }
        self.create(object.rsplit_once('/').expect("a collection").0, anew).await;
    }

    /// Deletes an object as somebody else does, and waits until it is gone.
    pub async fn delete(&self, object: &str) {
        self.write(Method::DELETE, object, "application/json", json!({ "propagationPolicy": "Background" })).await;
        self.until("it is gone", || async { self.get(object).await.is_none().then_some(()) }).await;
    }

    /// Writes as somebody else does.
    #[track_caller]
    pub fn write<'a>(&'a self, method: Method, path: &'a str, media: &'static str, body: Value) -> impl Future<Output = Value> + 'a {
        let at = std::panic::Location::caller();
        async move {
            let path_with_owner = format!("{}?fieldManager=somebody-else", self.here(path));
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

    /// Changes an object as somebody else does, by a strategic merge patch; an object of a definition (CRD), which knows none, by a merge patch.
    #[track_caller]
    pub fn patch<'a>(&'a self, path: &'a str, patch: Value) -> impl Future<Output = Value> + 'a {
        let custom = path.starts_with("/apis/keda.sh/");
        let media = if custom { "application/merge-patch+json" } else { "application/strategic-merge-patch+json" };
        self.write(Method::PATCH, path, media, patch)
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
