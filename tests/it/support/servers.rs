//! Real servers on loopback: those that all tests share, and those of one test alone, which it may stop.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde::de::DeserializeOwned;
use tempfile::TempDir;

/// Where `tests/run` says that the servers of all tests are: the folder that `tests/servers/up` was given.
const FOLDER: &str = "RUNSHEET_TEST_SERVERS";

/// Where a server of all tests is: what its script in `tests/servers` answered. Nothing of it may be stopped or changed for good.
pub fn shared<T: DeserializeOwned>(name: &str) -> T {
    let folder = std::env::var_os(FOLDER).filter(|folder| !folder.is_empty()).unwrap_or_else(|| {
        panic!(
            "this test needs a real server, and {FOLDER} names no folder of any: run `tests/run`, which starts them, or \
             `tests/servers/up FOLDER {name}` and `{FOLDER}=FOLDER cargo test`"
        )
    });
    read(&PathBuf::from(folder), name)
}

/// A server of one test alone, which ends with it.
pub struct Own {
    folder: PathBuf,
    _parent: TempDir,
}

impl Own {
    /// Starts it.
    pub fn start(name: &str) -> Self {
        let parent = tempfile::Builder::new().prefix("runsheet-servers-").tempdir().expect("a temporary folder");
        let folder = parent.path().join("servers");
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o711);
        std::fs::set_permissions(parent.path(), mode).expect("a folder that others get through");
        let up = Command::new(script("up")).arg(&folder).arg(name).stdin(Stdio::null()).output().expect("tests/servers/up");
        assert!(up.status.success(), "{}", String::from_utf8_lossy(&up.stderr));
        Self { folder, _parent: parent }
    }

    /// Where it is.
    pub fn answer<T: DeserializeOwned>(&self, name: &str) -> T {
        read(&self.folder, name)
    }

    /// Ends it.
    pub fn stop(&self) {
        let down = Command::new(script("down")).arg(&self.folder).stdin(Stdio::null()).status().expect("tests/servers/down");
        assert!(down.success());
    }
}

impl Drop for Own {
    fn drop(&mut self) {
        let _ended = Command::new(script("down")).arg(&self.folder).stdin(Stdio::null()).status();
    }
}

fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/servers").join(name)
}

fn read<T: DeserializeOwned>(folder: &Path, name: &str) -> T {
    let file = folder.join(format!("{name}.json"));
    let text = std::fs::read(&file).unwrap_or_else(|error| {
        panic!("{}: {error}: this server did not start; {} says why", file.display(), folder.join(format!("{name}.log")).display())
    });
    serde_json::from_slice(&text).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}
