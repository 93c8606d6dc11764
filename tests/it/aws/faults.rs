//! An AWS that is busy, slow, lying or forbidding: each one clear error.

mod real_moto {
    use std::time::Duration;

    use runsheet::model::outcome::{Applied, Failure, Verdict};
    use serde_json::json;

    use crate::support::real::AwsFault;
    use crate::support::{AwsBench, Runs, Step};

    const CALL: &str = "CreateDBInstanceReadReplica";

    async fn start() -> (AwsBench, Step) {
        let bench = AwsBench::start(Runs::Moto).await;
        let inputs = json!({ "replica": format!("{}-replica-2", bench.database), "source": bench.database, "within": "15s" });
        let step = bench.step("aws.rds.create_read_replica", inputs);
        (bench, step)
    }

    #[track_caller]
    fn says(failure: &Failure, message: &str, hint: &str) {
        let told = failure.hint.as_deref().unwrap_or_default();
        assert!(failure.message.contains(message) && told.contains(hint), "{message} / {hint}: {failure:?}");
        assert!(!failure.message.contains('<') && !failure.message.contains("os error"), "{failure:?}");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn what_is_refused_was_not_done_and_says_what_to_do() {
        let (bench, step) = start().await;
        let intent = step.plan().await.intent;
        for (status, code, retry_after, hint, transient, wait) in [
            (400, "Throttling", None, "too many requests", true, 5),
            (400, "Throttling", Some(7), "too many requests", true, 7),
            (503, "RequestLimitExceeded", None, "too many requests", true, 5),
            (400, "InvalidDBInstanceState", None, "`available`", true, 30),
            (403, "AccessDenied", None, "`rds:CreateDBInstanceReadReplica`", false, 0),
            (403, "ExpiredToken", None, "aws sso login", false, 0),
            (403, "InvalidClientTokenId", None, "profile", false, 0),
            (400, "InstanceQuotaExceeded", None, "quota", false, 0),
            (400, "InsufficientDBInstanceCapacity", None, "another type", false, 0),
        ] {
            bench.fault(CALL, AwsFault::Refuse(status, code, retry_after)).await;
            let applied = step.apply(&intent).await;
            let Applied::NotApplied { failure } = &applied else { panic!("{code}: {applied:?}") };
            says(failure, &format!("AWS refused rds:CreateDBInstanceReadReplica: {code} ({status})"), hint);
            assert_eq!((failure.transient, failure.asked_wait()), (transient, Duration::from_secs(wait)), "{code}");
        }
        assert_eq!(step.verify(&intent).await, Verdict::Absent);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn what_is_no_answer_leaves_a_write_unknown_and_fails_a_read() {
        let (bench, step) = start().await;
        let intent = step.plan().await.intent;
        for (fault, message) in [
            (AwsFault::Refuse(500, "InternalFailure", None), "InternalFailure (500)"),
            (AwsFault::Page(502), "(status 502) is not one of AWS: it is a page of HTML"),
            (AwsFault::Page(200), "(status 200) is not one of AWS: it is a page of HTML"),
            (AwsFault::OtherXml, "another than the one that was asked for"),
            (AwsFault::CutBefore, "was cut before rds:CreateDBInstanceReadReplica was answered"),
        ] {
            bench.fault(CALL, fault.clone()).await;
            let applied = step.apply(&intent).await;
            let Applied::Unknown { failure } = &applied else { panic!("{fault:?}: {applied:?}") };
            says(failure, message, "");
            assert_eq!(step.verify(&intent).await, Verdict::Absent, "{fault:?}");
        }
        // A page of a proxy that says no: nothing reached AWS.
        bench.fault(CALL, AwsFault::Page(403)).await;
        assert!(matches!(step.apply(&intent).await, Applied::NotApplied { .. }));
        for (fault, message, transient) in [
            (AwsFault::Page(502), "a page of HTML", true),
            (AwsFault::CutWithin, "was cut before rds:DescribeDBInstances was answered", true),
            (AwsFault::CutBefore, "was cut before rds:DescribeDBInstances was answered", true),
            (AwsFault::Refuse(403, "AccessDenied", None), "rds:DescribeDBInstances", false),
            (AwsFault::Refuse(400, "Throttling", Some(9)), "Throttling", true),
        ] {
            bench.fault("DescribeDBInstances", fault.clone()).await;
            let failure = step.observe().await.expect_err("it cannot be read");
            says(&failure, message, "");
            assert_eq!(failure.transient, transient, "{fault:?}: {failure:?}");
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_reading_that_fails_for_a_moment_does_not_end_the_wait() {
        let (bench, step) = start().await;
        let intent = step.plan().await.intent;
        // The look before the request, and then those while it is waited for.
        bench.fault("DescribeDBInstances", AwsFault::Delay(Duration::ZERO)).await;
        for fault in [AwsFault::CutBefore, AwsFault::Page(502), AwsFault::Refuse(400, "Throttling", Some(1))] {
            bench.fault("DescribeDBInstances", fault).await;
        }
        assert_eq!(step.applied(&intent).await["created"], true);
        assert_eq!(bench.changes(CALL), 1);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_wait_ends_by_itself_and_can_be_taken_up_again() {
        let bench = AwsBench::start(Runs::Moto).await;
        bench.proxy.as_ref().unwrap().slow(1000);
        let inputs = json!({ "replication_group": bench.group, "node_type": "cache.r6g.large", "within": "1s" });
        let step = bench.step("aws.elasticache.modify_replication_group", inputs);
        let intent = step.plan().await.intent;
        let applied = step.apply(&intent).await;
        let Applied::FailedWithEffect { failure, .. } = &applied else { panic!("{applied:?}") };
        says(failure, "waits to be taken up", "runsheet retry");
        let applied = step.apply(&intent).await;
        assert!(matches!(applied, Applied::FailedWithEffect { .. }), "{applied:?}");
        assert_eq!(bench.changes("ModifyReplicationGroup"), 1, "it is under way, and is not asked for again");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn another_account_or_region_than_the_recorded_one_is_refused() {
        let (bench, mut step) = start().await;
        let target = step.cx.target.as_mut().unwrap();
        target.identity.insert("aws".to_owned(), json!("999999999999"));
        let failure = step.observe().await.expect_err("it is another account");
        says(&failure, "this run was started for account 999999999999", "start a new run");
        let target = step.cx.target.as_mut().unwrap();
        target.identity.remove("aws");
        let failure = step.observe().await.expect_err("it knows of no account");
        says(&failure, "no AWS account", "start a new run");
        assert_eq!(bench.changes("DescribeDBInstances"), 0);
    }
}
