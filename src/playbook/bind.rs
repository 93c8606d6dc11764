//! Parameters: from what was given to what a run is started with.
//!
//! Must not ask anybody. Invariant: what comes out has every declared parameter, each of its declared type, format and set of values.

use std::collections::BTreeMap;

use serde_json::{Map, Number, Value};

use super::diagnostics::did_you_mean;
use super::reader::is_name;
use crate::model::duration::Span;
use crate::model::playbook::{Param, ParamFormat, ParamType, Playbook};

/// One parameter that is missing, unknown or wrong.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, serde::Serialize)]
#[error("{message}")]
pub struct BindError {
    /// Its name.
    pub param: String,
    /// What is wrong with it.
    pub message: String,
    /// What to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

/// Binds texts, as the command line gives them (`-p replicas=4`).
///
/// # Errors
/// Everything that is wrong, in the order of the declaration; unknown parameters last.
pub fn bind(playbook: &Playbook, given: &BTreeMap<String, String>) -> Result<Map<String, Value>, Vec<BindError>> {
    collect(playbook, |param| given.get(&param.name).map(|text| from_text(param, text)), given.keys())
}

/// Binds values, as a caller or a file gives them.
///
/// # Errors
/// As [`bind`].
pub fn bind_values(playbook: &Playbook, given: &Map<String, Value>) -> Result<Map<String, Value>, Vec<BindError>> {
    collect(playbook, |param| given.get(&param.name).map(|value| conform(param, value.clone())), given.keys())
}

type Conformed = Result<Value, (String, Option<String>)>;

fn collect<'k>(
    playbook: &Playbook,
    given: impl Fn(&Param) -> Option<Conformed>,
    names: impl Iterator<Item = &'k String>,
) -> Result<Map<String, Value>, Vec<BindError>> {
    let mut bound = Map::new();
    let mut errors = Vec::new();
    for param in &playbook.params {
        match given(param) {
            Some(Ok(value)) => {
                bound.insert(param.name.clone(), value);
            }
            Some(Err((message, hint))) => {
                errors.push(BindError { param: param.name.clone(), message: format!("parameter `{}` {message}", param.name), hint })
            }
            None => match &param.default {
                Some(value) => {
                    bound.insert(param.name.clone(), value.clone());
                }
                None => {
                    let help = param.help.as_deref().map(|help| format!(" ({help})")).unwrap_or_default();
                    let message = format!("parameter `{}` is missing{help}", param.name);
                    let hint = Some(format!("give it with -p {}={}", param.name, example(param)));
                    errors.push(BindError { param: param.name.clone(), message, hint });
                }
            },
        }
    }
    for name in names.filter(|name| !playbook.params.iter().any(|param| param.name == **name)) {
        let known: Vec<&str> = playbook.params.iter().map(|param| param.name.as_str()).collect();
        let hint = did_you_mean(name, known.iter().copied()).unwrap_or_else(|| {
            if known.is_empty() { "it takes no parameters".to_owned() } else { format!("it takes: {}", known.join(", ")) }
        });
        errors.push(BindError {
            param: name.clone(),
            message: format!("playbook {} has no parameter `{name}`", playbook.name),
            hint: Some(hint),
        });
    }
    if errors.is_empty() { Ok(bound) } else { Err(errors) }
}

fn example(param: &Param) -> String {
    if let Some(first) = param.allowed.as_ref().and_then(|allowed| allowed.first()) {
        return first.as_str().map_or_else(|| first.to_string(), str::to_owned);
    }
    match (param.kind, param.format) {
        (ParamType::String, Some(ParamFormat::Uuid)) => "<uuid>",
        (ParamType::String, Some(ParamFormat::Url)) => "https://…",
        (ParamType::String, Some(ParamFormat::Quantity)) => "500m",
        (ParamType::String, _) => "<text>",
        (ParamType::Integer, _) => "<whole number>",
        (ParamType::Number, _) => "<number>",
        (ParamType::Boolean, _) => "true",
        (ParamType::Timestamp, _) => "2026-06-01T19:00:00+02:00",
        (ParamType::Duration, _) => "10m",
        (ParamType::List, _) => "'[…]'",
        (ParamType::Map, _) => "'{…}'",
    }
    .to_owned()
}

/// A value of the parameter's type from a text.
fn from_text(param: &Param, text: &str) -> Conformed {
    let value = match param.kind {
        ParamType::String | ParamType::Timestamp | ParamType::Duration => Value::String(text.to_owned()),
        ParamType::Integer => text.parse::<i64>().map_or_else(|_| Value::String(text.to_owned()), Value::from),
        ParamType::Number => match (text.parse::<i64>(), text.parse::<f64>()) {
            (Ok(int), _) => Value::from(int),
            (_, Ok(number)) if number.is_finite() => Value::from(number),
            _ => Value::String(text.to_owned()),
        },
        ParamType::Boolean => match text {
            "true" => Value::Bool(true),
            "false" => Value::Bool(false),
            _ => Value::String(text.to_owned()),
        },
        ParamType::List | ParamType::Map => serde_json::from_str(text).map_err(|error| {
            (
                format!("is a {}, and this is not JSON: {error}", param.kind.as_str()),
                Some(format!("write it as JSON: -p {}={}", param.name, example(param))),
            )
        })?,
    };
    conform(param, value)
}

/// The value, if the parameter takes it; else what is wrong (to be read after the parameter's name) and what to do.
pub(super) fn conform(param: &Param, value: Value) -> Conformed {
    let shown = || {
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        if text.chars().count() > 60 { format!("{}…", text.chars().take(59).collect::<String>()) } else { text }
    };
    let wrong = |wanted: &str, hint: Option<String>| Err((format!("is {wanted}, not `{}`", shown()), hint));
    match param.kind {
        ParamType::String if !value.is_string() => return wrong("a string", Some("put it in quotes".to_owned())),
        ParamType::Integer if value.as_i64().is_none() => {
            let text = shown();
            let digits = text.strip_prefix('-').unwrap_or(&text);
            if !digits.is_empty() && digits.chars().all(|c| c.is_ascii_digit() || c == '…') && text.parse::<i64>().is_err() {
                let (is, most) = if text.starts_with('-') { ("small", i64::MIN) } else { ("large", i64::MAX) };
                return Err((format!("is too {is}: `{text}`"), Some(format!("the utmost is {most}"))));
            }
            return wrong("a whole number", None);
        }
        ParamType::Number if !value.is_number() => return wrong("a number", None),
        ParamType::Boolean if !value.is_boolean() => return wrong("`true` or `false`", None),
        ParamType::List if !value.is_array() => return wrong("a list", None),
        ParamType::Map if !value.is_object() => return wrong("a map", None),
        ParamType::Timestamp => {
            let Some(text) = value.as_str() else { return wrong("a time", Some("such as `2026-06-01T19:00:00+02:00`".to_owned())) };
            if let Err(why) = crate::expr::timestamp(text) {
                let generally = "write it with an offset (`2026-06-01T19:00:00+02:00`) or a zone (`2026-06-01T19:00[Europe/Berlin]`)";
                let clocks_change = text.parse::<jiff::Zoned>().is_ok();
                return wrong("a time", Some(if clocks_change { why } else { generally.to_owned() }));
            }
        }
        ParamType::Duration if value.as_str().and_then(|text| text.parse::<Span>().ok()).is_none() => {
            return wrong("a duration", Some("such as `90s`, `10m` or `1h30m`".to_owned()));
        }
        _ => {}
    }
    if let (Some(format), Some(text)) = (param.format, value.as_str())
        && !has_format(format, text)
    {
        let (wanted, hint) = match format {
            ParamFormat::Uuid => ("a UUID", "such as `3f2504e0-4f89-41d3-9a0c-0305e82c3301`"),
            ParamFormat::Url => ("a URL", "it begins with http:// or https://"),
            ParamFormat::Name => ("a name", "lower-case letters, digits and `-`, at most 63"),
            ParamFormat::Email => ("an e-mail address", "such as `on-call@example.com`"),
            ParamFormat::Quantity => ("an amount", "such as `500m`, `2`, `512Mi` or `1Gi`"),
        };
        return wrong(wanted, Some(hint.to_owned()));
    }
    if let Some(number) = value.as_f64() {
        let bound = |bound: &Option<Number>| bound.as_ref().and_then(|bound| Some((bound.clone(), bound.as_f64()?)));
        if let Some((least, _)) = bound(&param.minimum).filter(|(_, least)| number < *least) {
            return wrong(&format!("at least {least}"), None);
        }
        if let Some((most, _)) = bound(&param.maximum).filter(|(_, most)| number > *most) {
            return wrong(&format!("at most {most}"), None);
        }
    }
    if let Some(allowed) = &param.allowed
        && !allowed.contains(&value)
    {
        let names: Vec<String> = allowed.iter().map(|value| value.as_str().map_or_else(|| value.to_string(), str::to_owned)).collect();
        let hint =
            did_you_mean(&shown(), names.iter().map(String::as_str)).unwrap_or_else(|| format!("it is one of: {}", names.join(", ")));
        return Err((format!("cannot be `{}`", shown()), Some(hint)));
    }
    Ok(value)
}

/// A number that is not below nothing, and a suffix of Kubernetes' or an exponent.
fn is_quantity(text: &str) -> bool {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, suffix) = text.split_at(end);
    let is_number = number.parse::<f64>().is_ok() && number.chars().filter(|c| *c == '.').count() <= 1;
    let exponent = suffix.strip_prefix(['e', 'E']).and_then(|power| power.parse::<i8>().ok()).is_some();
    let known = ["", "n", "u", "m", "k", "M", "G", "T", "P", "E", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"];
    is_number && (known.contains(&suffix) || exponent)
}

fn has_format(format: ParamFormat, text: &str) -> bool {
    match format {
        ParamFormat::Quantity => is_quantity(text),
        ParamFormat::Uuid => text.len() == 36 && uuid::Uuid::try_parse(text).is_ok(),
        ParamFormat::Url => url::Url::parse(text).is_ok_and(|url| matches!(url.scheme(), "http" | "https") && url.has_host()),
        ParamFormat::Name => {
            let inner = text.trim_matches('-');
            inner.len() == text.len()
                && !text.is_empty()
                && is_name(&format!("a{}", text.get(..text.len().min(62)).unwrap_or_default()), '-')
                && text.len() <= 63
        }
        ParamFormat::Email => text.split_once('@').is_some_and(|(name, host)| {
            !name.is_empty()
                && host.contains('.')
                && !host.starts_with('.')
                && !host.ends_with('.')
                && !text.contains(char::is_whitespace)
                && !host.contains('@')
        }),
    }
}
