//! Prose in lines that fit a terminal.
//!
//! Must not: break a word, or a line that is a command to be copied; and where nobody looks at a terminal, lines stay whole, so that they can be
//! searched.

use super::style::Style;
use super::text;

/// A line of a page in the lines that the terminal has room for, each with this many columns before it; whole where there is no terminal. What follows
/// is indented by two more than the first, or by as much as it is itself.
pub fn fold(line: &str, before: usize, style: &Style) -> Vec<String> {
    if !style.wrap {
        return vec![line.to_owned()];
    }
    let own = line.len() - line.trim_start_matches(' ').len();
    wrapped(line, style.width.saturating_sub(before), own + 2)
}

/// Text in lines of at most so many columns, broken between words; the second and later ones indented.
pub(super) fn wrapped(text: &str, width: usize, indent: usize) -> Vec<String> {
    let mut lines = Vec::new();
    let mut line = String::new();
    let mut used = 0;
    let indent = if width > 2 * indent { indent } else { 0 };
    for (index, word) in text.split(' ').enumerate() {
        let wide = text::columns(word);
        if index > 0 && used + 1 + wide > width && !line.trim().is_empty() {
            lines.push(std::mem::take(&mut line).trim_end().to_owned());
            line.push_str(&" ".repeat(indent));
            used = indent;
        } else if index > 0 {
            line.push(' ');
            used += 1;
        }
        line.push_str(word);
        used += wide;
    }
    lines.push(line);
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_break_between_words_and_keep_within_the_width() {
        assert_eq!(wrapped("one two three four", 9, 2), ["one two", "  three", "  four"]);
        assert_eq!(wrapped("a-word-that-is-longer than", 10, 2), ["a-word-that-is-longer", "  than"]);
        assert_eq!(wrapped("name   value", 40, 2), ["name   value"]);
        assert_eq!(wrapped("   a-word-that-is-longer than", 10, 4), ["   a-word-that-is-longer", "    than"]);
    }

    #[test]
    fn prose_is_folded_on_a_terminal_alone() {
        let plain = Style { width: 12, ..Style::plain(jiff::Timestamp::UNIX_EPOCH) };
        assert_eq!(fold("one two three four", 2, &plain), ["one two three four"]);
        let terminal = Style { wrap: true, ..plain };
        assert_eq!(fold("one two three four", 2, &terminal), ["one two", "  three", "  four"]);
        assert_eq!(fold("  one two three", 2, &terminal), ["  one two", "    three"]);
    }
}
