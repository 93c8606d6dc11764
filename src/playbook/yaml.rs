//! YAML text to a tree with places.
//!
//! The event parser under serde-saphyr is used directly: a deserializer would lose the places of nested keys. Must not know playbooks. Invariants: no
//! recursion and no deeper tree than [`DEPTH`], no aliases (so the tree is no larger than the text), and no construct of YAML with a second spelling.

use granit_parser::{Event, Options, Parser, ScalarStyle, Tag};

use super::diagnostics::Problems;
use super::source::{File, Span};

/// The deepest nesting.
pub(super) const DEPTH: usize = 64;
/// The most complaints about YAML itself before giving up on a file.
const COMPLAINTS: usize = 30;

/// A value and where it stands.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) kind: Kind,
    pub(super) span: Span,
}

/// What a value is.
#[derive(Clone, Debug)]
pub(super) enum Kind {
    Null,
    Bool(bool),
    Int(i64),
    Float(f64),
    /// A text, and whether it stood without quotes.
    Text(String, bool),
    List(Vec<Node>),
    Map(Vec<(Key, Node)>),
}

/// A key of a map.
#[derive(Clone, Debug)]
pub(super) struct Key {
    pub(super) name: String,
    pub(super) span: Span,
}

impl Node {
    /// What it is, for people.
    pub(super) fn describe(&self) -> &'static str {
        match &self.kind {
            Kind::Null => "nothing",
            Kind::Bool(_) => "a boolean",
            Kind::Int(_) => "an integer",
            Kind::Float(_) => "a number",
            Kind::Text(..) => "a string",
            Kind::List(_) => "a list",
            Kind::Map(_) => "a map",
        }
    }

    /// The value of a key, where it is a map that has it.
    pub(super) fn get(&self, name: &str) -> Option<&Node> {
        match &self.kind {
            Kind::Map(entries) => entries.iter().find(|(key, _)| key.name == name).map(|(_, value)| value),
            _ => None,
        }
    }
}

enum Open {
    List(Vec<Node>, Span),
    Map { entries: Vec<(Key, Node)>, names: std::collections::HashMap<String, u32>, key: Option<Key>, span: Span },
}

/// The tree of a file's one document.
pub(super) fn parse(file: &File, problems: &mut Problems<'_>) -> Option<Node> {
    let mut options = Options::default();
    options.emit_anchor_events = true;
    options.emit_unresolved_aliases = true;
    options.disallow_directives = true;
    options.set_emit_comments(false);
    options.flow_nesting_limit = DEPTH * 2;
    options.block_nesting_limit = DEPTH * 2;
    let mut open: Vec<Open> = Vec::new();
    let mut root: Option<Node> = None;
    let mut documents = 0;
    for event in Parser::new_from_str_with_options(&file.text, options) {
        let (event, at) = match event {
            Ok(event) => event,
            Err(error) => {
                scan_error(file, problems, &error);
                return None;
            }
        };
        let start = at.start.byte_offset().unwrap_or_default();
        let span = file.between(start, at.end.byte_offset().unwrap_or(start));
        let node = match event {
            Event::DocumentStart(..) => {
                documents += 1;
                if documents > 1 {
                    problems.hint(
                        "yaml",
                        span,
                        "there is a second document in the file",
                        "one file holds one playbook: remove the `---` before this",
                    );
                    return None;
                }
                None
            }
            Event::Anchor(..) => {
                problems.hint(
                    "anchor",
                    span,
                    "anchors (`&name`) are not part of the language",
                    "write the value where it is used, or name it in `vars`",
                );
                None
            }
            Event::Alias(_) | Event::UnresolvedAlias(_) => {
                problems.hint(
                    "alias",
                    span,
                    "aliases (`*name`) are not part of the language",
                    "write the value here, or name it in `vars`; a text that begins with `*` is quoted",
                );
                Some(Node { kind: Kind::Null, span })
            }
            Event::Scalar(text, style, _, tag) => {
                complain_of_tag(file, problems, tag.as_deref(), &at, span);
                Some(Node { kind: scalar(&text, style, span, problems), span })
            }
            Event::SequenceStart(_, _, tag) => {
                complain_of_tag(file, problems, tag.as_deref(), &at, span);
                open.push(Open::List(Vec::new(), span));
                None
            }
            Event::MappingStart(_, _, tag) => {
                complain_of_tag(file, problems, tag.as_deref(), &at, span);
                open.push(Open::Map { entries: Vec::new(), names: std::collections::HashMap::new(), key: None, span });
                None
            }
            Event::SequenceEnd | Event::MappingEnd => open.pop().map(|closed| match closed {
                Open::List(items, span) => Node { kind: Kind::List(items), span },
                Open::Map { entries, span, .. } => Node { kind: Kind::Map(entries), span },
            }),
            _ => None,
        };
        if open.len() > DEPTH {
            problems.hint(
                "too-deep",
                span,
                format!("lists and maps are nested more than {DEPTH} deep"),
                "a playbook is never that deep; look for a bracket too many",
            );
            return None;
        }
        if problems.count() > COMPLAINTS {
            return None;
        }
        if let Some(node) = node {
            match open.last_mut() {
                None => root = Some(node),
                Some(Open::List(items, _)) => items.push(node),
                Some(Open::Map { entries, names, key, .. }) => match key.take() {
                    Some(key) => entries.push((key, node)),
                    None => *key = Some(take_key(file, problems, node, names)),
                },
            }
        }
    }
    if root.as_ref().is_none_or(|root| matches!(root.kind, Kind::Null)) && problems.is_empty() {
        problems.hint("empty", file.place(0, 1), "the file is empty", "a playbook begins with `playbook: NAME`");
        return None;
    }
    root
}

fn take_key(file: &File, problems: &mut Problems<'_>, node: Node, names: &mut std::collections::HashMap<String, u32>) -> Key {
    let span = node.span;
    let name = match node.kind {
        Kind::Text(text, _) => text,
        Kind::Null | Kind::Bool(_) | Kind::Int(_) | Kind::Float(_) => {
            file.text.get(span.start..span.end).unwrap_or_default().trim().to_owned()
        }
        Kind::List(_) | Kind::Map(_) => {
            let flow = file.text.get(span.start..).is_some_and(|text| text.starts_with('{'));
            let hint = if flow {
                "an expression is written `${{ … }}`; a value that begins with `{` is quoted"
            } else {
                "write a plain name before the `:`"
            };
            problems.hint("yaml", span, "the key of a map must be a name", hint);
            String::new()
        }
    };
    if name == "<<" {
        problems.hint("merge-key", span, "merge keys (`<<`) are not part of the language", "write the keys out");
    } else if let Some(line) = names.insert(name.clone(), span.line)
        && !name.is_empty()
    {
        let hint = format!("it stands first in line {line}; remove one");
        problems.hint("duplicate-key", span, format!("the key `{name}` is there twice"), hint);
    }
    if name.contains("${{") {
        problems.hint("expression", span, "a key cannot be an expression", "keys are never evaluated; write the name itself");
    }
    Key { name, span }
}

fn complain_of_tag(file: &File, problems: &mut Problems<'_>, tag: Option<&Tag>, at: &granit_parser::Span, span: Span) {
    let Some(tag) = tag else { return };
    let place = at.tag_span().and_then(|tag| tag.byte_range()).map_or(span, |range| file.between(range.start, range.end));
    problems.hint(
        "tag",
        place,
        format!("tags (`{}`) are not part of the language", tag.original()),
        "remove it; a text that begins with `!` is quoted",
    );
}

/// The type of a scalar, as YAML 1.2's core schema has it, save that only `true` and `false` are booleans and `007` is a text.
fn scalar(text: &str, style: ScalarStyle, span: Span, problems: &mut Problems<'_>) -> Kind {
    if style != ScalarStyle::Plain {
        return Kind::Text(text.to_owned(), false);
    }
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Kind::Null,
        "true" => return Kind::Bool(true),
        "false" => return Kind::Bool(false),
        _ => {}
    }
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    if !digits.starts_with(|c: char| c.is_ascii_digit() || c == '.') {
        return Kind::Text(text.to_owned(), true);
    }
    let radix = |prefix: &str, radix| {
        digits
            .strip_prefix(prefix)
            .filter(|rest| !rest.is_empty() && rest.chars().all(|c| c.is_digit(radix)))
            .map(|rest| i64::from_str_radix(rest, radix))
    };
    if let Some(number) = radix("0x", 16).or_else(|| radix("0o", 8)) {
        return match number {
            Ok(number) if !text.starts_with('-') => Kind::Int(number),
            _ => Kind::Text(text.to_owned(), true),
        };
    }
    let leading_zero = digits.len() > 1 && digits.starts_with('0') && digits[1..].starts_with(|c: char| c.is_ascii_digit());
    if !leading_zero && digits.chars().all(|c| c.is_ascii_digit()) {
        return text.parse().map_or_else(
            |_| {
                problems.hint("number", span, "the number is beyond the range of integers (64 bits, signed)", "quote it to make it a text");
                Kind::Null
            },
            Kind::Int,
        );
    }
    let float_like = digits.chars().all(|c| c.is_ascii_digit() || matches!(c, '.' | 'e' | 'E' | '+' | '-'))
        && digits.contains(|c: char| c.is_ascii_digit());
    if !leading_zero
        && float_like
        && !digits.ends_with('.')
        && let Ok(number) = text.parse::<f64>()
        && number.is_finite()
    {
        return Kind::Float(number);
    }
    Kind::Text(text.to_owned(), true)
}

/// What the scanner stumbled over, in the language's terms where it was an expression that YAML took apart.
fn scan_error(file: &File, problems: &mut Problems<'_>, error: &granit_parser::ScanError) {
    let at = error.marker().byte_offset().unwrap_or_default();
    let place = file.place(at, 1);
    for line in [place.line, place.line.saturating_sub(1)] {
        if let Some(span) = lost_expression(file, line) {
            let hint = "put the whole value in quotes: YAML gives `: `, ` #`, `{`, `[` and `,` a meaning of their own";
            let message = "YAML takes this expression apart before it is read".to_owned();
            problems.full("lost-expression", span, message, Some("this `${{` lost its `}}`".to_owned()), Some(hint.to_owned()));
            return;
        }
    }
    let info = error.info();
    if matches!(error.kind(), granit_parser::ErrorKind::RecursionLimitExceeded) {
        problems.hint(
            "too-deep",
            place,
            format!("lists and maps are nested more than {DEPTH} deep"),
            "a playbook is never that deep; look for a bracket too many",
        );
        return;
    }
    let hint = if info.contains("tab") && file.line(place.line).contains('\t') {
        Some("indent with spaces, not tabs".to_owned())
    } else if info.contains("mapping values") {
        Some("a text with `: ` in it is put in quotes".to_owned())
    } else {
        None
    };
    problems.full("yaml", place, format!("this is not YAML: {}", info.trim()), None, hint);
}

/// An expression in a value without quotes on this line.
fn lost_expression(file: &File, line: u32) -> Option<Span> {
    let text = file.line(line);
    let at = text.find("${{")?;
    let before = &text[..at];
    let quoted = before.matches('"').count() % 2 == 1 || before.matches('\'').count() % 2 == 1;
    (!quoted).then(|| {
        let column = u32::try_from(before.chars().count() + 1).unwrap_or(u32::MAX);
        Span { line, column, length: 3, start: 0, end: 0 }
    })
}
