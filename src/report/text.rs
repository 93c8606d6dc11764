//! Words and numbers as people read them: durations, times, counts, values, columns.
//!
//! Must not: let a control character of foreign text reach a terminal. Whatever an action, a file or a person said goes through [`clean`].

use jiff::Timestamp;
use serde_json::Value;

use super::style::Style;
use crate::model::change::{Change, ObjectRef};

/// The longest value that is printed in full where it stands among other words, in characters.
const VALUE_LIMIT: usize = 80;

/// A length of time: `0.4s`, `3.2s`, `42s`, `5m 03s`, `2h 05m`, `3d 04h`. Nothing is longer than seven characters below 100 days.
pub fn duration(from: Timestamp, to: Timestamp) -> String {
    millis(to.as_millisecond().saturating_sub(from.as_millisecond()))
}

/// So many milliseconds; what is negative (a clock that was set back) counts as none.
pub fn millis(milliseconds: i64) -> String {
    let ms = u64::try_from(milliseconds).unwrap_or(0);
    let seconds = ms / 1000;
    if ms < 10_000 {
        format!("{}.{}s", ms / 1000, ms % 1000 / 100)
    } else if seconds < 60 {
        format!("{seconds}s")
    } else if seconds < 3600 {
        format!("{}m {:02}s", seconds / 60, seconds % 60)
    } else if seconds < 86_400 {
        format!("{}h {:02}m", seconds / 3600, seconds % 3600 / 60)
    } else {
        format!("{}d {:02}h", seconds / 86_400, seconds % 86_400 / 3600)
    }
}

/// How long ago: `just now`, `42s ago`, `5m 03s ago`.
pub fn ago(then: Timestamp, style: &Style) -> String {
    let ms = style.now.as_millisecond().saturating_sub(then.as_millisecond());
    if ms < 1000 { "just now".to_owned() } else { format!("{} ago", millis(ms / 1000 * 1000)) }
}

/// A moment in the reader's zone: `19:00:03`, with its date where that is not today's.
pub fn time(at: Timestamp, style: &Style) -> String {
    let there = at.to_zoned(style.zone.clone());
    if there.date() == style.now.to_zoned(style.zone.clone()).date() {
        there.strftime("%H:%M:%S").to_string()
    } else {
        there.strftime("%Y-%m-%d %H:%M:%S").to_string()
    }
}

/// The same to the minute, for lists: `19:00`, `2026-11-23 19:00`.
pub fn minute(at: Timestamp, style: &Style) -> String {
    let there = at.to_zoned(style.zone.clone());
    let today = there.date() == style.now.to_zoned(style.zone.clone()).date();
    there.strftime(if today { "%H:%M" } else { "%Y-%m-%d %H:%M" }).to_string()
}

/// `1 step`, `2 steps`.
pub fn count(number: usize, what: &str) -> String {
    if number == 1 { format!("1 {what}") } else { format!("{number} {what}s") }
}

/// Foreign text on one line, without control characters (and so without escape sequences that would steer the terminal).
pub fn clean(text: &str) -> String {
    let text = console::strip_ansi_codes(text);
    if !text.chars().any(steers) {
        return text.into_owned();
    }
    let mut line = String::with_capacity(text.len());
    for part in text.split(steers).filter(|part| !part.is_empty()) {
        if !line.is_empty() && !line.ends_with(' ') {
            line.push(' ');
        }
        line.push_str(part);
    }
    line
}

/// Control characters, and those that turn the direction of writing or hide.
fn steers(c: char) -> bool {
    c.is_control() || matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

/// Text cut to so many columns, with `…` where something is missing.
pub fn fit(text: &str, width: usize) -> String {
    console::truncate_str(text, width, if width > 0 { "…" } else { "" }).into_owned()
}

/// Text cut or filled to exactly so many columns.
pub fn pad(text: &str, width: usize) -> String {
    console::pad_str(&fit(text, width), width, console::Alignment::Left, None).into_owned()
}

/// The columns that a text takes.
pub fn columns(text: &str) -> usize {
    console::measure_text_width(text)
}

/// A value in full: text as it is, `null` as `nothing`, everything else as JSON.
pub fn whole(value: &Value) -> String {
    match value {
        Value::Null => "nothing".to_owned(),
        Value::String(text) if text.is_empty() => "\"\"".to_owned(),
        Value::String(text) => clean(text),
        other => clean(&other.to_string()),
    }
}

/// What several said in the same words, said once: `3 of 5 are ready; 3 of 5 are ready` is `3 of 5 are ready`.
pub fn once(text: &str) -> String {
    let mut parts: Vec<&str> = text.split("; ").collect();
    parts.dedup();
    let half = parts.len() / 2;
    if parts.len().is_multiple_of(2) && parts[..half] == parts[half..] {
        parts.truncate(half);
    }
    parts.join("; ")
}

/// The same where it stands among other words: what is long is cut.
pub fn value(value: &Value) -> String {
    let text = whole(value);
    if text.chars().nth(VALUE_LIMIT).is_none() {
        return text;
    }
    let mut cut: String = text.chars().take(VALUE_LIMIT - 1).collect();
    cut.push('…');
    cut
}

/// An object without the target's identity, as people name it: `deployment/ticket-service` of `k8s:<uid>/production/deployment/ticket-service`.
pub fn object(object: &ObjectRef) -> String {
    let whole = object.0.as_str();
    let short = if ["k8s:", "aws:"].iter().any(|target| whole.starts_with(target)) {
        whole.rmatch_indices('/').nth(1).map_or(whole, |(at, _)| &whole[at + 1..])
    } else {
        whole
    };
    clean(short)
}

/// What an attempt changes: `deployment/ticket-service: replicas 2 → 8, image a → b`.
pub fn changes(changes: &[Change]) -> String {
    let mut text = String::new();
    let mut last: Option<&ObjectRef> = None;
    for change in changes {
        if last == Some(&change.object) {
            text.push_str(", ");
        } else {
            if last.is_some() {
                text.push_str("; ");
            }
            text.push_str(&object(&change.object));
            text.push_str(": ");
        }
        text.push_str(&step_of(&change.label, &change.prior, &change.after));
        last = Some(&change.object);
    }
    text
}

/// One field's way: `replicas 2 → 8`.
pub fn step_of(label: &str, from: &Value, to: &Value) -> String {
    format!("{} {} → {}", clean(label), value(from), value(to))
}

/// A word for a shell: quoted where a shell would read more than itself in it.
pub fn shell_word(word: &str) -> String {
    let word = clean(word);
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-./:=@".contains(c);
    if !word.is_empty() && word.chars().all(plain) { word } else { format!("'{}'", word.replace('\'', r"'\''")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_as_people_say_them() {
        for (ms, text) in [
            (-5, "0.0s"),
            (420, "0.4s"),
            (9_999, "9.9s"),
            (42_000, "42s"),
            (303_000, "5m 03s"),
            (7_500_000, "2h 05m"),
            (273_600_000, "3d 04h"),
        ] {
            assert_eq!(millis(ms), text);
        }
    }

    #[test]
    fn the_date_is_left_out_only_today() {
        let style = Style::plain("2026-11-23T20:00:00Z".parse().unwrap());
        assert_eq!(time("2026-11-23T19:00:03Z".parse().unwrap(), &style), "19:00:03");
        assert_eq!(time("2026-11-22T19:00:03Z".parse().unwrap(), &style), "2026-11-22 19:00:03");
        let zone = jiff::tz::TimeZone::fixed(jiff::tz::offset(-5));
        assert_eq!(time("2026-11-24T01:30:00Z".parse().unwrap(), &Style { zone, ..style }), "20:30:00");
    }

    #[test]
    fn foreign_text_cannot_steer_the_terminal() {
        assert_eq!(clean("a\u{1b}[2Jb\u{1b}]0;title\u{7}c\r\nd\u{202e}e"), "abc d e");
        assert_eq!(clean("plain text"), "plain text");
        let hostile = clean("\u{1b}\u{1b}[31m\u{9b}31mred");
        assert!(!hostile.chars().any(char::is_control), "{hostile:?}");
    }

    #[test]
    fn columns_are_kept_by_wide_characters_too() {
        assert_eq!(columns(&pad("東京-cache", 8)), 8);
        assert_eq!(pad("ab", 4), "ab  ");
        assert_eq!(fit("abcdef", 4), "abc…");
        assert_eq!(fit("abcdef", 0), "");
    }

    #[test]
    fn plural_values_and_words_for_a_shell() {
        assert_eq!(count(1, "step"), "1 step");
        assert_eq!(count(0, "step"), "0 steps");
        assert_eq!(value(&Value::Null), "nothing");
        assert_eq!(value(&serde_json::json!({"a": 1})), r#"{"a":1}"#);
        assert_eq!(value(&Value::String("x".repeat(500))).chars().count(), VALUE_LIMIT);
        assert_eq!(shell_word("warm[pod-1]"), "'warm[pod-1]'");
        assert_eq!(shell_word("prepare/scale"), "prepare/scale");
        assert_eq!(shell_word("it's"), r"'it'\''s'");
    }

    #[test]
    fn what_is_said_twice_is_told_once() {
        for (said, told) in [
            ("3 of 5 are ready; 3 of 5 are ready", "3 of 5 are ready"),
            ("a; b; a; b", "a; b"),
            ("a; b; c", "a; b; c"),
            ("one", "one"),
            ("", ""),
        ] {
            assert_eq!(once(said), told);
        }
    }

    #[test]
    fn an_object_loses_only_the_targets_identity() {
        assert_eq!(object(&ObjectRef("k8s:4f0c/production/deployment/ticket-service".into())), "deployment/ticket-service");
        assert_eq!(object(&ObjectRef("aws:123456789012:eu-central-1/elasticache/ticket-redis".into())), "elasticache/ticket-redis");
        assert_eq!(object(&ObjectRef("http://host/a/b".into())), "http://host/a/b");
    }
}
