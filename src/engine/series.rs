//! What a monitor has seen, as a file of the step that samples.
//!
//! Invariant: the file is whole or not there. It is no part of a run's state: what is lost of it changes no decision.

use std::fs::{DirBuilder, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crate::model::samples::Sampled;

/// The file, in the folder of the step that samples.
const FILE: &str = "series.json";

/// What was written before; nothing where there is none, or it is damaged.
pub fn load(folder: &Path) -> Sampled {
    std::fs::read(folder.join(FILE)).ok().and_then(|text| serde_json::from_slice(&text).ok()).unwrap_or_default()
}

/// Writes it.
///
/// # Errors
/// When the folder takes no file.
pub(super) fn save(sampled: &Sampled, folder: &Path) -> std::io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    let draft: PathBuf = folder.join(format!(".{FILE}"));
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&draft)?;
    file.write_all(&serde_json::to_vec(sampled)?)?;
    std::fs::rename(draft, folder.join(FILE))
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;

    #[test]
    fn what_was_written_is_gone_on_with_and_what_is_damaged_is_begun_anew() {
        let folder = tempfile::tempdir().unwrap();
        let step = folder.path().join("during[samples]");
        assert_eq!(load(&step), Sampled::default());
        let mut sampled = Sampled { samples: 3, failed: 1, ..Sampled::default() };
        sampled.series.entry("cpu".to_owned()).or_default().add(Timestamp::from_second(5).unwrap(), 0.5);
        save(&sampled, &step).unwrap();
        assert_eq!(load(&step), sampled);
        std::fs::write(step.join(FILE), "{").unwrap();
        assert_eq!(load(&step), Sampled::default());
    }
}
