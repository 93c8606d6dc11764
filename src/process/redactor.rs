//! Takes secrets out of a stream of bytes, wherever its chunks happen to end.
//!
//! Invariant: what comes out is the same however the input is cut into chunks; at most one secret's length is held back.

/// Lines of a secret of several lines that are at least this long are secrets as well: a key's line, but not `}`.
const SHORTEST_LINE: usize = 8;

/// Replaces each secret by `[secret NAME]`.
pub(super) struct Redactor {
    /// Longest first, so that of two that begin alike the longer is taken.
    secrets: Vec<(Vec<u8>, Vec<u8>)>,
    /// Whether a secret begins with this byte.
    begins: [bool; 256],
    held: Vec<u8>,
}

impl Redactor {
    pub(super) fn new(secrets: &[(String, String)]) -> Self {
        let mut all = Vec::new();
        for (name, value) in secrets {
            let mark = format!("[secret {name}]").into_bytes();
            let lines = value.lines().map(str::trim).filter(|line| line.len() >= SHORTEST_LINE);
            for text in std::iter::once(value.as_str()).chain(std::iter::once(value.trim())).chain(lines) {
                if !text.is_empty() {
                    all.push((text.as_bytes().to_vec(), mark.clone()));
                }
            }
        }
        all.sort_by(|a, b| b.0.len().cmp(&a.0.len()).then_with(|| a.cmp(b)));
        all.dedup_by(|a, b| a.0 == b.0);
        let mut begins = [false; 256];
        for (secret, _) in &all {
            begins[usize::from(secret[0])] = true;
        }
        Self { secrets: all, begins, held: Vec::new() }
    }

    /// Takes a chunk in, gives out what is certain.
    pub(super) fn push(&mut self, chunk: &[u8]) -> Vec<u8> {
        if self.secrets.is_empty() {
            return chunk.to_vec();
        }
        self.held.extend_from_slice(chunk);
        self.take(false)
    }

    /// Gives out what was held back: the stream has ended.
    pub(super) fn finish(&mut self) -> Vec<u8> {
        self.take(true)
    }

    fn take(&mut self, ended: bool) -> Vec<u8> {
        let text = std::mem::take(&mut self.held);
        let mut out = Vec::with_capacity(text.len());
        let mut at = 0;
        while at < text.len() {
            let plain = text[at..].iter().position(|byte| self.begins[usize::from(*byte)]).unwrap_or(text.len() - at);
            out.extend_from_slice(&text[at..at + plain]);
            at += plain;
            let rest = &text[at..];
            if rest.is_empty() {
                break;
            }
            if !ended && self.secrets.iter().any(|(secret, _)| secret.len() > rest.len() && secret.starts_with(rest)) {
                self.held = rest.to_vec();
                break;
            }
            if let Some((secret, mark)) = self.secrets.iter().find(|(secret, _)| rest.starts_with(secret)) {
                out.extend_from_slice(mark);
                at += secret.len();
            } else {
                out.push(rest[0]);
                at += 1;
            }
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn redact(secrets: &[(&str, &str)], chunks: &[&[u8]]) -> String {
        let secrets: Vec<_> = secrets.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let mut redactor = Redactor::new(&secrets);
        let mut out: Vec<u8> = chunks.iter().flat_map(|chunk| redactor.push(chunk)).collect();
        out.extend(redactor.finish());
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_secret_across_chunks_is_taken_out() {
        assert_eq!(redact(&[("token", "s3cret")], &[b"a s3", b"cr", b"et b"]), "a [secret token] b");
        assert_eq!(redact(&[("token", "s3cret")], &[b"a s3", b"cr"]), "a s3cr");
    }

    #[test]
    fn the_longer_of_two_is_taken_even_when_the_rest_comes_later() {
        assert_eq!(redact(&[("a", "abc"), ("b", "abcdef")], &[b"abc", b"def abcd"]), "[secret b] [secret a]d");
    }

    #[test]
    fn a_line_of_a_key_is_taken_out_even_when_indented() {
        let key = "-----BEGIN-----\nMIIEvQIBADAN\n}\n-----END-----\n";
        assert_eq!(redact(&[("key", key)], &[b"  MIIEvQIBADAN\n  }\n"]), "  [secret key]\n  }\n");
        assert_eq!(redact(&[("key", key)], &[key.as_bytes()]), "[secret key]");
    }

    #[test]
    fn an_empty_secret_redacts_nothing() {
        assert_eq!(redact(&[("empty", "")], &[b"text"]), "text");
    }

    proptest! {
        #[test]
        fn cutting_the_input_elsewhere_changes_nothing(
            text in "[ab]{0,40}", first in "[ab]{1,5}", second in "[ab]{1,5}", cuts in prop::collection::vec(0usize..40, 0..6)
        ) {
            let secrets = [("x", first.as_str()), ("y", second.as_str())];
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(text.len())).chain([0, text.len()]).collect();
            cuts.sort_unstable();
            let chunks: Vec<&[u8]> = cuts.windows(2).map(|pair| &text.as_bytes()[pair[0]..pair[1]]).collect();
            let whole = redact(&secrets, &[text.as_bytes()]);
            prop_assert_eq!(&redact(&secrets, &chunks), &whole);
            let unmarked = whole.replace("[secret x]", " ").replace("[secret y]", " ");
            prop_assert!(!unmarked.contains(&first) && !unmarked.contains(&second));
        }
    }
}
