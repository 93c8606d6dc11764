//! `k8s.endpoints` against a stand-in API server.

use super::*;
use crate::actions::kubernetes::reading::Reader;
use crate::actions::kubernetes::stand_in::served::{PODS, Served, items, object, refusal};
use crate::actions::trial;
use crate::model::by_hand::variable;
use crate::ports::action::Action;

const SERVICE: &str = "/api/v1/namespaces/production/services/ticket-service";
const SLICES: &str = "/apis/discovery.k8s.io/v1/namespaces/production/endpointslices";

fn endpoint(pod: &str, address: &str, conditions: Value, zone: &str) -> Value {
    json!({
        "addresses": [address], "conditions": conditions, "nodeName": "node-1", "zone": zone,
        "targetRef": { "kind": "Pod", "name": pod, "namespace": "production" },
    })
}

async fn read(served: &Served) -> Result<Value, Failure> {
    let (cx, _) = trial::context(Some(trial::target("uid-1")), &[]);
    Reader::<EndpointsReading>::new(&served.connections).observe(&cx, &Inputs(json!({ "service": "ticket-service" }))).await
}

#[tokio::test]
async fn a_pod_counts_once_and_conditions_mean_what_the_api_says() {
    let served = Served::start(|came| match came.path.as_str() {
        SERVICE => object(json!({ "spec": { "selector": { "app": "x" } } })),
        SLICES => {
            assert_eq!(came.query("labelSelector"), "kubernetes.io/service-name=ticket-service");
            let ports = json!([{ "name": "http", "port": 8080, "protocol": "TCP" }]);
            let leaving = json!({ "ready": false, "serving": true, "terminating": true });
            let four = json!({ "addressType": "IPv4", "ports": ports, "endpoints": [
                endpoint("a", "10.0.0.1", json!({ "ready": true, "serving": true, "terminating": false }), "eu-1a"),
                endpoint("b", "10.0.0.2", json!({}), "eu-1b"),
                endpoint("c", "10.0.0.3", json!({ "ready": false }), "eu-1b"),
                endpoint("d", "10.0.0.4", leaving, "eu-1b"),
            ] });
            let six = json!({ "addressType": "IPv6", "ports": ports, "endpoints": [
                endpoint("a", "fd00::1", json!({ "ready": true, "serving": true, "terminating": false }), "eu-1a"),
            ] });
            items(&[four, six, json!({ "ports": null, "endpoints": null })])
        }
        other => panic!("{other}"),
    })
    .await;
    let outputs = read(&served).await.unwrap();
    let counts = ["ready", "serving", "terminating", "not_ready"].map(|key| outputs[key].as_u64().unwrap());
    assert_eq!(counts, [2, 3, 1, 1]);
    assert_eq!(
        (&outputs["zones"], &outputs["ports"]),
        (&json!({ "eu-1a": 1, "eu-1b": 1 }), &json!([{ "name": "http", "port": 8080, "protocol": "TCP" }]))
    );
    let first = json!({ "address": "10.0.0.3", "ready": false, "serving": false, "terminating": false, "pod": "c", "node": "node-1", "zone": "eu-1b" });
    assert_eq!((&outputs["addresses"][0], outputs["addresses"].as_array().unwrap().len()), (&first, 4));
    assert_eq!(outputs["summary"], "Service ticket-service: 2 endpoints ready, 1 not ready, 1 terminating");
}

#[tokio::test]
async fn a_service_that_leads_nowhere_says_why() {
    for (spec, pods, wanted) in [
        (json!({ "selector": { "app": "x", "tier": "y" } }), 0, "no pod matches its selector app=x,tier=y"),
        (json!({ "selector": { "app": "x" } }), 2, "2 pods match its selector app=x, and none of them is ready"),
        (json!({}), 0, "it has no selector: somebody else has to write its endpoints"),
        (
            json!({ "type": "ExternalName", "externalName": "db.example" }),
            0,
            "it is an ExternalName for db.example and never has endpoints",
        ),
    ] {
        let served = Served::start(move |came| match came.path.as_str() {
            SERVICE => object(json!({ "spec": spec })),
            PODS => items(&vec![json!({}); pods]),
            _ => items(&[]),
        })
        .await;
        let outputs = read(&served).await.unwrap();
        let summary = format!("Service ticket-service: 0 endpoints ready, 0 not ready, 0 terminating; {wanted}");
        assert_eq!((&outputs["ready"], outputs["summary"].as_str().unwrap()), (&json!(0), summary.as_str()));
    }
}

#[tokio::test]
async fn refusals_are_told() {
    let served = Served::start(|_| refusal(404, "NotFound", "no")).await;
    assert_eq!(read(&served).await.unwrap_err().message, "there is no Service ticket-service in namespace production");
    let served = Served::start(|came| if came.path == SERVICE { object(json!({})) } else { refusal(403, "Forbidden", "no") }).await;
    let failure = read(&served).await.unwrap_err();
    assert_eq!(failure.message, "list endpointslices in namespace production: forbidden (403): no");
}

#[test]
fn the_same_by_hand() {
    let lines = by_hand(&json!({ "service": variable("service") }), Some(&trial::target("uid-1"))).act;
    assert_eq!(lines, ["kubectl get endpointslices -n production -l kubernetes.io/service-name=\"${SERVICE}\" -o yaml"]);
}
