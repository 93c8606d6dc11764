//! Locks between machines on a real control plane: promise 5. Two stages are two machines; what comes late changes nothing.
//!
//! Invariant: after every run that came to an end, no Lease is left.

mod real_cluster {
    use serde_json::Value;

    use crate::support::real::{Fault, RealStage, Way};
    use crate::support::{Stage, until};

    const GROW: &str = "\
playbook: grow
summary: One change
params:
  replicas: { type: integer, default: 4 }
steps:
  - id: grow
    uses: k8s.scale
    with: { workload: deployment/ticket-service, replicas: \"${{ params.replicas }}\" }
";
    const RUN: [&str; 5] = ["run", "grow", "--env", "staging", "--yes"];
    const TO_SIX: [&str; 7] = ["run", "grow", "--env", "staging", "--yes", "-p", "replicas=6"];
    const TO_SIX_WAITING: [&str; 8] = ["run", "grow", "--env", "staging", "--yes", "-p", "replicas=6", "--wait"];
    /// Longer than any test waits, and short enough to be waited for.
    const LONG: (&str, &str) = ("RUNSHEET_LEASE_SECONDS", "600");
    const SHORT: (&str, &str) = ("RUNSHEET_LEASE_SECONDS", "2");
    const SCALE: &str = "PATCH */deployments/ticket-service/scale";

    /// Two machines on one namespace; the first reaches it through a proxy.
    fn two() -> (RealStage, Stage) {
        let here = RealStage::new(Way::Proxied);
        let there = here.neighbour();
        here.write_playbook("grow", GROW);
        there.write_playbook("grow", GROW);
        (here, there)
    }

    fn holders(stage: &RealStage) -> Vec<String> {
        let list = stage.get("/apis/coordination.k8s.io/v1", "leases");
        let leases = list["items"].as_array().expect("a list").iter();
        leases.map(|lease| lease["spec"]["holderIdentity"].as_str().unwrap_or_default().to_owned()).collect()
    }

    #[track_caller]
    fn none_left(stage: &RealStage) {
        assert_eq!(holders(stage), Vec::<String>::new(), "a Lease is left");
    }

    fn replicas(stage: &RealStage) -> Value {
        stage.deployment()["spec"]["replicas"].clone()
    }

    #[test]
    fn promise_5_a_write_that_comes_late_is_refused_and_the_run_that_lost_its_lock_does_nothing_more() {
        let (here, there) = two();
        here.proxy().fault(SCALE, Fault::Hold);
        let late = here.start_with_env(&RUN, &[SHORT]);
        here.until_held();
        late.suspend();
        let [holder] = &holders(&here)[..] else { panic!("one object, one Lease: {:?}", holders(&here)) };
        assert!(holder.contains(&format!(" of grow, process {} on ", late.pid())), "{holder}");
        // Its request is on the way, and its Lease runs out: somebody else takes the lock over, and acts.
        there.run_with(&TO_SIX_WAITING, &[SHORT]).code(0);
        assert_eq!(replicas(&here), 6);
        // Now it arrives: what it would change is not as it was.
        here.proxy().let_go();
        until("the server has answered the late request", || {
            here.proxy().seen().iter().any(|seen| seen.path.contains("/scale") && seen.status == Some(422))
        });
        late.wake();
        late.wait().code(1);
        assert_eq!(replicas(&here), 6, "nothing was written over what the other has done");
        none_left(&here);
        // Whether it was applied nobody could tell it any more; its rollback finds another's value and leaves it.
        here.run_with(&["rollback", "--yes"], &[SHORT]).code(5).stdout_has("is 6: this run had changed it from 2 to 4, and somebody else");
        assert_eq!(replicas(&here), 6);
        none_left(&here);
    }

    #[test]
    fn promise_5_a_killed_run_goes_on_at_once_on_its_machine_and_holds_the_others_off() {
        let (here, there) = two();
        for (point, count) in [("before-effect:1", 4), ("effect:1", 4)] {
            let (killed, _) = {
                let ran = here.run_with(&RUN, &[LONG, ("RUNSHEET_CRASH_AT", point)]);
                (ran.was_killed(), ran)
            };
            assert!(killed, "{point}");
            there
                .run_with(&TO_SIX, &[LONG])
                .code(6)
                .stderr_has("on another machine (if that is dead, whoever waits with `--wait` has it in");
            here.run_with(&["resume"], &[LONG]).code(0);
            assert_eq!(replicas(&here), count, "{point}");
            none_left(&here);
            here.run_with(&["rollback", "--yes"], &[LONG]).code(0);
            assert_eq!(replicas(&here), 2, "{point}");
            none_left(&here);
        }
        there.run_with(&TO_SIX, &[LONG]).code(0);
        none_left(&here);
    }

    #[test]
    fn a_lease_that_somebody_deletes_or_takes_is_a_lock_that_is_lost() {
        let (here, there) = two();
        here.proxy().fault(SCALE, Fault::Hold);
        let run = here.start_with_env(&RUN, &[SHORT]);
        here.until_held();
        let list = here.get("/apis/coordination.k8s.io/v1", "leases");
        let name = list["items"][0]["metadata"]["name"].as_str().expect("a Lease").to_owned();
        let (status, _) = here.ask(http::Method::DELETE, &here.path("/apis/coordination.k8s.io/v1", &format!("leases/{name}")), None);
        assert_eq!(status, 200);
        there.run_with(&TO_SIX, &[SHORT]).code(0);
        here.proxy().let_go();
        run.wait().code(1);
        assert_eq!(replicas(&here), 6);
        none_left(&here);
    }
}
