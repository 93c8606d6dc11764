//! A playbook as commands for a person's hands, laid out as a text whose lines a POSIX shell would take.
//!
//! Invariant: everything that is not a command is a comment, so that a line which is pasted by mistake does nothing.

use super::text;
use crate::model::sheet::{HandCheck, HandStep, Sheet, Variable};

/// The text.
pub fn by_hand(sheet: &Sheet) -> String {
    let mut out = Vec::new();
    comment(&mut out, &format!("{}: {}", sheet.playbook, sheet.summary));
    match &sheet.environment {
        Some(name) => comment(
            &mut out,
            &format!("For a person's hands, with the values of environment {name}. Type it line by line, and read each answer."),
        ),
        None => comment(&mut out, "For a person's hands. Type it line by line, and read each answer."),
    }
    if let Some(cluster) = &sheet.cluster {
        heading(&mut out, "Be on the right cluster");
        commands(&mut out, &cluster.lines);
        comment(&mut out, &cluster.must);
    }
    if !sheet.variables.is_empty() {
        heading(&mut out, "Set these first");
        variables(&mut out, &sheet.variables);
    }
    for (at, step) in sheet.steps.iter().enumerate() {
        let summary = step.summary.as_ref().map(|summary| format!(": {summary}")).unwrap_or_default();
        heading(&mut out, &format!("{}. {}{summary}", at + 1, step.path));
        step.remarks.iter().for_each(|remark| comment(&mut out, remark));
        if !step.sets.is_empty() {
            comment(&mut out, "work out from what you noted:");
            variables(&mut out, &step.sets);
        }
        checks(&mut out, "before it: ", &step.before);
        lines(&mut out, "what is there now, to go back to:", &step.look);
        if step.act.is_empty() && step.remarks.is_empty() {
            comment(&mut out, &format!("{} does nothing that a person could type", step.uses));
        }
        commands(&mut out, &step.act);
        checks(&mut out, "then wait until: ", &step.after);
        if !step.notes.is_empty() {
            comment(&mut out, "note from its answer:");
            variables(&mut out, &step.notes);
        }
    }
    back(&mut out, &sheet.steps);
    out.join("\n")
}

/// The way back: last step first.
fn back(out: &mut Vec<String>, steps: &[HandStep]) {
    let undone: Vec<&HandStep> = steps.iter().rev().filter(|step| !step.undo.is_empty() || step.kept.is_some()).collect();
    if undone.is_empty() {
        return;
    }
    heading(out, "To go back, in this order; only what was done");
    for step in undone {
        match &step.kept {
            Some(reason) => comment(out, &format!("{} stays: {reason}", step.path)),
            None => {
                comment(out, &format!("{}: wait until the platform has followed before the next", step.path));
                commands(out, &step.undo);
            }
        }
    }
}

fn heading(out: &mut Vec<String>, title: &str) {
    out.push(String::new());
    out.push(format!("## {}", text::clean(title)));
}

fn comment(out: &mut Vec<String>, words: &str) {
    out.push(format!("# {}", text::clean(words)));
}

fn lines(out: &mut Vec<String>, title: &str, lines: &[String]) {
    if !lines.is_empty() {
        comment(out, title);
        commands(out, lines);
    }
}

/// A command may have several lines: the body of a script stays as it is.
fn commands(out: &mut Vec<String>, commands: &[String]) {
    out.extend(commands.iter().flat_map(|command| command.split('\n')).map(text::clean));
}

fn checks(out: &mut Vec<String>, title: &str, checks: &[HandCheck]) {
    for check in checks {
        comment(out, &format!("{title}{}", check.that));
        if let Some(otherwise) = &check.otherwise {
            comment(out, &format!("  (else: {otherwise})"));
        }
        commands(out, &check.look);
    }
}

fn variables(out: &mut Vec<String>, variables: &[Variable]) {
    let widest = variables.iter().map(|variable| variable.name.len()).max().unwrap_or(0) + 1;
    out.extend(variables.iter().map(|variable| format!("{:<widest$}  # {}", format!("{}=", variable.name), text::clean(&variable.from))));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::sheet::HandCluster;

    #[test]
    fn the_cluster_comes_before_any_other_command() {
        let cluster = HandCluster { lines: vec!["lead".to_owned(), "look".to_owned()], must: "it must print 4f0c".to_owned() };
        let step = HandStep { path: "grow".to_owned(), act: vec!["kubectl scale".to_owned()], ..HandStep::default() };
        let sheet = Sheet {
            playbook: "p".to_owned(),
            summary: "s".to_owned(),
            environment: Some("staging".to_owned()),
            cluster: Some(cluster),
            variables: Vec::new(),
            steps: vec![step],
        };
        let text = by_hand(&sheet);
        let commands: Vec<&str> = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).collect();
        assert_eq!(commands, ["lead", "look", "kubectl scale"]);
        assert!(text.contains("\nlook\n# it must print 4f0c\n"), "{text}");
    }
}
