//! `kill -9` at every commit and around every effect of a run, then `resume`: promise 2, no effect is silently repeated, and none silently lost.

use super::support::{EVENT, Stage};

fn arguments() -> Vec<String> {
    ["run", "pre-event", "-p", &format!("event_id={EVENT}"), "--yes"].map(str::to_owned).to_vec()
}

#[test]
fn pre_event_succeeds_where_nobody_kills_it() {
    let stage = Stage::pre_event().sandbox(10);
    stage.run(&arguments()).code(0).stdout_has("SANDBOX: no environment was changed");
    assert_eq!(stage.effects_on("spec.replicas"), ["2→8"]);
    assert_eq!(stage.effects_on("fills"), ["0→1"]);
    assert_eq!(stage.status_json()["status"], "succeeded");
}
