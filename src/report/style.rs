//! How text is to look: width, colour, the reader's time zone and what is now.
//!
//! Must not: read a clock or ask the terminal while text is made; whoever makes a [`Style`] does that once.
//! Invariant: colour never carries a meaning that a word beside it does not carry too.

use anstyle::{AnsiColor, Effects};
use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::model::status::{RunStatus, StepStatus};

/// How text is to look.
#[derive(Clone, Debug)]
pub struct Style {
    /// Whether ANSI colours are written.
    pub color: bool,
    /// Columns. Tables and frames keep within.
    pub width: usize,
    /// Whether sentences are broken between words: on a terminal, which would break them within.
    pub wrap: bool,
    /// What is now: for ages, and to leave out today's date.
    pub now: Timestamp,
    /// The reader's time zone.
    pub zone: TimeZone,
}

/// What a piece of text is, which decides its colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Ended well.
    Good,
    /// Ended badly.
    Bad,
    /// Asks for attention.
    Attention,
    /// Going on.
    Busy,
    /// Of less interest.
    Quiet,
    /// A heading, a name.
    Strong,
    /// A command to type.
    Command,
    /// As it is.
    Plain,
}

impl Style {
    /// Without colour, 100 columns, in UTC: for files, pipes and tests.
    pub fn plain(now: Timestamp) -> Self {
        Self { color: false, width: 100, wrap: false, now, zone: TimeZone::UTC }
    }

    /// For what is written to standard output: colour where the terminal shows it (`NO_COLOR`, `CLICOLOR`, `TERM=dumb` are honoured), its width,
    /// the system's time zone.
    pub fn stdout(now: Timestamp) -> Self {
        let color = anstream::AutoStream::choice(&std::io::stdout()) != anstream::ColorChoice::Never;
        let term = console::Term::stdout();
        Self { color, width: width_of(&term), wrap: term.is_term(), now, zone: TimeZone::system() }
    }

    /// The same for standard error.
    pub fn stderr(now: Timestamp) -> Self {
        let color = anstream::AutoStream::choice(&std::io::stderr()) != anstream::ColorChoice::Never;
        let term = console::Term::stderr();
        Self { color, width: width_of(&term), wrap: term.is_term(), now, zone: TimeZone::system() }
    }

    /// Whether standard error is a terminal that a frame can be redrawn on; where it is not, a run is told in plain lines.
    pub fn can_redraw() -> bool {
        console::Term::stderr().is_term() && std::env::var_os("TERM").is_none_or(|term| term != "dumb")
    }

    /// The text in the colour of its role.
    pub fn paint(&self, role: Role, text: &str) -> String {
        let style = match role {
            Role::Good => AnsiColor::Green.on_default(),
            Role::Bad => AnsiColor::Red.on_default().effects(Effects::BOLD),
            Role::Attention => AnsiColor::Yellow.on_default().effects(Effects::BOLD),
            Role::Busy => AnsiColor::Cyan.on_default(),
            Role::Quiet => anstyle::Style::new().effects(Effects::DIMMED),
            Role::Strong => anstyle::Style::new().effects(Effects::BOLD),
            Role::Command => AnsiColor::Blue.on_default().effects(Effects::BOLD),
            Role::Plain => anstyle::Style::new(),
        };
        if self.color && role != Role::Plain && !text.is_empty() { format!("{style}{text}{style:#}") } else { text.to_owned() }
    }
}

/// The terminal's columns, or 100 where there is no terminal.
fn width_of(term: &console::Term) -> usize {
    term.size_checked().map_or(100, |(_, columns)| usize::from(columns).max(20))
}

/// A step's symbol and role. The word is the status itself.
pub fn of_step(status: StepStatus) -> (&'static str, Role) {
    match status {
        StepStatus::Pending => ("·", Role::Quiet),
        StepStatus::Waiting => ("◌", Role::Attention),
        StepStatus::Running | StepStatus::Verifying => ("●", Role::Busy),
        StepStatus::Succeeded => ("✔", Role::Good),
        StepStatus::Failed | StepStatus::RollbackFailed => ("✘", Role::Bad),
        StepStatus::Skipped => ("–", Role::Quiet),
        StepStatus::Unknown => ("?", Role::Bad),
        StepStatus::RollingBack => ("↶", Role::Attention),
        StepStatus::RolledBack => ("↩", Role::Good),
        StepStatus::Kept => ("▪", Role::Attention),
    }
}

/// A run's role. The word is the status itself.
pub fn of_run(status: RunStatus) -> Role {
    match status {
        RunStatus::Running => Role::Busy,
        RunStatus::Waiting | RunStatus::Paused | RunStatus::RollingBack | RunStatus::SucceededWithFailures | RunStatus::Cancelled => {
            Role::Attention
        }
        RunStatus::Succeeded | RunStatus::RolledBack => Role::Good,
        RunStatus::Failed | RunStatus::Stuck => Role::Bad,
    }
}
