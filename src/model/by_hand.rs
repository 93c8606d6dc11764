//! What a person would type instead of a step: lines for a POSIX shell, made of nothing but the step's inputs.
//!
//! Must not ask anything: it is for the night on which the engine cannot run. Invariant: a value that is not known yet is the name of a shell
//! variable, never a guess, and a value that is known is quoted so that a shell changes nothing in it.

use serde_json::Value;

use super::run::TargetSpec;

/// What a person would type instead of a step.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ByHand {
    /// Lines that show what is there before, so that it can be put back.
    pub look: Vec<String>,
    /// Lines that do what the step does.
    pub act: Vec<String>,
    /// Lines that put back what `look` showed; a value that only `look` tells is a shell variable.
    pub undo: Vec<String>,
}

/// The lines of an action from its inputs, in which [`variable`]s may stand for values of any type. Pure.
pub type ByHandOf = fn(&Value, Option<&TargetSpec>) -> ByHand;

/// Nothing that a person could type.
pub fn nothing_by_hand(_: &Value, _: Option<&TargetSpec>) -> ByHand {
    ByHand::default()
}

const OPENS: char = '\u{E000}';
const CLOSES: char = '\u{E001}';

/// A text that stands for a value which is not known yet: in a line it becomes `"$NAME"`. The name's characters other than letters and digits
/// become `_`.
pub fn variable(name: &str) -> String {
    let name: String = name.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' }).collect();
    format!("{OPENS}{name}{CLOSES}")
}

/// The names of the variables in a text, in order.
pub fn variables_in(text: &str) -> Vec<&str> {
    text.split(OPENS).skip(1).filter_map(|rest| rest.split_once(CLOSES)).map(|(name, _)| name).collect()
}

/// One word for a shell: texts as they are, other values as JSON, variables as `"$NAME"`.
pub fn word(value: &Value) -> String {
    match value {
        Value::String(text) => quoted(text),
        other => quoted(&other.to_string()),
    }
}

/// One word for a shell.
pub fn quoted(text: &str) -> String {
    let mut out = String::new();
    for (at, piece) in text.split(OPENS).enumerate() {
        let (name, plain) = match piece.split_once(CLOSES) {
            Some((name, plain)) if at > 0 => (Some(name), plain),
            _ => (None, piece),
        };
        if let Some(name) = name {
            out.push_str(&format!("\"${{{name}}}\""));
        }
        if !plain.is_empty() {
            out.push_str(&plainly(plain));
        }
    }
    if out.is_empty() { "''".to_owned() } else { out }
}

fn plainly(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=@%+,".contains(c);
    if text.chars().all(plain) { text.to_owned() } else { format!("'{}'", text.replace('\'', "'\\''")) }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn known_values_are_quoted_and_unknown_ones_are_variables() {
        assert_eq!(quoted("deployment/x"), "deployment/x");
        assert_eq!(quoted("it's $HOME"), r"'it'\''s $HOME'");
        assert_eq!(quoted(""), "''");
        assert_eq!(word(&json!(8)), "8");
        assert_eq!(word(&json!({ "a": "b c" })), r#"'{"a":"b c"}'"#);
        let unknown = variable("budget.largest pool");
        assert_eq!(quoted(&format!("DB_POOL_MAX={unknown}")), r#"DB_POOL_MAX="${BUDGET_LARGEST_POOL}""#);
        assert_eq!(variables_in(&format!("a{unknown}b{}", variable("x"))), ["BUDGET_LARGEST_POOL", "X"]);
    }
}
