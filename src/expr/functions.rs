//! The functions of the language, on values.
//!
//! Must not read a clock or the outside. Invariant: the same arguments give the same result.

use jiff::Timestamp;
use jiff::fmt::temporal::DateTimeParser;
use jiff::tz::{Disambiguation, TimeZone};

use super::tree::Function;
use super::value::Val;
use crate::model::duration::Span;

/// The most that a compiled pattern may take, in bytes.
const PATTERN: usize = 256 * 1024;

/// A pattern for `matches`, which finds in time linear in the text.
pub(super) fn regex(pattern: &str) -> Result<regex::Regex, String> {
    regex::RegexBuilder::new(pattern).size_limit(PATTERN).dfa_size_limit(PATTERN).nest_limit(32).build().map_err(|error| {
        let reason = error.to_string();
        format!("{pattern:?} is not a regular expression: {}", reason.lines().last().unwrap_or_default().trim_start_matches("error: "))
    })
}

/// Applies a function.
pub(super) fn apply<'v>(function: Function, arguments: &[Val<'v>]) -> Result<Val<'v>, String> {
    let name = function.as_str();
    let first = arguments.first().ok_or_else(|| format!("`{name}` needs an argument"))?;
    let unfit = |value: &Val<'_>| Err(format!("`{name}` cannot take {}", value.kind()));
    let text = |at: usize| -> Result<&str, String> {
        let value = arguments.get(at).ok_or_else(|| format!("`{name}` needs another argument"))?;
        value.as_text().ok_or_else(|| format!("`{name}` cannot take {}", value.kind()))
    };
    match function {
        Function::Size => {
            let size = first.as_text().map(|text| text.chars().count()).or_else(|| first.items()).or_else(|| first.entries());
            size.map_or_else(|| unfit(first), |size| Ok(Val::Int(i64::try_from(size).unwrap_or(i64::MAX))))
        }
        Function::String => first.print().map(Val::text),
        Function::Int => int(first),
        Function::Double => match first {
            Val::Int(_) | Val::Double(_) => Ok(Val::Double(first.as_double().unwrap_or_default())),
            _ => {
                let text = text(0)?;
                text.trim().parse().map(Val::Double).map_err(|_| format!("{text:?} is not a number"))
            }
        },
        Function::Bool => match (first, first.as_text()) {
            (Val::Bool(_), _) => Ok(first.clone()),
            (_, Some("true")) => Ok(Val::Bool(true)),
            (_, Some("false")) => Ok(Val::Bool(false)),
            (_, Some(text)) => Err(format!("{text:?} is neither `true` nor `false`")),
            _ => unfit(first),
        },
        Function::Type => Ok(Val::Type(first.type_name())),
        Function::Dyn => Ok(first.clone()),
        Function::Timestamp => match first {
            Val::Timestamp(_) => Ok(first.clone()),
            Val::Int(seconds) => {
                Timestamp::from_second(*seconds).map(Val::Timestamp).map_err(|_| format!("{seconds} s is beyond the range of timestamps"))
            }
            _ => timestamp(text(0)?).map(Val::Timestamp),
        },
        Function::Duration => match first {
            Val::Duration(_) => Ok(first.clone()),
            _ => {
                let text = text(0)?;
                let (sign, rest) = text.strip_prefix('-').map_or((1, text), |rest| (-1, rest));
                rest.parse::<Span>().map(|span| Val::Duration(sign * span.as_millis())).map_err(|error| error.to_string())
            }
        },
        Function::Min | Function::Max => extreme(function, arguments),
        Function::Ceil | Function::Floor => match first {
            Val::Int(_) => Ok(first.clone()),
            Val::Double(double) => whole(if function == Function::Ceil { double.ceil() } else { double.floor() }),
            _ => unfit(first),
        },
        Function::Matches => Ok(Val::Bool(regex(text(1)?)?.is_match(text(0)?))),
        Function::Contains => Ok(Val::Bool(text(0)?.contains(text(1)?))),
        Function::StartsWith => Ok(Val::Bool(text(0)?.starts_with(text(1)?))),
        Function::EndsWith => Ok(Val::Bool(text(0)?.ends_with(text(1)?))),
        Function::FullYear
        | Function::Month
        | Function::Date
        | Function::DayOfMonth
        | Function::DayOfWeek
        | Function::DayOfYear
        | Function::Hours
        | Function::Minutes
        | Function::Seconds
        | Function::Milliseconds => part(function, first, arguments.get(1)),
    }
}

/// Which of two times is meant is not guessed.
static ZONED: DateTimeParser = DateTimeParser::new().disambiguation(Disambiguation::Reject);

/// An absolute time: RFC 3339 with an offset, or with a zone in brackets.
pub(crate) fn timestamp(text: &str) -> Result<Timestamp, String> {
    let wrong = || {
        format!(
            "{text:?} is not a time: write it with an offset (`2026-06-01T19:00:00+02:00`, `…Z`) or a zone (`2026-06-01T19:00[Europe/Berlin]`)"
        )
    };
    if text.ends_with(']') {
        return ZONED.parse_zoned(text).map(|zoned| zoned.timestamp()).map_err(|error| {
            if text.parse::<jiff::Zoned>().is_ok() {
                return format!(
                    "{text:?} comes twice there, or not at all, as the clocks change: write its offset too (`…T02:30+01:00[Europe/Berlin]`)"
                );
            }
            format!("{} ({error})", wrong())
        });
    }
    text.parse().map_err(|_| wrong())
}

fn whole<'v>(double: f64) -> Result<Val<'v>, String> {
    if double.is_nan() || double.abs() >= 9_223_372_036_854_775_808.0 {
        return Err(format!("{double} is beyond the range of integers"));
    }
    #[expect(clippy::cast_possible_truncation, reason = "the range was checked above")]
    Ok(Val::Int(double as i64))
}

fn int<'v>(value: &Val<'v>) -> Result<Val<'v>, String> {
    match value {
        Val::Int(_) => Ok(value.clone()),
        Val::Double(double) => whole(double.trunc()),
        Val::Timestamp(time) => Ok(Val::Int(time.as_second())),
        Val::Bool(value) => Ok(Val::Int(i64::from(*value))),
        _ => {
            let text = value.as_text().ok_or_else(|| format!("`int` cannot take {}", value.kind()))?;
            text.trim().parse().map(Val::Int).map_err(|_| format!("{text:?} is not a whole number"))
        }
    }
}

fn extreme<'v>(function: Function, arguments: &[Val<'v>]) -> Result<Val<'v>, String> {
    let name = function.as_str();
    let listed: Vec<Val<'v>> = match arguments {
        [list] if list.items().is_some() => (0..list.items().unwrap_or(0)).filter_map(|at| list.item(at)).collect::<Result<_, _>>()?,
        _ => arguments.to_vec(),
    };
    let mut best: Option<Val<'v>> = None;
    for value in listed {
        if value.as_double().is_none() {
            return Err(format!("`{name}` takes numbers or a list of numbers, not {}", value.kind()));
        }
        let better = match &best {
            None => true,
            Some(best) => match value.compare(best) {
                Some(order) => order == if function == Function::Min { std::cmp::Ordering::Less } else { std::cmp::Ordering::Greater },
                None => return Err(format!("`{name}` cannot compare what is not a number")),
            },
        };
        if better {
            best = Some(value);
        }
    }
    best.ok_or_else(|| format!("`{name}` of an empty list has no value"))
}

fn part<'v>(function: Function, value: &Val<'v>, zone: Option<&Val<'v>>) -> Result<Val<'v>, String> {
    let name = function.as_str();
    if let Val::Duration(millis) = value {
        let unit = match function {
            Function::Hours => 3_600_000,
            Function::Minutes => 60_000,
            Function::Seconds => 1000,
            Function::Milliseconds => 1,
            _ => return Err(format!("`{name}` cannot take a duration")),
        };
        return Ok(Val::Int(millis / unit));
    }
    let Val::Timestamp(time) = value else { return Err(format!("`{name}` cannot take {}", value.kind())) };
    let zone = match zone {
        None => TimeZone::UTC,
        Some(zone) => {
            let zone = zone.as_text().ok_or_else(|| format!("`{name}` takes the name of a zone, not {}", zone.kind()))?;
            TimeZone::get(zone).map_err(|_| format!("there is no time zone {zone:?}"))?
        }
    };
    let local = time.to_zoned(zone);
    Ok(Val::Int(match function {
        Function::FullYear => i64::from(local.year()),
        Function::Month => i64::from(local.month()) - 1,
        Function::Date => i64::from(local.day()),
        Function::DayOfMonth => i64::from(local.day()) - 1,
        Function::DayOfWeek => i64::from(local.weekday().to_sunday_zero_offset()),
        Function::DayOfYear => i64::from(local.day_of_year()) - 1,
        Function::Hours => i64::from(local.hour()),
        Function::Minutes => i64::from(local.minute()),
        Function::Seconds => i64::from(local.second()),
        _ => i64::from(local.millisecond()),
    }))
}
