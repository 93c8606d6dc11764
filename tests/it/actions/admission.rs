//! What a policy or a webhook refuses is not applied, for good, and in its own words; what one does not answer in time is asked for afterwards.

mod real_cluster {
    use std::sync::Arc;

    use axum::body::{Body, to_bytes};
    use http::{Method, Request, Response};
    use hyper::body::Incoming;
    use hyper::service::service_fn;
    use hyper_util::rt::TokioIo;
    use runsheet::model::outcome::{Applied, Verdict};
    use rustls::pki_types::pem::PemObject;
    use rustls::pki_types::{CertificateDer, PrivateKeyDer};
    use serde_json::{Value, json};

    use crate::support::real::{Kubernetes, Namespace};
    use crate::support::{Bench, settled};

    const TICKETS: &str = "/apis/apps/v1/namespaces/production/deployments/ticket-service";
    const REGISTRATION: &str = "/apis/admissionregistration.k8s.io/v1";

    /// An object of the whole cluster, which is about the test's namespace alone, and is gone when this is dropped.
    struct Registered(Arc<Namespace>, String);

    impl Registered {
        async fn new(namespace: &Arc<Namespace>, plural: &str, mut object: Value) -> Self {
            let collection = format!("{REGISTRATION}/{plural}");
            object["apiVersion"] = json!("admissionregistration.k8s.io/v1");
            object["metadata"] = json!({ "name": namespace.name });
            namespace.create(&collection, &object).await;
            Self(Arc::clone(namespace), format!("{collection}/{}", namespace.name))
        }

        async fn end(self) {
            self.0.ask(Method::DELETE, &self.1, None).await;
        }
    }

    fn only(namespace: &Namespace) -> Value {
        json!({ "matchLabels": { "kubernetes.io/metadata.name": namespace.name } })
    }

    fn rules() -> Value {
        json!([{ "apiGroups": ["apps"], "apiVersions": ["v1"], "operations": ["CREATE", "UPDATE"], "resources": ["deployments", "deployments/scale"] }])
    }

    /// Waits until a dry run to so many replicas is answered with this status.
    async fn until_in_force(bench: &Bench, replicas: u32, status: u16) {
        let path = format!("{TICKETS}?dryRun=All");
        let ask = || async {
            let body = json!({ "spec": { "replicas": replicas } });
            let (seen, _) = bench.ask(Method::PATCH, &path, "application/strategic-merge-patch+json", body).await;
            (seen == status).then_some(())
        };
        bench.until("it is in force", ask).await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_policy_refuses_in_its_own_words() {
        let (bench, _, namespace) = Bench::behind_proxy().await;
        let validation = json!({ "expression": "!has(object.spec.replicas) || object.spec.replicas <= 10", "message": "ten replicas are the most that is paid for" });
        let constraints = json!({ "namespaceSelector": only(&namespace), "resourceRules": rules() });
        let policy = json!({ "kind": "ValidatingAdmissionPolicy", "spec": { "failurePolicy": "Fail", "matchConstraints": constraints, "validations": [validation] } });
        let policy = Registered::new(&namespace, "validatingadmissionpolicies", policy).await;
        let spec = json!({ "policyName": namespace.name, "validationActions": ["Deny"], "matchResources": { "namespaceSelector": only(&namespace) } });
        let binding = json!({ "kind": "ValidatingAdmissionPolicyBinding", "spec": spec });
        let binding = Registered::new(&namespace, "validatingadmissionpolicybindings", binding).await;
        until_in_force(&bench, 12, 422).await;

        let before = settled(bench.get(TICKETS).await);
        let says = |message: &str| message.contains(&namespace.name) && message.contains("ten replicas are the most that is paid for");
        for (action, inputs) in [
            ("k8s.scale", json!({ "workload": "deployment/ticket-service", "replicas": 12 })),
            ("k8s.patch", json!({ "object": "deployment/ticket-service", "set": { "spec.replicas": 12 } })),
        ] {
            let step = bench.step(action, inputs);
            let intent = step.plan().await.intent;
            let applied = step.apply(&intent).await;
            let Applied::NotApplied { failure } = &applied else { panic!("{action}: {applied:?}") };
            assert!(says(&failure.message) && !failure.transient, "{action}: the same the next time: {failure:?}");
            assert!(failure.message.contains("ticket-service"), "{action}: {failure}");
            assert_eq!(step.verify(&intent).await, Verdict::Absent, "{action}");
        }
        // What asks by a dry run is refused before anything is sent.
        let manifest =
            json!({ "apiVersion": "apps/v1", "kind": "Deployment", "metadata": { "name": "ticket-service" }, "spec": { "replicas": 12 } });
        let failure = bench.step("k8s.apply", json!({ "object": manifest, "force": true })).try_plan().await.expect_err("it is refused");
        assert!(says(&failure.message), "{failure}");
        assert_eq!(settled(bench.get(TICKETS).await), before);
        // What it allows goes on.
        let step = bench.step("k8s.scale", json!({ "workload": "deployment/ticket-service", "replicas": 3 }));
        let intent = step.plan().await.intent;
        assert!(matches!(step.apply(&intent).await, Applied::Applied { .. }));
        binding.end().await;
        policy.end().await;
    }

    /// A webhook on loopback: `/refuse` refuses, `/silent` never answers.
    async fn webhook(kubernetes: &Kubernetes) -> String {
        let certificates = CertificateDer::pem_file_iter(kubernetes.file("surroundings.crt"))
            .expect("a certificate")
            .map(|one| one.expect("a certificate"));
        let key = PrivateKeyDer::from_pem_file(kubernetes.file("surroundings.key")).expect("a key");
        let config = rustls::ServerConfig::builder()
            .with_no_client_auth()
            .with_single_cert(certificates.collect(), key)
            .expect("a server's configuration");
        let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
        let address = listener.local_addr().expect("its address");
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let acceptor = acceptor.clone();
                tokio::spawn(async move {
                    let Ok(stream) = acceptor.accept(stream).await else { return };
                    // It ends with an error where the API server does not wait.
                    let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service_fn(review)).await;
                });
            }
        });
        format!("https://{address}")
    }

    async fn review(request: Request<Incoming>) -> Result<Response<Body>, std::convert::Infallible> {
        if request.uri().path() == "/silent" {
            std::future::pending::<()>().await;
        }
        let body = to_bytes(Body::new(request.into_body()), 1 << 20).await.unwrap_or_default();
        let review: Value = serde_json::from_slice(&body).unwrap_or_default();
        let refusal = json!({ "uid": review["request"]["uid"], "allowed": false, "status": { "code": 403, "message": "no changes during the on-sale" } });
        let answer = json!({ "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": refusal });
        Ok(Response::builder().header("content-type", "application/json").body(Body::from(answer.to_string())).expect("an answer"))
    }

    async fn with_webhook(path: &str, status: u16) -> (Bench, Registered) {
        let (bench, _, namespace) = Bench::behind_proxy().await;
        let url = format!("{}{path}", webhook(&namespace.kubernetes).await);
        let ca = std::fs::read(namespace.kubernetes.file("ca.crt")).expect("the cluster's authority");
        use base64::Engine as _;
        let client = json!({ "url": url, "caBundle": base64::engine::general_purpose::STANDARD.encode(ca) });
        let hook = json!({
            "name": "freeze.example.com", "clientConfig": client, "rules": rules(), "namespaceSelector": only(&namespace), "sideEffects": "None",
            "admissionReviewVersions": ["v1"], "timeoutSeconds": 1, "failurePolicy": "Fail",
        });
        let object = json!({ "kind": "ValidatingWebhookConfiguration", "webhooks": [hook] });
        let registered = Registered::new(&namespace, "validatingwebhookconfigurations", object).await;
        until_in_force(&bench, 3, status).await;
        (bench, registered)
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_webhook_refuses_in_its_own_words() {
        let (bench, registered) = with_webhook("/refuse", 403).await;
        let before = settled(bench.get(TICKETS).await);
        for (action, inputs) in [
            ("k8s.scale", json!({ "workload": "deployment/ticket-service", "replicas": 4 })),
            ("k8s.set_env", json!({ "workload": "deployment/ticket-service", "env": { "DB_POOL_MAX": 9 } })),
        ] {
            let step = bench.step(action, inputs);
            let intent = step.plan().await.intent;
            let applied = step.apply(&intent).await;
            let Applied::NotApplied { failure } = &applied else { panic!("{action}: {applied:?}") };
            assert!(!failure.transient && failure.message.contains("freeze.example.com"), "{action}: {failure:?}");
            assert!(failure.message.contains("no changes during the on-sale"), "{action}: {failure}");
            // A role would not help.
            assert!(!failure.hint.as_deref().unwrap_or_default().contains("Role"), "{action}: {failure:?}");
        }
        assert_eq!(settled(bench.get(TICKETS).await), before);
        registered.end().await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_webhook_that_does_not_answer_leaves_an_unknown_outcome_which_is_found_out() {
        let (bench, registered) = with_webhook("/silent", 500).await;
        let step = bench.step("k8s.scale", json!({ "workload": "deployment/ticket-service", "replicas": 4 }));
        let intent = step.plan().await.intent;
        let applied = step.apply(&intent).await;
        let Applied::Unknown { failure } = &applied else { panic!("{applied:?}") };
        assert!(failure.message.contains("freeze.example.com") && failure.message.contains("deadline exceeded"), "{failure}");
        assert_eq!(step.verify(&intent).await, Verdict::Absent);
        registered.end().await;
        // Once it is gone the next attempt works.
        let applied = bench
            .until("it is gone", || async { Some(step.apply(&intent).await).filter(|one| matches!(one, Applied::Applied { .. })) })
            .await;
        assert!(matches!(applied, Applied::Applied { .. }));
    }
}
