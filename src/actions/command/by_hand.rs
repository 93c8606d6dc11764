//! The same command as a line for a person's shell.
//!
//! Invariant: a secret's value never gets in; where one is needed there is `$NAME`.

use serde_json::Value;

use super::inputs::CommandInputs;
use crate::model::by_hand::{ByHand, quoted, variable, word};
use crate::model::run::TargetSpec;

/// How much of stdin is shown, in bytes.
const SHOWN_STDIN: usize = 256;

/// A line for a POSIX shell. `secrets` are names and values.
pub(super) fn line(inputs: &CommandInputs, secrets: &[(String, String)]) -> String {
    let mut words = Vec::new();
    if let Some(cwd) = &inputs.cwd {
        words.push(format!("cd {} &&", quote(&cwd.to_string_lossy(), secrets)));
    }
    if let Some(bytes) = inputs.stdin_bytes() {
        let text = String::from_utf8_lossy(&bytes);
        if text.len() <= SHOWN_STDIN {
            words.push(format!("printf %s {} |", quote(&text, secrets)));
        } else {
            words.push("<STDIN".to_owned());
        }
    }
    for (name, value) in &inputs.env {
        // A secret is not in place while a plan is made: whoever types the line has it in a variable of that name.
        let value = value.as_ref().map_or_else(|| format!("\"${name}\""), |value| quote(&value.to_string(), secrets));
        words.push(format!("{name}={value}"));
    }
    words.extend(inputs.words().iter().map(|word| quote(word, secrets)));
    words.join(" ")
}

/// The line from the inputs alone, in which variables may stand for values.
pub(super) fn of_inputs(inputs: &Value, _: Option<&TargetSpec>) -> ByHand {
    let given = |key: &str| inputs.get(key).filter(|value| !value.is_null());
    let mut words = Vec::new();
    if let Some(cwd) = given("cwd") {
        words.push(format!("cd {} &&", word(cwd)));
    }
    if let Some(stdin) = inputs.get("stdin") {
        // A secret that is not in place is null.
        words.push(format!("printf %s {} |", if stdin.is_null() { quoted(&variable("stdin")) } else { word(stdin) }));
    }
    match given("env") {
        Some(Value::Object(env)) => words.extend(env.iter().map(|(name, value)| {
            let value = if value.is_null() { format!("\"${name}\"") } else { word(value) };
            format!("{name}={value}")
        })),
        Some(other) => words.push(format!("env {}", word(other))),
        None => {}
    }
    match (given("argv"), given("script")) {
        (Some(Value::Array(argv)), _) => words.extend(argv.iter().map(word)),
        (Some(argv), _) => words.push(word(argv)),
        (None, Some(script)) => {
            let bash = given("interpreter").is_some_and(|interpreter| interpreter == "bash");
            words.push(if bash { "bash -eu -o pipefail -c".to_owned() } else { "sh -eu -c".to_owned() });
            words.push(word(script));
        }
        (None, None) => return ByHand::default(),
    }
    ByHand { act: vec![words.join(" ")], ..ByHand::default() }
}

/// One word for a shell, with `"$NAME"` in the place of each secret.
pub(super) fn quote(word: &str, secrets: &[(String, String)]) -> String {
    let first = secrets
        .iter()
        .filter(|(_, value)| !value.is_empty())
        .filter_map(|(name, value)| word.find(value.as_str()).map(|at| (at, std::cmp::Reverse(value.len()), name, value)))
        .min();
    if let Some((at, _, name, value)) = first {
        let part = |text: &str| if text.is_empty() { String::new() } else { quote(text, secrets) };
        let variable: String = name.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' }).collect();
        return format!("{}\"${variable}\"{}", part(&word[..at]), part(&word[at + value.len()..]));
    }
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=@%+,".contains(c);
    if !word.is_empty() && word.chars().all(plain) { word.to_owned() } else { format!("'{}'", word.replace('\'', r"'\''")) }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn words_are_quoted_as_a_shell_needs_it() {
        let inputs =
            CommandInputs::read(&json!({ "argv": ["echo", "it's", "", "a b", "--x=1", "$HOME"], "cwd": "/my data", "stdin": { "a": 1 } }))
                .ok()
                .unwrap();
        assert_eq!(line(&inputs, &[]), r#"cd '/my data' && printf %s '{"a":1}' | echo 'it'\''s' '' 'a b' --x=1 '$HOME'"#);
    }

    #[test]
    fn inputs_alone_make_a_line() {
        let of = |inputs: Value| of_inputs(&inputs, None).act.join("\n");
        let inputs =
            json!({ "argv": ["scale", variable("count"), 8], "env": { "TOKEN": null, "A": "b c" }, "cwd": "/x y", "stdin": { "a": 1 } });
        assert_eq!(of(inputs), r#"cd '/x y' && printf %s '{"a":1}' | TOKEN="$TOKEN" A='b c' scale "${COUNT}" 8"#);
        assert_eq!(
            of(json!({ "shell": true, "script": "echo \"$A\"\nexit 1", "env": { "A": true } })),
            "A=true sh -eu -c 'echo \"$A\"\nexit 1'"
        );
        assert_eq!(of(json!({ "script": "x", "interpreter": "bash" })), "bash -eu -o pipefail -c x");
        assert_eq!(of(json!({})), "");
    }

    #[test]
    fn a_secret_is_named_wherever_it_stands() {
        let secrets = [("service_token".to_owned(), "s3 cret".to_owned()), ("short".to_owned(), "s3".to_owned())];
        let inputs =
            CommandInputs::read(&json!({ "argv": ["curl"], "env": { "AUTH": "Bearer s3 cret!", "KEY": "s3 cret" } })).ok().unwrap();
        assert_eq!(line(&inputs, &secrets), r#"AUTH='Bearer '"$SERVICE_TOKEN"'!' KEY="$SERVICE_TOKEN" curl"#);
    }
}
