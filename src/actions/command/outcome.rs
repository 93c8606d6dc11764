//! What a program's end means for its step.
//!
//! Invariant: a program that was killed, or whose end nobody saw, is unknown, never a failure, unless it only reads. The same judgement is made of a
//! program that ended just now and of one that recovery found.

use std::path::Path;

use serde_json::{Value, json};

use crate::model::catalogue::OutputField;
use crate::model::outcome::{Applied, Failure};
use crate::model::step::Effect;
use crate::process::{Captured, Cause, Ended, RunError, StartError};

use super::inputs::{CommandInputs, Parse};

/// How much of a stream is an output, in bytes: 4 KiB.
const SHOWN: usize = 4 * 1024;
/// How much of the last line of stderr is in a message, in characters.
const QUOTED: usize = 300;

/// The declared outputs.
pub(super) fn fields() -> Vec<OutputField> {
    let field = |name: &str, kind: &str, help: &str| OutputField { name: name.into(), kind: kind.into(), help: help.into() };
    vec![
        field("exit_code", "integer", "The exit code; null where a signal ended it"),
        field("stdout", "string", "The last 4 KiB of stdout, without blanks at its end"),
        field("stderr", "string", "The last 4 KiB of stderr, without blanks at its end"),
        field("json", "any", "With `parse: json`, stdout as JSON; else null"),
        field("lines", "list", "With `parse: lines`, the lines of stdout; else null"),
        field("duration_ms", "integer", "How long it ran, in milliseconds"),
        field("truncated", "boolean", "Whether some of the output is in no file"),
        field("stdout_file", "string", "The file that has all of stdout, up to `max_output`"),
    ]
}

/// What a program's end means. `what` is its line for people.
pub(super) fn judge(ended: &Ended, inputs: &CommandInputs, what: &str, effect: Effect, stdout_file: Option<&Path>) -> Applied {
    let failure = |message: String| {
        let failure = Failure::transient(message);
        match stdout_file {
            Some(file) => failure.hint(format!("all it wrote is in {} and {}", file.display(), file.with_extension("stderr").display())),
            None => failure,
        }
    };
    let unknown = |message: String| match effect {
        Effect::Read => Applied::NotApplied { failure: failure(message) },
        Effect::Idempotent | Effect::Once => Applied::Unknown { failure: failure(message) },
    };
    let outputs = outputs(ended, stdout_file);
    match (ended.cause, ended.code) {
        (Cause::Timeout, _) => unknown(format!("{what} was ended because its time was over{}", said(&ended.stderr))),
        (Cause::Stopped, _) => unknown(format!("{what} was ended before it was done{}", said(&ended.stderr))),
        (Cause::Itself, None) => {
            let by = ended.signal.map_or_else(|| "an unknown signal".to_owned(), signal_name);
            unknown(format!("{what} was killed by {by}{}", said(&ended.stderr)))
        }
        (Cause::Itself, Some(code)) if !inputs.success_codes.contains(&code) => {
            Applied::FailedWithEffect { failure: failure(format!("{what} exited with {code}{}", said(&ended.stderr))), outputs }
        }
        (Cause::Itself, Some(_)) => match parsed(&ended.stdout, inputs.parse) {
            Ok((name, value)) => Applied::Applied { outputs: with(outputs, name, value) },
            Err(why) => Applied::FailedWithEffect {
                failure: Failure { transient: false, ..failure(format!("{what} succeeded, but its stdout {why}")) },
                outputs,
            },
        },
    }
}

/// What it means that there is no end to judge.
pub(super) fn judge_error(error: RunError, what: &str, effect: Effect) -> Applied {
    match error {
        // An earlier call under the same name did start it: what came of that is for `verify` to find out.
        RunError::NotStarted(error @ StartError::AlreadyStarted { .. }) => {
            Applied::Unknown { failure: Failure::permanent(error.to_string()).hint(error.hint()) }
        }
        RunError::NotStarted(error) => {
            let failure = Failure {
                transient: error.is_transient(),
                ..Failure::permanent(format!("{what} was not started: {error}")).hint(error.hint())
            };
            Applied::NotApplied { failure }
        }
        RunError::Lost { .. } => {
            let failure = Failure::transient(format!("of {what} nothing is known: {error}")).hint("look at the target to see what it did");
            match effect {
                Effect::Read => Applied::NotApplied { failure },
                Effect::Idempotent | Effect::Once => Applied::Unknown { failure },
            }
        }
    }
}

fn outputs(ended: &Ended, stdout_file: Option<&Path>) -> Value {
    json!({
        "exit_code": ended.code,
        "stdout": shown(&ended.stdout),
        "stderr": shown(&ended.stderr),
        "json": null,
        "lines": null,
        "duration_ms": ended.duration_ms,
        "truncated": ended.truncated(),
        "stdout_file": stdout_file.map(|file| file.display().to_string()),
    })
}

fn with(mut outputs: Value, name: &str, value: Value) -> Value {
    if !name.is_empty() {
        outputs[name] = value;
    }
    outputs
}

/// The end of a stream, cut between characters.
fn shown(captured: &Captured) -> &str {
    let text = captured.tail.trim_end();
    let mut from = text.len().saturating_sub(SHOWN);
    while !text.is_char_boundary(from) {
        from += 1;
    }
    &text[from..]
}

fn parsed(stdout: &Captured, parse: Parse) -> Result<(&'static str, Value), String> {
    let name = match parse {
        Parse::None => return Ok(("", Value::Null)),
        Parse::Json => "json",
        Parse::Lines => "lines",
    };
    if !stdout.whole {
        return Err(format!(
            "is {} bytes long, more than the {} that `parse: {name}` takes: let the command print only what later steps need",
            stdout.bytes,
            Captured::TAIL
        ));
    }
    match parse {
        Parse::None | Parse::Lines => Ok((name, stdout.tail.lines().collect())),
        Parse::Json if stdout.tail.trim().is_empty() => Err("is empty, and not JSON".into()),
        Parse::Json => match serde_json::from_str(&stdout.tail) {
            Ok(value) => Ok((name, value)),
            Err(error) => Err(format!("is not JSON: {error}")),
        },
    }
}

/// The last line of stderr, as the end of a sentence.
fn said(stderr: &Captured) -> String {
    stderr.last_line().map_or_else(String::new, |line| {
        let cut: String = line.chars().take(QUOTED).collect();
        format!(": {cut}{}", if cut.len() < line.len() { "…" } else { "" })
    })
}

fn signal_name(number: i32) -> String {
    let name = match number {
        1 => "SIGHUP",
        2 => "SIGINT",
        3 => "SIGQUIT",
        4 => "SIGILL",
        6 => "SIGABRT",
        8 => "SIGFPE",
        9 => "SIGKILL (its end was forced, or the system ran out of memory)",
        11 => "SIGSEGV",
        13 => "SIGPIPE",
        14 => "SIGALRM",
        15 => "SIGTERM",
        _ => return format!("signal {number}"),
    };
    name.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn captured(text: &str) -> Captured {
        Captured { tail: text.into(), whole: true, bytes: text.len() as u64, kept: text.len() as u64, file_error: None }
    }

    fn ended(code: Option<i32>, cause: Cause, stdout: &str) -> Ended {
        let signal = code.is_none().then_some(9);
        let started = jiff::Timestamp::UNIX_EPOCH;
        Ended { code, signal, cause, started, duration_ms: 7, stdout: captured(stdout), stderr: captured("one\nboom\n\n") }
    }

    fn judged(inputs: Value, ended: &Ended, effect: Effect) -> Applied {
        judge(ended, &CommandInputs::read(&inputs).ok().unwrap(), "`tool`", effect, None)
    }

    #[test]
    fn success_is_what_the_step_says() {
        let inputs = json!({ "argv": ["tool"], "success_codes": [0, 2], "parse": "lines" });
        let Applied::Applied { outputs } = judged(inputs.clone(), &ended(Some(2), Cause::Itself, "a\nb\n"), Effect::Once) else { panic!() };
        assert_eq!((&outputs["exit_code"], &outputs["lines"], &outputs["stdout"]), (&json!(2), &json!(["a", "b"]), &json!("a\nb")));
        let Applied::FailedWithEffect { failure, outputs } = judged(inputs, &ended(Some(1), Cause::Itself, ""), Effect::Once) else {
            panic!()
        };
        assert_eq!((failure.message.as_str(), &outputs["exit_code"]), ("`tool` exited with 1: boom", &json!(1)));
    }

    #[test]
    fn a_killed_child_is_unknown_unless_it_only_reads() {
        let inputs = json!({ "argv": ["tool"] });
        for end in [ended(None, Cause::Itself, ""), ended(Some(0), Cause::Timeout, ""), ended(Some(0), Cause::Stopped, "")] {
            for effect in [Effect::Once, Effect::Idempotent] {
                assert!(matches!(judged(inputs.clone(), &end, effect), Applied::Unknown { .. }), "{:?}", end.cause);
            }
            assert!(matches!(judged(inputs.clone(), &end, Effect::Read), Applied::NotApplied { failure } if failure.transient));
        }
    }

    #[test]
    fn what_is_not_json_may_have_had_its_effect() {
        let inputs = json!({ "argv": ["tool"], "parse": "json" });
        let Applied::FailedWithEffect { failure, .. } =
            judged(inputs.clone(), &ended(Some(0), Cause::Itself, "{\"a\":\n x}"), Effect::Once)
        else {
            panic!()
        };
        assert_eq!(failure.message, "`tool` succeeded, but its stdout is not JSON: expected value at line 2 column 2");
        let mut long = ended(Some(0), Cause::Itself, "1");
        (long.stdout.whole, long.stdout.bytes) = (false, 70_000);
        let Applied::FailedWithEffect { failure, .. } = judged(inputs.clone(), &long, Effect::Once) else { panic!() };
        assert!(failure.message.contains("is 70000 bytes long"), "{}", failure.message);
        let Applied::Applied { outputs } = judged(inputs, &ended(Some(0), Cause::Itself, "{\"a\": 1}\n"), Effect::Once) else { panic!() };
        assert_eq!(outputs["json"], json!({ "a": 1 }));
    }

    #[test]
    fn the_outputs_are_those_declared_and_bounded() {
        let long = "ü".repeat(5000);
        let Applied::Applied { outputs } = judged(json!({ "argv": ["tool"] }), &ended(Some(0), Cause::Itself, &long), Effect::Once) else {
            panic!()
        };
        assert!(outputs["stdout"].as_str().unwrap().len() <= SHOWN);
        let names: Vec<_> = outputs.as_object().unwrap().keys().cloned().collect();
        assert_eq!(names, fields().into_iter().map(|field| field.name).collect::<Vec<_>>());
    }

    #[test]
    fn an_attempt_that_was_started_before_is_for_verify_to_resolve() {
        let again = StartError::AlreadyStarted { files: "/f".into(), attempt: 1 };
        assert!(matches!(judge_error(again.into(), "`tool`", Effect::Once), Applied::Unknown { .. }));
        let missing = StartError::NoSuchFile { path: "/tool".into() };
        let Applied::NotApplied { failure } = judge_error(missing.into(), "`tool`", Effect::Once) else { panic!() };
        assert_eq!((failure.message.as_str(), failure.transient), ("`tool` was not started: the program /tool does not exist", false));
    }
}
