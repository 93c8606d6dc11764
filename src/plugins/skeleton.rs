//! `plugin new`: a plugin that works, to be made into another. It is the example of `docs/plugins.md`.
//!
//! Must not overwrite anything.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::manifest::is_name;
use super::problem::plain;

/// Its name in the files.
const NAME: &str = "example";
/// The files, and whether they are executable.
const FILES: [(&str, &str, bool); 3] = [
    ("plugin.yaml", include_str!("skeleton/plugin.yaml"), false),
    ("plugin.py", include_str!("skeleton/plugin.py"), true),
    ("text.md", include_str!("skeleton/text.md"), false),
];

/// Why there is no new plugin.
#[derive(Debug, thiserror::Error)]
pub enum SkeletonError {
    /// The name is none.
    #[error("`{0}` is no name for a plugin: a name is lower-case letters, digits and `-`, beginning with a letter")]
    Name(String),
    /// Actions that are built in begin with it.
    #[error("actions that are built in begin with `{0}.`")]
    Taken(String),
    /// Its folder is there.
    #[error("{} is there already", .0.display())]
    Exists(PathBuf),
    /// It cannot be written.
    #[error("{} cannot be written: {why}", path.display())]
    Unwritable {
        /// What.
        path: PathBuf,
        /// Why.
        why: String,
    },
}

/// Writes a plugin of this name below the folder of plugins; the files that were written.
///
/// # Errors
/// [`SkeletonError`]
pub fn write_skeleton(plugins: &Path, name: &str) -> Result<Vec<PathBuf>, SkeletonError> {
    if !is_name(name, '-') {
        return Err(SkeletonError::Name(name.to_owned()));
    }
    let folder = plugins.join(name);
    let unwritable = |path: &Path| {
        let path = path.to_owned();
        move |error: io::Error| SkeletonError::Unwritable { path, why: plain(&error) }
    };
    fs::create_dir_all(plugins).map_err(unwritable(plugins))?;
    fs::create_dir(&folder).map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => SkeletonError::Exists(folder.clone()),
        _ => unwritable(&folder)(error),
    })?;
    let mut written = Vec::new();
    for (file, text, executable) in FILES {
        let path = folder.join(file);
        fs::write(&path, text.replace(NAME, name)).map_err(unwritable(&path))?;
        if executable {
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).map_err(unwritable(&path))?;
        }
        written.push(path);
    }
    Ok(written)
}
