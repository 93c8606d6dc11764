//! `k8s.endpoints`: which pods a Service sends requests to, from its EndpointSlices.
//!
//! Must not change anything. Invariant: a pod with an address of each family counts once; a Service that leads nowhere says why.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use super::api::Api;
use super::errors::Asked;
use super::permissions::{Asking, On, text};
use super::reading::{self, Reading};
use super::workload::is_name;
use super::{by_hand, pages};
use crate::actions::support::{output, parse, redacted};
use crate::environment::Connections;
use crate::model::by_hand::{ByHand, word};
use crate::model::catalogue::ActionEntry;
use crate::model::outcome::Failure;
use crate::model::permission::{Extent, Needs, Purpose};
use crate::model::run::TargetSpec;
use crate::ports::action::{Context, Inputs};

const NAME: &str = "k8s.endpoints";
/// How many addresses are listed.
const MOST: usize = 50;

/// The inputs of `k8s.endpoints`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Input {
    /// The Service's name.
    service: String,
    /// Its namespace; the environment's (`target.kubernetes.namespace`) where it is left out.
    namespace: Option<String>,
}

impl Input {
    fn of(inputs: &Inputs) -> Result<Self, Failure> {
        let input: Self = parse(NAME, inputs)?;
        if is_name(&input.service) {
            Ok(input)
        } else {
            Err(Failure::permanent("`service` is not a Service's name").hint("only its name: `ticket-service`"))
        }
    }
}

/// The question.
pub(super) struct EndpointsReading;

static ENTRY: LazyLock<Arc<ActionEntry>> = LazyLock::new(|| {
    let outputs = vec![
        output("ready", "integer", "the endpoints that get requests"),
        output("serving", "integer", "those that could answer: ready ones, and terminating ones that still do"),
        output("terminating", "integer", "those on their way out"),
        output("not_ready", "integer", "those that are neither ready nor terminating"),
        output("zones", "map", "how many ready endpoints there are in each zone; the empty name: no zone is known"),
        output("ports", "list", "the ports: `name`, `port`, `protocol`"),
        output("summary", "string", "all of it in one line, and why the Service leads nowhere where it does"),
        output("truncated", "boolean", "whether `addresses` leaves some out"),
        output(
            "addresses",
            "list",
            "the endpoints, at most 50, those that are not ready first: `address`, `ready`, `serving`, `terminating`, `pod`, `node`, `zone`",
        ),
    ];
    reading::entry::<Input>(NAME, "Tell which pods a Service sends requests to", include_str!("page.md"), outputs, by_hand, permissions)
});

fn by_hand(inputs: &Value, target: Option<&TargetSpec>) -> ByHand {
    let place = by_hand::place(inputs, target);
    let service = by_hand::given(inputs, "service").map(word).unwrap_or_default();
    by_hand::lines([format!("kubectl get endpointslices{place} -l kubernetes.io/service-name={service} -o yaml")])
}

/// One endpoint: a pod, or an address that somebody wrote there.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Endpoint {
    address: String,
    pod: Option<String>,
    node: Option<String>,
    zone: Option<String>,
    ready: bool,
    serving: bool,
    terminating: bool,
}

impl Endpoint {
    fn of(endpoint: &Value) -> Self {
        let text = |pointer: &str| endpoint.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
        let condition = |name: &str| endpoint.pointer(&format!("/conditions/{name}")).and_then(Value::as_bool);
        // The API's own rule: an unknown `ready` means ready, an unknown `serving` the same as `ready`.
        let ready = condition("ready").unwrap_or(true);
        Self {
            address: text("/addresses/0").unwrap_or_default(),
            pod: text("/targetRef/name").filter(|_| endpoint.pointer("/targetRef/kind").is_some_and(|kind| kind == "Pod")),
            node: text("/nodeName"),
            zone: text("/zone"),
            ready,
            serving: condition("serving").unwrap_or(ready),
            terminating: condition("terminating").unwrap_or(false),
        }
    }

    fn to_value(&self) -> Value {
        json!({
            "address": self.address, "ready": self.ready, "serving": self.serving, "terminating": self.terminating, "pod": self.pod,
            "node": self.node, "zone": self.zone,
        })
    }
}

/// Endpoints and ports of all slices, each once.
fn merged(slices: Vec<Value>) -> (Vec<Endpoint>, Vec<Value>) {
    let (mut endpoints, mut ports) = (BTreeMap::new(), Vec::new());
    for slice in &slices {
        let list = |key: &str| slice.get(key).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        for port in list("ports") {
            let port = json!({ "name": port["name"], "port": port["port"], "protocol": port["protocol"] });
            if !ports.contains(&port) && ports.len() < 20 {
                ports.push(port);
            }
        }
        for endpoint in list("endpoints").iter().map(Endpoint::of) {
            // A pod that moves from one slice to another may be in both for a moment: then the slice that lets it answer counts.
            let key = endpoint.pod.clone().unwrap_or_else(|| format!("={}", endpoint.address));
            let known: &mut Endpoint = endpoints.entry(key).or_insert_with(|| endpoint.clone());
            known.ready |= endpoint.ready;
            known.serving |= endpoint.serving;
            known.terminating &= endpoint.terminating;
        }
    }
    (endpoints.into_values().collect(), ports)
}

fn permissions(inputs: &Value, target: Option<&TargetSpec>) -> Needs {
    let mut asking = Asking::of(inputs, target);
    let services = On::any("", "services");
    asking.reads("get", &text(inputs, "service").map_or_else(|| services.clone(), |name| services.clone().named(name)));
    asking.reads("list", &On::any("discovery.k8s.io", "endpointslices"));
    asking.add(Purpose::Reads, Extent::Where("no endpoint is ready"), "list", &On::pods());
    asking.needs()
}

#[async_trait]
impl Reading for EndpointsReading {
    fn entry() -> Arc<ActionEntry> {
        Arc::clone(&ENTRY)
    }

    fn check(cx: &Context, inputs: &Inputs) -> Result<(), Failure> {
        let input = Input::of(inputs)?;
        super::namespace(input.namespace.as_deref(), cx.target.as_ref()).map(drop)
    }

    async fn read(connections: &Arc<Connections>, cx: &Context, inputs: &Inputs) -> Result<Value, Failure> {
        let Input { service, namespace } = Input::of(inputs)?;
        let namespace = super::namespace(namespace.as_deref(), cx.target.as_ref())?;
        let api = Api::new(connections, cx)?;
        let object = match api.get(&format!("/api/v1/namespaces/{namespace}/services/{service}")).await {
            Ok(object) => object,
            Err(trouble) if trouble.is_gone() => {
                return Err(Failure::permanent(format!("there is no Service {service} in namespace {namespace}"))
                    .hint("check the name, the namespace and the environment"));
            }
            Err(trouble) => {
                return Err(trouble.failure(Asked { verb: "get", resource: "services", name: &service, namespace: &namespace }));
            }
        };
        let path = format!("/apis/discovery.k8s.io/v1/namespaces/{namespace}/endpointslices");
        let label = format!("kubernetes.io/service-name={service}");
        let asked = Asked { verb: "list", resource: "endpointslices", name: "", namespace: &namespace };
        let keep = |slice: &Value| Some(json!({ "ports": slice["ports"], "endpoints": slice["endpoints"] }));
        let (endpoints, ports) = merged(pages::list(&api, &path, &[("labelSelector", &label)], asked, keep).await?);
        let why = if endpoints.iter().any(|endpoint| endpoint.ready) { None } else { Some(nowhere(&api, &object, &namespace).await?) };
        let outputs = redacted(&*cx.log, outputs(&service, endpoints, &ports, why));
        cx.log.line(outputs["summary"].as_str().unwrap_or_default());
        Ok(outputs)
    }
}

/// Why a Service has no ready endpoint.
async fn nowhere(api: &Api, service: &Value, namespace: &str) -> Result<String, Failure> {
    if service.pointer("/spec/type").is_some_and(|kind| kind == "ExternalName") {
        let name = service.pointer("/spec/externalName").and_then(Value::as_str).unwrap_or("?");
        return Ok(format!("it is an ExternalName for {name} and never has endpoints"));
    }
    let labels = service.pointer("/spec/selector").and_then(Value::as_object).filter(|labels| !labels.is_empty());
    let Some(labels) = labels else {
        return Ok("it has no selector: somebody else has to write its endpoints".to_owned());
    };
    let selector: Vec<String> = labels.iter().map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or_default())).collect();
    let selector = selector.join(",");
    let path = format!("/api/v1/namespaces/{namespace}/pods");
    let asked = Asked { verb: "list", resource: "pods", name: "", namespace };
    let found = pages::list(api, &path, &[("labelSelector", &selector)], asked, |_| Some(())).await?.len();
    Ok(if found == 0 {
        format!("no pod matches its selector {selector}")
    } else {
        format!("{found} pods match its selector {selector}, and none of them is ready")
    })
}

fn outputs(service: &str, mut endpoints: Vec<Endpoint>, ports: &[Value], why: Option<String>) -> Value {
    endpoints.sort_by(|a, b| (a.ready, &a.pod, &a.address).cmp(&(b.ready, &b.pod, &b.address)));
    let count = |is: fn(&Endpoint) -> bool| endpoints.iter().filter(|endpoint| is(endpoint)).count();
    let (ready, serving, terminating) = (count(|one| one.ready), count(|one| one.serving), count(|one| one.terminating));
    let not_ready = count(|one| !one.ready && !one.terminating);
    let mut zones: BTreeMap<&str, usize> = BTreeMap::new();
    for endpoint in endpoints.iter().filter(|endpoint| endpoint.ready) {
        *zones.entry(endpoint.zone.as_deref().unwrap_or_default()).or_default() += 1;
    }
    let mut summary = format!("Service {service}: {ready} endpoints ready, {not_ready} not ready, {terminating} terminating");
    if let Some(why) = why {
        summary.push_str(&format!("; {why}"));
    }
    json!({
        "ready": ready,
        "serving": serving,
        "terminating": terminating,
        "not_ready": not_ready,
        "zones": zones,
        "ports": ports,
        "summary": summary,
        "truncated": endpoints.len() > MOST,
        "addresses": endpoints.iter().take(MOST).map(Endpoint::to_value).collect::<Vec<_>>(),
    })
}

#[cfg(test)]
mod tests;
