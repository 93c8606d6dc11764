//! What a step's attempts wrote: the lines of its log, and what its commands printed.
//!
//! Must not: read more than it was asked for; such a file may be large.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use super::App;
use crate::engine::{series, step_folder};
use crate::model::id::{RunId, StepPath};
use crate::model::samples::Sampled;

/// How deep a step's files lie.
const DEPTH: usize = 3;
/// How many files of a step are listed.
const MOST: usize = 1000;

/// A file that holds what a step printed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StepFile {
    /// Where it is.
    pub path: PathBuf,
    /// Its size in bytes.
    pub size: u64,
}

impl App {
    /// The files with what a step printed, its log first, then the attempts' output in their order.
    pub fn step_files(&self, run: RunId, step: &StepPath) -> Vec<StepFile> {
        let mut found = Vec::new();
        collect(&step_folder(&self.locations.files(run), step), DEPTH, &mut found);
        found.sort_by(|a, b| (a.path.components().count(), &a.path).cmp(&(b.path.components().count(), &b.path)));
        found
    }
}

impl App {
    /// What a monitor has seen so far.
    pub fn sampled(&self, run: RunId, step: &StepPath) -> Sampled {
        series::load(&step_folder(&self.locations.files(run), step))
    }
}

fn collect(folder: &Path, depth: usize, found: &mut Vec<StepFile>) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for entry in entries.flatten().take(MOST) {
        let Ok(data) = entry.metadata() else { continue };
        let path = entry.path();
        if data.is_dir() && depth > 0 {
            collect(&path, depth - 1, found);
        }
        let name = entry.file_name();
        let name = name.to_string_lossy();
        let printed = name == "log" || name.ends_with(".stdout") || name.ends_with(".stderr");
        if data.is_file() && printed && data.len() > 0 && found.len() < MOST {
            found.push(StepFile { path, size: data.len() });
        }
    }
}

/// The end of a file, at most so many bytes, beginning with a whole line; and whether something was left out before it.
///
/// # Errors
/// When it cannot be read.
pub fn tail(file: &StepFile, bytes: u64) -> std::io::Result<(String, bool)> {
    let mut open = File::open(&file.path)?;
    let from = file.size.saturating_sub(bytes);
    open.seek(SeekFrom::Start(from))?;
    let mut text = Vec::new();
    open.take(bytes).read_to_end(&mut text)?;
    let text = String::from_utf8_lossy(&text).into_owned();
    match text.split_once('\n') {
        Some((_, whole)) if from > 0 => Ok((whole.to_owned(), true)),
        _ => Ok((text, from > 0)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_file_begins_with_a_whole_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        std::fs::write(&path, "first\nsecond\nthird\n").unwrap();
        let file = StepFile { path, size: 19 };
        assert_eq!(tail(&file, 100).unwrap(), ("first\nsecond\nthird\n".to_owned(), false));
        assert_eq!(tail(&file, 9).unwrap(), ("third\n".to_owned(), true));
    }
}
