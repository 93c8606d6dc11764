//! The same command as a line for a person's shell.
//!
//! Invariant: a secret's value never gets in; where one is needed there is `$NAME`.

use super::inputs::CommandInputs;

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
    fn a_secret_is_named_wherever_it_stands() {
        let secrets = [("service_token".to_owned(), "s3 cret".to_owned()), ("short".to_owned(), "s3".to_owned())];
        let inputs =
            CommandInputs::read(&json!({ "argv": ["curl"], "env": { "AUTH": "Bearer s3 cret!", "KEY": "s3 cret" } })).ok().unwrap();
        assert_eq!(line(&inputs, &secrets), r#"AUTH='Bearer '"$SERVICE_TOKEN"'!' KEY="$SERVICE_TOKEN" curl"#);
    }
}
