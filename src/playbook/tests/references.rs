//! What expressions may not refer to, with its exact place and what to do.

use super::refused::{one, step};
use super::*;

#[test]
fn secrets() {
    let with = |steps: &str| format!("playbook: a\nsummary: b\nsecrets: {{ token: {{}} }}\nsteps:\n{steps}");
    one(
        &with("  - id: a\n    uses: http.request\n    with: { url: '${{ secrets.token }}' }\n"),
        "secret",
        (7, 18, 22),
        "a secret may not stand here",
        "typed secret",
    );
    let found = problems(&with("  - id: a\n    uses: http.request\n    with: { url: x, bearer: 'Bearer ${{ secrets.token }}' }\n"));
    let told: Vec<_> = found.problems.iter().map(|problem| (problem.line, problem.column, problem.message.as_str())).collect();
    assert_eq!(
        told,
        [(7, 29, "this input takes a secret, and a text in a playbook is no secret"), (7, 41, "a secret may not be used in an input")]
    );
    one(
        &with("  - id: a\n    uses: http.request\n    with: { url: x, bearer: hunter2 }\n"),
        "secret",
        (7, 29, 7),
        "a text in a playbook is no secret",
        "declare it",
    );
    one(
        &with("  - id: a\n    uses: http.request\n    with: { url: x, bearer: '${{ secrets.tokn }}' }\n"),
        "unknown-reference",
        (7, 34, 12),
        "there is no secret `tokn`",
        "did you mean `token`?",
    );
    one(
        &with("  - id: a\n    uses: noop\n    when: ${{ secrets.token == 'x' }}\n"),
        "secret",
        (7, 15, 13),
        "may not be used in `when`",
        "given whole",
    );
}

#[test]
fn references() {
    let after = |steps: &str| format!("  - id: first\n    uses: k8s.get\n    with: {{ object: x }}\n{steps}");
    step(
        "  - id: a\n    uses: noop\n    when: ${{ params.levle == 'x' }}\n",
        "unknown-reference",
        (6, 15, 12),
        "there is no parameter `levle`",
        "declare it under `params:`",
    );
    step("  - id: a\n    uses: noop\n    when: ${{ vars.x == 'x' }}\n", "unknown-reference", (6, 15, 6), "there is no variable `x`", "");
    step(
        &after("  - id: a\n    uses: noop\n    when: ${{ steps.frist.status == 'failed' }}\n"),
        "unknown-step",
        (9, 15, 18),
        "there is no step `frist`",
        "did you mean `first`?",
    );
    step(
        &after("  - id: a\n    uses: noop\n    needs: [frist]\n"),
        "unknown-step",
        (9, 13, 5),
        "there is no step `frist`",
        "did you mean `first`?",
    );
    step(
        &after("  - id: a\n    uses: noop\n    when: ${{ steps.first.outputs.object != null }}\n"),
        "not-an-ancestor",
        (9, 15, 26),
        "`first` need not have run",
        "add `first` to the needs of `a`",
    );
    step(
        &after("  - id: a\n    needs: [first]\n    uses: noop\n    when: ${{ steps.first.outputs.objekt != null }}\n"),
        "unknown-output",
        (10, 15, 26),
        "`first` has no output `objekt`",
        "did you mean `object`?",
    );
    step(
        &after("  - id: a\n    needs: [first]\n    uses: noop\n    when: ${{ steps.first.object != null }}\n"),
        "unknown-output",
        (10, 15, 18),
        "a step has no `object`",
        "write `steps.first.outputs.object`",
    );
    step(
        "  - id: a\n    uses: noop\n    needs: [b]\n  - id: b\n    uses: noop\n    needs: [c]\n  - id: c\n    uses: noop\n    needs: [a]\n",
        "cycle",
        (6, 13, 1),
        "a → b → c → a",
        "remove one",
    );
    step("  - id: a\n    uses: noop\n    needs: [a]\n", "cycle", (6, 13, 1), "`a` needs itself", "");
    step("  - id: a\n    uses: noop\n    when: ${{ item == 1 }}\n", "scope", (6, 15, 4), "`item` has no value in `when`", "for_each");
    step("  - id: a\n    uses: noop\n    when: ${{ result == 1 }}\n", "scope", (6, 15, 6), "`result` has no value in `when`", "check");
    step(
        "  - id: a\n    uses: noop\n    check: { before: [{ that: '${{ prior == 1 }}' }] }\n",
        "scope",
        (6, 36, 5),
        "`prior` has no value in `that`",
        "check.after",
    );
    step(
        "  - id: a\n    uses: noop\n    when: \"${{ '\\\"' == 'a' || \\\n      params.gone }}\"\n",
        "unknown-reference",
        (7, 7, 11),
        "there is no parameter `gone`",
        "",
    );
}

#[test]
fn outputs_that_may_be_null() {
    let steps = |needs: &str, when: &str| {
        format!(
            "  - id: first\n    uses: k8s.get\n    with: {{ object: x }}\n  - id: a\n    needs: [{needs}]\n    uses: noop\n    when: ${{{{ {when} }}}}\n"
        )
    };
    let skipped = "{ step: first, accept: [succeeded, skipped] }";
    step(
        &steps(skipped, "steps.first.outputs.object.x > 1"),
        "may-be-null",
        (10, 15, 28),
        "is null where `first` has not succeeded",
        "guard it",
    );
    accepted(&around(&steps(skipped, "steps.first.outputs.object != null && steps.first.outputs.object.x > 1")));
    accepted(&around(&steps(skipped, "steps.first.status == 'succeeded' && steps.first.outputs.object.x > 1")));
    accepted(&around(&steps("first", "steps.first.outputs.object.x > 1")));
    // What a step's `when` makes sure of holds for the rest of the step.
    let guarded = "  - id: first\n    uses: command\n    with: { run: [x] }\n  - id: a\n    needs: [{ step: first, accept: [failed, succeeded] }]\n    when: ${{ steps.first.status == 'succeeded' }}\n    uses: command\n    with: { run: [x, \"${{ steps.first.outputs.stdout }}\"] }\n";
    accepted(&around(guarded));
    // A need of a need that was itself accepted skipped.
    let far = "  - { id: a, uses: command, with: { run: [x] } }\n  - { id: b, uses: noop, needs: [{ step: a, accept: [skipped] }] }\n  - { id: c, uses: noop, needs: [b], when: \"${{ steps.a.outputs.exit_code == 1 }}\" }\n";
    step(far, "may-be-null", (6, 49, 25), "may", "");
    step(
        "  - { id: a, uses: command, with: { run: [x] } }\n  - { id: b, uses: noop, always: true, needs: [a], when: \"${{ steps.a.outputs.exit_code == 1 }}\" }\n",
        "may-be-null",
        (5, 63, 25),
        "may",
        "",
    );
    step(
        "  - { id: a, uses: command, with: { run: [x] }, for_each: { items: [1] } }\n  - { id: b, uses: noop, needs: [a], when: \"${{ steps.a.outputs.exit_code == 1 }}\" }\n",
        "unknown-output",
        (5, 49, 25),
        "has `for_each`",
        "",
    );
}

/// A `when` that looks at the item is evaluated after what concerns the step as a whole, so that it guards nothing there.
#[test]
fn a_guard_for_each_item_does_not_guard_the_items() {
    let steps = |when: &str| {
        format!(
            "  - {{ id: a, uses: command, with: {{ run: [x] }} }}\n  - id: b\n    needs: [{{ step: a, accept: [failed, succeeded] }}]\n    uses: noop\n    when: ${{{{ {when} }}}}\n    for_each:\n      items: ${{{{ [steps.a.outputs.stdout] }}}}\n"
        )
    };
    accepted(&around(&steps("steps.a.status == 'succeeded'")));
    step(
        &steps("steps.a.status == 'succeeded' && item != ''"),
        "may-be-null",
        (10, 19, 22),
        "`steps.a.outputs.stdout` is null",
        "guard it",
    );
}
