//! The real kubectl against the sandbox: what people type in the night must work there without warnings.
//!
//! kubectl is the program that `RUNSHEET_TEST_KUBECTL` names, else the one on the PATH; `tests/run` builds one where there is none.

use std::io::{BufRead, BufReader, Read, Write};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::support::{Stage, until};

/// kubectl with a kubeconfig of the stage's sandbox.
struct Kubectl {
    stage: Stage,
    program: PathBuf,
}

/// What one call of it did.
struct Told {
    words: String,
    success: bool,
    out: String,
    err: String,
}

impl Told {
    /// It succeeded and had nothing to warn of.
    #[track_caller]
    fn fine(&self) -> &str {
        assert!(self.success && self.err.is_empty(), "kubectl {}: {}{}", self.words, self.out, self.err);
        &self.out
    }

    /// It failed, saying this.
    #[track_caller]
    fn refused(&self, expected: &str) {
        assert!(!self.success && self.err.contains(expected), "kubectl {}: no `{expected}` in: {}{}", self.words, self.out, self.err);
    }
}

impl Kubectl {
    fn new() -> Self {
        Self::on(Stage::new())
    }

    fn on(stage: Stage) -> Self {
        let program = std::env::var_os("RUNSHEET_TEST_KUBECTL").map_or_else(|| PathBuf::from("kubectl"), PathBuf::from);
        let kubectl = Self { stage: stage.sandbox(20), program };
        kubectl.account("admin");
        kubectl
    }

    fn file(&self, name: &str) -> PathBuf {
        self.stage.root().join(name)
    }

    /// Goes on as this account.
    fn account(&self, account: &str) {
        let ran = self.stage.run(&["sandbox", "kubeconfig", "--account", account]).code(0);
        std::fs::write(self.file("kubeconfig"), ran.stdout).expect("a kubeconfig");
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.args(words).env("KUBECONFIG", self.file("kubeconfig")).env("HOME", self.stage.root()).stdin(Stdio::null());
        command
    }

    #[track_caller]
    fn run(&self, words: &[&str]) -> Told {
        let output = self.command(words).output().unwrap_or_else(|error| {
            let program = self.program.display();
            panic!("`{program}` cannot be started ({error}): start the tests with tests/run, or set RUNSHEET_TEST_KUBECTL to a kubectl")
        });
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Told { words: words.join(" "), success: output.status.success(), out: text(&output.stdout), err: text(&output.stderr) }
    }

    /// The columns of the table that these words print, without their alignment.
    #[track_caller]
    fn columns(&self, words: &[&str]) -> Vec<String> {
        let told = self.run(words);
        let heads = told.fine().lines().next().unwrap_or_default().split("  ").map(|head| head.trim().to_owned());
        heads.filter(|head| !head.is_empty()).collect()
    }

    /// The names of the Pods of the ticket service that are not about to end.
    #[track_caller]
    fn pods(&self) -> Vec<String> {
        let template = r#"{{range .items}}{{if not .metadata.deletionTimestamp}}{{.metadata.name}} {{end}}{{end}}"#;
        let told = self.run(&["get", "pods", "-l", "app=ticket-service", "-o", &format!("go-template={template}")]);
        told.fine().split_whitespace().map(str::to_owned).collect()
    }

    /// Waits until the rollout of the ticket service is done.
    #[track_caller]
    fn rolled_out(&self) {
        let told = self.run(&["rollout", "status", "deployment/ticket-service", "--timeout=20s"]);
        assert!(told.fine().contains("successfully rolled out"));
    }

    /// Writes a manifest; its path.
    fn manifest(&self, name: &str, text: &str) -> String {
        let file = self.file(name);
        std::fs::write(&file, text).expect("a manifest");
        file.to_string_lossy().into_owned()
    }
}

fn autoscaler(most: u32) -> String {
    format!(
        "apiVersion: autoscaling/v2\nkind: HorizontalPodAutoscaler\nmetadata: {{ name: doors-hpa, namespace: production }}\nspec:\n  \
         scaleTargetRef: {{ apiVersion: apps/v1, kind: Deployment, name: ticket-service }}\n  minReplicas: 2\n  maxReplicas: {most}\n  \
         metrics:\n  - type: Resource\n    resource: {{ name: cpu, target: {{ type: Utilization, averageUtilization: 70 }} }}\n"
    )
}

#[test]
fn kubectl_gets_and_lists_what_is_there() {
    let kubectl = Kubectl::new();
    let line = kubectl.run(&["get", "deployment", "ticket-service"]).fine().to_owned();
    let columns: Vec<&str> = line.lines().next().unwrap_or_default().split_whitespace().collect();
    assert_eq!(columns, ["NAME", "READY", "UP-TO-DATE", "AVAILABLE", "AGE"]);
    assert!(line.contains("ticket-service   2/2     2            2"), "{line}");
    let pods = kubectl.run(&["get", "pods", "-l", "app=ticket-service", "-o", "wide"]).fine().to_owned();
    assert!(pods.lines().count() == 3 && pods.contains("NODE") && pods.contains("1/1     Running"), "{pods}");
    assert_eq!(kubectl.run(&["get", "pods", "-l", "app=other", "-o", "name"]).fine(), "");
    assert_eq!(kubectl.run(&["get", "ns", "kube-system", "-o", "jsonpath={.status.phase}"]).fine(), "Active");
    assert!(kubectl.run(&["get", "deployments", "-A", "-o", "yaml"]).fine().contains("DB_POOL_MAX"));
    assert!(kubectl.run(&["get", "all"]).fine().contains("deployment.apps/ticket-service"));
    kubectl.run(&["get", "deployment", "nobody"]).refused(r#"Error from server (NotFound): deployments.apps "nobody" not found"#);
}

#[test]
fn kubectl_scales_and_watches_until_it_is_done() {
    let kubectl = Kubectl::new();
    let mut watching = kubectl.command(&["get", "deployment", "ticket-service", "-w", "--no-headers", "--request-timeout=20s"]);
    let mut watching = watching.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("kubectl starts");
    let mut lines = BufReader::new(watching.stdout.take().expect("its output")).lines().map(|line| line.expect("a line"));
    assert!(lines.next().is_some_and(|line| line.contains("2/2")));
    assert_eq!(kubectl.run(&["scale", "deployment/ticket-service", "--replicas=4"]).fine(), "deployment.apps/ticket-service scaled\n");
    // The watch ends by itself when its time is over, so this does too.
    assert!(lines.any(|line| line.contains("4/4")), "the watch did not show four ready pods");
    watching.kill().and_then(|()| watching.wait()).expect("it is ended");
    assert!(kubectl.run(&["rollout", "status", "deployment/ticket-service", "--timeout=20s"]).fine().contains("successfully rolled out"));
    kubectl.run(&["wait", "--for=condition=Available", "deployment/ticket-service", "--timeout=20s"]).fine();
    assert_eq!(kubectl.stage.effects_on("spec.replicas"), ["2→4"]);
}

#[test]
fn kubectl_sets_a_variable_and_patches() {
    let kubectl = Kubectl::new();
    kubectl.run(&["set", "env", "deployment/ticket-service", "DB_POOL_MAX=9", "NEW=1"]).fine();
    let env = kubectl.run(&["get", "deployment", "ticket-service", "-o", "jsonpath={.spec.template.spec.containers[0].env}"]);
    assert_eq!(env.fine(), r#"[{"name":"DB_POOL_MAX","value":"9"},{"name":"NEW","value":"1"}]"#);
    kubectl.run(&["set", "env", "deployment/ticket-service", "NEW-"]).fine();
    kubectl.run(&["set", "resources", "deployment/ticket-service", "--limits=cpu=2000m"]).fine();
    let swap = r#"[{"op":"test","path":"/metadata/annotations/door","value":null},{"op":"add","path":"/metadata/annotations/door","value":"open"}]"#;
    kubectl.run(&["patch", "deployment", "ticket-service", "--type=json", "-p", swap]).fine();
    kubectl.run(&["patch", "deployment", "ticket-service", "--type=json", "-p", swap]).refused("the server rejected our request");
    kubectl.run(&["patch", "deployment", "ticket-service", "--type=merge", "-p", r#"{"spec":{"minReadySeconds":1}}"#]).fine();
    kubectl.run(&["annotate", "deployment", "ticket-service", "door-"]).fine();
    kubectl.run(&["rollout", "restart", "deployment/ticket-service"]).fine();
    let limit = ["get", "deployment", "ticket-service", "-o", "jsonpath={.spec.template.spec.containers[0].resources.limits.cpu}"];
    assert_eq!(kubectl.run(&limit).fine(), "2");
}

#[test]
fn kubectl_applies_and_is_told_of_conflicts() {
    let kubectl = Kubectl::new();
    let file = kubectl.manifest("hpa.yaml", &autoscaler(16));
    for expected in ["created", "unchanged"] {
        assert_eq!(kubectl.run(&["apply", "-f", &file]).fine(), format!("horizontalpodautoscaler.autoscaling/doors-hpa {expected}\n"));
    }
    kubectl.manifest("hpa.yaml", &autoscaler(20));
    assert!(kubectl.run(&["apply", "-f", &file]).fine().contains("configured"));
    let conflict = kubectl.manifest("mine.yaml", &autoscaler(24));
    let told = kubectl.run(&["apply", "--server-side", "--field-manager=mine", "-f", &conflict]);
    told.refused("Apply failed with 1 conflict: conflict with \"kubectl-client-side-apply\" using autoscaling/v2: .spec.maxReplicas");
    kubectl.run(&["apply", "--server-side", "--field-manager=mine", "--force-conflicts", "-f", &conflict]).fine();
    assert_eq!(kubectl.stage.effects_on("spec.maxReplicas"), ["16→20", "20→24"]);
    let odd = kubectl.manifest("odd.yaml", &autoscaler(24).replace("minReplicas", "minReplica"));
    kubectl.run(&["apply", "-f", &odd]).refused("strict decoding error: unknown field \"spec.minReplica\"");
    let wrong = kubectl.manifest("wrong.yaml", &autoscaler(1));
    kubectl.run(&["apply", "-f", &wrong]).refused("must be greater than or equal to `minReplicas`");
    kubectl.run(&["delete", "hpa", "doors-hpa"]).fine();
    kubectl.run(&["get", "hpa", "doors-hpa"]).refused("not found");
}

#[test]
fn kubectl_describes_the_deployment_and_its_autoscaler() {
    let kubectl = Kubectl::new();
    let described = kubectl.run(&["describe", "deployment", "ticket-service"]).fine().to_owned();
    for expected in ["2 desired | 2 updated | 2 total | 2 available", "DB_POOL_MAX:  20", "Available      True"] {
        assert!(described.contains(expected), "no `{expected}` in {described}");
    }
    let file = kubectl.manifest("hpa.yaml", &autoscaler(16));
    kubectl.run(&["create", "-f", &file]).fine();
    kubectl.run(&["create", "-f", &file]).refused(r#"horizontalpodautoscalers.autoscaling "doors-hpa" already exists"#);
    let described = kubectl.run(&["describe", "hpa", "doors-hpa"]).fine().to_owned();
    for expected in ["Deployment/ticket-service", "/ 70%", "Max replicas:"] {
        assert!(described.contains(expected), "no `{expected}` in {described}");
    }
    assert!(kubectl.run(&["get", "hpa"]).fine().contains("Deployment/ticket-service"));
    assert!(kubectl.run(&["events", "-n", "staging"]).success);
}

#[test]
fn kubectl_is_refused_as_the_account_may_not() {
    let kubectl = Kubectl::new();
    kubectl.account("viewer");
    kubectl.run(&["get", "pods"]).fine();
    let why = r#"deployments.apps "ticket-service" is forbidden: User "viewer" cannot patch resource "deployments/scale" in API group "apps" in the namespace "production""#;
    kubectl.run(&["scale", "deployment/ticket-service", "--replicas=4"]).refused(why);
    kubectl.account("expired");
    kubectl.run(&["get", "pods"]).refused("You must be logged in to the server");
    assert!(kubectl.stage.effects().is_empty());
}

#[test]
fn a_deployment_of_kubectls_own_comes_and_goes() {
    let kubectl = Kubectl::new();
    let file = kubectl.manifest(
        "doors.yaml",
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: { name: doors, namespace: production }\nspec:\n  \
         selector: { matchLabels: { app: doors } }\n  template:\n    metadata: { labels: { app: doors } }\n    \
         spec: { containers: [{ name: doors, image: 'registry.example/doors:1' }] }\n",
    );
    kubectl.run(&["apply", "--server-side", "-f", &file]).fine();
    kubectl.run(&["rollout", "status", "deployment/doors", "--timeout=20s"]).fine();
    kubectl.run(&["delete", "-f", &file]).fine();
    kubectl.run(&["wait", "--for=delete", "pod", "-l", "app=doors", "--timeout=20s"]).fine();
    assert_eq!(kubectl.run(&["get", "pods", "-l", "app=doors", "-o", "name"]).fine(), "");
}

#[test]
fn kubectl_shows_tables_with_the_columns_of_a_real_cluster() {
    let kubectl = Kubectl::new();
    kubectl.stage.run(&["sandbox", "reset", "--autoscaler", "cpu"]).code(0);
    for (words, expected) in [
        (&["get", "pods"][..], "NAME READY STATUS RESTARTS AGE"),
        (&["get", "pods", "-o", "wide"], "NAME READY STATUS RESTARTS AGE IP NODE NOMINATED NODE READINESS GATES"),
        (&["get", "deploy", "-o", "wide"], "NAME READY UP-TO-DATE AVAILABLE AGE CONTAINERS IMAGES SELECTOR"),
        (&["get", "rs"], "NAME DESIRED CURRENT READY AGE"),
        (&["get", "hpa"], "NAME REFERENCE TARGETS MINPODS MAXPODS REPLICAS AGE"),
        (&["get", "nodes"], "NAME STATUS ROLES AGE VERSION"),
        (&["get", "events"], "LAST SEEN TYPE REASON OBJECT MESSAGE"),
        (&["get", "endpointslices"], "NAME ADDRESSTYPE PORTS ENDPOINTS AGE"),
        (&["get", "svc"], "NAME TYPE CLUSTER-IP EXTERNAL-IP PORT(S) AGE"),
        (&["get", "ns"], "NAME STATUS AGE"),
    ] {
        assert_eq!(kubectl.columns(words).join(" "), expected, "{words:?}");
    }
    let autoscaler = kubectl.run(&["get", "hpa"]).fine().to_owned();
    assert!(autoscaler.contains("%/70%   2         16        2"), "{autoscaler}");
    // As the procedure asks for them; the real one warns here, too.
    let endpoints = kubectl.run(&["get", "endpoints", "ticket-service"]);
    assert!(endpoints.success && endpoints.out.matches(":8080").count() == 2 && endpoints.err.contains("deprecated"), "{}", endpoints.out);
}

#[test]
fn kubectl_selects_by_labels_and_fields() {
    let kubectl = Kubectl::new();
    let lines = |words: &[&str]| kubectl.run(words).out.lines().filter(|line| !line.is_empty()).count();
    assert_eq!(lines(&["get", "pods", "-l", "app in (ticket-service,other),!missing", "-o", "name"]), 2);
    // With the three of RabbitMQ's in a namespace of their own.
    assert_eq!(lines(&["get", "pods", "-A", "--field-selector=status.phase=Running", "-o", "name"]), 5);
    assert_eq!(lines(&["get", "pods", "--field-selector=status.phase=Pending", "-o", "name"]), 0);
    let pod = &kubectl.pods()[0];
    let about = format!("involvedObject.kind=Pod,involvedObject.name={pod},type=Normal");
    let events = ["get", "events", "--field-selector", &about, "-o", "custom-columns=R:.reason", "--no-headers"];
    // Within a second, too, they are in the order in which they happened.
    assert_eq!(kubectl.run(&events).fine(), "Scheduled\nPulled\nCreated\nStarted\n");
    assert!(kubectl.run(&["get", "events", "--sort-by=.lastTimestamp"]).fine().contains("ScalingReplicaSet"));
    kubectl.run(&["get", "pods", "--field-selector=spec.colour=red"]).refused("field label not supported: spec.colour");
}

#[test]
fn kubectl_rolls_out_and_back() {
    let kubectl = Kubectl::new();
    let pool = ["get", "deployment", "ticket-service", "-o", "jsonpath={.spec.template.spec.containers[0].env[0].value}"];
    let at_first = kubectl.pods();
    kubectl.run(&["set", "env", "deployment/ticket-service", "DB_POOL_MAX=9"]).fine();
    kubectl.rolled_out();
    let then = kubectl.pods();
    assert!(then.len() == 2 && at_first.iter().all(|pod| !then.contains(pod)), "{at_first:?} {then:?}");
    let environment = ["get", "pods", "-l", "app=ticket-service", "-o", "jsonpath={.items[*].spec.containers[0].env[0].value}"];
    let known = ["rollout", "history", "deployment/ticket-service", "--revision=2"];
    assert!(kubectl.run(&known).fine().contains("DB_POOL_MAX:\t9"));
    kubectl.run(&["rollout", "undo", "deployment/ticket-service"]).fine();
    kubectl.rolled_out();
    assert_eq!(kubectl.run(&pool).fine(), "20");
    until("pods with the former size only", || kubectl.run(&environment).fine() == "20 20");
    kubectl.run(&["rollout", "pause", "deployment/ticket-service"]).fine();
    let image = "ticket-service=registry.example/ticket-service:2";
    kubectl.run(&["set", "image", "deployment/ticket-service", image]).fine();
    kubectl.run(&["rollout", "restart", "deployment/ticket-service"]).refused("can't restart paused deployment");
    let before = kubectl.pods();
    let status = kubectl.run(&["rollout", "status", "deployment/ticket-service", "--watch=false"]);
    assert!(status.fine().contains("0 out of 2 new replicas have been updated"), "{}", status.out);
    kubectl.run(&["rollout", "resume", "deployment/ticket-service"]).fine();
    kubectl.rolled_out();
    kubectl.run(&["rollout", "restart", "deployment/ticket-service"]).fine();
    kubectl.rolled_out();
    assert!(kubectl.pods().iter().all(|pod| !before.contains(pod)));
    let history = kubectl.run(&["rollout", "history", "deployment/ticket-service"]).fine().to_owned();
    let revisions: Vec<&str> = history.lines().skip(2).filter_map(|line| line.split_whitespace().next()).collect();
    assert_eq!(revisions, ["2", "3", "4", "5"]);
}

#[test]
fn kubectl_describes_what_happened() {
    let kubectl = Kubectl::new();
    kubectl.stage.run(&["sandbox", "reset", "--autoscaler", "cpu"]).code(0);
    kubectl.run(&["scale", "deployment/ticket-service", "--replicas=3"]).fine();
    let mut described = String::new();
    // The controller's event comes after the change.
    until("the deployment's events", || {
        kubectl.run(&["describe", "deployment", "ticket-service"]).fine().clone_into(&mut described);
        described.contains("from 2 to 3")
    });
    for expected in ["NewReplicaSet:   ticket-service-", "ScalingReplicaSet", "from 0 to 2"] {
        assert!(described.contains(expected), "no `{expected}` in {described}");
    }
    let mut autoscaler = String::new();
    until("metrics of the autoscaler", || {
        kubectl.run(&["describe", "hpa", "ticket-service-hpa"]).fine().clone_into(&mut autoscaler);
        autoscaler.contains("ValidMetricFound")
    });
    for expected in
        ["(as a percentage of request):", "/ 70%", "AbleToScale", "ScalingLimited", "Stabilization Window: 300 seconds", "Events:"]
    {
        assert!(autoscaler.contains(expected), "no `{expected}` in {autoscaler}");
    }
    kubectl.run(&["delete", "hpa", "ticket-service-hpa"]).fine();
    kubectl.run(&["set", "resources", "deployment/ticket-service", "--requests=cpu=20", "--limits=cpu=20"]).fine();
    let pending = ["get", "pods", "--field-selector=status.phase=Pending", "-o", "jsonpath={.items[0].metadata.name}"];
    let mut pod = String::new();
    until("a pod that waits for a node", || {
        let told = kubectl.run(&pending);
        told.out.clone_into(&mut pod);
        told.success && !pod.is_empty()
    });
    let why = "0/3 nodes are available: 3 Insufficient cpu.";
    until("the scheduler's words", || kubectl.run(&["describe", "pod", &pod]).out.contains(why));
    let described = kubectl.run(&["describe", "pod", &pod]).fine().to_owned();
    for expected in ["Pending", "PodScheduled   False", "FailedScheduling", "default-scheduler"] {
        assert!(described.contains(expected), "no `{expected}` in {described}");
    }
    assert!(kubectl.run(&["get", "events", "--field-selector=type=Warning"]).fine().contains("FailedScheduling"));
}

#[test]
fn kubectl_reaches_pods() {
    let kubectl = Kubectl::new();
    let pod = &kubectl.pods()[0];
    assert!(kubectl.run(&["logs", pod, "--tail=1"]).fine().ends_with("ready\n"));
    assert_eq!(kubectl.run(&["logs", "-l", "app=ticket-service", "--prefix", "--tail=1"]).fine().lines().count(), 2);
    kubectl.run(&["logs", pod, "--previous"]).refused("previous terminated container");
    let path = format!("/api/v1/namespaces/production/pods/{pod}:8080/proxy/health/ready");
    assert!(kubectl.run(&["get", "--raw", &path]).fine().contains("ready"));
    kubectl.run(&["label", "pod", pod, "seen=yes"]).fine();
    kubectl.run(&["delete", "pod", pod]).fine();
    assert!(!kubectl.pods().contains(pod));
    assert_eq!(kubectl.run(&["auth", "can-i", "patch", "deployments"]).fine(), "yes\n");
    kubectl
        .run(&["create", "configmap", "doors", "--from-literal=a=b"])
        .refused("the sandbox reads no protobuf: add `--dry-run=client -o yaml");
    kubectl.account("viewer");
    assert_eq!(kubectl.run(&["auth", "can-i", "patch", "deployments"]).out, "no\n");
}

#[test]
fn kubectl_runs_commands_in_pods_and_forwards_their_ports() {
    let kubectl = Kubectl::new();
    let pod = &kubectl.pods()[0];
    assert_eq!(kubectl.run(&["exec", pod, "--", "printenv", "DB_POOL_MAX"]).fine(), "20\n");
    assert_eq!(kubectl.run(&["exec", "deployment/ticket-service", "-c", "ticket-service", "--", "echo", "in"]).fine(), "in\n");
    let failed = kubectl.run(&["exec", pod, "--", "sh", "-c", "echo out; echo err >&2; exit 7"]);
    assert_eq!((failed.success, failed.out.as_str()), (false, "out\n"));
    failed.refused("err\ncommand terminated with exit code 7");
    kubectl.account("viewer");
    kubectl.run(&["exec", pod, "--", "true"]).refused("cannot create resource \"pods/exec\"");
    kubectl.account("admin");

    let mut forward = kubectl.command(&["port-forward", "service/ticket-service", ":80"]).stdout(Stdio::piped()).spawn().expect("kubectl");
    let mut lines = BufReader::new(forward.stdout.take().expect("its output"));
    let mut line = String::new();
    lines.read_line(&mut line).expect("a line");
    let port = line.strip_prefix("Forwarding from 127.0.0.1:").and_then(|rest| rest.split(' ').next());
    let port: u16 = port.and_then(|port| port.parse().ok()).unwrap_or_else(|| panic!("{line}"));
    for _ in 0..2 {
        let mut stream = std::net::TcpStream::connect(("127.0.0.1", port)).expect("a connection");
        stream.write_all(b"GET /health/ready HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").expect("sent");
        let mut answer = String::new();
        let _ended = stream.read_to_string(&mut answer);
        assert!(answer.starts_with("HTTP/1.1 200 ") && answer.contains("\"status\":\"ready\""), "{answer}");
    }
    let _killed = forward.kill();
    let _ended = forward.wait();
}

/// kubectl keeps what it has found out of a server in folders that are called after its address.
#[test]
fn promise_6_kubectl_writes_no_token_into_its_cache() {
    let kubectl = Kubectl::new();
    let config = std::fs::read_to_string(kubectl.file("kubeconfig")).expect("a kubeconfig");
    let token = config.lines().find_map(|line| line.trim().strip_prefix("token: ")).expect("a token").trim_matches('"').to_owned();
    kubectl.run(&["get", "pods"]).fine();
    fn names(folder: &std::path::Path, all: &mut Vec<String>) {
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            all.push(entry.path().to_string_lossy().into_owned());
            names(&entry.path(), all);
        }
    }
    let mut all = Vec::new();
    names(&kubectl.file(".kube"), &mut all);
    assert!(!all.is_empty() && all.iter().all(|name| !name.contains(&token)), "{all:#?}");
}

#[test]
fn kubectl_shows_what_pods_and_nodes_use() {
    let kubectl = Kubectl::new();
    assert_eq!(kubectl.columns(&["top", "pods", "-l", "app=ticket-service"]), ["NAME", "CPU(cores)", "MEMORY(bytes)"]);
    let line = kubectl.run(&["top", "pods", "-l", "app=ticket-service", "--no-headers"]).fine().to_owned();
    assert!(line.lines().count() == 2 && line.lines().all(|line| line.contains("15m") && line.contains("200Mi")), "{line}");
    assert!(kubectl.run(&["top", "nodes"]).fine().contains('%'));
}

#[test]
fn kubectl_and_the_playbook_resize_pods_in_place() {
    let kubectl = Kubectl::on(Stage::new().repository_playbook("resize"));
    let amounts = |side: &str| {
        let path = format!("jsonpath={{range .items[*]}}{{.status.containerStatuses[0].resources.{side}}}{{\"\\n\"}}{{end}}");
        kubectl.run(&["get", "pods", "-l", "app=ticket-service", "-o", &path]).fine().lines().map(str::to_owned).collect::<Vec<_>>()
    };
    let (pods, before) = (kubectl.pods(), (amounts("requests"), amounts("limits")));
    assert_eq!(before.0, [r#"{"cpu":"250m","memory":"256Mi"}"#; 2]);
    let larger = r#"{"spec":{"containers":[{"name":"ticket-service","resources":{"requests":{"cpu":"300m"}}}]}}"#;
    kubectl.run(&["patch", "pod", &pods[0], "--subresource=resize", "-p", larger]).fine();
    until("a pod that runs with more", || amounts("requests").contains(&r#"{"cpu":"300m","memory":"256Mi"}"#.to_owned()));
    kubectl.run(&["patch", "pod", &pods[0], "--subresource=resize", "-p", &larger.replace("300m", "250m")]).fine();
    until("the former requests", || amounts("requests") == before.0);

    kubectl.stage.run(&["run", "resize", "-p", "mode=in_place"]).code(0).stdout_has("succeeded");
    assert_eq!(amounts("requests"), [r#"{"cpu":"500m","memory":"512Mi"}"#; 2]);
    assert_eq!(amounts("limits"), [r#"{"cpu":"2","memory":"1Gi"}"#; 2]);
    kubectl.stage.run(&["rollback", "--yes"]).code(0).stdout_has("rolled_back");
    until("what was there", || (amounts("requests"), amounts("limits")) == before);
    assert_eq!(kubectl.pods(), pods);
}
