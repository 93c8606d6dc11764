//! Keeps secrets out of texts: every form in which a secret's value may show up is replaced by its name.
//!
//! Must not fail open: where the search cannot be built, whole texts are withheld. Invariant: no text that comes out holds a value, nor its
//! base64, percent-encoded or JSON-escaped form, nor one line of it.

use std::collections::HashSet;

use aho_corasick::{AhoCorasick, MatchKind};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use percent_encoding::{AsciiSet, CONTROLS, NON_ALPHANUMERIC, utf8_percent_encode};
use secrecy::ExposeSecret;
use serde_json::Value;

use super::secrets::SecretValues;

/// The shortest piece (a line, a stretch of base64) that is searched for, in bytes.
const SHORTEST_PIECE: usize = 4;
/// RFC 3986's unreserved characters stay.
const COMPONENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
/// What a URL's path must encode; everything else stays.
const PATH: &AsciiSet = &CONTROLS.add(b' ').add(b'"').add(b'#').add(b'<').add(b'>').add(b'?').add(b'`').add(b'{').add(b'}');

/// Replaces every form of every secret by `[secret NAME]`.
#[derive(Clone)]
pub struct Redactor {
    /// `None`: the search could not be built, and every text is withheld.
    search: Option<AhoCorasick>,
    /// For each pattern: whose, and whether it is a stretch of base64.
    patterns: Vec<(String, bool)>,
}

impl std::fmt::Debug for Redactor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Redactor({} patterns)", self.patterns.len())
    }
}

impl Redactor {
    /// A redactor of these secrets.
    pub fn of(secrets: &SecretValues) -> Self {
        let mut texts: Vec<String> = Vec::new();
        let mut patterns = Vec::new();
        for (name, value) in secrets.iter() {
            for (form, base64) in forms(value.expose_secret()) {
                texts.push(form);
                patterns.push((name.to_owned(), base64));
            }
        }
        Self { search: AhoCorasick::builder().match_kind(MatchKind::Standard).build(&texts).ok(), patterns }
    }

    /// Whether there is nothing to replace.
    pub fn is_empty(&self) -> bool {
        self.patterns.is_empty()
    }

    /// The text without any secret's value.
    pub fn text(&self, text: &str) -> String {
        if self.patterns.is_empty() {
            return text.to_owned();
        }
        let Some(search) = &self.search else { return "[withheld: it may hold a secret]".to_owned() };
        // Overlapping finds are taken together, so that no end of one sticks out of the other.
        let mut found: Vec<(usize, usize, usize)> = search
            .find_overlapping_iter(text)
            .map(|hit| {
                let pattern = hit.pattern().as_usize();
                let (start, end) = if self.patterns[pattern].1 { widened(text, hit.start(), hit.end()) } else { (hit.start(), hit.end()) };
                (start, end, pattern)
            })
            .collect();
        found.sort_unstable_by_key(|&(start, end, _)| (start, std::cmp::Reverse(end)));
        let mut out = String::with_capacity(text.len());
        let mut done = 0;
        let mut next = found.into_iter().peekable();
        while let Some((start, mut end, pattern)) = next.next() {
            while let Some((_, further, _)) = next.next_if(|&(begin, _, _)| begin < end) {
                end = end.max(further);
            }
            out.push_str(&text[done..start]);
            out.push_str("[secret ");
            out.push_str(&self.patterns[pattern].0);
            out.push(']');
            done = end;
        }
        out.push_str(&text[done..]);
        out
    }

    /// The value without any secret's: in texts anywhere within, in the keys of maps, and in numbers.
    pub fn value(&self, value: Value) -> Value {
        match value {
            Value::String(text) => Value::String(self.text(&text)),
            Value::Array(items) => Value::Array(items.into_iter().map(|item| self.value(item)).collect()),
            Value::Object(map) => Value::Object(map.into_iter().map(|(key, item)| (self.text(&key), self.value(item))).collect()),
            Value::Number(number) => {
                let plain = number.to_string();
                let redacted = self.text(&plain);
                if plain == redacted { Value::Number(number) } else { Value::String(redacted) }
            }
            Value::Null | Value::Bool(_) => value,
        }
    }
}

/// Every form in which a secret's value may show up, for what searches by itself: the value, its lines, encoded and escaped.
pub fn forms_of(secret: &str) -> Vec<String> {
    forms(secret).into_iter().map(|(form, _)| form).collect()
}

/// Every form of a secret, and whether it is base64.
fn forms(secret: &str) -> Vec<(String, bool)> {
    let mut forms: Vec<(String, bool)> = Vec::new();
    let mut known = HashSet::new();
    let mut add = |form: String, base64: bool| {
        if form.len() >= SHORTEST_PIECE && known.insert(form.clone()) {
            forms.push((form, base64));
        }
    };
    let mut wholes = vec![secret];
    wholes.extend(secret.lines().map(str::trim).filter(|line| *line != secret));
    for whole in wholes {
        if whole.len() < SHORTEST_PIECE {
            continue;
        }
        add(whole.to_owned(), false);
        for set in [NON_ALPHANUMERIC, COMPONENT, PATH] {
            let encoded = utf8_percent_encode(whole, set).to_string();
            add(lower_hex(&encoded), false);
            add(encoded, false);
        }
        let form: String = url::form_urlencoded::byte_serialize(whole.as_bytes()).collect();
        add(lower_hex(&form), false);
        add(form, false);
        // A JSON text, and a JSON text within one.
        let once = escaped(whole);
        add(escaped(&once), false);
        add(once, false);
        add(whole.escape_debug().to_string(), false);
        for stretch in base64_stretches(whole.as_bytes()) {
            add(stretch, true);
        }
    }
    forms
}

/// The characters of base64 that depend on the secret alone, wherever it begins within what is encoded (`user:pass`).
fn base64_stretches(secret: &[u8]) -> Vec<String> {
    let mut stretches = Vec::new();
    for before in 0..3_usize {
        let mut bytes = vec![0_u8; before];
        bytes.extend_from_slice(secret);
        let whole = bytes.len() * 8 / 6;
        let skipped = [0, 2, 3][before];
        for encoded in [STANDARD_NO_PAD.encode(&bytes), URL_SAFE_NO_PAD.encode(&bytes)] {
            stretches.push(encoded[skipped..whole].to_owned());
        }
    }
    stretches
}

/// The characters at the edges of a stretch of base64, which hold some bits of the secret, and the padding.
fn widened(text: &str, start: usize, end: usize) -> (usize, usize) {
    let bytes = text.as_bytes();
    let alphabet = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'-' | b'_');
    let start = if start > 0 && alphabet(bytes[start - 1]) { start - 1 } else { start };
    let mut end = if bytes.get(end).is_some_and(|byte| alphabet(*byte)) { end + 1 } else { end };
    while bytes.get(end) == Some(&b'=') {
        end += 1;
    }
    (start, end)
}

fn escaped(text: &str) -> String {
    let quoted = Value::String(text.to_owned()).to_string();
    quoted[1..quoted.len() - 1].to_owned()
}

fn lower_hex(encoded: &str) -> String {
    let mut left = 0;
    encoded
        .chars()
        .map(|c| {
            if c == '%' {
                left = 2;
                c
            } else if left > 0 {
                left -= 1;
                c.to_ascii_lowercase()
            } else {
                c
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use base64::engine::general_purpose::{STANDARD, URL_SAFE};
    use serde_json::json;

    use super::*;

    fn redactor(secrets: &[(&str, &str)]) -> Redactor {
        let mut values = SecretValues::new();
        for (name, value) in secrets {
            values.insert(*name, (*value).to_owned().into());
        }
        Redactor::of(&values)
    }

    const ODD: &str = "p@ss w/rd\"?&+ü=1";

    #[test]
    fn every_form_of_a_secret_is_replaced() {
        let redactor = redactor(&[("token", ODD)]);
        let json = serde_json::to_string(ODD).unwrap();
        let forms = [
            ODD.to_owned(),
            json.clone(),
            serde_json::to_string(&json).unwrap(),
            format!("{ODD:?}"),
            STANDARD.encode(ODD),
            URL_SAFE.encode(ODD),
            STANDARD_NO_PAD.encode(ODD),
            utf8_percent_encode(ODD, COMPONENT).to_string(),
            lower_hex(&utf8_percent_encode(ODD, NON_ALPHANUMERIC).to_string()),
            url::form_urlencoded::byte_serialize(ODD.as_bytes()).collect(),
        ];
        for form in forms {
            let text = redactor.text(&format!("<{form}>"));
            assert!(text.contains("[secret token]"), "{form}: {text}");
            assert!(!text.contains("rd"), "{form}: {text}");
        }
    }

    #[test]
    fn a_secret_within_base64_is_found_at_every_alignment_and_leaves_no_edge() {
        let redactor = redactor(&[("password", "correct-horse")]);
        for user in ["a", "ab", "abc", "abcd", "operator"] {
            for encoded in [STANDARD.encode(format!("{user}:correct-horse")), URL_SAFE.encode(format!("{user}:correct-horse"))] {
                let text = redactor.text(&format!("authorization: Basic {encoded}."));
                // What is left before it encodes the user's name, and after it comes nothing.
                assert!(text.ends_with("[secret password]."), "{user}: {text}");
                assert!(text.len() < "authorization: Basic [secret password].".len() + encoded.len() / 2, "{user}: {text}");
            }
            let text = redactor.text(&STANDARD.encode(format!("{user}:correct-horse:and more")));
            let rest = "[secret password]".len() + 8;
            assert!(text.contains("[secret password]") && text.len() >= rest, "what is no secret stays: {user}: {text}");
        }
    }

    #[test]
    fn overlapping_secrets_leave_nothing_behind() {
        let redactor = redactor(&[("one", "abcdef"), ("two", "defghi"), ("long", "abcdefgh-and-more")]);
        assert_eq!(redactor.text("xabcdefghix"), "x[secret one]x");
        assert_eq!(redactor.text("abcdefgh-and-more"), "[secret long]");
        assert_eq!(redactor.text("defghi abcdef"), "[secret two] [secret one]");
    }

    #[test]
    fn each_line_of_a_secret_is_one() {
        let redactor = redactor(&[("key", "-----BEGIN-----\nc2VjcmV0c2VjcmV0\n-----END-----\n")]);
        assert_eq!(redactor.text("read c2VjcmV0c2VjcmV0 today"), "read [secret key] today");
    }

    #[test]
    fn the_longest_secret_of_the_shortest_lines_is_searched_for_in_bounded_time() {
        let lines: String = (0..6_500).map(|number| format!("{:04x}\n", number * 7)).collect();
        let start = std::time::Instant::now();
        let redactor = redactor(&[("lines", &lines)]);
        assert_eq!(redactor.text(&format!("<{:04x}>", 70)), "<[secret lines]>");
        assert!(start.elapsed() < std::time::Duration::from_secs(10), "{:?}", start.elapsed());
    }

    #[test]
    fn values_are_redacted_in_keys_texts_and_numbers() {
        let redactor = redactor(&[("pin", "48151623")]);
        let value = json!({"48151623": ["x 48151623", 48151623, 12, null, true, {"in": "a48151623"}]});
        let wanted = json!({"[secret pin]": ["x [secret pin]", "[secret pin]", 12, null, true, {"in": "a[secret pin]"}]});
        assert_eq!(redactor.value(value), wanted);
    }

    #[test]
    fn without_secrets_a_text_stays_as_it_is() {
        assert_eq!(Redactor::of(&SecretValues::new()).text("abc"), "abc");
        assert_eq!(redactor(&[("token", "hunter22")]).text("nothing here, not even hunter2"), "nothing here, not even hunter2");
    }
}
