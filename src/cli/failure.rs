//! Why a command ended without what was asked for: what happened, where, what to do, and the exit code.
//!
//! Must not: print. Invariant: every failure has a text a person can act on.

use serde_json::{Value, json};

use super::exit_code;
use crate::app::{AppError, Diagnostics, JournalError, LoadError};
use crate::report::{Style, error_block};

/// A command that ended without what was asked for.
#[derive(Debug)]
pub struct Failure {
    /// What happened.
    pub what: String,
    /// Where.
    pub place: Option<String>,
    /// What to do.
    pub hint: Option<String>,
    /// The exit code.
    pub code: u8,
    /// What is wrong with a playbook, where that is it.
    pub diagnostics: Option<Diagnostics>,
}

impl Failure {
    /// One with an exit code of [`exit_code`].
    pub fn new(code: u8, what: impl Into<String>) -> Self {
        Self { what: what.into(), place: None, hint: None, code, diagnostics: None }
    }

    /// A wrong command line.
    pub fn usage(what: impl Into<String>) -> Self {
        Self::new(exit_code::USAGE, what)
    }

    /// With what to do about it.
    #[must_use]
    pub fn hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }

    /// With where.
    #[must_use]
    pub fn place(self, place: impl Into<String>) -> Self {
        Self { place: Some(place.into()), ..self }
    }

    /// As text for standard error.
    pub fn text(&self, style: &Style) -> String {
        match &self.diagnostics {
            Some(diagnostics) => crate::app::render(diagnostics, style.color, style.width).trim_end().to_owned(),
            None => error_block(&self.what, self.place.as_deref(), self.hint.as_deref(), style),
        }
    }

    /// As a document for programs.
    pub fn json(&self) -> Value {
        let mut error = json!({ "message": self.what, "place": self.place, "hint": self.hint, "code": self.code });
        if let Some(diagnostics) = &self.diagnostics {
            error["diagnostics"] = json!(diagnostics);
        }
        json!({ "error": error })
    }
}

impl From<AppError> for Failure {
    fn from(error: AppError) -> Self {
        let (code, hint) = (exit_code::of_error(&error), error.hint());
        let what = error.to_string();
        let diagnostics = match error {
            AppError::Load(LoadError::Invalid(diagnostics)) => Some(diagnostics),
            _ => None,
        };
        Self { what, place: None, hint, code, diagnostics }
    }
}

impl From<JournalError> for Failure {
    fn from(error: JournalError) -> Self {
        AppError::from(error).into()
    }
}
