//! What the end of a command in a container means for its step.
//!
//! Invariant: what certainly did not run was not applied; a command whose end nobody saw is unknown, unless it only reads.

use serde_json::{Value, json};

use super::super::errors::{Asked, Trouble};
use super::input::Input;
use super::session::{Ended, Printed, Stream};
use crate::actions::support::{at_most, output};
use crate::model::catalogue::OutputField;
use crate::model::outcome::{Applied, Failure};
use crate::model::step::Effect;
use crate::ports::action::{Context, Log};

/// How much of each stream is an output, in bytes.
const SHOWN: usize = 1536;
/// How much of the last line of stderr is in a message, in characters.
const QUOTED: usize = 300;
/// How many lines of each stream are logged.
const LINES: usize = 500;

/// The declared outputs.
pub(super) fn fields() -> Vec<OutputField> {
    vec![
        output("pod", "string", "the pod that it ran in"),
        output("exit_code", "integer", "its exit code"),
        output("stdout", "string", "the last 1.5 KiB of its standard output, without blanks at the end"),
        output("stderr", "string", "the last 1.5 KiB of its standard error, without blanks at the end"),
        output("truncated", "boolean", "whether an output leaves something out"),
        output("duration_ms", "integer", "how long it took, with the way there and back, in milliseconds"),
    ]
}

/// What an end means.
pub(super) fn judge(ended: Ended, input: &Input, pod: &str, asked: Asked<'_>, cx: &Context) -> Applied {
    let what = cx.log.redact(&input.shown());
    let unknown = |failure: Failure| match cx.effect {
        Effect::Read => Applied::NotApplied { failure },
        Effect::Idempotent | Effect::Once => Applied::Unknown { failure },
    };
    match ended {
        Ended::Refused { status, reason, message } => {
            let never = message.contains("container not found");
            // An API server says nothing more where only `create` is missing.
            let by_role = status == 403 && (message.trim_end().ends_with("is forbidden:") || message.contains("pods/exec"));
            let trouble =
                Trouble::Refused { status, message: at_most(&cx.log.redact(&message), 500).to_owned(), reason, retry_after: None };
            match trouble.of_write(asked) {
                Applied::Unknown { failure } if never => {
                    Applied::NotApplied { failure: failure.hint("the container does not run: `kubectl describe pod` says why") }
                }
                Applied::Unknown { failure } => unknown(failure),
                Applied::NotApplied { failure } if by_role => {
                    let hint = "allow `get` and `create` on `pods/exec` in a Role (clusters from 1.35 on ask for both)";
                    Applied::NotApplied { failure: failure.hint(hint) }
                }
                other => other,
            }
        }
        Ended::Unanswered(error) => match Trouble::Silent(error).of_write(asked) {
            Applied::Unknown { failure } => unknown(failure),
            other => other,
        },
        Ended::Cut(printed) => {
            logged(&printed, &*cx.log);
            let message =
                format!("{what} in pod {pod}: the connection was cut before it was known how it ended{}", said(&printed, &*cx.log));
            unknown(Failure::transient(message).hint("see in the pod what it did; it may still run there"))
        }
        Ended::TimedOut(limit, printed) => {
            logged(&printed, &*cx.log);
            let seconds = limit.as_secs_f32();
            let message = format!(
                "{what} in pod {pod} had not ended after {seconds} s, and goes on there: nothing in a container is ended from here"
            );
            unknown(Failure::transient(message).hint("give it more `timeout`, or end it by hand: `kubectl exec POD -- kill PID`"))
        }
        Ended::Told(status, printed) => {
            logged(&printed, &*cx.log);
            let code = match (status.status.as_deref(), status.reason.as_deref()) {
                (Some("Success"), _) => Some(0),
                (_, Some("NonZeroExitCode")) => {
                    let causes = status.details.as_ref().and_then(|details| details.causes.as_deref()).unwrap_or_default();
                    let exit = causes.iter().find(|cause| cause.reason.as_deref() == Some("ExitCode"));
                    exit.and_then(|cause| cause.message.as_deref()?.parse::<i32>().ok())
                }
                _ => None,
            };
            let Some(code) = code else { return not_run(&status.message.clone().unwrap_or_default(), &what, pod, cx, unknown) };
            let outputs = outputs(pod, code, &printed, &*cx.log);
            if input.success_codes.contains(&code) {
                return Applied::Applied { outputs };
            }
            let message = format!("{what} in pod {pod} exited with {code}{}", said(&printed, &*cx.log));
            Applied::FailedWithEffect { failure: Failure::transient(message), outputs }
        }
    }
}

/// The node says that something else than the command failed.
fn not_run(message: &str, what: &str, pod: &str, cx: &Context, unknown: impl Fn(Failure) -> Applied) -> Applied {
    let told = at_most(&cx.log.redact(message), 500).to_owned();
    let missing = ["executable file not found", "no such file or directory", "permission denied", "stat "];
    if missing.iter().any(|sign| told.contains(sign)) {
        let failure = Failure::permanent(format!("{what} did not start in pod {pod}: {told}"));
        return Applied::NotApplied {
            failure: failure.hint("name a program that the container's image has; a shell's words need `[sh, -c, …]`"),
        };
    }
    unknown(Failure::transient(format!("{what} in pod {pod}: the node could not say how it ended: {told}")))
}

fn outputs(pod: &str, code: i32, printed: &Printed, log: &dyn Log) -> Value {
    let (stdout, stderr) = (log.redact(&printed.stdout.text()), log.redact(&printed.stderr.text()));
    let (out, err) = (shown(&stdout), shown(&stderr));
    let cut = |stream: &Stream, whole: &str, shown: &str| stream.cut || shown.len() < whole.trim_end().len();
    json!({
        "pod": pod,
        "exit_code": code,
        "stdout": out,
        "stderr": err,
        "truncated": cut(&printed.stdout, &stdout, out) || cut(&printed.stderr, &stderr, err),
        "duration_ms": u64::try_from(printed.took.as_millis()).unwrap_or(u64::MAX),
    })
}

/// The end of a text, cut between characters.
fn shown(text: &str) -> &str {
    let text = text.trim_end();
    let mut from = text.len().saturating_sub(SHOWN);
    while !text.is_char_boundary(from) {
        from += 1;
    }
    &text[from..]
}

/// Its last complaint, after a colon.
fn said(printed: &Printed, log: &dyn Log) -> String {
    let text = log.redact(&printed.stderr.text());
    match text.lines().rev().find(|line| !line.trim().is_empty()) {
        Some(line) => format!(": {}", line.trim().chars().filter(|c| !c.is_control()).take(QUOTED).collect::<String>()),
        None => String::new(),
    }
}

fn logged(printed: &Printed, log: &dyn Log) {
    for stream in [&printed.stdout, &printed.stderr] {
        let text = stream.text();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(LINES)..].iter().for_each(|line| log.line(line));
    }
}
