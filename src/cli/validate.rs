//! `validate`: everything that is wrong with playbooks.

use std::collections::HashSet;

use clap_complete::engine::ArgValueCompleter;
use serde_json::json;

use super::complete;
use super::context::Context;
use super::exit_code;
use super::failure::Failure;
use crate::app::{Checked, render};
use crate::report::Role;

/// The arguments of `validate`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Playbooks, by name or file [default: all of the root]
    #[arg(value_name = "PLAYBOOK|FILE", add = ArgValueCompleter::new(complete::playbooks))]
    playbooks: Vec<String>,
}

/// Checks playbooks. Each problem is told once, however many playbooks call the one that has it.
///
/// # Errors
/// When one is unknown.
pub fn run(cx: &Context, args: Args) -> Result<u8, Failure> {
    let app = cx.app()?;
    let catalogue = app.catalogue()?;
    let all = args.playbooks.is_empty();
    let names = if all { app.list()?.into_iter().map(|listed| listed.name).collect() } else { args.playbooks };
    let plugins = if all { app.broken_plugins()? } else { Vec::new() };
    if names.is_empty() && plugins.is_empty() && cx.output.is_text() {
        cx.output.page(&crate::report::list_table(&[], &cx.output.out));
        return Ok(exit_code::SUCCEEDED);
    }
    let mut checked: Vec<Checked> = names.iter().map(|name| app.check(name, &catalogue)).collect::<Result<_, _>>()?;
    checked.extend(plugins);
    let invalid = checked.iter().filter(|checked| !checked.problems.is_empty()).count();
    if !cx.output.is_text() {
        let entries = checked.iter().map(|checked| {
            json!({
                "name": checked.name, "path": checked.path, "valid": checked.problems.is_empty(),
                "problems": checked.problems.problems, "more": checked.problems.more,
            })
        });
        cx.output.json(&json!({ "valid": invalid == 0, "playbooks": entries.collect::<Vec<_>>() }));
        return Ok(if invalid == 0 { exit_code::SUCCEEDED } else { exit_code::PLAYBOOK });
    }
    let mut told = HashSet::new();
    let style = &cx.output.out;
    for checked in &mut checked {
        if checked.problems.is_empty() {
            cx.output.page(&format!("{} {}", style.paint(Role::Good, "valid  "), checked.name));
            continue;
        }
        cx.output.page(&format!("{} {}", style.paint(Role::Bad, "invalid"), checked.name));
        checked
            .problems
            .problems
            .retain(|problem| told.insert((problem.path.clone(), problem.line, problem.column, problem.message.clone())));
        if !checked.problems.is_empty() {
            cx.output.page(&format!("\n{}", render(&checked.problems, style.color, style.width).trim_end()));
            cx.output.page("");
        }
    }
    if invalid > 0 {
        cx.output.page(&format!("{invalid} of {} cannot be run", checked.len()));
        return Ok(exit_code::PLAYBOOK);
    }
    Ok(exit_code::SUCCEEDED)
}
