//! What an action says of itself in texts, where it brings no code of its own: the objects that it touches, and its lines for a person's hands. A
//! plugin's actions do.
//!
//! The texts stand in the schema of the inputs, like its other marks (`x-runsheet-secret`): `x-runsheet-touches` and `x-runsheet-by-hand`, lists in
//! which `{input}` stands for an input, `{input.part}` for a part of one, `{target.environment}` for the environment's name and `{target.NAME}` for
//! what the target says that it is.
//!
//! Must not guess. Invariants: an object of which a part is not known is no object; a value that is not known yet is the name of a shell variable, and
//! one that is known is quoted so that a shell changes nothing in it.

use serde_json::Value;

use super::by_hand::{ByHand, variable, variables_in, word};
use super::change::ObjectRef;
use super::run::TargetSpec;

/// The mark of a schema that holds the objects its action touches.
pub const TOUCHES: &str = "x-runsheet-touches";
/// The mark of a schema that holds its action's lines for a person's hands.
pub const BY_HAND: &str = "x-runsheet-by-hand";

/// The objects that are declared. Those of which something is not known are left out.
pub fn objects(schema: &Value, inputs: &Value, target: Option<&TargetSpec>) -> Vec<ObjectRef> {
    let part = |name: &str| match find(schema, inputs, target, name)? {
        Value::String(text) if !variables_in(&text).is_empty() => None,
        Value::String(text) => Some(text),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(yes) => Some(yes.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    };
    texts(schema, TOUCHES).filter_map(|text| filled(text, part)).map(ObjectRef).collect()
}

/// The lines that are declared.
pub fn by_hand(schema: &Value, inputs: &Value, target: Option<&TargetSpec>) -> ByHand {
    let part = |name: &str| match find(schema, inputs, target, name) {
        Some(Value::Null) | None => Some(word(&Value::String(variable(name)))),
        Some(value) => Some(word(&value)),
    };
    ByHand { act: texts(schema, BY_HAND).filter_map(|text| filled(text, part)).collect(), ..ByHand::default() }
}

/// The names of the places in a text, in order.
pub fn places(text: &str) -> Vec<&str> {
    pieces(text).into_iter().filter_map(|piece| if let Piece::Place(name) = piece { Some(name) } else { None }).collect()
}

fn texts<'s>(schema: &'s Value, mark: &str) -> impl Iterator<Item = &'s str> {
    schema.get(mark).and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str)
}

fn find(schema: &Value, inputs: &Value, target: Option<&TargetSpec>, name: &str) -> Option<Value> {
    if let Some(of_target) = name.strip_prefix("target.") {
        let target = target?;
        let environment = || Value::String(target.environment.clone());
        return if of_target == "environment" { Some(environment()) } else { target.identity.get(of_target).cloned() };
    }
    let mut parts = name.split('.');
    let first = parts.next()?;
    let given = inputs.get(first).filter(|value| !value.is_null());
    let value = given.or_else(|| schema.get("properties")?.get(first)?.get("default"))?;
    parts.try_fold(value, |value, part| value.get(part)).cloned()
}

/// The text with its places filled; `None`: one of them cannot be.
fn filled(text: &str, part: impl Fn(&str) -> Option<String>) -> Option<String> {
    let pieces = pieces(text).into_iter();
    pieces.map(|piece| if let Piece::Plain(text) = piece { Some(text.to_owned()) } else { part(piece.text()) }).collect()
}

#[derive(Clone, Copy)]
enum Piece<'t> {
    Plain(&'t str),
    Place(&'t str),
}

impl<'t> Piece<'t> {
    fn text(self) -> &'t str {
        match self {
            Self::Plain(text) | Self::Place(text) => text,
        }
    }
}

/// A place is `{name}` of lower-case letters, digits, `_` and `.`; a shell's `${name}` is not, nor is any other brace.
fn pieces(text: &str) -> Vec<Piece<'_>> {
    let is_name = |name: &str| {
        name.starts_with(|c: char| c.is_ascii_lowercase())
            && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_' || c == '.')
    };
    let mut pieces = Vec::new();
    let (mut plain, mut from) = (0, 0);
    while let Some(open) = text[from..].find('{').map(|at| from + at) {
        let name = text[open + 1..].split('}').next().unwrap_or_default();
        let end = open + 1 + name.len();
        if is_name(name) && end < text.len() && !text[..open].ends_with('$') {
            pieces.extend([Piece::Plain(&text[plain..open]), Piece::Place(name)]);
            plain = end + 1;
            from = plain;
        } else {
            from = open + 1;
        }
    }
    pieces.push(Piece::Plain(&text[plain..]));
    pieces
}

#[cfg(test)]
mod tests {
    use serde_json::{Map, json};

    use super::*;

    fn target() -> TargetSpec {
        let identity = Map::from_iter([("kubernetes".to_owned(), json!("uid-1"))]);
        TargetSpec { environment: "staging".into(), identity, values: Map::new() }
    }

    #[test]
    fn an_object_is_named_by_inputs_and_by_what_the_target_says_it_is() {
        let schema =
            json!({ TOUCHES: ["lights:{target.kubernetes}/{room}/{lamp.id}", "{room}"], "properties": { "room": { "default": "hall" } } });
        let named = |inputs: Value, target: Option<&TargetSpec>| -> Vec<String> {
            objects(&schema, &inputs, target).into_iter().map(|object| object.0).collect()
        };
        assert_eq!(named(json!({ "room": "foyer", "lamp": { "id": 3 } }), Some(&target())), ["lights:uid-1/foyer/3", "foyer"]);
        assert_eq!(named(json!({ "lamp": { "id": 3 } }), None), ["hall"], "what is not known is no object");
        assert!(named(json!({ "room": variable("room") }), Some(&target())).is_empty());
    }

    #[test]
    fn a_line_is_quoted_and_leaves_a_shells_own_braces_alone() {
        let schema = json!({ BY_HAND: ["k6 run -e HOST={host} {script} # ${home} {} {X} {target.environment} {a b}"] });
        let lines = |inputs| by_hand(&schema, &inputs, Some(&target())).act;
        let wanted = "k6 run -e HOST='a b' load.js # ${home} {} {X} staging {a b}";
        assert_eq!(lines(json!({ "host": "a b", "script": "load.js" })), [wanted]);
        assert_eq!(lines(json!({ "host": null, "script": 1 })), [wanted.replace("'a b'", "\"${HOST}\"").replace("load.js", "1")]);
    }

    #[test]
    fn the_places_of_a_text_can_be_listed() {
        assert_eq!(places("{a}${b}{c.d} {"), ["a", "c.d"]);
        assert!(places("ü{").is_empty());
    }
}
