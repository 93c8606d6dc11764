//! `autoscale-keda` with KEDA's own operator and metrics server, by a queue of a real RabbitMQ and a query to a real Prometheus.

/// Left out where one of the three servers is missing.
mod real_rabbitmq {
    mod real_prometheus {
        mod real_cluster {
            use serde::Deserialize;
            use serde_json::{Value, json};

            use crate::playbooks::Case;
            use crate::real_playbooks::{arguments, stage};
            use crate::support::real::{RealStage, Way};
            use crate::support::servers;

            const KEDA: &str = "/apis/keda.sh/v1alpha1";
            const SCALER: &str = "scaledobjects/ticket-service-scaler";
            const HPA: &str = "horizontalpodautoscalers/keda-hpa-ticket-service-scaler";

            #[derive(Deserialize)]
            struct Rabbitmq {
                url: String,
                user: String,
                password: String,
            }

            #[derive(Deserialize)]
            struct Prometheus {
                url: String,
            }

            /// A queue of this test alone, in the default virtual host.
            struct Queue {
                server: Rabbitmq,
                name: String,
                runtime: tokio::runtime::Runtime,
            }

            impl Queue {
                /// Messages that wait for somebody.
                fn publish(&self, count: usize) {
                    for _ in 0..count {
                        let message =
                            json!({ "properties": {}, "routing_key": self.name, "payload": "a ticket", "payload_encoding": "string" });
                        self.send("POST", "exchanges/%2F/amq.default/publish", &message);
                    }
                }

                fn new() -> Self {
                    runsheet::environment::tls::install();
                    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
                    let queue = Self { server: servers::shared("rabbitmq"), name: format!("q{}", uuid::Uuid::now_v7().simple()), runtime };
                    queue.send("PUT", &queue.path(), &json!({ "durable": true }));
                    queue
                }

                fn path(&self) -> String {
                    format!("queues/%2F/{}", self.name)
                }

                fn send(&self, method: &str, path: &str, body: &Value) {
                    let url = format!("{}/api/{path}", self.server.url);
                    let client = reqwest::Client::builder().no_proxy().tls_certs_only([]).build().expect("a client");
                    let request = client.request(method.parse().expect("a method"), url);
                    let request = request.basic_auth(&self.server.user, Some(&self.server.password)).json(body);
                    let answer = self.runtime.block_on(request.send()).expect("RabbitMQ answers");
                    assert!(answer.status().is_success(), "{method}: {}", answer.status());
                }

                /// Where KEDA finds the server: a Secret, and what names it.
                fn tell(&self, stage: &RealStage) {
                    let Rabbitmq { url, user, password } = &self.server;
                    let host = url.replacen("://", &format!("://{user}:{password}@"), 1);
                    let secret = json!({ "metadata": { "name": "rabbitmq" }, "stringData": { "host": format!("{host}/%2F") } });
                    stage.create("/api/v1", "secrets", &secret);
                    let authentication = json!({
                        "apiVersion": "keda.sh/v1alpha1", "kind": "TriggerAuthentication", "metadata": { "name": "rabbitmq" },
                        "spec": { "secretTargetRef": [{ "parameter": "host", "name": "rabbitmq", "key": "host" }] },
                    });
                    stage.create(KEDA, "triggerauthentications", &authentication);
                    // KEDA marks it as its own once it has seen it.
                    stage.until("KEDA knows the TriggerAuthentication", |stage| {
                        stage.get(KEDA, "triggerauthentications/rabbitmq")["metadata"]["finalizers"].is_array()
                    });
                }
            }

            impl Drop for Queue {
                fn drop(&mut self) {
                    if !std::thread::panicking() {
                        self.send("DELETE", &self.path(), &json!({}));
                    }
                }
            }

            fn condition<'a>(object: &'a Value, kind: &str) -> &'a Value {
                let conditions = object["status"]["conditions"].as_array().expect("conditions");
                conditions.iter().find(|condition| condition["type"] == kind).map_or(&Value::Null, |condition| &condition["status"])
            }

            #[test]
            fn promise_3_a_scaled_object_by_a_queue_and_a_query_is_taken_up_and_taken_back() {
                let (queue, prometheus) = (Queue::new(), servers::shared::<Prometheus>("prometheus"));
                let case = Case { pool: Some(9), ..Case::of("autoscale-keda", &["max=12"]) };
                let stage = stage(&case, Way::Direct);
                queue.tell(&stage);
                let before = stage.objects();
                let mut words = arguments(&case, &stage);
                // Two messages are one pod's: with ten of them five are wanted.
                for param in [format!("queue={}", queue.name), format!("prometheus={}", prometheus.url), "messages=2".to_owned()] {
                    words.extend(["-p".to_owned(), param]);
                }
                stage.run(&words).code(0);
                let scaler = stage.get(KEDA, SCALER);
                assert_eq!(condition(&scaler, "Ready"), "True", "{scaler:#}");
                let measured = scaler["status"]["externalMetricNames"].to_string();
                assert!(measured.contains("s0-rabbitmq-") && measured.contains("s1-prometheus"), "{scaler:#}");
                let hpa = stage.get("/apis/autoscaling/v2", HPA);
                assert_eq!((&hpa["spec"]["minReplicas"], &hpa["spec"]["maxReplicas"]), (&json!(2), &json!(12)), "{hpa:#}");
                queue.publish(10);
                stage.until("the queue has brought five pods", |stage| stage.deployment()["status"]["readyReplicas"] == 5);
                stage.run(&["rollback", "--yes"]).code(0);
                assert_eq!(stage.status_json()["status"], "rolled_back", "{}", stage.run(&["status"]));
                stage.assert_as_before(&before, "autoscale-keda on a real cluster");
            }
        }
    }
}
