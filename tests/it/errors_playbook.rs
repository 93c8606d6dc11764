//! Playbooks and parameters that do not fit, and what people read then. All end with 3, before anything is recorded.

use super::errors::{OK, tells, tells_of};
use super::support::Stage;

const TWO: &str = "\
playbook: two
summary: Parameters of several types
params:
  event_id: { type: string, format: uuid, help: The event whose caches are filled }
  pods: { type: integer }
  level: { type: string, enum: [low, medium, high], default: low }
  zones: { type: list, default: [] }
  pause: { type: duration, default: 10s }
  at: { type: timestamp, default: \"2026-06-01T19:00:00Z\" }
  dry: { type: boolean, default: false }
steps:
  - { id: a, uses: noop }
";

const UUID: &str = "event_id=3f2504e0-4f89-41d3-9a0c-0305e82c3301";

#[test]
fn an_unknown_playbook_is_named_with_a_near_one() {
    let stage = Stage::pre_event().playbook("ok", OK);
    tells(
        &stage,
        &["run", "pre-evnt"],
        3,
        "\
error: there is no playbook `pre-evnt` in ROOT/playbooks
 hint: did you mean `pre-event`?",
    );
    tells(
        &stage,
        &["run", "quite-another"],
        3,
        "\
error: there is no playbook `quite-another` in ROOT/playbooks
 hint: there are: ok, pre-event",
    );
    tells(
        &stage,
        &["run", "../playbooks/ok-or-not"],
        3,
        "\
error: there is no playbook `../playbooks/ok-or-not` in ROOT/playbooks
 hint: there are: ok, pre-event",
    );
    assert!(!stage.root().join("state/runsheet.db").exists(), "nothing was recorded");
}

#[test]
fn missing_parameters_are_told_all_at_once() {
    let stage = Stage::new().playbook("two", TWO);
    tells(
        &stage,
        &["run", "two"],
        3,
        "\
error: parameter `event_id` is missing (The event whose caches are filled)
       parameter `pods` is missing
 hint: give it with -p event_id=<uuid>
       give it with -p pods=<whole number>",
    );
    tells(
        &stage,
        &["run", "two", "-p", UUID],
        3,
        "\
error: parameter `pods` is missing
 hint: give it with -p pods=<whole number>",
    );
    assert!(!stage.root().join("state/runsheet.db").exists(), "nothing was recorded");
}

#[test]
fn wrong_parameters_say_what_they_should_be() {
    let stage = Stage::new().playbook("two", TWO);
    let wrong = |param: &str, wanted: &str| tells(&stage, &["run", "two", "-p", UUID, "-p", "pods=4", "-p", param], 3, wanted);
    tells(
        &stage,
        &["run", "two", "-p", "event_id=42", "-p", "pods=4"],
        3,
        "error: parameter `event_id` is a UUID, not `42`\n hint: such as `3f2504e0-4f89-41d3-9a0c-0305e82c3301`",
    );
    tells(
        &stage,
        &["run", "two", "-p", UUID, "-p", "pods=four"],
        3,
        "error: parameter `pods` is a whole number, not `four`\n hint: `runsheet show two` lists its parameters",
    );
    wrong("level=hihg", "error: parameter `level` cannot be `hihg`\n hint: did you mean `high`?");
    wrong("level=x", "error: parameter `level` cannot be `x`\n hint: it is one of: low, medium, high");
    wrong(
        "zones=[1",
        "error: parameter `zones` is a list, and this is not JSON: EOF while parsing a list at line 1 column 2\n hint: write it as JSON: -p zones='[…]'",
    );
    wrong("pause=soon", "error: parameter `pause` is a duration, not `soon`\n hint: such as `90s`, `10m` or `1h30m`");
    wrong(
        "at=19:00",
        "error: parameter `at` is a time, not `19:00`\n hint: write it with an offset (`2026-06-01T19:00:00+02:00`) or a zone (`2026-06-01T19:00[Europe/Berlin]`)",
    );
    wrong("dry=maybe", "error: parameter `dry` is `true` or `false`, not `maybe`\n hint: `runsheet show two` lists its parameters");
    wrong("levl=high", "error: playbook two has no parameter `levl`\n hint: did you mean `level`?");
    wrong("something=1", "error: playbook two has no parameter `something`\n hint: it takes: event_id, pods, level, zones, pause, at, dry");
    assert!(!stage.root().join("state/runsheet.db").exists(), "nothing was recorded");
}

#[test]
fn an_invalid_playbook_is_underlined() {
    let stage = Stage::new().playbook(
        "bad",
        "playbook: bad\nsummary: Mistakes\nsteps:\n  - id: scale\n    uses: k8s.scal\n    needs: [other]\n    retires: 3\n",
    );
    let wanted = "\
error[unknown-action]: there is no action `k8s.scal`
  --> ROOT/playbooks/bad.yaml:5:11
  |
5 |     uses: k8s.scal
  |           ^^^^^^^^
  help: did you mean `k8s.scale`?

error[unknown-step]: there is no step `other`
  --> ROOT/playbooks/bad.yaml:6:13
  |
6 |     needs: [other]
  |             ^^^^^
  help: steps are named by their `id`
";
    tells_of(&stage, &["run", "bad"], 3, &[wanted, "bad.yaml:7:5", "unknown-key", "3 problems"]);
    tells_of(&stage, &["validate", "bad"], 3, &[wanted]);
    assert!(!stage.root().join("state/runsheet.db").exists(), "nothing was recorded");
}

#[test]
fn what_yaml_itself_cannot_read_has_a_place() {
    let stage = Stage::new().playbook("torn", "playbook: torn\nsummary: \"open\nsteps: [\n");
    tells_of(&stage, &["run", "torn"], 3, &["ROOT/playbooks/torn.yaml:", "this is not YAML"]);
    let stage = stage.playbook("lost", "playbook: lost\nsummary: x\nsteps:\n  - { id: a, uses: noop, when: ${{ 1 < 2 }} }\n");
    tells_of(&stage, &["run", "lost"], 3, &["ROOT/playbooks/lost.yaml:4:"]);
    let empty = stage.playbook("empty", "");
    tells_of(&empty, &["run", "empty"], 3, &["ROOT/playbooks/empty.yaml:1:1", "help: "]);
}

#[test]
fn secrets_that_are_not_there_or_too_short() {
    let stage = Stage::new().playbook(
        "sec",
        "playbook: sec\nsummary: s\nsecrets:\n  token: { env: SERVICE_TOKEN }\nsteps:\n  - id: a\n    uses: command\n    with: { argv: [true], env: { T: \"${{ secrets.token }}\" } }\n",
    );
    tells(
        &stage,
        &["run", "sec"],
        3,
        "\
error: secret `token`: the environment variable SERVICE_TOKEN is not set: `export SERVICE_TOKEN=…`, then run again
 hint: a secret's value is never stored: it has to be there again for `runsheet resume`",
    );
    let stage = stage.env("SERVICE_TOKEN", "abc");
    tells_of(
        &stage,
        &["run", "sec"],
        3,
        &["secret `token`, from the environment variable SERVICE_TOKEN, has fewer than 4 characters", "use a longer secret"],
    );
    assert!(!stage.root().join("state/runsheet.db").exists(), "nothing was recorded");
}

#[test]
fn files_of_parameters_that_cannot_be_used() {
    let stage = Stage::new().playbook("two", TWO);
    let file = stage.path("params.json").to_string_lossy().into_owned();
    let run = ["run", "two", "--params-file", file.as_str()];
    std::fs::write(&file, "[1]").unwrap();
    tells(
        &stage,
        &run,
        3,
        "\
error: the parameters' file cannot be used: it holds no object
   at: STAGE/params.json
 hint: it holds one JSON object: {\"level\": \"high\"}",
    );
    std::fs::write(&file, "{\"pods\":\n").unwrap();
    tells_of(&stage, &run, 3, &["at: STAGE/params.json", "line 2 column 0"]);
}
