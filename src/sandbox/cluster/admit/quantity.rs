//! Quantities such as `500m` and `256Mi`: how the API server writes them, and which of two is larger.
//!
//! It must not know which resource a quantity is of. Invariant: the canonical text of a quantity has the same value, no fraction, and the
//! largest suffix that allows that: `1000m` is `1`, `0.5` is `500m`, `1024Mi` is `1Gi`.

use serde_json::Value;

/// The names of the objects whose members are quantities.
const PLACES: [&str; 6] = ["requests", "limits", "hard", "used", "capacity", "allocatable"];
/// The names of members that are one quantity each.
const MEMBERS: [&str; 3] = ["averageValue", "sizeLimit", "divisor"];

const DECIMAL: [(&str, i32); 10] =
    [("n", -9), ("u", -6), ("m", -3), ("", 0), ("k", 3), ("M", 6), ("G", 9), ("T", 12), ("P", 15), ("E", 18)];
const BINARY: [(&str, u32); 6] = [("Ki", 10), ("Mi", 20), ("Gi", 30), ("Ti", 40), ("Pi", 50), ("Ei", 60)];

const WRONG: &str = "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'";

/// A quantity in billionths.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Quantity(i128);

/// Reads a quantity; none for text that is none, or is out of range.
pub(crate) fn parse(text: &str) -> Option<Quantity> {
    read(text).map(|(quantity, _)| quantity)
}

fn read(text: &str) -> Option<(Quantity, bool)> {
    let digits_end = text.find(|c: char| !(c.is_ascii_digit() || matches!(c, '.' | '+' | '-'))).unwrap_or(text.len());
    let (number, suffix) = text.split_at(digits_end);
    let (negative, number) = match number.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, number.strip_prefix('+').unwrap_or(number)),
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let plain = |text: &str| text.chars().all(|c| c.is_ascii_digit());
    if (whole.is_empty() && fraction.is_empty()) || !plain(whole) || !plain(fraction) || whole.len() > 19 || fraction.len() > 9 {
        return None;
    }
    // The number in billionths, before its suffix.
    let digits = format!("{whole}{fraction:0<9}");
    let mut value: i128 = digits.parse().ok()?;
    let mut binary = false;
    if let Some((_, power)) = BINARY.iter().find(|(name, _)| *name == suffix) {
        binary = true;
        value = value.checked_mul(1_i128 << power)?;
    } else {
        let power = match DECIMAL.iter().find(|(name, _)| *name == suffix) {
            Some((_, power)) => *power,
            None => suffix.strip_prefix(['e', 'E'])?.parse().ok().filter(|power| (-9..=18).contains(power))?,
        };
        let factor = 10_i128.checked_pow(power.unsigned_abs())?;
        // What is below a billionth is rounded up, as there.
        value = if power < 0 { value / factor + i128::from(value % factor != 0) } else { value.checked_mul(factor)? };
    }
    Some((Quantity(if negative { -value } else { value }), binary))
}

/// The text that the API server shows for a quantity.
pub(crate) fn canonical(text: &str) -> Option<String> {
    const ONE: i128 = 1_000_000_000;
    let (Quantity(value), binary) = read(text)?;
    if value == 0 {
        return Some("0".to_owned());
    }
    if binary && value % ONE == 0 {
        let units = value / ONE;
        let fits = BINARY.iter().rev().find(|(_, power)| units % (1_i128 << power) == 0);
        return Some(match fits {
            Some((suffix, power)) => format!("{}{suffix}", units >> power),
            None => units.to_string(),
        });
    }
    let fits = DECIMAL.iter().rev().find_map(|(suffix, power)| {
        let unit = 10_i128.checked_pow(u32::try_from(power + 9).ok()?)?;
        (value % unit == 0).then(|| format!("{}{suffix}", value / unit))
    });
    fits.or_else(|| Some(format!("{value}n")))
}

/// Writes every quantity of an object in its canonical form.
///
/// # Errors
/// The text of the API server's decoder for a text that is no quantity.
pub(crate) fn canonical_in(object: &mut Value) -> Result<(), String> {
    match object {
        Value::Array(elements) => elements.iter_mut().try_for_each(canonical_in),
        Value::Object(members) => {
            for (name, value) in members {
                // A ConfigMap's data and labels may have any names.
                if matches!(name.as_str(), "data" | "labels" | "annotations" | "matchLabels" | "managedFields") {
                    continue;
                }
                match value {
                    Value::Object(quantities) if PLACES.contains(&name.as_str()) => {
                        quantities.values_mut().try_for_each(rewrite)?;
                    }
                    Value::String(_) if MEMBERS.contains(&name.as_str()) => rewrite(value)?,
                    _ => canonical_in(value)?,
                }
            }
            Ok(())
        }
        _ => Ok(()),
    }
}

fn rewrite(value: &mut Value) -> Result<(), String> {
    if let Value::String(text) = value {
        *text = canonical(text).ok_or_else(|| WRONG.to_owned())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn quantities_are_written_as_the_api_server_does() {
        for (text, expected) in [
            ("1000m", "1"),
            ("250m", "250m"),
            ("1500m", "1500m"),
            ("0.5", "500m"),
            ("2", "2"),
            ("256Mi", "256Mi"),
            ("1024Mi", "1Gi"),
            ("0.5Gi", "512Mi"),
            ("1.5Gi", "1536Mi"),
            ("1000", "1k"),
            ("1e3", "1k"),
            ("0", "0"),
            ("-2", "-2"),
            ("100M", "100M"),
            ("1000k", "1M"),
        ] {
            assert_eq!(canonical(text).as_deref(), Some(expected), "{text}");
        }
        for text in ["", "m", "1.2.3", "1x", "--1", "1Kim", "99999999999999999999"] {
            assert_eq!(canonical(text), None, "{text}");
        }
    }

    #[test]
    fn only_quantities_are_rewritten() {
        let mut object = json!({ "data": { "limits": "1000m" }, "resources": { "limits": { "cpu": "1000m" } }, "name": "1000m" });
        canonical_in(&mut object).unwrap();
        assert_eq!(object, json!({ "data": { "limits": "1000m" }, "resources": { "limits": { "cpu": "1" } }, "name": "1000m" }));
        assert!(canonical_in(&mut json!({ "requests": { "cpu": "many" } })).is_err());
        assert!(parse("1").unwrap() > parse("999m").unwrap());
    }
}
