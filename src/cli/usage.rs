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
            // No argument of ours begins with a dash.
            hints.extend((!tip.contains(" as a value, use '-- ")).then(|| tip.to_owned()));
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
    if let Some(meant) = meant(error) {
        // What is meant is known better than by the spelling.
        hints.retain(|hint| hint.starts_with("usage: "));
        hints.insert(0, meant);
    }
    let command = match error.get(ContextKind::Usage) {
        Some(ContextValue::StyledStr(usage)) => command_of(&usage.to_string()),
        _ => None,
    };
    hints.push(format!("`{} --help` tells more", command.unwrap_or_else(|| "runsheet".to_owned())));
    Some(Failure::usage(what.iter().map(|line| line.trim()).collect::<Vec<_>>().join(" ")).hint(hints.join("\n")))
}

/// What somebody means who comes from another tool, or who gives a parameter as others do.
fn meant(error: &clap::Error) -> Option<String> {
    let text = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text.as_str()),
        Some(ContextValue::Strings(texts)) => texts.first().map(String::as_str),
        _ => None,
    };
    let given = text(ContextKind::InvalidArg).or_else(|| text(ContextKind::InvalidSubcommand))?;
    let beforehand = "outside the sandbox `runsheet run` shows what it will do, and asks, before anything is done;\n\
                      `runsheet show PLAYBOOK --commands` prints each of its commands, and does nothing";
    let of_playbook = match error.get(ContextKind::Usage) {
        Some(ContextValue::StyledStr(usage)) => usage.to_string().contains("<PLAYBOOK>"),
        _ => false,
    };
    Some(match (error.kind(), given) {
        (ErrorKind::UnknownArgument, "--json") => "`-o json` prints one JSON document".to_owned(),
        (ErrorKind::UnknownArgument, "--dry-run" | "-n" | "--plan" | "--check" | "--preview") => beforehand.to_owned(),
        (ErrorKind::InvalidSubcommand, "plan" | "preview" | "dry-run") => beforehand.to_owned(),
        (ErrorKind::InvalidSubcommand, "start" | "exec" | "execute") => "`runsheet run PLAYBOOK` starts a run".to_owned(),
        (ErrorKind::InvalidSubcommand, "stop" | "kill" | "abort") => {
            "Ctrl-C pauses a run; `runsheet cancel` ends one, `runsheet rollback` takes one back".to_owned()
        }
        (ErrorKind::InvalidSubcommand, "undo" | "revert") => "`runsheet rollback` takes back what a run did".to_owned(),
        (ErrorKind::MissingRequiredArgument, "<PLAYBOOK>") => "`runsheet list` lists them".to_owned(),
        (ErrorKind::UnknownArgument, given) if of_playbook && (given.starts_with("--") || given.contains('=')) => {
            let param = given.trim_start_matches('-');
            let param = if param.contains('=') { param.to_owned() } else { format!("{param}=VALUE") };
            format!("a parameter of the playbook is given with `-p {param}`")
        }
        _ => return None,
    })
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
    fn what_other_tools_call_it_is_answered_with_how_it_is_done_here() {
        for (args, hint) in [
            (&["status", "--json"][..], "`-o json`"),
            (&["run", "x", "--dry-run"], "shows what it will do"),
            (&["plan", "x"], "shows what it will do"),
            (&["undo"], "`runsheet rollback`"),
            (&["run", "x", "--replicas=8"], "`-p replicas=VALUE`"),
            (&["run", "x", "--replicas", "8"], "`-p replicas=VALUE`"),
            (&["run", "x", "replicas=8"], "`-p replicas=8`"),
            (&["run"], "`runsheet list`"),
        ] {
            let hints = of(args).unwrap().hint.unwrap();
            assert!(hints.contains(hint), "{args:?}: {hints}");
            assert!(!hints.contains("as a value") && !hints.contains("plugin"), "{args:?}: {hints}");
        }
        assert!(!of(&["status", "--foo"]).unwrap().hint.unwrap().contains("as a value"));
    }

    #[test]
    fn help_is_no_error() {
        assert!(of(&["--help"]).is_none());
        assert!(of(&[]).is_none());
        assert!(of(&["--version"]).is_none());
    }
}
