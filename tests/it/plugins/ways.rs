//! A plugin and the environment's ways to private hosts: what its inputs name is reached, and nothing else is opened.

use serde_json::json;

use super::write_plugin;
use crate::environments::{Cluster, kubeconfig, write};
use crate::support::Stage;

const MANIFEST: &str = "\
plugin: asker
protocol: 1
summary: Asks
executable: plugin.py
needs: [{ program: python3, hint: install it }]
actions:
  get:
    summary: Ask a URL
    effect: once
    needs_target: true
    inputs: { required: [url], properties: { url: { type: string, description: The URL } } }
    outputs: { body: { type: string, description: What it answers }, hosts: { type: integer, description: How many hosts it was told of } }
";

const SCRIPT: &str = r#"#!/usr/bin/env python3
import http.client, json, sys, urllib.parse
for line in sys.stdin:
    question = json.loads(line)
    number, params = question.get("id"), question.get("params") or {}
    if question["method"] == "describe":
        result = {"protocol": 1, "plugin": "asker", "actions": ["get"]}
    else:
        url, hosts = urllib.parse.urlsplit(params["inputs"]["url"]), params["target"]["hosts"]
        connection = http.client.HTTPConnection(hosts[f"{url.hostname}:{url.port or 80}"], timeout=10)
        connection.request("GET", url.path, headers={"Host": url.hostname, "Connection": "close"})
        result = {"applied": {"outputs": {"body": connection.getresponse().read().decode(), "hosts": len(hosts)}}}
    print(json.dumps({"jsonrpc": "2.0", "id": number, "result": result}), flush=True)
"#;

fn stage(cluster: &Cluster, service: &str) -> Stage {
    let stage = Stage::new().playbook(
        "ask",
        "playbook: ask\nsummary: Ask\nsteps:\n  - id: ask\n    uses: asker.get\n    with: { url: \"http://Tickets.internal/health/ready\" }\noutputs:\n  body: \
         ${{ steps.ask.outputs.body }}\n",
    );
    write_plugin(&stage, "asker", MANIFEST, SCRIPT);
    kubeconfig(&stage, &cluster.url, &json!({ "token": cluster.token }));
    let file = stage.path("kubeconfig");
    write(
        &stage,
        &format!(
            "environment: staging\nkubernetes:\n  context: staging\n  kubeconfig: {}\n  namespace: production\n  cluster_uid: {}\nvia:\n  tickets.internal: \
             k8s:service/{service}:80\n  nowhere.internal: k8s:service/nobody:80\n",
            file.display(),
            cluster.uid
        ),
    );
    stage
}

#[test]
fn a_private_host_that_its_inputs_name_is_reached_at_an_address_that_it_is_told() {
    let cluster = Cluster::new();
    let stage = stage(&cluster, "ticket-service");
    let _ = stage.run(&["run", "ask", "--env", "staging", "--yes"]).code(0);
    let outputs = crate::support::step_of(&stage.status_json(), "ask")["outputs"].clone();
    assert!(outputs["body"].as_str().is_some_and(|body| body.contains("\"status\":\"ready\"")), "{outputs}");
    assert_eq!(outputs["hosts"], 1, "the way that nobody named was not opened");
}

#[test]
fn a_way_that_does_not_lead_there_fails_the_step_before_the_plugin_is_asked() {
    let cluster = Cluster::new();
    let stage = stage(&cluster, "nobody");
    let ran = stage.run(&["run", "ask", "--env", "staging", "--yes"]).code(1);
    let told = format!("{}{}", ran.stdout, ran.stderr);
    assert!(told.contains("no way to tickets.internal:80") && told.contains("there is no service nobody"), "{told}");
    assert_eq!(stage.step_status("ask"), "failed");
}
