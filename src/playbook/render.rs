//! Problems as text for people.
//!
//! Must not print. Invariant: what stands in a file cannot move the cursor or colour the terminal.

use std::fmt::Write;

use anstyle::{AnsiColor, Style};

use super::diagnostics::Diagnostics;

/// The problems as text: each with its file, line and column, the line underlined, and what to do. `width` is in columns.
pub fn render(diagnostics: &Diagnostics, color: bool, width: usize) -> String {
    let paint = |style: Style| if color { style } else { Style::new() };
    let (red, blue, bold) = (paint(AnsiColor::Red.on_default().bold()), paint(AnsiColor::Blue.on_default()), paint(Style::new().bold()));
    let cyan = paint(AnsiColor::Cyan.on_default());
    let mut text = String::new();
    for problem in &diagnostics.problems {
        let _ = writeln!(text, "{red}error[{}]{red:#}{bold}: {}{bold:#}", problem.code, clean(&problem.message));
        if problem.line == 0 {
            let _ = writeln!(text, "  {blue}-->{blue:#} {}", clean(&problem.path));
        } else {
            let number = problem.line.to_string();
            let gap = " ".repeat(number.len());
            let _ = writeln!(text, "{gap} {blue}-->{blue:#} {}:{}:{}", clean(&problem.path), problem.line, problem.column);
            let (shown, column, length) = window(&problem.source_line, problem.column, problem.length, width.max(40) - number.len() - 4);
            let marks = format!("{}{red}{}{red:#}", " ".repeat(column), "^".repeat(length));
            let label = problem.label.as_deref().map(|label| format!(" {red}{}{red:#}", clean(label))).unwrap_or_default();
            let _ = writeln!(text, "{gap} {blue}|{blue:#}\n{blue}{number} |{blue:#} {shown}\n{gap} {blue}|{blue:#} {marks}{label}");
        }
        if let Some(hint) = &problem.hint {
            let _ = writeln!(text, "  {cyan}help:{cyan:#} {}", clean(hint));
        }
        text.push('\n');
    }
    let count = diagnostics.count();
    if diagnostics.more > 0 {
        let _ = writeln!(text, "{bold}{count} problems, of which the first {} are shown{bold:#}", diagnostics.problems.len());
    } else if count > 1 {
        let _ = writeln!(text, "{bold}{count} problems{bold:#}");
    }
    text
}

/// Without control characters, so that a file cannot speak to the terminal.
fn clean(text: &str) -> String {
    text.chars().map(|c| if c.is_control() || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}') { ' ' } else { c }).collect()
}

/// The part of a line that fits, with the marks' place in it.
fn window(line: &str, column: u32, length: u32, width: usize) -> (String, usize, usize) {
    let chars: Vec<char> = clean(line).chars().collect();
    let at = (column as usize).saturating_sub(1).min(chars.len());
    let length = (length as usize).max(1);
    if chars.len() <= width {
        return (chars.into_iter().collect(), at, length.min(width));
    }
    let start = if at + length.min(width / 2) < width - 1 { 0 } else { at.saturating_sub(width / 3) };
    let mut shown: String = chars[start..].iter().take(width - 2).collect();
    let mut marks = at - start;
    if start > 0 {
        shown.insert(0, '…');
        marks += 1;
    }
    if start + width - 2 < chars.len() {
        shown.push('…');
    }
    (shown, marks, length.min(width.saturating_sub(marks).max(1)))
}
