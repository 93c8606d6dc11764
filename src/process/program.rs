//! Finds the program's file before anything is started, so that a mistake is told in words and nothing has run.
//!
//! Must not start anything. What it cannot foresee (a file that changes in between) is refused by the system and told by `exec`.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

use super::start_error::{StartError, plain};

/// What `execvp` searches where there is no `PATH`.
const DEFAULT_PATH: &str = "/bin:/usr/bin";

/// The working folder, absolute and there.
pub(super) fn working_folder(cwd: Option<&Path>) -> Result<PathBuf, StartError> {
    let written = cwd.unwrap_or(Path::new("."));
    let refused = |why: String| StartError::WorkingFolder { path: written.to_owned(), why };
    let folder = std::path::absolute(written).map_err(|error| refused(plain(&error)))?;
    match std::fs::metadata(&folder) {
        Ok(found) if found.is_dir() => match rustix::fs::access(&folder, rustix::fs::Access::EXEC_OK) {
            Ok(()) => Ok(folder),
            Err(error) => Err(refused(plain(&error.into()))),
        },
        Ok(_) => Err(refused("it is not a folder".into())),
        Err(error) => Err(refused(plain(&error))),
    }
}

/// The program's file, absolute, executable and of a kind that the system can run.
pub(super) fn find(program: &str, folder: &Path, environment: &BTreeMap<String, String>) -> Result<PathBuf, StartError> {
    if program.contains('/') {
        let path = folder.join(program);
        check(&path)?;
        return Ok(path);
    }
    let searched = environment.get("PATH").map_or(DEFAULT_PATH, String::as_str);
    let mut first_refusal = None;
    for place in searched.split(':').filter(|place| !place.is_empty() && !program.is_empty()) {
        let path = folder.join(place).join(program);
        match check(&path) {
            Ok(()) => return Ok(path),
            Err(StartError::NoSuchFile { .. }) => {}
            Err(refusal) => {
                first_refusal.get_or_insert(refusal);
            }
        }
    }
    Err(first_refusal.unwrap_or_else(|| StartError::NotFound { program: program.to_owned(), searched: searched.to_owned() }))
}

fn check(path: &Path) -> Result<(), StartError> {
    let not = |why: &str, hint: String| Err(StartError::NotExecutable { path: path.to_owned(), why: why.to_owned(), hint });
    let found = match std::fs::metadata(path) {
        Ok(found) => found,
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            return Err(StartError::NoSuchFile { path: path.to_owned() });
        }
        Err(error) => return not(&plain(&error), format!("check the permissions of {} and of the folders above it", path.display())),
    };
    if found.is_dir() {
        return not("it is a folder", "name the program in it".into());
    }
    if rustix::fs::access(path, rustix::fs::Access::EXEC_OK).is_err() {
        return not("it is not executable", format!("`chmod +x {}`, or run it by its interpreter", path.display()));
    }
    // Not readable but executable is fine: then only the system can know what it is.
    let Ok(file) = File::open(path) else { return Ok(()) };
    let mut start = Vec::with_capacity(256);
    if file.take(256).read_to_end(&mut start).is_err() {
        return Ok(());
    }
    if let Some(line) = start.strip_prefix(b"#!") {
        return interpreter(path, line);
    }
    // The C library would hand any other file to /bin/sh, whatever it is; that is a guess that a runbook must not make.
    if cfg!(target_os = "linux") && !start.starts_with(b"\x7fELF") {
        return not(
            "it is neither a program of this system nor a script with a `#!` line",
            "begin a script with its interpreter (`#!/bin/sh`), or run it by one: [\"sh\", \"FILE\"]".into(),
        );
    }
    Ok(())
}

/// A script's interpreter must be there: the system would say of the script that it does not exist.
fn interpreter(script: &Path, line: &[u8]) -> Result<(), StartError> {
    let line = line.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let line = String::from_utf8_lossy(line);
    let Some(name) = line.split([' ', '\t']).find(|word| !word.is_empty()) else { return Ok(()) };
    if Path::new(name.trim_end_matches('\r')).exists() && !name.ends_with('\r') {
        return Ok(());
    }
    let why = if name.ends_with('\r') {
        format!("its first line names the interpreter `{}` with a carriage return behind it", name.trim_end())
    } else {
        format!("its first line names the interpreter `{name}`, which does not exist")
    };
    let hint = if name.ends_with('\r') { "save the script with Unix line ends" } else { "install the interpreter, or correct the line" };
    Err(StartError::NotExecutable { path: script.to_owned(), why, hint: hint.into() })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn file(folder: &Path, name: &str, content: &[u8], mode: u32) -> PathBuf {
        let path = folder.join(name);
        std::fs::write(&path, content).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        path
    }

    fn path_of(folder: &Path) -> BTreeMap<String, String> {
        BTreeMap::from([("PATH".to_owned(), folder.display().to_string())])
    }

    #[test]
    fn a_program_is_found_in_the_childs_path() {
        let folder = tempfile::tempdir().unwrap();
        let path = file(folder.path(), "tool", b"#!/bin/sh\n", 0o755);
        assert_eq!(find("tool", Path::new("/"), &path_of(folder.path())).unwrap(), path);
        assert_eq!(find("./tool", folder.path(), &BTreeMap::new()).unwrap(), folder.path().join("./tool"));
    }

    #[test]
    fn each_refusal_says_what_and_why() {
        let folder = tempfile::tempdir().unwrap();
        file(folder.path(), "plain", b"#!/bin/sh\n", 0o644);
        file(folder.path(), "words", b"hello\n", 0o755);
        file(folder.path(), "lost", b"#!/no/such/interpreter -x\n", 0o755);
        file(folder.path(), "dos", b"#!/bin/sh\r\n", 0o755);
        for (program, wanted) in [
            ("nothing", "the program `nothing` was not found in PATH (/"),
            ("./nothing", "does not exist"),
            ("plain", "cannot be run: it is not executable"),
            ("words", "neither a program of this system nor a script with a `#!` line"),
            ("lost", "names the interpreter `/no/such/interpreter`, which does not exist"),
            ("dos", "names the interpreter `/bin/sh` with a carriage return"),
            ("/etc", "it is a folder"),
            ("", "was not found"),
        ] {
            let error = find(program, folder.path(), &path_of(folder.path())).unwrap_err();
            assert!(error.to_string().contains(wanted), "{program}: {error}");
            assert!(!error.hint().is_empty());
        }
    }

    #[test]
    fn a_working_folder_must_be_there() {
        let folder = tempfile::tempdir().unwrap();
        let missing = working_folder(Some(&folder.path().join("no"))).unwrap_err();
        assert!(missing.to_string().ends_with("no cannot be used: it does not exist"), "{missing}");
        let path = file(folder.path(), "file", b"", 0o644);
        assert!(working_folder(Some(&path)).unwrap_err().to_string().ends_with("it is not a folder"));
    }
}
