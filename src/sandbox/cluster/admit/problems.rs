//! What is wrong with an object, field by field, in the words of the API server's validation.
//!
//! It must not look for problems. Invariant: the reason of a cause follows from its text, as it does there.

use serde_json::{Value, json};

use crate::sandbox::cluster::resource::Resource;
use crate::sandbox::cluster::status_error::{ApiError, reason};
use crate::sandbox::cluster::store::text;

/// The problems found so far: the field and the text of each.
#[derive(Debug, Default)]
pub(crate) struct Problems(Vec<(String, String)>);

impl Problems {
    pub(crate) fn add(&mut self, field: impl Into<String>, problem: impl Into<String>) {
        self.0.push((field.into(), problem.into()));
    }

    pub(crate) fn required(&mut self, field: impl Into<String>) {
        self.add(field, "Required value");
    }

    pub(crate) fn invalid(&mut self, field: impl Into<String>, value: &Value, why: &str) {
        self.add(field, format!("Invalid value: {value}: {why}"));
    }

    pub(crate) fn forbidden(&mut self, field: impl Into<String>, why: &str) {
        self.add(field, format!("Forbidden: {why}"));
    }

    pub(crate) fn unsupported(&mut self, field: impl Into<String>, value: &Value, supported: &[&str]) {
        let list: Vec<String> = supported.iter().map(|value| format!("\"{value}\"")).collect();
        self.add(field, format!("Unsupported value: {value}: supported values: {}", list.join(", ")));
    }

    /// The refusal, where there is any problem.
    pub(crate) fn into_result(self, resource: Resource, object: &Value) -> Result<(), ApiError> {
        self.into_result_of(&resource.qualified_kind(), text(object, "/metadata/name"))
    }

    /// The refusal for an object of this kind, `Scale.autoscaling`, and name.
    pub(crate) fn into_result_of(self, kind: &str, name: &str) -> Result<(), ApiError> {
        let lines: Vec<String> = self.0.iter().map(|(field, problem)| format!("{field}: {problem}")).collect();
        let (Some((field, problem)), message) = (self.0.first(), lines.join(", ")) else { return Ok(()) };
        let mut error = ApiError::invalid(kind, name, field, problem);
        if lines.len() > 1 {
            error.message = format!("{kind} \"{name}\" is invalid: [{message}]");
        }
        let causes = self.0.iter().map(|(field, problem)| json!({ "reason": reason(problem), "message": problem, "field": field }));
        error.details["causes"] = causes.collect();
        Err(error)
    }
}
