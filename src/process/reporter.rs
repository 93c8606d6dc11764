//! What the supervisor tells the engine: lines as the program writes them, and what came of it.

use std::io::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::SyncSender;
use std::sync::{Arc, mpsc};
use std::thread::{self, JoinHandle};

use super::order::{Report, Stream};

/// Lines that wait for the engine to take them, at most. What comes faster is in the file, but not passed on.
const QUEUE: usize = 4096;

/// Tells the engine, in the order told; lines are dropped rather than waited for.
pub(super) struct Reporter {
    queue: SyncSender<Report>,
    dropped: Arc<AtomicU64>,
    writer: JoinHandle<()>,
}

#[derive(Clone)]
pub(super) struct Lines {
    queue: SyncSender<Report>,
    dropped: Arc<AtomicU64>,
}

impl Lines {
    pub(super) fn pass_on(&self, stream: Stream, text: String) {
        if self.queue.try_send(Report::Line { stream, text, cut: false }).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Waits for room rather than drop it: the program waits for whoever talks with it.
    pub(super) fn hand_over(&self, stream: Stream, text: String, cut: bool) {
        let _ = self.queue.send(Report::Line { stream, text, cut });
    }
}

impl Reporter {
    pub(super) fn start() -> Self {
        let (queue, reports) = mpsc::sync_channel::<Report>(QUEUE);
        let writer = thread::spawn(move || {
            let mut out = std::io::stdout().lock();
            let mut engine_listens = true;
            // Goes on taking when the engine is gone, so that nobody waits for room in the queue.
            for report in reports {
                let last = !matches!(report, Report::Line { .. });
                if engine_listens {
                    engine_listens = serde_json::to_vec(&report).is_ok_and(|mut line| {
                        line.push(b'\n');
                        out.write_all(&line).and_then(|()| out.flush()).is_ok()
                    });
                }
                if last {
                    return;
                }
            }
        });
        Self { queue, dropped: Arc::default(), writer }
    }

    pub(super) fn lines(&self) -> Lines {
        Lines { queue: self.queue.clone(), dropped: Arc::clone(&self.dropped) }
    }

    pub(super) fn finish(self, last: Report) {
        let dropped = self.dropped.load(Ordering::Relaxed);
        if dropped > 0 {
            let text = format!("… {dropped} more lines came too fast to be shown here; the attempt's files have them");
            let _ = self.queue.send(Report::Line { stream: Stream::Stderr, text, cut: false });
        }
        let _ = self.queue.send(last);
        let _ = self.writer.join();
    }
}
