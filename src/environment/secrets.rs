//! Where secrets come from, and the values once they are there.
//!
//! Must not print, log or serialize a value: `Debug` shows names only, and errors name the secret and its source, never what was read.
//! Invariant: all that is wrong is reported at once.

use std::collections::BTreeMap;
use std::fmt;
use std::io::Read;
use std::path::PathBuf;

use secrecy::{ExposeSecret, SecretString};

use crate::model::playbook::SecretDeclaration;

/// The shortest secret, in characters: a shorter one stands in ordinary text everywhere, and could not be kept out of it.
const SHORTEST: usize = 4;
/// The longest secret, in bytes.
const LONGEST: usize = 32 * 1024;

/// The secrets of a run, by name.
#[derive(Clone, Default)]
pub struct SecretValues {
    values: BTreeMap<String, SecretString>,
}

impl SecretValues {
    /// No secrets.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds one, or replaces it.
    pub fn insert(&mut self, name: impl Into<String>, value: SecretString) {
        self.values.insert(name.into(), value);
    }

    /// The secret of this name.
    pub fn get(&self, name: &str) -> Option<&SecretString> {
        self.values.get(name)
    }

    /// Every secret, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &SecretString)> {
        self.values.iter().map(|(name, value)| (name.as_str(), value))
    }
}

impl fmt::Debug for SecretValues {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.values.keys()).finish()
    }
}

/// Where a secret comes from.
#[derive(Clone)]
pub enum SecretSource {
    /// An environment variable.
    Env(String),
    /// A file; one line end at its end is not part of the secret.
    File(PathBuf),
    /// The value itself (the sandbox makes its own).
    Value(SecretString),
}

impl fmt::Debug for SecretSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl fmt::Display for SecretSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Env(name) => write!(f, "the environment variable {name}"),
            Self::File(path) => write!(f, "the file {}", path.display()),
            Self::Value(_) => f.write_str("the environment itself"),
        }
    }
}

/// Why one secret cannot be had.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SecretProblem {
    /// Nothing says where it comes from.
    #[error("secret `{name}` has no source: give it one in the playbook (`{name}: {{ env: {} }}`) or in the environment", name.to_uppercase())]
    NoSource {
        /// The secret.
        name: String,
    },
    /// The environment variable is not there.
    #[error("secret `{name}`: the environment variable {variable} is not set: `export {variable}=…`, then run again")]
    Unset {
        /// The secret.
        name: String,
        /// The variable.
        variable: String,
    },
    /// The source cannot be read.
    #[error("secret `{name}`: {from} cannot be read: {why}")]
    Unreadable {
        /// The secret.
        name: String,
        /// The source.
        from: String,
        /// Why.
        why: String,
    },
    /// The value is too short to be kept out of texts.
    #[error(
        "secret `{name}`, from {from}, has fewer than {SHORTEST} characters: every such piece of text would have to be hidden; use a longer secret"
    )]
    TooShort {
        /// The secret.
        name: String,
        /// The source.
        from: String,
    },
}

/// Every secret that cannot be had, at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretsError {
    /// What is wrong, in the order declared.
    pub problems: Vec<SecretProblem>,
}

impl fmt::Display for SecretsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.problems.iter().enumerate() {
            if index > 0 {
                writeln!(f)?;
            }
            write!(f, "{problem}")?;
        }
        Ok(())
    }
}

impl std::error::Error for SecretsError {}

/// The values of the declared secrets. The environment's source wins over the playbook's own.
///
/// # Errors
/// [`SecretsError`], with every secret that is missing, unreadable or too short.
pub fn resolve(declarations: &[SecretDeclaration], sources: &BTreeMap<String, SecretSource>) -> Result<SecretValues, SecretsError> {
    resolve_with(declarations, sources, |variable| std::env::var_os(variable))
}

fn resolve_with(
    declarations: &[SecretDeclaration],
    sources: &BTreeMap<String, SecretSource>,
    variable: impl Fn(&str) -> Option<std::ffi::OsString>,
) -> Result<SecretValues, SecretsError> {
    let mut values = SecretValues::new();
    let mut problems = Vec::new();
    for declaration in declarations {
        let name = &declaration.name;
        let source = sources.get(name).cloned().or_else(|| declaration.env.clone().map(SecretSource::Env));
        let read = match &source {
            None => Err(SecretProblem::NoSource { name: name.clone() }),
            Some(source) => read(name, source, &variable).and_then(|value| of_some_length(name, source, value)),
        };
        match read {
            Ok(value) => values.insert(name.clone(), value),
            Err(problem) => problems.push(problem),
        }
    }
    if problems.is_empty() { Ok(values) } else { Err(SecretsError { problems }) }
}

fn of_some_length(name: &str, source: &SecretSource, value: SecretString) -> Result<SecretString, SecretProblem> {
    if value.expose_secret().chars().count() < SHORTEST {
        return Err(SecretProblem::TooShort { name: name.to_owned(), from: source.to_string() });
    }
    if value.expose_secret().len() > LONGEST {
        let why = format!("it is larger than {LONGEST} bytes, which no secret is");
        return Err(SecretProblem::Unreadable { name: name.to_owned(), from: source.to_string(), why });
    }
    Ok(value)
}

fn read(name: &str, source: &SecretSource, variable: &impl Fn(&str) -> Option<std::ffi::OsString>) -> Result<SecretString, SecretProblem> {
    let unreadable = |why: String| SecretProblem::Unreadable { name: name.to_owned(), from: source.to_string(), why };
    match source {
        SecretSource::Value(value) => Ok(value.clone()),
        SecretSource::Env(key) => match variable(key) {
            None => Err(SecretProblem::Unset { name: name.to_owned(), variable: key.clone() }),
            Some(value) => value.into_string().map(SecretString::from).map_err(|_| unreadable("it is not UTF-8".to_owned())),
        },
        SecretSource::File(path) => {
            let file = std::fs::File::open(path).map_err(|error| unreadable(reason(&error)))?;
            let mut text = String::new();
            file.take(LONGEST as u64 + 1).read_to_string(&mut text).map_err(|error| unreadable(reason(&error)))?;
            let end = text.strip_suffix('\n').map_or(text.len(), |rest| rest.strip_suffix('\r').unwrap_or(rest).len());
            text.truncate(end);
            Ok(SecretString::from(text))
        }
    }
}

fn reason(error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::NotFound => "there is no such file".to_owned(),
        std::io::ErrorKind::PermissionDenied => "permission denied: `chmod 0400` it for the user who runs this".to_owned(),
        std::io::ErrorKind::IsADirectory => "it is a folder".to_owned(),
        std::io::ErrorKind::InvalidData => "it is not UTF-8".to_owned(),
        _ => super::error_chain(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn declared(name: &str, env: Option<&str>) -> SecretDeclaration {
        SecretDeclaration { name: name.into(), env: env.map(str::to_owned), help: None }
    }

    fn variables(key: &str) -> Option<std::ffi::OsString> {
        match key {
            "TOKEN" => Some("from-the-variable".into()),
            "SHORT" => Some("abc".into()),
            _ => None,
        }
    }

    #[test]
    fn the_environments_source_wins_over_the_playbooks() {
        let sources = BTreeMap::from([("token".to_owned(), SecretSource::Value("from-the-environment".to_owned().into()))]);
        let values = resolve_with(&[declared("token", Some("TOKEN"))], &sources, variables).unwrap();
        assert_eq!(values.get("token").unwrap().expose_secret(), "from-the-environment");
        let values = resolve_with(&[declared("token", Some("TOKEN"))], &BTreeMap::new(), variables).unwrap();
        assert_eq!(values.get("token").unwrap().expose_secret(), "from-the-variable");
    }

    #[test]
    fn all_that_is_missing_is_told_at_once_with_the_variables_name() {
        let folder = tempfile::tempdir().unwrap();
        let sources = BTreeMap::from([("gone".to_owned(), SecretSource::File(folder.path().join("gone")))]);
        let declared = [declared("a", Some("A_TOKEN")), declared("b", None), declared("gone", None), declared("short", Some("SHORT"))];
        let text = resolve_with(&declared, &sources, variables).unwrap_err().to_string();
        assert_eq!(text.lines().count(), 4, "{text}");
        assert!(text.contains("the environment variable A_TOKEN is not set"), "{text}");
        assert!(text.contains("secret `b` has no source: give it one in the playbook (`b: { env: B }`)"), "{text}");
        assert!(text.contains("there is no such file") && !text.contains("os error"), "{text}");
        assert!(text.contains("secret `short`, from the environment variable SHORT, has fewer than 4 characters"), "{text}");
        assert!(!text.contains("abc"), "{text}");
    }

    #[test]
    fn a_file_loses_one_line_end_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        for (written, value) in [("s3cret\n", "s3cret"), ("s3cret\r\n", "s3cret"), ("s3cret\n\n", "s3cret\n"), (" s3cret ", " s3cret ")] {
            std::fs::write(&path, written).unwrap();
            let sources = BTreeMap::from([("file".to_owned(), SecretSource::File(path.clone()))]);
            let values = resolve_with(&[declared("file", None)], &sources, variables).unwrap();
            assert_eq!(values.get("file").unwrap().expose_secret(), value, "{written:?}");
        }
        std::fs::write(&path, "x".repeat(70_000)).unwrap();
        let sources = BTreeMap::from([("file".to_owned(), SecretSource::File(path))]);
        assert!(resolve_with(&[declared("file", None)], &sources, variables).unwrap_err().to_string().contains("larger than 32768 bytes"));
    }

    #[test]
    fn debug_shows_names_only() {
        let mut values = SecretValues::new();
        values.insert("token", "hunter2hunter2".to_owned().into());
        assert_eq!(format!("{values:?}"), "{\"token\"}");
        assert!(!format!("{:?}", SecretSource::Value("hunter2hunter2".to_owned().into())).contains("hunter2"));
    }
}
