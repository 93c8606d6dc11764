//! Deflate (RFC 1951), as far as the headers of SPDY/3 need it: read with a history that goes on, written without compressing.
//!
//! It must not read without bounds. Invariant: what is no deflate, or refers to what was never there, is an error and never a panic.

/// The most that one block of headers may become, in bytes.
const MOST: usize = 64 * 1024;
/// How far back a copy may reach, in bytes.
const WINDOW: usize = 32 * 1024;

const LENGTHS: [(u16, u8); 29] = [
    (3, 0),
    (4, 0),
    (5, 0),
    (6, 0),
    (7, 0),
    (8, 0),
    (9, 0),
    (10, 0),
    (11, 1),
    (13, 1),
    (15, 1),
    (17, 1),
    (19, 2),
    (23, 2),
    (27, 2),
    (31, 2),
    (35, 3),
    (43, 3),
    (51, 3),
    (59, 3),
    (67, 4),
    (83, 4),
    (99, 4),
    (115, 4),
    (131, 5),
    (163, 5),
    (195, 5),
    (227, 5),
    (258, 0),
];
const DISTANCES: [(u16, u8); 30] = [
    (1, 0),
    (2, 0),
    (3, 0),
    (4, 0),
    (5, 1),
    (7, 1),
    (9, 2),
    (13, 2),
    (17, 3),
    (25, 3),
    (33, 4),
    (49, 4),
    (65, 5),
    (97, 5),
    (129, 6),
    (193, 6),
    (257, 7),
    (385, 7),
    (513, 8),
    (769, 8),
    (1025, 9),
    (1537, 9),
    (2049, 10),
    (3073, 10),
    (4097, 11),
    (6145, 11),
    (8193, 12),
    (12289, 12),
    (16385, 13),
    (24577, 13),
];
/// The order in which the lengths of the code for code lengths are given.
const ORDER: [usize; 19] = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15];

/// It is no deflate.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Malformed;

/// Bits, the lowest of a byte first.
struct Bits<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Bits<'_> {
    fn take(&mut self, count: u8) -> Result<usize, Malformed> {
        let mut value = 0;
        for nth in 0..count {
            let byte = self.bytes.get(self.at / 8).ok_or(Malformed)?;
            value |= usize::from(byte >> (self.at % 8) & 1) << nth;
            self.at += 1;
        }
        Ok(value)
    }

    /// Whether there is less than a block's head left.
    fn is_over(&self) -> bool {
        self.bytes.len() * 8 - self.at.min(self.bytes.len() * 8) < 8
    }
}

/// A canonical prefix code.
struct Code {
    /// How many symbols there are of each length.
    counts: [usize; 16],
    symbols: Vec<usize>,
}

impl Code {
    fn of(lengths: &[u8]) -> Self {
        let mut counts = [0; 16];
        lengths.iter().for_each(|length| counts[usize::from(*length)] += 1);
        let mut symbols: Vec<usize> = (0..lengths.len()).filter(|symbol| lengths[*symbol] > 0).collect();
        symbols.sort_by_key(|symbol| lengths[*symbol]);
        Self { counts, symbols }
    }

    fn next(&self, bits: &mut Bits<'_>) -> Result<usize, Malformed> {
        let (mut code, mut first, mut index) = (0, 0, 0);
        for length in 1..16 {
            code |= bits.take(1)?;
            let count = self.counts[length];
            if code < first + count {
                return self.symbols.get(index + code - first).copied().ok_or(Malformed);
            }
            index += count;
            first = (first + count) << 1;
            code <<= 1;
        }
        Err(Malformed)
    }
}

/// Reads blocks that were flushed one after the other; each may refer to those before.
pub(super) struct Inflate {
    /// What was read before, or was agreed on beforehand.
    history: Vec<u8>,
    begun: bool,
}

impl Inflate {
    /// With what both ends know before they begin.
    pub(super) fn new(known: Vec<u8>) -> Self {
        Self { history: known, begun: false }
    }

    /// The next block of headers, in the clear.
    pub(super) fn read(&mut self, mut bytes: &[u8]) -> Result<Vec<u8>, Malformed> {
        if !self.begun {
            // The head of zlib (RFC 1950); with bit 5 of its second byte comes the checksum of what is known.
            let head = bytes.get(..2).ok_or(Malformed)?;
            let skipped = if head[1] & 0x20 == 0 { 2 } else { 6 };
            bytes = bytes.get(skipped..).ok_or(Malformed)?;
            self.begun = true;
        }
        let from = self.history.len();
        let mut bits = Bits { bytes, at: 0 };
        while !bits.is_over() {
            let last = bits.take(1)? == 1;
            match bits.take(2)? {
                0 => self.stored(&mut bits)?,
                1 => {
                    let lengths: Vec<u8> = (0..288)
                        .map(|symbol| match symbol {
                            0..144 => 8,
                            144..256 => 9,
                            256..280 => 7,
                            _ => 8,
                        })
                        .collect();
                    self.coded(&mut bits, &Code::of(&lengths), &Code::of(&[5; 30]), from)?;
                }
                2 => {
                    let (lengths, distances) = codes(&mut bits)?;
                    self.coded(&mut bits, &lengths, &distances, from)?;
                }
                _ => return Err(Malformed),
            }
            if self.history.len() - from > MOST {
                return Err(Malformed);
            }
            if last {
                break;
            }
        }
        let read = self.history[from..].to_vec();
        let beyond = self.history.len().saturating_sub(WINDOW);
        self.history.drain(..beyond);
        Ok(read)
    }

    fn stored(&mut self, bits: &mut Bits<'_>) -> Result<(), Malformed> {
        let at = bits.at.div_ceil(8);
        let length = bits.bytes.get(at..at + 2).ok_or(Malformed)?;
        let length = usize::from(u16::from_le_bytes([length[0], length[1]]));
        self.history.extend_from_slice(bits.bytes.get(at + 4..at + 4 + length).ok_or(Malformed)?);
        bits.at = (at + 4 + length) * 8;
        Ok(())
    }

    fn coded(&mut self, bits: &mut Bits<'_>, lengths: &Code, distances: &Code, from: usize) -> Result<(), Malformed> {
        loop {
            match lengths.next(bits)? {
                symbol @ 0..256 => self.history.push(u8::try_from(symbol).map_err(|_| Malformed)?),
                256 => return Ok(()),
                symbol => {
                    let (base, extra) = LENGTHS.get(symbol - 257).ok_or(Malformed)?;
                    let length = usize::from(*base) + bits.take(*extra)?;
                    let (base, extra) = DISTANCES.get(distances.next(bits)?).ok_or(Malformed)?;
                    let distance = usize::from(*base) + bits.take(*extra)?;
                    let start = self.history.len().checked_sub(distance).ok_or(Malformed)?;
                    for nth in 0..length {
                        self.history.push(self.history[start + nth]);
                    }
                }
            }
            if self.history.len() - from > MOST {
                return Err(Malformed);
            }
        }
    }
}

/// The two codes that a block brings along.
fn codes(bits: &mut Bits<'_>) -> Result<(Code, Code), Malformed> {
    let (literals, distances, given) = (bits.take(5)? + 257, bits.take(5)? + 1, bits.take(4)? + 4);
    let mut of_lengths = [0_u8; 19];
    for place in ORDER.iter().take(given) {
        of_lengths[*place] = u8::try_from(bits.take(3)?).map_err(|_| Malformed)?;
    }
    let code = Code::of(&of_lengths);
    let mut lengths: Vec<u8> = Vec::new();
    while lengths.len() < literals + distances {
        let (value, times) = match code.next(bits)? {
            symbol @ 0..16 => (u8::try_from(symbol).map_err(|_| Malformed)?, 1),
            16 => (*lengths.last().ok_or(Malformed)?, 3 + bits.take(2)?),
            17 => (0, 3 + bits.take(3)?),
            _ => (0, 11 + bits.take(7)?),
        };
        lengths.extend(std::iter::repeat_n(value, times));
    }
    if lengths.len() > literals + distances {
        return Err(Malformed);
    }
    Ok((Code::of(&lengths[..literals]), Code::of(&lengths[literals..])))
}

/// A block of headers as it is, the first with the head of zlib, and an empty one after it: at that the other end hands out what it has read.
pub(super) fn stored(bytes: &[u8], first: bool) -> Vec<u8> {
    let length = u16::try_from(bytes.len()).unwrap_or(u16::MAX);
    let mut whole = if first { vec![0x78, 0x01] } else { Vec::new() };
    whole.push(0);
    whole.extend(length.to_le_bytes());
    whole.extend((!length).to_le_bytes());
    whole.extend_from_slice(&bytes[..usize::from(length)]);
    whole.extend([0, 0, 0, 0xff, 0xff]);
    whole
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What zlib makes of `aaaaaaaaaabc`, with the fixed code and a sync flush.
    const FIXED: [u8; 14] = [0x78, 0x01, 0x4a, 0x4c, 0x84, 0x81, 0xa4, 0x64, 0x00, 0x00, 0x00, 0x00, 0xff, 0xff];

    #[test]
    fn blocks_are_read_one_after_the_other() {
        let mut inflate = Inflate::new(b"known".to_vec());
        assert_eq!(inflate.read(&stored(b"one", true)), Ok(b"one".to_vec()));
        assert_eq!(inflate.read(&stored(b"two", false)), Ok(b"two".to_vec()));
        assert_eq!(Inflate::new(Vec::new()).read(&FIXED), Ok(b"aaaaaaaaaabc".to_vec()));
    }

    #[test]
    fn what_is_no_deflate_is_refused() {
        for bytes in [&[][..], &[0x78], &[0x78, 0x9c, 0x07], &[0x78, 0x9c, 0x4a, 0x84], &[0x78, 0x9c, 0x63, 0x00, 0x01, 0x02, 0x03]] {
            let read = Inflate::new(Vec::new()).read(bytes);
            assert!(read.is_err() || read.as_ref().is_ok_and(Vec::is_empty), "{bytes:?}: {read:?}");
        }
    }
}
