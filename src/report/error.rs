//! How errors look, all of them: what happened, where, and what to do.

use super::prose::wrapped;
use super::style::{Role, Style};

/// An error for the terminal:
///
/// ```text
/// error: the database is locked by another process
///    at: state/runsheet.db
///  hint: close what holds it, then `runsheet resume`
/// ```
///
/// `place` and `hint` are left out where there is none. What goes over several lines is indented beneath its first.
pub fn error_block(what: &str, place: Option<&str>, hint: Option<&str>, style: &Style) -> String {
    let mut lines = vec![line(Role::Bad, "error", what, style)];
    lines.extend(place.map(|place| line(Role::Quiet, "at", place, style)));
    lines.extend(hint.map(|hint| line(Role::Attention, "hint", hint, style)));
    lines.join("\n")
}

fn line(role: Role, word: &str, text: &str, style: &Style) -> String {
    let fill = " ".repeat("error".len().saturating_sub(word.len()));
    let mut lines = text.lines().map(super::text::clean);
    let first = format!("{fill}{} {}", style.paint(role, &format!("{word}:")), lines.next().unwrap_or_default());
    let rest = lines.map(|line| format!("       {line}").trim_end().to_owned());
    let fit = |line: String| if style.wrap { wrapped(&line, style.width, 7) } else { vec![line] };
    std::iter::once(first).chain(rest).flat_map(fit).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_where_and_what_to_do() {
        let style = Style::plain(jiff::Timestamp::UNIX_EPOCH);
        let block = error_block(
            "no playbook `pre-evnt`\u{1b}[2J",
            Some("playbooks/"),
            Some("did you mean `pre-event`?\n`runsheet list` names all"),
            &style,
        );
        insta::assert_snapshot!(block, @r#"
        error: no playbook `pre-evnt`
           at: playbooks/
         hint: did you mean `pre-event`?
               `runsheet list` names all
"#);
        assert_eq!(error_block("no", None, None, &style), "error: no");
        let colored = error_block("no", None, Some("yes"), &Style { color: true, ..style.clone() });
        assert_eq!(console::strip_ansi_codes(&colored), error_block("no", None, Some("yes"), &style));
    }
}
