//! A wrong command line, in the words and the form of every other error.

use clap::error::{ContextKind, ContextValue, ErrorKind};

use super::failure::Failure;

/// The parser's error as ours; `None` where it is no error: help and version, which are printed as they are.
pub fn failure(error: &clap::Error) -> Option<Failure> {
    if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand) {
        return None;
    }
    let text = error.render().to_string();
    let text = without_pointer(text.strip_prefix("error: ").unwrap_or(&text));
    let (mut what, mut hints): (Vec<&str>, Vec<String>) = (Vec::new(), Vec::new());
    let mut told = true;
    for line in text.lines() {
        let trimmed = line.trim();
        if let Some(tip) = trimmed.strip_prefix("tip: ") {
            hints.push(tip.to_owned());
            told = false;
        } else if let Some(usage) = trimmed.strip_prefix("Usage: ") {
            hints.push(format!("usage: {usage}"));
            told = false;
        } else if trimmed.is_empty() {
            continue;
        } else if told {
            what.push(line);
        }
    }
    let command = match error.get(ContextKind::Usage) {
        Some(ContextValue::StyledStr(usage)) => command_of(&usage.to_string()),
        _ => None,
    };
    hints.push(format!("`{} --help` tells more", command.unwrap_or_else(|| "runsheet".to_owned())));
    Some(Failure::usage(what.iter().map(|line| line.trim()).collect::<Vec<_>>().join(" ")).hint(hints.join("\n")))
}

/// Without the parser's own last line that points at the help: the hint does.
fn without_pointer(text: &str) -> &str {
    match text.trim_end().rsplit_once('\n') {
        Some((before, last)) if last.starts_with("For more information, try ") => before,
        _ => text,
    }
}

/// `runsheet run` from its usage line.
fn command_of(usage: &str) -> Option<String> {
    let words = usage.trim().strip_prefix("Usage:").unwrap_or(usage).split_whitespace();
    let words: Vec<&str> =
        words.take_while(|word| word.chars().all(|c| c.is_ascii_lowercase() || c == '-') && !word.starts_with('-')).collect();
    (!words.is_empty()).then(|| words.join(" "))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::super::args::Cli;
    use super::*;

    fn of(args: &[&str]) -> Option<Failure> {
        let args = std::iter::once("runsheet").chain(args.iter().copied());
        failure(&Cli::try_parse_from(args).expect_err("a wrong command line"))
    }

    #[test]
    fn says_what_is_near_and_where_help_is() {
        let failure = of(&["rum", "pre-event"]).unwrap();
        assert_eq!(failure.what, "unrecognized subcommand 'rum'");
        assert!(failure.hint.as_deref().unwrap().contains("'run'"), "{:?}", failure.hint);
        let failure = of(&["run"]).unwrap();
        assert!(failure.what.contains("<PLAYBOOK>"), "{}", failure.what);
        assert!(failure.hint.as_deref().unwrap().contains("`runsheet run --help`"), "{:?}", failure.hint);
        let failure = of(&["run", "x", "-p", "level"]).unwrap();
        assert!(failure.what.ends_with("write it as NAME=VALUE"), "{}", failure.what);
        assert_eq!(failure.code, 2);
    }

    #[test]
    fn help_is_no_error() {
        assert!(of(&["--help"]).is_none());
        assert!(of(&[]).is_none());
        assert!(of(&["--version"]).is_none());
    }
}
