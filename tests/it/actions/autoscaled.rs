//! Under a real HorizontalPodAutoscaler: its floor is raised, its controller follows, and it comes down again by its metrics.

mod real_cluster {
    use runsheet::model::outcome::Applied;
    use serde_json::{Value, json};

    use crate::support::Bench;

    const TICKETS: &str = "/apis/apps/v1/namespaces/production/deployments/ticket-service";
    const HPAS: &str = "/apis/autoscaling/v2/namespaces/production/horizontalpodautoscalers";

    fn hpa(name: &str, max: u32) -> Value {
        let target = json!({ "apiVersion": "apps/v1", "kind": "Deployment", "name": "ticket-service" });
        let cpu =
            json!({ "type": "Resource", "resource": { "name": "cpu", "target": { "type": "Utilization", "averageUtilization": 70 } } });
        let quick = json!({ "scaleDown": { "stabilizationWindowSeconds": 0 } });
        let spec = json!({ "scaleTargetRef": target, "minReplicas": 2, "maxReplicas": max, "metrics": [cpu], "behavior": quick });
        json!({ "apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": { "name": name }, "spec": spec })
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn its_controller_follows_the_floor_up_and_down() {
        let bench = Bench::real().await;
        bench.create(HPAS, hpa("tickets", 8)).await;
        let inputs = |replicas: u32| json!({ "workload": "deployment/ticket-service", "replicas": replicas });
        let refused = bench.step("k8s.scale", inputs(9)).try_plan().await.expect_err("a floor above the maximum");
        assert!(refused.message.contains("tickets goes up to 8") && refused.message.contains("maxReplicas"), "{refused}");

        let step = bench.step("k8s.scale", inputs(5));
        let intent = step.plan().await.intent;
        let Applied::Applied { outputs } = step.apply(&intent).await else { panic!("{}", bench.log.text()) };
        assert_eq!(
            (&outputs["floor"], &outputs["autoscaler"], &outputs["replicas"]),
            (&json!(true), &json!("tickets"), &json!(5)),
            "{outputs}"
        );
        let there = || async { (step.observe().await.ok()?["ready_replicas"] == 5).then_some(()) };
        bench.until("the autoscaler has brought five pods", there).await;
        // It is the autoscaler that set them, and a reading tells nobody else off for it.
        let reading = step.observe().await.unwrap();
        assert_eq!(reading["holds"], Value::Null, "{reading:#}");

        assert!(matches!(step.revert(&intent).await, Applied::Applied { .. }));
        step.until_followed(&intent).await;
        let object = bench.get(TICKETS).await.unwrap();
        assert_eq!((&object["spec"]["replicas"], &object["status"]["readyReplicas"]), (&json!(2), &json!(2)), "{object:#}");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn what_holds_its_pods_is_the_metric_that_it_names() {
        let bench = Bench::real().await;
        let load =
            json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "load" }, "data": { "ticket-service.cpu": "700m" } });
        bench.create("/api/v1/namespaces/production/configmaps", load).await;
        bench.create(HPAS, hpa("tickets", 8)).await;
        let step = bench.step("k8s.scale", json!({ "workload": "deployment/ticket-service", "replicas": 6 }));
        let scaled_out = || async { (step.observe().await.ok()?["ready_replicas"] == 4).then_some(()) };
        bench.until("the load has brought four pods", scaled_out).await;
        let intent = step.plan().await.intent;
        assert!(matches!(step.apply(&intent).await, Applied::Applied { .. }));
        let there = || async { (step.observe().await.ok()?["ready_replicas"] == 6).then_some(()) };
        bench.until("the floor has brought six", there).await;
        bench.patch("/api/v1/namespaces/production/configmaps/load", json!({ "data": { "ticket-service.cpu": "1050m" } })).await;
        assert!(matches!(step.revert(&intent).await, Applied::Applied { .. }));
        let held = || async {
            match step.action.followed(&step.cx, &intent).await.ok()? {
                runsheet::model::outcome::Followed::No { holds } => holds.contains("cpu").then_some(holds),
                runsheet::model::outcome::Followed::Yes => None,
            }
        };
        let holds = bench.until("what holds them is told", held).await;
        assert!(holds.contains("6 pods are there where 4 are wanted"), "{holds}");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn two_of_them_on_one_workload_are_named_and_nothing_is_sent() {
        let bench = Bench::real().await;
        for name in ["tickets", "another"] {
            bench.create(HPAS, hpa(name, 8)).await;
        }
        let changes = bench.cluster.changes();
        let refused = bench.step("k8s.scale", json!({ "workload": "deployment/ticket-service", "replicas": 4 })).try_plan().await;
        let refused = refused.expect_err("two of them");
        assert!(refused.message.contains("tickets") && refused.message.contains("another"), "{refused}");
        assert_eq!(bench.cluster.changes(), changes);
    }
}
