//! A run in plain lines as it goes on, for where there is no terminal (logs of a build server, a file, a pipe).
//!
//! Must not: hold back a line, or fail a run because nobody reads it: an error of the output ends the output alone.

use std::collections::HashMap;
use std::io::Write;
use std::sync::Mutex;

use jiff::Timestamp;

use super::lines;
use super::style::Style;
use super::text;
use super::view::RunView;
use crate::model::event::Record;
use crate::model::id::{RunId, StepPath};

/// Prints a run line by line. Its methods are what an observer is told; they may be called from any thread.
pub struct PlainView {
    inner: Mutex<Inner>,
}

struct Inner {
    view: RunView,
    style: Style,
    out: Option<Box<dyn Write + Send>>,
    /// The last progress told of each step, so that none is told twice.
    parts: HashMap<StepPath, (u64, u64)>,
    /// What each step that reads said last of each thing, so that none is told twice; what it said of it now may be something else.
    said: HashMap<StepPath, HashMap<String, String>>,
}

/// Of how many things that one step reads it is kept what was said last.
const THINGS: usize = 1000;

impl PlainView {
    /// Prints to `out` what is told from now on; `view` may hold what happened before.
    pub fn new(view: RunView, style: Style, out: Box<dyn Write + Send>) -> Self {
        Self { inner: Mutex::new(Inner { view, style, out: Some(out), parts: HashMap::new(), said: HashMap::new() }) }
    }

    /// These records were committed. Those of another run are left out.
    pub fn committed(&self, run: RunId, records: &[Record]) {
        let mut guard = self.lock();
        let inner = &mut *guard;
        if inner.view.run() != run {
            return;
        }
        for record in records.iter().filter(|record| record.seq > inner.view.seq()).collect::<Vec<_>>() {
            inner.view.apply(record);
            inner.style.now = record.at;
            let ended = |path: &&StepPath| inner.view.step(path.as_str()).is_some_and(|step| step.status.is_ended());
            if let Some(path) = record.event.step().filter(ended) {
                inner.parts.remove(path);
                inner.said.remove(path);
            }
            if let Some(line) = lines::line(&inner.view, record, &inner.style) {
                inner.print(&line);
            }
        }
    }

    /// A step printed a line.
    pub fn line(&self, run: RunId, step: &StepPath, line: &str, now: Timestamp) {
        let mut inner = self.lock();
        if inner.view.run() == run && inner.is_new(step, line) {
            inner.style.now = now;
            let line = lines::output(&inner.view, now, step.as_str(), &text::once(line), &inner.style);
            inner.print(&line);
        }
    }

    /// A step is so far: 5 of 8 pods ready. Told once for each new count.
    pub fn part(&self, run: RunId, step: &StepPath, (done, total, what): (u64, u64, &str), now: Timestamp) {
        let mut inner = self.lock();
        if inner.view.run() == run && inner.parts.insert(step.clone(), (done, total)) != Some((done, total)) {
            inner.style.now = now;
            let line = lines::output(&inner.view, now, step.as_str(), &format!("{done}/{total} {}", text::clean(what)), &inner.style);
            inner.print(&line);
        }
    }

    /// The view as it stands, for the summary at the end.
    pub fn view(&self) -> RunView {
        self.lock().view.clone()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Inner> {
        // A panic of another thread leaves the view whole: every change of it is one call.
        self.inner.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl Inner {
    /// Whether a line says something that the step has not just said of the same thing, which is named before its last colon. Programs print what
    /// they print.
    fn is_new(&mut self, step: &StepPath, line: &str) -> bool {
        if self.view.step(step.as_str()).and_then(|step| step.uses()).is_none_or(|uses| self.view.outline.runs_here(uses)) {
            return true;
        }
        let thing = line.rsplit_once(": ").map_or("", |(thing, _)| thing);
        let said = self.said.entry(step.clone()).or_default();
        if said.len() >= THINGS {
            said.clear();
        }
        said.insert(thing.to_owned(), line.to_owned()).is_none_or(|last| last != line)
    }

    fn print(&mut self, line: &str) {
        let written = self.out.as_mut().map(|out| writeln!(out, "{line}").and_then(|()| out.flush()));
        if let Some(Err(_)) = written {
            self.out = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use insta::assert_snapshot;

    use super::super::fixture::{Journal, path, pre_event, run_id};
    use super::*;

    #[derive(Clone, Default)]
    struct Shared(Arc<Mutex<Vec<u8>>>);

    impl Write for Shared {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    struct Broken(Arc<Mutex<u32>>);

    impl Write for Broken {
        fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
            *self.0.lock().unwrap() += 1;
            Err(std::io::ErrorKind::BrokenPipe.into())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn records_and_progress_in_the_order_told() {
        let mut journal = Journal::new();
        journal.scaled();
        let out = Shared::default();
        let view = RunView::new(run_id()).with_definition(&pre_event());
        let plain = PlainView::new(view, Style::plain(journal.now), Box::new(out.clone()));
        plain.committed(run_id(), &journal.records[..6]);
        for (done, line) in [(5, "a\u{7}b"), (5, "c"), (8, "d")] {
            plain.part(run_id(), &path("scale"), (done, 8, "pods ready"), journal.now);
            plain.line(run_id(), &path("scale"), line, journal.now);
        }
        plain.committed(RunId::generate(), &journal.records);
        plain.committed(run_id(), &journal.records);
        assert_snapshot!(String::from_utf8(out.0.lock().unwrap().clone()).unwrap(), @r#"
        19:00:00  run 3fa9c1d2    running          pre-event level=high on sandbox
        19:00:00  budget          running          assert
        19:00:01  budget          succeeded        in 1.0s
        19:00:01  scale           running          k8s.scale
        19:00:01  scale           running          deployment/ticket-service: replicas 2 → 8
        19:00:12  scale           |                5/8 pods ready
        19:00:12  scale           |                a b
        19:00:12  scale           |                c
        19:00:12  scale           |                8/8 pods ready
        19:00:12  scale           |                d
        19:00:12  scale           succeeded        in 11s
"#);
    }

    #[test]
    fn what_a_step_reads_is_told_again_only_when_it_changes() {
        let mut journal = Journal::new();
        journal.started("scale", Some(Default::default())).started("warm_pool", Some(Default::default()));
        let told = |step: &str, lines: &[&str]| {
            let out = Shared::default();
            let view = RunView::new(run_id()).with_definition(&pre_event());
            let plain = PlainView::new(view, Style::plain(journal.now), Box::new(out.clone()));
            plain.committed(run_id(), &journal.records);
            lines.iter().for_each(|line| plain.line(run_id(), &path(step), line, journal.now));
            let text = String::from_utf8(out.0.lock().unwrap().clone()).unwrap();
            text.lines().filter_map(|line| Some(line.split_once("|                ")?.1.to_owned())).collect::<Vec<_>>()
        };
        let readings = ["rate: 0", "rate: 0", "rate: 5", "rate: 0", "pod a: 200", "pod b: 200", "pod a: 200", "pod b: 503", "x; x", "x; x"];
        assert_eq!(told("scale", &readings), ["rate: 0", "rate: 5", "rate: 0", "pod a: 200", "pod b: 200", "pod b: 503", "x"]);
        // A program's lines are its own.
        assert_eq!(told("warm_pool", &["a", "a"]), ["a", "a"]);
    }

    #[test]
    fn a_closed_pipe_ends_the_output_and_not_the_run() {
        let mut journal = Journal::new();
        journal.scaled();
        let tries = Arc::new(Mutex::new(0));
        let plain = PlainView::new(RunView::new(run_id()), Style::plain(journal.now), Box::new(Broken(tries.clone())));
        plain.committed(run_id(), &journal.records);
        assert_eq!(*tries.lock().unwrap(), 1);
        assert_eq!(plain.view().seq(), journal.records.len() as u64);
    }
}
