//! `plugin check`: talks with a plugin as a stranger would, and says what it does wrong.
//!
//! Must not ask it to apply or revert anything. Invariant: it ends within bounded time, whatever the plugin does.

use std::path::Path;
use std::time::Duration;

use serde_json::{Map, Value, json};
use tokio::sync::mpsc::unbounded_channel;
use tokio::time::timeout;

use super::answer;
use super::folder::Plugin;
use super::host::PluginSettings;
use super::manifest::PROTOCOL;
use super::message::{Message, question};
use super::needs::missing;
use super::session::{LONGEST, introduced};
use crate::process::{self, Cause, Dialogue, Ended, Request, Stream};

/// How long it has for all answers.
const WITHIN: Duration = Duration::from_secs(8);
/// How long it has to end by itself.
const ENDS: Duration = Duration::from_secs(3);
/// The most lines of its output that are looked at.
const LINES: usize = 1000;

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Checked {
    /// Whether it is as it should be.
    pub good: bool,
    /// What was looked at, and what was found.
    pub text: String,
    /// What to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

fn good(text: impl Into<String>) -> Checked {
    Checked { good: true, text: text.into(), hint: None }
}

fn bad(text: impl Into<String>, hint: impl Into<String>) -> Checked {
    Checked { good: false, text: text.into(), hint: Some(hint.into()) }
}

/// Looks at a plugin. `files` is a folder for what it writes, which goes afterwards.
pub async fn check(plugin: &Plugin, settings: &PluginSettings, files: &Path) -> Vec<Checked> {
    let manifest = &plugin.manifest;
    if let Some(missing) = missing(&manifest.needs) {
        return vec![bad(format!("it needs `{}`, which is not in PATH", missing.0.program), missing.0.hint)];
    }
    let mut found: Vec<Checked> = manifest.actions.iter().filter_map(|action| window(&action.entry)).collect();
    let describe = json!({ "protocol": PROTOCOL });
    let mut lines = vec![
        question(1, "describe", &describe),
        "this is no question".to_owned(),
        question(2, "no_such_method", &json!({})),
        question(3, "describe", &describe),
    ];
    let planning: Vec<_> = manifest.actions.iter().filter(|action| action.entry.observes).collect();
    for (id, action) in (4..).zip(&planning) {
        let params = json!({
            "action": action.short, "run": "00000000-0000-0000-0000-000000000000", "step": "check", "attempt": 0, "idempotency_key": "0".repeat(32),
            "effect": action.entry.effect.as_str(), "timeout_seconds": null, "target": null,
            "inputs": sample(&action.entry.inputs), "observed": {},
        });
        lines.push(question(id, "plan", &params));
    }
    let questions = 3 + planning.len();
    let (heard, ended) = match ask(plugin, settings, files, lines, questions).await {
        Ok(all) => all,
        Err(checked) => {
            found.push(checked);
            return found;
        }
    };
    let mut answers: Map<String, Value> = Map::new();
    let mut fine = true;
    for line in &heard {
        let wrong = match Message::read(line) {
            Ok(Message::Result { id, result }) => {
                answers.insert(id.to_string(), json!({ "result": result })).map(|_| format!("it answered question {id} twice"))
            }
            Ok(Message::Error { id: Some(id), code, message }) => answers
                .insert(id.to_string(), json!({ "code": code, "message": message }))
                .map(|_| format!("it answered question {id} twice")),
            Ok(Message::Error { id: None, .. } | Message::Progress { .. } | Message::Log(_) | Message::Other(_)) => None,
            Err(why) => Some(format!("it wrote a line that {why}: {}", line.chars().take(80).collect::<String>())),
        };
        if let Some(wrong) = wrong {
            fine = false;
            found.push(bad(wrong, "it answers each question once, one message a line, and writes nothing else to stdout"));
        }
    }
    if fine {
        found.push(good("it writes nothing but messages"));
    }
    found.push(match answers.get("1").map(|answer| introduced(plugin, &answer["result"])) {
        Some(Ok(())) => good("it says who it is (`describe`)"),
        Some(Err(fault)) => bad(fault.message(&manifest.name), "answer with `protocol`, `plugin` and `actions` as in the manifest"),
        None => bad(
            format!("it did not answer `describe`{}", last_words(&ended)),
            "read lines from stdin until it ends, and answer each that is a question",
        ),
    });
    if answers.contains_key("1") {
        found.push(match answers.get("2") {
            Some(answer) if answer["code"] == -32601 => good("it refuses a method that it does not have"),
            _ => bad("it did not refuse a method that it does not have", "answer with the error -32601"),
        });
        found.push(if answers.contains_key("3") {
            good("it goes on after a line that is no question")
        } else {
            bad(
                "after a line that is no question it answers no more",
                "answer such a line with the error -32700 and the id `null`, and go on",
            )
        });
        found.extend(
            (4_u64..).zip(&planning).map(|(id, action)| planned(&action.entry.name, answers.get(&id.to_string()), &action.outputs)),
        );
    }
    found.push(match (&ended.cause, ended.code) {
        (Cause::Itself, Some(0)) => good("it ends when its stdin does"),
        (Cause::Itself, Some(code)) => {
            bad(format!("it ended with exit code {code}{}", last_words(&ended)), "end with 0 when stdin has ended")
        }
        (Cause::Itself, None) => bad(format!("it was killed{}", last_words(&ended)), "look at why it crashed"),
        (Cause::Timeout | Cause::Stopped, _) => bad("it does not end when its stdin does", "read stdin to its end, then exit"),
    });
    found
}

/// A page says of what writes whether somebody else's change can get between.
fn window(entry: &crate::model::catalogue::ActionEntry) -> Option<Checked> {
    let says = entry.page.contains("**Guarded.**") || entry.page.contains("**Unguarded window.**");
    (entry.effect != crate::model::step::Effect::Read && !says).then(|| {
        let hint = "say it under `**Guarded.**` or `**Unguarded window.**`, in a file named by `page:`";
        Checked {
            good: true,
            text: format!("the page of {} does not say whether somebody else's change can be lost", entry.name),
            hint: Some(hint.to_owned()),
        }
    })
}

fn planned(name: &str, answer: Option<&Value>, outputs: &Value) -> Checked {
    match answer {
        None => bad(format!("it did not answer a `plan` of {name}"), "answer every question, if only with an error"),
        Some(answer) => match answer.get("result") {
            // The inputs are made up: that they cannot be planned for is an answer.
            None => good(format!(
                "it answers a `plan` of {name} with made-up inputs (that it cannot: {})",
                answer["message"].as_str().unwrap_or_default()
            )),
            Some(result) => match answer::plan(result, outputs) {
                Ok(_) => good(format!("it answers a `plan` of {name} with made-up inputs")),
                Err(why) => bad(format!("its `plan` of {name} does not fit: {why}"), "docs/plugins.md has what a plan may hold"),
            },
        },
    }
}

fn last_words(ended: &Ended) -> String {
    ended.stderr.last_line().map_or_else(String::new, |line| format!(" ({})", line.chars().take(160).collect::<String>()))
}

/// Says all lines, waits for so many answers, and ends its stdin; what it wrote and how it ended.
async fn ask(
    plugin: &Plugin,
    settings: &PluginSettings,
    files: &Path,
    lines: Vec<String>,
    answers: usize,
) -> Result<(Vec<String>, Ended), Checked> {
    let program = plugin.folder.join(&plugin.manifest.executable);
    let mut request = Request::new(&settings.supervisor, program.to_string_lossy(), files, 1);
    request.cwd = Some(files.to_owned());
    request.env.insert("PYTHONDONTWRITEBYTECODE".to_owned(), "1".to_owned());
    request.dialogue = Some(Dialogue { longest_line: LONGEST });
    request.timeout = Some(WITHIN + ENDS * 2);
    request.grace = Duration::from_secs(1);
    let (say, said) = unbounded_channel();
    let (tell, mut told) = unbounded_channel();
    lines.into_iter().for_each(|line| drop(say.send(line)));
    let mut heard = Vec::new();
    let on_line = |line: process::Heard<'_>| {
        if line.stream == Stream::Stdout && heard.len() < LINES {
            heard.push(line.text.to_owned());
            let is_answer = matches!(Message::read(line.text), Ok(Message::Result { .. } | Message::Error { id: Some(_), .. }));
            let _ = tell.send(is_answer);
        }
    };
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let patience = async {
        let mut left = answers;
        let all = async {
            while left > 0 {
                match told.recv().await {
                    Some(true) => left -= 1,
                    Some(false) => {}
                    None => return,
                }
            }
        };
        let _ = timeout(WITHIN, all).await;
        drop(say);
        // It has a moment to end by itself; the channel closes when it has.
        let gone = async { while told.recv().await.is_some() {} };
        if timeout(ENDS, gone).await.is_err() {
            let _ = stop.send(());
        }
        std::future::pending::<()>().await;
    };
    let running = process::converse(request, said, on_line, async {
        if stopped.await.is_err() {
            std::future::pending::<()>().await;
        }
    });
    let ended = tokio::select! {
        ended = running => ended,
        () = patience => return Err(bad("it could not be talked with", "try again")),
    };
    match ended {
        Ok(ended) => Ok((heard, ended)),
        Err(error) => Err(bad(format!("it was not started: {error}"), "run its executable by hand to see why")),
    }
}

/// Inputs that fit a schema as far as they can be made up.
fn sample(schema: &Value) -> Value {
    for given in ["default", "const"] {
        if let Some(value) = schema.get(given) {
            return value.clone();
        }
    }
    for given in ["examples", "enum"] {
        if let Some(value) = schema.get(given).and_then(|values| values.get(0)) {
            return value.clone();
        }
    }
    match schema["type"].as_str() {
        Some("object") => {
            let required: Vec<&str> = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
            let properties = schema["properties"].as_object().into_iter().flatten();
            let made =
                properties.filter(|(name, _)| required.contains(&name.as_str())).map(|(name, schema)| (name.clone(), sample(schema)));
            Value::Object(made.collect())
        }
        Some("array") => json!([]),
        Some("integer" | "number") => schema.get("minimum").cloned().unwrap_or_else(|| json!(1)),
        Some("boolean") => json!(false),
        _ => json!("x"),
    }
}
