//! RESP, Redis's wire protocol: commands in, replies out.
//!
//! It must not know a command. Invariant: a command takes bounded memory, whatever lengths it claims.

use std::io;

use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncReadExt};

/// The most arguments of a command, and the most bytes of one.
const MOST: usize = 64;
const LONGEST: usize = 64 << 10;
/// The longest line of a length.
const LONGEST_LINE: u64 = 64;

/// What a client sent.
pub(super) enum Received {
    /// A command with its arguments.
    Command(Vec<String>),
    /// What is no command, in the server's words.
    Wrong(&'static str),
    /// It has ended.
    End,
}

async fn line(stream: &mut (impl AsyncBufRead + Unpin)) -> io::Result<Option<String>> {
    let mut bytes = Vec::new();
    stream.take(LONGEST_LINE).read_until(b'\n', &mut bytes).await?;
    if bytes.is_empty() {
        return Ok(None);
    }
    let text = bytes.strip_suffix(b"\r\n").map(String::from_utf8_lossy);
    Ok(Some(text.map(std::borrow::Cow::into_owned).unwrap_or_default()))
}

fn length(text: &str, sign: char, most: usize) -> Option<usize> {
    text.strip_prefix(sign)?.parse().ok().filter(|length| *length <= most)
}

/// The next command.
pub(super) async fn command(stream: &mut (impl AsyncBufRead + Unpin)) -> io::Result<Received> {
    let Some(head) = line(stream).await? else { return Ok(Received::End) };
    if head == "*-1" {
        // As the real one, it takes this for nothing at all.
        return Ok(Received::Command(Vec::new()));
    }
    let Some(count) = length(&head, '*', MOST) else { return Ok(Received::Wrong("invalid multibulk length")) };
    let mut words = Vec::new();
    for _ in 0..count {
        let Some(head) = line(stream).await? else { return Ok(Received::End) };
        let Some(length) = length(&head, '$', LONGEST) else { return Ok(Received::Wrong("invalid bulk length")) };
        let mut bytes = vec![0; length + 2];
        stream.read_exact(&mut bytes).await?;
        bytes.truncate(length);
        words.push(String::from_utf8_lossy(&bytes).into_owned());
    }
    Ok(Received::Command(words))
}

/// A reply.
pub(super) enum Reply {
    Simple(&'static str),
    Error(String),
    Bulk(String),
    Number(u64),
    /// Names and values: a map in RESP3, an array before.
    Map(Vec<(&'static str, Reply)>),
    List(Vec<Reply>),
}

impl Reply {
    /// As it is sent to a client of this version of the protocol.
    pub(super) fn write(&self, version: u8, out: &mut Vec<u8>) {
        match self {
            Self::Simple(text) => out.extend(format!("+{text}\r\n").into_bytes()),
            Self::Error(text) => out.extend(format!("-{}\r\n", text.replace(['\r', '\n'], " ")).into_bytes()),
            Self::Bulk(text) => out.extend(format!("${}\r\n{text}\r\n", text.len()).into_bytes()),
            Self::Number(number) => out.extend(format!(":{number}\r\n").into_bytes()),
            Self::Map(pairs) => {
                let (sign, count) = if version >= 3 { ('%', pairs.len()) } else { ('*', pairs.len() * 2) };
                out.extend(format!("{sign}{count}\r\n").into_bytes());
                for (name, value) in pairs {
                    Self::Bulk((*name).to_owned()).write(version, out);
                    value.write(version, out);
                }
            }
            Self::List(items) => {
                out.extend(format!("*{}\r\n", items.len()).into_bytes());
                items.iter().for_each(|item| item.write(version, out));
            }
        }
    }
}
