//! Writes that are late: while one is on its way, somebody else changes what it would change. Its precondition refuses it, and what they did stays.
//!
//! Promise 5: a process that lost its run and wakes up late overwrites nothing. Only a real API server can say so of its own preconditions.

mod real_cluster {
    use std::sync::Arc;

    use runsheet::model::outcome::Applied;
    use serde_json::{Value, json};

    use crate::support::real::{Fault, Proxy};
    use crate::support::{Bench, PATIENCE, deployment, settled};

    const DEPLOYMENTS: &str = "/apis/apps/v1/namespaces/production/deployments";
    const TICKETS: &str = "/apis/apps/v1/namespaces/production/deployments/ticket-service";
    const HPAS: &str = "/apis/autoscaling/v2/namespaces/production/horizontalpodautoscalers";
    const MAPS: &str = "/api/v1/namespaces/production/configmaps";
    const JOBS: &str = "/apis/batch/v1/namespaces/production/jobs";

    struct Late {
        bench: Bench,
        proxy: Arc<Proxy>,
    }

    impl Late {
        async fn start() -> Self {
            let (bench, proxy, _) = Bench::behind_proxy().await;
            Self { bench, proxy }
        }

        /// Holds the write on its way until somebody else is done.
        async fn write(&self, what: &str, route: &str, object: &str, write: impl Future<Output = Applied>, other: impl Future) {
            self.proxy.fault(route, Fault::Hold);
            let meanwhile = async {
                let held = tokio::time::timeout(PATIENCE, self.proxy.until_held()).await;
                held.unwrap_or_else(|_| panic!("{what}: nothing came on {route}: {:?}", self.proxy.seen()));
                other.await;
                let theirs = settled(self.bench.get(object).await);
                self.proxy.let_go();
                theirs
            };
            let (applied, theirs) = tokio::join!(write, meanwhile);
            let Applied::NotApplied { failure } = &applied else { panic!("{what}: {applied:?}") };
            assert!(!failure.transient && failure.hint.is_some(), "{what}: {failure:?}");
            assert_eq!(settled(self.bench.get(object).await), theirs, "{what}: what somebody else did stays");
        }
    }

    /// A change of an object that is there.
    struct Case<'a> {
        action: &'a str,
        inputs: Value,
        object: &'a str,
        /// The request that has the effect.
        route: &'a str,
        /// Where somebody else patches, if that is another path than the object's.
        other: Option<&'a str>,
        /// What they put there under the step, and what under its revert.
        theirs: [Value; 2],
        reverts: bool,
    }

    impl Case<'_> {
        async fn run(self, late: &Late) {
            let Self { action, object, route, theirs: [first, second], .. } = self;
            let (bench, path) = (&late.bench, self.other.unwrap_or(object));
            let step = bench.step(action, self.inputs);
            let intent = step.plan().await.intent;
            late.write(action, route, object, step.apply(&intent), bench.patch(path, first)).await;
            if !self.reverts {
                return;
            }
            let step = step.anew();
            let intent = step.plan().await.intent;
            let applied = step.apply(&intent).await;
            assert!(matches!(applied, Applied::Applied { .. }), "{action}: {applied:?}");
            late.write(&format!("the revert of {action}"), route, object, step.revert(&intent), bench.patch(path, second)).await;
        }
    }

    fn container(name: &str, part: Value) -> Value {
        let mut container = json!({ "name": name });
        container.as_object_mut().unwrap().extend(part.as_object().unwrap().clone());
        json!({ "spec": { "template": { "spec": { "containers": [container] } } } })
    }

    fn hpa(name: &str, workload: &str, max: u32) -> Value {
        let target = json!({ "apiVersion": "apps/v1", "kind": "Deployment", "name": workload });
        let cpu =
            json!({ "type": "Resource", "resource": { "name": "cpu", "target": { "type": "Utilization", "averageUtilization": 70 } } });
        let spec = json!({ "scaleTargetRef": target, "minReplicas": 1, "maxReplicas": max, "metrics": [cpu] });
        json!({ "apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": { "name": name }, "spec": spec })
    }

    fn map(name: &str, data: Value) -> Value {
        json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": name }, "data": data })
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_late_change_of_a_workload_is_refused() {
        let late = Late::start().await;
        let tickets = "deployment/ticket-service";
        let env = |name: &str, value: &str| container("ticket-service", json!({ "env": [{ "name": name, "value": value }] }));
        let cpu = |amount: &str| container("ticket-service", json!({ "resources": { "requests": { "cpu": amount } } }));
        let change = |action, inputs, route, theirs| Case { action, inputs, object: TICKETS, route, other: None, theirs, reverts: true };
        let route = "PATCH */deployments/ticket-service";
        let replicas = |count: u32| json!({ "spec": { "replicas": count } });
        let tier = |name: &str| json!({ "metadata": { "labels": { "tier": name } } });
        let inputs = json!({ "workload": tickets, "replicas": 4 });
        let cases = [
            change("k8s.scale", inputs, "PATCH */deployments/ticket-service/scale", [replicas(3), replicas(2)]),
            change(
                "k8s.set_env",
                json!({ "workload": tickets, "env": { "DB_POOL_MAX": 9 } }),
                route,
                [env("DB_POOL_MAX", "7"), env("DB_POOL_MAX", "6")],
            ),
            change(
                "k8s.set_env",
                json!({ "workload": tickets, "env": { "EVENT": "on-sale" } }),
                route,
                [env("EVENT", "a"), env("EVENT", "b")],
            ),
            change("k8s.set_resources", json!({ "workload": tickets, "requests": { "cpu": "500m" } }), route, [cpu("300m"), cpu("350m")]),
            change(
                "k8s.patch",
                json!({ "object": tickets, "set": { "metadata.labels.tier": "front" } }),
                route,
                [tier("back"), tier("side")],
            ),
        ];
        for case in cases {
            case.run(&late).await;
        }
        let annotations = json!({ "annotations": { "kubectl.kubernetes.io/restartedAt": "2026-01-01T00:00:00Z" } });
        let theirs = json!({ "spec": { "template": { "metadata": annotations } } });
        let restart =
            Case { reverts: false, ..change("k8s.rollout_restart", json!({ "workload": tickets }), route, [theirs, Value::Null]) };
        restart.run(&late).await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_late_change_from_nothing_and_of_a_pod_is_refused() {
        let late = Late::start().await;
        let bench = &late.bench;
        bench.create(DEPLOYMENTS, deployment("none", 0, "registry.example/app:1", "10m")).await;
        bench.create(DEPLOYMENTS, deployment("still", 1, "registry.example/app:1", "10m")).await;
        let object = format!("{DEPLOYMENTS}/none");
        // A Scale of zero has no field to be tested: its version is what is sent along.
        let step = bench.step("k8s.scale", json!({ "workload": "deployment/none", "replicas": 3 }));
        let intent = step.plan().await.intent;
        let other = bench.patch(&object, json!({ "spec": { "replicas": 1 } }));
        late.write("k8s.scale from 0", "PUT */deployments/none/scale", &object, step.apply(&intent), other).await;

        let of_it = || async { bench.list("/api/v1/namespaces/production/pods?labelSelector=app%3Dstill").await.first().cloned() };
        let pod = bench.until("there is a pod", of_it).await;
        let pod = format!("/api/v1/namespaces/production/pods/{}", pod["metadata"]["name"].as_str().unwrap());
        let cpu = |amount: &str| json!({ "spec": { "containers": [{ "name": "app", "resources": { "requests": { "cpu": amount } } }] } });
        let case = Case {
            action: "k8s.set_resources",
            inputs: json!({ "workload": "deployment/still", "mode": "in_place", "requests": { "cpu": "20m" } }),
            object: &pod,
            route: "PATCH */resize",
            other: Some(&format!("{pod}/resize")),
            theirs: [cpu("30m"), cpu("40m")],
            reverts: true,
        };
        case.run(&late).await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_late_change_of_an_autoscaler_or_of_a_manifest_is_refused() {
        let late = Late::start().await;
        let bench = &late.bench;
        bench.create(DEPLOYMENTS, deployment("scaled", 1, "registry.example/app:1", "10m")).await;
        bench.create(HPAS, hpa("floor", "scaled", 10)).await;
        bench.create(MAPS, map("shop", json!({ "theirs": "1" }))).await;
        let floor = format!("{HPAS}/floor");
        let spec = |field: &str, value: u32| json!({ "spec": { field: value } });
        let ours = |value: &str| json!({ "data": { "ours": value } });
        let inputs = json!({ "name": "floor", "workload": "deployment/scaled", "min": 2, "max": 12, "metrics": { "cpu": 60 } });
        let cases = [
            Case {
                action: "k8s.scale",
                inputs: json!({ "workload": "deployment/scaled", "replicas": 4 }),
                object: &floor,
                route: "PATCH */horizontalpodautoscalers/floor",
                other: None,
                theirs: [spec("minReplicas", 3), spec("minReplicas", 2)],
                reverts: true,
            },
            Case {
                action: "k8s.autoscaler",
                inputs,
                object: &floor,
                route: "PATCH */horizontalpodautoscalers/floor",
                other: None,
                theirs: [spec("maxReplicas", 11), spec("maxReplicas", 9)],
                reverts: true,
            },
            Case {
                action: "k8s.apply",
                inputs: json!({ "object": map("shop", json!({ "ours": "1" })), "force": true }),
                object: &format!("{MAPS}/shop"),
                route: "PATCH */configmaps/shop",
                other: None,
                theirs: [ours("2"), ours("3")],
                reverts: true,
            },
        ];
        for case in cases {
            case.run(&late).await;
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_late_creation_and_a_late_deletion_are_refused() {
        let late = Late::start().await;
        let bench = &late.bench;
        bench.create(DEPLOYMENTS, deployment("lone", 1, "registry.example/app:1", "10m")).await;
        let autoscaler = json!({ "name": "lone", "workload": "deployment/lone", "min": 1, "max": 3, "metrics": { "cpu": 70 } });
        for (action, inputs, collection, name, theirs) in [
            ("k8s.apply", json!({ "object": map("fresh", json!({ "a": "1" })) }), MAPS, "fresh", map("fresh", json!({ "a": "2" }))),
            ("k8s.autoscaler", autoscaler, HPAS, "lone", hpa("lone", "lone", 7)),
        ] {
            let (object, plural) = (format!("{collection}/{name}"), collection.rsplit_once('/').unwrap().1);
            let step = bench.step(action, inputs);
            let intent = step.plan().await.intent;
            let posts = format!("POST */{plural}");
            late.write(
                &format!("the creation by {action}"),
                &posts,
                &object,
                step.apply(&intent),
                bench.create(collection, theirs.clone()),
            )
            .await;
            bench.delete(&object).await;

            // Deleted while it is another's by now, and deleted while somebody made another under its name.
            let part = if collection == MAPS { "data" } else { "spec" };
            let changed = json!({ part: theirs[part] });
            let step = step.anew();
            let intent = step.plan().await.intent;
            assert!(matches!(step.apply(&intent).await, Applied::Applied { .. }), "{action}");
            let deletes = format!("DELETE */{plural}/{name}");
            late.write(&format!("the deletion by {action}"), &deletes, &object, step.revert(&intent), bench.patch(&object, changed)).await;
            bench.delete(&object).await;
            let step = step.anew();
            let intent = step.plan().await.intent;
            assert!(matches!(step.apply(&intent).await, Applied::Applied { .. }), "{action}");
            let route = format!("{deletes}*");
            late.write(&format!("the deletion by {action} of what was made anew"), &route, &object, step.revert(&intent), async {
                bench.delete(&object).await;
                bench.create(collection, theirs.clone()).await;
            })
            .await;
        }
        let step = bench.step("k8s.job", json!({ "name": "warm", "image": "registry.example/tools:1" }));
        let intent = step.plan().await.intent;
        let name = intent.note["name"].as_str().unwrap();
        let pod = json!({ "restartPolicy": "Never", "containers": [{ "name": "theirs", "image": "registry.example/theirs:1" }] });
        let theirs =
            json!({ "apiVersion": "batch/v1", "kind": "Job", "metadata": { "name": name }, "spec": { "template": { "spec": pod } } });
        late.write("k8s.job", "POST */jobs", &format!("{JOBS}/{name}"), step.apply(&intent), bench.create(JOBS, theirs)).await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_late_write_does_not_reach_what_was_made_anew_meanwhile() {
        let late = Late::start().await;
        let bench = &late.bench;
        let tickets = "deployment/ticket-service";
        let route = "PATCH */deployments/ticket-service";
        for (action, inputs, route) in [
            ("k8s.scale", json!({ "workload": tickets, "replicas": 4 }), "PATCH */deployments/ticket-service/scale"),
            ("k8s.set_env", json!({ "workload": tickets, "env": { "DB_POOL_MAX": 9 } }), route),
            ("k8s.patch", json!({ "object": tickets, "set": { "metadata.labels.tier": "front" } }), route),
        ] {
            let step = bench.step(action, inputs);
            let intent = step.plan().await.intent;
            late.write(action, route, TICKETS, step.apply(&intent), bench.make_anew(TICKETS)).await;
        }
        // A manifest that comes late creates nothing in the place of what was deleted.
        bench.create(MAPS, map("shop", json!({ "theirs": "1" }))).await;
        let (shop, route) = (format!("{MAPS}/shop"), "PATCH */configmaps/shop");
        let step = bench.step("k8s.apply", json!({ "object": map("shop", json!({ "ours": "1" })) }));
        let intent = step.plan().await.intent;
        late.write("k8s.apply", route, &shop, step.apply(&intent), bench.make_anew(&shop)).await;
        let step = step.anew();
        let intent = step.plan().await.intent;
        late.write("k8s.apply", route, &shop, step.apply(&intent), bench.delete(&shop)).await;
        assert_eq!(bench.get(&shop).await, None);
    }
}
