//! One talk with a plugin: it is started, asked who it is, asked what there is to ask, and its stdin ends.
//!
//! Must not believe it anything. Invariants: what matters is asked only after the plugin has said who it is, so that one that does not even start has
//! certainly done nothing; memory and time are bounded whatever it writes; when a talk is over, nothing of the plugin is left.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout_at};

use super::fault::{Broken, Fault};
use super::folder::Plugin;
use super::manifest::PROTOCOL;
use super::message::{Message, Method, cancel, question};
use crate::model::duration::Span;
use crate::ports::action::Log;
use crate::process::{self, Cause, Dialogue, Ended, Request, RunError, StartError, Stream};

/// The longest message, in bytes: 1 MiB.
pub(super) const LONGEST: usize = 1 << 20;
/// The most that a plugin may write to stdout in one talk, in bytes: 16 MiB.
pub(super) const MOST: u64 = 16 << 20;
/// The most lines of its log and of its stderr that are shown; its files have all of stderr.
const SHOWN: usize = 2000;
/// How long a plugin has to say who it is.
const INTRODUCTION: Duration = Duration::from_secs(10);
/// How long it has to end by itself when its stdin has ended, and to answer when it was told to cancel.
pub(super) const FAREWELL: Duration = Duration::from_secs(5);
/// How long it has between SIGTERM and SIGKILL.
pub(super) const GRACE: Duration = Duration::from_secs(3);
/// How much of a wrong line, or of the last line of stderr, is quoted, in characters.
const QUOTED: usize = 200;

/// A question.
#[derive(Debug)]
pub(super) struct Ask {
    pub(super) method: Method,
    pub(super) params: Value,
}

/// What a talk needs.
pub(super) struct Talk<'a> {
    pub(super) plugin: &'a Plugin,
    /// What is run: with its files, attempt, environment and redactions.
    pub(super) request: Request,
    pub(super) log: &'a dyn Log,
    /// How long it may take from the start to the last answer.
    pub(super) within: Duration,
}

enum Line {
    Stdout { text: String, cut: bool },
    Flood,
}

/// Asks one question after the other: `next` gives each from the answer to the one before, beginning with who the plugin is. The last answer.
///
/// # Errors
/// Where the talk broke off. `matters` is the question of which it must be known whether it was asked.
pub(super) async fn talk(
    talk: Talk<'_>,
    matters: Method,
    next: impl FnMut(Method, &Value) -> Result<Option<Ask>, Fault> + Send,
) -> Result<Value, Broken> {
    let Talk { plugin, mut request, log, within } = talk;
    request.dialogue = Some(Dialogue { longest_line: LONGEST });
    request.grace = GRACE;
    // The supervisor's own limit is for a plugin that does not even heed its farewell.
    request.timeout = Some(within + FAREWELL * 3);
    let (say, said) = unbounded_channel();
    let (tell, heard) = unbounded_channel();
    let (stop, stopped) = oneshot::channel::<()>();
    let mut bytes = 0_u64;
    let mut shown = 0_usize;
    let on_line = move |line: process::Heard<'_>| match line.stream {
        Stream::Stdout => {
            bytes += line.text.len() as u64 + 1;
            // What comes after a flood has begun is not held.
            if bytes <= MOST {
                let _ = tell.send(Line::Stdout { text: line.text.to_owned(), cut: line.cut });
            } else {
                let _ = tell.send(Line::Flood);
            }
        }
        Stream::Stderr if shown < SHOWN => {
            shown += 1;
            log.line(line.text);
        }
        Stream::Stderr => {}
    };
    let asked = AtomicBool::new(false);
    let talking = async {
        let mut voice = Voice { plugin, log, say, heard, shown: 0, within, until: Instant::now() + within, id: 0, asked: &asked };
        let result = voice.converse(matters, next).await;
        let Voice { say, heard, .. } = voice;
        drop(say);
        let result = match result {
            Ok((id, method, value)) => end(heard, id, method).await.map(|()| value),
            Err(fault) => Err(fault),
        };
        // Whatever it still does, it is over.
        let _ = stop.send(());
        result
    };
    let running = process::converse(request, said, on_line, async {
        let _ = stopped.await;
    });
    let (ended, result) = tokio::join!(running, talking);
    let place = |fault| if asked.load(Ordering::SeqCst) { Broken::After(fault) } else { Broken::Before(fault) };
    match (ended, result) {
        (Ok(ended), Err(Fault::Ended { asked, .. })) => Err(place(Fault::Ended { asked, how: how(&ended, log) })),
        (Ok(_) | Err(RunError::Lost { .. }), Ok(value)) => Ok(value),
        (Ok(_), Err(fault)) => Err(place(fault)),
        // An earlier call under the same name did start it: what came of that is for `verify` to find out.
        (Err(RunError::NotStarted(error @ StartError::AlreadyStarted { .. })), _) => Err(Broken::After(Fault::Lost(format!(": {error}")))),
        (Err(RunError::NotStarted(error)), _) => Err(Broken::NotStarted(error)),
        (Err(RunError::Lost { why }), Err(Fault::Ended { .. })) => Err(place(Fault::Lost(why))),
        (Err(RunError::Lost { .. }), Err(fault)) => Err(place(fault)),
    }
}

/// Its side of a talk that goes on.
struct Voice<'a> {
    plugin: &'a Plugin,
    log: &'a dyn Log,
    say: UnboundedSender<String>,
    heard: UnboundedReceiver<Line>,
    shown: usize,
    within: Duration,
    until: Instant,
    id: u64,
    asked: &'a AtomicBool,
}

impl Voice<'_> {
    async fn converse(
        &mut self,
        matters: Method,
        mut next: impl FnMut(Method, &Value) -> Result<Option<Ask>, Fault> + Send,
    ) -> Result<(u64, Method, Value), Fault> {
        let mut until = self.until.min(Instant::now() + INTRODUCTION);
        let mut ask = Ask { method: Method::Describe, params: json!({ "protocol": PROTOCOL }) };
        loop {
            let method = ask.method;
            if method == matters {
                self.asked.store(true, Ordering::SeqCst);
            }
            let answer = self.ask(&ask, until).await?;
            if method == Method::Describe {
                introduced(self.plugin, &answer)?;
            }
            match next(method, &answer)? {
                Some(following) => ask = following,
                None => return Ok((self.id, method, answer)),
            }
            until = self.until;
        }
    }

    async fn ask(&mut self, ask: &Ask, until: Instant) -> Result<Value, Fault> {
        self.id += 1;
        let asked = ask.method.as_str();
        let _ = self.say.send(question(self.id, asked, &ask.params));
        let within = until.saturating_duration_since(Instant::now()).min(self.within);
        match timeout_at(until, self.answer(asked)).await {
            Ok(answer) => answer,
            Err(_) => {
                let _ = self.say.send(cancel(self.id));
                // It may still say how far it came; what it says then counts like any answer.
                let over = Fault::TimeOver { asked, within: rounded(within) };
                timeout_at(Instant::now() + FAREWELL.min(self.within / 4), self.answer(asked)).await.unwrap_or(Err(over))
            }
        }
    }

    async fn answer(&mut self, asked: &'static str) -> Result<Value, Fault> {
        loop {
            let line = self.heard.recv().await.ok_or(Fault::Ended { asked, how: String::new() })?;
            let Some(message) = message(line, self.log)? else { continue };
            match message {
                Message::Result { id, result } if id == self.id => return Ok(result),
                Message::Result { id, .. } => return Err(self.stray(id)),
                Message::Error { id: Some(id), .. } if id != self.id => return Err(self.stray(id)),
                Message::Error { code, message, .. } => {
                    return Err(Fault::Refused { asked, code, message: quoted(&self.log.redact(&message)) });
                }
                Message::Progress { done, total, message } => self.log.part(done, total, &message),
                Message::Log(line) if self.shown < SHOWN => {
                    self.shown += 1;
                    self.log.line(&line);
                }
                Message::Log(_) => {}
                Message::Other(name) => self.log.line(&format!("the plugin says `{name}`, which this runsheet does not know")),
            }
        }
    }
}

impl Voice<'_> {
    /// An answer to another question than the one that is open.
    fn stray(&self, id: u64) -> Fault {
        if (1..self.id).contains(&id) { Fault::Twice("an earlier question") } else { Fault::UnknownId(id) }
    }
}

/// The last answer is there: whatever else comes must be no answer.
async fn end(mut heard: UnboundedReceiver<Line>, last: u64, method: Method) -> Result<(), Fault> {
    let until = Instant::now() + FAREWELL;
    while let Ok(Some(line)) = timeout_at(until, heard.recv()).await {
        let id = match line {
            Line::Flood => return Err(Fault::Flood { most: MOST }),
            // Noise after the answer changes nothing about it.
            Line::Stdout { text, .. } => match Message::read(&text) {
                Ok(Message::Result { id, .. } | Message::Error { id: Some(id), .. }) => id,
                Ok(Message::Error { id: None, .. } | Message::Progress { .. } | Message::Log(_) | Message::Other(_)) | Err(_) => continue,
            },
        };
        return Err(if id == last { Fault::Twice(method.as_str()) } else { Fault::UnknownId(id) });
    }
    Ok(())
}

/// A line as a message; `None`: a blank line, which harms nobody.
fn message(line: Line, log: &dyn Log) -> Result<Option<Message>, Fault> {
    match line {
        Line::Flood => Err(Fault::Flood { most: MOST }),
        Line::Stdout { cut: true, .. } => Err(Fault::TooLong { longest: LONGEST }),
        Line::Stdout { text, .. } if text.trim().is_empty() => Ok(None),
        Line::Stdout { text, .. } => Message::read(&text).map(Some).map_err(|why| Fault::Garbage { why, line: quoted(&log.redact(&text)) }),
    }
}

/// A plugin has said who it is: it must be what its manifest says.
pub(super) fn introduced(plugin: &Plugin, answer: &Value) -> Result<(), Fault> {
    let unfit = |why: String| Err(Fault::Unfit { asked: "describe", why });
    let manifest = &plugin.manifest;
    if answer["protocol"].as_u64() != Some(u64::from(PROTOCOL)) {
        return unfit(format!("`protocol` is not {PROTOCOL}"));
    }
    if answer["plugin"].as_str() != Some(&manifest.name) {
        return unfit(format!("`plugin` is not `{}`, as its manifest says", manifest.name));
    }
    let Some(actions) = answer["actions"].as_array() else { return unfit("`actions` is no list".to_owned()) };
    match manifest.actions.iter().find(|action| !actions.iter().any(|known| known.as_str() == Some(&action.short))) {
        Some(missing) => unfit(format!("`actions` lacks `{}`, which is in its manifest", missing.short)),
        None => Ok(()),
    }
}

fn how(ended: &Ended, log: &dyn Log) -> String {
    let end = match (ended.cause, ended.code, ended.signal) {
        (Cause::Timeout | Cause::Stopped, ..) => "was ended".to_owned(),
        (Cause::Itself, Some(code), _) => format!("ended with exit code {code}"),
        (Cause::Itself, None, Some(signal)) => format!("was killed by signal {signal}"),
        (Cause::Itself, None, None) => "ended".to_owned(),
    };
    match ended.stderr.last_line() {
        Some(line) => format!("{end} ({})", quoted(&log.redact(line))),
        None => end,
    }
}

fn quoted(text: &str) -> String {
    let clean: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(QUOTED).collect();
    if clean.len() < text.len() { format!("{clean}…") } else { clean }
}

fn rounded(time: Duration) -> Span {
    if time >= Duration::from_secs(1) { Span::seconds(time.as_secs_f64().round() as u64) } else { Span(time) }
}
