//! Spans of time as `kubectl get` shows them: `45s`, `3m10s`, `5h`, `2d3h`.
//!
//! It must not read a clock. Invariant: at most two units, the finer one only while it matters.

use jiff::Timestamp;

/// The time from `stamp` to `now`, which is in milliseconds since 1970.
pub(super) fn since(stamp: Option<&str>, now: u64) -> String {
    match stamp.and_then(|stamp| stamp.parse::<Timestamp>().ok()) {
        Some(then) => span(i64::try_from(now / 1000).unwrap_or(i64::MAX).saturating_sub(then.as_second())),
        None => "<unknown>".to_owned(),
    }
}

/// The time between two stamps, in words.
pub(super) fn between(from: Option<&str>, to: Option<&str>, now: u64) -> Option<String> {
    let parse = |stamp: &str| stamp.parse::<Timestamp>().ok().map(Timestamp::as_second);
    let from = from.and_then(parse)?;
    let to = to.and_then(parse).or_else(|| i64::try_from(now / 1000).ok())?;
    Some(span(to - from))
}

/// A span in seconds, in words.
pub(super) fn span(seconds: i64) -> String {
    let two = |large: i64, unit: &str, small: i64, finer: &str| match small {
        0 => format!("{large}{unit}"),
        small => format!("{large}{unit}{small}{finer}"),
    };
    let (minutes, hours) = (seconds / 60, seconds / 3600);
    let days = hours / 24;
    match seconds {
        ..-1 => "<invalid>".to_owned(),
        -1..=0 => "0s".to_owned(),
        1..120 => format!("{seconds}s"),
        120..600 => two(minutes, "m", seconds % 60, "s"),
        600..10_800 => format!("{minutes}m"),
        10_800..28_800 => two(hours, "h", minutes % 60, "m"),
        28_800..172_800 => format!("{hours}h"),
        172_800..691_200 => two(days, "d", hours % 24, "h"),
        691_200..63_072_000 => format!("{days}d"),
        63_072_000..252_288_000 => two(days / 365, "y", days % 365, "d"),
        _ => format!("{}y", days / 365),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_shown_as_kubectl_shows_them() {
        for (seconds, expected) in [
            (0, "0s"),
            (119, "119s"),
            (120, "2m"),
            (190, "3m10s"),
            (3600, "60m"),
            (10_800, "3h"),
            (11_000, "3h3m"),
            (90_000, "25h"),
            (180_000, "2d2h"),
            (864_000, "10d"),
            (-9, "<invalid>"),
        ] {
            assert_eq!(span(seconds), expected, "{seconds}");
        }
    }
}
