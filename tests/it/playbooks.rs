//! Each playbook of the repository that changes something, there and back: what was there is put back, compared object by object.

use super::support::{EVENT, Stage, in_parallel, until};

/// A way to run a playbook.
pub struct Case {
    /// The playbook.
    pub playbook: &'static str,
    /// Its parameters, `NAME=VALUE`.
    pub params: &'static [&'static str],
    /// The autoscaler that is there: `none`, `cpu`, `keda`.
    pub autoscaler: &'static str,
    /// The Argo CD that is there: `off`, `self-heal`.
    pub argocd: &'static str,
    /// The size the pools are given first, so that the autoscaler's maximum fits.
    pub pool: Option<u32>,
}

impl Case {
    /// Of a cluster without an autoscaler.
    pub const fn of(playbook: &'static str, params: &'static [&'static str]) -> Self {
        Self { playbook, params, autoscaler: "none", argocd: "off", pool: None }
    }

    /// A stage on which it can run, with a sandbox of that speed.
    pub fn stage(&self, speed: u32) -> Stage {
        let stage = Stage::new().quick_playbook(self.playbook).env("RUNSHEET_SANDBOX_AUTOSCALER", self.autoscaler);
        let stage = stage.env("RUNSHEET_SANDBOX_ARGOCD", self.argocd).sandbox(speed);
        let Some(pool) = self.pool else { return stage };
        let stage = if self.playbook == "pool-size" { stage } else { stage.quick_playbook("pool-size") };
        stage.run(&["run", "pool-size", "-p", &format!("pool_size={pool}"), "--yes"]).code(0);
        // What its rollout replaced is not part of what there is before.
        until("the former pods are gone", || stage.pods().iter().all(|pod| pod["metadata"]["deletionTimestamp"].is_null()));
        stage
    }

    /// The command line that runs it.
    pub fn arguments(&self) -> Vec<String> {
        let mut words = vec!["run".to_owned(), self.playbook.to_owned(), "--yes".to_owned()];
        if self.playbook == "pre-event" {
            words.extend(["-p".to_owned(), format!("event_id={EVENT}")]);
        }
        words.extend(self.params.iter().flat_map(|param| ["-p".to_owned(), (*param).to_owned()]));
        words
    }

    /// In words.
    pub fn name(&self) -> String {
        format!("{} {} under the autoscaler {}", self.playbook, self.params.join(" "), self.autoscaler)
    }
}

/// What the effects on the cluster were, in their order. Pods bear no names here, which are new in each cluster; their status is the cluster's own.
pub fn told(stage: &Stage) -> Vec<String> {
    let effects = stage.effects().into_iter().filter(|effect| !effect.field.starts_with("status."));
    let words = effects.map(|effect| {
        let object = if effect.object.contains("/pod/") { "production/pod" } else { &effect.object };
        format!("{object} {}: {}→{}", effect.field, effect.from, effect.to)
    });
    words.collect()
}

/// Runs it and takes it back, on a sandbox of that speed; what it changed, in order.
#[track_caller]
pub fn there_and_back(case: &Case, speed: u32) -> Vec<String> {
    let name = case.name();
    let stage = case.stage(speed);
    let (before, already) = (stage.objects(), told(&stage).len());
    stage.run(&case.arguments()).code(0);
    assert_eq!(stage.status_json()["status"], "succeeded", "{name}: {}", stage.run(&["status"]));
    let effects = told(&stage).split_off(already);
    stage.assert_within_budget(&name);
    let objects_changed = effects.iter().any(|effect| !effect.contains("/cache/"));
    assert_eq!(stage.objects() != before, objects_changed, "{name}: {effects:?}");
    stage.run(&["rollback", &stage.latest_run(), "--yes"]).code(0);
    let status = stage.status_json();
    assert_eq!((&status["status"], status["owed"].as_array().map(Vec::len)), (&"rolled_back".into(), Some(0)), "{name}: {status:#}");
    stage.assert_as_before(&before, &name);
    effects
}

#[test]
fn promise_3_pre_event_at_every_level_is_put_back_object_by_object() {
    let levels: [(&'static [&'static str], Option<&str>, Option<&str>); 4] = [
        (&["level=low"], None, None),
        (&["level=medium"], None, Some("spec.replicas: 2→4")),
        (&["level=high"], Some("\"20\"→\"18\""), Some("spec.replicas: 2→8")),
        (&["level=critical"], Some("\"20\"→\"9\""), Some("spec.replicas: 2→16")),
    ];
    in_parallel(4, &levels, |(params, pool, replicas)| {
        let effects = there_and_back(&Case::of("pre-event", params), 50);
        let wanted: Vec<&str> = pool.iter().chain(replicas).copied().chain(["fills: 0→1"]).collect();
        assert!(
            effects.len() == wanted.len() && effects.iter().zip(&wanted).all(|(is, wanted)| is.ends_with(wanted)),
            "{params:?}: {effects:?}"
        );
    });
}

#[test]
fn promise_3_pre_event_under_an_autoscaler_raises_its_floor_and_gives_it_back() {
    let effects = there_and_back(&Case { autoscaler: "cpu", ..Case::of("pre-event", &[]) }, 400);
    let wanted = ["\"20\"→\"9\"", "spec.minReplicas: 2→8", "fills: 0→1"];
    assert!(effects.len() == wanted.len() && effects.iter().zip(wanted).all(|(is, wanted)| is.ends_with(wanted)), "{effects:?}");
}

#[test]
fn promise_3_scale_up_and_down_and_under_an_autoscaler_is_put_back() {
    let cases = [
        (Case::of("scale", &["replicas=6"]), "spec.replicas: 2→6"),
        (Case::of("scale", &["replicas=1"]), "spec.replicas: 2→1"),
        (Case { autoscaler: "cpu", pool: Some(9), ..Case::of("scale", &["replicas=5"]) }, "spec.minReplicas: 2→5"),
    ];
    in_parallel(3, &cases, |(case, wanted)| {
        let effects = there_and_back(case, 400);
        assert!(effects.len() == 1 && effects[0].ends_with(wanted), "{effects:?}");
    });
}

#[test]
fn promise_3_the_size_of_the_pools_is_put_back() {
    let cases = [(Case::of("pool-size", &["pool_size=12"]), "\"20\"→\"12\""), (Case::of("pool-size", &["pool_size=40"]), "\"20\"→\"40\"")];
    in_parallel(2, &cases, |(case, wanted)| {
        let effects = there_and_back(case, 50);
        assert!(effects.len() == 1 && effects[0].ends_with(wanted), "{effects:?}");
    });
}

#[test]
fn promise_3_an_autoscaler_that_was_created_is_gone_and_one_that_was_changed_is_as_it_was() {
    let created = there_and_back(&Case::of("autoscale-hpa", &["max=7"]), 400);
    assert!(created.iter().all(|effect| effect.contains("/hpa/")) && !created.is_empty(), "{created:?}");
    // One that is deleted leaves the replicas where it had them.
    there_and_back(&Case::of("autoscale-hpa", &["min=4", "max=6"]), 400);
    let changed = there_and_back(&Case { autoscaler: "cpu", ..Case::of("autoscale-hpa", &["min=3", "max=7"]) }, 400);
    for wanted in ["spec.minReplicas: 2→3", "spec.maxReplicas: 16→7"] {
        assert!(changed.iter().any(|effect| effect.ends_with(wanted)), "{wanted}: {changed:?}");
    }
}

#[test]
fn promise_3_pre_event_under_keda_raises_its_floor_for_pools_that_fit_its_maximum_and_gives_it_back() {
    let effects = there_and_back(&Case { autoscaler: "keda", ..Case::of("pre-event", &[]) }, 400);
    // 20 pods and 5 of a rollout: 7 connections for each. KEDA's own HPA is its own.
    let wanted = ["\"20\"→\"7\"", "production/scaledobject/ticket-service-scaler spec.minReplicaCount: 2→8", "fills: 0→1"];
    assert!(effects.len() == wanted.len() && effects.iter().zip(wanted).all(|(is, wanted)| is.ends_with(wanted)), "{effects:?}");
}

#[test]
fn promise_3_scale_under_keda_is_put_back() {
    let case = Case { autoscaler: "keda", pool: Some(7), ..Case::of("scale", &["replicas=5"]) };
    let effects = there_and_back(&case, 400);
    assert!(effects.len() == 1 && effects[0].ends_with("ticket-service-scaler spec.minReplicaCount: 2→5"), "{effects:?}");
}

#[test]
fn promise_3_a_scaled_object_that_was_created_is_gone_and_one_that_was_changed_is_as_it_was() {
    let created = there_and_back(&Case { pool: Some(9), ..Case::of("autoscale-keda", &["max=12"]) }, 400);
    assert_eq!(created, ["production/scaledobject/ticket-service-scaler exists: false→true"]);
    let changed = there_and_back(&Case { autoscaler: "keda", ..Case::of("autoscale-keda", &["min=3", "max=7"]) }, 400);
    for wanted in ["spec.minReplicaCount: 2→3", "spec.maxReplicaCount: 20→7"] {
        assert!(changed.iter().any(|effect| effect.ends_with(wanted)), "{wanted}: {changed:?}");
    }
    assert!(changed.iter().all(|effect| effect.contains("/scaledobject/")), "{changed:?}");
}

#[test]
fn promise_3_resources_are_put_back_after_a_rollout_and_in_place() {
    let cases = [Case::of("resize", &[]), Case::of("resize", &["mode=in_place"])];
    in_parallel(2, &cases, |case| drop(there_and_back(case, 50)));
}
