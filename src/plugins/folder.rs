//! The plugins of a root, and the copies that runs keep of them.
//!
//! Must not start anything. Invariant: one plugin that is wrong keeps no other from being loaded.

use std::path::{Path, PathBuf};

use super::content::Content;
use super::manifest::{self, Manifest};
use super::problem::{Problem, plain};
use crate::model::id::ContentHash;

/// A plugin that can be used.
#[derive(Clone, Debug)]
pub struct Plugin {
    /// Its folder.
    pub folder: PathBuf,
    /// What its manifest says.
    pub manifest: Manifest,
    /// The hash of its files.
    pub hash: ContentHash,
}

/// A plugin that cannot be used.
#[derive(Clone, Debug)]
pub struct BrokenPlugin {
    /// The name of its folder.
    pub name: String,
    /// Its folder.
    pub folder: PathBuf,
    /// Everything that is wrong with it.
    pub problems: Vec<Problem>,
}

/// All that a folder of plugins holds, by name.
#[derive(Clone, Debug, Default)]
pub struct Plugins {
    /// Those that can be used.
    pub good: Vec<Plugin>,
    /// Those that cannot.
    pub broken: Vec<BrokenPlugin>,
}

impl Plugins {
    /// Reads a folder of plugins; one that is not there holds none. `taken` tells whether a name begins the names of actions that are built in.
    ///
    /// # Errors
    /// When the folder itself cannot be read.
    pub fn load(folder: &Path, taken: impl Fn(&str) -> bool) -> Result<Self, Problem> {
        let unreadable = |error: std::io::Error| {
            Problem::whole(folder, format!("{} cannot be read: {}", folder.display(), plain(&error)), "check the folder's permissions")
        };
        let mut found = Self::default();
        let entries = match std::fs::read_dir(folder) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(found),
            entries => entries.map_err(unreadable)?,
        };
        let mut folders: Vec<PathBuf> =
            entries.map(|entry| entry.map(|entry| entry.path())).collect::<Result<_, _>>().map_err(unreadable)?;
        // A file beside the plugins, a note say, is none.
        folders.retain(|path| path.is_dir() && !name_of(path).starts_with('.'));
        folders.sort();
        for path in folders {
            match Plugin::load(&path) {
                Ok(plugin) if taken(&plugin.manifest.name) => {
                    let message = format!("actions that are built in begin with `{}.`", plugin.manifest.name);
                    let problem = Problem::whole(&path.join(manifest::FILE), message, "give the plugin and its folder another name");
                    found.broken.push(BrokenPlugin { name: name_of(&path), folder: path, problems: vec![problem] });
                }
                Ok(plugin) => found.good.push(plugin),
                Err(problems) => found.broken.push(BrokenPlugin { name: name_of(&path), folder: path, problems }),
            }
        }
        Ok(found)
    }

    /// The plugin of this name.
    pub fn get(&self, name: &str) -> Option<&Plugin> {
        self.good.iter().find(|plugin| plugin.manifest.name == name)
    }

    /// The plugin that an action belongs to.
    pub fn of_action(&self, action: &str) -> Option<&Plugin> {
        self.good.iter().find(|plugin| plugin.manifest.actions.iter().any(|own| own.entry.name == action))
    }
}

impl Plugin {
    /// Reads the plugin in a folder.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn load(folder: &Path) -> Result<Self, Vec<Problem>> {
        let content = Content::read(folder).map_err(|problem| vec![problem])?;
        let manifest = manifest::read(folder)?;
        Ok(Self { folder: folder.to_owned(), manifest, hash: content.hash() })
    }

    /// Keeps a copy of it in this folder, by its content; one that is there already stays.
    ///
    /// # Errors
    /// When it cannot be written, or the plugin was changed since it was loaded.
    pub fn keep(&self, folder: &Path) -> Result<(), Problem> {
        let copy = copy_in(folder, &self.manifest.name, &self.hash);
        if Content::read(&copy).is_ok_and(|content| content.hash() == self.hash) {
            return Ok(());
        }
        let content = Content::read(&self.folder)?;
        if content.hash() != self.hash {
            return Err(Problem::whole(&self.folder, format!("{} was changed just now", self.folder.display()), "try again"));
        }
        let unwritable = |error: std::io::Error| {
            let message = format!("no copy of the plugin {} can be kept in {}: {}", self.manifest.name, folder.display(), plain(&error));
            Problem::whole(&copy, message, "check the permissions and the free space of the state folder")
        };
        // One that is damaged gives way.
        if copy.exists() {
            std::fs::remove_dir_all(&copy).map_err(unwritable)?;
        }
        content.write(&copy).map_err(unwritable)
    }

    /// The copy of a plugin that [`keep`](Self::keep) made; `None`: it is not there, or not whole any more.
    pub fn kept(folder: &Path, name: &str, hash: &ContentHash) -> Option<Self> {
        let copy = copy_in(folder, name, hash);
        // It lies in a folder named after the plugin, as the manifest wants it.
        Self::load(&copy).ok().filter(|plugin| plugin.hash == *hash && plugin.manifest.name == name)
    }
}

fn copy_in(folder: &Path, name: &str, hash: &ContentHash) -> PathBuf {
    folder.join(&hash.0[..hash.0.len().min(16)]).join(name)
}

fn name_of(path: &Path) -> String {
    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}
