//! Amounts of resources, as `250m`, `2` and `256Mi` write them.
//!
//! It must not know which resource an amount is of. Invariant: an amount is counted in thousandths, so what is added up stays exact.

use serde_json::Value;

const SUFFIXES: [(&str, i128); 13] = [
    ("Ki", 1 << 10),
    ("Mi", 1 << 20),
    ("Gi", 1 << 30),
    ("Ti", 1 << 40),
    ("Pi", 1 << 50),
    ("Ei", 1 << 60),
    ("k", 1_000),
    ("M", 1_000_000),
    ("G", 1_000_000_000),
    ("T", 1_000_000_000_000),
    ("P", 1_000_000_000_000_000),
    ("E", 1_000_000_000_000_000_000),
    ("", 1),
];

/// The thousandths of an amount; none for what is no amount. Finer parts are rounded up, as the API server does.
pub(crate) fn milli(value: &Value) -> Option<i128> {
    match value {
        Value::Number(number) => parse(&number.to_string()),
        Value::String(text) => parse(text.trim()),
        _ => None,
    }
}

fn parse(text: &str) -> Option<i128> {
    let (digits, unit) = if let Some(digits) = text.strip_suffix('m') {
        (digits, 1)
    } else {
        let (suffix, factor) = SUFFIXES.into_iter().find(|(suffix, _)| text.ends_with(suffix))?;
        (text.strip_suffix(suffix)?, factor * 1000)
    };
    let (whole, part) = digits.split_once('.').unwrap_or((digits, ""));
    let plain = |text: &str| text.len() <= 18 && text.chars().all(|character| character.is_ascii_digit());
    if !plain(whole) || !plain(part) || (whole.is_empty() && part.is_empty()) {
        return None;
    }
    let whole: i128 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    let scale = 10_i128.checked_pow(u32::try_from(part.len()).ok()?)?;
    let part: i128 = if part.is_empty() { 0 } else { part.parse().ok()? };
    let fraction = part.checked_mul(unit)?;
    whole.checked_mul(unit)?.checked_add((fraction + scale - 1) / scale)
}

/// An amount of thousandths in the way of `kubectl`: memory and storage by powers of 1024, the rest by thousandths.
pub(crate) fn show(resource: &str, milli: i128) -> String {
    if milli % 1000 != 0 {
        return format!("{milli}m");
    }
    let whole = milli / 1000;
    if whole != 0 && (resource.ends_with("memory") || resource.ends_with("storage")) {
        for (suffix, factor) in [("Gi", 1_i128 << 30), ("Mi", 1 << 20), ("Ki", 1 << 10)] {
            if whole % factor == 0 {
                return format!("{}{suffix}", whole / factor);
            }
        }
    }
    whole.to_string()
}

/// What all containers of a Pod's `spec` ask for (`requests`) or may use (`limits`), in thousandths.
pub(crate) fn of_pod(spec: &Value, side: &str, resource: &str) -> i128 {
    let containers = spec["containers"].as_array();
    containers.into_iter().flatten().filter_map(|container| milli(&container["resources"][side][resource])).sum()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn amounts_are_read_and_shown() {
        for (text, expected) in [("250m", 250), ("1", 1000), ("0.5", 500), ("1.5Gi", 1_610_612_736_000), ("2k", 2_000_000), ("0.0001", 1)] {
            assert_eq!(milli(&json!(text)), Some(expected), "{text}");
        }
        for text in ["", "m", "x", "1x", "-1", "1e3x", "."] {
            assert_eq!(milli(&json!(text)), None, "{text}");
        }
        assert_eq!(milli(&json!(2)), Some(2000));
        assert_eq!(show("requests.cpu", 250), "250m");
        assert_eq!(show("cpu", 4000), "4");
        assert_eq!(show("memory", 268_435_456_000), "256Mi");
        assert_eq!(show("pods", 2_048_000), "2048");
    }
}
