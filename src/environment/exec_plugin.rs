//! The credential plugin of a kubeconfig's user (`exec`): run once, within bounds, and read.
//!
//! Must not print anything of what the plugin prints on standard output: that is the credential. Invariant: the plugin, with all that it started in
//! its process group, is gone when [`ExecPlugin::run`] returns or is dropped; what it prints takes bounded memory.
//!
//! The protocol: <https://kubernetes.io/docs/reference/access-authn-authz/authentication/#client-go-credential-plugins>

use std::process::Stdio;
use std::time::Duration;

use jiff::Timestamp;
use kube::config::{ExecConfig, ExecInteractiveMode};
use secrecy::SecretString;
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncReadExt};

use super::credentials::CredentialsError;
use super::kubernetes::chain;
use super::redactor::Redactor;
use super::secrets::SecretValues;

/// The longest output that is read, in bytes.
const LARGEST: u64 = 1024 * 1024;
/// How much of what a plugin complains is shown, in characters.
const SHOWN: usize = 500;
/// A word of at least so many characters that could be a token is not shown.
const LIKE_A_TOKEN: usize = 32;

/// What a plugin gave.
pub(super) struct Given {
    /// A bearer token.
    pub(super) token: Option<SecretString>,
    /// A client certificate and its key, PEM.
    pub(super) certificate: Option<(String, SecretString)>,
    /// When they expire.
    pub(super) expires: Option<Timestamp>,
}

/// A plugin, as a kubeconfig names it.
#[derive(Clone)]
pub(super) struct ExecPlugin {
    /// What the kubeconfig says.
    pub(super) config: ExecConfig,
    /// How long it may take.
    pub(super) limit: Duration,
}

impl std::fmt::Debug for ExecPlugin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ExecPlugin({})", self.name())
    }
}

/// Ends a process group when it is dropped.
pub(super) struct Group(Option<rustix::process::Pid>);

impl Group {
    /// The group that a child leads.
    pub(super) fn of(child: &tokio::process::Child) -> Self {
        Self(child.id().and_then(|id| i32::try_from(id).ok()).and_then(rustix::process::Pid::from_raw))
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(pid) = self.0 {
            // An error means that nobody is left in it.
            let _ = rustix::process::kill_process_group(pid, rustix::process::Signal::KILL);
        }
    }
}

impl ExecPlugin {
    /// Its command, for people.
    pub(super) fn name(&self) -> &str {
        self.config.command.as_deref().unwrap_or_default()
    }

    /// Runs it once.
    pub(super) async fn run(&self) -> Result<Given, CredentialsError> {
        let plugin = self.name().to_owned();
        if self.config.interactive_mode == Some(ExecInteractiveMode::Always) {
            return Err(CredentialsError::Interactive { plugin });
        }
        let mut command = tokio::process::Command::new(&plugin);
        command.args(self.config.args.iter().flatten());
        for variable in self.config.env.iter().flatten() {
            if let (Some(name), Some(value)) = (variable.get("name"), variable.get("value")) {
                command.env(name, value);
            }
        }
        command.env("KUBERNETES_EXEC_INFO", self.info());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0).kill_on_drop(true);
        let mut child = command.spawn().map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => {
                CredentialsError::Missing { plugin: plugin.clone(), install: self.config.install_hint.clone().map(|text| shown(&text)) }
            }
            _ => CredentialsError::NotStarted { plugin: plugin.clone(), why: chain(&error) },
        })?;
        let group = Group::of(&child);
        let (out, err) = (child.stdout.take(), child.stderr.take());
        let mut complaints = Vec::new();
        let work = async {
            // It has ended for us when it has ended itself, whatever it left behind holds its pipes.
            let both = async { tokio::join!(read(out), read_into(err, &mut complaints)).0 };
            tokio::pin!(both);
            tokio::select! {
                out = &mut both => (child.wait().await, out),
                status = child.wait() => {
                    let out = tokio::time::timeout(Duration::from_secs(1), &mut both).await.unwrap_or_default();
                    (status, out)
                }
            }
        };
        let ended = tokio::time::timeout(self.limit, work).await;
        drop(group);
        let said = self.redacted(&complaints);
        let (status, out) = match ended {
            Err(_) => return Err(CredentialsError::Slow { plugin, limit: self.limit, said }),
            Ok((Err(error), _)) => return Err(CredentialsError::NotStarted { plugin, why: chain(&error) }),
            Ok((Ok(status), out)) => (status, out),
        };
        if !status.success() {
            let how = status.code().map_or_else(|| "was ended by a signal".to_owned(), |code| format!("ended with exit code {code}"));
            return Err(CredentialsError::Failed { plugin, how, said });
        }
        given(&out, Timestamp::now()).map_err(|what| CredentialsError::Garbled { plugin, what })
    }

    fn info(&self) -> String {
        let mut spec = json!({ "interactive": false });
        if self.config.provide_cluster_info
            && let Some(cluster) = &self.config.cluster
        {
            spec["cluster"] = serde_json::to_value(cluster).unwrap_or_default();
        }
        json!({ "kind": "ExecCredential", "apiVersion": self.config.api_version, "spec": spec }).to_string()
    }

    /// What it printed on standard error, without what it was given as variables and without what could be a token.
    fn redacted(&self, bytes: &[u8]) -> String {
        let mut secrets = SecretValues::new();
        for variable in self.config.env.iter().flatten() {
            if let (Some(name), Some(value)) = (variable.get("name"), variable.get("value"))
                && value.len() >= 8
            {
                secrets.insert(name.clone(), value.clone().into());
            }
        }
        shown(&Redactor::of(&secrets).text(&String::from_utf8_lossy(bytes)))
    }
}

async fn read(from: Option<impl AsyncRead + Unpin>) -> Vec<u8> {
    let mut bytes = Vec::new();
    read_into(from, &mut bytes).await;
    bytes
}

/// Reads all, and keeps so much of it as is bearable.
async fn read_into(from: Option<impl AsyncRead + Unpin>, bytes: &mut Vec<u8>) {
    let Some(mut from) = from else { return };
    let _ = (&mut from).take(LARGEST).read_to_end(bytes).await;
    let _ = tokio::io::copy(&mut from, &mut tokio::io::sink()).await;
}

/// The credentials of an `ExecCredential`.
fn given(out: &[u8], now: Timestamp) -> Result<Given, String> {
    let value: Value = serde_json::from_slice(out).map_err(|_| "what it printed is not JSON".to_owned())?;
    let status = value.get("status").filter(|status| status.is_object()).ok_or("what it printed has no `status`")?;
    let text = |key: &str| status.get(key).and_then(Value::as_str).filter(|text| !text.trim().is_empty());
    let token = text("token").map(str::trim);
    if token.is_some_and(|token| !token.bytes().all(|byte| byte.is_ascii_graphic())) {
        return Err("its token has characters that no token has: a space, a line break or the like".to_owned());
    }
    let token = token.map(|token| SecretString::from(token.to_owned()));
    let certificate = match (text("clientCertificateData"), text("clientKeyData")) {
        (Some(certificate), Some(key)) => Some((certificate.to_owned(), SecretString::from(key.to_owned()))),
        (None, None) => None,
        _ => return Err("it gave a client certificate without its key, or a key without its certificate".to_owned()),
    };
    if token.is_none() && certificate.is_none() {
        return Err("it gave neither a token nor a client certificate".to_owned());
    }
    let expires = match text("expirationTimestamp") {
        None => None,
        Some(at) => Some(at.parse::<Timestamp>().map_err(|_| "its `expirationTimestamp` is not a time".to_owned())?),
    };
    match expires {
        Some(expires) if expires <= now => Err(format!("it gave credentials that expired at {expires}")),
        _ => Ok(Given { token, certificate, expires }),
    }
}

/// A few words in one line, without what could be a token.
fn shown(text: &str) -> String {
    let like_a_token = |word: &str| {
        word.split(|c: char| !(c.is_ascii_alphanumeric() || "-_+/=.".contains(c)))
            .any(|part| part.len() >= LIKE_A_TOKEN && part.contains(|c: char| c.is_ascii_digit()) && !part.starts_with('/'))
    };
    let words = text.split_whitespace().map(|word| if like_a_token(word) { "[hidden]" } else { word });
    let line: String = words.collect::<Vec<_>>().join(" ").chars().filter(|c| !c.is_control()).collect();
    match line.char_indices().nth(SHOWN) {
        Some((at, _)) => format!("{}…", &line[..at]),
        None => line,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use secrecy::ExposeSecret;

    use super::*;

    fn plugin(script: &str, limit: Duration) -> ExecPlugin {
        let config = ExecConfig {
            command: Some("sh".to_owned()),
            args: Some(vec!["-c".to_owned(), script.to_owned()]),
            env: Some(vec![HashMap::from([("name".to_owned(), "LOGIN".to_owned()), ("value".to_owned(), "hunter2hunter2".to_owned())])]),
            ..ExecConfig::default()
        };
        ExecPlugin { config, limit }
    }

    const LONG: Duration = Duration::from_secs(20);

    #[tokio::test]
    async fn a_plugin_gives_a_token() {
        let script = r#"test -n "$KUBERNETES_EXEC_INFO" && printf %s '{"status": {"token": " a-token ", "expirationTimestamp": "2999-01-01T00:00:00Z"}}'"#;
        let given = plugin(script, LONG).run().await.unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(given.token.unwrap().expose_secret(), "a-token");
        assert_eq!(given.expires.unwrap().to_string(), "2999-01-01T00:00:00Z");
    }

    #[tokio::test]
    async fn a_plugin_that_fails_is_quoted_without_secrets() {
        let script =
            "echo \"log in again: $LOGIN eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiIxMjM0In0 see https://example.com\" >&2; exit 3";
        let error = plugin(script, LONG).run().await.err().unwrap().to_string();
        let wanted = "the credential plugin `sh` ended with exit code 3: log in again: [secret LOGIN] [hidden] see https://example.com";
        assert_eq!(error, wanted);
        let script = "echo '{\"status\": {\"token\": \"\"}}'";
        let error = plugin(script, LONG).run().await.err().unwrap().to_string();
        assert_eq!(error, "the credential plugin `sh` gave nothing that could be used: it gave neither a token nor a client certificate");
        let script = r#"printf %s '{"status": {"token": "hunter2\nhunter3"}}'"#;
        let error = plugin(script, LONG).run().await.err().unwrap().to_string();
        assert!(error.ends_with("its token has characters that no token has: a space, a line break or the like"), "{error}");
        let error = plugin("yes hunter2hunter2 | head -c 3000000", LONG).run().await.err().unwrap().to_string();
        assert_eq!(error, "the credential plugin `sh` gave nothing that could be used: what it printed is not JSON");
    }

    #[tokio::test]
    async fn a_plugin_that_hangs_is_ended_with_all_that_it_started() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("child");
        let script = format!("echo waiting for a browser >&2; sleep 600 & echo $! > {}; wait", file.display());
        let error = plugin(&script, Duration::from_millis(500)).run().await.err().unwrap();
        assert!(error.to_string().contains("did not finish within 0.5 s: waiting for a browser"), "{error}");
        let child: i32 = std::fs::read_to_string(file).unwrap().trim().parse().unwrap();
        let gone = || {
            let stat = std::fs::read_to_string(format!("/proc/{child}/stat")).unwrap_or_default();
            stat.is_empty() || stat.contains(") Z ")
        };
        let deadline = std::time::Instant::now() + LONG;
        while !gone() {
            assert!(std::time::Instant::now() < deadline, "the plugin's own child lives on");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    #[tokio::test]
    async fn a_plugin_that_is_not_there_is_named() {
        let mut missing = plugin("", LONG);
        missing.config.command = Some("no-such-plugin".to_owned());
        missing.config.install_hint = Some("brew install it".to_owned());
        let error = missing.run().await.err().unwrap();
        assert_eq!(error.to_string(), "the credential plugin `no-such-plugin` is not installed on this machine");
        assert!(error.hint().contains("brew install it"));
    }

    #[test]
    fn what_has_expired_is_no_credential() {
        let out = br#"{"status": {"token": "a-token", "expirationTimestamp": "2020-01-01T00:00:00Z"}}"#;
        assert_eq!(given(out, Timestamp::now()).err().unwrap(), "it gave credentials that expired at 2020-01-01T00:00:00Z");
    }
}
