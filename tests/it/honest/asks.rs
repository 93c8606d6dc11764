//! What both are asked, in order: what runsheet itself asks, what people with `kubectl` beside it do, and the mistakes of both.

mod more;
mod refusals;

use http::Method;
use serde_json::{Value, json};

const JSON: &str = "application/json";
const JSON_PATCH: &str = "application/json-patch+json";
const MERGE: &str = "application/merge-patch+json";
const STRATEGIC: &str = "application/strategic-merge-patch+json";
const APPLY: &str = "application/apply-patch+yaml";
const TABLE: &str = "application/json;as=Table;v=v1;g=meta.k8s.io";

/// One request.
pub struct Ask {
    pub name: &'static str,
    pub account: &'static str,
    pub method: Method,
    pub path: String,
    pub accept: Option<&'static str>,
    pub body: Option<(&'static str, String)>,
    /// Asked again until this place of the answer has this value.
    pub until: Option<(&'static str, Value)>,
    pub compared: bool,
    /// What depends on how far controllers have come, and is not compared: `status`.
    pub but: Vec<&'static str>,
}

fn ask(name: &'static str, method: Method, path: &str) -> Ask {
    Ask { name, account: "admin", method, path: path.to_owned(), accept: None, body: None, until: None, compared: true, but: Vec::new() }
}

fn get(name: &'static str, path: &str) -> Ask {
    ask(name, Method::GET, path)
}

fn post(name: &'static str, path: &str, body: &Value) -> Ask {
    ask(name, Method::POST, path).with(JSON, body)
}

fn patch(name: &'static str, path: &str, media: &'static str, body: &Value) -> Ask {
    ask(name, Method::PATCH, path).with(media, body)
}

fn delete(name: &'static str, path: &str) -> Ask {
    ask(name, Method::DELETE, path)
}

impl Ask {
    fn with(mut self, media: &'static str, body: &Value) -> Self {
        self.body = Some((media, body.to_string()));
        self
    }

    fn raw(mut self, media: &'static str, body: &str) -> Self {
        self.body = Some((media, body.to_owned()));
        self
    }

    fn by(mut self, account: &'static str) -> Self {
        self.account = account;
        self
    }

    fn accept(mut self, media: &'static str) -> Self {
        self.accept = Some(media);
        self
    }

    fn until(mut self, pointer: &'static str, value: Value) -> Self {
        self.until = Some((pointer, value));
        self
    }

    fn but(mut self, places: &[&'static str]) -> Self {
        self.but.extend(places);
        self
    }

    /// Only for what comes after.
    fn not_compared(mut self) -> Self {
        self.compared = false;
        self
    }
}

const DEPLOYMENTS: &str = "/apis/apps/v1/namespaces/{NS}/deployments";
const TICKETS: &str = "/apis/apps/v1/namespaces/{NS}/deployments/ticket-service";
const PROBE: &str = "/apis/apps/v1/namespaces/{NS}/deployments/probe";
const SCALE: &str = "/apis/apps/v1/namespaces/{NS}/deployments/ticket-service/scale";
const PODS: &str = "/api/v1/namespaces/{NS}/pods";
const HPAS: &str = "/apis/autoscaling/v2/namespaces/{NS}/horizontalpodautoscalers";
const MAPS: &str = "/api/v1/namespaces/{NS}/configmaps";
const LEASES: &str = "/apis/coordination.k8s.io/v1/namespaces/{NS}/leases";

fn probe(replicas: i64) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": { "name": "probe" },
        "spec": {
            "replicas": replicas, "selector": { "matchLabels": { "app": "probe" } },
            "template": {
                "metadata": { "labels": { "app": "probe" } },
                "spec": { "containers": [{ "name": "app", "image": "registry.example/app:1", "resources": { "requests": { "cpu": "0.1", "memory": "1Gi" } } }] },
            },
        },
    })
}

fn map(name: &str, data: &Value) -> Value {
    json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": name }, "data": data })
}

fn autoscaler(min: i64, max: i64) -> Value {
    json!({
        "apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": { "name": "probe" },
        "spec": {
            "scaleTargetRef": { "apiVersion": "apps/v1", "kind": "Deployment", "name": "probe" }, "minReplicas": min, "maxReplicas": max,
            "metrics": [{ "type": "Resource", "resource": { "name": "cpu", "target": { "type": "Utilization", "averageUtilization": 70 } } }],
        },
    })
}

fn lease(holder: &str) -> Value {
    json!({
        "apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": { "name": "probe" },
        "spec": { "holderIdentity": holder, "leaseDurationSeconds": 30, "renewTime": "2026-01-01T00:00:00.000000Z" },
    })
}

/// All of them, in order.
pub fn asks() -> Vec<Ask> {
    [
        reads(),
        deployments(),
        patches(),
        applied(),
        scaling(),
        autoscalers(),
        pods(),
        refusals::leases(),
        refusals::all(),
        more::asks(),
        deletions(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn reads() -> Vec<Ask> {
    vec![
        get("its version", "/version"),
        get("readiness", "/readyz"),
        get("kube-system", "/api/v1/namespaces/kube-system"),
        get("its nodes", "/api/v1/nodes/node-a"),
        get("a Deployment", TICKETS).until("/status/readyReplicas", json!(2)),
        get("a Deployment that is not there", &format!("{DEPLOYMENTS}/none")),
        get("a Service", "/api/v1/namespaces/{NS}/services/ticket-service"),
        get(
            "its endpoint slices",
            "/apis/discovery.k8s.io/v1/namespaces/{NS}/endpointslices?labelSelector=kubernetes.io%2Fservice-name%3Dticket-service",
        )
        // How often it was written, and whether the last time says what for, depends on how quickly the pods came.
        .but(&["items[0].metadata.generation", "items[0].metadata.annotations"]),
        get("an unknown path", "/apis/nothing/v1"),
        get("an unknown resource", "/apis/apps/v1/namespaces/{NS}/things"),
        get("a list with a wrong selector", &format!("{PODS}?labelSelector=%21%21")),
        get("a list with a wrong field selector", &format!("{PODS}?fieldSelector=spec.nothing%3D1")),
        get("a page", &format!("{PODS}?limit=1")),
        get("the next page", &format!("{PODS}?limit=1&continue=<<a page/metadata/continue>>")),
        get("a page that there is not", &format!("{PODS}?limit=1&continue=bm9uc2Vuc2U")),
        get("Deployments as a table", DEPLOYMENTS).accept(TABLE),
    ]
}

fn deployments() -> Vec<Ask> {
    let mut no_selector = probe(1);
    no_selector["spec"]["selector"]["matchLabels"] = json!({ "app": "other" });
    let mut unknown = probe(1);
    unknown["spec"]["nothing"] = json!(1);
    let mut wrong = probe(1);
    wrong["spec"]["replicas"] = json!("two");
    let mut negative = probe(-1);
    negative["metadata"]["name"] = json!("negative");
    let mut over = probe(1);
    over["spec"]["template"]["spec"]["containers"][0]["resources"]["limits"] = json!({ "cpu": "50m" });
    vec![
        post("a Deployment whose selector does not match", DEPLOYMENTS, &no_selector),
        post("a Deployment with a negative count", DEPLOYMENTS, &negative),
        post("a Deployment with a word for a count", DEPLOYMENTS, &wrong),
        post("a Deployment with requests beyond its limits", DEPLOYMENTS, &over),
        post("a Deployment with an unknown field, strictly", &format!("{DEPLOYMENTS}?fieldValidation=Strict"), &unknown),
        post("a dry run of a creation", &format!("{DEPLOYMENTS}?dryRun=All"), &probe(1)),
        post("a creation", DEPLOYMENTS, &probe(1)),
        post("a second creation", DEPLOYMENTS, &probe(1)),
        get("what was created", PROBE).until("/status/readyReplicas", json!(1)),
        get("its ReplicaSets", "/apis/apps/v1/namespaces/{NS}/replicasets?labelSelector=app%3Dprobe"),
        get("its pods", &format!("{PODS}?labelSelector=app%3Dprobe")),
        ask("an update from an old version", Method::PUT, PROBE).with(JSON, &{
            let mut old = probe(2);
            old["metadata"]["resourceVersion"] = json!("1");
            old
        }),
        ask("an update of a selector", Method::PUT, PROBE).with(JSON, &{
            let mut other = probe(2);
            other["spec"]["selector"]["matchLabels"]["tier"] = json!("x");
            other["spec"]["template"]["metadata"]["labels"]["tier"] = json!("x");
            other
        }),
    ]
}

/// Which fields a controller manages depends on what it has come to write last.
const CONTROLLERS: &str = "metadata.managedFields[kube-controller-manager]";

fn patches() -> Vec<Ask> {
    let test = |path: &str, value: Value| json!([{ "op": "test", "path": path, "value": value }, { "op": "replace", "path": "/spec/minReadySeconds", "value": 0 }]);
    vec![
        patch("a JSON patch whose test fails", PROBE, JSON_PATCH, &test("/spec/replicas", json!(7))),
        patch(
            "a JSON patch whose test holds",
            PROBE,
            JSON_PATCH,
            &json!([{ "op": "test", "path": "/spec/replicas", "value": 1 }, { "op": "add", "path": "/metadata/annotations/a", "value": "1" }]),
        ),
        patch(
            "a JSON patch that tests what is not there for null",
            PROBE,
            JSON_PATCH,
            &json!([{ "op": "test", "path": "/spec/paused", "value": null }, { "op": "add", "path": "/metadata/annotations/b", "value": "1" }]),
        ),
        patch("a JSON patch that tests below what is not there", PROBE, JSON_PATCH, &test("/spec/none/at/all", json!(1))),
        patch(
            "a JSON patch that removes what is not there",
            PROBE,
            JSON_PATCH,
            &json!([{ "op": "remove", "path": "/metadata/annotations/none" }]),
        ),
        patch("a JSON patch that is none", PROBE, JSON_PATCH, &json!({ "op": "add" })),
        patch("a merge patch", PROBE, MERGE, &json!({ "metadata": { "annotations": { "a": null } } })),
        patch(
            "a merge patch from an old version",
            PROBE,
            MERGE,
            &json!({ "metadata": { "resourceVersion": "1" }, "spec": { "replicas": 2 } }),
        ),
        patch(
            "a strategic patch of a variable",
            PROBE,
            STRATEGIC,
            &json!({ "spec": { "template": { "spec": { "containers": [{ "name": "app", "env": [{ "name": "A", "value": "1" }] }] } } } }),
        ),
        patch(
            "a strategic patch of another variable",
            PROBE,
            STRATEGIC,
            &json!({ "spec": { "template": { "spec": { "containers": [{ "name": "app", "env": [{ "name": "B", "valueFrom": { "fieldRef": { "fieldPath": "metadata.name" } } }] }] } } } }),
        )
        .but(&["status", CONTROLLERS]),
        patch("a patch that changes nothing", PROBE, MERGE, &json!({ "spec": { "minReadySeconds": 0 } })).but(&["status", CONTROLLERS]),
        patch("a dry run of a patch", &format!("{PROBE}?dryRun=All"), MERGE, &json!({ "spec": { "minReadySeconds": 5 } })).but(&["status", CONTROLLERS]),
        patch("a patch with a wrong value", PROBE, MERGE, &json!({ "spec": { "replicas": -2 } })),
        get("the Deployment after its rollout", PROBE).until("/status/updatedReplicas", json!(1)).not_compared(),
        get("the Deployment when it has settled", PROBE).until("/status/unavailableReplicas", Value::Null).but(&["status", CONTROLLERS]),
    ]
}

fn applied() -> Vec<Ask> {
    let path = format!("{MAPS}/shop");
    vec![
        patch(
            "a server-side apply that creates",
            &format!("{path}?fieldManager=argocd-controller"),
            APPLY,
            &map("shop", &json!({ "a": "1", "b": "1" })),
        ),
        patch("the same again", &format!("{path}?fieldManager=argocd-controller"), APPLY, &map("shop", &json!({ "a": "1", "b": "1" }))),
        patch(
            "a server-side apply of what another owns",
            &format!("{path}?fieldManager=runsheet"),
            APPLY,
            &map("shop", &json!({ "a": "2" })),
        ),
        patch("the same by force", &format!("{path}?fieldManager=runsheet&force=true"), APPLY, &map("shop", &json!({ "a": "2" }))),
        patch("an apply that leaves a field out", &format!("{path}?fieldManager=runsheet"), APPLY, &map("shop", &json!({ "c": "3" }))),
        patch("an apply from an old version", &format!("{path}?fieldManager=runsheet"), APPLY, &{
            let mut old = map("shop", &json!({ "c": "4" }));
            old["metadata"]["resourceVersion"] = json!("1");
            old
        }),
        patch("an apply without a manager", &path, APPLY, &map("shop", &json!({}))),
        patch(
            "an apply of an unknown field",
            &format!("{path}?fieldManager=runsheet"),
            APPLY,
            &json!({ "apiVersion": "v1", "kind": "ConfigMap", "nothing": 1 }),
        ),
        get("what was applied", &path),
    ]
}

fn scaling() -> Vec<Ask> {
    vec![
        get("the scale", SCALE),
        patch("a scale by a merge patch", SCALE, MERGE, &json!({ "spec": { "replicas": 3 } })),
        patch(
            "a scale whose test fails",
            SCALE,
            JSON_PATCH,
            &json!([{ "op": "test", "path": "/spec/replicas", "value": 9 }, { "op": "replace", "path": "/spec/replicas", "value": 4 }]),
        ),
        patch(
            "a scale whose test holds",
            SCALE,
            JSON_PATCH,
            &json!([{ "op": "test", "path": "/spec/replicas", "value": 3 }, { "op": "replace", "path": "/spec/replicas", "value": 4 }]),
        ),
        patch("a scale below nothing", SCALE, MERGE, &json!({ "spec": { "replicas": -1 } })),
        get("the Deployment after the scale", TICKETS).until("/status/readyReplicas", json!(4)).but(&[CONTROLLERS]),
    ]
}

fn autoscalers() -> Vec<Ask> {
    vec![
        post("an autoscaler whose floor is above its maximum", HPAS, &autoscaler(5, 4)),
        post("an autoscaler", HPAS, &autoscaler(1, 3)).but(&["status"]),
        patch("an autoscaler's floor above its maximum", &format!("{HPAS}/probe"), MERGE, &json!({ "spec": { "minReplicas": 9 } })),
        patch(
            "an autoscaler's floor",
            &format!("{HPAS}/probe"),
            JSON_PATCH,
            &json!([{ "op": "test", "path": "/spec/minReplicas", "value": 1 }, { "op": "replace", "path": "/spec/minReplicas", "value": 2 }]),
        )
        .but(&["status", "metadata.managedFields[kube-controller-manager]"]),
        get("the Deployment that it has raised", PROBE).until("/status/readyReplicas", json!(2)),
        delete("the autoscaler's end", &format!("{HPAS}/probe")),
    ]
}

fn pods() -> Vec<Ask> {
    let quota = json!({ "apiVersion": "v1", "kind": "ResourceQuota", "metadata": { "name": "few" }, "spec": { "hard": { "pods": "1" } } });
    let job = json!({
        "apiVersion": "batch/v1", "kind": "Job", "metadata": { "name": "probe" },
        "spec": { "template": { "spec": { "containers": [{ "name": "app", "image": "registry.example/app:1" }], "restartPolicy": "Never" } } },
    });
    let pod = json!({ "apiVersion": "v1", "kind": "Pod", "metadata": { "name": "alone" }, "spec": { "containers": [{ "name": "app", "image": "registry.example/app:1" }] } });
    vec![
        get("its pods again", &format!("{PODS}?labelSelector=app%3Dticket-service")).not_compared(),
        get("the log of a pod that is not there", &format!("{PODS}/none/log")),
        get("the log of a container that is not there", &format!("{PODS}/<<its pods again/items/0/metadata/name>>/log?container=none")),
        get("a request to a pod that is not there", &format!("{PODS}/none:8080/proxy/health/ready")),
        get("a request to a pod", &format!("{PODS}/<<its pods again/items/0/metadata/name>>:8080/proxy/health/ready")),
        get("a request to a port that is not open", &format!("{PODS}/<<its pods again/items/0/metadata/name>>:9/proxy/")),
        patch("a resize of a pod that is not there", &format!("{PODS}/none/resize"), STRATEGIC, &json!({ "spec": { "containers": [] } })),
        patch(
            "a resize",
            &format!("{PODS}/<<its pods again/items/0/metadata/name>>/resize"),
            STRATEGIC,
            &json!({ "spec": { "containers": [{ "name": "ticket-service", "resources": { "requests": { "cpu": "300m" } } }] } }),
        ),
        patch(
            "a resize that changes the class",
            &format!("{PODS}/<<its pods again/items/0/metadata/name>>/resize"),
            STRATEGIC,
            &json!({ "spec": { "containers": [{ "name": "ticket-service", "resources": { "requests": { "cpu": "1", "memory": "512Mi" } } }] } }),
        ),
        patch(
            "a change of a pod's amounts without the subresource",
            &format!("{PODS}/<<its pods again/items/0/metadata/name>>"),
            STRATEGIC,
            &json!({ "spec": { "containers": [{ "name": "ticket-service", "resources": { "requests": { "cpu": "310m" } } }] } }),
        ),
        post("a Job", "/apis/batch/v1/namespaces/{NS}/jobs", &job),
        get("the Job when it is done", "/apis/batch/v1/namespaces/{NS}/jobs/probe").until("/status/succeeded", json!(1)),
        post("a quota", "/api/v1/namespaces/{NS}/resourcequotas", &quota),
        get("the quota when it is counted", "/api/v1/namespaces/{NS}/resourcequotas/few")
            .until("/status/hard/pods", json!("1"))
            .not_compared(),
        post("a pod beyond the quota", PODS, &pod),
        delete("the quota's end", "/api/v1/namespaces/{NS}/resourcequotas/few"),
        get("a pod that is not there", &format!("{PODS}/none")),
    ]
}

fn deletions() -> Vec<Ask> {
    vec![
        delete("a deletion of what is not there", &format!("{DEPLOYMENTS}/none")),
        delete("a deletion of another's", PROBE).with(JSON, &json!({ "preconditions": { "uid": "00000000-0000-0000-0000-000000000000" } })),
        delete("a dry run of a deletion", &format!("{PROBE}?dryRun=All")),
        delete("a deletion", PROBE),
        get("what was deleted", PROBE).until("/code", json!(404)),
        delete("a deletion of a ConfigMap", &format!("{MAPS}/shop")),
    ]
}
