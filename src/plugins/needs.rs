//! Programs that a plugin needs on this machine.

use std::os::unix::fs::PermissionsExt;

use super::manifest::Need;
use crate::model::outcome::Failure;

/// A program that is not there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Missing(pub Need);

impl Missing {
    /// As the failure of a step of this plugin.
    pub(super) fn of(&self, plugin: &str) -> Failure {
        let Need { program, hint } = &self.0;
        Failure::permanent(format!("the plugin {plugin} needs `{program}`, which is not in PATH")).hint(hint.clone())
    }
}

/// The first of these programs that is not in `PATH`.
pub fn missing(needs: &[Need]) -> Option<Missing> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders: Vec<_> = std::env::split_paths(&path).collect();
    let is_there = |program: &str| {
        let files = folders.iter().map(|folder| folder.join(program));
        files.filter_map(|file| file.metadata().ok()).any(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
    };
    needs.iter().find(|need| !is_there(&need.program)).cloned().map(Missing)
}
