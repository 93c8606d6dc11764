//! The manifest that `k8s.apply` is given: what it is of, and what is refused of it.
//!
//! Must not ask anything. Invariant: a Secret is refused however it is spelled, and so is what only the server may write.

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::actions::kubernetes::object::{ObjectName, kind_word};
use crate::actions::kubernetes::permissions::{Asking, On};
use crate::actions::kubernetes::{argocd, namespace};
use crate::actions::support::{DurationText, parse};
use crate::environment::KUBERNETES;
use crate::model::by_hand::variables_in;
use crate::model::change::ObjectRef;
use crate::model::duration::Span;
use crate::model::outcome::Failure;
use crate::model::permission::{Extent, Needs, Purpose};
use crate::model::run::TargetSpec;
use crate::ports::action::Inputs;

/// The action's name.
pub(super) const NAME: &str = "k8s.apply";
/// The largest manifest, in bytes of JSON: it is kept in the journal, and so is what it changes.
const LARGEST: usize = 256 * 1024;

/// The inputs of `k8s.apply`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Input {
    /// The manifest: `apiVersion`, `kind`, `metadata.name` and the fields that are wanted. Never a Secret.
    object: Map<String, Value>,
    /// Whether fields that another manager owns are taken over. Otherwise that is refused, and their owners are named.
    #[serde(default)]
    pub(super) force: bool,
    /// Its namespace; the manifest's own or the environment's (`target.kubernetes.namespace`) where it is left out.
    namespace: Option<String>,
    /// How long a rollback waits for what was created to be gone; `10m` where it is left out.
    #[schemars(with = "Option<DurationText>")]
    pub(super) settle: Option<Span>,
}

/// A manifest that may be applied.
#[derive(Clone, Debug)]
pub(super) struct Manifest {
    pub(super) object: ObjectName,
    pub(super) kind: String,
    pub(super) name: String,
    pub(super) body: Value,
    /// As the step or the manifest says.
    namespace: Option<String>,
}

fn text<'a>(body: &'a Value, path: &str) -> &'a str {
    body.pointer(path).and_then(Value::as_str).unwrap_or_default()
}

impl Input {
    pub(super) fn of(inputs: &Inputs) -> Result<(Self, Manifest), Failure> {
        let mut input: Self = parse(NAME, inputs)?;
        let manifest = Manifest::of(Value::Object(std::mem::take(&mut input.object)), input.namespace.as_deref())?;
        Ok((input, manifest))
    }
}

impl Manifest {
    fn of(mut body: Value, namespace: Option<&str>) -> Result<Self, Failure> {
        let refused = |message: String, hint: &str| Err(Failure::permanent(message).hint(hint.to_owned()));
        let (version, kind, name) = (text(&body, "/apiVersion"), text(&body, "/kind"), text(&body, "/metadata/name"));
        for (field, value) in [("apiVersion", version), ("kind", kind), ("metadata.name", name)] {
            if value.is_empty() {
                return refused(format!("the manifest has no `{field}`"), "a manifest needs `apiVersion`, `kind` and `metadata.name`");
            }
        }
        if kind.eq_ignore_ascii_case("secret") {
            return refused(
                format!("{NAME} does not apply Secrets: their values would end up in plans and in the journal"),
                "manage Secrets with the tool that owns them",
            );
        }
        if kind.ends_with("List") && body.get("items").is_some() {
            return refused(format!("the manifest is a {kind}, not one object"), "give each object a step of its own (or `for_each`)");
        }
        let object = match ObjectName::of_manifest(version, kind, name) {
            Ok(object) => object,
            Err(error) => {
                let message = format!("the manifest's `apiVersion`, `kind` and `metadata.name` name no object: {error}");
                return refused(message, "such as `apps/v1`, `Deployment`, `ticket-service`");
            }
        };
        for field in ["uid", "resourceVersion", "managedFields", "generateName", "deletionTimestamp"] {
            if body["metadata"].get(field).is_some_and(|value| !value.is_null()) {
                return refused(format!("the manifest sets `metadata.{field}`, which is the server's"), "leave it out");
            }
        }
        if body.get("status").is_some_and(|status| !status.is_null()) {
            return refused("the manifest sets `status`, which is the controller's".to_owned(), "leave it out");
        }
        let own = text(&body, "/metadata/namespace");
        if let Some(given) = namespace.filter(|given| !own.is_empty() && *given != own) {
            return refused(format!("the manifest is for namespace {own}, and the step says {given}"), "leave one of them out");
        }
        let namespace = namespace.map(str::to_owned).or_else(|| (!own.is_empty()).then(|| own.to_owned()));
        let (kind, name) = (kind.to_owned(), name.to_owned());
        without_null(&mut body);
        if body.to_string().len() > LARGEST {
            return refused(format!("the manifest of {}/{name} is larger than {} KiB", kind_word(&kind), LARGEST / 1024), "split it");
        }
        Ok(Self { object, kind, name, body, namespace })
    }

    /// The namespace it is for.
    pub(super) fn namespace(&self, target: Option<&TargetSpec>) -> Result<String, Failure> {
        namespace(self.namespace.as_deref(), target)
    }

    /// What it is called in the ledger and in locks.
    pub(super) fn object_ref(&self, target: &TargetSpec) -> Option<ObjectRef> {
        let uid = target.identity.get(KUBERNETES)?.as_str()?;
        let kind = kind_word(&self.kind);
        Some(ObjectRef(match kind.as_str() {
            "namespace" | "node" => format!("k8s:{uid}/{kind}/{}", self.name),
            _ => format!("k8s:{uid}/{}/{kind}/{}", self.namespace(Some(target)).ok()?, self.name),
        }))
    }
}

/// What a step needs that applies the input `object`.
pub(super) fn permissions(inputs: &Value, target: Option<&TargetSpec>) -> Needs {
    let body = inputs.get("object").unwrap_or(&Value::Null);
    let own = body.pointer("/metadata/namespace").filter(|own| !own.is_null() && inputs.get("namespace").is_none_or(Value::is_null));
    let mut asking = match own {
        Some(own) => Asking::of(&json!({ "namespace": own }), target),
        None => Asking::of(inputs, target),
    };
    let kind = |field: &str| body.get(field).and_then(Value::as_str).filter(|text| variables_in(text).is_empty());
    let (Some(version), Some(kind)) = (kind("apiVersion"), kind("kind")) else {
        asking.untold("which kind of object it is");
        return asking.needs();
    };
    let Some(on) = asking.object(&format!("{version}/{kind}/{}", text(body, "/metadata/name"))) else { return asking.needs() };
    asking.reads("get", &on);
    let replicas = body.pointer("/spec/replicas").is_some_and(|replicas| !replicas.is_null());
    if replicas && ["deployments", "statefulsets", "replicasets"].iter().any(|resource| on.is(resource)) {
        asking.add(Purpose::Reads, Extent::Where("the manifest changes the replicas"), "list", &On::autoscalers());
        asking.add(Purpose::Reads, Extent::Where("the manifest changes the replicas, and KEDA is there"), "list", &On::scaled_objects());
    }
    asking.add(Purpose::Changes, Extent::Where("the object is not there yet"), "create", &on.unnamed());
    asking.add(Purpose::Changes, Extent::Where("the object is there"), "patch", &on);
    asking.add(Purpose::Reverts, Extent::Where("the step created the object"), "delete", &on);
    let mut needs = asking.needs();
    argocd::reads(&mut needs, target);
    needs
}

/// What an object of the API leaves out: members that are null say nothing.
fn without_null(value: &mut Value) {
    match value {
        Value::Object(map) => {
            map.retain(|_, inner| !inner.is_null());
            map.values_mut().for_each(without_null);
        }
        Value::Array(list) => list.iter_mut().for_each(without_null),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}
