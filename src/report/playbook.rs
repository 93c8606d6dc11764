//! A playbook for people: what it asks for, and its steps with what they wait for.

use super::outline::uses;
use super::section::section;
use super::style::{Role, Style};
use super::text;
use crate::model::playbook::{Param, ParamFormat, Playbook};
use crate::model::step::{Accept, Condition, Gate, IfLate, Need, OnFailure, Rollback, Step, Wait};
use crate::model::template::{Segment, Source, Template};

/// The page of a playbook: parameters with types, defaults and help; secrets; steps as a listing of the graph.
pub fn show_playbook(playbook: &Playbook, style: &Style) -> String {
    let mut page = vec![format!("{}  {}", style.paint(Role::Strong, &text::clean(&playbook.name)), text::clean(&playbook.summary))];
    section(&mut page, style, "Parameters", playbook.params.iter().flat_map(|param| of_param(param, style)).collect());
    let secrets = playbook.secrets.iter().map(|secret| {
        let env = secret.env.as_ref().map(|env| format!("  from ${} where the environment names no source", text::clean(env)));
        let help = secret.help.as_ref().map(|help| format!("  {}", text::clean(help)));
        format!("{}{}{}", text::clean(&secret.name), env.unwrap_or_default(), help.unwrap_or_default())
    });
    section(&mut page, style, "Secrets", secrets.collect());
    section(&mut page, style, "Steps", playbook.steps.iter().flat_map(|step| of_step(step, style)).collect());
    let outputs = playbook.outputs.iter().map(|(name, value)| format!("{}: {}", text::clean(name), template(value)));
    section(&mut page, style, "Outputs", outputs.collect());
    section(&mut page, style, "Run it", vec![style.paint(Role::Command, &command_line(playbook))]);
    page.join("\n")
}

/// The command that runs it, with every required parameter.
fn command_line(playbook: &Playbook) -> String {
    let mut command = format!("runsheet run {}", text::clean(&playbook.name));
    for param in playbook.params.iter().filter(|param| param.default.is_none()) {
        command.push_str(&format!(" -p {}=<{}>", text::clean(&param.name), kind(param)));
    }
    command
}

fn kind(param: &Param) -> &'static str {
    match param.format {
        Some(ParamFormat::Uuid) => "uuid",
        Some(ParamFormat::Url) => "url",
        Some(ParamFormat::Name) => "name",
        Some(ParamFormat::Email) => "email",
        Some(ParamFormat::Quantity) => "quantity",
        None => param.kind.as_str(),
    }
}

fn of_param(param: &Param, style: &Style) -> Vec<String> {
    let kind = match param.format {
        Some(_) => format!("{} ({})", param.kind.as_str(), kind(param)),
        None => param.kind.as_str().to_owned(),
    };
    let allowed = param.allowed.as_ref().map(|allowed| allowed.iter().map(text::value).collect::<Vec<_>>().join(" | "));
    let default = param.default.as_ref().map_or_else(|| "required".to_owned(), |value| format!("default {}", text::value(value)));
    let range = match (&param.minimum, &param.maximum) {
        (Some(least), Some(most)) => Some(format!("{least} to {most}")),
        (Some(least), None) => Some(format!("at least {least}")),
        (None, Some(most)) => Some(format!("at most {most}")),
        (None, None) => None,
    };
    let facts: Vec<_> = [Some(kind), range, allowed, Some(default)].into_iter().flatten().collect();
    let mut lines = vec![format!("{}  {}", style.paint(Role::Strong, &text::clean(&param.name)), facts.join(", "))];
    lines.extend(param.help.as_ref().map(|help| format!("  {}", text::clean(help))));
    lines
}

fn of_step(step: &Step, style: &Style) -> Vec<String> {
    let each = step.for_each.as_ref().map(|each| format!(" for each of {}", template(&each.items))).unwrap_or_default();
    let name = style.paint(Role::Strong, &text::clean(&step.id));
    let mut lines = vec![format!("{name}  {}{each}", style.paint(Role::Busy, &what(step)))];
    let mut add = |word: &str, value: String| lines.push(format!("  {} {value}", style.paint(Role::Quiet, word)));
    if let Some(summary) = &step.summary {
        add("–", text::clean(summary));
    }
    if !step.needs.is_empty() {
        add("needs", step.needs.iter().map(of_need).collect::<Vec<_>>().join(", "));
    }
    if step.always {
        add("always", "starts even in a run that failed or was cancelled".to_owned());
    }
    if let Some(when) = &step.when {
        add("when", expression(when));
    }
    if let Some(at) = &step.at {
        let late = at.not_after.as_ref().map(|late| {
            let then = match at.if_late {
                IfLate::Run => "starts all the same",
                IfLate::Ask => "asks",
                IfLate::Skip => "is skipped",
            };
            format!(", after {} it {then}", template(late))
        });
        add("at", format!("{}{}", template(&at.time), late.unwrap_or_default()));
    }
    if let Some(gate) = &step.approve {
        add("gate", of_gate(gate));
    }
    step.before.iter().for_each(|check| add("check before", of_check(check)));
    step.after.iter().for_each(|check| add("check after", of_check(check)));
    if step.retry.attempts > 1 {
        add(
            "retry",
            format!("{}, {} to {} apart", text::count(step.retry.attempts as usize, "attempt"), step.retry.initial, step.retry.max),
        );
    }
    if let Some(timeout) = step.timeout {
        add("timeout", timeout.to_string());
    }
    match &step.rollback {
        Rollback::Auto => {}
        Rollback::None => add("rollback", "none: it is kept".to_owned()),
        Rollback::Action { uses, approve, .. } => {
            add("rollback", format!("{}{}", text::clean(uses), if *approve { ", after an approval" } else { "" }));
        }
    }
    match step.on_failure {
        None => {}
        Some(OnFailure::Pause) => add("on failure", "the run pauses".to_owned()),
        Some(OnFailure::Rollback) => add("on failure", "what ran is taken back".to_owned()),
        Some(OnFailure::Continue) => add("on failure", "the run goes on without what needs it".to_owned()),
    }
    lines
}

fn what(step: &Step) -> String {
    use crate::model::step::Uses;
    match &step.uses {
        Uses::Action { .. } => text::clean(uses(&step.uses)),
        Uses::Monitor(monitor) => {
            let samples: Vec<_> = monitor.samples.iter().map(|(name, reading)| format!("{name} by {}", reading.uses)).collect();
            let started: Vec<_> = monitor.alerts.iter().map(|alert| format!("{} starts {}", alert.name, alert.playbook)).collect();
            let started = if started.is_empty() { String::new() } else { format!("; {}", started.join(", ")) };
            text::clean(&format!("monitor {} every {}{started}", samples.join(", "), monitor.every))
        }
        Uses::Playbook { name, .. } => format!("playbook {}", text::clean(name)),
        Uses::Approve(gate) => format!("approve {}", of_gate(gate)),
        Uses::Wait(Wait::Duration(length)) => format!("wait {}", template(length)),
        Uses::Wait(Wait::Until(time)) => format!("wait until {}", template(time)),
        Uses::Wait(Wait::That(check)) => format!("wait that {}", of_check(check)),
    }
}

fn of_need(need: &Need) -> String {
    let accept: Vec<_> = need.accept.iter().map(|accept| accept.as_str()).collect();
    // Success alone is what everybody expects.
    if need.accept.is_empty() || need.accept == [Accept::Succeeded] {
        text::clean(&need.step)
    } else {
        format!("{} ({})", text::clean(&need.step), accept.join(" or "))
    }
}

fn of_gate(gate: &Gate) -> String {
    let mut words = text::count(gate.count as usize, "approval");
    if !gate.by.is_empty() {
        words.push_str(&format!(" by {}", text::clean(&gate.by.join(" or "))));
    }
    if let Some(until) = &gate.until {
        words.push_str(&format!(" until {}", template(until)));
    }
    if let Some(message) = &gate.message {
        words.push_str(&format!(": {}", template(message)));
    }
    words
}

fn of_check(check: &Condition) -> String {
    let mut words = expression(&check.that);
    if let Some(reading) = &check.reading {
        words.push_str(&format!(", read by {}", text::clean(&reading.uses)));
    }
    if let Some(within) = check.within {
        words.push_str(&format!(", within {within}"));
    }
    if let Some(hold) = check.hold {
        words.push_str(&format!(", for {hold}"));
    }
    words
}

fn expression(source: &Source) -> String {
    text::clean(&source.text)
}

/// A template as it was written, more or less.
fn template(template: &Template) -> String {
    match template {
        Template::Literal(value) => text::value(value),
        Template::Expression(source) => expression(source),
        Template::Text(segments) => segments
            .iter()
            .map(|segment| match segment {
                Segment::Plain(plain) => text::clean(plain),
                Segment::Expression(source) => format!("${{{{ {} }}}}", expression(source)),
            })
            .collect(),
        Template::List(_) => "a list".to_owned(),
        Template::Map(_) => "a map".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::fixture;
    use super::*;
    use crate::model::duration::Span;
    use crate::model::playbook::{ParamType, SecretDeclaration};
    use crate::model::step::Otherwise;

    fn source(text: &str) -> Source {
        Source { text: text.into(), line: 1, column: 1 }
    }

    #[test]
    fn what_it_asks_for_and_what_its_steps_wait_for() {
        let mut scale = fixture::step("scale", "k8s.scale", &["budget", "pool_size"]);
        scale.needs[1].accept = vec![Accept::Succeeded, Accept::Skipped];
        scale.summary = Some("Grow to the level's replicas".into());
        let check = |that: &str| Condition {
            that: source(that),
            message: None,
            within: Some(Span::seconds(300)),
            every: Span::seconds(5),
            hold: None,
            reading: None,
        };
        scale.after = vec![check("result.ready_replicas >= vars.replicas")];
        scale.on_failure = Some(OnFailure::Rollback);
        let gate = Gate { count: 2, by: vec!["lead".into()], message: None, until: None, otherwise: Otherwise::Fail };
        scale.approve = Some(Box::new(gate));
        let mut budget = fixture::step("budget", "postgres.connection_budget", &[]);
        budget.rollback = Rollback::None;
        budget.retry.attempts = 1;
        budget.when = Some(source("params.level != \"low\""));
        let mut playbook = fixture::playbook("pre-event", vec![budget, fixture::step("pool_size", "playbook:pool", &["budget"]), scale]);
        let param = |name: &str, format, allowed, default, help: Option<&str>| Param {
            name: name.into(),
            kind: ParamType::String,
            format,
            allowed,
            minimum: None,
            maximum: None,
            default,
            help: help.map(Into::into),
        };
        playbook.params = vec![
            param("event_id", Some(ParamFormat::Uuid), None, None, Some("The event whose caches are warmed")),
            param("level", None, Some(vec![json!("low"), json!("high")]), Some(json!("high")), None),
        ];
        playbook.secrets = vec![SecretDeclaration { name: "service_token".into(), env: Some("SERVICE_TOKEN".into()), help: None }];
        insta::assert_snapshot!(show_playbook(&playbook, &Style::plain(fixture::start())), @r#"
        pre-event  Bring ticket-service to event capacity

        Parameters
          event_id  string (uuid), required
            The event whose caches are warmed
          level  string, low | high, default high

        Secrets
          service_token  from $SERVICE_TOKEN where the environment names no source

        Steps
          budget  postgres.connection_budget
            when params.level != "low"
            rollback none: it is kept
          pool_size  playbook pool
            needs budget
            retry 3 attempts, 1s to 1m apart
          scale  k8s.scale
            – Grow to the level's replicas
            needs budget, pool_size (succeeded or skipped)
            gate 2 approvals by lead
            check after result.ready_replicas >= vars.replicas, within 5m
            retry 3 attempts, 1s to 1m apart
            on failure what ran is taken back

        Run it
          runsheet run pre-event -p event_id=<uuid>
"#);
    }
}
