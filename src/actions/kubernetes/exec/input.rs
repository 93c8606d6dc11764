//! The inputs of `k8s.exec`.
//!
//! Must not ask anything. Invariant: exactly one of `pod`, `workload` and `selector` says where.

use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;

use super::super::pod_choice;
use super::super::workload::{Workload, is_name};
use crate::actions::support::{DurationText, parse, quoted};
use crate::model::duration::Span;
use crate::model::outcome::Failure;
use crate::ports::action::Inputs;

pub(super) const NAME: &str = "k8s.exec";
/// How long it may take where the step does not say.
const TIMEOUT: Duration = Duration::from_secs(30);
/// The longest that all words may be together, in bytes: they are a part of the request's path.
const LONGEST: usize = 8 * 1024;
/// How much of the words is in a message, in characters.
const SHOWN: usize = 80;

/// The inputs of `k8s.exec`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Input {
    /// The pod's name. This, `workload` or `selector`.
    pub(super) pod: Option<String>,
    /// The workload, in one ready pod of which it runs: `deployment/NAME`, `statefulset/NAME` or `replicaset/NAME`.
    pub(super) workload: Option<Workload>,
    /// A label selector, in one ready pod of which it runs, as `kubectl -l` takes it: `app=ticket-service`.
    pub(super) selector: Option<String>,
    /// The namespace; the environment's (`target.kubernetes.namespace`) where it is left out.
    pub(super) namespace: Option<String>,
    /// The container; the pod's only one where it is left out.
    pub(super) container: Option<String>,
    /// The program and its arguments, without a shell: `[printenv, DB_POOL_MAX]`.
    #[schemars(length(min = 1))]
    pub(super) argv: Vec<String>,
    /// What it reads from its standard input, as text; nothing where it is left out.
    pub(super) stdin: Option<String>,
    /// Which exit codes are success; `[0]` where it is left out.
    #[serde(default = "zero")]
    pub(super) success_codes: Vec<i32>,
    /// How long it may take until its end is known; `30s` where it is left out.
    #[schemars(with = "Option<DurationText>")]
    timeout: Option<Span>,
}

fn zero() -> Vec<i32> {
    vec![0]
}

impl Input {
    /// The inputs, checked against each other.
    ///
    /// # Errors
    /// What does not fit.
    pub(super) fn of(inputs: &Inputs) -> Result<Self, Failure> {
        let input: Self = parse(NAME, inputs)?;
        match &input.pod {
            None => pod_choice::check(input.workload.as_ref(), input.selector.as_deref())?,
            Some(_) if input.workload.is_some() || input.selector.is_some() => {
                return Err(Failure::permanent("`pod` cannot be given with `workload` or `selector`").hint("keep one of them"));
            }
            Some(pod) if !is_name(pod) => {
                return Err(Failure::permanent("`pod` is not a pod's name").hint("only its name: `ticket-service-7d4f9c-x2x7k`"));
            }
            Some(_) => {}
        }
        if input.container.as_deref().is_some_and(|name| !is_name(name)) {
            return Err(Failure::permanent("`container` is not a container's name"));
        }
        if input.argv.first().is_none_or(String::is_empty) {
            return Err(Failure::permanent("`argv` names no program").hint("write `argv: [PROGRAM, ARGUMENT, …]`"));
        }
        if input.argv.iter().any(|word| word.contains('\0')) || input.argv.iter().map(String::len).sum::<usize>() > LONGEST {
            return Err(Failure::permanent(format!("`argv` holds a NUL character, or is longer than {LONGEST} bytes"))
                .hint("give long texts to the program as `stdin`"));
        }
        if input.success_codes.is_empty() {
            return Err(Failure::permanent("`success_codes` is empty: nothing could succeed").hint("leave it out for 0"));
        }
        Ok(input)
    }

    pub(super) fn timeout(&self) -> Duration {
        self.timeout.map_or(TIMEOUT, |span| span.0)
    }

    /// For messages: `printenv DB_POOL_MAX`.
    pub(super) fn shown(&self) -> String {
        let line = self.argv.iter().map(|word| quoted(word)).collect::<Vec<_>>().join(" ");
        let cut: String = line.chars().take(SHOWN).collect();
        if cut.len() < line.len() { format!("`{cut}…`") } else { format!("`{line}`") }
    }
}
