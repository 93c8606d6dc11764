//! What a plugin consists of, by its content: the hash that a run is tied to, and the copy that the run executes.
//!
//! Must not follow a link out of the folder: there may be none. Invariant: two folders with the same hash hold the same files with the same right to be
//! executed; hidden files and Python's caches are no part of a plugin, and are neither hashed nor copied.

use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

use super::problem::{Problem, plain};
use crate::model::id::ContentHash;

/// The most files of a plugin.
const FILES: usize = 1000;
/// The most that they hold together, in bytes: 64 MiB.
const BYTES: u64 = 64 << 20;

/// A plugin's files, by their paths within its folder, sorted.
pub(super) struct Content {
    files: Vec<(PathBuf, bool, Vec<u8>)>,
}

impl Content {
    /// Reads the files of a folder.
    ///
    /// # Errors
    /// When one cannot be read, is no file, or there is too much of them.
    pub(super) fn read(folder: &Path) -> Result<Self, Problem> {
        let mut content = Self { files: Vec::new() };
        let mut bytes = 0;
        content.add(folder, Path::new(""), &mut bytes)?;
        content.files.sort();
        Ok(content)
    }

    fn add(&mut self, folder: &Path, within: &Path, bytes: &mut u64) -> Result<(), Problem> {
        let here = folder.join(within);
        let unreadable = |path: &Path, error: &io::Error| {
            let message = format!("{} cannot be read: {}", path.display(), plain(error));
            Problem::whole(path, message, "check the permissions of the plugin's folder")
        };
        for entry in fs::read_dir(&here).map_err(|error| unreadable(&here, &error))? {
            let entry = entry.map_err(|error| unreadable(&here, &error))?;
            let (path, name) = (entry.path(), entry.file_name());
            if name.to_string_lossy().starts_with('.') || name == "__pycache__" {
                continue;
            }
            let kind = fs::symlink_metadata(&path).map_err(|error| unreadable(&path, &error))?;
            let within = within.join(&name);
            if kind.is_dir() {
                self.add(folder, &within, bytes)?;
                continue;
            }
            if !kind.is_file() {
                let message = format!("{} is neither a file nor a folder", path.display());
                return Err(Problem::whole(&path, message, "put the file itself in its place: a run keeps a copy of its plugins"));
            }
            *bytes += kind.len();
            if *bytes > BYTES || self.files.len() >= FILES {
                let message = format!("{} holds more than {FILES} files or {} MiB", folder.display(), BYTES >> 20);
                return Err(Problem::whole(folder, message, "keep what is large elsewhere, and name it under `needs`"));
            }
            let content = fs::read(&path).map_err(|error| unreadable(&path, &error))?;
            self.files.push((within, kind.permissions().mode() & 0o100 != 0, content));
        }
        Ok(())
    }

    /// The hash of all of it.
    pub(super) fn hash(&self) -> ContentHash {
        let mut all = Vec::new();
        for (path, executable, content) in &self.files {
            // Each part is preceded by its length, so that no two contents share an input.
            let name = path.to_string_lossy();
            all.extend((name.len() as u64).to_be_bytes());
            all.extend(name.as_bytes());
            all.push(u8::from(*executable));
            all.extend((content.len() as u64).to_be_bytes());
            all.extend(content);
        }
        ContentHash::of(&all)
    }

    /// Writes it to a folder of this name: beside it first, fsynced, then renamed. One that is there stays.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(super) fn write(&self, folder: &Path) -> io::Result<()> {
        let parent = folder.parent().ok_or_else(|| io::Error::other("it has no folder"))?;
        fs::DirBuilder::new().recursive(true).mode(0o700).create(parent)?;
        let new = tempfile::Builder::new().prefix(".writing-").tempdir_in(parent)?;
        for (path, executable, content) in &self.files {
            let file = new.path().join(path);
            if let Some(inner) = file.parent() {
                fs::create_dir_all(inner)?;
            }
            fs::write(&file, content)?;
            fs::set_permissions(&file, fs::Permissions::from_mode(if *executable { 0o700 } else { 0o600 }))?;
            fs::File::open(&file)?.sync_all()?;
        }
        match fs::rename(new.path(), folder) {
            Ok(()) => fs::File::open(parent)?.sync_all(),
            // Somebody else was faster: of the same name is the same content.
            Err(_) if folder.is_dir() => Ok(()),
            Err(error) => Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(files: &[(&str, &str, u32)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (name, text, mode) in files {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(*mode)).unwrap();
        }
        folder
    }

    #[test]
    fn the_hash_is_of_names_rights_and_texts() {
        let hash = |files| Content::read(folder(files).path()).unwrap().hash();
        let one = hash(&[("plugin.yaml", "a", 0o644), ("lib/x", "b", 0o755)]);
        assert_eq!(one, hash(&[("lib/x", "b", 0o700), ("plugin.yaml", "a", 0o600), (".swap", "c", 0o644), ("__pycache__/y", "", 0o644)]));
        for other in [
            &[("plugin.yaml", "a", 0o644), ("lib/x", "c", 0o755)],
            &[("plugin.yaml", "a", 0o644), ("lib/x", "b", 0o644)],
            &[("plugin.yaml", "ab", 0o644), ("lib/x", "", 0o755)],
            &[("plugin.yaml", "a", 0o644), ("lib/y", "b", 0o755)],
        ] {
            assert_ne!(one, hash(other), "{other:?}");
        }
    }

    #[test]
    fn a_copy_has_the_same_hash_and_may_be_written_twice() {
        let (from, to) = (folder(&[("plugin.yaml", "a", 0o644), ("bin/run", "#!/bin/sh\n", 0o755)]), tempfile::tempdir().unwrap());
        let content = Content::read(from.path()).unwrap();
        let copy = to.path().join("plugins/one");
        content.write(&copy).unwrap();
        content.write(&copy).unwrap();
        assert_eq!(Content::read(&copy).unwrap().hash(), content.hash());
        assert_eq!(fs::read_dir(to.path().join("plugins")).unwrap().count(), 1, "nothing is left of the second");
    }

    #[test]
    fn a_link_is_refused() {
        let from = folder(&[("plugin.yaml", "a", 0o644)]);
        std::os::unix::fs::symlink("/etc/passwd", from.path().join("link")).unwrap();
        let problem = Content::read(from.path()).err().unwrap();
        assert!(problem.message.ends_with("link is neither a file nor a folder"), "{}", problem.message);
    }
}
