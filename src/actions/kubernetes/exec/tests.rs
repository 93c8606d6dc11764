//! Inputs that do not fit, and what ends mean.

use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Status, StatusCause, StatusDetails};
use serde_json::json;

use super::session::{Ended, Printed};
use super::*;
use crate::actions::trial;
use crate::environment::KubeError;

const ASKED: Asked<'_> = Asked { verb: "create", resource: "pods/exec", name: "x", namespace: "production" };

fn input(value: Value) -> Result<Input, Failure> {
    Input::of(&Inputs(value))
}

#[test]
fn where_and_what_have_to_be_said_once() {
    for (inputs, why) in [
        (json!({ "argv": ["true"] }), "it needs `workload` or `selector`"),
        (json!({ "argv": ["true"], "pod": "x", "selector": "app=x" }), "`pod` cannot be given with"),
        (json!({ "argv": ["true"], "pod": "../x" }), "`pod` is not a pod's name"),
        (json!({ "argv": [], "pod": "x" }), "`argv` names no program"),
        (json!({ "argv": ["a\0b"], "pod": "x" }), "NUL"),
        (json!({ "argv": ["true"], "pod": "x", "success_codes": [] }), "nothing could succeed"),
        (json!({ "argv": "true", "pod": "x" }), "do not fit"),
    ] {
        let failure = input(inputs.clone()).unwrap_err();
        assert!(failure.message.contains(why), "{inputs}: {failure}");
    }
}

#[test]
fn the_line_by_hand_is_kubectls() {
    let inputs =
        json!({ "workload": "deployment/x", "container": "app", "argv": ["sh", "-c", "exit 3"], "stdin": "a b", "namespace": "n" });
    assert_eq!(by_hand(&inputs, None).act, ["printf %s 'a b' | kubectl exec -i -n n deployment/x -c app -- sh -c 'exit 3'"]);
}

#[test]
fn only_what_certainly_did_not_run_was_not_applied() {
    let status = |reason: &str, message: &str, code: Option<&str>| {
        let causes = code.map(|code| {
            vec![StatusCause { reason: Some("ExitCode".to_owned()), message: Some(code.to_owned()), ..StatusCause::default() }]
        });
        Box::new(Status {
            status: Some(if reason.is_empty() { "Success" } else { "Failure" }.to_owned()),
            reason: Some(reason.to_owned()),
            message: Some(message.to_owned()),
            details: Some(StatusDetails { causes, ..StatusDetails::default() }),
            ..Status::default()
        })
    };
    let refused = |status: u16, message: &str| Ended::Refused { status, reason: "R".to_owned(), message: message.to_owned() };
    let told = |status| Ended::Told(status, Printed::default());
    type Made<'a> = Box<dyn Fn() -> Ended + 'a>;
    // How it ended, what that is for a write and for a read, what the message says.
    let table: [(Made<'_>, &str, &str, &str); 10] = [
        (Box::new(|| told(status("", "", None))), "applied", "applied", ""),
        (Box::new(|| told(status("NonZeroExitCode", "", Some("7")))), "with effect", "with effect", "`true` in pod x exited with 7"),
        (
            Box::new(|| told(status("InternalError", "exec: \"true\": executable file not found in $PATH", None))),
            "not",
            "not",
            "did not start in pod x",
        ),
        (Box::new(|| told(status("InternalError", "rpc error: broken", None))), "unknown", "not", "could not say how it ended: rpc error"),
        (Box::new(|| Ended::Cut(Printed::default())), "unknown", "not", "the connection was cut before it was known how it ended"),
        (
            Box::new(|| Ended::TimedOut(Duration::from_secs(3), Printed::default())),
            "unknown",
            "not",
            "had not ended after 3 s, and goes on there",
        ),
        (Box::new(|| refused(403, "no")), "not", "not", "forbidden (403)"),
        (Box::new(|| refused(500, "unable to upgrade connection: container not found (\"app\")")), "not", "not", "container not found"),
        (Box::new(|| refused(502, "bad gateway")), "unknown", "not", "the server failed (502)"),
        (Box::new(|| Ended::Unanswered(KubeError::NotSent { why: "refused".to_owned() })), "not", "not", "no connection"),
    ];
    for (ended, write, read, message) in table {
        for (effect, wanted) in [(Effect::Once, write), (Effect::Read, read)] {
            let cx = Context { effect, ..trial::context(None, &[]).0 };
            let input = input(json!({ "argv": ["true"], "pod": "x" })).unwrap();
            let (is, said) = match judge(ended(), &input, "x", ASKED, &cx) {
                Applied::Applied { .. } => ("applied", String::new()),
                Applied::NotApplied { failure } => ("not", failure.message),
                Applied::FailedWithEffect { failure, .. } => ("with effect", failure.message),
                Applied::Unknown { failure } => ("unknown", failure.message),
            };
            assert_eq!(is, wanted, "{effect:?}: {said}");
            assert!(said.contains(message), "`{message}` is not in `{said}`");
        }
    }
}
