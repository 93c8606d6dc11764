//! What there is to know about `run.restore`, and the inputs it takes. What it gives back is tried through the binary.

use serde_json::json;

use super::*;

#[test]
fn the_entry_is_complete() {
    let entry = Restore::without_journal().entry();
    assert!(entry.page.starts_with("# run.restore\n"));
    for part in ["**Effect class.**", "**Rollback.**", "**Guarded.**", "Reference: <https://", "```yaml"] {
        assert!(entry.page.contains(part), "{part}");
    }
    jsonschema::meta::validate(&entry.inputs).unwrap();
    assert_eq!(entry.inputs["additionalProperties"], false);
}

#[test]
fn its_inputs_have_defaults_and_unknown_ones_are_refused() {
    let input = Input::of(&Inputs(json!({ "playbooks": ["pre-event"], "params": null }))).unwrap();
    assert_eq!((input.within.to_string(), input.settle.to_string(), input.params.len()), ("7d".to_owned(), "30m".to_owned(), 0));
    let failure = Input::of(&Inputs(json!({ "playbooks": [], "since": "1h" }))).unwrap_err();
    assert!(failure.message.contains("unknown field `since`"), "{failure}");
}

#[test]
fn by_hand_it_names_the_playbooks_and_nothing_that_a_shell_would_take() {
    let lines = by_hand(&json!({ "playbooks": ["pre-event", "$(rm -rf /)"] }), None).act;
    assert!(lines[0].starts_with("# ") && lines[0].contains("of pre-event") && !lines.join("\n").contains("rm"), "{lines:?}");
}
