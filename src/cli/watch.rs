//! Those who are told what happens to a run: the live view, plain lines, JSON lines, or nobody.
//!
//! Invariant: whoever is told, the run is folded along, so that its end can be shown and judged.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;

use super::context::Context;
use super::output::{Format, write_out};
use crate::app::{Observer, Progress};
use crate::model::event::Record;
use crate::model::id::{RunId, StepPath};
use crate::report::live::LiveView;
use crate::report::plain::PlainView;
use crate::report::{RunView, Style, event_json};

/// Whoever watches a run.
pub enum Watch {
    /// A frame on the terminal.
    Live(LiveView),
    /// Lines on standard error.
    Plain(PlainView),
    /// One line of JSON for each event on standard output.
    Lines(Mutex<RunView>),
}

impl Watch {
    /// As the output's form and the terminal ask for; `view` holds what happened before.
    pub fn start(cx: &Context, view: RunView) -> Arc<Self> {
        let style = cx.output.err.clone();
        Arc::new(match cx.output.format {
            Format::Jsonl => Self::Lines(Mutex::new(view)),
            Format::Text | Format::Json if Style::can_redraw() => Self::Live(LiveView::start(view, style)),
            Format::Text | Format::Json => Self::Plain(PlainView::new(view, style, Box::new(std::io::stderr()))),
        })
    }

    /// Ends the watching and gives the run as it stands.
    pub fn finish(&self) -> RunView {
        match self {
            Self::Live(live) => live.finish(),
            Self::Plain(plain) => plain.view(),
            Self::Lines(view) => lock(view).clone(),
        }
    }
}

fn lock(view: &Mutex<RunView>) -> MutexGuard<'_, RunView> {
    view.lock().unwrap_or_else(PoisonError::into_inner)
}

/// An event as one line, with the run it belongs to.
pub fn print_event(run: RunId, record: &Record) {
    let mut line = event_json(record);
    if let Some(fields) = line.as_object_mut() {
        fields.shift_insert(0, "run".to_owned(), serde_json::json!(run));
    }
    write_out(&line.to_string());
}

impl Observer for Watch {
    fn committed(&self, run: RunId, records: &[Record]) {
        match self {
            Self::Live(live) => live.committed(run, records),
            Self::Plain(plain) => plain.committed(run, records),
            Self::Lines(view) => {
                let mut view = lock(view);
                for record in records {
                    if record.seq > view.seq() {
                        view.apply(record);
                        print_event(run, record);
                    }
                }
            }
        }
    }

    fn progress(&self, run: RunId, step: &StepPath, progress: &Progress) {
        match (self, progress) {
            (Self::Live(live), Progress::Line(line)) => live.line(run, step, line),
            (Self::Live(live), Progress::Part { done, total, what }) => live.part(run, step, (*done, *total, what)),
            (Self::Plain(plain), Progress::Line(line)) => plain.line(run, step, line, Timestamp::now()),
            (Self::Plain(plain), Progress::Part { done, total, what }) => plain.part(run, step, (*done, *total, what), Timestamp::now()),
            (Self::Lines(_), _) => {}
        }
    }
}
