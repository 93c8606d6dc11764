//! `for_each`, `at`, `wait`, called playbooks and `needs … accept`, killed at every commit and effect: each step is done once, in its order.

use super::support::{Stage, at_every_point, step_of};

const STEPS: [&str; 6] = ["first", "item-a", "item-b", "called-x", "late", "last"];

/// Steps that each write a line, one after the other, so that at each kill at most one of them is under way.
fn everything() -> Stage {
    let stage = Stage::new();
    let file = stage.path("lines").display().to_string();
    let at = jiff::Timestamp::now() + jiff::SignedDuration::from_millis(700);
    let says = |word: &str| {
        format!(
            "uses: command\n    with: {{ shell: true, script: 'echo \"$WORD\" >>\"$FILE\"', env: {{ FILE: {file}, WORD: \"{word}\" }} }}"
        )
    };
    let yaml = format!(
        r#"playbook: everything
summary: One of each
steps:
  - id: first
    {first}
  - id: each
    needs: [first]
    for_each: {{ items: [a, b], max_parallel: 1 }}
    {each}
  - id: pause
    needs: [each]
    uses: wait
    with: {{ duration: 150ms }}
  - id: call
    needs: [pause]
    uses: playbook
    with: {{ name: called, params: {{ word: x }} }}
  - id: fails
    needs: [call]
    uses: assert
    with: {{ that: false }}
    on_failure: continue
  - id: never
    needs: [call]
    when: ${{{{ 1 > 2 }}}}
    uses: noop
  - id: late
    needs:
      - {{ step: fails, accept: [succeeded, failed] }}
      - {{ step: never, accept: [succeeded, skipped] }}
    at: "{at}"
    {late}
  - id: not_accepted
    needs: [fails]
    uses: noop
  - id: last
    needs: [late]
    {last}
"#,
        first = says("first"),
        each = says("item-${{ item }}"),
        late = says("late"),
        last = says("last"),
    );
    let called = format!(
        "playbook: called\nsummary: Called\nparams:\n  word: {{ type: string, help: A word }}\nsteps:\n  - id: says\n    {}\n",
        says("called-${{ params.word }}")
    );
    stage.playbook("everything", &yaml).playbook("called", &called)
}

#[test]
fn promise_2_every_construct_killed_at_every_commit_and_effect_ends_as_if_it_had_not_been() {
    let killed = at_every_point(8, |point| {
        let stage = everything();
        let (killed, ran) = stage.run_killed_at(point, &["run", "everything"]);
        if killed {
            stage.resume_if_open(1);
        } else {
            ran.code(1);
        }
        let status = stage.status_json();
        assert_eq!(stage.text("lines").lines().collect::<Vec<_>>(), STEPS, "{point}: {}", stage.run(&["status"]));
        assert_eq!(status["status"], "succeeded_with_failures", "{point}");
        for (step, wanted) in [
            ("each", "succeeded"),
            ("pause", "succeeded"),
            ("call", "succeeded"),
            ("call/says", "succeeded"),
            ("fails", "failed"),
            ("never", "skipped"),
            ("not_accepted", "skipped"),
            ("last", "succeeded"),
        ] {
            assert_eq!(step_of(&status, step)["status"], wanted, "{point} {step}: {status:#}");
        }
        killed
    });
    assert!(killed["commit"] >= 8 && killed["effect"] == 6 && killed["before-effect"] >= 6, "{killed:?}");
}

#[test]
fn promise_2_a_fan_out_killed_at_every_commit_and_effect_comes_together_again() {
    let killed = at_every_point(6, |point| {
        let stage = Stage::new();
        let folder = stage.path("done");
        std::fs::create_dir(&folder).unwrap();
        let yaml = format!(
            r#"playbook: fan
summary: Out, and in again
steps:
  - id: out
    for_each: {{ items: [a, b, c, d] }}
    uses: command
    effect: idempotent
    with: {{ argv: [touch, "{}/${{{{ item }}}}"] }}
    retry: {{ attempts: 3, initial: 100ms }}
  - id: in
    needs: [out]
    uses: noop
"#,
            folder.display()
        );
        let stage = stage.playbook("fan", &yaml);
        let (killed, ran) = stage.run_killed_at(point, &["run", "fan"]);
        if killed {
            stage.resume_if_open(0);
        } else {
            ran.code(0);
        }
        assert_eq!(stage.status_json()["status"], "succeeded", "{point}: {}", stage.run(&["status"]));
        assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 4, "{point}");
        killed
    });
    assert!(killed["commit"] >= 2 && killed["effect"] == 4, "{killed:?}");
}
