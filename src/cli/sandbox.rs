//! `sandbox`: the simulated platform as a process.

use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Value, json};

use super::context::Context;
use super::exit_code;
use super::failure::Failure;
use crate::app::App;
use crate::app::sandbox::{Account, ArgoCd, Autoscaler, Fault, Pooler, Status, USAGE, Usage};
use crate::report::{Role, text};

/// What a sandbox that a run starts by itself takes from the environment.
pub const VARIABLES: &str = "\
What `--speed`, `--autoscaler`, `--argocd` and `--pooler` do not say when a sandbox is started, it takes from the environment (so does one that a run starts):
  RUNSHEET_SANDBOX_SPEED       how much faster its clock is, 0.01 to 1000
  RUNSHEET_SANDBOX_AUTOSCALER  a fresh cluster's: none, cpu, memory or keda
  RUNSHEET_SANDBOX_ARGOCD      a fresh cluster's: off, on or self-heal
  RUNSHEET_SANDBOX_POOLER      a fresh platform's PgBouncer: none, transaction or session";

/// The commands of `sandbox`.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Start it, unless it runs; runs start it by themselves
    Up {
        /// How much faster its clock is than usual, 0.01 to 1000 [default: 1]
        #[arg(long, value_name = "N")]
        speed: Option<f64>,
        /// The autoscaler of a cluster that is made now: none, cpu (the procedure's, on CPU alone), memory (on both, as in the procedure) or keda
        /// (the procedure's ScaledObject)
        #[arg(long, value_name = "METRICS")]
        autoscaler: Option<Autoscaler>,
        /// The Argo CD of a cluster that is made now: off, on (it rolls commits out) or self-heal (it also puts back what is changed in the cluster)
        #[arg(long, value_name = "HOW")]
        argocd: Option<ArgoCd>,
        /// Whether PgBouncer is between the pods and the database of a platform that is made now: none, transaction or session (its mode)
        #[arg(long, value_name = "MODE")]
        pooler: Option<Pooler>,
    },
    /// End it; its cluster stays on disk
    Down,
    /// Show whether it runs, and its Deployments
    Status,
    /// Put its cluster back to how it was at first
    Reset {
        /// Another autoscaler than the one that the cluster was made with: none, cpu (the procedure's, on CPU alone), memory (on both, as in the
        /// procedure) or keda (the procedure's ScaledObject)
        #[arg(long, value_name = "METRICS")]
        autoscaler: Option<Autoscaler>,
        /// Another Argo CD than the cluster was made with: off, on (it rolls commits out) or self-heal (it also puts back what is changed in the cluster)
        #[arg(long, value_name = "HOW")]
        argocd: Option<ArgoCd>,
        /// Another pooler than the one that it was made with: none, transaction or session (PgBouncer's mode)
        #[arg(long, value_name = "MODE")]
        pooler: Option<Pooler>,
        /// Start it again, with a clock that is so much faster than usual, 0.01 to 1000
        #[arg(long, value_name = "N")]
        speed: Option<f64>,
    },
    /// Set the load on its ticket service, in requests a second
    ///
    /// They are shared out over all its ready pods. At first there are none.
    Load {
        /// Requests a second; 250 keep one pod as busy as it asks for
        #[arg(value_name = "RPS", value_parser = rps, allow_negative_numbers = true)]
        rps: f64,
    },
    /// What it does wrong on purpose
    #[command(subcommand)]
    Fault(FaultCommand),
    /// List what requests changed in it
    Effects,
    /// Print a kubeconfig by which kubectl reaches it
    ///
    /// It holds the token of the account, which opens this sandbox and nothing else.
    #[command(after_help = KUBECONFIG_HELP)]
    Kubeconfig {
        /// Whose it is
        #[arg(long, value_enum, default_value_t = AccountName::Admin)]
        account: AccountName,
    },
    /// Print what leads this shell's psql, curl, redis-cli and aws to it: `eval "$(runsheet sandbox shell)"`
    Shell,
    /// Serve it in this process
    #[command(hide = true)]
    Serve {
        /// Its folder
        #[arg(long)]
        dir: PathBuf,
        /// The port [default: the former one, else a free one]
        #[arg(long)]
        port: Option<u16>,
        /// By how much Pods come and go faster than usual
        #[arg(long, default_value_t = 1.0, env = "RUNSHEET_SANDBOX_SPEED")]
        speed: f64,
        /// The autoscaler of a cluster that is made now
        #[arg(long, default_value_t, env = "RUNSHEET_SANDBOX_AUTOSCALER")]
        autoscaler: Autoscaler,
        /// The Argo CD of a cluster that is made now
        #[arg(long, default_value_t, env = "RUNSHEET_SANDBOX_ARGOCD")]
        argocd: ArgoCd,
        /// The pooler of a platform that is made now
        #[arg(long, default_value_t, env = "RUNSHEET_SANDBOX_POOLER")]
        pooler: Pooler,
        /// Seconds without a request after which it ends
        #[arg(long, value_name = "SECONDS", default_value_t = 1800)]
        idle: u64,
    },
}

const KUBECONFIG_HELP: &str = "\
Example:
  runsheet sandbox up
  runsheet sandbox kubeconfig > sandbox.yaml
  kubectl --kubeconfig sandbox.yaml get deployments";

/// The accounts of the sandbox's cluster.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
pub enum AccountName {
    /// May do everything
    Admin,
    /// Reads everything, writes nothing
    Viewer,
    /// Changes workloads, autoscalers, ScaledObjects, ConfigMaps and Jobs in production
    Deployer,
    /// Sets replicas in production, by scale or by the floor of an autoscaler or a ScaledObject
    Scaler,
    /// Is refused
    Expired,
}

impl From<AccountName> for Account {
    fn from(name: AccountName) -> Self {
        match name {
            AccountName::Admin => Self::Admin,
            AccountName::Viewer => Self::Viewer,
            AccountName::Deployer => Self::Deployer,
            AccountName::Scaler => Self::Scaler,
            AccountName::Expired => Self::Expired,
        }
    }
}

/// The commands of `sandbox fault`.
#[derive(Debug, clap::Subcommand)]
pub enum FaultCommand {
    /// Add a fault
    #[command(after_help = format!("A fault is one of these:\n{USAGE}"))]
    Add {
        /// The fault's words
        #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true, value_name = "WORDS")]
        words: Vec<String>,
    },
    /// List the faults that stand
    List,
    /// End all faults
    Clear,
}

/// Controls the sandbox.
///
/// # Errors
/// When it cannot be reached or does not do what it is told.
pub fn run(cx: &Context, command: Command) -> Result<u8, Failure> {
    match command {
        Command::Serve { dir, port, speed, autoscaler, argocd, pooler, idle } => {
            crate::app::sandbox::serve(&dir, port, speed, Duration::from_secs(idle), autoscaler, argocd, pooler)?;
        }
        Command::Up { speed, autoscaler, argocd, pooler } => {
            let app = cx.app()?;
            let runs = app.sandbox_status()?.live.is_some();
            let up = app.sandbox_up(speed, autoscaler, argocd, pooler)?;
            ["RUNSHEET_SANDBOX_SPEED", "RUNSHEET_SANDBOX_AUTOSCALER", "RUNSHEET_SANDBOX_ARGOCD", "RUNSHEET_SANDBOX_POOLER"]
                .into_iter()
                .filter(|name| runs && std::env::var_os(name).is_some_and(|value| !value.is_empty()))
                .for_each(|name| {
                    let word = cx.output.err.paint(Role::Attention, "warning:");
                    cx.output.note(&format!("{word} {name} is ignored: the sandbox runs already, and stays as it was started"));
                });
            status(cx, &up);
        }
        Command::Status => status(cx, &cx.app()?.sandbox_status()?),
        Command::Down => {
            let was_there = cx.app()?.sandbox_down()?;
            let text = if was_there { "The sandbox has ended; its cluster is kept." } else { "No sandbox was running." };
            say(cx, text, || json!({ "was_running": was_there }));
        }
        Command::Reset { autoscaler, argocd, pooler, speed } => {
            let app = cx.app()?;
            // Without its state nothing is known of runs, and a reset is all the more wanted.
            let owing = app.owing_in_sandbox().unwrap_or_default();
            if speed.is_some() {
                app.sandbox_down()?;
            }
            app.sandbox_reset(autoscaler, argocd, pooler)?;
            if speed.is_some() {
                app.sandbox_up(speed, None, None, None)?;
            }
            let live = app.sandbox_status()?.live;
            let argocd = argocd.or(live.as_ref().map(|live| live.overview.argocd)).unwrap_or_default();
            let autoscaler = autoscaler.or(live.map(|live| live.overview.autoscaler)).unwrap_or_default();
            let text = match autoscaler {
                Autoscaler::None => "The sandbox is as it was at first.".to_owned(),
                Autoscaler::Keda => "The sandbox is as it was at first, with KEDA's ScaledObject ticket-service-scaler.".to_owned(),
                metrics => format!("The sandbox is as it was at first, with the autoscaler ticket-service-hpa ({metrics})."),
            };
            let text = if argocd == ArgoCd::Off { text } else { format!("{text} Argo CD is {argocd}.") };
            if !owing.is_empty() && cx.output.is_text() {
                cx.output.note(&super::status::gone(&owing.iter().collect::<Vec<_>>()));
            }
            let owing: Vec<String> = owing.iter().map(|run| run.run.to_string()).collect();
            say(cx, &text, || json!({ "reset": true, "gone": owing, "autoscaler": autoscaler.to_string(), "argocd": argocd.to_string() }));
        }
        Command::Load { rps } => {
            cx.app()?.sandbox_load(rps)?;
            say(cx, &format!("{rps} requests a second reach the ticket service of the sandbox."), || json!({ "load": rps }));
        }
        Command::Kubeconfig { account } => {
            let found = cx.app()?.sandbox_kubeconfig(account.into())?;
            say(cx, found.yaml().trim_end(), || found.json());
        }
        Command::Shell => {
            let shell = cx.app()?.sandbox_shell()?;
            say(cx, &shell, || json!({ "shell": shell }));
        }
        Command::Effects => effects(cx, &cx.app()?)?,
        Command::Fault(command) => fault(cx, &cx.app()?, command)?,
    }
    Ok(exit_code::SUCCEEDED)
}

/// A load, from the command line.
fn rps(text: &str) -> Result<f64, String> {
    let wrong = || "write how many requests a second there are, such as 2000 (0: none)".to_owned();
    let rps: f64 = text.parse().map_err(|_| wrong())?;
    if rps.is_finite() && rps >= 0.0 { Ok(rps) } else { Err(wrong()) }
}

fn say(cx: &Context, text: &str, document: impl FnOnce() -> Value) {
    if cx.output.is_text() { cx.output.page(text) } else { cx.output.json(&document()) }
}

fn status(cx: &Context, status: &Status) {
    if !cx.output.is_text() {
        return cx.output.json(&json!(status));
    }
    let Some(live) = &status.live else {
        return cx.output.page(&format!("No sandbox runs in {}. A run starts it, or `runsheet sandbox up`.", status.dir.display()));
    };
    let style = &cx.output.out;
    let mut lines = vec![
        format!("The sandbox {} at http://{}, process {}", style.paint(Role::Good, "runs"), live.address, live.pid),
        format!("  folder   {}", status.dir.display()),
        format!("  cluster  {}", live.cluster_uid),
        format!("  effects  {}", live.overview.effects),
        format!("  faults   {}", live.overview.faults),
        format!("  load     {} requests a second", live.overview.load),
    ];
    let Usage { used, limit, peak, exceeded, pooled, .. } = &live.overview.connections;
    let beyond = if *exceeded == 0 {
        "never beyond what is free".to_owned()
    } else {
        format!("beyond what is free {}", text::count(usize::try_from(*exceeded).unwrap_or(usize::MAX), "time"))
    };
    lines.push(format!("  database {used} of {limit} connections; the pools' peak was {peak}, {beyond}"));
    if let Some(pooled) = pooled {
        lines.push(format!(
            "  pooler   PgBouncer, {} mode; {} clients, {} connections to the database",
            pooled.kind, pooled.clients, pooled.servers
        ));
    }
    lines.extend(live.overview.deployments.iter().map(|deployment| format!("  {deployment}")));
    cx.output.page(&lines.join("\n"));
}

fn effects(cx: &Context, app: &App) -> Result<(), Failure> {
    let effects = app.sandbox_effects()?;
    if !cx.output.is_text() {
        cx.output.list(effects.iter().map(|effect| json!(effect)).collect());
        return Ok(());
    }
    if effects.is_empty() {
        cx.output.page("No request has changed anything in the sandbox.");
    }
    for effect in effects {
        cx.output.page(&format!(
            "{:>4}  {:.0}  {} {}: {} → {}  by {}",
            effect.n, effect.at, effect.object, effect.field, effect.from, effect.to, effect.request
        ));
    }
    Ok(())
}

/// How the fault of these words is written; all of them, where the first word names none.
fn usage_of(words: &[String]) -> String {
    let first = words.first().map(String::as_str).unwrap_or_default();
    let is_of = |line: &&str| line.split_whitespace().next() == Some(first) && !first.is_empty();
    match USAGE.lines().find(is_of) {
        Some(line) => format!("write it as `{line}`; `runsheet sandbox fault add --help` shows all"),
        None => format!("a fault is one of these:\n{USAGE}"),
    }
}

fn fault(cx: &Context, app: &App, command: FaultCommand) -> Result<(), Failure> {
    match command {
        FaultCommand::Add { words } => {
            let fault = Fault::parse(&words).map_err(|error| Failure::usage(error.to_string()).hint(usage_of(&words)))?;
            let waits = fault.deployment().map(|name| (name.to_owned(), app.sandbox_has_deployment(name)));
            match app.sandbox_fault(&fault)? {
                Some(standing) => {
                    say(cx, &format!("Fault {} stands: {}", standing.id, standing.fault), || json!(standing));
                    if let Some((name, Ok(false))) = waits {
                        cx.output.note(&format!(
                            "There is no Deployment {name} in the sandbox now: the fault waits for something of that name."
                        ));
                    }
                }
                None => say(cx, "Done.", || json!({ "done": true })),
            }
        }
        FaultCommand::List => {
            let faults = app.sandbox_faults()?;
            if !cx.output.is_text() {
                cx.output.list(faults.iter().map(|standing| json!(standing)).collect());
            } else if faults.is_empty() {
                cx.output.page("No faults. Add one: runsheet sandbox fault add refuse 'PATCH */scale' --status 503");
            } else {
                faults.iter().for_each(|standing| cx.output.page(&format!("{:>4}  {}", standing.id, standing.fault)));
            }
        }
        FaultCommand::Clear => {
            let cleared = app.sandbox_clear_faults()?;
            say(cx, &format!("{} ended.", text::count(cleared, "fault")), || json!({ "cleared": cleared }));
        }
    }
    Ok(())
}
