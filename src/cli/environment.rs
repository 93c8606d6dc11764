//! `environment`: where runs act, and whether it can be reached. And the question for one where a run was started without.
//!
//! Must not show a secret or change anything on a target.

use std::path::PathBuf;

use clap_complete::engine::ArgValueCompleter;
use serde_json::{Value, json};

use super::context::Context;
use super::exit_code;
use super::failure::Failure;
use super::{ask, complete};
use crate::app::{App, AppError, DraftOptions, EnvironmentCheck, Finding, Prepared, Request, Verdict, render};
use crate::model::environment::{ClusterAccount, EnvironmentDefinition, PrometheusLogin, SANDBOX};
use crate::model::notification::{NotifyTo, WebhookUrl};
use crate::report::environments::{CheckRow, EnvironmentRow, checks_table, environments_table, facts_table};
use crate::report::{Role, Style, in_words, text};

/// The commands of `environment`.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// List the environments of the root, and the sandbox
    List,
    /// Show what an environment's file says; secrets as where they come from
    Show {
        /// The environment
        #[arg(value_name = "NAME", add = ArgValueCompleter::new(complete::environments))]
        name: String,
    },
    /// Check that it can be reached, is the one that is meant, and has its secrets
    #[command(after_help = "\
Exit codes: 0 all is well; 3 a file or a secret is wrong; 6 a run would be refused.

Examples:
  runsheet environment check            every environment that the root has a file for
  runsheet environment check staging    just that one")]
    Check {
        /// The environment [default: all that the root has files for]
        #[arg(value_name = "NAME", add = ArgValueCompleter::new(complete::environments))]
        name: Option<String>,
    },
    /// Draft an environment's file from a context of the kubeconfig; asks the cluster for its UID
    #[command(after_help = "\
Examples:
  runsheet environment new staging            from the current context
  runsheet environment new staging --stdout   print it, write nothing
  runsheet environment new production --context prod --namespace shop")]
    New {
        /// Its name: playbooks/environments/NAME.yaml
        #[arg(value_name = "NAME")]
        name: String,
        /// The kubeconfig's context [default: the current one]
        #[arg(long, value_name = "CONTEXT")]
        context: Option<String>,
        /// The kubeconfig [default: those of KUBECONFIG, else ~/.kube/config]
        #[arg(long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
        kubeconfig: Option<PathBuf>,
        /// Where steps act that name no namespace [default: the context's]
        #[arg(long, value_name = "NAMESPACE")]
        namespace: Option<String>,
        /// Print the file instead of writing it
        #[arg(long)]
        stdout: bool,
    },
}

/// Lists, shows, checks or drafts environments.
///
/// # Errors
/// When there is none of that name, something is wrong with its file, or the cluster does not tell its UID.
pub fn run(cx: &Context, command: Command) -> Result<u8, Failure> {
    let app = cx.app()?;
    match command {
        Command::List => list(cx, &app),
        Command::Show { name } => show(cx, &app, &name),
        Command::Check { name } => check(cx, &app, name),
        Command::New { name, context, kubeconfig, namespace, stdout } => {
            new(cx, &app, &DraftOptions { name, context, kubeconfig, namespace }, stdout)
        }
    }
}

/// Prepares a run. Where an environment has to be named and none was, whoever sits at the terminal is asked.
///
/// # Errors
/// As [`App::prepare`].
pub fn prepare(cx: &Context, app: &App, request: &Request) -> Result<Prepared, Failure> {
    match app.prepare(request) {
        Err(AppError::NoEnvironment { known }) if ask::can_ask() && cx.output.is_text() && !cx.globals.yes => {
            let Some(name) = ask::one_of("Which environment is this run for?", known.clone())? else {
                return Err(AppError::NoEnvironment { known }.into());
            };
            Ok(app.prepare(&Request { environment: Some(name), ..request.clone() })?)
        }
        prepared => Ok(prepared?),
    }
}

fn list(cx: &Context, app: &App) -> Result<u8, Failure> {
    let listed = app.list_environments()?;
    if cx.output.is_text() {
        let rows: Vec<EnvironmentRow> = listed
            .into_iter()
            .map(|one| EnvironmentRow {
                name: one.name,
                summary: one.summary,
                context: one.context,
                namespace: one.namespace,
                confirm: one.confirm.map(str::to_owned),
                problem: one.problem,
            })
            .collect();
        cx.output.page(&environments_table(&rows, &cx.output.out));
        if rows.len() == 1 {
            let command = cx.output.out.paint(Role::Command, "runsheet environment new NAME");
            cx.output.page(&format!("\nNo environment has a file yet. Draft one from the kubeconfig:\n  {command}"));
        }
    } else {
        cx.output.list(listed.iter().map(|one| json!(one)).collect());
    }
    Ok(exit_code::SUCCEEDED)
}

fn show(cx: &Context, app: &App, name: &str) -> Result<u8, Failure> {
    if name == SANDBOX {
        let what = "the sandbox is built in, and has no file";
        return Err(Failure::usage(what).hint("`runsheet sandbox status` shows it"));
    }
    let definition = app.environment_definition(name)?;
    if cx.output.is_text() {
        cx.output.page(&page(cx, &definition));
    } else {
        let mut document = json!(definition);
        document["target"] = Value::Object(definition.target_values());
        cx.output.json(&document);
    }
    Ok(exit_code::SUCCEEDED)
}

fn page(cx: &Context, definition: &EnvironmentDefinition) -> String {
    let style = &cx.output.out;
    let EnvironmentDefinition {
        name,
        summary,
        file,
        confirm,
        kubernetes,
        aws,
        postgres,
        prometheus,
        rabbitmq,
        redis,
        via,
        secrets,
        notify,
        ..
    } = definition;
    let mut facts: Vec<(String, String)> =
        vec![("file".to_owned(), file.display().to_string()), ("confirm".to_owned(), confirm.as_str().to_owned())];
    let mut fact = |name: &str, value: String| facts.push((name.to_owned(), value));
    if let Some(kubernetes) = kubernetes {
        match &kubernetes.account {
            ClusterAccount::Context { name, kubeconfig } => {
                fact("context", name.clone());
                fact(
                    "kubeconfig",
                    kubeconfig.as_ref().map_or_else(|| "KUBECONFIG, else ~/.kube/config".to_owned(), |file| file.display().to_string()),
                );
            }
            ClusterAccount::InCluster => fact("account", "that of the Pod runsheet runs in".to_owned()),
        }
        fact("namespace", kubernetes.namespace.clone());
        fact("cluster", kubernetes.cluster_uid.clone());
        kubernetes.proxy.iter().for_each(|proxy| fact("proxy", proxy.clone()));
    }
    if let Some(aws) = aws {
        fact("aws", format!("account {} in {}", aws.account, aws.region));
        aws.profile.iter().for_each(|profile| fact("profile", profile.clone()));
        aws.endpoint.iter().for_each(|endpoint| fact("endpoint", endpoint.clone()));
    }
    if let Some(postgres) = postgres {
        fact(
            "postgres",
            format!("{}@{}:{}/{}, tls {}", postgres.user, postgres.host, postgres.port, postgres.database, postgres.tls.as_str()),
        );
        postgres.password.iter().for_each(|source| fact("password", format!("from {source}")));
    }
    if let Some(redis) = redis {
        let user = redis.user.as_ref().map(|user| format!("{user}@")).unwrap_or_default();
        fact("redis", format!("{user}{}:{}, tls {}", redis.host, redis.port, redis.tls.as_str()));
        redis.password.iter().for_each(|source| fact("password", format!("from {source}")));
    }
    if let Some(rabbitmq) = rabbitmq {
        fact("rabbitmq", format!("{} as {}", rabbitmq.url, rabbitmq.user));
        fact("password", format!("from {}", rabbitmq.password));
    }
    if let Some(prometheus) = prometheus {
        fact("prometheus", prometheus.url.clone());
        match &prometheus.login {
            PrometheusLogin::None => {}
            PrometheusLogin::Bearer(source) => fact("token", format!("from {source}")),
            PrometheusLogin::Basic { user, password } => fact("password", format!("of {user}, from {password}")),
        }
    }
    for source in definition.pgbouncer.iter().flat_map(|pooler| &pooler.password) {
        fact("pgbouncer", format!("password from {source}"));
    }
    for via in via {
        fact(&format!("via {}", via.key()), via.way.to_string());
    }
    for (name, source) in secrets {
        fact(&format!("secret {name}"), format!("from {source}"));
    }
    for rule in notify {
        let on: Vec<&str> = rule.on.iter().map(|occasion| occasion.as_str()).collect();
        let to = match &rule.to {
            NotifyTo::Webhook { url: WebhookUrl::Plain(url), .. } => format!("POST {url}"),
            NotifyTo::Webhook { url: WebhookUrl::Secret(source), .. } => format!("POST to the URL from {source}"),
            NotifyTo::Command { argv } => argv.iter().map(|word| text::shell_word(word)).collect::<Vec<_>>().join(" "),
        };
        fact("notify", format!("{}: {to}", on.join(", ")));
    }
    for (name, value) in definition.target_values() {
        fact(&format!("target.{name}"), if value.is_object() || value.is_array() { in_words(&value) } else { text::whole(&value) });
    }
    let title = style.paint(Role::Strong, name);
    let title = if summary.is_empty() { title } else { format!("{title}  {}", text::clean(summary)) };
    // Where there is no terminal, lines stay whole, so that they can be searched.
    let wide = Style { width: if style.wrap { style.width } else { usize::from(u16::MAX) }, ..style.clone() };
    format!("{title}\n\n{}", facts_table(&facts, &wide))
}

fn check(cx: &Context, app: &App, name: Option<String>) -> Result<u8, Failure> {
    let names = match name {
        Some(name) => vec![name],
        None => app.environments()?,
    };
    if names.is_empty() && cx.output.is_text() {
        cx.output.page("No environment has a file yet; `runsheet environment new NAME` drafts one from the kubeconfig.");
    }
    let mut checks = Vec::new();
    for name in names {
        let check = app.check_environment(&name)?;
        if cx.output.is_text() {
            tell(cx, &check);
        }
        checks.push(check);
    }
    if !cx.output.is_text() {
        cx.output.list(checks.iter().map(|check| json!(check)).collect());
    }
    let worst = checks.iter().map(EnvironmentCheck::verdict);
    Ok(worst.map(code).max().unwrap_or(exit_code::SUCCEEDED))
}

/// The exit code of what was found.
pub(super) fn code(verdict: Verdict) -> u8 {
    match verdict {
        Verdict::Good | Verdict::Notice => exit_code::SUCCEEDED,
        Verdict::Invalid => exit_code::PLAYBOOK,
        Verdict::Refused => exit_code::REFUSED,
    }
}

/// Shows a check.
pub(super) fn tell(cx: &Context, check: &EnvironmentCheck) {
    let style = &cx.output.out;
    cx.output.page(&style.paint(Role::Strong, &check.name));
    if !check.problems.is_empty() {
        cx.output.page(render(&check.problems, style.color, style.width).trim_end());
    }
    tell_findings(cx, &check.findings);
    cx.output.page("");
}

/// Shows findings, a line for each.
pub(super) fn tell_findings(cx: &Context, findings: &[Finding]) {
    let style = &cx.output.out;
    let rows: Vec<CheckRow> = findings
        .iter()
        .map(|finding| CheckRow {
            role: match finding.verdict {
                Verdict::Good => Role::Good,
                Verdict::Notice => Role::Attention,
                Verdict::Invalid | Verdict::Refused => Role::Bad,
            },
            what: finding.what.clone(),
            text: finding.text.clone(),
            hint: finding.hint.clone(),
        })
        .collect();
    if !rows.is_empty() {
        cx.output.page(&checks_table(&rows, style));
    }
}

fn new(cx: &Context, app: &App, options: &DraftOptions, stdout: bool) -> Result<u8, Failure> {
    let hinted = |error: AppError| {
        let refused = matches!(error, AppError::Refused { .. });
        let failure = Failure::from(error);
        if refused { failure.hint("take another name: `runsheet environment list` shows those that are taken") } else { failure }
    };
    let draft = app.draft_environment(options).map_err(hinted)?;
    let first = app.environments()?.is_empty();
    if !stdout {
        app.write_draft(&draft).map_err(hinted)?;
    }
    if !cx.output.is_text() {
        let mut document = json!(draft);
        document["written"] = Value::Bool(!stdout);
        cx.output.json(&document);
    } else if stdout {
        cx.output.page(draft.text.trim_end());
    } else {
        let name = &draft.name;
        let facts =
            [("context", &draft.context), ("server", &draft.server), ("namespace", &draft.namespace), ("cluster", &draft.cluster_uid)];
        let facts: Vec<(String, String)> = facts.into_iter().map(|(name, value)| (name.to_owned(), value.clone())).collect();
        cx.output.page(&format!("{} is drafted:\n{}", draft.shown, facts_table(&facts, &cx.output.out)));
        let command = cx.output.out.paint(Role::Command, &format!("runsheet environment check {name}"));
        cx.output.page(&format!("Fill in what playbooks read, then: {command}"));
        if first {
            cx.output.page(&format!("From now on a run names its environment: `--env {name}`, or `--env sandbox`"));
        }
    }
    Ok(exit_code::SUCCEEDED)
}
