//! A server that is busy, slow or forgetful.

mod real_cluster {
    use std::time::Duration;

    use runsheet::model::outcome::{Applied, Verdict};
    use serde_json::json;

    use crate::support::real::Fault;
    use crate::support::{Bench, settled};

    const TICKETS: &str = "/apis/apps/v1/namespaces/production/deployments/ticket-service";
    const SCALE: &str = "PATCH */deployments/ticket-service/scale";

    #[tokio::test(flavor = "multi_thread")]
    async fn one_that_asks_to_be_left_alone_has_done_nothing_and_says_for_how_long() {
        let (bench, proxy, _) = Bench::behind_proxy().await;
        let step = bench.step("k8s.scale", json!({ "workload": "deployment/ticket-service", "replicas": 4 }));
        let intent = step.plan().await.intent;
        for status in [429, 503] {
            proxy.fault(SCALE, Fault::Refuse(status, Some(7)));
            let applied = step.apply(&intent).await;
            let Applied::NotApplied { failure } = &applied else { panic!("{status}: {applied:?}") };
            assert!(failure.transient && failure.asked_wait() == Duration::from_secs(7), "{status}: {failure:?}");
            assert!(failure.message.contains("Retry-After: 7"), "{status}: {failure}");
            proxy.fault("GET */deployments/ticket-service", Fault::Refuse(status, Some(7)));
            let failure = step.observe().await.expect_err("it is busy");
            assert!(failure.transient && failure.asked_wait() == Duration::from_secs(7), "{status}: {failure:?}");
        }
        assert_eq!(step.verify(&intent).await, Verdict::Absent);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_write_that_takes_longer_than_its_time_is_unknown_until_it_is_asked_for() {
        let (bench, proxy, _) = Bench::behind_proxy().await;
        let mut step = bench.step("k8s.scale", json!({ "workload": "deployment/ticket-service", "replicas": 4 }));
        let intent = step.plan().await.intent;
        let before = settled(bench.get(TICKETS).await);
        step.cx.timeout = Some(Duration::from_millis(1500));
        proxy.fault(SCALE, Fault::Delay(Duration::from_secs(30)));
        let applied = step.apply(&intent).await;
        let Applied::Unknown { failure } = &applied else { panic!("{applied:?}") };
        assert!(failure.transient && failure.message.contains("did not answer within"), "{failure:?}");
        assert_eq!((step.verify(&intent).await, settled(bench.get(TICKETS).await)), (Verdict::Absent, before));
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_list_that_the_server_has_forgotten_the_state_of_is_read_anew_and_counts_no_pod_twice() {
        let (bench, proxy, _) = Bench::behind_proxy().await;
        let step = bench.step("k8s.scale", json!({ "workload": "deployment/ticket-service", "replicas": 4 }));
        let forget = || {
            proxy.fault("GET */pods?*limit=500*", Fault::OneByOne);
            proxy.fault("GET */pods?*&continue=*", Fault::Refuse(410, None));
        };
        forget();
        let reading = step.observe().await.unwrap();
        assert_eq!(reading["pods"], 2, "{reading:#}");
        let asked = || proxy.seen().iter().filter(|seen| seen.path.contains("/pods?")).count();
        assert_eq!(asked(), 3, "a page, a refusal, and all of it: {:?}", proxy.seen());
        // Page by page it is the same.
        proxy.fault("GET */pods?*limit=500*", Fault::OneByOne);
        proxy.fault("GET */pods?*&continue=*", Fault::OneByOne);
        assert_eq!(step.observe().await.unwrap()["pods"], 2);
        // Not for ever.
        for _ in 0..3 {
            forget();
        }
        let failure = step.observe().await.expect_err("again and again");
        assert!(failure.transient && failure.message.contains("too old (410)"), "{failure:?}");
    }
}
