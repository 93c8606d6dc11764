//! Answers without secrets.

use crate::environment::Redactor;
use crate::machine::decide::Answer;
use crate::model::change::Standing;
use crate::model::outcome::{Applied, Failure, Followed, Verdict};

fn failure(failure: Failure, redactor: &Redactor) -> Failure {
    Failure { message: redactor.text(&failure.message), hint: failure.hint.map(|hint| redactor.text(&hint)), ..failure }
}

fn applied(outcome: Applied, redactor: &Redactor) -> Applied {
    match outcome {
        Applied::Applied { outputs } => Applied::Applied { outputs: redactor.value(outputs) },
        Applied::NotApplied { failure: why } => Applied::NotApplied { failure: failure(why, redactor) },
        Applied::FailedWithEffect { failure: why, outputs } => {
            Applied::FailedWithEffect { failure: failure(why, redactor), outputs: redactor.value(outputs) }
        }
        Applied::Unknown { failure: why } => Applied::Unknown { failure: failure(why, redactor) },
    }
}

/// The answer with every secret's value replaced by its name.
pub(super) fn redacted(answer: Answer, redactor: &Redactor) -> Answer {
    if redactor.is_empty() {
        return answer;
    }
    match answer {
        Answer::Observed(result) => Answer::Observed(result.map(|value| redactor.value(value)).map_err(|why| failure(why, redactor))),
        Answer::Checked(result) => Answer::Checked(result.map_err(|why| failure(why, redactor))),
        Answer::Watched(result) => Answer::Watched(result.map(|value| redactor.value(value)).map_err(|why| failure(why, redactor))),
        Answer::Applied(outcome) => Answer::Applied(applied(outcome, redactor)),
        Answer::Swapped(outcome) => Answer::Swapped(applied(outcome, redactor)),
        Answer::Verified(result) => Answer::Verified(
            result
                .map(|verdict| match verdict {
                    Verdict::Present { outputs } => Verdict::Present { outputs: redactor.value(outputs) },
                    Verdict::Absent => Verdict::Absent,
                    Verdict::InProgress { message } => Verdict::InProgress { message: redactor.text(&message) },
                    Verdict::CannotTell { reason } => Verdict::CannotTell { reason: redactor.text(&reason) },
                })
                .map_err(|why| failure(why, redactor)),
        ),
        Answer::Live(result) => Answer::Live(
            result
                .map(|standings| {
                    standings
                        .into_iter()
                        .map(|standing| match standing {
                            Standing::Foreign { live } => Standing::Foreign { live: redactor.value(live) },
                            other @ (Standing::AlreadyPrior
                            | Standing::Ours { .. }
                            | Standing::TakenBack { .. }
                            | Standing::GivenBack { .. }
                            | Standing::Gone) => other,
                        })
                        .collect()
                })
                .map_err(|why| failure(why, redactor)),
        ),
        Answer::Followed(result) => Answer::Followed(
            result
                .map(|followed| match followed {
                    Followed::No { holds } => Followed::No { holds: redactor.text(&holds) },
                    Followed::Yes => Followed::Yes,
                })
                .map_err(|why| failure(why, redactor)),
        ),
    }
}
