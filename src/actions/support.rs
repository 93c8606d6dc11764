//! What every built-in action needs: its inputs read, their schema made, texts made safe.
//!
//! Must not talk to anything. Invariant: no message made here repeats the value of an input that is a secret.

use std::borrow::Cow;
use std::time::Duration;

use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use secrecy::SecretString;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use crate::environment::ConnectionError;
use crate::model::by_hand::{variable, variables_in};
use crate::model::catalogue::OutputField;
use crate::model::duration::Span;
use crate::model::outcome::Failure;
use crate::model::run::TargetSpec;
use crate::model::step::Rollback;
use crate::ports::action::{Context, Inputs, Log};

/// An input that takes a secret and nothing else; `None` where its value is not in place (while a plan is made).
#[derive(Clone, Debug, Default)]
pub(crate) struct Secret(pub(crate) Option<SecretString>);

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // By way of a value, so that serde's own messages cannot quote what was given.
        match Value::deserialize(deserializer) {
            Ok(Value::Null) => Ok(Self(None)),
            Ok(Value::String(text)) => Ok(Self(Some(text.into()))),
            _ => Err(serde::de::Error::custom("a secret must be a text")),
        }
    }
}

impl JsonSchema for Secret {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Secret".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "x-runsheet-secret": "only" })
    }
}

/// The schema of a [`Span`](crate::model::duration::Span).
pub(crate) struct DurationText;

impl JsonSchema for DurationText {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Duration".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": "^([0-9]+(ms|s|m|h|d))+$" })
    }
}

/// The JSON Schema of an action's inputs: in one piece, and without `null`, which stands for an input that is left out.
pub(crate) fn schema<T: JsonSchema>() -> Value {
    let generator = SchemaSettings::draft2020_12()
        .with(|settings| {
            settings.inline_subschemas = true;
            settings.meta_schema = None;
        })
        .into_generator();
    let mut schema = generator.into_root_schema_for::<T>().to_value();
    without_null(&mut schema);
    if let Some(map) = schema.as_object_mut() {
        map.remove("title");
    }
    schema
}

fn without_null(schema: &mut Value) {
    match schema {
        Value::Object(map) => {
            if let Some(Value::Array(types)) = map.get_mut("type") {
                types.retain(|name| name != "null");
                if let [only] = types.as_slice() {
                    let only = only.clone();
                    map.insert("type".to_owned(), only);
                }
            }
            if let Some(Value::Array(forms)) = map.get_mut("anyOf") {
                forms.retain(|form| form.get("type").is_none_or(|name| name != "null"));
                if let [Value::Object(only)] = forms.as_slice() {
                    let only = only.clone();
                    map.remove("anyOf");
                    for (key, value) in only {
                        map.entry(key).or_insert(value);
                    }
                }
            }
            if map.get("default").is_some_and(Value::is_null) {
                map.remove("default");
            }
            map.values_mut().for_each(without_null);
        }
        Value::Array(items) => items.iter_mut().for_each(without_null),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// An action's inputs as their type.
///
/// # Errors
/// A permanent failure that says what does not fit.
pub(crate) fn parse<T: DeserializeOwned>(action: &str, inputs: &Inputs) -> Result<T, Failure> {
    T::deserialize(&inputs.0).map_err(|error| {
        Failure::permanent(format!("the inputs of {action} do not fit: {error}"))
            .hint(format!("`runsheet actions {action}` shows its inputs"))
    })
}

/// A whole number, also where an expression gave it as `8.0`.
pub(crate) fn whole<'de, D: Deserializer<'de>>(deserializer: D) -> Result<i32, D::Error> {
    let value = Value::deserialize(deserializer)?;
    let limits = f64::from(i32::MIN)..=f64::from(i32::MAX);
    let number = value.as_f64().filter(|number| number.fract() == 0.0 && limits.contains(number));
    #[expect(clippy::cast_possible_truncation, reason = "it is whole and within the limits")]
    number.map(|number| number as i32).ok_or_else(|| {
        let beyond = value.as_f64().is_some_and(|number| number.fract() == 0.0);
        serde::de::Error::custom(if beyond {
            format!("{value} is beyond what Kubernetes takes, {} to {}", i32::MIN, i32::MAX)
        } else {
            format!("{value} is not a whole number")
        })
    })
}

/// The same, where it may be left out.
pub(crate) fn maybe_whole<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<i32>, D::Error> {
    #[derive(Deserialize)]
    struct Whole(#[serde(deserialize_with = "whole")] i32);
    Ok(Option::<Whole>::deserialize(deserializer)?.map(|number| number.0))
}

/// An output's declaration.
pub(crate) fn output(name: &str, kind: &str, help: &str) -> OutputField {
    OutputField { name: name.to_owned(), kind: kind.to_owned(), help: help.to_owned() }
}

/// The value without any secret's, in texts and keys.
pub(crate) fn redacted(log: &dyn Log, value: Value) -> Value {
    match value {
        Value::String(text) => Value::String(log.redact(&text)),
        Value::Array(items) => Value::Array(items.into_iter().map(|item| redacted(log, item)).collect()),
        Value::Object(map) => Value::Object(map.into_iter().map(|(key, item)| (log.redact(&key), redacted(log, item))).collect()),
        Value::Null | Value::Bool(_) | Value::Number(_) => value,
    }
}

/// The time that is left for something that takes this long: what the step says comes first.
pub(crate) fn within(cx: &Context, own: Duration) -> Duration {
    cx.timeout.map_or(own, |step| step.min(own))
}

/// The target that an action needs.
///
/// # Errors
/// Where the run has none.
pub(crate) fn target<'a>(action: &str, target: Option<&'a TargetSpec>) -> Result<&'a TargetSpec, Failure> {
    target.ok_or_else(|| Failure::permanent(format!("{action} needs a target, and this run has none")).hint("run it with `--env NAME`"))
}

/// Whether the step says that it is not to be taken back, with the reason it is then kept for.
pub(crate) fn kept(rollback: &Rollback) -> Option<String> {
    matches!(rollback, Rollback::None).then(|| "the playbook says `rollback: none`".to_owned())
}

/// A failure to get a connection at all: nothing was sent.
pub(crate) fn not_connected(error: &ConnectionError) -> Failure {
    let failure = if error.is_transient() { Failure::transient(error.to_string()) } else { Failure::permanent(error.to_string()) };
    failure.hint(error.hint())
}

/// How long a server asks to be left alone: the value of `Retry-After`, seconds or a date (RFC 9110, 10.2.3). `None` where it is neither.
pub(crate) fn asked_wait(retry_after: &str) -> Option<Span> {
    let text = retry_after.trim();
    if let Ok(seconds) = text.parse::<u32>() {
        return Some(Span::seconds(u64::from(seconds)));
    }
    let until = jiff::fmt::rfc2822::parse(text).ok()?.timestamp();
    let wait = until.duration_since(jiff::Timestamp::now());
    // One that is over asks for nothing.
    Some(Span(Duration::try_from(wait).unwrap_or_default()))
}

/// A word for a POSIX shell.
pub(crate) fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=@%+,".contains(c);
    if !word.is_empty() && word.chars().all(plain) { word.to_owned() } else { format!("'{}'", word.replace('\'', "'\\''")) }
}

/// A comment for a shell, on one line; a value that is not known yet is `$NAME`.
pub(crate) fn comment(text: &str) -> String {
    let mut line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    for name in variables_in(text) {
        line = line.replace(&variable(name), &format!("${name}"));
    }
    format!("# {line}")
}

/// At most so many bytes of a text, cut between characters.
pub(crate) fn at_most(text: &str, bytes: usize) -> &str {
    let mut end = bytes.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_wait_is_asked_for_in_seconds_or_until_a_date() {
        assert_eq!(asked_wait(" 120 "), Some(Span::seconds(120)));
        assert_eq!(asked_wait("Sun, 06 Nov 1994 08:49:37 GMT"), Some(Span::default()), "one that is over");
        let left = asked_wait("Tue, 01 Jan 2999 00:00:00 GMT").unwrap();
        assert!(left > Span::seconds(3600 * 24 * 365), "{left}");
        for other in ["", "soon", "-1", "1.5", "99999999999"] {
            assert_eq!(asked_wait(other), None, "{other}");
        }
    }

    #[derive(Debug, Deserialize, JsonSchema)]
    #[serde(deny_unknown_fields)]
    struct Sample {
        /// The token.
        token: Option<Secret>,
        /// How long.
        #[serde(default)]
        #[schemars(with = "DurationText")]
        wait: crate::model::duration::Span,
        /// How many.
        count: Option<u32>,
    }

    #[test]
    fn a_schema_is_one_piece_without_null() {
        let wanted = json!({
            "type": "object",
            "properties": {
                "token": { "type": "string", "x-runsheet-secret": "only", "description": "The token." },
                "wait": { "type": "string", "pattern": "^([0-9]+(ms|s|m|h|d))+$", "default": "0s", "description": "How long." },
                "count": { "type": "integer", "format": "uint32", "minimum": 0, "description": "How many." },
            },
            "additionalProperties": false,
        });
        assert_eq!(schema::<Sample>(), wanted);
    }

    #[test]
    fn a_secret_of_the_wrong_type_is_not_quoted() {
        let error = parse::<Sample>("x.y", &Inputs(json!({"token": 48_151_623}))).unwrap_err();
        assert_eq!(error.message, "the inputs of x.y do not fit: a secret must be a text");
        let sample: Sample = parse("x.y", &Inputs(json!({"token": null, "wait": "5s"}))).unwrap();
        assert!(sample.token.is_none_or(|token| token.0.is_none()) && sample.count.is_none());
        assert_eq!(sample.wait.to_string(), "5s");
    }

    #[test]
    fn words_are_quoted_for_a_shell() {
        assert_eq!(quoted("deployment/x"), "deployment/x");
        assert_eq!(quoted("it's $HOME"), r"'it'\''s $HOME'");
        assert_eq!(quoted(""), "''");
        assert_eq!(at_most("aü", 2), "a");
    }

    #[test]
    fn a_comment_cannot_become_a_command() {
        assert_eq!(comment(&format!("a\nrm {} \r b", variable("x y"))), "# a rm $X_Y b");
    }
}
