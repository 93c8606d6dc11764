//! A run's outputs as people read them: a value on its line, a list item by item.
//!
//! Must not: cut what a playbook was run to find out. Invariant: at most [`LIMIT`] items of a list are shown, and then how many more there are.

use serde_json::Value;

use super::section::{self, LIMIT};
use super::style::Style;
use super::text;
use super::view::RunView;
use crate::model::status::RunStatus;

/// The longest list or map that stands as JSON, in columns; a longer one has spaces at which a line can break.
const FLOW: usize = 80;
/// The longest part of an item that stands beside others; what is longer has a line of its own.
const BESIDE: usize = 48;

/// The section.
pub(super) fn section(page: &mut Vec<String>, view: &RunView, style: &Style) {
    let lines = view.outputs().iter().flat_map(|(name, value)| output(&text::clean(name), value)).collect();
    let taken_back = view.status() == RunStatus::RolledBack;
    let heading = match (taken_back, view.missed().is_empty()) {
        (true, _) => "Outputs (as they were before the rollback)",
        (false, true) => "Outputs",
        (false, false) => "Outputs (as the playbook has them, though not all steps ran)",
    };
    section::prose(page, style, heading, lines);
}

fn output(name: &str, value: &Value) -> Vec<String> {
    let items = match value {
        Value::Array(items) if items.is_empty() => return vec![format!("{name}: none")],
        Value::Array(items)
            if items.iter().any(|item| item.is_object() || item.is_array()) || text::columns(&text::whole(value)) > FLOW =>
        {
            items
        }
        Value::Object(_) if text::columns(&text::whole(value)) > FLOW => return vec![format!("{name}: {}", in_words(value))],
        _ => return vec![format!("{name}: {}", text::whole(value))],
    };
    let mut lines = vec![format!("{name}:")];
    for entry in items.iter().take(LIMIT) {
        let entry = item(entry);
        lines.extend(entry.into_iter().enumerate().map(|(at, line)| format!("  {} {line}", if at == 0 { "-" } else { " " })));
    }
    if items.len() > LIMIT {
        lines.push(format!("  … {} more", items.len() - LIMIT));
    }
    lines
}

/// What is short side by side; each of the rest on a line of its own.
fn item(item: &Value) -> Vec<String> {
    let Value::Object(entries) = item else { return vec![in_words(item)] };
    let known = entries.iter().filter(|(_, value)| !value.is_null());
    let parts: Vec<String> = known.map(|(name, value)| format!("{}: {}", text::clean(name), in_words(value))).collect();
    let (beside, alone): (Vec<String>, Vec<String>) = parts.into_iter().partition(|part| text::columns(part) <= BESIDE);
    let first = (!beside.is_empty()).then(|| beside.join(", "));
    first.into_iter().chain(alone).collect()
}

/// A value in flow style, with spaces at which a line can be broken.
pub fn in_words(value: &Value) -> String {
    match value {
        Value::Array(items) => format!("[{}]", items.iter().map(in_words).collect::<Vec<_>>().join(", ")),
        Value::Object(entries) => {
            let entries: Vec<String> = entries.iter().map(|(name, value)| format!("{}: {}", text::clean(name), in_words(value))).collect();
            format!("{{{}}}", entries.join(", "))
        }
        Value::String(text) if text.is_empty() => "\"\"".to_owned(),
        Value::String(text) => text::clean(text),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn values_have_spaces_at_which_a_line_can_break() {
        let value = serde_json::json!({ "host": "db", "ports": [1, 2], "none": null, "empty": "", "bell": "a\u{7}b" });
        assert_eq!(in_words(&value), "{host: db, ports: [1, 2], none: null, empty: \"\", bell: a b}");
    }

    #[test]
    fn a_list_of_what_is_wrong_is_read_item_by_item() {
        let message = "container app waits: the image registry.example/ticket-service:2 cannot be pulled: not found";
        let problems = json!([
            { "pod": "ticket-service-5d8f-a", "reason": "ImagePullBackOff", "message": message },
            { "pod": "ticket-service-5d8f-b", "reason": "OOMKilled", "message": "out of memory" },
        ]);
        assert_eq!(
            output("problems", &problems),
            [
                "problems:",
                "  - pod: ticket-service-5d8f-a, reason: ImagePullBackOff",
                &format!("    message: {message}"),
                "  - pod: ticket-service-5d8f-b, reason: OOMKilled, message: out of memory",
            ]
        );
        assert_eq!(output("problems", &json!([])), ["problems: none"]);
        assert_eq!(output("names", &json!(["a", "b"])), [r#"names: ["a","b"]"#]);
        assert_eq!(output("ready", &json!(8)), ["ready: 8"]);
        let long = "is busy ".repeat(40);
        assert_eq!(output("use", &json!(long)), [format!("use: {long}")]);
        let place =
            json!({ "host": "tickets.abcdefghijkl.eu-central-1.rds.amazonaws.com", "port": 5432, "status": "available, and in sync" });
        let whole = "endpoint: {host: tickets.abcdefghijkl.eu-central-1.rds.amazonaws.com, port: 5432, status: available, and in sync}";
        assert_eq!(output("endpoint", &place), [whole]);
        let many = Value::Array((0..25).map(|n| json!({ "n": n })).collect());
        assert_eq!(output("many", &many).last().unwrap(), "  … 5 more");
    }
}
