//! What is given to parameters.

use std::collections::BTreeMap;

use super::*;

fn playbook() -> Playbook {
    accepted(concat!(
        "playbook: test\nsummary: s\nparams:\n",
        "  id: { type: string, format: uuid, help: The event }\n  level: { type: string, enum: [low, high], default: high }\n",
        "  n: { type: integer, default: 1 }\n  x: { type: number, default: 1.5 }\n  b: { type: boolean, default: false }\n",
        "  t: { type: timestamp, default: '2026-06-01T19:00:00Z' }\n  d: { type: duration, default: 90s }\n  l: { type: list, default: [] }\n",
        "  m: { type: map, default: {} }\n  u: { type: string, format: url, default: 'http://x.example' }\n",
        "  e: { type: string, format: email, default: a@example.com }\n  k: { type: string, format: name, default: web-1 }\n",
        "steps:\n  - { id: a, uses: noop }\n",
    ))
}

fn given(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

const ID: (&str, &str) = ("id", "3f2504e0-4f89-41d3-9a0c-0305e82c3301");

#[test]
fn texts_become_values_of_the_declared_type() {
    let bound =
        bind(&playbook(), &given(&[ID, ("n", "4"), ("x", "2"), ("b", "true"), ("l", "[1]"), ("m", "{\"a\": 1}"), ("d", "1h30m")])).unwrap();
    assert_eq!(bound["n"], json!(4));
    assert_eq!((&bound["x"], &bound["b"], &bound["l"], &bound["m"]), (&json!(2), &json!(true), &json!([1]), &json!({ "a": 1 })));
    assert_eq!((&bound["level"], &bound["d"]), (&json!("high"), &json!("1h30m")));
    assert_eq!(bound.len(), 12);
}

#[test]
fn everything_wrong_is_told_at_once() {
    let errors = bind(&playbook(), &given(&[("levle", "x"), ("n", "four"), ("level", "hgih")])).unwrap_err();
    let told: Vec<_> = errors.iter().map(|error| (error.message.as_str(), error.hint.as_deref().unwrap_or_default())).collect();
    assert_eq!(
        told,
        [
            ("parameter `id` is missing (The event)", "give it with -p id=<uuid>"),
            ("parameter `level` cannot be `hgih`", "did you mean `high`?"),
            ("parameter `n` is a whole number, not `four`", ""),
            ("playbook test has no parameter `levle`", "did you mean `level`?"),
        ]
    );
}

#[test]
fn formats_are_held() {
    for (name, wrong, message) in [
        ("id", "3f2504e0", "is a UUID, not `3f2504e0`"),
        ("u", "ftp://x", "is a URL, not `ftp://x`"),
        ("u", "nonsense", "is a URL"),
        ("e", "nobody", "is an e-mail address"),
        ("k", "Web_1", "is a name"),
        ("k", "-web", "is a name"),
        ("t", "tomorrow", "is a time"),
        ("t", "2026-06-01T19:00:00", "is a time"),
        ("t", "2026-10-25T02:30[Europe/Berlin]", "is a time"),
        ("d", "90", "is a duration"),
        ("b", "yes", "is `true` or `false`"),
        ("x", "NaN", "is a number"),
        ("l", "[1", "is a list, and this is not JSON"),
        ("m", "[1]", "is a map"),
        ("n", "1.5", "is a whole number"),
        ("n", "9223372036854775808", "is too large"),
    ] {
        let mut all = given(&[ID]);
        all.insert(name.to_owned(), wrong.to_owned());
        let errors = bind(&playbook(), &all).unwrap_err();
        assert_eq!(errors.len(), 1, "{name}={wrong}");
        assert!(errors[0].message.contains(message), "{name}={wrong}: {}", errors[0].message);
    }
    for (name, right) in [("t", "2026-06-01T19:00[Europe/Berlin]"), ("k", "7up"), ("u", "https://a.example/b?c")] {
        let mut all = given(&[ID]);
        all.insert(name.to_owned(), right.to_owned());
        bind(&playbook(), &all).unwrap();
    }
}

#[test]
fn numbers_are_held_within_their_bounds() {
    let playbook = accepted(concat!(
        "playbook: test\nsummary: s\nparams:\n  n: { type: integer, minimum: 1, maximum: 5 }\n  x: { type: number, minimum: 0.5, default: 1 }\n",
        "steps:\n  - { id: a, uses: noop }\n",
    ));
    for (n, x) in [("1", "0.5"), ("5", "1e9")] {
        bind(&playbook, &given(&[("n", n), ("x", x)])).unwrap();
    }
    let told = |n: &str, x: &str| bind(&playbook, &given(&[("n", n), ("x", x)])).unwrap_err().remove(0).message;
    assert_eq!(told("0", "1"), "parameter `n` is at least 1, not `0`");
    assert_eq!(told("-1", "1"), "parameter `n` is at least 1, not `-1`");
    assert_eq!(told("6", "1"), "parameter `n` is at most 5, not `6`");
    assert_eq!(told("2", "0.4"), "parameter `x` is at least 0.5, not `0.4`");
}

#[test]
fn values_are_not_converted() {
    let values = json!({ "id": ID.1, "n": "4" });
    let errors = bind_values(&playbook(), values.as_object().unwrap()).unwrap_err();
    assert_eq!(errors[0].message, "parameter `n` is a whole number, not `4`");
    assert!(bind_values(&playbook(), json!({ "id": ID.1, "n": 4 }).as_object().unwrap()).is_ok());
}
