//! Before a run outside the sandbox starts, or is taken back: what will happen is shown, and somebody says that it may.
//!
//! Invariants: nothing is recorded or done before it is confirmed; where nobody can be asked, only words on the command line confirm; a name that is not the
//! environment's confirms nothing, whatever else was said.

use super::ask::{self, can_ask};
use super::context::Context;
use super::exit_code;
use super::failure::Failure;
use crate::app::{App, Confirmation, Prepared, Request};
use crate::model::notification::Confirm;
use crate::report::{RunView, preview};

/// Who can be asked.
trait Asker {
    /// Whether there is anybody.
    fn can_ask(&self) -> bool;
    /// Asks for a yes; `None`: the question was left without an answer.
    fn yes(&self, question: &str) -> Result<Option<bool>, Failure>;
    /// Asks for a text; `None` as above.
    fn text(&self, question: &str) -> Result<Option<String>, Failure>;
}

/// What was said on the command line.
#[derive(Clone, Copy, Debug)]
struct Said<'a> {
    /// `--yes`
    yes: bool,
    /// `--confirm NAME`
    name: Option<&'a str>,
}

/// What is to be confirmed, in words.
#[derive(Clone, Copy, Debug)]
struct Deed<'a> {
    /// As it is asked: `Run pre-event`.
    asked: &'a str,
    /// What acts on the environment: `this run`.
    subject: &'a str,
}

/// Shows what the run would do and has it confirmed. The sandbox, and a run that acts on no target, ask nothing.
///
/// # Errors
/// When it is not confirmed: then nothing was done.
pub fn confirm_run(cx: &Context, app: &App, prepared: &Prepared, request: &Request, name: Option<&str>) -> Result<(), Failure> {
    let said = Said { yes: cx.globals.yes, name };
    let Some(confirmation) = app.confirmation(prepared) else {
        let environment = prepared.spec.target.as_ref().map(|target| target.environment.as_str());
        return no_other_name(environment, said.name).map_err(|failure| or_run_there(app, failure, said.name));
    };
    no_other_name(Some(&confirmation.environment), said.name).map_err(|failure| or_run_there(app, failure, said.name))?;
    if cx.output.is_text() || can_ask() {
        cx.output.note(&format!("{}\n", preview(&app.preview(prepared, request)?, &cx.output.err)));
    }
    let asked = format!("Run {}", prepared.spec.playbook);
    confirmed(&Terminal, &confirmation, Deed { asked: &asked, subject: "this run" }, said)
}

/// Has it confirmed that what a run did is taken back: by the environment's name, where its runs want that. `asked`: `Take this back (run 3fa9c1d2)`.
///
/// # Errors
/// When it is not confirmed: then nothing was done.
pub fn confirm_back(cx: &Context, app: &App, view: &RunView, asked: &str, name: Option<&str>) -> Result<(), Failure> {
    let environment = view.environment();
    no_other_name(environment, name)?;
    match app.confirmation_in(environment)? {
        Some(confirmation) if confirmation.confirm == Confirm::Name => {
            let said = Said { yes: cx.globals.yes, name };
            confirmed(&Terminal, &confirmation, Deed { asked, subject: "taking it back" }, said)
        }
        Some(_) | None if name.is_some() => Ok(()),
        Some(confirmation) => ask::confirm(cx, &format!("{asked} on {}?", confirmation.environment)),
        None => ask::confirm(cx, &format!("{asked}?")),
    }
}

/// Adds how the environment that was named is run in, where there is such a one.
fn or_run_there(app: &App, failure: Failure, given: Option<&str>) -> Failure {
    let Some(given) = given.filter(|given| app.environment_choices().is_ok_and(|known| known.iter().any(|name| name == given))) else {
        return failure;
    };
    let there = format!("run there with `--env {given}`");
    let hint = failure.hint.as_ref().map_or_else(|| there.clone(), |hint| format!("{there}, or {hint}"));
    failure.hint(hint)
}

/// Refuses a name that was given and is not that of the environment.
fn no_other_name(environment: Option<&str>, given: Option<&str>) -> Result<(), Failure> {
    match (environment, given) {
        (_, None) => Ok(()),
        (Some(environment), Some(given)) if environment == given => Ok(()),
        (Some(environment), Some(given)) => {
            Err(denied(format!("`--confirm {given}` is not this run's environment, which is {environment}"))
                .hint(format!("confirm this one with `--confirm {environment}`")))
        }
        (None, Some(given)) => Err(denied(format!("`--confirm {given}`: this run acts on no environment")).hint("leave `--confirm` out")),
    }
}

fn confirmed(asker: &dyn Asker, wanted: &Confirmation, deed: Deed<'_>, said: Said<'_>) -> Result<(), Failure> {
    let environment = &wanted.environment;
    no_other_name(Some(environment), said.name)?;
    match wanted.confirm {
        _ if said.name.is_some() => Ok(()),
        Confirm::Yes if said.yes => Ok(()),
        _ if !asker.can_ask() => Err(nobody(wanted, deed.subject)),
        Confirm::Yes => match asker.yes(&format!("{} on {environment}?", deed.asked))? {
            Some(true) => Ok(()),
            Some(false) | None => Err(denied("not confirmed: nothing was done".to_owned())),
        },
        Confirm::Name => match asker.text(&format!("{}? Type the environment's name ({environment}) to confirm:", deed.asked))? {
            Some(typed) if typed.trim() == environment => Ok(()),
            Some(typed) if !typed.trim().is_empty() => Err(denied(format!("`{}` is not `{environment}`: nothing was done", typed.trim()))),
            Some(_) | None => Err(denied("not confirmed: nothing was done".to_owned())),
        },
    }
}

fn denied(what: String) -> Failure {
    Failure::new(exit_code::REFUSED, what)
}

fn nobody(wanted: &Confirmation, subject: &str) -> Failure {
    let environment = &wanted.environment;
    let what = format!("{subject} acts on {environment} and has to be confirmed, and there is no terminal to ask on: nothing was done");
    let hint = match wanted.confirm {
        Confirm::Yes => format!("programs confirm with `--yes`, or with `--confirm {environment}`"),
        Confirm::Name => format!("programs confirm with `--confirm {environment}`; `--yes` is not enough here"),
    };
    denied(what).hint(hint)
}

struct Terminal;

impl Asker for Terminal {
    fn can_ask(&self) -> bool {
        can_ask()
    }

    fn yes(&self, question: &str) -> Result<Option<bool>, Failure> {
        answer(inquire::Confirm::new(question).with_default(false).prompt_skippable())
    }

    fn text(&self, question: &str) -> Result<Option<String>, Failure> {
        answer(inquire::Text::new(question).prompt_skippable())
    }
}

fn answer<T>(given: Result<Option<T>, inquire::InquireError>) -> Result<Option<T>, Failure> {
    match given {
        Ok(answer) => Ok(answer),
        Err(inquire::InquireError::OperationCanceled | inquire::InquireError::OperationInterrupted) => Ok(None),
        Err(error) => {
            Err(denied(format!("the terminal cannot be asked: {error}; nothing was done")).hint("confirm with `--yes` or `--confirm NAME`"))
        }
    }
}

/// `on staging (cluster UID 6f2c…)`: what a run that goes on acts on; `None` for the sandbox, and where it acts on no target.
pub fn acts_on(view: &RunView) -> Option<String> {
    let target = view.spec()?.target.as_ref().filter(|_| !view.is_sandbox())?;
    let identity = target.identity.iter().map(|(what, value)| {
        let what = if what == "kubernetes" { "cluster UID" } else { what.as_str() };
        format!("{what} {}", value.as_str().map_or_else(|| value.to_string(), str::to_owned))
    });
    let identity: Vec<String> = identity.collect();
    let identity = if identity.is_empty() { String::new() } else { format!(" ({})", identity.join(", ")) };
    Some(format!("on {}{identity}", target.environment))
}

/// Says what a run that goes on acts on, where that is not the sandbox.
pub fn say_target(cx: &Context, view: &RunView) {
    if let Some(target) = acts_on(view).filter(|_| cx.output.is_text()) {
        cx.output.note(&format!("run {} of {} acts {target}", view.run().short(), view.playbook()));
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    /// Somebody who answers as told, and remembers what was asked.
    struct Answers {
        there: bool,
        with: Option<&'static str>,
        asked: RefCell<Vec<String>>,
    }

    impl Answers {
        fn with(with: Option<&'static str>) -> Self {
            Self { there: true, with, asked: RefCell::default() }
        }

        fn nobody() -> Self {
            Self { there: false, with: None, asked: RefCell::default() }
        }
    }

    impl Asker for Answers {
        fn can_ask(&self) -> bool {
            self.there
        }

        fn yes(&self, question: &str) -> Result<Option<bool>, Failure> {
            self.asked.borrow_mut().push(question.to_owned());
            Ok(self.with.map(|text| text == "y"))
        }

        fn text(&self, question: &str) -> Result<Option<String>, Failure> {
            self.asked.borrow_mut().push(question.to_owned());
            Ok(self.with.map(str::to_owned))
        }
    }

    const NOTHING: Said<'_> = Said { yes: false, name: None };

    fn on(confirm: Confirm) -> Confirmation {
        Confirmation { environment: "staging".to_owned(), confirm }
    }

    fn ask(asker: &Answers, confirm: Confirm, said: Said<'_>) -> Result<(), Failure> {
        confirmed(asker, &on(confirm), Deed { asked: "Run pre-event", subject: "this run" }, said)
    }

    #[test]
    fn a_yes_is_asked_for_and_anything_else_refuses() {
        let asker = Answers::with(Some("y"));
        ask(&asker, Confirm::Yes, NOTHING).unwrap();
        assert_eq!(asker.asked.take(), ["Run pre-event on staging?"]);
        for answer in [Some("n"), None] {
            let failure = ask(&Answers::with(answer), Confirm::Yes, NOTHING).unwrap_err();
            assert_eq!((failure.code, failure.what.as_str()), (exit_code::REFUSED, "not confirmed: nothing was done"));
        }
    }

    #[test]
    fn the_name_has_to_be_typed_as_it_is() {
        ask(&Answers::with(Some(" staging ")), Confirm::Name, NOTHING).unwrap();
        for (answer, what) in [
            (Some("production"), "`production` is not `staging`: nothing was done"),
            (Some("y"), "`y` is not `staging`: nothing was done"),
            (Some("Staging"), "`Staging` is not `staging`: nothing was done"),
            (Some(""), "not confirmed: nothing was done"),
            (None, "not confirmed: nothing was done"),
        ] {
            let failure = ask(&Answers::with(answer), Confirm::Name, NOTHING).unwrap_err();
            assert_eq!((failure.code, failure.what.as_str()), (exit_code::REFUSED, what));
        }
    }

    #[test]
    fn without_a_terminal_only_words_on_the_command_line_confirm() {
        let yes = Said { yes: true, name: None };
        let name = Said { yes: false, name: Some("staging") };
        ask(&Answers::nobody(), Confirm::Yes, yes).unwrap();
        ask(&Answers::nobody(), Confirm::Yes, name).unwrap();
        ask(&Answers::nobody(), Confirm::Name, name).unwrap();
        let failure = ask(&Answers::nobody(), Confirm::Yes, NOTHING).unwrap_err();
        assert_eq!(failure.code, exit_code::REFUSED);
        assert!(failure.what.contains("acts on staging") && failure.what.contains("no terminal"), "{}", failure.what);
        assert!(failure.hint.unwrap().contains("`--yes`"));
        for said in [NOTHING, yes] {
            let failure = ask(&Answers::nobody(), Confirm::Name, said).unwrap_err();
            assert_eq!(failure.code, exit_code::REFUSED);
            assert!(failure.hint.unwrap().contains("`--confirm staging`; `--yes` is not enough"));
        }
    }

    #[test]
    fn a_yes_on_the_command_line_does_not_stand_for_the_name_and_a_wrong_name_confirms_nothing() {
        let asker = Answers::with(Some("staging"));
        ask(&asker, Confirm::Name, Said { yes: true, name: None }).unwrap();
        assert_eq!(asker.asked.take().len(), 1, "the name was not asked for");
        for confirm in [Confirm::Yes, Confirm::Name] {
            let asker = Answers::with(Some("staging"));
            let failure = ask(&asker, confirm, Said { yes: true, name: Some("production") }).unwrap_err();
            assert_eq!(failure.code, exit_code::REFUSED);
            assert!(failure.what.contains("`--confirm production` is not this run's environment, which is staging"), "{}", failure.what);
            assert!(asker.asked.take().is_empty());
        }
        assert!(no_other_name(Some("sandbox"), Some("production")).is_err());
        assert!(no_other_name(None, Some("production")).is_err());
        assert!(no_other_name(Some("sandbox"), None).is_ok());
    }
}
