//! `+`, `-`, `*`, `/` and `%` on numbers, timestamps and durations.
//!
//! Must not round an integer unless a double is its partner. Invariant: what does not fit is an error, never a wrapped value.

use super::evaluate::Fail;
use super::tree::Operator;
use super::value::Val;

/// A result that does not fit.
pub(super) fn overflow(operator: &str) -> Fail {
    Fail::Wrong(format!("`{operator}` goes beyond the range of integers (64 bits, signed)"))
}

/// Numbers, timestamps and durations; `None` where the operator does not take these types.
pub(super) fn arithmetic<'v>(operator: Operator, a: &Val<'v>, b: &Val<'v>) -> Option<Result<Val<'v>, Fail>> {
    use Operator::{Add, Divide, Modulo, Multiply, Subtract};
    let sign = operator.as_str();
    let time = |time: &jiff::Timestamp, millis: i64| {
        let moved = time.checked_add(jiff::SignedDuration::from_millis(millis)).map(Val::Timestamp);
        moved.map_err(|_| Fail::Wrong(format!("`{sign}` goes beyond the range of timestamps")))
    };
    Some(match (operator, a, b) {
        (Divide | Modulo, Val::Int(_), Val::Int(0)) => Err(Fail::Wrong(format!("`{sign}` divides by zero"))),
        (_, Val::Int(a), Val::Int(b)) => {
            let result = match operator {
                Add => a.checked_add(*b),
                Subtract => a.checked_sub(*b),
                Multiply => a.checked_mul(*b),
                Divide => a.checked_div(*b),
                _ => a.checked_rem(*b),
            };
            result.map(Val::Int).ok_or_else(|| overflow(sign))
        }
        (_, Val::Int(_) | Val::Double(_), Val::Int(_) | Val::Double(_)) => {
            let (a, b) = (a.as_double()?, b.as_double()?);
            Ok(Val::Double(match operator {
                Add => a + b,
                Subtract => a - b,
                Multiply => a * b,
                Divide => a / b,
                _ => a % b,
            }))
        }
        (Add, Val::Timestamp(at), Val::Duration(millis)) | (Add, Val::Duration(millis), Val::Timestamp(at)) => time(at, *millis),
        (Subtract, Val::Timestamp(at), Val::Duration(millis)) => time(at, -*millis),
        (Subtract, Val::Timestamp(a), Val::Timestamp(b)) => Ok(Val::Duration(a.as_millisecond() - b.as_millisecond())),
        (Add, Val::Duration(a), Val::Duration(b)) => a.checked_add(*b).map(Val::Duration).ok_or_else(|| overflow(sign)),
        (Subtract, Val::Duration(a), Val::Duration(b)) => a.checked_sub(*b).map(Val::Duration).ok_or_else(|| overflow(sign)),
        _ => return None,
    })
}
