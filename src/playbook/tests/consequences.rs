//! A mistake is told once: what only follows from it is not told beside it.

use super::*;

fn messages(text: &str) -> Vec<String> {
    problems(text).problems.iter().map(|problem| problem.message.clone()).collect()
}

fn steps(text: &str) -> Vec<String> {
    messages(&format!("playbook: a\nsummary: b\nsteps:\n{text}"))
}

#[test]
fn a_step_whose_id_cannot_be_read_is_not_missed_by_those_that_need_it() {
    let rest = "  - { id: b, needs: [scale], uses: noop, when: \"${{ steps.scale.status == 'succeeded' }}\" }\n  - { id: c, needs: [scale, b], uses: noop }\n";
    assert_eq!(steps(&format!("  - ids: scale\n    uses: noop\n{rest}")), ["a step has no key `ids`", "a step needs `id`"]);
    let five = "  - { id: 5, uses: noop }\n  - { id: b, needs: ['5'], uses: noop }\n";
    assert_eq!(steps(five), ["`id` is a string, not an integer"]);
    // What is near to another's id is a mistake of its own.
    let near = "  - { uses: noop }\n  - { id: grow, uses: noop }\n  - { id: c, needs: [grwo], uses: noop }\n";
    assert_eq!(steps(near), ["a step needs `id`", "there is no step `grwo`"]);
}

#[test]
fn an_id_that_is_no_name_is_told_once_and_not_wherever_it_is_used() {
    let text = "  - { id: scale-up, uses: k8s.get, with: { object: x } }
  - { id: b, needs: [scale-up], uses: noop, when: \"${{ steps.scale-up.status == 'succeeded' }}\" }
  - { id: c, needs: [scale-up, b], uses: noop, when: \"${{ steps.scale-up.outputs.nope != null || up == 1 }}\" }
";
    let found = steps(text);
    assert!(found[0].starts_with("`scale-up` cannot be an id"), "{found:#?}");
    assert_eq!(found.len(), 1, "{found:#?}");
    let text = "  - { id: scale-up, uses: noop }\n  - { id: b, needs: [scale-up], uses: noop, when: \"${{ up == 1 }}\" }\n";
    assert_eq!(steps(text).len(), 2, "what has nothing to do with it is told");
}

#[test]
fn a_parameter_that_is_declared_wrongly_is_not_missed_where_it_is_used() {
    let text = "playbook: a
summary: b
params: { count: 3, size: { type: int }, level: { type: string } }
steps:
  - { id: a, uses: noop, when: '${{ params.count > 1 && params.size > 1 && params.levle == params.level }}' }
";
    let found = messages(text);
    assert_eq!(found, ["a parameter is a map, not an integer", "`type` cannot be `int`", "there is no parameter `levle`"],);
}
