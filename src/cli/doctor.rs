//! `doctor`: whether runs can be made here, and what an environment's account may not do.
//!
//! Must not start a sandbox that nobody asked for.

use clap_complete::engine::ArgValueCompleter;
use serde_json::json;

use super::complete;
use super::context::Context;
use super::environment::{code, tell, tell_findings};
use super::exit_code;
use super::failure::Failure;
use super::run::pair;
use crate::app::{AccessExam, Doctor, DoctorRequest, Lack, PlaybookAccess, StepAccess, Verdict, render};
use crate::model::permission::Purpose;
use crate::report::doctor::{AccessRow, access_table};
use crate::report::{Role, text};

/// The arguments of `doctor`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
With an environment its cluster is asked, for each permission that a step needs, whether the account has it (SelfSubjectAccessReview). \
Nothing is changed. A parameter without a value is not known yet: what depends on it is told as that.

Exit codes: 0 all is well; 3 a playbook or a file is wrong; 6 a run would be refused, or a step could not be done.

Examples:
  runsheet doctor                               this machine and the playbooks
  runsheet doctor --env staging                 also the environment, and what its account may not do
  runsheet doctor scale --env staging -p level=high
  runsheet doctor --env sandbox -o json")]
pub struct Args {
    /// Playbooks, by name or file [default: all of the root]
    #[arg(value_name = "PLAYBOOK|FILE", add = ArgValueCompleter::new(complete::playbooks))]
    playbooks: Vec<String>,
    /// The environment to look at
    #[arg(short, long, value_name = "NAME", add = ArgValueCompleter::new(complete::environments))]
    env: Option<String>,
    /// A parameter, for the playbooks that have it; may be given several times
    #[arg(short, long = "param", value_name = "NAME=VALUE", value_parser = pair)]
    params: Vec<(String, String)>,
}

/// Looks at this machine, the playbooks and an environment.
///
/// # Errors
/// When there is no such playbook, environment or parameter.
pub fn run(cx: &Context, args: Args) -> Result<u8, Failure> {
    let app = cx.app()?;
    let Args { playbooks, env, params } = args;
    let named = env.is_some();
    let doctor = app.doctor(&DoctorRequest { playbooks, environment: env, params: params.into_iter().collect() })?;
    if cx.output.is_text() {
        show(cx, &doctor);
        if !named {
            let known = app.environment_choices()?.join(", ");
            let command = cx.output.out.paint(Role::Command, "--env NAME");
            cx.output.page(&format!("No environment was looked at; {command} names one: {known}"));
        }
    } else {
        let mut document = json!(doctor);
        document["verdict"] = json!(doctor.verdict());
        cx.output.json(&document);
    }
    Ok(code(doctor.verdict()))
}

fn show(cx: &Context, doctor: &Doctor) {
    let style = &cx.output.out;
    cx.output.page(&style.paint(Role::Strong, "this machine"));
    tell_findings(cx, &doctor.machine);
    for invalid in &doctor.invalid {
        cx.output.page(&format!("\n{}", render(&invalid.problems, style.color, style.width).trim_end()));
    }
    cx.output.page("");
    if let Some(check) = &doctor.environment {
        tell(cx, check);
    }
    let Some(access) = &doctor.access else {
        if doctor.environment.as_ref().is_some_and(|check| code(check.verdict()) != exit_code::SUCCEEDED) {
            cx.output.page("What its account may do was not asked: mend what is wrong above first.");
        }
        return;
    };
    let account = access.account.as_ref().map(|account| format!(" to {}", text::clean(account))).unwrap_or_default();
    cx.output.page(&style.paint(Role::Strong, &format!("what is allowed{account}")));
    tell_findings(cx, &access.findings);
    cx.output.page(&access_table(&rows(access), style));
}

fn rows(access: &AccessExam) -> Vec<AccessRow> {
    let mut rows = Vec::new();
    for playbook in &access.playbooks {
        let row = |role, text: String| AccessRow { role, playbook: playbook.name.clone(), step: String::new(), uses: String::new(), text };
        rows.push(row(role(playbook.verdict()), summary(playbook)));
        let told = |step: &&StepAccess| playbook.impossible.is_none() || step.lacks.iter().any(|lack| lack.verdict == Verdict::Refused);
        for step in playbook.steps.iter().filter(told) {
            for (nth, lack) in step.lacks.iter().enumerate() {
                let first = |text: &str| if nth == 0 { text.to_owned() } else { String::new() };
                rows.push(AccessRow {
                    role: role(lack.verdict),
                    playbook: String::new(),
                    step: first(&step.path),
                    uses: first(&step.uses),
                    text: lack.text.clone(),
                });
            }
        }
    }
    rows
}

fn summary(playbook: &PlaybookAccess) -> String {
    if let Some(why) = &playbook.impossible {
        // What to do says what is missing.
        let what = if playbook.hints.is_empty() { why.lines().collect::<Vec<_>>().join("; ") } else { playbook.hints.join("; ") };
        return format!("cannot work as things are: {what}");
    }
    let all = playbook.steps_asking;
    let depends = |lack: &Lack| lack.needed_where.is_some() && lack.purpose != Some(Purpose::Reverts);
    let depends = playbook.steps.iter().flat_map(|step| &step.lacks).any(depends);
    let refused = playbook.steps.iter().filter(|step| step.lacks.iter().any(|lack| lack.verdict == Verdict::Refused)).count();
    match (all, refused, playbook.steps.len()) {
        (0, _, _) => "no step asks the cluster for anything".to_owned(),
        (_, 0, 0) => {
            format!("all is allowed that {}", if all == 1 { "its step asks for".to_owned() } else { format!("its {all} steps ask for") })
        }
        (_, 0, _) if depends => "may be done or not, as is found there:".to_owned(),
        (_, 0, _) => "may be done, with this to know:".to_owned(),
        (_, refused, _) => {
            format!("{} may not be done:", if all == 1 { "its step".to_owned() } else { format!("{refused} of its {all} steps") })
        }
    }
}

fn role(verdict: Verdict) -> Role {
    match verdict {
        Verdict::Good => Role::Good,
        Verdict::Notice => Role::Attention,
        Verdict::Invalid | Verdict::Refused => Role::Bad,
    }
}
