//! The frames of SPDY/3.1 that a port-forward uses, and their headers.
//!
//! It must not hold a connection. Invariant: a frame that is not whole yet takes nothing from the buffer, and none is larger than [`LARGEST`].

use std::collections::BTreeMap;

use super::inflate::{Inflate, Malformed, stored};

/// The largest payload of a frame, in bytes.
const LARGEST: usize = 1 << 20;
/// The flag that says that the sender has sent all of a stream.
const FIN: u8 = 1;

/// A frame that came.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Frame {
    /// The client opens a stream.
    Open { stream: u32, headers: BTreeMap<String, String>, over: bool },
    /// Bytes of a stream.
    Data { stream: u32, bytes: Vec<u8>, over: bool },
    /// The client gives a stream up.
    Reset { stream: u32 },
    /// It is to be sent back.
    Ping { id: [u8; 4] },
    /// The client is leaving.
    GoAway,
    /// What does not concern a port-forward.
    Other,
}

/// Reads frames from what comes in pieces.
pub(super) struct Reader {
    buffer: Vec<u8>,
    inflate: Inflate,
}

/// What both ends know beforehand of the headers of SPDY/3: words with their lengths, and a text.
fn dictionary() -> Vec<u8> {
    let (words, rest) = include_str!("words.txt").split_once("\n\n").unwrap_or_default();
    let mut all = Vec::new();
    for word in words.lines() {
        all.extend(u32::try_from(word.len()).unwrap_or(0).to_be_bytes());
        all.extend_from_slice(word.as_bytes());
    }
    all.extend_from_slice(rest.trim_end_matches('\n').as_bytes());
    all
}

impl Reader {
    pub(super) fn new() -> Self {
        Self { buffer: Vec::new(), inflate: Inflate::new(dictionary()) }
    }

    /// Takes more of the connection.
    pub(super) fn add(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The next whole frame; none until more has come.
    pub(super) fn next(&mut self) -> Result<Option<Frame>, Malformed> {
        let Some(head) = self.buffer.get(..8) else { return Ok(None) };
        let length = usize::from(head[5]) << 16 | usize::from(head[6]) << 8 | usize::from(head[7]);
        if length > LARGEST {
            return Err(Malformed);
        }
        let (first, kind, over) = (number(head), u16::from_be_bytes([head[2], head[3]]), head[4] & FIN != 0);
        let Some(payload) = self.buffer.get(8..8 + length).map(<[u8]>::to_vec) else { return Ok(None) };
        self.buffer.drain(..8 + length);
        if first & 0x8000_0000 == 0 {
            return Ok(Some(Frame::Data { stream: first, bytes: payload, over }));
        }
        let stream = || payload.get(..4).map(|bytes| number(bytes) & 0x7fff_ffff).ok_or(Malformed);
        Ok(Some(match kind {
            1 => {
                let headers = self.inflate.read(payload.get(10..).ok_or(Malformed)?)?;
                Frame::Open { stream: stream()?, headers: pairs(&headers)?, over }
            }
            3 => Frame::Reset { stream: stream()? },
            6 => Frame::Ping { id: payload.get(..4).and_then(|id| id.try_into().ok()).ok_or(Malformed)? },
            7 => Frame::GoAway,
            8 => {
                // The history of the headers goes on through these, too.
                self.inflate.read(payload.get(4..).ok_or(Malformed)?)?;
                Frame::Other
            }
            _ => Frame::Other,
        }))
    }
}

fn number(bytes: &[u8]) -> u32 {
    bytes.iter().take(4).fold(0, |number, byte| number << 8 | u32::from(*byte))
}

/// Names and values.
fn pairs(mut bytes: &[u8]) -> Result<BTreeMap<String, String>, Malformed> {
    fn count(bytes: &mut &[u8]) -> Result<usize, Malformed> {
        let (head, rest) = bytes.split_at_checked(4).ok_or(Malformed)?;
        *bytes = rest;
        Ok(number(head) as usize)
    }
    fn text(bytes: &mut &[u8]) -> Result<String, Malformed> {
        let length = count(bytes)?;
        let (text, rest) = bytes.split_at_checked(length).ok_or(Malformed)?;
        *bytes = rest;
        Ok(String::from_utf8_lossy(text).into_owned())
    }
    let mut found = BTreeMap::new();
    for _ in 0..count(&mut bytes)?.min(100) {
        let name = text(&mut bytes)?;
        found.insert(name, text(&mut bytes)?);
    }
    Ok(found)
}

fn control(kind: u16, flags: u8, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap_or(0).to_be_bytes();
    let mut frame = vec![0x80, 3];
    frame.extend(kind.to_be_bytes());
    frame.push(flags);
    frame.extend_from_slice(&length[1..]);
    frame.extend_from_slice(payload);
    frame
}

/// Accepts a stream, without headers.
pub(super) fn reply(stream: u32, first: bool) -> Vec<u8> {
    control(2, 0, &[&stream.to_be_bytes()[..], &stored(&[0; 4], first)].concat())
}

/// Bytes of a stream.
pub(super) fn data(stream: u32, bytes: &[u8], over: bool) -> Vec<u8> {
    let length = u32::try_from(bytes.len()).unwrap_or(0).to_be_bytes();
    let mut frame = stream.to_be_bytes().to_vec();
    frame.push(if over { FIN } else { 0 });
    frame.extend_from_slice(&length[1..]);
    frame.extend_from_slice(bytes);
    frame
}

/// Sends a ping back.
pub(super) fn pong(id: [u8; 4]) -> Vec<u8> {
    control(6, 0, &id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_read_in_whatever_pieces_they_come() {
        let mut headers = 1_u32.to_be_bytes().to_vec();
        for text in ["streamtype", "data"] {
            headers.extend(u32::try_from(text.len()).unwrap().to_be_bytes());
            headers.extend_from_slice(text.as_bytes());
        }
        let open = control(1, 0, &[&3_u32.to_be_bytes()[..], &[0; 6], &stored(&headers, true)].concat());
        let all = [open, data(3, b"hello", true), control(6, 0, &7_u32.to_be_bytes())].concat();
        let mut reader = Reader::new();
        let mut frames = Vec::new();
        for byte in all {
            reader.add(&[byte]);
            frames.extend(reader.next().unwrap());
        }
        let headers = BTreeMap::from([("streamtype".to_owned(), "data".to_owned())]);
        let wanted = [
            Frame::Open { stream: 3, headers, over: false },
            Frame::Data { stream: 3, bytes: b"hello".to_vec(), over: true },
            Frame::Ping { id: [0, 0, 0, 7] },
        ];
        assert_eq!(frames, wanted);
        assert_eq!(dictionary().len(), 1423);
    }
}
