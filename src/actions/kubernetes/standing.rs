//! How the fields of one change stand together: what a swap and a verification ask of an object that was read.
//!
//! Must not ask anything. Invariant: only what is as recorded may be swapped, and only what is all as wanted was done.

use serde_json::Value;

use crate::model::outcome::Verdict;

/// How one field stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Stands {
    /// As wanted.
    Wanted,
    /// As recorded before.
    Recorded,
    /// Neither: somebody else changed it. What people are told.
    Foreign(String),
}

/// How all of them stand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Together {
    /// All as wanted.
    Wanted,
    /// All as recorded.
    Recorded,
    /// Some as wanted, the others as recorded.
    Mixed,
    /// One is neither.
    Foreign(String),
}

impl Together {
    /// Of these.
    pub(super) fn of(all: impl IntoIterator<Item = Stands>) -> Self {
        let (mut wanted, mut recorded) = (false, false);
        for stands in all {
            match stands {
                Stands::Wanted => wanted = true,
                Stands::Recorded => recorded = true,
                Stands::Foreign(message) => return Self::Foreign(message),
            }
        }
        match (wanted, recorded) {
            (true, true) => Self::Mixed,
            (false, true) => Self::Recorded,
            (_, false) => Self::Wanted,
        }
    }

    /// Whether the attempt happened.
    pub(super) fn verdict(self, outputs: impl FnOnce() -> Value) -> Verdict {
        match self {
            Self::Wanted => Verdict::Present { outputs: outputs() },
            Self::Recorded => Verdict::Absent,
            Self::Mixed => Verdict::CannotTell { reason: "some of the fields are as wanted, the others as they were before".to_owned() },
            Self::Foreign(reason) => Verdict::CannotTell { reason },
        }
    }
}

/// One field against what was recorded and what is wanted; `what` names it for people.
pub(super) fn field(what: &str, live: &Value, from: &Value, to: &Value, same: impl Fn(&Value, &Value) -> bool) -> Stands {
    if same(live, to) {
        Stands::Wanted
    } else if same(live, from) {
        Stands::Recorded
    } else {
        Stands::Foreign(format!("{what} is {live}: somebody else changed it from {from} to {live} meanwhile, and it was left alone"))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn fields_stand_together() {
        let stands = |live: i64| field("x", &json!(live), &json!(1), &json!(2), |a, b| a == b);
        assert_eq!(Together::of([stands(2), stands(2)]), Together::Wanted);
        assert_eq!(Together::of([stands(1), stands(1)]), Together::Recorded);
        assert_eq!(Together::of([stands(2), stands(1)]), Together::Mixed);
        let foreign = "x is 3: somebody else changed it from 1 to 3 meanwhile, and it was left alone";
        assert_eq!(Together::of([stands(2), stands(3)]), Together::Foreign(foreign.to_owned()));
    }
}
