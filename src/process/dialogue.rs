//! What is said to a program while it runs, and the lines that it answers.
//!
//! Must not store anything: what a program in a dialogue writes to stdout is passed on as it came, for whoever talks with it to read and to redact.
//! Invariant: however long a line is, no more of it is held than may be passed on.

use serde::{Deserialize, Serialize};

/// How a program is talked with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dialogue {
    /// The longest line of stdout that is passed on whole, in bytes.
    pub longest_line: usize,
}

/// What the engine tells the supervisor after the order: one JSON value a line.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Said {
    /// A line for the program's stdin, without its line end.
    Line(String),
    /// Nothing more: the program's stdin ends.
    End,
}

/// Cuts a stream into lines as they are, unlike a [`Capture`](super::capture::Capture), which redacts them.
pub(super) struct WholeLines {
    longest: usize,
    line: Vec<u8>,
    bytes: usize,
}

impl WholeLines {
    pub(super) fn new(dialogue: Dialogue) -> Self {
        Self { longest: dialogue.longest_line, line: Vec::new(), bytes: 0 }
    }

    /// Takes a chunk in; each line that is complete goes to `on_line`, with whether some of it was dropped.
    pub(super) fn push(&mut self, chunk: &[u8], on_line: &mut dyn FnMut(String, bool)) {
        for part in chunk.split_inclusive(|byte| *byte == b'\n') {
            let ends = part.ends_with(b"\n");
            let content = &part[..part.len() - usize::from(ends)];
            let room = self.longest.saturating_sub(self.line.len()).min(content.len());
            self.line.extend_from_slice(&content[..room]);
            self.bytes += content.len();
            if ends {
                self.end_line(on_line);
            }
        }
    }

    /// The stream has ended; what stands behind its last line end is a line too.
    pub(super) fn finish(&mut self, on_line: &mut dyn FnMut(String, bool)) {
        if self.bytes > 0 {
            self.end_line(on_line);
        }
    }

    fn end_line(&mut self, on_line: &mut dyn FnMut(String, bool)) {
        let cut = self.bytes > self.line.len();
        let text = String::from_utf8_lossy(&self.line).into_owned();
        self.line.clear();
        self.bytes = 0;
        on_line(text, cut);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_passed_on_whole_up_to_their_longest() {
        let mut lines = WholeLines::new(Dialogue { longest_line: 4 });
        let mut heard = Vec::new();
        for chunk in [&b"ab"[..], b"cd\nab", b"cde\n\n", b"x"] {
            lines.push(chunk, &mut |line, cut| heard.push((line, cut)));
        }
        lines.finish(&mut |line, cut| heard.push((line, cut)));
        let wanted = [("abcd", false), ("abcd", true), ("", false), ("x", false)].map(|(line, cut)| (line.to_owned(), cut));
        assert_eq!(heard, wanted);
    }

    #[test]
    fn a_line_without_an_end_is_held_in_bounded_memory() {
        let mut lines = WholeLines::new(Dialogue { longest_line: 1000 });
        for _ in 0..100 {
            lines.push(&[b'x'; 4096], &mut |_, _| panic!("no line has ended"));
            assert!(lines.line.capacity() <= 4096);
        }
    }
}
