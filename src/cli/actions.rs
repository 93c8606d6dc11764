//! `actions`: what steps can use, and each action's page.

use clap_complete::engine::ArgValueCompleter;
use serde_json::{Value, json};

use super::complete;
use super::context::Context;
use super::exit_code;
use super::failure::Failure;
use crate::model::catalogue::{ActionEntry, Catalogue};
use crate::report::{Role, text};

/// The arguments of `actions`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Just this action, with all there is to know about it
    #[arg(value_name = "NAME", add = ArgValueCompleter::new(complete::actions))]
    name: Option<String>,
}

/// Lists the actions, or prints one's page.
///
/// # Errors
/// When there is no such action.
pub fn run(cx: &Context, args: Args) -> Result<u8, Failure> {
    // Without a root there are no plugins.
    let catalogue = cx.app().map_or_else(|_| crate::app::catalogue(), |app| app.catalogue())?;
    match args.name {
        Some(name) => {
            let entry = catalogue.get(&name).ok_or_else(|| unknown(&name, &catalogue))?;
            if cx.output.is_text() { cx.output.page(&page(cx, entry)) } else { cx.output.json(&document(entry)) }
        }
        None if cx.output.is_text() => list(cx, &catalogue),
        None => cx.output.list(catalogue.iter().map(|entry| document(entry)).collect()),
    }
    Ok(exit_code::SUCCEEDED)
}

fn unknown(name: &str, catalogue: &Catalogue) -> Failure {
    let near = catalogue.iter().map(|entry| (strsim::damerau_levenshtein(name, &entry.name), entry)).min_by_key(|(distance, _)| *distance);
    let hint = match near {
        Some((distance, entry)) if distance <= 3 => format!("did you mean `{}`?", entry.name),
        _ => "`runsheet actions` lists them".to_owned(),
    };
    Failure::usage(format!("there is no action `{name}`")).hint(hint)
}

fn list(cx: &Context, catalogue: &Catalogue) {
    let style = &cx.output.out;
    let widest = catalogue.iter().map(|entry| entry.name.len()).max().unwrap_or(0);
    for entry in catalogue.iter() {
        let fill = " ".repeat(widest - entry.name.len());
        let line = format!("{}{fill}  {}", style.paint(Role::Strong, &entry.name), entry.summary);
        cx.output.page(&text::fit(&line, style.width));
    }
    cx.output.page("\nwait, approve, playbook and monitor are part of the language: a step names them with `uses` too.\nOne action's page: runsheet actions NAME");
}

fn page(cx: &Context, entry: &ActionEntry) -> String {
    let style = &cx.output.out;
    let mut lines =
        vec![format!("{}  {}", style.paint(Role::Strong, &entry.name), entry.summary), String::new(), entry.page.trim().to_owned()];
    if !entry.outputs.is_empty() {
        lines.extend([String::new(), style.paint(Role::Strong, "Outputs")]);
        lines.extend(entry.outputs.iter().map(|output| format!("  {} ({}): {}", output.name, output.kind, output.help)));
    }
    if let Some(inputs) = entry.inputs["properties"].as_object() {
        let required: Vec<&str> = entry.inputs["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        lines.extend([String::new(), style.paint(Role::Strong, "Inputs")]);
        lines.extend(inputs.iter().map(|(name, schema)| {
            let required = if required.contains(&name.as_str()) { " (required)" } else { "" };
            format!("  {name}{required}: {}", schema["description"].as_str().unwrap_or("see the schema").replace('\n', " "))
        }));
    }
    lines.join("\n")
}

fn document(entry: &ActionEntry) -> Value {
    json!({
        "name": entry.name, "summary": entry.summary, "page": entry.page, "inputs": entry.inputs, "outputs": entry.outputs,
        "effect": entry.effect, "effect_from_step": entry.effect_from_step, "observes": entry.observes, "reverts": entry.reverts,
        "needs_target": entry.needs_target,
    })
}
