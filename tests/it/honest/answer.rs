//! What was answered, without what differs from one cluster, one moment and one object to the next.

use std::collections::BTreeMap;

use regex::Regex;
use serde_json::{Map, Value, json};

/// An answer.
pub struct Answer(BTreeMap<String, String>);

/// Where two answers differ.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// What was asked.
    pub ask: String,
    /// Where in the answer: `spec.replicas`, or `status code`.
    pub at: String,
    /// What the sandbox says there.
    pub sandbox: String,
    /// What Kubernetes says there.
    pub real: String,
}

/// What stands where there is nothing.
const NOTHING: &str = "–";

impl Answer {
    /// Reduced.
    pub fn new(status: u16, body: Value, namespace: &str, but: &[&str]) -> Self {
        let mut fields = BTreeMap::from([("status code".to_owned(), status.to_string())]);
        flatten(&reduced(body, &Changing::new(namespace)), String::new(), &mut fields);
        fields.retain(|at, _| {
            !but.iter().any(|but| at.strip_prefix(but).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '['])))
        });
        Self(fields)
    }
}

/// Texts that change.
struct Changing {
    namespace: String,
    rules: Vec<(Regex, &'static str)>,
}

impl Changing {
    fn new(namespace: &str) -> Self {
        let rules = [
            (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", "TIME"),
            (r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b", "UID"),
            (r"\b10\.\d+\.\d+\.\d+\b", "IP"),
            (r"record \(\d+\)", "record (VERSION)"),
            (r"\b(ticket-service|probe)-[a-z0-9]{6,10}-[a-z0-9]{5}\b", "$1-POD"),
            (r"\b(ticket-service|probe|stateful|orphaned|whole)-[bcdfghjklmnpqrstvwxz2456789]{5,10}\b", "$1-HASH"),
            (r"\bnode-[a-c]\b", "NODE"),
            (r"\bzone-[a-c]\b", "ZONE"),
            (r"\b\d+(\.\d+)?(ms|s)\b", "SPAN"),
        ];
        let rule = |(pattern, put): (&str, &'static str)| (Regex::new(pattern).expect("a pattern"), put);
        Self { namespace: namespace.to_owned(), rules: rules.into_iter().map(rule).collect() }
    }

    fn settle(&self, text: &str) -> String {
        let text = text.replace(&self.namespace, "NS");
        self.rules.iter().fold(text, |text, (pattern, put)| pattern.replace_all(&text, *put).into_owned())
    }
}

/// Keys whose values are another each time, and say nothing.
const STAMPS: [&str; 10] = [
    "uid",
    "resourceVersion",
    "creationTimestamp",
    "pod-template-hash",
    "selfLink",
    "continue",
    "remainingItemCount",
    "collisionCount",
    "kubernetes.io/metadata.name",
    // Counts the templates that its controller has come to see: of two that follow each other quickly it may see the last alone.
    "deployment.kubernetes.io/revision",
];

fn reduced(value: Value, changing: &Changing) -> Value {
    match value {
        Value::String(text) => Value::String(changing.settle(&text)),
        Value::Array(items) => {
            let items: Vec<Value> = items.into_iter().map(|item| reduced(item, changing)).collect();
            // Lists whose order says nothing, by what tells their items apart.
            let key =
                ["name", "type", "manager"].into_iter().find(|key| !items.is_empty() && items.iter().all(|item| item[*key].is_string()));
            match key {
                Some(key) => {
                    let mut named = Map::new();
                    for item in items {
                        let name = format!("[{}]", item[key].as_str().unwrap_or_default());
                        let mut free = name.clone();
                        for number in 2.. {
                            if !named.contains_key(&free) {
                                break;
                            }
                            free = format!("{name}{number}");
                        }
                        named.insert(free, item);
                    }
                    Value::Object(named)
                }
                None => Value::Array(items),
            }
        }
        Value::Object(fields) => {
            let fields = fields.into_iter().filter(|(key, _)| !STAMPS.contains(&key.as_str()));
            Value::Object(fields.map(|(key, value)| (changing.settle(&key), reduced(value, changing))).collect())
        }
        other => other,
    }
}

fn flatten(value: &Value, at: String, into: &mut BTreeMap<String, String>) {
    let below = |key: &str| match (at.is_empty(), key.starts_with('[')) {
        (true, _) => key.to_owned(),
        (false, true) => format!("{at}{key}"),
        (false, false) => format!("{at}.{key}"),
    };
    match value {
        Value::Object(fields) if !fields.is_empty() => fields.iter().for_each(|(key, value)| flatten(value, below(key), into)),
        Value::Array(items) if !items.is_empty() => {
            items.iter().enumerate().for_each(|(index, item)| flatten(item, below(&format!("[{index}]")), into));
        }
        Value::String(text) => drop(into.insert(at, text.clone())),
        other => drop(into.insert(at, other.to_string())),
    }
}

/// Where they differ. What one of them has and the other lacks as a whole is told once.
pub fn differences(ask: &str, sandbox: &Answer, real: &Answer) -> Vec<Difference> {
    let mut found: Vec<Difference> = Vec::new();
    let all: std::collections::BTreeSet<&String> = sandbox.0.keys().chain(real.0.keys()).collect();
    for at in all {
        let (left, right) = (sandbox.0.get(at), real.0.get(at));
        if left == right {
            continue;
        }
        let (at, whole) = match (left, right) {
            (None, _) => whole(at, &sandbox.0),
            (_, None) => whole(at, &real.0),
            _ => (at.clone(), false),
        };
        if found.last().is_some_and(|last| last.at == at) {
            continue;
        }
        let say = |side: Option<&String>| side.map_or(NOTHING.to_owned(), |text| if whole { "there".to_owned() } else { text.clone() });
        found.push(Difference { ask: ask.to_owned(), at, sandbox: say(left), real: say(right) });
    }
    found
}

/// The topmost place on the way that the other side has nothing of.
fn whole(at: &str, other: &BTreeMap<String, String>) -> (String, bool) {
    let ends: Vec<usize> =
        at.char_indices().filter(|(index, char)| *index > 0 && (*char == '.' || *char == '[')).map(|(index, _)| index).collect();
    for end in ends {
        let above = &at[..end];
        let has = other.keys().any(|key| key.strip_prefix(above).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '['])));
        if !has {
            return (above.to_owned(), true);
        }
    }
    (at.to_owned(), false)
}

#[test]
fn answers_that_say_the_same_are_the_same_and_others_are_told() {
    let answer = |body: Value| Answer::new(200, body, "it-1", &["but"]);
    let one = json!({ "metadata": { "uid": "a", "namespace": "it-1" }, "conditions": [{ "type": "A", "status": "True" }, { "type": "B" }], "only": { "a": 1, "b": 2 } });
    let other = json!({ "but": 1, "metadata": { "uid": "b", "namespace": "it-1" }, "conditions": [{ "type": "B" }, { "type": "A", "status": "False" }] });
    assert_eq!(differences("x", &answer(one.clone()), &answer(one.clone())), []);
    let found = differences("x", &answer(one), &answer(other));
    let told: Vec<String> =
        found.iter().map(|difference| format!("{}: {} {}", difference.at, difference.sandbox, difference.real)).collect();
    assert_eq!(told, ["conditions[A].status: True False", "only: there –"]);
}
