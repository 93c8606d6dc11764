//! The sandbox is honest: the same requests go to it and to a real API server, and where the answers differ, `docs/sandbox.md` says so, and why.
//!
//! Invariant: a difference that the page does not list fails the test, and so does one that it lists and that is there no more.

mod answer;
mod asks;
mod table;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use http::Method;
use serde_json::Value;

use crate::support::PATIENCE;
use crate::support::control_plane::{Cluster, SandboxCluster};
use crate::support::real::RealCluster;
use answer::{Answer, differences};
use asks::{Ask, asks};
use table::Table;

/// A cluster that is asked.
struct Asked {
    cluster: Box<dyn Cluster>,
    client: reqwest::Client,
    /// Former answers, by the name of what was asked.
    former: BTreeMap<&'static str, Value>,
}

impl Asked {
    fn new(cluster: Box<dyn Cluster>) -> Self {
        runsheet::environment::tls::install();
        let client = reqwest::Client::builder().no_proxy().tls_certs_only([]).build().expect("a client");
        Self { cluster, client, former: BTreeMap::new() }
    }

    /// A text with its namespace in the place of `{NS}`, and with `<<name/pointer>>` of former answers filled in.
    fn filled(&self, text: &str) -> String {
        let mut text = text.replace("{NS}", self.cluster.namespace());
        while let Some((before, rest)) = text.split_once("<<") {
            let (name, after) = rest.split_once(">>").expect("the end of a place");
            let (name, pointer) = name.split_once('/').expect("a name and a pointer");
            let former = self.former.get(name).unwrap_or_else(|| panic!("{name} was not asked before"));
            let value = former.pointer(&format!("/{pointer}")).unwrap_or_else(|| panic!("{name} has no /{pointer}: {former}"));
            text = format!("{before}{}{after}", value.as_str().map_or_else(|| value.to_string(), str::to_owned));
        }
        text
    }

    async fn once(&self, ask: &Ask) -> (u16, Value) {
        let url = format!("{}{}", self.cluster.url(), self.filled(&ask.path));
        let mut request = self.client.request(ask.method.clone(), url).timeout(PATIENCE);
        if let Some(token) = self.cluster.token(ask.account) {
            request = request.bearer_auth(token);
        }
        if let Some(accept) = ask.accept {
            request = request.header(http::header::ACCEPT, accept);
        }
        if let Some((media, body)) = &ask.body {
            request = request.header(http::header::CONTENT_TYPE, *media).body(self.filled(body));
        }
        let answer = request.send().await.unwrap_or_else(|error| panic!("{}: {error:?}", ask.name));
        let status = answer.status().as_u16();
        let text = answer.text().await.unwrap_or_else(|error| panic!("{}: {error:?}", ask.name));
        // Of a watch, the first event.
        let first = text.lines().next().unwrap_or_default();
        let body = serde_json::from_str(&text).or_else(|_| serde_json::from_str(first));
        (status, body.unwrap_or(Value::String(text)))
    }

    /// Asks, again and again where it is to be waited for something.
    async fn ask(&mut self, ask: &Ask) -> Answer {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let (status, body) = self.once(ask).await;
            let there = ask.until.as_ref().is_none_or(|(pointer, wanted)| body.pointer(pointer).unwrap_or(&Value::Null) == wanted);
            if there {
                self.former.insert(ask.name, body.clone());
                // What a patch answers of the status depends on how far the controllers have come.
                let patched = (ask.method == Method::PATCH).then_some("status");
                let but: Vec<&str> = ask.but.iter().copied().chain(patched).collect();
                return Answer::new(status, body, self.cluster.namespace(), &but);
            }
            assert!(Instant::now() < deadline, "{}: {:?} in vain: {body:#}", ask.name, ask.until);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

/// For how long an answer may differ because the controllers of one cluster have come further than those of the other.
const SETTLED: Duration = Duration::from_secs(10);

/// How many changes the sandbox keeps: more than from one ask to the next, and fewer than all together.
const KEPT: usize = 200;

mod real_cluster {
    use super::*;

    #[tokio::test(flavor = "multi_thread")]
    async fn the_sandbox_answers_as_kubernetes_does_but_for_what_the_page_lists() {
        let mut sandbox = Asked::new(Box::new(SandboxCluster::keeping(KEPT).await));
        let cluster = RealCluster::start().await;
        cluster.own_namespace().kubernetes.compact().await;
        let mut real = Asked::new(Box::new(cluster));
        let mut found = Vec::new();
        let table = Table::read();
        for ask in asks() {
            let deadline = Instant::now() + SETTLED;
            loop {
                let (of_sandbox, of_real) = (sandbox.ask(&ask).await, real.ask(&ask).await);
                if !ask.compared {
                    break;
                }
                let differ = differences(ask.name, &of_sandbox, &of_real);
                // What a controller has yet to do on one of them is no difference; what is asked to be changed is asked once.
                let unlisted = differ.iter().any(|difference| !table.covers(difference));
                if !unlisted || ask.method != Method::GET || Instant::now() > deadline {
                    found.extend(differ);
                    break;
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
        table.check(&found);
    }
}
