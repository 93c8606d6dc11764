//! `plugin`: actions in other languages, what is wrong with them, and the beginning of one.
//!
//! Must not run an action of a plugin.

use clap_complete::engine::ArgValueCompleter;
use serde_json::json;

use super::complete;
use super::context::Context;
use super::environment::tell_findings;
use super::exit_code;
use super::failure::Failure;
use crate::app::{App, PluginCheck, ShownPlugin, render};
use crate::report::environments::facts_table;
use crate::report::{Role, text};

/// The commands of `plugin`.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// List the plugins of the root
    List,
    /// Show a plugin: its actions, what it needs, its version
    Show {
        /// The plugin
        #[arg(value_name = "NAME", add = ArgValueCompleter::new(complete::plugins))]
        name: String,
    },
    /// Look at a plugin's files and talk with it; it is not asked to change anything
    #[command(after_help = "\
Exit codes: 0 all is well; 3 something is wrong with a plugin.

Examples:
  runsheet plugin check         every plugin of the root
  runsheet plugin check k6      just that one")]
    Check {
        /// The plugin [default: all of the root]
        #[arg(value_name = "NAME", add = ArgValueCompleter::new(complete::plugins))]
        name: Option<String>,
    },
    /// Write a plugin that works, to be made into another
    #[command(after_help = "\
Examples:
  runsheet plugin new lights    plugins/lights: a manifest, a page, and a Python script that speaks the protocol")]
    New {
        /// Its name: plugins/NAME
        #[arg(value_name = "NAME")]
        name: String,
    },
}

/// Lists, shows, checks or begins plugins.
///
/// # Errors
/// When there is none of that name, or one cannot be written.
pub fn run(cx: &Context, command: Command) -> Result<u8, Failure> {
    let app = cx.app()?;
    match command {
        Command::List => list(cx, &app),
        Command::Show { name } => show(cx, &app, &name),
        Command::Check { name } => check(cx, &app, name),
        Command::New { name } => new(cx, &app, &name),
    }
}

fn list(cx: &Context, app: &App) -> Result<u8, Failure> {
    let all = app.list_plugins()?;
    if !cx.output.is_text() {
        cx.output.list(all.iter().map(|plugin| json!(plugin)).collect());
        return Ok(exit_code::SUCCEEDED);
    }
    let style = &cx.output.out;
    if all.is_empty() {
        let command = style.paint(Role::Command, "runsheet plugin new NAME");
        cx.output.page(&format!("There are no plugins. Write one that works, and make it yours:\n  {command}"));
        return Ok(exit_code::SUCCEEDED);
    }
    let widest = all.iter().map(|plugin| plugin.name.len()).max().unwrap_or(0);
    for plugin in &all {
        let fill = " ".repeat(widest - plugin.name.len());
        let what = match plugin.problems.problems.first() {
            Some(first) => style.paint(Role::Bad, &format!("cannot be used: {}", text::clean(&first.message))),
            None => {
                let names: Vec<&str> = plugin.actions.iter().map(|action| action.name.as_str()).collect();
                format!("{} ({})", text::clean(&plugin.summary), names.join(", "))
            }
        };
        let line = format!("{}{fill}  {what}", style.paint(Role::Strong, &text::clean(&plugin.name)));
        cx.output.page(&text::fit(&line, style.width));
    }
    Ok(exit_code::SUCCEEDED)
}

fn show(cx: &Context, app: &App, name: &str) -> Result<u8, Failure> {
    let plugin = app.plugin(name)?;
    let code = if plugin.problems.is_empty() { exit_code::SUCCEEDED } else { exit_code::PLAYBOOK };
    if !cx.output.is_text() {
        cx.output.json(&json!(plugin));
        return Ok(code);
    }
    let style = &cx.output.out;
    if !plugin.problems.is_empty() {
        cx.output.page(render(&plugin.problems, style.color, style.width).trim_end());
        return Ok(code);
    }
    cx.output.page(&format!(
        "{}  {}\n\n{}",
        style.paint(Role::Strong, &plugin.name),
        text::clean(&plugin.summary),
        facts_table(&facts(&plugin), style)
    ));
    for action in &plugin.actions {
        let line = format!("{}  {} ({})", style.paint(Role::Strong, &action.name), text::clean(&action.summary), action.effect.as_str());
        cx.output.page(&text::fit(&line, style.width));
    }
    let command = style.paint(Role::Command, "runsheet actions NAME");
    cx.output.page(&format!("\nOne action's page: {command}"));
    Ok(code)
}

fn facts(plugin: &ShownPlugin) -> Vec<(String, String)> {
    let mut facts = vec![("folder".to_owned(), plugin.folder.display().to_string())];
    let mut fact = |name: &str, value: String| facts.push((name.to_owned(), value));
    plugin.executable.iter().for_each(|file| fact("executable", file.display().to_string()));
    plugin.version().iter().for_each(|version| fact("version", (*version).to_owned()));
    for need in &plugin.needs {
        let found = if need.found { "found".to_owned() } else { format!("not in PATH: {}", text::clean(&need.hint)) };
        fact(&format!("needs {}", text::clean(&need.program)), found);
    }
    facts
}

fn check(cx: &Context, app: &App, name: Option<String>) -> Result<u8, Failure> {
    let names = match name {
        Some(name) => vec![name],
        None => app.list_plugins()?.into_iter().map(|plugin| plugin.name).collect(),
    };
    if names.is_empty() && cx.output.is_text() {
        cx.output.page("There are no plugins to check; `runsheet plugin new NAME` writes one that works.");
    }
    let mut checks = Vec::new();
    for name in names {
        let check = app.check_plugin(&name)?;
        if cx.output.is_text() {
            tell(cx, &check);
        }
        checks.push(check);
    }
    let good = checks.iter().all(PluginCheck::is_good);
    if !cx.output.is_text() {
        cx.output.list(checks.iter().map(|check| json!(check)).collect());
    }
    Ok(if good { exit_code::SUCCEEDED } else { exit_code::PLAYBOOK })
}

fn tell(cx: &Context, check: &PluginCheck) {
    let style = &cx.output.out;
    if !check.problems.is_empty() {
        cx.output.page(&format!(
            "{}\n{}",
            style.paint(Role::Strong, &check.name),
            render(&check.problems, style.color, style.width).trim_end()
        ));
    }
    tell_findings(cx, &check.findings);
    cx.output.page("");
}

fn new(cx: &Context, app: &App, name: &str) -> Result<u8, Failure> {
    let written = app.new_plugin(name)?;
    if !cx.output.is_text() {
        cx.output.json(&json!({ "name": name, "written": written }));
        return Ok(exit_code::SUCCEEDED);
    }
    let files: Vec<String> = written.iter().map(|file| format!("  {}", file.display())).collect();
    let command = cx.output.out.paint(Role::Command, &format!("runsheet plugin check {name}"));
    cx.output.page(&format!("It keeps a text in a file; make it do what is yours:\n{}\n\nThen: {command}", files.join("\n")));
    Ok(exit_code::SUCCEEDED)
}
