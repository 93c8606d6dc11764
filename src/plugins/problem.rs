//! What is wrong with a plugin, where, and what to do.

use std::path::{Path, PathBuf};

/// One problem of a plugin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The file, or the plugin's folder.
    pub path: PathBuf,
    /// 1-based; 0: the file as a whole.
    pub line: u32,
    /// 1-based, in characters.
    pub column: u32,
    /// The line as it stands in the file; empty for the file as a whole.
    pub source_line: String,
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub hint: Option<String>,
}

impl Problem {
    /// One with a file or folder as a whole.
    pub(super) fn whole(path: &Path, message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { path: path.to_owned(), line: 0, column: 0, source_line: String::new(), message: message.into(), hint: Some(hint.into()) }
    }
}

/// What the system says, without its number.
pub(super) fn plain(error: &std::io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or_default().to_lowercase()
}
