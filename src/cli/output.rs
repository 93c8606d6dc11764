//! Where text goes: results to standard output, everything else to standard error.
//!
//! Invariant: nobody reading any more (a broken pipe) ends the output, never the work.

use std::io::{ErrorKind, Write};
use std::sync::atomic::{AtomicBool, Ordering};

use jiff::Timestamp;
use serde_json::Value;

use crate::report::{Style, error_block};

/// In which form results are printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// For people.
    #[default]
    Text,
    /// One JSON document.
    Json,
    /// One JSON document a line, as things happen.
    Jsonl,
}

/// When colours are used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Color {
    /// Where the terminal shows them.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

impl Color {
    /// Makes it the choice of everything that asks.
    pub fn install(self) {
        match self {
            Self::Auto => {}
            Self::Always => anstream::ColorChoice::Always.write_global(),
            Self::Never => anstream::ColorChoice::Never.write_global(),
        }
    }
}

/// Set when standard output could not be written for another reason than that nobody reads it.
static LOST: AtomicBool = AtomicBool::new(false);

/// Whether some of the results could not be written.
pub fn is_lost() -> bool {
    LOST.load(Ordering::Relaxed)
}

/// Where a command's text goes.
pub struct Output {
    /// The form of results.
    pub format: Format,
    /// How standard output looks.
    pub out: Style,
    /// How standard error looks.
    pub err: Style,
}

impl Output {
    /// As the process finds them.
    pub fn new(format: Format) -> Self {
        let now = Timestamp::now();
        Self { format, out: Style::stdout(now), err: Style::stderr(now) }
    }

    /// Whether results are for people.
    pub fn is_text(&self) -> bool {
        self.format == Format::Text
    }

    /// A result for people.
    pub fn page(&self, text: &str) {
        write_out(text);
    }

    /// A result for programs.
    pub fn json(&self, value: &Value) {
        let text = match self.format {
            Format::Jsonl => value.to_string(),
            Format::Text | Format::Json => format!("{value:#}"),
        };
        write_out(&text);
    }

    /// A list for programs: one document, or one line for each entry.
    pub fn list(&self, entries: Vec<Value>) {
        match self.format {
            Format::Jsonl => entries.iter().for_each(|entry| self.json(entry)),
            Format::Text | Format::Json => self.json(&Value::Array(entries)),
        }
    }

    /// Something to know that is no result.
    pub fn note(&self, text: &str) {
        write_err(text);
    }
}

/// A line on standard output.
pub fn write_out(text: &str) {
    let mut out = std::io::stdout().lock();
    let written = out.write_all(text.as_bytes()).and_then(|()| out.write_all(b"\n")).and_then(|()| out.flush());
    if let Err(error) = written
        && error.kind() != ErrorKind::BrokenPipe
        && !LOST.swap(true, Ordering::Relaxed)
    {
        let what = format!("standard output cannot be written: {error}");
        write_err(&error_block(
            &what,
            None,
            Some("what was to be printed there is lost; runs are not touched by that"),
            &Style::plain(Timestamp::UNIX_EPOCH),
        ));
    }
}

/// A line on standard error. Where that cannot be written there is nobody left to tell.
pub fn write_err(text: &str) {
    let mut err = std::io::stderr().lock();
    let _ = err.write_all(text.as_bytes()).and_then(|()| err.write_all(b"\n"));
}
