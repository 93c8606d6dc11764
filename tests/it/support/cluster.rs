//! The sandbox's cluster and account as their APIs show them.
//!
//! It must not change the cluster but for [`Stage::api`], which is what somebody else does.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::Value;

use super::Stage;
use super::aws_objects::aws_objects;
use super::objects::{Objects, differences, items, objects};

impl Stage {
    /// One request to the API of the running sandbox's cluster, as its administrator; the status and the answer.
    pub fn api(&self, method: &str, path: &str, body: Option<&Value>) -> (u16, Value) {
        let text = std::fs::read_to_string(self.sandbox_folder().join("ready.json")).expect("the sandbox runs");
        let ready: Value = serde_json::from_str(&text).expect("the sandbox says where it is");
        let word = |key: &str| ready[key].as_str().unwrap_or_default().to_owned();
        let (address, token) = (word("address"), word("admin_token"));
        let kind = if method == "PATCH" { "application/merge-patch+json" } else { "application/json" };
        let body = body.map(Value::to_string).unwrap_or_default();
        let mut stream = TcpStream::connect(&address).expect("the sandbox listens");
        stream.set_read_timeout(Some(Duration::from_secs(10))).expect("a limit");
        // HTTP/1.0: the answer ends where the connection does.
        let length = body.len();
        write!(
            stream,
            "{method} {path} HTTP/1.0\r\nHost: {address}\r\nAuthorization: Bearer {token}\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n\r\n{body}"
        )
        .expect("a request");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer");
        let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{method} {path}: no HTTP in {answer:?}"));
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
        (status, serde_json::from_str(body).unwrap_or_else(|error| panic!("{method} {path}: {error}: {body}")))
    }

    /// The Pods of the namespace `production` as they are in the API, those on their way out too.
    pub fn pods(&self) -> Vec<Value> {
        self.listed("/api/v1/namespaces/production/pods")
    }

    /// Every object of the cluster by its name, reduced, and everything in the account.
    pub fn objects(&self) -> Objects {
        let mut all = objects(None, |path| {
            let (status, answer) = self.api("GET", path, None);
            assert_eq!(status, 200, "{path}: {answer}");
            answer
        });
        all.extend(aws_objects(self));
        all
    }

    /// That every object is as it was but for what begins with one of these words, each of which is otherwise by now.
    #[track_caller]
    pub fn assert_as_before_but(&self, before: &Objects, kept: &[&str], when: &str) {
        let told = differences(before, &self.objects()).unwrap_or_default();
        let others: Vec<&str> = told.lines().filter(|line| !kept.iter().any(|kept| line.starts_with(kept))).collect();
        assert!(others.is_empty(), "{when}: more than what is kept is not as it was: {others:#?}");
        for kept in kept {
            assert!(told.lines().any(|line| line.starts_with(kept)), "{when}: {kept} is as it was: {told}");
        }
        self.assert_within_budget(when);
    }

    /// That every object is as it was, and that at no change the pools went beyond what is free.
    #[track_caller]
    pub fn assert_as_before(&self, before: &Objects, when: &str) {
        if let Some(told) = differences(before, &self.objects()) {
            panic!("{when}: the cluster is not as it was: {told}\n{}", self.run(&["status"]));
        }
        self.assert_within_budget(when);
    }

    /// That at no change the pools went beyond what is free.
    #[track_caller]
    pub fn assert_within_budget(&self, when: &str) {
        let usage = self.connections();
        assert_eq!(usage.exceeded, 0, "{when}: the pools went beyond what is free: {usage:?}");
    }

    fn listed(&self, path: &str) -> Vec<Value> {
        let (status, list) = self.api("GET", path, None);
        assert_eq!(status, 200, "{path}: {list}");
        items(&list["items"]).to_vec()
    }
}
