//! One stream of a child's output: redacted, kept in a file up to a limit, its end kept in memory, its lines passed on.
//!
//! Invariant: takes whatever comes, in bounded memory, and never stops taking: a full disk or a flood must not block the child. Nothing is stored
//! or passed on before the redactor has seen it.

use std::fs::File;
use std::io::Write;

use super::outcome::Captured;
use super::redactor::Redactor;
use super::start_error::plain;

/// How long a line may be when it is passed on, in bytes: 4 KiB.
pub(super) const LONGEST_LINE: usize = 4 * 1024;

/// Where one stream goes.
pub(super) struct Capture {
    file: Option<File>,
    limit: u64,
    redactor: Redactor,
    bytes: u64,
    kept: u64,
    file_error: Option<String>,
    tail: Vec<u8>,
    line: Vec<u8>,
    line_bytes: usize,
}

impl Capture {
    pub(super) fn new(file: File, limit: u64, secrets: &[(String, String)]) -> Self {
        Self {
            file: Some(file),
            limit,
            redactor: Redactor::new(secrets),
            bytes: 0,
            kept: 0,
            file_error: None,
            tail: Vec::new(),
            line: Vec::new(),
            line_bytes: 0,
        }
    }

    /// Takes a chunk in; each line that is complete goes to `on_line`.
    pub(super) fn push(&mut self, chunk: &[u8], on_line: &mut dyn FnMut(String)) {
        let text = self.redactor.push(chunk);
        self.take(&text, on_line);
    }

    /// The stream has ended, or nobody waits for more of it.
    pub(super) fn finish(&mut self, on_line: &mut dyn FnMut(String)) -> Captured {
        let text = self.redactor.finish();
        self.take(&text, on_line);
        if self.line_bytes > 0 {
            self.end_line(on_line);
        }
        if let Some(file) = self.file.take()
            && self.kept > 0
            && let Err(error) = file.sync_data()
        {
            self.file_error.get_or_insert(plain(&error));
        }
        let whole = self.bytes <= Captured::TAIL as u64;
        let from = self.tail.len().saturating_sub(Captured::TAIL);
        Captured {
            tail: String::from_utf8_lossy(&self.tail[from..]).into_owned(),
            whole,
            bytes: self.bytes,
            kept: self.kept,
            file_error: self.file_error.clone(),
        }
    }

    fn take(&mut self, text: &[u8], on_line: &mut dyn FnMut(String)) {
        self.bytes += text.len() as u64;
        self.keep(text);
        self.tail.extend_from_slice(&text[text.len().saturating_sub(Captured::TAIL)..]);
        if self.tail.len() > 2 * Captured::TAIL {
            self.tail.drain(..self.tail.len() - Captured::TAIL);
        }
        for part in text.split_inclusive(|byte| *byte == b'\n') {
            let ends = part.ends_with(b"\n");
            let content = &part[..part.len() - usize::from(ends)];
            let room = LONGEST_LINE.saturating_sub(self.line.len());
            self.line.extend_from_slice(&content[..content.len().min(room)]);
            self.line_bytes += content.len();
            if ends {
                self.end_line(on_line);
            }
        }
    }

    fn keep(&mut self, text: &[u8]) {
        let room = usize::try_from(self.limit - self.kept).unwrap_or(usize::MAX).min(text.len());
        let Some(file) = self.file.as_mut().filter(|_| room > 0) else { return };
        match file.write_all(&text[..room]) {
            Ok(()) => self.kept += room as u64,
            Err(error) => {
                self.file_error = Some(plain(&error));
                self.file = None;
            }
        }
    }

    fn end_line(&mut self, on_line: &mut dyn FnMut(String)) {
        let cut = self.line_bytes - self.line.len();
        let mut text = String::from_utf8_lossy(self.line.strip_suffix(b"\r").unwrap_or(&self.line)).into_owned();
        if cut > 0 {
            text.push_str(&format!(" … ({cut} bytes more)"));
        }
        self.line.clear();
        self.line_bytes = 0;
        on_line(text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn capture(limit: u64, secrets: &[(&str, &str)], chunks: &[&[u8]]) -> (Captured, Vec<String>, Vec<u8>) {
        let file = tempfile::NamedTempFile::new().unwrap();
        let secrets: Vec<_> = secrets.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let mut capture = Capture::new(file.reopen().unwrap(), limit, &secrets);
        let mut lines = Vec::new();
        for chunk in chunks {
            capture.push(chunk, &mut |line| lines.push(line));
        }
        let captured = capture.finish(&mut |line| lines.push(line));
        (captured, lines, std::fs::read(file.path()).unwrap())
    }

    #[test]
    fn what_is_beyond_the_limit_is_counted_and_dropped() {
        let (captured, lines, file) = capture(5, &[], &[b"one\ntwo\n", b"three"]);
        assert_eq!((captured.bytes, captured.kept, captured.truncated()), (13, 5, true));
        assert_eq!(file, b"one\nt");
        assert_eq!(lines, ["one", "two", "three"]);
        assert_eq!(captured.tail, "one\ntwo\nthree");
    }

    #[test]
    fn a_long_line_is_redacted_before_it_is_cut() {
        let mut line = vec![b'x'; LONGEST_LINE - 3];
        line.extend_from_slice(b"s3cret and more\n");
        let (_, lines, file) = capture(1 << 20, &[("t", "s3cret")], &[&line]);
        assert!(!lines[0].contains("s3c") && lines[0].ends_with("bytes more)"), "{}", &lines[0][LONGEST_LINE - 10..]);
        assert!(!file.windows(6).any(|part| part == b"s3cret"));
    }

    #[test]
    fn a_flood_without_a_line_end_stays_bounded() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let mut capture = Capture::new(file.reopen().unwrap(), 1000, &[]);
        for _ in 0..200 {
            capture.push(&[b'x'; 8192], &mut |_| {});
            assert!(capture.tail.capacity() <= 4 * Captured::TAIL && capture.line.capacity() <= 2 * LONGEST_LINE);
        }
        let captured = capture.finish(&mut |_| {});
        assert_eq!((captured.bytes, captured.tail.len(), captured.whole), (200 * 8192, Captured::TAIL, false));
        assert_eq!(std::fs::metadata(file.path()).unwrap().len(), 1000);
    }

    #[test]
    fn invalid_utf8_is_replaced_and_a_carriage_return_dropped() {
        let (captured, lines, _) = capture(100, &[], &[b"a\xff\r\nb"]);
        assert_eq!(lines, ["a\u{fffd}", "b"]);
        assert_eq!(captured.last_line(), Some("b"));
    }
}
