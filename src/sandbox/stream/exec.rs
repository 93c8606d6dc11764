//! `exec`: a command in a Pod's container, with its streams as channels of one WebSocket, as kubelets serve `v4` and `v5.channel.k8s.io`.
//!
//! It must not run anything on this machine: it knows the few commands that playbooks and the procedure use. Invariant: what it prints follows from the
//! Pod's own object.

use axum::body::Bytes;
use futures::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

use super::{Socket, farewell, variable};
use crate::sandbox::call::Call;
use crate::sandbox::cluster::status_error::ApiError;
use crate::sandbox::cluster::store::text;

/// The protocols that are spoken, the best first. The fifth can say that the input is over.
pub(super) const PROTOCOLS: [&str; 2] = ["v5.channel.k8s.io", "v4.channel.k8s.io"];
/// The most input that is taken, in bytes.
const MOST_INPUT: usize = 1 << 20;

const STDIN: u8 = 0;
const STDOUT: u8 = 1;
const STDERR: u8 = 2;
const STATUS: u8 = 3;
const CLOSE: u8 = 255;

/// A command, with the streams that the client wants.
#[derive(Debug)]
pub(super) struct Command {
    words: Vec<String>,
    container: Value,
    stdin: bool,
    stdout: bool,
    stderr: bool,
}

/// What it did.
#[derive(Debug, PartialEq, Eq)]
enum Did {
    Exited {
        code: u8,
        out: String,
        err: String,
    },
    /// It gives back what it is given.
    Echo,
    /// There is no such program in the container.
    NotThere,
}

impl Command {
    /// The command that a request names.
    ///
    /// # Errors
    /// 400 for no command, no stream, an unknown container or one that does not run.
    pub(super) fn of(pod: &Value, name: &str, call: &Call) -> Result<Self, ApiError> {
        let words: Vec<String> = call.queries("command").map(str::to_owned).collect();
        if words.is_empty() {
            return Err(ApiError::bad_request("you must specify at least one command for the container"));
        }
        let (stdin, stdout, stderr) = (call.flag("stdin"), call.flag("stdout"), call.flag("stderr"));
        if !(stdin || stdout || stderr) {
            return Err(ApiError::bad_request("you must specify at least one of stdin, stdout, stderr"));
        }
        let containers = pod.pointer("/spec/containers").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        let given = call.query("container");
        let container = match containers {
            [only] if given.is_empty() => only,
            several if given.is_empty() => {
                let names: Vec<&str> = several.iter().map(|container| text(container, "/name")).collect();
                let message = format!("a container name must be specified for pod {name}, choose one of: [{}]", names.join(" "));
                return Err(ApiError::bad_request(message));
            }
            several => several
                .iter()
                .find(|container| text(container, "/name") == given)
                .ok_or_else(|| ApiError::bad_request(format!("container {given} is not valid for pod {name}")))?,
        };
        let called = text(container, "/name");
        let statuses = pod.pointer("/status/containerStatuses").and_then(Value::as_array).into_iter().flatten();
        let runs = statuses.into_iter().any(|status| text(status, "/name") == called && status["state"]["running"].is_object());
        if !runs {
            return Err(ApiError::internal(&format!("unable to upgrade connection: container not found (\"{called}\")")));
        }
        Ok(Self { words, container: container.clone(), stdin, stdout, stderr })
    }

    fn run(&self) -> Did {
        let words: Vec<&str> = self.words.iter().map(String::as_str).collect();
        let printed = |out: String| Did::Exited { code: 0, out, err: String::new() };
        let failed = |code: u8, err: String| Did::Exited { code, out: String::new(), err };
        match words.as_slice() {
            ["true"] => printed(String::new()),
            ["false"] => failed(1, String::new()),
            ["cat"] => Did::Echo,
            ["cat", file] => failed(1, format!("cat: {file}: No such file or directory\n")),
            ["echo", rest @ ..] => printed(format!("{}\n", rest.join(" "))),
            ["printenv"] | ["env"] => printed(self.variables()),
            ["printenv", name] => match variable(&self.container, name) {
                Some(value) => printed(format!("{value}\n")),
                None => failed(1, String::new()),
            },
            ["node", "-e", script] => match script.trim().trim_end_matches(';').strip_prefix("console.log(process.env.") {
                Some(name) => {
                    let name = name.trim_end_matches(')');
                    printed(format!("{}\n", variable(&self.container, name).unwrap_or("undefined")))
                }
                None => failed(1, "SyntaxError: the sandbox knows console.log(process.env.NAME) only\n".to_owned()),
            },
            ["sh" | "/bin/sh" | "bash", "-c", script] => shell(script),
            _ => Did::NotThere,
        }
    }

    fn variables(&self) -> String {
        let variables = self.container["env"].as_array().into_iter().flatten();
        let lines = variables.filter_map(|variable| Some(format!("{}={}\n", variable["name"].as_str()?, variable["value"].as_str()?)));
        lines.collect()
    }
}

/// `exit N`, and `echo TEXT` with `>&2`, one after the other.
fn shell(script: &str) -> Did {
    let (mut out, mut err) = (String::new(), String::new());
    for part in script.split(';').map(str::trim).filter(|part| !part.is_empty()) {
        if let Some(code) = part.strip_prefix("exit") {
            return Did::Exited { code: code.trim().parse().unwrap_or(2), out, err };
        }
        match part.strip_prefix("echo ") {
            Some(text) => match text.trim().strip_suffix(">&2") {
                Some(text) => err.push_str(&format!("{}\n", text.trim().trim_matches('"'))),
                None => out.push_str(&format!("{}\n", text.trim().trim_matches('"'))),
            },
            None => {
                let program = part.split(' ').next().unwrap_or_default();
                return Did::Exited { code: 127, out, err: format!("{err}sh: {program}: not found\n") };
            }
        }
    }
    Did::Exited { code: 0, out, err }
}

/// How a command ended, as its last channel says it.
fn status(code: u8) -> Value {
    if code == 0 {
        return json!({ "metadata": {}, "status": "Success" });
    }
    json!({
        "metadata": {}, "status": "Failure", "reason": "NonZeroExitCode",
        "message": format!("command terminated with non-zero exit code: exit status {code}"),
        "details": { "causes": [{ "reason": "ExitCode", "message": code.to_string() }] },
    })
}

fn not_there(program: &str) -> Value {
    json!({
        "metadata": {}, "status": "Failure", "reason": "InternalError", "code": 500,
        "message": format!(
            "Internal error occurred: error executing command in container: failed to exec in container: OCI runtime exec failed: exec failed: unable to \
             start container process: exec: \"{program}\": executable file not found in $PATH"
        ),
        "details": { "causes": [{ "message": "error executing command in container" }] },
    })
}

pub(super) async fn serve(mut socket: Socket, command: Command, protocol: &'static str, cut: bool) {
    let (out, err, status) = match command.run() {
        Did::Exited { code, out, err } => (out.into_bytes(), err.into_bytes(), status(code)),
        Did::Echo => match input(&mut socket, &command, protocol == PROTOCOLS[0]).await {
            Some(bytes) => (bytes, Vec::new(), status(0)),
            None => return,
        },
        Did::NotThere => (Vec::new(), Vec::new(), not_there(&command.words[0])),
    };
    for (channel, wanted, bytes) in [(STDOUT, command.stdout, out), (STDERR, command.stderr, err)] {
        if wanted && !bytes.is_empty() && socket.send(frame(channel, &bytes)).await.is_err() {
            return;
        }
    }
    if cut {
        return;
    }
    if socket.send(frame(STATUS, status.to_string().as_bytes())).await.is_ok() {
        let _closed = socket.close(Some(farewell())).await;
        // The client closes in its turn.
        while let Some(Ok(_)) = socket.next().await {}
    }
}

/// What the client sends until it says that this is all; `None`: it went away.
async fn input(socket: &mut Socket, command: &Command, can_end: bool) -> Option<Vec<u8>> {
    let mut all = Vec::new();
    if !command.stdin {
        return Some(all);
    }
    loop {
        match socket.next().await {
            Some(Ok(Message::Binary(bytes))) => match split(&bytes) {
                (STDIN, more) if all.len() + more.len() <= MOST_INPUT => all.extend_from_slice(more),
                (CLOSE, [STDIN]) if can_end => return Some(all),
                _ => {}
            },
            Some(Ok(Message::Close(_)) | Err(_)) | None => return None,
            Some(Ok(_)) => {}
        }
    }
}

fn split(bytes: &Bytes) -> (u8, &[u8]) {
    match bytes.split_first() {
        Some((channel, rest)) => (*channel, rest),
        None => (u8::MAX - 1, &[]),
    }
}

fn frame(channel: u8, bytes: &[u8]) -> Message {
    let mut whole = Vec::with_capacity(bytes.len() + 1);
    whole.push(channel);
    whole.extend_from_slice(bytes);
    Message::binary(whole)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ran(words: &[&str]) -> Did {
        let container = json!({ "name": "app", "env": [{ "name": "DB_POOL_MAX", "value": "20" }] });
        let words = words.iter().map(|word| (*word).to_owned()).collect();
        Command { words, container, stdin: false, stdout: true, stderr: true }.run()
    }

    #[test]
    fn the_procedures_own_commands_are_known() {
        let exited = |code, out: &str, err: &str| Did::Exited { code, out: out.to_owned(), err: err.to_owned() };
        assert_eq!(ran(&["node", "-e", "console.log(process.env.DB_POOL_MAX)"]), exited(0, "20\n", ""));
        assert_eq!(ran(&["printenv", "DB_POOL_MAX"]), exited(0, "20\n", ""));
        assert_eq!(ran(&["printenv", "NO_SUCH"]), exited(1, "", ""));
        assert_eq!(ran(&["sh", "-c", "echo out; echo err >&2; exit 7"]), exited(7, "out\n", "err\n"));
        assert_eq!(ran(&["sh", "-c", "reboot"]), exited(127, "", "sh: reboot: not found\n"));
        assert_eq!(ran(&["reboot"]), Did::NotThere);
    }
}
