//! What can go wrong with the sandbox itself, as a person reads it.
//!
//! It must not hold tokens. Invariant: each text says what happened, to what, and where one can act, what to do.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

/// An error of the sandbox or of talking to it.
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    /// A file or folder cannot be used.
    #[error("the sandbox could not {what} {path}: {why}", path = path.display(), why = words(source))]
    Io {
        /// What was tried.
        what: &'static str,
        /// With which file or folder.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A file of the sandbox does not hold what it should.
    #[error("{path} is damaged ({source}); `runsheet sandbox reset` starts with a fresh sandbox", path = path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: serde_json::Error,
    },
    /// An option has no sensible value.
    #[error("the sandbox cannot run with {0}")]
    Option(String),
    /// The address cannot be listened on.
    #[error("the sandbox cannot listen on 127.0.0.1:{port}: {why}; leave the port out to take a free one", why = words(source))]
    Bind {
        /// The port that was asked for.
        port: u16,
        /// Why not.
        source: io::Error,
    },
    /// Another process serves the same folder.
    #[error("another process serves the sandbox in {dir}; `runsheet sandbox status` shows it", dir = dir.display())]
    Served {
        /// The folder.
        dir: PathBuf,
    },
    /// The program of the sandbox cannot be started.
    #[error("{exe} could not be started as the sandbox: {why}", exe = exe.display(), why = words(source))]
    Spawn {
        /// The program.
        exe: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The sandbox was started and did not get as far as answering.
    #[error("the sandbox in {dir} did not start: {how}; the end of its log says:\n{log}", dir = dir.display())]
    DidNotStart {
        /// The folder.
        dir: PathBuf,
        /// How it failed.
        how: String,
        /// The last lines of its log.
        log: String,
    },
    /// Nothing runs there.
    #[error("no sandbox runs in {dir}; `runsheet sandbox up` starts it", dir = dir.display())]
    NotRunning {
        /// The folder.
        dir: PathBuf,
    },
    /// It runs and does not answer.
    #[error(
        "the sandbox at {address} does not answer: {why}; if it hangs, end process {pid} and start it again with `runsheet sandbox up`"
    )]
    Unreachable {
        /// Where it should be.
        address: SocketAddr,
        /// Its process.
        pid: u32,
        /// What happened.
        why: String,
    },
    /// It was asked to stop and is still there.
    #[error("the sandbox in {dir} was asked to stop and is still there; process {pid} holds it", dir = dir.display())]
    DidNotStop {
        /// The folder.
        dir: PathBuf,
        /// Its process.
        pid: u32,
    },
    /// It refused a request to control it.
    #[error("the sandbox refused: {message}")]
    Refused {
        /// The HTTP status.
        status: u16,
        /// Why.
        message: String,
    },
    /// A message to or from it has an unexpected form: two versions of the program.
    #[error("the sandbox speaks another version ({0}); `runsheet sandbox down`, then `runsheet sandbox up`, replaces it")]
    Encoding(serde_json::Error),
}

/// What the system said, without the number that it gives it.
fn words(error: &io::Error) -> String {
    error.to_string().split(" (os error").next().unwrap_or_default().to_owned()
}

impl SandboxError {
    pub(crate) fn io(what: &'static str, path: &Path, source: io::Error) -> Self {
        Self::Io { what, path: path.to_owned(), source }
    }

    pub(crate) fn encoding(source: serde_json::Error) -> Self {
        Self::Encoding(source)
    }
}
