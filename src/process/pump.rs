//! Takes what a program writes: into the attempt's files, and on to the engine line by line.

use std::io::Read;
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread;

use super::capture::Capture;
use super::dialogue::{Dialogue, WholeLines};
use super::order::Stream;
use super::outcome::Captured;
use super::reporter::Lines;
use super::watch::Event;

/// A stream, and how its lines are passed on where it is talked with.
pub(super) type Spoken = (Stream, Option<Dialogue>);
/// A stream that is being read, and what was captured of it so far.
pub(super) type Shared = Arc<Mutex<(Spoken, Capture)>>;

/// Reads a stream to its end on a thread of its own, and passes its lines on.
pub(super) fn pump(spoken: Spoken, mut pipe: Box<dyn Read + Send>, capture: Capture, events: mpsc::Sender<Event>, lines: Lines) -> Shared {
    let shared = Arc::new(Mutex::new((spoken, capture)));
    let into = Arc::clone(&shared);
    thread::spawn(move || {
        let (stream, mut whole) = (spoken.0, spoken.1.map(WholeLines::new));
        let mut hand_over = |text, cut| lines.hand_over(stream, text, cut);
        let mut chunk = vec![0; 64 * 1024];
        loop {
            match pipe.read(&mut chunk) {
                Ok(0) => break,
                Ok(length) => {
                    let passes_on = whole.is_none();
                    let mut on_line = |line| {
                        if passes_on {
                            lines.pass_on(stream, line)
                        }
                    };
                    into.lock().unwrap_or_else(PoisonError::into_inner).1.push(&chunk[..length], &mut on_line);
                    // Not under the lock: the engine may take its time.
                    if let Some(whole) = &mut whole {
                        whole.push(&chunk[..length], &mut hand_over);
                    }
                }
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(_) => break,
            }
        }
        if let Some(whole) = &mut whole {
            whole.finish(&mut hand_over);
        }
        let _ = events.send(Event::Closed);
    });
    shared
}

/// What was captured of a stream, which is read no further.
pub(super) fn finish(shared: &Shared, lines: &Lines) -> Captured {
    let mut shared = shared.lock().unwrap_or_else(PoisonError::into_inner);
    let (stream, whole) = shared.0;
    shared.1.finish(&mut |line| {
        if whole.is_none() {
            lines.pass_on(stream, line)
        }
    })
}
