//! A running control plane: where it is, who may do what there, and requests to it as somebody.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use http::Method;
use runsheet::environment::tls;
use serde::Deserialize;
use serde_json::Value;
use tempfile::TempDir;

/// Where `tests/run` says that the control plane of all tests is: the folder that `tests/kubernetes/up` was given.
const FOLDER: &str = "RUNSHEET_TEST_KUBERNETES";
/// What has to be done where it is not set.
const MISSING: &str = "needs a real control plane, and RUNSHEET_TEST_KUBERNETES names none: run `tests/run`, which starts one, or \
     `tests/kubernetes/up FOLDER` and `RUNSHEET_TEST_KUBERNETES=FOLDER cargo test`";

/// What `cluster.json` says.
#[derive(Debug, Deserialize)]
struct Description {
    server: String,
    uid: String,
    version: String,
    tokens: BTreeMap<String, String>,
    ticket_service: TicketService,
}

#[derive(Debug, Deserialize)]
struct TicketService {
    url: String,
    token: String,
}

/// A control plane.
pub struct Kubernetes {
    folder: PathBuf,
    description: Description,
    client: reqwest::Client,
    /// Of one that only this test has.
    own: Option<TempDir>,
}

impl Kubernetes {
    /// The one that all tests share. Nothing of it may be stopped.
    pub fn shared() -> Self {
        let folder = std::env::var_os(FOLDER).filter(|folder| !folder.is_empty()).unwrap_or_else(|| panic!("this test {MISSING}"));
        Self::at(folder.into(), None)
    }

    /// One for this test alone, whose processes may be stopped. It has no KEDA.
    pub fn own() -> Self {
        assert!(std::env::var_os(FOLDER).is_some_and(|folder| !folder.is_empty()), "this test {MISSING}");
        let folder = tempfile::Builder::new().prefix("runsheet-k8s-").tempdir().expect("a temporary folder");
        let path = folder.path().join("cluster");
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/kubernetes/up");
        let up = Command::new(script).arg(&path).arg("--without-keda").stdin(Stdio::null()).output().expect("tests/kubernetes/up");
        assert!(up.status.success(), "{}", String::from_utf8_lossy(&up.stderr));
        Self::at(path, Some(folder))
    }

    fn at(folder: PathBuf, own: Option<TempDir>) -> Self {
        let read = |name: &str| {
            let file = folder.join(name);
            std::fs::read(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
        };
        let description = serde_json::from_slice(&read("cluster.json")).expect("what cluster.json says");
        tls::install();
        let ca = reqwest::Certificate::from_pem(&read("ca.crt")).expect("the cluster's authority");
        let client = reqwest::Client::builder().tls_certs_only([ca]).http1_only().no_proxy().build().expect("a client");
        Self { folder, description, client, own }
    }

    /// `https://127.0.0.1:PORT`
    pub fn server(&self) -> &str {
        &self.description.server
    }

    /// The uid of `kube-system`.
    pub fn uid(&self) -> &str {
        &self.description.uid
    }

    /// `v1.36.3`
    pub fn version(&self) -> &str {
        &self.description.version
    }

    /// A file of its folder.
    pub fn file(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// The token of `admin`, `deployer`, `scaler` or `viewer`; none for anybody else.
    pub fn token(&self, account: &str) -> Option<String> {
        self.description.tokens.get(account).cloned()
    }

    /// The kubeconfig of an account, which proves who it is by a certificate.
    pub fn kubeconfig(&self, account: &str) -> PathBuf {
        self.folder.join(format!("{account}.kubeconfig"))
    }

    /// Where the ticket service is, and the token that it takes.
    pub fn ticket_service(&self) -> (&str, &str) {
        (&self.description.ticket_service.url, &self.description.ticket_service.token)
    }

    /// An HTTP client that trusts this cluster alone.
    pub fn client(&self) -> &reqwest::Client {
        &self.client
    }

    /// A request as an account; the status and the answer.
    pub async fn ask(&self, account: &str, method: Method, path: &str, body: Option<(&str, &Value)>) -> (u16, Value) {
        let mut request =
            self.client.request(method.clone(), format!("{}{path}", self.server())).bearer_auth(self.token(account).expect("an account"));
        request = request.timeout(Duration::from_secs(20));
        if let Some((media, body)) = body {
            request = request.header(http::header::CONTENT_TYPE, media).body(body.to_string());
        }
        let answer = request.send().await.unwrap_or_else(|error| panic!("{method} {path}: {error:?}"));
        let status = answer.status().as_u16();
        let text = answer.text().await.unwrap_or_else(|error| panic!("{method} {path}: {error:?}"));
        (status, serde_json::from_str(&text).unwrap_or(Value::String(text)))
    }

    /// Forgets the very first version of everything, as the API server does by itself after some minutes: what is asked from there on is gone.
    pub async fn compact(&self) {
        let text = std::fs::read_to_string(self.folder.join("etcd.args")).expect("etcd's arguments");
        let arguments: Vec<String> = serde_json::from_str(&text).expect("etcd's arguments");
        let at = arguments.iter().position(|argument| argument == "--listen-client-urls").expect("where etcd listens");
        let url = format!("{}/v3/kv/compaction", arguments[at + 1]);
        let answer = self.client.post(url).body(r#"{"revision":"100"}"#).send().await.expect("etcd answers");
        let (fine, text) = (answer.status().is_success(), answer.text().await.expect("etcd answers"));
        assert!(fine || text.contains("has been compacted"), "etcd does not compact: {text}");
    }

    /// Ends one of its processes as `kill -9` does. Only of one that is the test's own.
    pub fn kill(&self, process: &str) {
        assert!(self.own.is_some(), "the control plane of all tests is left alone");
        let text = std::fs::read_to_string(self.folder.join(format!("{process}.pid"))).expect("its process id");
        let pid: i32 = text.split_whitespace().next().and_then(|pid| pid.parse().ok()).expect("a process id");
        let pid = rustix::process::Pid::from_raw(pid).expect("a process id");
        rustix::process::kill_process(pid, rustix::process::Signal::KILL).expect("it is killed");
    }

    /// Starts a process again that was killed.
    pub fn start(&self, process: &str) {
        let ran = Command::new(program()).args(["start".as_ref(), self.folder.as_os_str(), process.as_ref()]).output().expect("it starts");
        assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    }
}

impl Drop for Kubernetes {
    fn drop(&mut self) {
        if self.own.is_some() {
            let _ = Command::new(program()).args(["down".as_ref(), self.folder.as_os_str()]).status();
        }
    }
}

/// The program that is each of its processes.
fn program() -> PathBuf {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/kubernetes/build");
    let built = Command::new(script).stdin(Stdio::null()).output().expect("tests/kubernetes/build");
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    String::from_utf8_lossy(&built.stdout).trim().into()
}
