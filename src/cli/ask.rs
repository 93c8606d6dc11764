//! Questions to whoever sits at the terminal.
//!
//! Invariant: nothing is asked where nobody can answer; a program says beforehand what it wants.

use std::io::IsTerminal;

use super::context::Context;
use super::exit_code;
use super::failure::Failure;

/// Whether there is somebody to ask.
pub fn can_ask() -> bool {
    std::io::stdin().is_terminal() && std::io::stderr().is_terminal()
}

/// Asks for a yes, unless `--yes` said it.
///
/// # Errors
/// When the answer is no, or nobody can be asked.
pub fn confirm(cx: &Context, question: &str) -> Result<(), Failure> {
    if cx.globals.yes {
        return Ok(());
    }
    if !can_ask() {
        return Err(Failure::usage("this has to be confirmed, and there is no terminal to ask on").hint("programs confirm with `--yes`"));
    }
    match inquire::Confirm::new(question).with_default(false).prompt() {
        Ok(true) => Ok(()),
        Ok(false) | Err(inquire::InquireError::OperationCanceled | inquire::InquireError::OperationInterrupted) => {
            Err(Failure::new(exit_code::REFUSED, "not confirmed: nothing was done"))
        }
        Err(error) => Err(Failure::usage(format!("the terminal cannot be asked: {error}")).hint("confirm with `--yes`")),
    }
}

/// Asks for one of some names; `None` where nothing is chosen.
///
/// # Errors
/// When the terminal cannot be asked.
pub fn one_of(question: &str, names: Vec<String>) -> Result<Option<String>, Failure> {
    match inquire::Select::new(question, names).prompt() {
        Ok(name) => Ok(Some(name)),
        Err(inquire::InquireError::OperationCanceled | inquire::InquireError::OperationInterrupted) => Ok(None),
        Err(error) => Err(Failure::usage(format!("the terminal cannot be asked: {error}")).hint("name it on the command line")),
    }
}

/// Asks for a reason where none was given.
///
/// # Errors
/// When nobody can be asked, or nothing is answered.
pub fn reason(given: Option<String>, what_for: &str) -> Result<String, Failure> {
    let given = given.map(|text| text.trim().to_owned()).filter(|text| !text.is_empty());
    if let Some(reason) = given {
        return Ok(reason);
    }
    let missing = || Failure::usage(format!("{what_for} needs a reason: it is kept with the run")).hint("give it with --reason '…'");
    if !can_ask() {
        return Err(missing());
    }
    match inquire::Text::new("Why? It is kept with the run.").prompt() {
        Ok(text) if !text.trim().is_empty() => Ok(text.trim().to_owned()),
        Ok(_) | Err(_) => Err(missing()),
    }
}
