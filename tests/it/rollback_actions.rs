//! A step's own rollback action: another request than the step's, with a key and files of its own.

use super::support::{Stage, step_of};

fn booking(effect: &str) -> Stage {
    let stage = Stage::new();
    let file = stage.path("book");
    let yaml = format!(
        r#"playbook: booking
summary: Book, and cancel the booking on the way back
steps:
  - id: book
    uses: command
    with:
      shell: true
      script: echo booked >>"$FILE"
      env: {{ FILE: {0} }}
    effect: {effect}
    rollback:
      uses: command
      with:
        shell: true
        script: echo cancelled >>"$FILE"
        env: {{ FILE: {0} }}
"#,
        file.display()
    );
    stage.playbook("booking", &yaml)
}

#[test]
fn a_command_that_takes_back_a_command_runs_once_and_is_not_taken_for_it() {
    for effect in ["once", "idempotent"] {
        let stage = booking(effect);
        stage.run(&["run", "booking"]).code(0);
        stage.run(&["rollback", "--yes"]).code(0);
        assert_eq!(stage.text("book"), "booked\ncancelled\n");
        let status = stage.status_json();
        assert_eq!(step_of(&status, "book")["status"], "rolled_back");
    }
}

#[test]
fn promise_2_a_rollback_action_killed_between_its_effect_and_its_outcome_is_not_repeated() {
    for point in ["before-effect:1", "effect:1", "commit:2", "commit:3"] {
        let stage = booking("once");
        stage.run(&["run", "booking"]).code(0);
        stage.run_killed_at(point, &["rollback", "--yes"]);
        stage.run(&["resume"]);
        assert!(stage.text("book").lines().filter(|line| *line == "cancelled").count() <= 1, "{point}: {}", stage.text("book"));
    }
}
