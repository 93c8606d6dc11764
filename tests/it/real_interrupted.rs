//! A real API server that goes away in the middle of a run, and credentials that do: nothing is lost, and the run ends as it would have without.
//!
//! Invariant: what a test stops is its own control plane's. Where pods are to be waited for, something keeps them from coming or going, so that no test
//! depends on how quick it is.

use std::sync::Arc;

use serde_json::{Value, json};

use super::playbooks::Case;
use super::real_playbooks::arguments;
use super::support::real::{Fault, Kubernetes, RealStage, Way};
use super::support::{Live, Objects, in_parallel, step_of};

/// What changes the replicas, as the proxy is asked for it and as it is told.
const ROUTE: &str = "PATCH */deployments/ticket-service/scale";
const WRITE: &str = "PATCH deployments/ticket-service/scale";

/// As `scale`, but where it fails it pauses.
const GROW: &str = "\
playbook: grow
summary: Grow, and wait for the pods
steps:
  - id: grow
    uses: k8s.scale
    with: { workload: deployment/ticket-service, replicas: 6 }
    check:
      after:
        - that: ${{ result.ready_replicas >= 6 }}
          within: 1m
          every: 100ms
";

/// A stage with playbooks that scale, and its objects before.
struct Scaling {
    stage: RealStage,
    before: Objects,
}

impl Scaling {
    fn on(kubernetes: &Arc<Kubernetes>, way: Way) -> Self {
        let stage = RealStage::on(Arc::clone(kubernetes), way).quick("scale");
        stage.write_playbook("grow", GROW);
        let before = stage.objects();
        Self { stage, before }
    }

    fn start(&self) -> Live {
        self.stage.start(&arguments(&Case::of("scale", &["replicas=6"]), &self.stage))
    }

    fn start_rollback(&self) -> Live {
        self.stage.start(&["rollback", "--yes"])
    }

    /// Keeps pods that are deleted from going, or lets them go.
    fn keep_pods(&self, keep: bool) {
        let finalizers = if keep { json!(["runsheet.test/stays"]) } else { Value::Null };
        for pod in self.stage.pods() {
            let name = pod["metadata"]["name"].as_str().unwrap_or_default();
            self.stage.patch("/api/v1", &format!("pods/{name}"), &json!({ "metadata": { "finalizers": finalizers } }));
        }
    }

    fn status(&self) -> String {
        self.stage.status_json()["status"].as_str().unwrap_or_default().to_owned()
    }

    #[track_caller]
    fn assert_rolled_back(&self) {
        assert_eq!(self.status(), "rolled_back", "{}", self.stage.run(&["status"]));
        self.stage.assert_as_before(&self.before, "in the end");
        if self.stage.is_proxied() {
            assert_eq!(self.stage.writes(), [WRITE; 2]);
        }
    }
}

mod real_cluster {
    use super::*;

    #[test]
    fn promise_2_a_killed_api_server_is_waited_for_and_nothing_is_sent_twice() {
        let kubernetes = &Arc::new(Kubernetes::own());
        let all = [Way::Direct, Way::Proxied, Way::Direct, Way::Proxied, Way::Proxied];
        let all: Vec<Scaling> = std::thread::scope(|scope| {
            let started: Vec<_> = all.into_iter().map(|way| scope.spawn(move || Scaling::on(kubernetes, way))).collect();
            started.into_iter().map(|started| started.join().expect("a stage")).collect()
        });
        let [waiting, checking, back, unknown, stuck] = &all[..] else { panic!("there are five") };
        let (first, second) = (back.start(), stuck.start());
        first.wait().code(0);
        second.wait().code(0);
        // New pods find no node, and those that are to go stay.
        kubernetes.kill("kube-scheduler");
        back.keep_pods(true);
        let waits = waiting.start();
        checking.stage.proxy().fault(ROUTE, Fault::HoldAnswer);
        let checks = checking.start();
        let goes_back = back.start_rollback();
        unknown.stage.proxy().fault(ROUTE, Fault::HoldAndCut);
        let asks = unknown.start();
        stuck.stage.proxy().fault(ROUTE, Fault::HoldAndCut);
        let gives_up = stuck.start_rollback();
        waits.until_printed("2 pods are ready and ");
        goes_back.until_printed("4 of 6 pods are still terminating");
        let held = [checking, unknown, stuck];
        held.iter().for_each(|scaling| scaling.stage.until_held());
        kubernetes.kill("kube-apiserver");
        held.iter().for_each(|scaling| scaling.stage.proxy().let_go());

        // Whoever waits for pods goes on waiting, and says why nothing happens.
        waits.until_printed("no connection to the Kubernetes API: Connection refused");
        checks.until_printed("the connection to the Kubernetes API was cut");
        goes_back.until_printed("no connection to the Kubernetes API: Connection refused");
        // What came of a change is not guessed, and what cannot be taken back is named.
        asks.wait().code(5).stderr_has("the target could not be asked what came of it");
        assert_eq!((unknown.status(), unknown.stage.step_status("scale")), ("waiting".to_owned(), "unknown".to_owned()));
        let refused = unknown.stage.run(&["resume"]).code(6);
        refused.stderr_has("the target's identity cannot be read from").stderr_has("nothing was done");
        gives_up.wait().code(5).stdout_has("runsheet retry");
        assert_eq!((stuck.status(), stuck.stage.step_status("scale")), ("stuck".to_owned(), "rollback_failed".to_owned()));

        kubernetes.start("kube-apiserver");
        waiting.stage.until_api();
        // Its controllers wait ever longer after the API server was away, and some give up. With leader election they end, and are started again.
        kubernetes.kill("kube-controller-manager");
        kubernetes.start("kube-controller-manager");
        kubernetes.start("kube-scheduler");
        back.keep_pods(false);
        waits.wait().code(0);
        checks.wait().code(0);
        unknown.stage.run(&["resume"]).code(0);
        goes_back.wait().code(0);
        stuck.stage.run(&["retry", "scale"]);
        in_parallel(3, &[waiting, checking, unknown], |scaling| {
            assert_eq!(scaling.status(), "succeeded", "{}", scaling.stage.run(&["status"]));
            scaling.start_rollback().wait().code(0);
        });
        all.iter().for_each(Scaling::assert_rolled_back);
    }

    #[test]
    fn credentials_that_expire_in_the_middle_pause_the_run_which_goes_on_with_new_ones() {
        let scaling = Scaling::on(&Arc::new(Kubernetes::shared()), Way::Proxied);
        let stage = &scaling.stage;
        stage.proxy().fault(ROUTE, Fault::HoldAnswer);
        let run = stage.start(&["run", "grow", "--env", "staging", "--yes"]);
        stage.until_held();
        stage.proxy().revoke(true);
        stage.proxy().let_go();
        run.wait()
            .code(1)
            .stdout_has("the credentials are not accepted (401): Unauthorized")
            .stdout_has("renew the token of this environment");
        assert_eq!(scaling.status(), "paused");
        let refused = stage.run(&["resume"]).code(6);
        refused.stderr_has("does not accept the credentials (401)").stderr_has("log in to the cluster again");
        stage.proxy().revoke(false);
        stage.run(&["resume"]).code(0);
        assert_eq!((scaling.status(), stage.writes()), ("succeeded".to_owned(), vec![WRITE.to_owned()]));
        // The way back, whose every try is refused.
        stage.proxy().fault(ROUTE, Fault::HoldAndCut);
        let back = scaling.start_rollback();
        stage.until_held();
        stage.proxy().revoke(true);
        stage.proxy().let_go();
        back.wait().code(5).stdout_has("the credentials are not accepted (401): Unauthorized");
        let status = stage.status_json();
        assert_eq!((&status["status"], &step_of(&status, "grow")["status"]), (&"stuck".into(), &"rollback_failed".into()), "{status:#}");
        stage.run(&["retry", "grow"]).code(6).stderr_has("does not accept the credentials (401)");
        stage.proxy().revoke(false);
        stage.run(&["retry", "grow"]);
        scaling.assert_rolled_back();
    }

    #[test]
    fn credentials_that_expire_in_a_run_that_would_take_itself_back_leave_it_stuck_until_there_are_new_ones() {
        let scaling = Scaling::on(&Arc::new(Kubernetes::shared()), Way::Proxied);
        let stage = &scaling.stage;
        stage.proxy().fault(ROUTE, Fault::HoldAnswer);
        let run = scaling.start();
        stage.until_held();
        stage.proxy().revoke(true);
        stage.proxy().let_go();
        run.wait()
            .code(5)
            .stdout_has("the credentials are not accepted (401): Unauthorized")
            .stdout_has("deployment/ticket-service: replicas 6 → 2");
        assert_eq!(scaling.status(), "stuck");
        stage.run(&["status"]).code(0).stdout_has("renew the token of this environment").stdout_has("runsheet retry");
        stage.proxy().revoke(false);
        stage.run(&["retry", "scale"]);
        scaling.assert_rolled_back();
    }
}
