//! Quantities of resources, as Kubernetes writes them: `500m`, `1Gi`, `1e3`.
//!
//! Invariant: two texts of the same amount are equal, and one amount has one canonical text for each way of writing it: the one that the API
//! server gives back.

use std::fmt;

/// How an amount is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// `n`, `u`, `m`, none, `k`, `M`, `G`, `T`, `P`, `E`.
    Decimal,
    /// `Ki` to `Ei`.
    Binary,
    /// `1e3`.
    Exponent,
}

/// An amount.
#[derive(Clone, Copy, Debug)]
pub(super) struct Quantity {
    /// In billionths.
    nano: i128,
    form: Form,
}

impl Quantity {
    /// In billionths.
    pub(super) fn nano(self) -> i128 {
        self.nano
    }
}

impl PartialOrd for Quantity {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.nano.cmp(&other.nano))
    }
}

impl PartialEq for Quantity {
    fn eq(&self, other: &Self) -> bool {
        self.nano == other.nano
    }
}

/// Why a text is no quantity.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a quantity such as `500m`, `0.5`, `512Mi` or `1Gi`")]
pub(super) struct NotAQuantity(String);

const NANO: i128 = 1_000_000_000;
/// The largest amount that Kubernetes keeps as it is, in billionths.
const MOST: i128 = i64::MAX as i128 * NANO;
const DECIMAL: [(&str, i32); 10] =
    [("n", -9), ("u", -6), ("m", -3), ("", 0), ("k", 3), ("M", 6), ("G", 9), ("T", 12), ("P", 15), ("E", 18)];
const BINARY: [&str; 6] = ["Ki", "Mi", "Gi", "Ti", "Pi", "Ei"];

impl std::str::FromStr for Quantity {
    type Err = NotAQuantity;

    fn from_str(text: &str) -> Result<Self, NotAQuantity> {
        read(text).ok_or_else(|| NotAQuantity(text.chars().take(80).collect()))
    }
}

/// Rounded up to a billionth, as Kubernetes does. Negative amounts are none: no resource has them.
fn read(text: &str) -> Option<Quantity> {
    let text = text.strip_prefix('+').unwrap_or(text);
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, suffix) = text.split_at(end);
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if number.len() > 40 || fraction.contains('.') || (whole.is_empty() && fraction.is_empty()) {
        return None;
    }
    let digits: i128 = format!("{whole}{fraction}").parse().ok()?;
    let scale = i32::try_from(fraction.len()).ok()?;
    let (form, factor, power) = if let Some(at) = BINARY.iter().position(|known| *known == suffix) {
        (Form::Binary, 1024_i128.pow(u32::try_from(at).ok()? + 1), 0)
    } else if let Some((_, power)) = DECIMAL.iter().find(|(known, _)| *known == suffix) {
        (Form::Decimal, 1, *power)
    } else {
        let power: i32 = suffix.strip_prefix(['e', 'E'])?.parse().ok()?;
        (Form::Exponent, 1, power)
    };
    let power = power + 9 - scale;
    let amount = digits.checked_mul(factor)?;
    let nano = if power >= 0 {
        amount.checked_mul(10_i128.checked_pow(power.unsigned_abs())?)?
    } else {
        let by = 10_i128.checked_pow(power.unsigned_abs())?;
        amount / by + i128::from(amount % by != 0)
    };
    (nano <= MOST).then_some(Quantity { nano, form })
}

impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // What is less than 1Ki, or no whole number, is written decimally.
        if self.form == Form::Binary && self.nano >= 1024 * NANO && self.nano % NANO == 0 {
            let mut whole = self.nano / NANO;
            let mut suffix = "";
            for next in BINARY {
                if whole % 1024 != 0 {
                    break;
                }
                whole /= 1024;
                suffix = next;
            }
            return write!(f, "{whole}{suffix}");
        }
        let (mut number, mut at) = (self.nano, 0);
        if number == 0 {
            return f.write_str("0");
        }
        while number % 1000 == 0 && at + 1 < DECIMAL.len() {
            number /= 1000;
            at += 1;
        }
        match DECIMAL.get(at) {
            Some((_, power)) if self.form == Form::Exponent && *power != 0 => write!(f, "{number}e{power}"),
            Some((suffix, _)) if self.form != Form::Exponent => write!(f, "{number}{suffix}"),
            _ => write!(f, "{number}"),
        }
    }
}

/// The amount that a value of an object is; `None` where it is none.
pub(super) fn amount(value: &serde_json::Value) -> Option<Quantity> {
    match value {
        serde_json::Value::String(text) => text.parse().ok(),
        serde_json::Value::Number(number) => number.to_string().parse().ok(),
        _ => None,
    }
}

/// Whether two values are the same amount, in whatever way each is written. What is no quantity is compared as it is.
pub(super) fn same(a: &serde_json::Value, b: &serde_json::Value) -> bool {
    match (amount(a), amount(b)) {
        (Some(a), Some(b)) => a == b,
        _ => a == b,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_amount_has_one_canonical_text() {
        // As `resource.Quantity` of apimachinery gives them back.
        for (text, canonical) in [
            ("500m", "500m"),
            ("0.5", "500m"),
            (".5", "500m"),
            ("2", "2"),
            ("2000m", "2"),
            ("1500m", "1500m"),
            ("1.5", "1500m"),
            ("1000", "1k"),
            ("0", "0"),
            ("0.0", "0"),
            ("1Gi", "1Gi"),
            ("1024Mi", "1Gi"),
            ("0.5Gi", "512Mi"),
            ("1.5Gi", "1536Mi"),
            ("1536Mi", "1536Mi"),
            ("0.5Ki", "512"),
            ("0.1Ki", "102400m"),
            ("1.0001Gi", "1073849198182400u"),
            ("1023Ki", "1023Ki"),
            ("0Gi", "0"),
            ("3e4", "30e3"),
            ("1048576", "1048576"),
            ("512M", "512M"),
            ("1e3", "1e3"),
            ("1E3", "1e3"),
            ("5e-1", "500e-3"),
            ("1e0", "1"),
            ("0.1n", "1n"),
            ("100u", "100u"),
            ("+1", "1"),
        ] {
            assert_eq!(text.parse::<Quantity>().unwrap().to_string(), canonical, "{text}");
        }
    }

    #[test]
    fn amounts_are_compared_by_value() {
        use serde_json::json;
        for (a, b, equal) in [
            (json!("500m"), json!("0.5"), true),
            (json!("1Gi"), json!("1024Mi"), true),
            (json!(2), json!("2000m"), true),
            (json!("1G"), json!("1Gi"), false),
            (json!(null), json!(null), true),
            (json!(null), json!("0"), false),
        ] {
            assert_eq!(same(&a, &b), equal, "{a} {b}");
        }
    }

    #[test]
    fn what_is_no_quantity_is_refused() {
        for text in ["", ".", "Gi", "1 Gi", "1GI", "1gi", "-1", "1..5", "1.5.2", "1e", "1e3k", "1e99", "9999999999999999999999", "one"] {
            assert!(text.parse::<Quantity>().is_err(), "{text}");
        }
    }
}
