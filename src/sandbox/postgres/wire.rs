//! PostgreSQL's wire protocol, version 3: messages in and out.
//!
//! It must not know what they mean to a session. Invariant: no message is read that is longer than [`LONGEST`], and no number of a client's is
//! trusted before it is checked.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt};

use super::tables::{Cell, Kind, Table};

/// The longest message that is taken, in bytes, its length field included.
pub(super) const LONGEST: usize = 64 * 1024;
/// The longest start of a session, as PostgreSQL itself has it.
const LONGEST_START: usize = 10_000;

/// A message after the start: its kind and its body.
pub(super) struct Message {
    pub(super) kind: u8,
    pub(super) body: Vec<u8>,
}

fn broken(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.to_owned())
}

async fn body(from: &mut (impl AsyncRead + Unpin), longest: usize) -> io::Result<Vec<u8>> {
    let length = usize::try_from(from.read_u32().await?).unwrap_or(usize::MAX);
    if !(4..=longest).contains(&length) {
        return Err(broken("a message of a length that is not taken"));
    }
    let mut body = vec![0; length - 4];
    from.read_exact(&mut body).await?;
    Ok(body)
}

/// Reads a packet of the start: the code and the rest.
pub(super) async fn start(from: &mut (impl AsyncRead + Unpin)) -> io::Result<(u32, Vec<u8>)> {
    let packet = body(from, LONGEST_START).await?;
    let (code, rest) = packet.split_first_chunk::<4>().ok_or_else(|| broken("a start without a code"))?;
    Ok((u32::from_be_bytes(*code), rest.to_vec()))
}

/// Reads a message.
pub(super) async fn message(from: &mut (impl AsyncRead + Unpin)) -> io::Result<Message> {
    let kind = from.read_u8().await?;
    Ok(Message { kind, body: body(from, LONGEST).await? })
}

/// Reads the fields of a message's body.
pub(super) struct Fields<'a>(pub(super) &'a [u8]);

impl<'a> Fields<'a> {
    /// A text up to its zero byte.
    pub(super) fn text(&mut self) -> Option<&'a str> {
        let end = self.0.iter().position(|byte| *byte == 0)?;
        let (text, rest) = self.0.split_at_checked(end)?;
        self.0 = rest.get(1..)?;
        std::str::from_utf8(text).ok()
    }

    pub(super) fn byte(&mut self) -> Option<u8> {
        let (byte, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*byte)
    }

    /// A value with its length before it; the inner `None` is null.
    pub(super) fn value(&mut self) -> Option<Option<String>> {
        let (length, rest) = self.0.split_first_chunk::<4>()?;
        let length = i32::from_be_bytes(*length);
        if length < 0 {
            self.0 = rest;
            return Some(None);
        }
        let (value, rest) = rest.split_at_checked(usize::try_from(length).ok()?)?;
        self.0 = rest;
        std::str::from_utf8(value).ok().map(|text| Some(text.to_owned()))
    }

    pub(super) fn short(&mut self) -> Option<u16> {
        let (bytes, rest) = self.0.split_first_chunk::<2>()?;
        self.0 = rest;
        Some(u16::from_be_bytes(*bytes))
    }
}

/// The parameters of a start, at most 64.
pub(super) fn parameters(body: &[u8]) -> Option<Vec<(&str, &str)>> {
    let mut fields = Fields(body);
    let mut found = Vec::new();
    while found.len() < 64 {
        let name = fields.text()?;
        if name.is_empty() {
            return Some(found);
        }
        found.push((name, fields.text()?));
    }
    None
}

/// Messages to be sent.
#[derive(Default)]
pub(super) struct Out(pub(super) Vec<u8>);

impl Out {
    pub(super) fn add(&mut self, kind: u8, body: &[u8]) {
        self.0.push(kind);
        self.0.extend(u32::try_from(body.len() + 4).unwrap_or(u32::MAX).to_be_bytes());
        self.0.extend(body);
    }

    /// An error; `FATAL` ends the session.
    pub(super) fn error(&mut self, severity: &str, code: &str, message: &str) {
        let message = message.replace('\0', " ");
        self.add(b'E', format!("S{severity}\0V{severity}\0C{code}\0M{message}\0\0").as_bytes());
    }

    pub(super) fn parameter(&mut self, name: &str, value: &str) {
        self.add(b'S', format!("{name}\0{value}\0").as_bytes());
    }

    pub(super) fn ready(&mut self) {
        self.ready_within(false);
    }

    /// The same, within a transaction or not.
    pub(super) fn ready_within(&mut self, transaction: bool) {
        self.add(b'Z', if transaction { b"T" } else { b"I" });
    }

    pub(super) fn complete(&mut self, tag: &str) {
        self.add(b'C', format!("{tag}\0").as_bytes());
    }

    /// The columns of a table; `binary` says which of them are sent in the binary format.
    pub(super) fn columns(&mut self, table: &Table, binary: impl Fn(usize) -> bool) {
        let mut body = count(table.columns.len());
        for (at, (name, kind)) in table.columns.iter().enumerate() {
            let (oid, size): (u32, i16) = match kind {
                Kind::Text => (25, -1),
                Kind::Int4 => (23, 4),
                Kind::Int8 => (20, 8),
            };
            body.extend(name.as_bytes());
            body.push(0);
            body.extend([0; 6]);
            body.extend(oid.to_be_bytes());
            body.extend(size.to_be_bytes());
            body.extend((-1_i32).to_be_bytes());
            body.extend(u16::from(binary(at)).to_be_bytes());
        }
        self.add(b'T', &body);
    }

    /// The rows of a table.
    pub(super) fn rows(&mut self, table: &Table, binary: impl Fn(usize) -> bool) {
        for row in &table.rows {
            let mut body = count(row.len());
            for (at, (cell, (_, kind))) in row.iter().zip(&table.columns).enumerate() {
                let bytes = match (cell, kind) {
                    (Cell::Null, _) => None,
                    (Cell::Number(number), Kind::Int4) if binary(at) => {
                        Some(i32::try_from(*number).unwrap_or(i32::MAX).to_be_bytes().to_vec())
                    }
                    (Cell::Number(number), Kind::Int8) if binary(at) => Some(number.to_be_bytes().to_vec()),
                    (cell, _) => cell.text().map(String::into_bytes),
                };
                match bytes {
                    None => body.extend((-1_i32).to_be_bytes()),
                    Some(bytes) => {
                        body.extend(u32::try_from(bytes.len()).unwrap_or(0).to_be_bytes());
                        body.extend(bytes);
                    }
                }
            }
            self.add(b'D', &body);
        }
    }
}

fn count(items: usize) -> Vec<u8> {
    u16::try_from(items).unwrap_or(u16::MAX).to_be_bytes().to_vec()
}
