//! What expressions give, what they refuse, and that nothing hurts.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::*;
use crate::model::template::{Segment, Source, Template};

fn bindings() -> Bindings {
    Bindings::new()
        .with(Root::Params, json!({ "level": "high", "count": 3, "list": [1, 2, 3], "factor": 1.5, "nothing": null, "name with space": 1 }))
        .with(Root::Vars, json!({ "replicas": 8 }))
        .with(
            Root::Steps,
            json!({ "x": { "status": "failed", "outputs": { "y": null } }, "b": { "status": "succeeded", "outputs": { "size": 9 } } }),
        )
        .with(Root::Target, json!({ "capacity": { "low": { "replicas": 2 }, "medium": {}, "high": { "replicas": 8 }, "critical": {} } }))
}

fn value(text: &str) -> Value {
    Expression::parse(text)
        .unwrap_or_else(|error| panic!("{text}: {error:?}"))
        .evaluate(&bindings())
        .unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn failure(text: &str) -> String {
    Expression::parse(text).unwrap_or_else(|error| panic!("{text}: {error:?}")).evaluate(&bindings()).unwrap_err().message
}

fn refusal(text: &str) -> ParseError {
    Expression::parse(text).err().unwrap_or_else(|| panic!("{text} was accepted"))
}

/// Runs on a stack as small as those of a pool's threads.
fn on_a_small_stack<T: Send + 'static>(run: impl FnOnce() -> T + Send + 'static) -> T {
    std::thread::Builder::new().stack_size(2 << 20).spawn(run).unwrap().join().unwrap()
}

#[test]
fn values() {
    for (text, wanted) in [
        ("1 + 2 * 3", json!(7)),
        ("1 < 2.5", json!(true)),
        ("2 * 1.5", json!(3.0)),
        ("7 / 2", json!(3)),
        ("7 / 2.0", json!(3.5)),
        ("7.5 % 2", json!(1.5)),
        ("-7 % 3", json!(-1)),
        ("1 == 1.0", json!(true)),
        ("9007199254740993 == 9007199254740992.0", json!(false)),
        ("params.count + 1", json!(4)),
        ("ceil(params.count * params.factor)", json!(5)),
        ("floor(-1.5)", json!(-2)),
        ("min(3, 1.5, 2)", json!(1.5)),
        ("max(params.list)", json!(3)),
        ("max(1, 2)", json!(2)),
        ("target.capacity[params.level].replicas", json!(8)),
        ("params[\"name with space\"]", json!(1)),
        ("\"a\" + 'b'", json!("ab")),
        ("string(vars.replicas) + \"!\"", json!("8!")),
        ("[1, 2] + [3]", json!([1, 2, 3])),
        ("{\"a\": {\"b\": [1]}}", json!({ "a": { "b": [1] } })),
        ("params.level in [\"high\", \"low\"]", json!(true)),
        ("\"low\" in target.capacity", json!(true)),
        ("params.list.map(x, x * 2)", json!([2, 4, 6])),
        ("params.list.map(x, x > 1, x * 2)", json!([4, 6])),
        ("params.list.filter(x, x > 1)", json!([2, 3])),
        ("params.list.all(x, x > 0)", json!(true)),
        ("params.list.exists(x, x > 2)", json!(true)),
        ("params.list.exists_one(x, x > 1)", json!(false)),
        ("target.capacity.exists(k, k == \"low\")", json!(true)),
        ("has(params.level) && !has(params.other)", json!(true)),
        ("size(params.list) + size(\"äö\") + target.capacity.size()", json!(9)),
        ("params.level.startsWith(\"hi\") && params.level.matches(\"^h.*h$\")", json!(true)),
        ("params.nothing == null ? \"none\" : \"some\"", json!("none")),
        ("false && params.missing", json!(false)),
        ("params.missing || true", json!(true)),
        ("timestamp(\"2026-06-01T19:00:00+02:00\")", json!("2026-06-01T17:00:00Z")),
        ("timestamp(\"2026-06-01T19:00[Europe/Berlin]\") - duration(\"90s\")", json!("2026-06-01T16:58:30Z")),
        ("timestamp(\"2026-06-01T19:00:00Z\").getHours(\"Europe/Berlin\")", json!(21)),
        ("duration(\"90s\")", json!("1m30s")),
        ("timestamp(\"2026-06-01T19:00:00Z\") > timestamp(\"2026-06-01T18:00:00Z\")", json!(true)),
        ("type(1) == int && type(\"\") == string", json!(true)),
        ("int(\"4\") + int(2.9)", json!(6)),
        ("steps.b.outputs.size", json!(9)),
        ("steps[\"b\"].status", json!("succeeded")),
        ("r\"\\d\" + \"\\n\"", json!("\\d\n")),
        ("9223372036854775807", json!(9_223_372_036_854_775_807_i64)),
        ("1 in [1.0]", json!(true)),
        ("[1] == [1.0] && {\"a\": 1} == {\"a\": 1} && null != 1", json!(true)),
    ] {
        assert_eq!(value(text), wanted, "{text}");
    }
}

#[test]
fn what_has_no_value_says_why() {
    for (text, wanted) in [
        ("target.capacity[\"critcal\"]", "no such key `critcal` in target.capacity; it has: low, medium, high, critical"),
        ("steps.x.outputs.y + 1", "`steps.x.outputs.y` is null, and `+` needs a value"),
        ("steps.x.outputs.y.z", "`steps.x.outputs.y` is null, so it has no `z`"),
        ("params.level + 1", "`+` cannot take a string and an integer; `string(x)` makes a text of a value"),
        ("params.count / 0", "`/` divides by zero"),
        ("9223372036854775807 + 1", "`+` goes beyond the range of integers"),
        ("1.0 / 0.0", "the result is infinite"),
        ("0.0 / 0.0", "the result is not a number"),
        ("params.list[3]", "`params.list` has no item 3: it has 3 items"),
        ("params.count && true", "`&&` needs a boolean, and `params.count` is an integer"),
        ("item", "`item` has no value here"),
        ("params.level < 1", "`<` cannot take a string and an integer"),
        ("int(\"four\")", "\"four\" is not a whole number"),
        ("duration(\"1y\")", "is not a duration"),
        ("timestamp(\"tomorrow\")", "\"tomorrow\" is not a time"),
        ("min(params.level)", "`min` takes numbers or a list of numbers, not a string"),
        ("max([])", "`max` of an empty list has no value"),
        ("duration(\"1s\") - duration(\"2s\")", "the duration is negative"),
        ("params.missing", "no such key `missing` in params"),
    ] {
        let message = failure(text);
        assert!(message.contains(wanted), "{text}: {message}");
        assert!(message.starts_with(&format!("`{text}`: ")), "{message}");
    }
}

#[test]
fn an_integer_that_does_not_fit_is_an_error_and_never_rounded() {
    let bound = Bindings::new().with(Root::Params, json!({ "big": u64::MAX }));
    let message = Expression::parse("params.big").unwrap().evaluate(&bound).unwrap_err().message;
    assert!(message.contains("beyond the range of integers"), "{message}");
}

#[test]
fn what_is_no_expression_says_where() {
    for (text, wanted, offset, length) in [
        ("param.level", "`param` is not known here", 0, 5),
        ("1 + now", "`now` is not known here", 4, 3),
        ("now()", "there is no function `now`", 0, 3),
        ("1 + mix(2)", "there is no function `mix`", 4, 3),
        ("steps[params.level].status", "a step can only be named, not computed", 0, 5),
        ("steps.map(s, s)", "`steps` cannot be used as a whole", 0, 5),
        ("1u + 2", "there are no unsigned integers here", 0, 2),
        ("b\"x\"", "there are no bytes here", 0, 4),
        ("1 +", "the expression ends too early", 2, 1),
        ("", "the expression is empty", 0, 1),
        ("params.all(1, true)", "the first argument of `all` is a name", 11, 1),
        ("size()", "`size` takes 1 argument, not 0", 0, 4),
        ("contains(\"a\", \"b\")", "`contains` is not called like this", 0, 8),
        ("params.?level", "does not belong here", 6, 1),
        ("\"a\".matches(\"(\")", "is not a regular expression", 12, 3),
    ] {
        let error = refusal(text);
        assert!(error.message.contains(wanted), "{text}: {error:?}");
        assert_eq!((error.offset, error.length), (offset, length), "{text}: {error:?}");
    }
    assert_eq!(refusal("parms.level").hint.as_deref(), Some("did you mean `params`?"));
    assert_eq!(refusal("\"\".startWith(\"\")").hint.as_deref(), Some("did you mean `startsWith`?"));
}

#[test]
fn references_follow_scope() {
    let expression =
        Expression::parse("params.list.all(vars, vars > steps.a.outputs.n) && steps[\"b\"].status == target.x && has(steps.c.outputs)")
            .unwrap();
    assert_eq!(expression.references().roots, BTreeSet::from([Root::Params, Root::Steps, Root::Target]));
    assert_eq!(expression.references().steps, BTreeSet::from(["a".to_owned(), "b".to_owned(), "c".to_owned()]));
    assert_eq!(Expression::parse("secrets.token").unwrap().secret(), Some("token"));
    assert_eq!(Expression::parse("secrets.token + \"\"").unwrap().secret(), None);
}

#[test]
fn guards_are_understood() {
    let nothing = BTreeSet::new();
    for (text, guarded) in [
        ("steps.a.outputs.n > 1", false),
        ("steps.a.outputs.n != null && steps.a.outputs.n > 1", true),
        ("steps.a.outputs.n > 1 && steps.a.outputs.n != null", false),
        ("steps.a.outputs.n == null || steps.a.outputs.n > 1", true),
        ("steps.a.outputs.n == null ? 1 : steps.a.outputs.n", true),
        ("steps.a.outputs.n == null ? steps.a.outputs.n + 1 : 1", false),
        ("steps.a.status == \"succeeded\" && steps.a.outputs.n > 1", true),
        ("steps.a.status != \"succeeded\" || steps.a.outputs.n > 1", true),
        ("steps.a.status == \"skipped\" && steps.a.outputs.n > 1", false),
        ("!(steps.a.outputs.n == null) && steps.a.outputs.n.m > 1", true),
        ("(steps.a.outputs.n != null || params.x) && steps.a.outputs.n > 1", false),
        ("(steps.a.outputs.n != null && params.x) ? steps.a.outputs.n : 0", true),
        ("steps.b.outputs.n != null && steps.a.outputs.n > 1", false),
    ] {
        let uses = Expression::parse(text).unwrap().uses(&nothing);
        assert!(uses.iter().any(|one| one.root == Root::Steps));
        assert_eq!(uses.iter().all(|one| one.root != Root::Steps || one.keys[1] == "status" || one.guarded), guarded, "{text}: {uses:?}");
    }
    let when = Expression::parse("steps.a.outputs.n != null && params.x").unwrap().facts_when_true();
    assert!(Expression::parse("steps.a.outputs.n + 1").unwrap().uses(&when).iter().all(|one| one.guarded));
}

#[test]
fn uses_say_where() {
    let uses = Expression::parse("1 + steps.scale.outputs.ready + params[\"a\"]").unwrap().uses(&BTreeSet::new());
    let places: Vec<_> = uses.iter().map(|one| (one.root, one.keys.join("."), one.offset, one.length)).collect();
    assert_eq!(places, [(Root::Steps, "scale.outputs.ready".to_owned(), 4, 25), (Root::Params, "a".to_owned(), 32, 11)]);
}

#[test]
fn hostile_expressions_are_refused_at_once_on_a_small_stack() {
    let texts: Vec<(&str, String)> = vec![
        ("parentheses", format!("{}1{}", "(".repeat(100_000), ")".repeat(100_000))),
        ("open parentheses", "(".repeat(4000)),
        ("short parentheses", format!("{}1{}", "(".repeat(25), ")".repeat(25))),
        ("additions", vec!["1"; 50_000].join("+")),
        ("fewer additions", vec!["1"; 2000].join("+")),
        ("few additions", vec!["1"; 390].join("+")),
        ("negations", format!("{}true", "!".repeat(100_000))),
        ("short negations", format!("{}true", "!".repeat(9))),
        ("minus signs", format!("{}1", "- ".repeat(2000))),
        ("conditionals", format!("{}1", "true?1:".repeat(100_000))),
        ("short conditionals", format!("{}1", "true?1:".repeat(25))),
        ("brackets", format!("{}{}", "[".repeat(2000), "]".repeat(2000))),
        ("selections", format!("params{}", ".a".repeat(390))),
        ("indexing", format!("params{}", "[0]".repeat(260))),
        ("seven nested all", "[0,1,2,3,4,5,6,7,8,9].all(a, [0].all(b, [0].all(c, [0].all(d, true))))".to_owned()),
        ("NUL", "1 + \0".to_owned()),
        ("an open string", format!("\"{}", "\\".repeat(4000))),
        ("unicode", "é\u{202e} + 💥".to_owned()),
    ];
    on_a_small_stack(move || {
        for (name, text) in texts {
            let start = Instant::now();
            let error = Expression::parse(&text).err().unwrap_or_else(|| panic!("{name} was accepted"));
            assert!(start.elapsed() < Duration::from_secs(10), "{name} took {:?}", start.elapsed());
            assert!(error.message.chars().count() < 200, "{name}: {}", error.message);
        }
    });
}

#[test]
fn the_largest_expressions_that_pass_are_evaluated_on_a_small_stack() {
    let mut deep = vec![
        format!("{}1{}", "(".repeat(23), ")".repeat(23)),
        format!("{}1{}", "[".repeat(23), "]".repeat(23)),
        vec!["1"; 60].join("+"),
        vec!["true"; 60].join("&&"),
        format!("{}1", "true?1:".repeat(24)),
        format!("{}true", "!".repeat(8)),
    ];
    deep.push(format!("{}{}{}", "max([".repeat(11), "1", "])".repeat(11)));
    on_a_small_stack(move || {
        for text in deep {
            let start = Instant::now();
            let _ = Expression::parse(&text).unwrap_or_else(|error| panic!("{text}: {error:?}")).evaluate(&bindings());
            assert!(start.elapsed() < Duration::from_secs(10), "{text} took {:?}", start.elapsed());
        }
    });
}

#[test]
fn the_cost_is_bounded_by_counting() {
    let bound = Bindings::new().with(Root::Params, json!({ "list": (0..2000).collect::<Vec<_>>() }));
    let expression = Expression::parse("params.list.all(a, params.list.all(b, params.list.all(c, true)))").unwrap();
    let start = Instant::now();
    let message = expression.evaluate(&bound).unwrap_err().message;
    assert!(message.contains("costs more than 1000000 steps"), "{message}");
    assert!(start.elapsed() < Duration::from_secs(5));
    // What costs too much is not made good by the other side of an `||`.
    let expression = Expression::parse("params.list.all(a, params.list.all(b, params.list.all(c, true))) || true").unwrap();
    assert!(expression.evaluate(&bound).is_err());
}

#[test]
fn a_time_that_comes_twice_or_never_when_the_clocks_change_is_not_guessed() {
    for text in ["2026-10-25T02:30[Europe/Berlin]", "2027-03-28T02:30[Europe/Berlin]"] {
        let why = super::timestamp(text).unwrap_err();
        assert!(why.contains("comes twice there, or not at all") && why.contains("write its offset too"), "{why}");
    }
    let at = |text: &str| super::timestamp(text).unwrap().to_string();
    assert_eq!(at("2026-10-25T02:30+02:00[Europe/Berlin]"), "2026-10-25T00:30:00Z");
    assert_eq!(at("2026-10-25T02:30+01:00[Europe/Berlin]"), "2026-10-25T01:30:00Z");
    // An offset that the zone does not have then is a slip.
    super::timestamp("2026-06-01T19:00+01:00[Europe/Berlin]").unwrap_err();
}

#[test]
fn a_value_that_holds_others_many_times_over_has_a_limit_too() {
    let many = |of: serde_json::Value| {
        let bound = Bindings::new().with(Root::Params, json!({ "list": vec![0; 300] })).with(Root::Vars, json!({ "of": of }));
        Expression::parse("params.list.map(x, vars.of)").unwrap().evaluate(&bound)
    };
    let (twice, start) = (many(many(json!("a".repeat(48))).unwrap()).unwrap(), Instant::now());
    let message = many(twice).unwrap_err().message;
    assert!(message.contains("its value is larger than 32 MB"), "{message}");
    assert!(start.elapsed() < Duration::from_secs(5));
}

#[test]
fn templates_keep_types_and_print_within_text() {
    let source = |text: &str| Source { text: text.to_owned(), line: 4, column: 7 };
    let whole = Template::Expression(source("params.list"));
    assert_eq!(resolve(&whole, &bindings()).unwrap(), json!([1, 2, 3]));
    let text = Template::Text(vec![
        Segment::Plain("a ".to_owned()),
        Segment::Expression(source("params.list")),
        Segment::Expression(source("params.level")),
    ]);
    assert_eq!(resolve(&text, &bindings()).unwrap(), json!("a [1,2,3]high"));
    let error = resolve(&Template::List(vec![Template::Expression(source("params.gone"))]), &bindings()).unwrap_err();
    assert!(error.message.starts_with("line 4, column 7: `params.gone`: no such key `gone` in params; it has: level"), "{error}");
    // Data that looks like an expression stays data.
    let bound = Bindings::new().with(Root::Params, json!({ "a": "${{ 1 + 1 }}" }));
    assert_eq!(resolve(&Template::Expression(source("params.a")), &bound).unwrap(), json!("${{ 1 + 1 }}"));
}

#[test]
fn the_end_of_an_expression_is_found() {
    let one = |text: &str| scan(text);
    assert_eq!(one("plain }} text"), [Part::Plain("plain }} text".to_owned())]);
    assert_eq!(one("${{ a }}"), [Part::Expression("a".to_owned(), 4)]);
    assert_eq!(one("${{ \"}}\" + '\\'}}' }}!"), [Part::Expression("\"}}\" + '\\'}}'".to_owned(), 4), Part::Plain("!".to_owned())]);
    assert_eq!(one("${{ {\"a\": {\"b\": 1}} }}"), [Part::Expression("{\"a\": {\"b\": 1}}".to_owned(), 4)]);
    assert_eq!(one("x ${{ a "), [Part::Plain("x ".to_owned()), Part::Unclosed]);
    assert_eq!(one("${{a}}${{b}}").len(), 2);
}

/// Where both have a value, the `cel` crate's evaluator gives the same one.
#[test]
fn the_reference_evaluator_agrees() {
    for text in [
        "1 + 2 * 3 - 4 / 2 % 3",
        "-7 / 2",
        "-7 % 3",
        "\"a\" + \"b\" == \"ab\"",
        "[1, 2, 3].map(x, x * x)",
        "[1, 2, 3].filter(x, x % 2 == 1)",
        "[1, 2, 3].exists_one(x, x == 2)",
        "{\"a\": 1}.all(k, k == \"a\")",
        "size(\"äöü\") + size([1]) + size({\"a\": 1})",
        "\"abc\".contains(\"b\") && \"abc\".endsWith(\"c\")",
        "\"abc\".matches(\"^a.c$\")",
        "true ? 1 : 2",
        "false || !false",
        "\"a\" in [\"a\"] && !(\"b\" in {\"a\": 1})",
        "1.5 + 2.5",
        "1.0 < 2.0 && \"a\" < \"b\" && false < true",
        "has({\"a\": 1}.a)",
        "string(1.5) + string(true)",
        "int(\"12\") + int(3.9)",
        "duration(\"1h\") > duration(\"1m\")",
        "timestamp(\"2026-01-02T03:04:05Z\").getMonth() + timestamp(\"2026-01-02T03:04:05Z\").getDayOfMonth()",
        "timestamp(\"2026-01-04T03:04:05Z\").getDayOfWeek() + timestamp(\"2026-01-02T03:04:05Z\").getDate()",
        "timestamp(\"2026-03-04T03:04:05.678Z\").getDayOfYear() + timestamp(\"2026-01-02T03:04:05.678Z\").getMilliseconds()",
        "[[1], [2]] == [[1], [2]]",
        "[1, 2][1] + {\"a\": 5}[\"a\"]",
    ] {
        let program = cel::Program::compile(text).unwrap();
        let reference = program.execute(&cel::Context::default()).unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!(value(text), reference.json().unwrap(), "{text}");
    }
}

proptest::proptest! {
    #[test]
    fn no_text_panics(text in "[ -~]{0,60}") {
        if let Ok(expression) = Expression::parse(&text) {
            let _ = expression.evaluate(&bindings());
        }
    }

    #[test]
    fn no_mixture_of_parts_panics(parts in proptest::collection::vec(proptest::sample::select(vec![
        "params", ".", "steps", "b", "(", ")", "[", "]", "\"s\"", "1", "2.5", "+", "==", "&&", "||", "!", "?", ":", "{", "}", ",", "all", "x", "null", " ",
        "map", "-", "list", "size", "'", "in", "has", "min", "count", "/", "0",
    ]), 0..25)) {
        if let Ok(expression) = Expression::parse(&parts.concat()) {
            let _ = expression.evaluate(&bindings());
        }
    }

    #[test]
    fn integers_compare_with_doubles_as_numbers_do(a in proptest::num::i64::ANY, b in proptest::num::i32::ANY) {
        let bound = Bindings::new().with(Root::Params, json!({ "a": a, "b": f64::from(b) }));
        let less = Expression::parse("params.a < params.b").unwrap().evaluate(&bound).unwrap();
        proptest::prop_assert_eq!(less, json!(a < i64::from(b)));
    }
}
