//! What every command has at hand: the global options, the app, the output.

use std::collections::BTreeSet;
use std::path::PathBuf;

use super::failure::Failure;
use super::output::{Color, Format, Output};
use crate::app::{App, Locations, Owner};
use crate::model::id::RunId;
use crate::report::{OwedWhat, RunView};

/// Of how many fields that a run owes it is looked up what other runs made of them.
const LOOKED_UP: usize = 200;

/// Options that every command takes.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Global options")]
pub struct Globals {
    /// The folder that holds `playbooks/` [default: the nearest one upwards]
    #[arg(long, global = true, value_name = "DIR", env = "RUNSHEET_ROOT", hide_env_values = true, value_hint = clap::ValueHint::DirPath)]
    pub root: Option<PathBuf>,
    /// The database [default: state/runsheet.db in the root]
    #[arg(long, global = true, value_name = "FILE", env = "RUNSHEET_STATE", hide_env_values = true, value_hint = clap::ValueHint::FilePath)]
    pub state: Option<PathBuf>,
    /// The form of what is printed
    #[arg(short, long, global = true, value_name = "FORMAT", value_enum, default_value = "text")]
    pub output: Format,
    /// Confirm what would be asked on a terminal; programs must
    #[arg(short, long, global = true)]
    pub yes: bool,
    /// When to use colours; NO_COLOR is honoured
    #[arg(long, global = true, value_name = "WHEN", value_enum, default_value = "auto")]
    pub color: Color,
}

/// What every command has at hand.
pub struct Context {
    /// The global options.
    pub globals: Globals,
    /// Where text goes.
    pub output: Output,
}

impl Context {
    /// From the global options.
    pub fn new(globals: Globals) -> Self {
        let output = Output::new(globals.output);
        Self { globals, output }
    }

    /// The app at the places that were named. Opens nothing yet.
    ///
    /// # Errors
    /// When there is no root.
    pub fn app(&self) -> Result<App, Failure> {
        let here = std::env::current_dir()
            .map_err(|error| Failure::usage(format!("the current folder cannot be used: {error}")).hint("go to a folder that exists"))?;
        let set = |path: &Option<PathBuf>| path.clone().filter(|path| !path.as_os_str().is_empty());
        let (root, state) = (set(&self.globals.root), set(&self.globals.state));
        Ok(App::new(Locations::find(root.as_deref(), state.as_deref(), &here)?))
    }

    /// A run as its records tell it, and whether a process works on it now.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn view(&self, app: &App, run: RunId) -> Result<RunView, Failure> {
        let records = app.records(run)?;
        let definition = app.definition_of(&records)?;
        let mut view = RunView::new(run).with_definition(&definition);
        for record in &records {
            view.apply(record);
        }
        view.set_owner_alive(app.owner(run)? != Owner::Nobody);
        let fields: BTreeSet<_> = view
            .owed()
            .into_iter()
            .filter_map(|owed| match owed.what {
                OwedWhat::Field { object, field, .. } => Some((object, field)),
                OwedWhat::Action { .. } => None,
            })
            .take(LOOKED_UP)
            .collect();
        for (object, field) in fields {
            let history = app.history(&object, &field)?;
            view.set_history(object, field, history);
        }
        for step in view.samplers() {
            let sampled = app.sampled(run, &step);
            view.set_sampled(step, sampled);
        }
        Ok(view)
    }
}
