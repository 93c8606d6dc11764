//! Whether a database can be written at a place, before there is one.
//!
//! Must not make anything. Invariant: what is refused here would be refused by the first run, in about the same words.

use std::path::Path;

use rustix::fs::{Access, access};

use super::filesystem::network_file_system;
use crate::ports::journal::JournalError;

/// That the database is there and may be written, or could be made.
///
/// # Errors
/// Why not.
pub fn check_place(file: &Path) -> Result<(), JournalError> {
    let unusable = |why: String| Err(JournalError::Unusable { file: file.to_owned(), why });
    if file.is_dir() {
        return unusable("it is a folder; the database must be a file".to_owned());
    }
    if file.exists() && access(file, Access::WRITE_OK).is_err() {
        return unusable("this account may not write it".to_owned());
    }
    let above = file.ancestors().skip(1).map(|folder| if folder.as_os_str().is_empty() { Path::new(".") } else { folder });
    let Some(folder) = above.into_iter().find(|folder| folder.symlink_metadata().is_ok()) else {
        return unusable("no folder above it is there".to_owned());
    };
    if !folder.is_dir() {
        return unusable(format!("its folder cannot be made: {} is a file", folder.display()));
    }
    if access(folder, Access::WRITE_OK | Access::EXEC_OK).is_err() {
        return unusable(format!("this account may not write in the folder {}", folder.display()));
    }
    match network_file_system(folder) {
        Some(kind) => {
            unusable(format!("it is on a network file system ({kind}), where SQLite's locks do not hold: keep it on a local disk"))
        }
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_looked_at_and_nothing_is_made() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a/b/runsheet.db");
        check_place(&file).unwrap();
        assert!(!folder.path().join("a").exists());
        std::fs::write(folder.path().join("a"), "").unwrap();
        let error = check_place(&file).unwrap_err().to_string();
        assert!(error.contains("its folder cannot be made") && error.contains("/a is a file"), "{error}");
        assert!(check_place(folder.path()).unwrap_err().to_string().contains("it is a folder"));
    }
}
