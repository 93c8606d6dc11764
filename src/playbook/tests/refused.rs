//! Every mistake, with its exact place and what to do.

use super::*;

/// Code, line, column, length, and parts of the message and the hint of the one problem of a text.
#[track_caller]
pub(super) fn one(text: &str, code: &str, place: (u32, u32, u32), message: &str, hint: &str) {
    let found = problems(text);
    assert_eq!(found.count(), 1, "{found}");
    let problem = &found.problems[0];
    assert_eq!((problem.code, (problem.line, problem.column, problem.length)), (code, place), "{found}");
    assert!(problem.message.contains(message), "{found}");
    assert!(problem.hint.as_deref().unwrap_or_default().contains(hint), "{found}");
}

/// The same for the steps of a playbook: line 4 is the first.
#[track_caller]
pub(super) fn step(steps: &str, code: &str, place: (u32, u32, u32), message: &str, hint: &str) {
    one(&around(steps), code, place, message, hint);
}

#[test]
fn yaml_itself() {
    one("", "empty", (1, 1, 1), "the file is empty", "playbook: NAME");
    one("playbook: [a\n", "yaml", (1, 11, 1), "this is not YAML", "");
    one("playbook: a\nsummary: b: c\nsteps: []\n", "yaml", (2, 11, 1), "mapping values", "is put in quotes");
    one("playbook: a\nsteps:\n\t- id: a\n", "yaml", (3, 2, 1), "tabs", "indent with spaces");
    step("  - id: a\n    id: b\n    uses: noop\n", "duplicate-key", (5, 5, 2), "the key `id` is there twice", "it stands first in line 4");
    step("  - id: a\n    uses: !x noop\n", "tag", (5, 11, 2), "tags (`!x`)", "remove it");
    step("  - id: a\n    uses: &b noop\n", "anchor", (5, 11, 2), "anchors", "write the value");
    step("  - id: a\n    uses: noop\n    summary: *b\n", "alias", (6, 14, 2), "aliases", "a text that begins with `*` is quoted");
    step("  - id: a\n    uses: noop\n    <<: {}\n", "merge-key", (6, 5, 2), "merge keys", "write the keys out");
    one(
        "playbook: a\nsummary: b\nsteps:\n  - { id: a, uses: noop }\n---\na: 1\n",
        "yaml",
        (5, 1, 3),
        "a second document",
        "one file holds one playbook",
    );
    step(
        "  - id: a\n    uses: http.request\n    with: { url: x, json: 99999999999999999999 }\n",
        "number",
        (6, 27, 20),
        "beyond the range",
        "quote it",
    );
}

#[test]
fn expressions_that_yaml_took_apart() {
    step(
        "  - id: a\n    uses: noop\n    when: ${{ params.a == \" # b\" }}\n",
        "lost-expression",
        (6, 11, 3),
        "YAML takes ` #`",
        "in quotes",
    );
    step(
        "  - id: a\n    uses: noop\n    when: ${{ true ? true : false }}\n",
        "lost-expression",
        (6, 11, 3),
        "takes this expression apart",
        "in quotes",
    );
    step("  - id: a\n    uses: noop\n    when: ${{ true\n", "lost-expression", (6, 11, 3), "this `${{` has no `}}`", "");
    step(
        "  - id: a\n    uses: wait\n    with: { duration: ${{ x }} }\n",
        "lost-expression",
        (6, 23, 3),
        "takes this expression apart",
        "in quotes",
    );
}

#[test]
fn keys_and_types() {
    one(
        "playbook: a\nsummary: b\nvar: {}\nsteps:\n  - { id: a, uses: noop }\n",
        "unknown-key",
        (3, 1, 3),
        "a playbook has no key `var`",
        "did you mean `vars`?",
    );
}

#[test]
fn the_top() {
    one("summary: b\nsteps:\n  - { id: a, uses: noop }\n", "missing-key", (1, 1, 1), "a playbook needs `playbook`", "begin with");
    one(
        "playbook: A b\nsummary: b\nsteps:\n  - { id: a, uses: noop }\n",
        "bad-name",
        (1, 11, 3),
        "`A b` cannot be the name of a playbook",
        "`a-b` would do",
    );
    one("playbook: a\nsummary: b\nsteps: []\n", "missing-key", (3, 8, 1), "at least one step", "");
    one("playbook: a\nsummary: b\nsteps: {}\n", "wrong-type", (3, 8, 1), "`steps` is a list, not a map", "");
    one(
        "playbook: a\nsummary: 5\nsteps:\n  - { id: a, uses: noop }\n",
        "wrong-type",
        (2, 10, 1),
        "`summary` is a string, not an integer",
        "quotes",
    );
    let steps = "steps:\n  - { id: a, uses: noop }\n";
    let with = |top: &str| format!("playbook: a\nsummary: b\n{top}{steps}");
    one(&with("params:\n  a: { type: strin }\n"), "wrong-value", (4, 14, 5), "`type` cannot be `strin`", "did you mean `string`?");
    one(&with("params:\n  a: { help: x }\n"), "missing-key", (4, 3, 1), "a parameter needs `type`", "one of: string");
    one(
        &with("params:\n  a: { type: integer, default: x }\n"),
        "wrong-value",
        (4, 32, 1),
        "the default of `a` is a whole number, not `x`",
        "",
    );
    one(
        &with("params:\n  a: { type: string, enum: [x, y], default: z }\n"),
        "wrong-value",
        (4, 45, 1),
        "the default of `a` cannot be `z`",
        "",
    );
    one(&with("params:\n  a: { type: string, format: uuid, default: z }\n"), "wrong-value", (4, 45, 1), "is a UUID", "such as");
    one(&with("params:\n  a: { type: integer, format: uuid }\n"), "wrong-value", (4, 31, 4), "`format` is for strings", "");
    one(&with("secrets:\n  a: hunter2\n"), "secret", (4, 6, 7), "a secret is never written", "{ env: NAME }");
    one(&with("vars:\n  a: ${{ vars.b }}\n  b: ${{ vars.a }}\n"), "cycle", (4, 3, 1), "a → b → a", "");
    one(&with("vars:\n  a: ${{ steps.a.status }}\n"), "scope", (4, 10, 14), "`steps` has no value in `vars`", "before any step has run");
}

#[test]
fn steps() {
    step("  - uses: noop\n", "missing-key", (4, 5, 1), "a step needs `id`", "");
    step("  - id: a\n", "missing-key", (4, 5, 1), "a step needs `uses`", "");
    step("  - id: Scale-up\n    uses: noop\n", "bad-name", (4, 9, 8), "cannot be an id", "`scale_up` would do");
    step("  - id: a\n    uses: noop\n    neds: []\n", "unknown-key", (6, 5, 4), "a step has no key `neds`", "did you mean `needs`?");
    step("  - id: a\n    uses: noop\n  - id: a\n    uses: noop\n", "duplicate-id", (6, 9, 1), "two steps `a`", "line 4");
    step("  - id: a\n    uses: nop\n", "unknown-action", (5, 11, 3), "there is no action `nop`", "did you mean `noop`?");
    step("  - id: a\n    uses: noop\n    timeout: 10\n", "duration", (6, 14, 2), "a duration has a unit", "write `10s`");
    step("  - id: a\n    uses: noop\n    timeout: 1y\n", "duration", (6, 14, 2), "`1y` is not a duration", "");
    step(
        "  - id: a\n    uses: noop\n    on_failure: stop\n",
        "wrong-value",
        (6, 17, 4),
        "`on_failure` cannot be `stop`",
        "it is one of: rollback, pause, continue",
    );
    step("  - id: a\n    uses: noop\n    at: tomorrow\n", "timestamp", (6, 9, 8), "\"tomorrow\" is not a time", "");
    step("  - id: a\n    uses: noop\n    if_late: run\n", "missing-key", (6, 14, 3), "there is no `at`", "");
    step("  - id: a\n    uses: noop\n    retry: { attempts: 0 }\n", "wrong-value", (6, 24, 1), "`attempts` is a whole number from 1", "");
    step("  - id: a\n    uses: noop\n    when: true\n", "wrong-type", (6, 11, 4), "`when` is an expression", "${{ … }}");
    step("  - id: a\n    uses: noop\n    when: target.x\n", "expression", (6, 11, 8), "`when` is an expression", "write `${{ target.x }}`");
    step("  - id: a\n    uses: noop\n    when: ${{ 1 + 1 }} x\n", "expression", (6, 11, 14), "one expression, with nothing around it", "");
    step(
        "  - id: a\n    uses: noop\n    when: ${{ 'a' }}\n",
        "wrong-type",
        (6, 11, 10),
        "gives true or false, and this gives a string",
        "",
    );
    step(
        "  - id: a\n    uses: noop\n    when: ${{ parms.x }}\n",
        "expression",
        (6, 15, 5),
        "`parms` is not known here",
        "did you mean `params`?",
    );
    step("  - id: a\n    uses: noop\n    effect: once\n", "effect", (6, 13, 4), "`noop` knows its own effect (read)", "remove");
    step(
        "  - id: a\n    uses: command\n    with: { run: [x] }\n    rollback: auto\n",
        "rollback",
        (7, 15, 4),
        "`command` cannot be undone by itself",
        "rollback: none",
    );
    step("  - id: a\n    uses: wait\n    with: {}\n", "construct", (6, 11, 1), "exactly one of `duration`, `until` and `that`", "");
    step(
        "  - id: a\n    uses: approve\n    with: { count: 2, by: [x] }\n",
        "wrong-value",
        (6, 27, 1),
        "2 must approve, and only 1 may",
        "",
    );
    step("  - id: a\n    uses: approve\n    with: { until: soon }\n", "timestamp", (6, 20, 4), "is not a time", "");
    step(
        "  - id: a\n    uses: wait\n    with: { duration: 5m }\n    retry: { attempts: 2 }\n",
        "construct",
        (7, 12, 1),
        "`retry` is for steps that use an action",
        "",
    );
    step(
        "  - id: a\n    uses: noop\n    check:\n      after:\n        - message: x\n",
        "missing-key",
        (8, 11, 1),
        "a check needs `that`",
        "",
    );
    step(
        "  - id: a\n    uses: noop\n    check:\n      after:\n        - { that: '${{ true }}', uses: command, with: { run: [x] } }\n",
        "check",
        (8, 40, 7),
        "`command` may change something",
        "read",
    );
    step(
        "  - id: a\n    uses: noop\n    check:\n      after:\n        - { that: '${{ true }}', for: 5m, within: 1m }\n",
        "wrong-value",
        (8, 39, 2),
        "it cannot hold for 5m within 1m",
        "",
    );
}

#[test]
fn the_rest_of_a_step() {
    let two = |rest: &str| format!("  - id: a\n    uses: command\n    with: {{ run: [x] }}\n  - id: b\n    uses: noop\n{rest}");
    step(&two("    needs: [a, a]\n"), "duplicate-need", (9, 16, 1), "`a` is needed twice", "remove one");
    step(&two("    needs: [{ step: a, accept: [] }]\n"), "wrong-value", (9, 32, 1), "`accept` accepts nothing", "at least one");
    step(
        &two("    needs: [{ step: a, accept: [skiped] }]\n"),
        "wrong-value",
        (9, 33, 6),
        "`accept` cannot be `skiped`",
        "did you mean `skipped`?",
    );
    step(&two("    needs: [{ accept: [failed] }]\n"), "missing-key", (9, 13, 1), "a need needs `step`", "");
    step(&two("    needs: a\n"), "wrong-type", (9, 12, 1), "`needs` is a list, not a string", "");
    step(&two("    always: yes\n"), "wrong-type", (9, 13, 3), "`always` is `true` or `false`, not a string", "");
    step(&two("    for_each: { max_parallel: 2 }\n"), "missing-key", (9, 15, 1), "`for_each` needs `items`", "");
    step(&two("    for_each: { items: 3 }\n"), "wrong-type", (9, 24, 1), "`items` is a list, a map or an expression", "");
    step(
        &two("    retry: { attempts: 2, initial: 1m, max: 5s }\n"),
        "wrong-value",
        (9, 45, 2),
        "`max` (5s) is shorter than `initial` (1m)",
        "",
    );
    step(&two("    retry: { backoff: linear, attempts: 2 }\n"), "wrong-value", (9, 23, 6), "`backoff` cannot be `linear`", "it is one of");
    step(&two("    outputs: { A: 1 }\n"), "bad-name", (9, 16, 1), "`A` cannot be the name of an output", "`a` would do");
    step(&two("    timeout: \"${{ params.x }}\"\n"), "expression", (9, 14, 17), "`timeout` cannot be an expression", "");
    step(&two("    summary: ${{ 1 }}\n"), "expression", (9, 14, 8), "`summary` cannot hold an expression", "");
    step(&two("    at: 2026-06-01T19:00:00Z\n    if_late: run\n"), "missing-key", (10, 14, 3), "`if_late` needs `not_after`", "");
    step(&two("    rollback: { with: {} }\n"), "missing-key", (9, 15, 1), "`rollback` needs `uses`", "");
    step(&two("    rollback: { uses: k8s.get, with: { object: x } }\n"), "rollback", (9, 23, 7), "`k8s.get` only reads", "");
    step(&two("    rollback: { uses: wait }\n"), "unknown-action", (9, 23, 4), "`wait` is a construct", "");
    step(&two("    check: { after: [{ that: '${{ true }}', every: 5ms }] }\n"), "wrong-value", (9, 52, 3), "`every` is at least 100ms", "");
    step(&two("    check: { after: [{ that: '${{ true }}', with: {} }] }\n"), "missing-key", (9, 51, 1), "`with` needs `uses`", "");
    step(
        "  - id: a\n    uses: wait\n    with: { duration: 1m }\n    rollback: none\n",
        "rollback",
        (7, 15, 4),
        "this one changes nothing itself",
        "",
    );
    step(
        "  - id: a\n    uses: wait\n    with: { duration: 1m }\n    check: { before: [] }\n",
        "check",
        (7, 12, 1),
        "only a step that uses an action has checks",
        "",
    );
    step("  - id: a\n    uses: wait\n    with: { duration: 1m, every: 1s }\n", "construct", (6, 34, 2), "`every` belongs to `that`", "");
    step("  - id: a\n    uses: wait\n    with: { that: '${{ result.x }}' }\n", "construct", (6, 11, 1), "nothing reads one", "add `uses`");
    step("  - id: a\n    uses: wait\n    with: { duration: 90 }\n", "duration", (6, 23, 2), "a duration has a unit", "`90s`");
    step("  - id: a\n    uses: playbook\n    with: { params: {} }\n", "missing-key", (6, 11, 1), "`playbook` needs `name`", "");
    step(
        "  - id: a\n    uses: playbook\n    with: { name: '${{ params.x }}' }\n",
        "expression",
        (6, 19, 17),
        "cannot hold an expression",
        "",
    );
    step("  - id: a\n    uses: noop\n    with: [1]\n", "wrong-type", (6, 11, 1), "`with` is a map, not a list", "");
    step(
        "  - id: a\n    uses: http.request\n    with: { url: x, json: { '${{ a }}': 1 } }\n",
        "expression",
        (6, 29, 10),
        "a key cannot be an expression",
        "",
    );
    step("  - id: a\n    uses: noop\n    ? [x]\n    : 1\n", "yaml", (6, 7, 1), "the key of a map must be a name", "");
    one("%YAML 1.2\n---\nplaybook: a\n", "yaml", (1, 1, 1), "this is not YAML", "");
}

#[test]
fn inputs() {
    step(
        "  - id: a\n    uses: k8s.scale\n    with: { workload: deployment/x, replcas: 1, replicas: 2 }\n",
        "unknown-input",
        (6, 37, 7),
        "`k8s.scale` has no input `replcas`",
        "did you mean `replicas`?",
    );
    step(
        "  - id: a\n    uses: k8s.scale\n    with: { replicas: 1 }\n",
        "missing-input",
        (6, 11, 1),
        "`k8s.scale` needs the input `workload`",
        "",
    );
    step("  - id: a\n    uses: http.request\n", "missing-input", (5, 11, 12), "`http.request` needs the input `url`", "");
    step(
        "  - id: a\n    uses: k8s.scale\n    with: { workload: deployment/x, replicas: '8' }\n",
        "wrong-type",
        (6, 47, 3),
        "this must be an integer, not a string",
        "remove the quotes",
    );
    step(
        "  - id: a\n    uses: k8s.scale\n    with: { workload: deployment/x, replicas: -1 }\n",
        "wrong-value",
        (6, 47, 2),
        "this is at least 0",
        "",
    );
    step("  - id: a\n    uses: k8s.scale\n    with: { workload: X, replicas: 1 }\n", "wrong-value", (6, 23, 1), "does not match", "");
    step(
        "  - id: a\n    uses: k8s.scale\n    with: { workload: deployment/x, replicas: \"${{ 'x' }}\" }\n",
        "wrong-type",
        (6, 47, 12),
        "the expression gives a string",
        "",
    );
    step(
        "  - id: a\n    uses: k8s.scale\n    with: { workload: deployment/x, replicas: \"a${{ 1 }}\" }\n",
        "wrong-type",
        (6, 47, 11),
        "this must be an integer, not a string",
        "whole value",
    );
    step(
        "  - id: a\n    uses: http.request\n    with: { url: x, method: PSOT }\n",
        "wrong-value",
        (6, 29, 4),
        "this cannot be `PSOT`",
        "did you mean `POST`?",
    );
    step(
        "  - id: a\n    uses: http.request\n    with: { url: x, expect: [200, 999] }\n",
        "wrong-value",
        (6, 35, 3),
        "this is at most 599",
        "",
    );
    step("  - id: a\n    uses: command\n    with: { run: [] }\n", "wrong-value", (6, 18, 1), "at least 1 item", "");
    step(
        "  - id: a\n    uses: command\n    with: { run: [x, 5] }\n",
        "wrong-type",
        (6, 22, 1),
        "this must be a string, not an integer",
        "quotes",
    );
    // Whatever the marks of the schema refuse, they refuse without `shell` as well.
    step(
        "  - id: a\n    uses: command\n    with: { script: \"rm ${{ target.x }}\" }\n",
        "shell",
        (6, 21, 20),
        "within a shell script",
        "env:",
    );
    step(
        "  - id: a\n    uses: command\n    with: { shell: true, script: \"rm ${{ target.x }}\" }\n",
        "shell",
        (6, 34, 20),
        "within a shell script",
        "env:",
    );
}

#[test]
fn all_mistakes_are_told_at_once_in_the_order_of_the_file() {
    let found = problems(
        "playbook: test\nsumary: x\nparams:\n  a: { type: integr }\nsteps:\n  - id: a\n    uses: nop\n  - id: b\n    uses: noop\n    needs: [c]\n    timeout: 5\n",
    );
    let told: Vec<_> = found.problems.iter().map(|problem| (problem.line, problem.code)).collect();
    assert_eq!(
        told,
        [(1, "missing-key"), (2, "unknown-key"), (4, "wrong-value"), (7, "unknown-action"), (10, "unknown-step"), (11, "duration")]
    );
}

#[test]
fn problems_are_shown_with_the_text_underlined() {
    let shown = render(&problems(&around("  - id: a\n    uses: noop\n    neds: []\n")), false, 100);
    let wanted = "error[unknown-key]: a step has no key `neds`\n  --> test.yaml:6:5\n  |\n6 |     neds: []\n  |     ^^^^\n  help: did you mean `needs`?\n\n";
    assert_eq!(shown, wanted);
    let json = serde_json::to_value(problems(&around("  - id: a\n    uses: noop\n    neds: []\n"))).unwrap();
    assert_eq!(json["problems"][0]["source_line"], "    neds: []");
    assert!(render(&problems("a: 1\n"), true, 100).contains("\u{1b}["));
}
