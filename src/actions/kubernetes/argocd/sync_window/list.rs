//! The list of a project's sync windows, and the JSON Patch by which one is added to it or taken from it.
//!
//! Must not send anything. Invariant: a patch tests the whole list that it adds to, and the very window that it takes away.

use serde_json::{Value, json};

use crate::actions::kubernetes::swap_fields::Judged;

const POINTER: &str = "/spec/syncWindows";

/// The windows.
pub(super) fn of(project: &Value) -> &[Value] {
    project.pointer(POINTER).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

/// Whether there is a list at all.
pub(super) fn is_there(project: &Value) -> bool {
    project.pointer(POINTER).is_some_and(Value::is_array)
}

/// Whether this very window is among them.
pub(super) fn has(project: &Value, window: &Value) -> bool {
    of(project).contains(window)
}

/// Adds a window.
pub(super) fn added(project: &Value, window: &Value) -> Judged {
    if has(project, window) {
        return Judged::Done;
    }
    Judged::Write(if is_there(project) {
        vec![
            json!({ "op": "test", "path": POINTER, "value": of(project) }),
            json!({ "op": "add", "path": format!("{POINTER}/-"), "value": window }),
        ]
    } else {
        vec![json!({ "op": "test", "path": POINTER, "value": null }), json!({ "op": "add", "path": POINTER, "value": [window] })]
    })
}

/// Takes a window away, and the list with it where there was none before.
pub(super) fn taken_away(project: &Value, window: &Value, had_list: bool) -> Judged {
    let Some(at) = of(project).iter().position(|one| one == window) else { return Judged::Done };
    if of(project).len() == 1 && !had_list {
        return Judged::Write(vec![
            json!({ "op": "test", "path": POINTER, "value": of(project) }),
            json!({ "op": "remove", "path": POINTER }),
        ]);
    }
    let path = format!("{POINTER}/{at}");
    Judged::Write(vec![json!({ "op": "test", "path": path, "value": window }), json!({ "op": "remove", "path": path })])
}
