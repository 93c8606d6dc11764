//! What an operator leaves out, ends or forgets: it is said what that means, and nothing is asked for that it does not need.

use super::support::{Stage, step_of, until};

/// A step that fails, one that needs it and changes something, and a secret that only the last one uses.
const CAREFUL: &str = "\
playbook: careful
summary: Prove, then grow, then tell
secrets:
  chat_token: { env: CHAT_TOKEN }
steps:
  - id: fits
    uses: assert
    with: { that: false, message: it does not fit }
  - id: scale
    needs: [fits]
    uses: k8s.scale
    with: { workload: deployment/ticket-service, replicas: 8 }
  - id: tell
    needs: [scale]
    uses: http.request
    with: { method: POST, url: \"${{ target.ticket_service.url }}\", bearer: \"${{ secrets.chat_token }}\" }
outputs:
  replicas: 8
";

const GROW: &str = "\
playbook: grow
summary: Grow, then wait for somebody
steps:
  - id: scale
    uses: k8s.scale
    with: { workload: deployment/ticket-service, replicas: 4 }
  - id: wait
    needs: [scale]
    uses: command
    effect: read
    with: { argv: [sleep, '60'] }
";

const GATED: &str = "\
playbook: gated
summary: Grow, then ask
steps:
  - id: scale
    uses: k8s.scale
    with: { workload: deployment/ticket-service, replicas: 4 }
  - id: gate
    needs: [scale]
    uses: approve
";

fn paused() -> Stage {
    let stage = Stage::new().playbook("careful", CAREFUL).sandbox(20);
    stage
        .run_with(&["run", "careful"], &[("CHAT_TOKEN", "a-long-token")])
        .code(1)
        .stdout_has("go on without it, and without scale, tell, which need it");
    stage
}

#[test]
fn a_skip_says_what_goes_with_it_and_the_run_is_no_full_success() {
    let stage = paused();
    // The secret is not there any more: nothing that is done needs it.
    stage.run(&["skip", "fits", "--reason", "known to fit"]).code(0);
    let skipped = stage.run_with(&["resume"], &[("CHAT_TOKEN", "a-long-token")]).code(0);
    let skipped = skipped.stdout_has("succeeded, but 3 of 3 steps did not run").stdout_has("scale: needs fits, which is skipped");
    let _ = skipped.stdout_has("though not all steps ran");
    assert!(stage.effects().is_empty());
}

#[test]
fn what_acts_on_nothing_needs_no_secret_and_what_acts_does() {
    let stage = paused();
    stage.run(&["resume"]).code(3).stderr_has("CHAT_TOKEN is not set");
    stage.run(&["cancel"]).code(0);
}

#[test]
fn a_killed_run_is_interrupted_and_one_on_the_same_objects_is_warned_of_it() {
    let stage = Stage::new().playbook("grow", GROW).playbook("other", &GROW.replace("playbook: grow", "playbook: other")).sandbox(20);
    let run = stage.start(&["run", "grow"]);
    stage.until_step("wait", "running");
    let _ = stage.run(&["runs"]).code(0).stdout_has("running");
    assert!(run.kill9().was_killed());
    until("nobody works on it", || stage.run(&["runs"]).stdout.contains("interrupted"));
    let status = stage.run(&["status"]).code(0);
    let _ = status.stdout_has("is interrupted").stdout_has("(running, but nobody works on it)");
    let id = stage.status_json()["short_id"].as_str().unwrap().to_owned();
    let other = stage.start(&["run", "other"]);
    other.until_printed(&format!(
        "warning: run {id} of grow is half done on deployment/ticket-service in production: resume it or roll it back first"
    ));
    assert!(other.kill9().was_killed());
}

#[test]
fn a_run_that_is_not_named_is_never_one_that_ended_while_another_is_open() {
    let stage = Stage::new()
        .playbook("gated", GATED)
        .playbook("idle", "playbook: idle\nsummary: Waits\nsteps:\n  - { id: gate, uses: approve }\n")
        .sandbox(20);
    stage.run(&["run", "gated"]).code(4);
    let owing = stage.status_json()["id"].clone();
    stage.run(&["run", "idle"]).code(4);
    stage.run(&["run", "idle"]).code(4);
    stage.run(&["cancel", stage.status_json()["short_id"].as_str().unwrap()]).code(0);
    // Two are open; the latest of all was cancelled.
    assert_eq!(stage.status_json()["status"], "waiting");
    // Of these, one owes something.
    stage.run(&["rollback", "--yes"]).code(0);
    assert_eq!(stage.effects_on("spec.replicas"), ["2→4", "4→2"]);
    let rolled_back = stage.run(&["status", owing.as_str().unwrap(), "-o", "json"]).code(0).json();
    assert_eq!(rolled_back["status"], "rolled_back");
}

#[test]
fn what_was_left_as_it_is_is_owed_no_more() {
    let stage = Stage::new().playbook("grow", &GROW.replace("'60'", "'0'")).sandbox(20);
    stage.run(&["run", "grow"]).code(0);
    stage.fault(&["change", "production/deployment/ticket-service", "spec.replicas", "5"]);
    stage.run(&["rollback", "--yes"]).code(5).stderr_has("replicas 4 → 2");
    stage.run(&["skip", "scale", "--reason", "five is right"]).has_nowhere("give it back");
    let status = stage.status_json();
    assert_eq!((&status["status"], status["owed"].as_array().unwrap().len()), (&"rolled_back".into(), 0), "{status:#}");
    assert_eq!(stage.run(&["runs", "-o", "json"]).json()[0]["owed"], 0);
}

#[test]
fn promise_3_what_a_skipped_step_had_done_is_owed_and_goes_back_with_its_run() {
    let failing = "playbook: grow
summary: Grow, and doubt it
steps:
  - id: scale
    uses: k8s.scale
    with: { workload: deployment/ticket-service, replicas: 6 }
    check:
      after:
        - that: ${{ result.ready_replicas > 6 }}
          within: 500ms
  - id: last
    needs:
      - step: scale
        accept: [succeeded, skipped]
    uses: noop
";
    let stage = Stage::new().playbook("grow", failing).sandbox(50);
    stage.run(&["run", "grow"]).code(1);
    stage.run(&["skip", "scale", "--reason", "six is what we want"]).code(0).stdout_has("replicas 6 → 2");
    stage.run(&["resume"]).code(0).stdout_has("replicas 6 → 2");
    stage.run(&["rollback", "--yes"]).code(0).stderr_has("replicas 6 → 2");
    let status = stage.status_json();
    assert_eq!((&status["status"], status["owed"].as_array().unwrap().len()), (&"rolled_back".into(), 0), "{status:#}");
    assert_eq!(stage.effects_on("spec.replicas"), ["2→6", "6→2"]);
    assert_eq!(step_of(&status, "scale")["status"], "rolled_back");
}

#[test]
fn promise_2_a_step_that_is_skipped_while_it_waits_for_a_lock_is_not_done_when_the_lock_is_free() {
    let stage = Stage::new();
    let (go, end) = (stage.path("go"), stage.path("end"));
    let until = |file: &std::path::Path| format!("while [ ! -e {} ]; do sleep 0.05; done", file.display());
    let holder = format!(
        r#"playbook: holder
summary: Hold the lock
steps:
  - id: scale
    uses: k8s.scale
    with: {{ workload: deployment/ticket-service, replicas: 3 }}
  - id: held
    needs: [scale]
    uses: command
    effect: read
    with: {{ shell: true, script: '{}' }}
"#,
        until(&go)
    );
    // What it changes is known only once it has begun: it waits for the lock then.
    let waiter = format!(
        r#"playbook: waiter
summary: Wait for the lock
steps:
  - id: which
    uses: command
    effect: read
    with: {{ argv: [printf, deployment/ticket-service] }}
    outputs: {{ workload: "${{{{ result.stdout }}}}" }}
  - id: scale
    needs: [which]
    uses: k8s.scale
    with: {{ workload: "${{{{ steps.which.outputs.workload }}}}", replicas: 9 }}
  - id: last
    needs:
      - step: scale
        accept: [succeeded, skipped]
    uses: command
    effect: read
    with: {{ shell: true, script: '{}' }}
"#,
        until(&end)
    );
    let stage = stage.playbook("holder", &holder).playbook("waiter", &waiter).sandbox(50);
    let first = stage.start(&["run", "holder"]);
    stage.until_step("held", "running");
    let second = stage.start(&["run", "waiter"]);
    second.until_printed("for the lock on deployment/ticket-service");
    let id = stage.run(&["status", "waiter", "-o", "json"]).code(0).json()["short_id"].as_str().unwrap().to_owned();
    stage.run(&["skip", &id, "scale", "--reason", "not tonight"]).code(0);
    std::fs::write(go, "").unwrap();
    first.wait().code(0);
    // Longer than it would take to find the lock free.
    std::thread::sleep(std::time::Duration::from_secs(2));
    std::fs::write(end, "").unwrap();
    second.wait().code(0);
    assert_eq!(stage.effects_on("spec.replicas"), ["2→3"]);
}

#[test]
fn promise_2_an_output_that_was_too_large_to_keep_is_never_read_as_null() {
    let large = "playbook: large
summary: Print much, and use it
steps:
  - id: print
    uses: command
    effect: read
    with: { shell: true, script: \"head -c 5000 /dev/zero | tr '\\\\0' x\" }
  - id: use_it
    needs: [print]
    uses: command
    effect: read
    with: { argv: [echo, \"got ${{ steps.print.outputs.stdout }}\"] }
";
    let stage = Stage::new().playbook("large", large);
    let ran = stage.run(&["run", "large"]).code(1).stdout_has("no such key `stdout` in steps.print.outputs").has_nowhere("got null");
    ran.stdout_has("larger than the 4096 bytes that are kept of a step").stdout_has("let its `outputs` pick what is needed");
    // A command's own `stdout` ends there, which its `truncated` says.
    let picked = large.replace(
        "    effect: read\n    with: { shell",
        "    effect: read\n    outputs: { size: \"${{ size(result.stdout) }}\" }\n    with: { shell",
    );
    stage.write_playbook("large", &picked.replace("outputs.stdout }}", "outputs.size }}"));
    stage.run(&["run", "large"]).code(0).stderr_has("got 4096");
}
