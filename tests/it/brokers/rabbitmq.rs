//! `rabbitmq.queues` and `rabbitmq.nodes`, on the sandbox and on a real RabbitMQ.

use serde_json::{Value, json};

use crate::support::asking::Asking;

async fn the_nodes_say_how_they_stand(asking: Asking) {
    let told = asking.read("rabbitmq.nodes", json!({})).await;
    assert_eq!((&told["healthy"], &told["alarms"], &told["partitions"]), (&json!(true), &json!([]), &json!([])), "{told:#}");
    assert_eq!((&told["quorum_critical"], &told["critical_nodes"]), (&json!(false), &json!([])), "{told:#}");
    assert_eq!((&told["running"], &told["check"]["status"]), (&told["count"], &json!("ok")), "{told:#}");
    assert!(told["version"].as_str().unwrap().starts_with("3.10."), "{told:#}");
    let node = &told["nodes"][0];
    assert!(
        node["memory_used_bytes"].as_u64() > Some(1_000_000) && node["memory_limit_bytes"].as_u64() > node["memory_used_bytes"].as_u64()
    );
    assert!(node["disk_free_bytes"].as_u64() > node["disk_limit_bytes"].as_u64(), "{node:#}");
    assert_eq!((&node["memory_alarm"], &node["disk_alarm"], &node["running"]), (&json!(false), &json!(false), &json!(true)));
    assert!(told["nodes"].as_array().unwrap().iter().any(|node| node["name"] == told["answered_by"]), "{told:#}");
}

async fn what_cannot_be_asked_is_said(asking: Asking) {
    for (inputs, told) in [
        (json!({ "name": "there-is-none", "vhost": "/" }), "has no queue there-is-none in the virtual host /"),
        (json!({ "vhost": "there-is-none" }), "(404): Object Not Found: Not Found"),
        (json!({ "pattern": "[" }), "(400): bad_request: Pagination parameters are invalid"),
        (json!({ "name": "a", "pattern": "b" }), "takes one of `name` and `pattern`"),
        (json!({ "interval": "0s" }), "from 100ms to 60s"),
    ] {
        let failure = asking.try_read("rabbitmq.queues", inputs, None).await.unwrap_err();
        assert!(failure.message.contains(told) && !failure.transient, "{failure}");
    }
}

mod sandbox {
    use super::*;

    #[tokio::test(flavor = "multi_thread")]
    async fn the_nodes_say_how_they_stand() {
        super::the_nodes_say_how_they_stand(Asking::sandbox().await).await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn what_cannot_be_asked_is_said() {
        super::what_cannot_be_asked_is_said(Asking::sandbox().await).await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn purchases_wait_where_the_pods_are_too_few() {
        let asking = Asking::sandbox().await;
        let sandbox = asking.sandbox.as_ref().unwrap();
        let one = |trend: bool| json!({ "vhost": "/", "name": "ticket-purchases", "trend": trend, "interval": "100ms" });
        let idle = asking.read("rabbitmq.queues", one(true)).await;
        assert_eq!(
            (&idle["messages"], &idle["rate"], &idle["growing"], &idle["draining"]),
            (&json!(0), &json!(0.0), &json!(false), &json!(false))
        );
        assert_eq!((&idle["consumers"], &idle["queues"][0]["type"], &idle["stale_seconds"]), (&json!(2), &json!("quorum"), &json!(0.1)));
        assert_eq!(idle["queues"][0]["members"].as_array().unwrap().len(), 3, "{idle:#}");
        // 800 requests a second are 160 purchases, of which two pods take 100.
        sandbox.load(800.0).await;
        let growing = asking.until("it grows", "rabbitmq.queues", one(true), |told| told["growing"] == true).await;
        assert!(growing["messages"].as_u64() > Some(0) && growing["rate"].as_f64() > Some(0.0), "{growing:#}");
        let rates = &asking.until("its rates", "rabbitmq.queues", one(false), |told| told["queues"][0]["publish_rate"] == 160.0).await;
        assert_eq!((&rates["queues"][0]["deliver_rate"], &rates["rate"], &rates["growing"]), (&json!(100.0), &Value::Null, &Value::Null));
        sandbox.load(100.0).await;
        asking.until("it is drained", "rabbitmq.queues", one(true), |told| told["draining"] == true).await;
        asking.until("it is empty", "rabbitmq.queues", one(false), |told| told["messages"] == 0).await;
        let all = asking.read("rabbitmq.queues", json!({ "pattern": "^ticket-" })).await;
        assert_eq!((&all["count"], &all["unattended"]), (&json!(2), &json!(0)), "{all:#}");
        assert!(!asking.log.text().contains(sandbox.password()));
    }
}

mod real_rabbitmq {
    use runsheet::environment::ApiSystem;
    use serde::Deserialize;

    use super::*;
    use crate::support::servers;

    /// Somebody else's hands on the cluster: queues of one test, which it takes away again.
    struct Hands {
        client: reqwest::Client,
        place: Place,
        vhost: String,
    }

    #[derive(Clone, Deserialize)]
    struct Place {
        url: String,
        user: String,
        password: String,
        node: String,
    }

    impl Hands {
        /// With a virtual host of its own.
        async fn new() -> Self {
            let _installed = rustls::crypto::ring::default_provider().install_default();
            let vhost = format!("v{}", uuid::Uuid::now_v7().simple());
            let hands = Self { client: reqwest::Client::new(), place: servers::shared("rabbitmq"), vhost };
            hands.send("PUT", &format!("vhosts/{}", hands.vhost), json!({})).await;
            let all = json!({ "configure": ".*", "write": ".*", "read": ".*" });
            hands.send("PUT", &format!("permissions/{}/{}", hands.vhost, hands.place.user), all).await;
            hands
        }

        async fn send(&self, method: &str, path: &str, body: Value) {
            let method = method.parse().expect("a method");
            let request = self.client.request(method, format!("{}/api/{path}", self.place.url));
            let sent = request.basic_auth(&self.place.user, Some(&self.place.password)).json(&body).send().await.expect("an answer");
            assert!(sent.status().is_success(), "{path}: {}", sent.status());
        }

        async fn queue(&self, name: &str, kind: &str) {
            let body = json!({ "durable": true, "arguments": { "x-queue-type": kind } });
            self.send("PUT", &format!("queues/{}/{name}", self.vhost), body).await;
        }

        async fn publish(&self, queue: &str, count: usize) {
            for _ in 0..count {
                let body = json!({ "properties": {}, "routing_key": queue, "payload": "a ticket", "payload_encoding": "string" });
                self.send("POST", &format!("exchanges/{}/amq.default/publish", self.vhost), body).await;
            }
        }

        async fn gone(self) {
            self.send("DELETE", &format!("vhosts/{}", self.vhost), json!({})).await;
        }
    }

    fn asking() -> Asking {
        Asking::real_api(ApiSystem::Rabbitmq, None)
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn the_nodes_say_how_they_stand() {
        super::the_nodes_say_how_they_stand(asking()).await;
        let told = asking().read("rabbitmq.nodes", json!({})).await;
        let place: Place = servers::shared("rabbitmq");
        assert_eq!((&told["answered_by"], &told["check"]["reason"]), (&json!(place.node), &json!("single node cluster")), "{told:#}");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn what_cannot_be_asked_is_said() {
        super::what_cannot_be_asked_is_said(asking()).await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn queues_are_counted_and_their_trend_told_from_two_samples() {
        let (asking, hands) = (asking(), Hands::new().await);
        for (name, kind) in [("purchases", "quorum"), ("mail", "classic"), ("audit", "classic")] {
            hands.queue(name, kind).await;
        }
        hands.publish("purchases", 20).await;
        hands.publish("mail", 5).await;
        let all = json!({ "vhost": hands.vhost });
        let told = asking.until("all is counted", "rabbitmq.queues", all, |told| {
            told["messages"] == 25 && told["untold"] == 0 && told["unattended"] == 2
        });
        let told = told.await;
        assert_eq!(
            (&told["count"], &told["ready"], &told["consumers"], &told["unattended"]),
            (&json!(3), &json!(25), &json!(0), &json!(2))
        );
        assert_eq!((&told["queues"][0]["name"], &told["queues"][0]["type"]), (&json!("purchases"), &json!("quorum")), "the deepest first");
        assert_eq!((&told["queues"][0]["leader"], &told["queues"][0]["members"]), (&json!(hands.place.node), &json!([hands.place.node])));
        assert_eq!((&told["rate"], &told["growing"], &told["stale_seconds"]), (&Value::Null, &Value::Null, &json!(5.0)));
        let some = asking.read("rabbitmq.queues", json!({ "vhost": hands.vhost, "pattern": "^(mail|audit)$" })).await;
        assert_eq!((&some["count"], &some["messages"]), (&json!(2), &json!(5)), "{some:#}");
        // The name that is only a part of another's is not it.
        let part = asking.try_read("rabbitmq.queues", json!({ "vhost": hands.vhost, "name": "purchase" }), None).await.unwrap_err();
        assert!(part.message.contains("has no queue purchase"), "{part}");

        // The server emits every second, but for quorum queues, which have a clock of their own; samples that are further apart have seen what happens
        // between them, also on a busy machine.
        let one = json!({ "vhost": hands.vhost, "name": "mail", "trend": true, "interval": "5s" });
        let still = asking.read("rabbitmq.queues", one.clone()).await;
        assert_eq!((&still["rate"], &still["growing"], &still["draining"]), (&json!(0.0), &json!(false), &json!(false)), "{still:#}");
        let sampled = asking.log.text().matches("the next sample in 10s").count();
        let filled = async {
            while asking.log.text().matches("the next sample in 10s").count() == sampled {
                tokio::time::sleep(std::time::Duration::from_millis(10)).await;
            }
            hands.publish("mail", 5).await;
        };
        let (told, ()) = tokio::join!(asking.read("rabbitmq.queues", one), filled);
        assert_eq!((&told["draining"], &told["growing"], &told["messages"]), (&json!(false), &json!(true), &json!(10)), "{told:#}");
        assert!(told["rate"].as_f64() > Some(0.2) && told["rate"].as_f64() <= Some(1.25), "5 in some 10 s: {told:#}");
        hands.gone().await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_wrong_password_is_said_to_be_one() {
        let asking = Asking::real_api(ApiSystem::Rabbitmq, Some("wrong-and-secret"));
        for action in ["rabbitmq.queues", "rabbitmq.nodes"] {
            let failure = asking.try_read(action, json!({}), None).await.unwrap_err();
            assert!(failure.message.contains("does not let the user runsheet in (401): not_authorized: Login failed"), "{failure}");
            assert!(!failure.transient && !failure.message.contains("wrong-and-secret"));
        }
    }
}
