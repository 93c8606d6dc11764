//! Outputs that are too large for the journal: kept whole in a file named by its hash, on disk before the event that refers to it.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

use serde_json::Value;

use crate::machine::OUTPUTS_LIMIT;
use crate::model::id::ContentHash;

/// Under this name the outputs tell which file holds them whole.
const FILE: &str = "outputs_file";

/// Outputs within the limit as they are. Larger ones are written to `FOLDER/outputs/HASH.json`, and name that file: the machine then lets go of their
/// largest values. What cannot be written is told in the log; the step does not fail for it.
pub(super) fn keep(folder: &Path, outputs: Value) -> Value {
    let Value::Object(mut map) = outputs else { return outputs };
    let text = Value::Object(map.clone()).to_string();
    if text.len() <= OUTPUTS_LIMIT {
        return Value::Object(map);
    }
    let name = format!("{}.json", ContentHash::of(text.as_bytes()));
    match write(&folder.join("outputs"), &name, text.as_bytes()) {
        Ok(()) => {
            map.insert(FILE.to_owned(), Value::String(format!("outputs/{name}")));
        }
        Err(error) => tracing::warn!(%error, folder = %folder.display(), "large outputs cannot be written"),
    }
    Value::Object(map)
}

fn write(folder: &Path, name: &str, bytes: &[u8]) -> std::io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    let path = folder.join(name);
    if path.exists() {
        return Ok(());
    }
    let new = folder.join(format!(".{name}.{}", std::process::id()));
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    std::fs::rename(&new, &path)?;
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_what_is_too_large_goes_to_a_file_and_is_found_there_whole() {
        let folder = tempfile::tempdir().unwrap();
        let small = json!({ "a": 1 });
        assert_eq!(keep(folder.path(), small.clone()), small);
        let large = json!({ "body": "x".repeat(10_000), "status": 200 });
        let kept = keep(folder.path(), large.clone());
        let file = folder.path().join(kept[FILE].as_str().unwrap());
        let whole: Value = serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap();
        assert_eq!(whole, large);
        assert_eq!(kept["status"], 200);
    }
}
