//! Values while an expression is evaluated, and their way back to JSON.
//!
//! Data that is bound is borrowed, never copied. Invariant: what comes out is JSON; what JSON cannot hold is an error.

use std::cmp::Ordering;
use std::rc::Rc;

use jiff::Timestamp;
use serde_json::Value;

/// A value.
#[derive(Clone, Debug)]
pub(super) enum Val<'v> {
    Null,
    Bool(bool),
    Int(i64),
    Double(f64),
    Text(Rc<str>),
    /// A text, list or map of the bound data.
    Data(&'v Value),
    List(Rc<Vec<Val<'v>>>),
    Map(Rc<Vec<(Rc<str>, Val<'v>)>>),
    Timestamp(Timestamp),
    /// Milliseconds.
    Duration(i64),
    Type(&'static str),
}

impl<'v> Val<'v> {
    /// Bound data.
    pub(super) fn of(value: &'v Value) -> Result<Self, String> {
        Ok(match value {
            Value::Null => Self::Null,
            Value::Bool(value) => Self::Bool(*value),
            Value::Number(number) => match (number.as_i64(), number.as_f64()) {
                (Some(int), _) => Self::Int(int),
                (None, Some(double)) if !number.is_u64() => Self::Double(double),
                _ => return Err(format!("the number {number} is beyond the range of integers (64 bits, signed)")),
            },
            Value::String(_) | Value::Array(_) | Value::Object(_) => Self::Data(value),
        })
    }

    /// A new text.
    pub(super) fn text(text: impl Into<Rc<str>>) -> Self {
        Self::Text(text.into())
    }

    /// The text, where it is one.
    pub(super) fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            Self::Data(Value::String(text)) => Some(text),
            _ => None,
        }
    }

    /// The number, where it is one.
    pub(super) fn as_double(&self) -> Option<f64> {
        match self {
            #[expect(clippy::cast_precision_loss, reason = "widening an integer to a double is what the language promises")]
            Self::Int(int) => Some(*int as f64),
            Self::Double(double) => Some(*double),
            _ => None,
        }
    }

    /// How many items a list has.
    pub(super) fn items(&self) -> Option<usize> {
        match self {
            Self::List(items) => Some(items.len()),
            Self::Data(Value::Array(items)) => Some(items.len()),
            _ => None,
        }
    }

    /// An item of a list.
    pub(super) fn item(&self, at: usize) -> Option<Result<Val<'v>, String>> {
        match self {
            Self::List(items) => items.get(at).cloned().map(Ok),
            Self::Data(Value::Array(items)) => items.get(at).map(Val::of),
            _ => None,
        }
    }

    /// The keys of a map.
    pub(super) fn keys(&self) -> Option<Vec<String>> {
        match self {
            Self::Map(entries) => Some(entries.iter().map(|(key, _)| key.to_string()).collect()),
            Self::Data(Value::Object(entries)) => Some(entries.keys().cloned().collect()),
            _ => None,
        }
    }

    /// How many entries a map has.
    pub(super) fn entries(&self) -> Option<usize> {
        match self {
            Self::Map(entries) => Some(entries.len()),
            Self::Data(Value::Object(entries)) => Some(entries.len()),
            _ => None,
        }
    }

    /// The entry of a map.
    pub(super) fn entry(&self, key: &str) -> Option<Result<Val<'v>, String>> {
        match self {
            Self::Map(entries) => entries.iter().find(|(name, _)| &**name == key).map(|(_, value)| Ok(value.clone())),
            Self::Data(Value::Object(entries)) => entries.get(key).map(Val::of),
            _ => None,
        }
    }

    /// The name of its type, as `type(x)` gives it.
    pub(super) fn type_name(&self) -> &'static str {
        match self {
            Self::Null | Self::Data(Value::Null) => "null_type",
            Self::Bool(_) | Self::Data(Value::Bool(_)) => "bool",
            Self::Int(_) => "int",
            Self::Double(_) | Self::Data(Value::Number(_)) => "double",
            Self::Text(_) | Self::Data(Value::String(_)) => "string",
            Self::List(_) | Self::Data(Value::Array(_)) => "list",
            Self::Map(_) | Self::Data(Value::Object(_)) => "map",
            Self::Timestamp(_) => "timestamp",
            Self::Duration(_) => "duration",
            Self::Type(_) => "type",
        }
    }

    /// The same for people.
    pub(super) fn kind(&self) -> &'static str {
        match self.type_name() {
            "null_type" => "null",
            "bool" => "a boolean",
            "int" => "an integer",
            "double" => "a number",
            "string" => "a string",
            "list" => "a list",
            "map" => "a map",
            "timestamp" => "a timestamp",
            "duration" => "a duration",
            _ => "a type",
        }
    }

    /// Order, where the two have one.
    pub(super) fn compare(&self, other: &Self) -> Option<Ordering> {
        match (self, other) {
            (Self::Int(a), Self::Int(b)) => Some(a.cmp(b)),
            (Self::Bool(a), Self::Bool(b)) => Some(a.cmp(b)),
            (Self::Timestamp(a), Self::Timestamp(b)) => Some(a.cmp(b)),
            (Self::Duration(a), Self::Duration(b)) => Some(a.cmp(b)),
            (Self::Int(a), Self::Double(b)) => int_and_double(*a, *b),
            (Self::Double(a), Self::Int(b)) => int_and_double(*b, *a).map(Ordering::reverse),
            (Self::Double(a), Self::Double(b)) => a.partial_cmp(b),
            _ => Some(self.as_text()?.cmp(other.as_text()?)),
        }
    }

    /// Whether its JSON is no larger than what is left, which it takes from. Lists that hold one another many times are small here, and are not as JSON.
    pub(super) fn fits(&self, left: &mut usize) -> bool {
        match self {
            Self::Text(text) => take(left, text.len()),
            Self::Data(value) => data_fits(value, left),
            Self::List(items) => take(left, 1) && items.iter().all(|item| item.fits(left)),
            Self::Map(entries) => take(left, 1) && entries.iter().all(|(key, value)| take(left, key.len()) && value.fits(left)),
            Self::Null | Self::Bool(_) | Self::Int(_) | Self::Double(_) | Self::Timestamp(_) | Self::Duration(_) | Self::Type(_) => {
                take(left, 1)
            }
        }
    }

    /// JSON, or why there is none.
    pub(super) fn into_json(self) -> Result<Value, String> {
        Ok(match self {
            Self::Null => Value::Null,
            Self::Bool(value) => Value::Bool(value),
            Self::Int(value) => Value::from(value),
            Self::Double(value) => match serde_json::Number::from_f64(value) {
                Some(number) => Value::Number(number),
                None if value.is_nan() => return Err("the result is not a number (0.0 / 0.0, say)".to_owned()),
                None => return Err("the result is infinite (a division by 0.0, say)".to_owned()),
            },
            Self::Text(text) => Value::String(text.to_string()),
            Self::Data(value) => value.clone(),
            Self::List(items) => Value::Array(items.iter().map(|item| item.clone().into_json()).collect::<Result<_, _>>()?),
            Self::Map(entries) => {
                let entries = entries.iter().map(|(key, value)| Ok((key.to_string(), value.clone().into_json()?)));
                Value::Object(entries.collect::<Result<_, String>>()?)
            }
            Self::Timestamp(_) | Self::Duration(_) | Self::Type(_) => Value::String(self.print()?),
        })
    }

    /// The text that `string(x)` gives for what is neither a list nor a map.
    pub(super) fn print(&self) -> Result<String, String> {
        Ok(match self {
            Self::Null => "null".to_owned(),
            Self::Bool(value) => value.to_string(),
            Self::Int(value) => value.to_string(),
            Self::Double(value) => value.to_string(),
            Self::Timestamp(time) => time.to_string(),
            Self::Duration(millis) => match u64::try_from(*millis) {
                Ok(millis) => crate::model::duration::Span::millis(millis).to_string(),
                Err(_) => return Err("the duration is negative".to_owned()),
            },
            Self::Type(name) => (*name).to_owned(),
            _ => self.as_text().map(str::to_owned).ok_or_else(|| format!("{} has no text of its own", self.kind()))?,
        })
    }
}

/// A value costs some bytes beside those of its text.
fn take(left: &mut usize, bytes: usize) -> bool {
    let rest = left.checked_sub(bytes.saturating_add(16));
    *left = rest.unwrap_or(0);
    rest.is_some()
}

fn data_fits(value: &Value, left: &mut usize) -> bool {
    match value {
        Value::String(text) => take(left, text.len()),
        Value::Array(items) => take(left, 1) && items.iter().all(|item| data_fits(item, left)),
        Value::Object(entries) => take(left, 1) && entries.iter().all(|(key, value)| take(left, key.len()) && data_fits(value, left)),
        Value::Null | Value::Bool(_) | Value::Number(_) => take(left, 1),
    }
}

/// Compares without rounding the integer: doubles beyond 2^53 are integers themselves.
fn int_and_double(int: i64, double: f64) -> Option<Ordering> {
    if double.is_nan() {
        return None;
    }
    if double >= 9_223_372_036_854_775_808.0 {
        return Some(Ordering::Less);
    }
    if double < -9_223_372_036_854_775_808.0 {
        return Some(Ordering::Greater);
    }
    #[expect(clippy::cast_possible_truncation, reason = "the range was checked above")]
    let whole = double.trunc() as i64;
    Some(int.cmp(&whole).then_with(|| 0.0_f64.partial_cmp(&double.fract()).unwrap_or(Ordering::Equal)))
}
