//! A file's text and the places in it.
//!
//! Must not read more than [`BYTES`] of any file. Invariant: text that gets past here is UTF-8 without NUL and without a byte-order mark.

use std::io::Read;
use std::path::Path;

use super::diagnostics::Diagnostics;

/// The largest playbook, in bytes.
pub(super) const BYTES: u64 = 1 << 20;

/// A place in a file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Span {
    /// 1-based.
    pub(super) line: u32,
    /// 1-based, in characters.
    pub(super) column: u32,
    /// In characters, on this line.
    pub(super) length: u32,
    /// Byte offsets into the text.
    pub(super) start: usize,
    pub(super) end: usize,
}

/// A file, read and decoded.
#[derive(Debug)]
pub(super) struct File {
    /// As people know it.
    pub(super) name: String,
    pub(super) text: String,
    lines: Vec<usize>,
}

impl File {
    /// Text that is there already.
    pub(super) fn new(name: impl Into<String>, text: &str) -> Result<Self, Diagnostics> {
        let name = name.into();
        if text.len() as u64 > BYTES {
            return Err(too_large(&name, text.len() as u64));
        }
        let text = text.strip_prefix('\u{feff}').unwrap_or(text).to_owned();
        let lines = std::iter::once(0).chain(text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n').map(|(at, _)| at + 1)).collect();
        let file = Self { name, text, lines };
        if let Some((at, c)) = file.text.char_indices().find(|(_, c)| c.is_control() && !matches!(c, '\n' | '\r' | '\t')) {
            let mut problems = super::diagnostics::Problems::new(&file);
            let what = if c == '\0' { "a NUL character".to_owned() } else { format!("the control character U+{:04X}", u32::from(c)) };
            problems.hint("text", file.place(at, 1), format!("the file holds {what}"), "remove it: a playbook is plain text");
            return Err(problems.finish());
        }
        Ok(file)
    }

    /// Reads a file, looking at its size first.
    pub(super) fn read(path: &Path) -> Result<Self, Diagnostics> {
        let name = path.display().to_string();
        let whole = |code, message: String, hint: Option<&str>| Diagnostics::whole(&name, code, message, hint.map(str::to_owned));
        let unreadable = |error: &std::io::Error| match error.kind() {
            std::io::ErrorKind::NotFound if path.is_symlink() => whole(
                "read",
                format!("{name} is a symbolic link to a file that is not there"),
                Some("put the playbook itself in its place"),
            ),
            std::io::ErrorKind::NotFound => whole("read", format!("there is no file {name}"), None),
            std::io::ErrorKind::PermissionDenied => {
                whole("read", format!("{name} may not be read"), Some("give yourself the permission: chmod u+r"))
            }
            _ => whole("read", format!("{name} could not be read: {error}"), None),
        };
        let about = std::fs::metadata(path).map_err(|error| unreadable(&error))?;
        if about.is_dir() {
            return Err(whole("read", format!("{name} is a directory, not a playbook"), Some("name a file that ends in `.yaml`")));
        }
        if !about.is_file() {
            return Err(whole("read", format!("{name} is not a regular file"), Some("a playbook is a text file that ends in `.yaml`")));
        }
        if about.len() > BYTES {
            return Err(too_large(&name, about.len()));
        }
        let mut bytes = Vec::new();
        let file = std::fs::File::open(path).map_err(|error| unreadable(&error))?;
        // The file may have grown since it was looked at.
        file.take(BYTES + 1).read_to_end(&mut bytes).map_err(|error| unreadable(&error))?;
        if bytes.len() as u64 > BYTES {
            return Err(too_large(&name, bytes.len() as u64));
        }
        match String::from_utf8(bytes) {
            Ok(text) => Self::new(name, &text),
            Err(error) => Err(not_utf8(&name, &error)),
        }
    }

    /// A line's text, without its end.
    pub(super) fn line(&self, line: u32) -> &str {
        let index = (line as usize).saturating_sub(1);
        let Some(start) = self.lines.get(index).copied() else { return "" };
        let end = self.lines.get(index + 1).map_or(self.text.len(), |next| next - 1);
        self.text.get(start..end).unwrap_or_default().trim_end_matches('\r')
    }

    /// The place of so many characters at a byte offset.
    pub(super) fn place(&self, at: usize, characters: usize) -> Span {
        let mut at = at.min(self.text.len());
        while !self.text.is_char_boundary(at) {
            at -= 1;
        }
        let line = self.lines.partition_point(|start| *start <= at).max(1);
        let column = self.text[self.lines[line - 1]..at].chars().count() + 1;
        let end = self.text[at..].char_indices().nth(characters).map_or(self.text.len(), |(offset, _)| at + offset);
        let clamp = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
        Span { line: clamp(line), column: clamp(column), length: clamp(characters), start: at, end }
    }

    /// The place between two byte offsets.
    pub(super) fn between(&self, start: usize, end: usize) -> Span {
        let text = self.text.get(start..end.max(start)).unwrap_or_default();
        let first = text.lines().next().unwrap_or_default().trim_end();
        Span { end: end.max(start), ..self.place(start, first.chars().count().max(1)) }
    }
}

fn too_large(name: &str, bytes: u64) -> Diagnostics {
    let message = format!("{name} has {bytes} bytes; a playbook has at most {BYTES}");
    Diagnostics::whole(name, "too-large", message, Some("divide it, and call its parts with `uses: playbook`".to_owned()))
}

fn not_utf8(name: &str, error: &std::string::FromUtf8Error) -> Diagnostics {
    let valid = error.utf8_error().valid_up_to();
    let bytes = error.as_bytes();
    let start = bytes[..valid].iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    let end = bytes[valid..].iter().position(|byte| *byte == b'\n').map_or(bytes.len(), |at| valid + at);
    let line = bytes[..valid].iter().filter(|byte| **byte == b'\n').count() + 1;
    let column = String::from_utf8_lossy(&bytes[start..valid]).chars().count() + 1;
    let source_line: String = String::from_utf8_lossy(&bytes[start..end]).trim_end_matches('\r').chars().take(400).collect();
    let clamp = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
    let mut whole = Diagnostics::whole(name, "text", "the file is not UTF-8".to_owned(), Some("save it as UTF-8".to_owned()));
    if let Some(problem) = whole.problems.first_mut() {
        problem.line = clamp(line);
        problem.column = clamp(column);
        problem.length = 1;
        problem.source_line = source_line;
        problem.label = Some(format!("the byte 0x{:02X} belongs to no character", bytes.get(valid).copied().unwrap_or_default()));
    }
    whole
}
