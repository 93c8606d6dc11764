//! What people see: events to text, tables, frames and JSON.
//!
//! [`RunView`] is folded from a run's records; every page is a function of it. [`live::LiveView`] and [`plain::PlainView`] show a run while it goes
//! on: `app` hands them what its observers are told.
//!
//! Architecture invariant: nothing here decides anything or reads a journal; `report` depends on `model` alone (`tests/it/layers.rs`).

mod checking;
pub mod commands;
pub mod doctor;
pub mod environments;
pub mod error;
mod fold;
pub mod frame;
pub mod json;
pub mod lines;
pub mod live;
pub mod needs;
pub mod outline;
mod outputs;
pub mod owed;
pub mod plain;
pub mod playbook;
pub mod preview;
mod prose;
mod rows;
mod said;
mod samples;
mod section;
pub mod sheet;
pub mod skipped;
pub mod status;
pub mod step_view;
pub mod style;
pub mod summary;
pub mod tables;
pub mod text;
pub mod undo;
pub mod view;
mod winding;
mod word;

pub use commands::Suggestion;
pub use error::error_block;
pub use json::{event_json, status_json};
pub use needs::{Need, NeedKind, Needs};
pub use outline::Outline;
pub use outputs::in_words;
pub use owed::{Owed, OwedWhat};
pub use playbook::show_playbook;
pub use preview::preview;
pub use prose::fold;
pub use sheet::by_hand;
pub use status::status;
pub use step_view::StepView;
pub use style::{Role, Style};
pub use summary::summary;
pub use tables::{ListRow, RunRow, list_table, runs_table};
pub use view::RunView;

/// `SANDBOX: no environment was changed`, and how many commands ran on this machine, if any.
pub fn sandbox_notice(view: &RunView) -> String {
    let notice = "SANDBOX: no environment was changed";
    match view.commands_run() {
        0 => notice.to_owned(),
        commands => format!("{notice}; {} ran on this machine", text::count(commands, "command")),
    }
}

#[cfg(test)]
mod fixture;
#[cfg(test)]
mod frame_tests;
#[cfg(test)]
mod json_tests;
#[cfg(test)]
mod pages_tests;
#[cfg(test)]
mod taken_back_tests;
#[cfg(test)]
mod view_tests;
