//! The repository's playbooks, whole, on a real control plane: what was there is put back, compared object by object.

use std::sync::Mutex;
use std::time::Duration;

use serde_json::{Value, json};

use super::playbooks::Case;
use super::support::real::{Fault, RealStage, Way};
use super::support::{EVENT, Objects, in_parallel, step_of};

const DEPLOYMENT: &str = "deployments/ticket-service";
const HPA: &str = "horizontalpodautoscalers/ticket-service-hpa";
/// What the pools of all pods together may hold: the server's connections without those of others.
const FREE: u64 = 189;

/// The autoscaler of the scaling procedure, on the CPU alone.
fn autoscaler() -> Value {
    let cpu = json!({ "type": "Resource", "resource": { "name": "cpu", "target": { "type": "Utilization", "averageUtilization": 70 } } });
    json!({
        "apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": { "name": "ticket-service-hpa" },
        "spec": {
            "scaleTargetRef": { "apiVersion": "apps/v1", "kind": "Deployment", "name": "ticket-service" },
            "minReplicas": 2, "maxReplicas": 16, "metrics": [cpu],
        },
    })
}

/// A ScaledObject of KEDA, on the CPU alone, as [`autoscaler`]; what it scales down goes at once.
fn scaled_object() -> Value {
    let cpu = json!({ "type": "cpu", "metricType": "Utilization", "metadata": { "value": "70" } });
    let quick = json!({ "horizontalPodAutoscalerConfig": { "behavior": { "scaleDown": { "stabilizationWindowSeconds": 0 } } } });
    json!({
        "apiVersion": "keda.sh/v1alpha1", "kind": "ScaledObject", "metadata": { "name": "ticket-service-scaler" },
        "spec": {
            "scaleTargetRef": { "name": "ticket-service" }, "minReplicaCount": 2, "maxReplicaCount": 16, "triggers": [cpu], "advanced": quick,
        },
    })
}

/// A stage on which the case can run.
pub fn stage(case: &Case, way: Way) -> RealStage {
    let stage = RealStage::new(way).quick(case.playbook);
    if let Some(pool) = case.pool {
        let container = json!({ "name": "ticket-service", "env": [{ "name": "DB_POOL_MAX", "value": pool.to_string() }] });
        let patch = json!({ "spec": { "template": { "spec": { "containers": [container] } } } });
        stage.patch("/apis/apps/v1", DEPLOYMENT, &patch);
        // Until its controller has taken that up, the former pods are as ready as these.
        stage
            .until("the pods of the new template are there alone", |stage| stage.pods().len() == 2 && wanted(stage) == 2 * u64::from(pool));
        stage.until_ready(2);
    }
    if case.autoscaler == "keda" {
        stage.create("/apis/keda.sh/v1alpha1", "scaledobjects", &scaled_object());
        let hpa = stage.path("/apis/autoscaling/v2", "horizontalpodautoscalers/keda-hpa-ticket-service-scaler");
        stage.until("KEDA scales it", |stage| stage.ask(http::Method::GET, &hpa, None).1["status"]["desiredReplicas"] == 2);
    }
    if case.autoscaler == "cpu" {
        stage.create("/apis/autoscaling/v2", "horizontalpodautoscalers", &autoscaler());
        stage.until("the autoscaler has looked", |stage| stage.get("/apis/autoscaling/v2", HPA)["status"]["desiredReplicas"] == 2);
    }
    stage
}

/// The command line that runs the case on a stage.
pub fn arguments(case: &Case, stage: &RealStage) -> Vec<String> {
    let words = case.arguments().into_iter().map(|word| word.replace(EVENT, stage.event()));
    words.chain(["--env".to_owned(), "staging".to_owned()]).collect()
}

/// Runs it and takes it back.
#[track_caller]
fn there_and_back(case: &Case) {
    let name = case.name();
    let stage = stage(case, Way::Direct);
    let before = stage.objects();
    stage.run(&arguments(case, &stage)).code(0).has_nowhere("SANDBOX");
    assert_eq!(stage.status_json()["status"], "succeeded", "{name}: {}", stage.run(&["status"]));
    assert_ne!(stage.objects(), before, "{name}");
    stage.run(&["rollback", "--yes"]).code(0);
    let status = stage.status_json();
    assert_eq!((&status["status"], status["owed"].as_array().map(Vec::len)), (&"rolled_back".into(), Some(0)), "{name}: {status:#}");
    stage.assert_as_before(&before, &name);
}

/// Says what the pods of ticket-service use of CPU together.
fn load(stage: &RealStage, cpu: &str) {
    let data = json!({ "metadata": { "name": "load" }, "data": { "ticket-service.cpu": cpu } });
    if stage.ask(http::Method::GET, &stage.path("/api/v1", "configmaps/load"), None).0 == 404 {
        stage.create("/api/v1", "configmaps", &data);
    } else {
        stage.patch("/api/v1", "configmaps/load", &data);
    }
}

/// The connections that the pools of all pods come to that are not gone.
fn wanted(stage: &RealStage) -> u64 {
    let pool = |pod: &Value| pod["spec"]["containers"][0]["env"][0]["value"].as_str().and_then(|size| size.parse::<u64>().ok());
    stage.pods().iter().map(|pod| pool(pod).expect("a pool")).sum()
}

/// That at no time while it runs the pools of all pods together go beyond what is free.
#[track_caller]
fn within_budget<T>(stage: &RealStage, run: impl FnOnce() -> T) -> T {
    let most = Mutex::new(0);
    let done = std::sync::atomic::AtomicBool::new(false);
    let ran = std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(std::sync::atomic::Ordering::SeqCst) {
                let now = wanted(stage);
                let mut most = most.lock().expect("no panic while it is held");
                *most = now.max(*most);
                drop(most);
                std::thread::sleep(Duration::from_millis(30));
            }
        });
        // A run that panics must not leave the other thread going.
        let ran = std::panic::catch_unwind(std::panic::AssertUnwindSafe(run));
        done.store(true, std::sync::atomic::Ordering::SeqCst);
        ran
    });
    match ran {
        Ok(ran) => {
            let most = most.into_inner().expect("no panic while it was held");
            assert!((1..=FREE).contains(&most), "the pools went beyond what is free, or were not seen: {most}");
            ran
        }
        Err(panic) => std::panic::resume_unwind(panic),
    }
}

fn replicas(stage: &RealStage) -> u64 {
    stage.deployment()["spec"]["replicas"].as_u64().expect("a number")
}

/// When the load comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Comes {
    /// While the pools are being changed: the autoscaler wants its pods before anybody raises its floor.
    Early,
    /// Once the floor is raised.
    Late,
}

/// A stage with pre-event done under an autoscaler that scales out to ten pods under a load that comes during the run; and its objects before.
fn scaled_out(comes: Comes, settle: &'static [&'static str]) -> (RealStage, Objects) {
    let case = Case { autoscaler: "cpu", ..Case::of("pre-event", settle) };
    let stage = stage(&case, if comes == Comes::Early { Way::Proxied } else { Way::Direct });
    load(&stage, "2m");
    let before = stage.objects();
    within_budget(&stage, || {
        // 70% of 250m are 175m for each pod: 1750m are the load of ten.
        let run = match comes {
            Comes::Early => {
                stage.proxy().fault("PATCH */deployments/ticket-service", Fault::HoldAnswer);
                let run = stage.start(&arguments(&case, &stage));
                stage.until_held();
                // Earlier, it would scale the pods of the old template out, too, whose pools nobody has proved.
                stage.until("the pods of the new template are there alone", |stage| stage.pods().len() == 2 && wanted(stage) == 18);
                load(&stage, "1750m");
                stage.until("the autoscaler scales out while the pools are being changed", |stage| replicas(stage) == 10);
                stage.proxy().let_go();
                run
            }
            Comes::Late => {
                let run = stage.start(&arguments(&case, &stage));
                stage.until("the floor is raised", |stage| stage.get("/apis/autoscaling/v2", HPA)["spec"]["minReplicas"] == 8);
                load(&stage, "1750m");
                run
            }
        };
        run.wait().code(0);
        stage.until("the autoscaler has scaled out", |stage| replicas(stage) == 10);
        stage.until_ready(10);
    });
    assert_eq!(stage.get("/apis/autoscaling/v2", HPA)["spec"]["minReplicas"], 8);
    (stage, before)
}

/// The load goes, and the autoscaler brings the pods down.
fn load_goes(stage: &RealStage) {
    load(stage, "2m");
    stage.until("the autoscaler has come down", |stage| replicas(stage) == 2);
}

/// The outputs of a diagnosis, which changed nothing.
#[track_caller]
fn diagnosed(stage: &RealStage, playbook: &str) -> Value {
    let before = stage.objects();
    let ran = stage.run(&["run", playbook, "--env", "staging", "--yes"]);
    assert!(matches!(ran.code, Some(0 | 1)), "{ran}");
    stage.assert_as_before(&before, playbook);
    stage.status_json()["outputs"].clone()
}

#[track_caller]
fn says(outputs: &Value, output: &str, words: &[&str]) {
    let text = outputs[output].to_string();
    for word in words {
        assert!(text.contains(word), "`{word}` is not in the output `{output}`: {outputs:#}");
    }
}

mod real_cluster {
    use super::*;

    #[test]
    fn promise_3_each_playbook_is_put_back_object_by_object() {
        let cases = [
            Case::of("pre-event", &[]),
            Case::of("pre-event", &["level=critical"]),
            Case::of("pre-event", &["level=medium"]),
            Case { autoscaler: "cpu", ..Case::of("pre-event", &["settle=15s"]) },
            Case::of("scale", &["replicas=6"]),
            Case::of("scale", &["replicas=1"]),
            Case { autoscaler: "cpu", pool: Some(9), ..Case::of("scale", &["replicas=5"]) },
            Case { autoscaler: "keda", ..Case::of("pre-event", &["settle=15s"]) },
            Case { autoscaler: "keda", pool: Some(9), ..Case::of("scale", &["replicas=5"]) },
            Case::of("pool-size", &["pool_size=12"]),
            Case::of("pool-size", &["pool_size=40"]),
            Case::of("autoscale-hpa", &["max=7"]),
            Case::of("autoscale-hpa", &["min=4", "max=6"]),
            Case { autoscaler: "cpu", ..Case::of("autoscale-hpa", &["min=3", "max=7"]) },
            Case::of("resize", &[]),
            Case::of("resize", &["mode=in_place"]),
        ];
        in_parallel(6, &cases, there_and_back);
    }

    #[test]
    fn promise_3_an_autoscaler_that_scales_out_during_the_run_comes_down_within_settle_once_its_load_has_gone() {
        let (stage, before) = scaled_out(Comes::Late, &["settle=20s"]);
        load(&stage, "2m");
        within_budget(&stage, || drop(stage.run(&["rollback", "--yes"]).code(0)));
        assert_eq!(stage.status_json()["status"], "rolled_back");
        stage.assert_as_before(&before, "under an autoscaler that scaled out");
    }

    #[test]
    fn promise_3_the_metric_that_holds_a_real_autoscaler_is_named_and_what_relies_on_it_stays() {
        let (stage, before) = scaled_out(Comes::Late, &["settle=2s"]);
        within_budget(&stage, || drop(stage.run(&["rollback", "--yes"]).code(5)));
        let status = stage.status_json();
        assert_eq!(status["status"], "stuck", "{status:#}");
        let scale = step_of(&status, "scale");
        assert_eq!(scale["status"], "kept", "{status:#}");
        let reason = scale["kept"]["reason"].as_str().unwrap_or_default();
        assert!(reason.contains("10 pods are there where 2 are wanted") && reason.contains("cpu is at 70% of 70%"), "{reason}");
        assert_eq!(step_of(&status, "pool_size")["status"], "succeeded", "what relies on it stays: {status:#}");
        assert_eq!(status["owed"][0]["words"], "deployment/ticket-service: DB_POOL_MAX 9 → 20", "{status:#}");
        stage.run(&["status"]).code(0).stdout_has("cpu is at 70%").stdout_has("runsheet retry");
        load_goes(&stage);
        stage.run(&["retry", "scale"]);
        assert_eq!(stage.status_json()["status"], "rolled_back", "{}", stage.run(&["status"]));
        stage.assert_as_before(&before, "once the load has gone");
    }

    #[test]
    fn promise_3_pods_that_the_autoscaler_wanted_by_itself_may_stay_and_no_pool_grows_beside_them() {
        let (stage, before) = scaled_out(Comes::Early, &["settle=20s"]);
        within_budget(&stage, || drop(stage.run(&["rollback", "--yes"]).code(5)));
        let status = stage.status_json();
        // The floor is as it was, and the pods were not its doing.
        assert_eq!(step_of(&status, "scale")["status"], "rolled_back", "{status:#}");
        assert_eq!(stage.get("/apis/autoscaling/v2", HPA)["spec"]["minReplicas"], 2);
        assert_eq!(step_of(&status, "pool_size")["status"], "rollback_failed", "{status:#}");
        stage.run(&["status"]).stdout_has("10 replicas + 3 surge + 0 terminating = 13 pods × 20 = 260 connections");
        load_goes(&stage);
        stage.run(&["retry", "pool_size"]);
        assert_eq!(stage.status_json()["status"], "rolled_back", "{}", stage.run(&["status"]));
        stage.assert_as_before(&before, "once the load has gone");
    }

    #[test]
    fn the_diagnoses_say_what_is_well_and_what_is_wrong_and_change_nothing() {
        let stage = RealStage::new(Way::Direct).plain("diagnose-pods").plain("diagnose-load");
        let found = diagnosed(&stage, "diagnose-pods");
        says(&found, "rollout", &["rolled out: 2 of 2 pods are available"]);
        assert_eq!((&found["problems"], &found["pods"]), (&json!([]), &json!("deployment/ticket-service: 2 pods, 2 ready")), "{found:#}");
        says(&found, "events", &["0 warnings"]);
        let found = diagnosed(&stage, "diagnose-load");
        assert_eq!((&found["replicas"], &found["autoscaler"]), (&json!(2), &json!("there is no autoscaler")), "{found:#}");
        says(&found, "endpoints", &["2 endpoints ready, 0 not ready"]);
        says(&found, "connections", &["= 60 connections", "189 free", "at most 63 a pod"]);
        // A rollout to an image that cannot be pulled, under an autoscaler, with a pod that fits on no node beside it.
        stage.create("/apis/autoscaling/v2", "horizontalpodautoscalers", &autoscaler());
        let container = json!({ "name": "ticket-service", "image": "registry.example/missing:2.0.0" });
        let template = json!({ "spec": { "template": { "spec": { "containers": [container] } } } });
        stage.patch("/apis/apps/v1", DEPLOYMENT, &template);
        stage
            .until("a pod cannot be pulled", |stage| stage.pods().iter().any(|pod| pod["status"].to_string().contains("ImagePullBackOff")));
        stage.until("the autoscaler has looked", |stage| stage.get("/apis/autoscaling/v2", HPA)["status"]["desiredReplicas"] == 2);
        let found = diagnosed(&stage, "diagnose-pods");
        says(&found, "rollout", &["1 of 2"]);
        says(&found, "pods", &["3 pods, 2 ready, 1 not ready (ImagePullBackOff: 1)"]);
        says(&found, "problems", &["ImagePullBackOff", "registry.example/missing:2.0.0"]);
        let found = diagnosed(&stage, "diagnose-load");
        assert_eq!(found["autoscaler"], "2 wanted, 2 to 16", "{found:#}");
        says(&found, "endpoints", &["2 endpoints ready"]);
    }
}
