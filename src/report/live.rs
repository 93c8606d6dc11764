//! The live view on a terminal: a frame that is drawn anew when something happens, and each second while something goes on.
//!
//! Must not: make whoever tells it wait for the terminal: what is told changes the view, a thread of its own draws it.
//! Invariant: after [`LiveView::finish`] nothing of it is left on the terminal and its thread has ended.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use jiff::Timestamp;

use super::frame::{Live, render};
use super::style::Style;
use super::view::RunView;
use crate::model::event::Record;
use crate::model::id::{RunId, StepPath};

/// Frames a second, at most.
const FRAMES: u8 = 15;
/// How often a frame is drawn while nothing happens: durations go on.
const TICK: Duration = Duration::from_millis(500);
/// The least time between two frames.
const PAUSE: Duration = Duration::from_millis(66);

/// A run on a terminal. Its methods are what an observer is told; they return at once and may be called from any thread.
pub struct LiveView {
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    view: RunView,
    live: Live,
    dirty: bool,
    over: bool,
}

impl LiveView {
    /// Shows the run on standard error, which must be a terminal, until [`finish`](Self::finish). `color`: as [`Style::stderr`] found it.
    /// The program's results go to standard output and are not disturbed.
    pub fn start(view: RunView, style: Style) -> Self {
        let term = console::Term::stderr();
        let target = ProgressDrawTarget::term(term.clone(), FRAMES);
        Self::on(view, style, target, move || term.size_checked().map(|(rows, columns)| (usize::from(rows), usize::from(columns))))
    }

    /// The same on any target. `size` tells the rows and columns, and is asked before each frame.
    fn on(view: RunView, style: Style, target: ProgressDrawTarget, size: impl Fn() -> Option<(usize, usize)> + Send + 'static) -> Self {
        let state = State { view, live: Live::default(), dirty: true, over: false };
        let shared = Arc::new(Shared { state: Mutex::new(state), changed: Condvar::new() });
        let bar = ProgressBar::with_draw_target(None, target);
        if let Ok(template) = ProgressStyle::with_template("{msg}") {
            bar.set_style(template);
        }
        let of_thread = shared.clone();
        let thread = std::thread::Builder::new().name("live-view".to_owned()).spawn(move || draw(&of_thread, &bar, style, size));
        // Without the thread (no memory for one) the run goes on unseen.
        Self { shared, thread: Mutex::new(thread.ok()) }
    }

    /// These records were committed. Those of another run are left out.
    pub fn committed(&self, run: RunId, records: &[Record]) {
        self.tell(run, |state| {
            for record in records {
                state.view.apply(record);
                let ended = |path: &&StepPath| state.view.step(path.as_str()).is_some_and(|step| step.status.is_ended());
                if let Some(path) = record.event.step().filter(ended) {
                    state.live.forget(path);
                }
            }
        });
    }

    /// A step printed a line.
    pub fn line(&self, run: RunId, step: &StepPath, line: &str) {
        self.tell(run, |state| state.live.line(step, line));
    }

    /// A step is so far: 5 of 8 pods ready.
    pub fn part(&self, run: RunId, step: &StepPath, (done, total, what): (u64, u64, &str)) {
        self.tell(run, |state| state.live.part(step, done, total, what));
    }

    /// Takes the frame off the terminal for good and returns the view, for the summary. What is told later is not drawn.
    pub fn finish(&self) -> RunView {
        self.end();
        self.shared.lock().view.clone()
    }

    fn tell(&self, run: RunId, change: impl FnOnce(&mut State)) {
        let mut state = self.shared.lock();
        if state.view.run() == run {
            change(&mut state);
            state.dirty = true;
            self.shared.changed.notify_one();
        }
    }

    fn end(&self) {
        self.shared.lock().over = true;
        self.shared.changed.notify_one();
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            // A panic in the thread was only about drawing.
            let _ = thread.join();
        }
    }
}

impl Drop for LiveView {
    fn drop(&mut self) {
        self.end();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The thread: draws until the view is over, then takes the frame away.
fn draw(shared: &Shared, bar: &ProgressBar, mut style: Style, size: impl Fn() -> Option<(usize, usize)>) {
    let mut state = shared.lock();
    while !state.over {
        let (rows, columns) = size().unwrap_or((24, style.width));
        style.width = columns.max(20);
        style.now = Timestamp::now();
        // One row is left to the cursor, else the terminal scrolls.
        let frame = render(&state.view, &state.live, &style, rows.saturating_sub(1));
        state.dirty = false;
        drop(state);
        bar.set_message(frame);
        bar.tick();
        state = shared.lock();
        // What is told within the pause is drawn together; the end does not wait for it.
        state = wait(shared, state, PAUSE, |state| !state.over);
        state = wait(shared, state, TICK, |state| !state.over && !state.dirty);
    }
    drop(state);
    bar.finish_and_clear();
}

fn wait<'a>(shared: &'a Shared, state: MutexGuard<'a, State>, at_most: Duration, still: impl Fn(&State) -> bool) -> MutexGuard<'a, State> {
    shared.changed.wait_timeout_while(state, at_most, |state| still(state)).unwrap_or_else(PoisonError::into_inner).0
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{Journal, path, pre_event, run_id};
    use super::*;
    use crate::model::status::StepStatus;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[test]
    fn what_is_told_is_in_the_view_and_the_thread_ends() {
        let mut journal = Journal::new();
        journal.scaled();
        let asked = Arc::new(AtomicUsize::new(0));
        let counted = asked.clone();
        let size = move || {
            counted.fetch_add(1, Ordering::SeqCst);
            Some((24, 80))
        };
        let view = RunView::new(run_id()).with_definition(&pre_event());
        let live = LiveView::on(view, Style::plain(journal.now), ProgressDrawTarget::hidden(), size);
        live.line(run_id(), &path("scale"), "a line");
        live.part(run_id(), &path("scale"), (5, 8, "pods ready"));
        live.committed(RunId::generate(), &journal.records);
        live.committed(run_id(), &journal.records);
        let shared = Arc::downgrade(&live.shared);
        let view = live.finish();
        drop(live);
        assert_eq!(view.totals().of(StepStatus::Succeeded), 2);
        assert!(shared.upgrade().is_none(), "the thread still holds the view");
    }

    #[test]
    fn telling_much_does_not_draw_as_often() {
        let mut journal = Journal::new();
        journal.scaled();
        let frames = Arc::new(AtomicUsize::new(0));
        let counted = frames.clone();
        let size = move || {
            counted.fetch_add(1, Ordering::SeqCst);
            Some((24, 80))
        };
        let live = LiveView::on(RunView::new(run_id()), Style::plain(journal.now), ProgressDrawTarget::hidden(), size);
        let begun = std::time::Instant::now();
        for n in 0..20_000 {
            live.line(run_id(), &path("scale"), &format!("line {n}"));
        }
        live.finish();
        let most = 3 + begun.elapsed().as_millis() / PAUSE.as_millis();
        assert!(frames.load(Ordering::SeqCst) as u128 <= most, "{frames:?} frames, at most {most} expected");
    }
}
