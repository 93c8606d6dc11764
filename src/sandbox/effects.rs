//! The effect log: one entry for each change that a request made, in the order of the changes.
//!
//! It must not hold what the cluster does by itself, nor a token. Invariant: an effect is on disk before its request is answered, and an
//! effect that is on disk belongs to a change that is on disk: the change and its effects are committed together in the world's file, and
//! the log is brought up to it.

use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::call::Caller;
use super::error::SandboxError;

/// The name of the log in the sandbox's folder.
pub(crate) const FILE: &str = "effects.jsonl";

/// One change of one field of one object.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Effect {
    /// Counts from 1 without gaps, anew after a reset.
    pub n: u64,
    /// When the change was made.
    pub at: Timestamp,
    /// The method and path of the request, `PATCH /apis/…`; `-` where a fault made the change.
    pub request: String,
    /// The `User-Agent` of the request.
    pub user_agent: String,
    /// The `Idempotency-Key` of the request.
    pub idempotency_key: Option<String>,
    /// `NAMESPACE/KIND/NAME`.
    pub object: String,
    /// The field, `spec.replicas`; `exists` for a creation or deletion.
    pub field: String,
    /// The former value; null where it was absent.
    pub from: Value,
    /// The new value; null where it is gone.
    pub to: Value,
}

/// The effects' part of the world: the count, and those of the latest change that had any.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Tail {
    last: u64,
    recent: Vec<Effect>,
    /// Whether `recent` belongs to the change under way.
    #[serde(skip)]
    fresh: bool,
}

impl Tail {
    /// Begins a change: what was recorded before is in the log.
    pub(crate) fn begin(&mut self) {
        self.fresh = false;
    }

    /// Records one effect of the change under way.
    pub(crate) fn record(&mut self, caller: &Caller, object: &str, field: &str, from: Value, to: Value) {
        if !self.fresh {
            self.recent.clear();
            self.fresh = true;
        }
        self.last += 1;
        self.recent.push(Effect {
            n: self.last,
            at: Timestamp::now(),
            request: caller.request.clone(),
            user_agent: caller.user_agent.clone(),
            idempotency_key: caller.idempotency_key.clone(),
            object: object.to_owned(),
            field: field.to_owned(),
            from,
            to,
        });
    }

    /// How many effects there are.
    pub(crate) fn count(&self) -> u64 {
        self.last
    }
}

/// The open log.
#[derive(Debug)]
pub(crate) struct EffectLog {
    path: PathBuf,
    file: File,
    written: u64,
}

impl EffectLog {
    /// Opens the log and cuts off a line that a crash left unfinished.
    pub(crate) fn open(dir: &Path) -> Result<Self, SandboxError> {
        let path = dir.join(FILE);
        let io = |source| SandboxError::io("open the effect log", &path, source);
        let mut file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path).map_err(io)?;
        let (mut whole, mut written) = (0_u64, 0);
        let mut reader = BufReader::new(&file);
        let mut line = Vec::new();
        loop {
            line.clear();
            let read = reader.read_until(b'\n', &mut line).map_err(io)?;
            match serde_json::from_slice::<Effect>(&line) {
                Ok(effect) if line.ends_with(b"\n") => written = effect.n,
                _ => break,
            }
            whole += read as u64;
        }
        file.set_len(whole).map_err(io)?;
        file.seek(SeekFrom::End(0)).map_err(io)?;
        Ok(Self { path, file, written })
    }

    /// Writes what the world has and the log has not; returns when it is on disk.
    pub(crate) fn catch_up(&mut self, tail: &Tail) -> Result<(), SandboxError> {
        if self.written > tail.last {
            // The world was reset, and a crash kept the log from following.
            self.file.set_len(0).and_then(|()| self.file.seek(SeekFrom::Start(0))).map_err(|source| self.failed(source))?;
            self.written = 0;
        }
        let mut text = Vec::new();
        for effect in tail.recent.iter().filter(|effect| effect.n > self.written) {
            serde_json::to_writer(&mut text, effect).map_err(|source| self.failed(source.into()))?;
            text.push(b'\n');
        }
        if text.is_empty() {
            return Ok(());
        }
        self.file.write_all(&text).and_then(|()| self.file.sync_data()).map_err(|source| self.failed(source))?;
        self.written = tail.last;
        Ok(())
    }

    /// Empties the log.
    pub(crate) fn clear(&mut self) -> Result<(), SandboxError> {
        self.file.set_len(0).and_then(|()| self.file.seek(SeekFrom::Start(0))).map_err(|source| self.failed(source))?;
        self.written = 0;
        Ok(())
    }

    fn failed(&self, source: std::io::Error) -> SandboxError {
        SandboxError::io("write the effect log", &self.path, source)
    }
}

/// Reads the effect log of the sandbox in `dir`, whether it runs or not; empty where there is none.
///
/// # Errors
/// [`SandboxError::Io`] when the file cannot be read, [`SandboxError::Damaged`] for a line that is no effect.
pub fn effects(dir: &Path) -> Result<Vec<Effect>, SandboxError> {
    let path = dir.join(FILE);
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(source) => return Err(SandboxError::io("read the effect log", &path, source)),
    };
    // A line without its end is being written right now.
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    whole.lines().map(|line| serde_json::from_str(line).map_err(|source| SandboxError::Damaged { path: path.clone(), source })).collect()
}
