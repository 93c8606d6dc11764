//! The files of the sandbox: written whole or not at all, readable by their owner only.
//!
//! It must not know what is in them. Invariant: after a crash a file is the old one or the new one.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::error::SandboxError;

/// The world.
pub(crate) const STATE: &str = "state.json";
/// What stays over resets: uid, tokens, the former port.
pub(crate) const IDENTITY: &str = "identity.json";
/// Where the running server is.
pub(crate) const READY: &str = "ready.json";
/// What the server's process prints.
pub(crate) const LOG: &str = "sandbox.log";
const LOCK: &str = "lock";

/// Makes the folder, for its owner only.
pub(crate) fn make_dir(dir: &Path) -> Result<(), SandboxError> {
    DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(|source| SandboxError::io("make the folder", dir, source))
}

/// Takes the lock that one server of a folder holds; none when another holds it.
pub(crate) fn lock(dir: &Path) -> Result<Option<File>, SandboxError> {
    let path = dir.join(LOCK);
    let io = |source| SandboxError::io("lock", &path, source);
    let file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&path).map_err(io)?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(source)) => Err(io(source)),
    }
}

/// Writes a file whole: a temporary one, on disk, then renamed.
pub(crate) fn save(dir: &Path, name: &str, content: &[u8]) -> Result<(), SandboxError> {
    let path = dir.join(name);
    let write = || -> std::io::Result<()> {
        // The caller holds the folder's lock, so the temporary name is nobody else's.
        let temporary = dir.join(format!("{name}.new"));
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
        file.set_permissions(fs::Permissions::from_mode(0o600))?;
        file.write_all(content)?;
        file.sync_all()?;
        fs::rename(&temporary, &path)?;
        File::open(dir)?.sync_all()
    };
    write().map_err(|source| SandboxError::io("write", &path, source))
}

/// Writes a value whole, as JSON.
pub(crate) fn save_json(dir: &Path, name: &str, value: &impl Serialize) -> Result<(), SandboxError> {
    save(dir, name, &serde_json::to_vec_pretty(value).map_err(SandboxError::encoding)?)
}

/// Reads a value; none where there is no such file.
pub(crate) fn load<T: DeserializeOwned>(dir: &Path, name: &str) -> Result<Option<T>, SandboxError> {
    let path = dir.join(name);
    match fs::read(&path) {
        Ok(text) => serde_json::from_slice(&text).map(Some).map_err(|source| SandboxError::Damaged { path, source }),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(SandboxError::io("read", &path, source)),
    }
}

/// Removes a file that may be gone already.
pub(crate) fn remove(dir: &Path, name: &str) -> Result<(), SandboxError> {
    let path = dir.join(name);
    match fs::remove_file(&path) {
        Err(source) if source.kind() != std::io::ErrorKind::NotFound => Err(SandboxError::io("remove", &path, source)),
        _ => Ok(()),
    }
}

/// The last `lines` lines of a log, of at most the last 8 KiB; empty where it cannot be read.
pub(crate) fn tail(path: &Path, lines: usize) -> String {
    use std::io::{Read, Seek, SeekFrom};
    let read = || -> std::io::Result<Vec<u8>> {
        let mut file = File::open(path)?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(8192)))?;
        let mut text = Vec::new();
        file.read_to_end(&mut text)?;
        Ok(text)
    };
    let text = read().unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let all: Vec<&str> = text.lines().collect();
    all[all.len().saturating_sub(lines)..].join("\n")
}
