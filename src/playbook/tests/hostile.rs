//! Input that is meant to hurt: each gets a clear error within a second, on a small stack.

use std::time::{Duration, Instant};

use super::*;

/// A second is what is promised; a build without optimisation on a busy machine gets more.
const SOON: Duration = Duration::from_secs(if cfg!(debug_assertions) { 5 } else { 1 });

fn refused_soon(name: &'static str, text: String, wanted: &'static str) {
    let (problems, took) = on_a_small_stack(move || {
        let start = Instant::now();
        (load_text("test.yaml", &text, &catalogue()).err(), start.elapsed())
    });
    let problems = problems.unwrap_or_else(|| panic!("{name} was accepted"));
    assert!(took < SOON, "{name} took {took:?}");
    let shown = render(&problems, false, 100);
    assert!(shown.contains(wanted), "{name}: {shown}");
    assert!(shown.len() < 100_000, "{name}: {} bytes", shown.len());
    assert!(!shown.contains('\u{1b}') && !shown.contains('\0'));
}

#[test]
fn yaml_that_hurts() {
    let bomb: String =
        (0..40).map(|level| format!("l{level}: &l{level} [{}]\n", vec![format!("*l{}", level.max(1) - 1); 10].join(","))).collect();
    refused_soon("alias bomb", bomb, "anchors (`&name`) are not part of the language");
    refused_soon("flow brackets", "[".repeat(100_000), "nested more than 64 deep");
    refused_soon("closed flow brackets", format!("steps: {}{}", "[".repeat(100_000), "]".repeat(100_000)), "nested more than 64 deep");
    refused_soon("flow braces", "{".repeat(100_000), "nested more than 64 deep");
    refused_soon("block brackets", "- ".repeat(100_000), "nested more than 64 deep");
    refused_soon("block maps", (0..900).map(|depth| format!("{}a:\n", " ".repeat(depth))).collect(), "nested more than 64 deep");
    refused_soon("explicit keys", "? ".repeat(100_000), "nested more than 64 deep");
    refused_soon("bare tag", around("  - id: a\n    uses: !x\n"), "tags (`!x`) are not part of the language");
    refused_soon("NUL", "playbook: a\0b\n".to_owned(), "the file holds a NUL character");
    refused_soon("escape", "playbook: \u{1b}[31m\n".to_owned(), "control character U+001B");
    refused_soon("huge", "a".repeat((1 << 20) + 1), "has 1048577 bytes; a playbook has at most 1048576");
    refused_soon("many mistakes", (0..50_000).map(|key| format!("k{key}: 1\n")).collect(), "problems, of which the first 100 are shown");
    refused_soon(
        "many steps without anything",
        format!("playbook: a\nsummary: b\nsteps:\n{}", "  - {}\n".repeat(20_000)),
        "a step needs `id`",
    );
    refused_soon("one long line", format!("playbook: {}", "x".repeat(500_000)), "cannot be the name of a playbook");
    refused_soon("open quote", format!("playbook: \"{}", "x\n ".repeat(100_000)), "this is not YAML");
    refused_soon("many dollars", format!("playbook: a\nsummary: \"{}\"\nsteps: []\n", "${{".repeat(100_000)), "cannot hold an expression");
}

#[test]
fn expressions_that_hurt_within_playbooks() {
    let with = |expression: String| around(&format!("  - id: a\n    uses: noop\n    when: \"${{{{ {expression} }}}}\"\n"));
    refused_soon("parentheses", with("(".repeat(100_000)), "bytes long; at most 4096 are allowed");
    refused_soon("additions", with(vec!["1"; 50_000].join("+")), "bytes long; at most 4096 are allowed");
    refused_soon("negations", with("!".repeat(100_000)), "bytes long");
    refused_soon("conditionals", with("true?1:".repeat(100_000)), "bytes long");
    refused_soon("nested all", with("[0].all(a, ".repeat(7) + "true" + &")".repeat(7)), "`all` is nested more than 3 deep");
    let many: String = (0..800).map(|at| format!("  v{at}: \"${{{{ vars.v{} }}}}\"\n", (at + 1) % 800)).collect();
    refused_soon(
        "a long cycle",
        format!("playbook: a\nsummary: b\nvars:\n{many}steps:\n  - {{ id: a, uses: noop }}\n"),
        "these variables refer to each other",
    );
}

#[test]
fn files_that_hurt() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("huge.yaml");
    let file = std::fs::File::create(&path).unwrap();
    file.set_len(50 << 20).unwrap();
    let start = Instant::now();
    let problems = load(&path, &catalogue()).unwrap_err();
    assert!(start.elapsed() < Duration::from_secs(5), "it is refused by its size");
    assert!(problems.problems[0].message.ends_with("has 52428800 bytes; a playbook has at most 1048576"), "{problems}");

    let path = dir.path().join("latin.yaml");
    std::fs::write(&path, b"playbook: a\nsummary: caf\xe9 open\n").unwrap();
    let problem = load(&path, &catalogue()).unwrap_err().problems.remove(0);
    assert_eq!((problem.line, problem.column, problem.message.as_str()), (2, 13, "the file is not UTF-8"));
    assert_eq!(problem.label.as_deref(), Some("the byte 0xE9 belongs to no character"));
    assert!(problem.source_line.starts_with("summary: caf"));
    assert!(load(&dir.path().join("none.yaml"), &catalogue()).unwrap_err().problems[0].message.starts_with("there is no file "));
}

#[test]
fn a_graph_that_would_be_quadratic_is_not() {
    // Each step refers to the first: pairs that are not direct needs.
    let mut text = around("  - { id: s0, uses: command, with: { run: [x] } }\n");
    for step in 1..6000 {
        text.push_str(&format!(
            "  - {{ id: s{step}, uses: noop, needs: [s{}], when: \"${{{{ steps.s{}.status == 'failed' }}}}\" }}\n",
            step - 1,
            step / 3
        ));
    }
    let start = Instant::now();
    on_a_small_stack(move || accepted(&text));
    assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
}

proptest::proptest! {
    #[test]
    fn no_text_panics(text in "[ -~\n\t]{0,200}") {
        let _ = load_text("test.yaml", &text, &catalogue());
    }

    #[test]
    fn no_damage_to_a_playbook_panics(cut in 0_usize..400, insert in "[ -~\n]{0,6}") {
        let text = around("  - id: a\n    uses: http.request\n    when: ${{ params.x }}\n    with: { url: \"a ${{ target.b }}\", headers: { a: '${{ secrets.c }}' } }\n  - id: b\n    needs: [{ step: a, accept: [failed] }]\n    uses: wait\n    with:\n      that: ${{ steps.a.outputs.status == 1 }}\n");
        let at = text.char_indices().map(|(at, _)| at).nth(cut.min(text.len() - 1)).unwrap();
        let damaged = format!("{}{insert}{}", &text[..at], &text[(at + insert.len()).min(text.len())..]);
        for problem in load_text("test.yaml", &damaged, &catalogue()).err().unwrap_or_default().problems {
            proptest::prop_assert!(problem.line as usize <= damaged.lines().count() + 1);
        }
    }
}
