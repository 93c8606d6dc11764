//! The inputs of `command`, and the checks that their schema cannot express.
//!
//! Holds secrets: must not be printed.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use crate::model::duration::Span;
use crate::process::Request;

/// Inputs of `command`.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct CommandInputs {
    /// The program and its arguments, as they are: no shell sees them. Visible in the machine's process list: never a secret.
    #[schemars(length(min = 1))]
    pub(super) argv: Option<Vec<Scalar>>,
    /// Whether `script` is given instead of `argv`.
    #[serde(default)]
    pub(super) shell: bool,
    /// A shell script. Holds no `${{ }}`: values reach it as environment variables.
    #[schemars(extend("x-runsheet-literal" = true))]
    pub(super) script: Option<String>,
    /// Which shell runs `script`.
    pub(super) interpreter: Option<Interpreter>,
    /// Environment variables, beside `PATH`, `HOME`, `LANG`, `TZ`, `TMPDIR` and `USER`. A value may be a secret; `None` where that is not in
    /// place (while a plan is made).
    #[serde(default)]
    #[schemars(schema_with = "env_schema")]
    pub(super) env: BTreeMap<String, Option<Scalar>>,
    /// The working folder; where it is left out, the one that runsheet was started in.
    pub(super) cwd: Option<PathBuf>,
    /// What the program reads: text as it is, any other value as JSON. May be a secret.
    #[schemars(extend("x-runsheet-secret" = true))]
    pub(super) stdin: Option<Value>,
    /// What is made of stdout: `json` gives the output `json`, `lines` the output `lines`.
    #[serde(default)]
    pub(super) parse: Parse,
    /// The exit codes that mean success.
    #[serde(default = "zero")]
    #[schemars(length(min = 1), inner(range(min = 0, max = 255)))]
    pub(super) success_codes: Vec<i32>,
    /// The time between SIGTERM and SIGKILL when the program is ended: `5s`.
    #[schemars(with = "Option<String>")]
    pub(super) grace: Option<Span>,
    /// How much of each of stdout and stderr is kept in its file, in bytes; at most 1 GiB.
    #[schemars(range(min = 0, max = 1_073_741_824))]
    pub(super) max_output: Option<u64>,
}

/// What `parse` may be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Parse {
    /// Nothing.
    #[default]
    None,
    /// One JSON document.
    Json,
    /// A list of lines.
    Lines,
}

/// The shells that may run a script.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Interpreter {
    /// `/bin/sh -eu`
    #[default]
    Sh,
    /// `bash -eu -o pipefail`, found in `PATH`
    Bash,
}

/// A text, or what is written as one.
#[derive(Clone)]
pub(super) enum Scalar {
    Text(String),
    Integer(i64),
    Number(f64),
    Boolean(bool),
}

impl<'de> Deserialize<'de> for Scalar {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let not = |what: &str| Err(serde::de::Error::custom(format!("a text, a number, `true` or `false` is needed, not {what}")));
        match Value::deserialize(deserializer)? {
            Value::String(text) => Ok(Self::Text(text)),
            Value::Bool(value) => Ok(Self::Boolean(value)),
            Value::Number(number) => match (number.as_i64(), number.as_f64()) {
                (Some(integer), _) => Ok(Self::Integer(integer)),
                (None, Some(number)) => Ok(Self::Number(number)),
                (None, None) => not("this number"),
            },
            Value::Null => not("null"),
            Value::Array(_) => not("a list"),
            Value::Object(_) => not("a map"),
        }
    }
}

impl JsonSchema for Scalar {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Scalar".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": ["string", "integer", "number", "boolean"] })
    }
}

fn env_schema(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "propertyNames": { "pattern": "^[A-Za-z_][A-Za-z0-9_]*$" },
        "additionalProperties": { "type": ["string", "integer", "number", "boolean"], "x-runsheet-secret": true },
    })
}

fn zero() -> Vec<i32> {
    vec![0]
}

impl std::fmt::Display for Scalar {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Text(text) => f.write_str(text),
            Self::Integer(number) => number.fmt(f),
            Self::Number(number) => number.fmt(f),
            Self::Boolean(value) => value.fmt(f),
        }
    }
}

/// The schema of the inputs.
pub(super) fn schema() -> Value {
    SchemaSettings::draft2020_12()
        .with(|settings| settings.inline_subschemas = true)
        .into_generator()
        .into_root_schema_for::<CommandInputs>()
        .to_value()
}

/// The most that `max_output` may be: 1 GiB.
const MOST_OUTPUT: u64 = 1 << 30;

impl CommandInputs {
    /// Reads and checks them. The error may quote an input: the caller redacts it.
    pub(super) fn read(inputs: &Value) -> Result<Self, String> {
        let inputs = Self::deserialize(inputs).map_err(|error| error.to_string())?;
        match (&inputs.argv, inputs.shell, &inputs.script) {
            (Some(argv), false, None) if argv.is_empty() => return Err("`argv` is empty: its first element is the program".into()),
            (Some(_), false, None) | (None, true, Some(_)) => {}
            (None, false, None) => return Err("it needs `argv`, or `shell: true` with a `script`".into()),
            (None, false, Some(_)) => return Err("a `script` needs `shell: true`".into()),
            (None, true, None) => return Err("`shell: true` needs a `script`".into()),
            (Some(_), _, _) => return Err("it has both `argv` and a script: leave out one of them".into()),
        }
        if inputs.interpreter.is_some() && !inputs.shell {
            return Err("`interpreter` needs `shell: true`".into());
        }
        if let Some(name) = inputs.env.keys().find(|name| name.is_empty() || name.contains(['=', '\0'])) {
            return Err(format!("`{}` cannot be the name of an environment variable", name.escape_debug()));
        }
        if inputs.success_codes.is_empty() {
            return Err("`success_codes` is empty: the command could never succeed".into());
        }
        if inputs.max_output.is_some_and(|bytes| bytes > MOST_OUTPUT) {
            return Err(format!("`max_output` is more than {MOST_OUTPUT} bytes (1 GiB)"));
        }
        Ok(inputs)
    }

    /// That every value is in place, as it must be where the program is to run.
    pub(super) fn whole(self) -> Result<Self, String> {
        match self.env.iter().find(|(_, value)| value.is_none()) {
            Some((name, _)) => Err(format!("the variable `{name}` of `env` is null: give it a value, or leave it out")),
            None => Ok(self),
        }
    }

    /// The program and its arguments.
    pub(super) fn words(&self) -> Vec<String> {
        if let Some(argv) = &self.argv {
            return argv.iter().map(ToString::to_string).collect();
        }
        let script = self.script.clone().unwrap_or_default();
        let shell: &[&str] = match self.interpreter.unwrap_or_default() {
            Interpreter::Sh => &["/bin/sh", "-eu", "-c"],
            Interpreter::Bash => &["bash", "-eu", "-o", "pipefail", "-c"],
        };
        shell.iter().map(|word| (*word).to_owned()).chain([script]).collect()
    }

    /// What the program reads.
    pub(super) fn stdin_bytes(&self) -> Option<Vec<u8>> {
        self.stdin.as_ref().map(|value| match value {
            Value::String(text) => text.clone().into_bytes(),
            other => other.to_string().into_bytes(),
        })
    }

    /// The time between SIGTERM and SIGKILL.
    pub(super) fn grace(&self) -> Duration {
        self.grace.map_or(Request::GRACE, |span| span.0)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn each_way_not_to_say_what_runs_is_told() {
        for (inputs, wanted) in [
            (json!({}), "it needs `argv`"),
            (json!({ "argv": [] }), "`argv` is empty"),
            (json!({ "argv": ["a"], "script": "b" }), "both `argv` and a script"),
            (json!({ "argv": ["a"], "shell": true }), "both `argv` and a script"),
            (json!({ "script": "a" }), "needs `shell: true`"),
            (json!({ "shell": true }), "needs a `script`"),
            (json!({ "argv": ["a"], "interpreter": "bash" }), "`interpreter` needs"),
            (json!({ "argv": ["a"], "env": { "A=B": 1 } }), "`A=B` cannot be the name"),
            (json!({ "argv": ["a"], "success_codes": [] }), "could never succeed"),
            (json!({ "argv": ["a"], "max_output": 2_000_000_000_u64 }), "more than"),
            (json!({ "argv": ["a"], "grace": "soon" }), "`soon` is not a duration"),
            (json!({ "argv": "ls -l" }), "expected a sequence"),
            (json!({ "argv": ["a"], "enviroment": {} }), "unknown field `enviroment`"),
        ] {
            let error = CommandInputs::read(&inputs).err().unwrap_or_default();
            assert!(error.contains(wanted), "{inputs}: {error}");
        }
    }

    #[test]
    fn numbers_and_booleans_are_written_as_words() {
        let inputs = CommandInputs::read(&json!({ "argv": ["scale", 16, 0.5, true], "env": { "N": 9007199254740993_i64 } })).ok().unwrap();
        assert_eq!(inputs.words(), ["scale", "16", "0.5", "true"]);
        assert_eq!(inputs.env["N"].as_ref().unwrap().to_string(), "9007199254740993");
    }

    #[test]
    fn a_secret_that_is_not_in_place_can_be_planned_and_not_run() {
        let inputs = CommandInputs::read(&json!({ "argv": ["a"], "env": { "TOKEN": null }, "stdin": null })).ok().unwrap();
        assert_eq!(inputs.whole().err().unwrap(), "the variable `TOKEN` of `env` is null: give it a value, or leave it out");
        let error = CommandInputs::read(&json!({ "argv": ["a", null] })).err().unwrap();
        assert!(error.contains("a text, a number, `true` or `false` is needed, not null"), "{error}");
    }

    #[test]
    fn the_schema_marks_what_may_be_a_secret() {
        let schema = schema();
        assert_eq!(schema.pointer("/properties/env/additionalProperties/x-runsheet-secret"), Some(&json!(true)));
        assert_eq!(schema.pointer("/properties/stdin/x-runsheet-secret"), Some(&json!(true)));
        assert_eq!(schema.pointer("/properties/argv/x-runsheet-secret"), None);
        assert_eq!(schema.pointer("/additionalProperties"), Some(&json!(false)));
        assert!(jsonschema::validator_for(&schema).unwrap().is_valid(&json!({ "argv": ["a", 1], "env": { "A": "b" }, "grace": "1s" })));
        assert!(schema["properties"].as_object().unwrap().values().all(|property| property["description"].is_string()), "{schema:#}");
    }
}
