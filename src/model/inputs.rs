//! Inputs after their expressions were evaluated.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::step::SecretInput;

/// Resolved inputs. Secrets are references kept beside the value, so that no text within data can ever become one.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ResolvedInputs {
    /// The inputs, with `null` where a secret belongs.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub value: Value,
    /// Where which secret belongs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub secrets: Vec<SecretInput>,
}

impl ResolvedInputs {
    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.secrets.is_empty() && (self.value.is_null() || self.value.as_object().is_some_and(serde_json::Map::is_empty))
    }
}
