//! An operator's instruction reaches the run's owner from any process, and is taken once.

use super::*;
use crate::model::instruction::{Command, Instruction};

pub(super) fn instruction(number: u128) -> Instruction {
    Instruction {
        id: uuid::Uuid::from_u128(number),
        by: "me@here".to_owned(),
        command: Command::Approve { step: "gate".into() },
        reason: None,
    }
}

#[test]
fn instructions_of_other_processes_arrive_in_order_and_are_taken_once() {
    let place = Place::new();
    let (owner, operator) = (place.open(), place.open());
    wait(async {
        create(&owner, id(1)).await;
        create(&owner, id(2)).await;
        assert_eq!(owner.inbox(id(1)).await.unwrap(), []);
        for number in [3, 1, 2, 1] {
            operator.instruct(id(1), instruction(number)).await.unwrap();
        }
        let lying = owner.inbox(id(1)).await.unwrap();
        assert_eq!(lying, [instruction(3), instruction(1), instruction(2)], "in the order sent, and one sent twice is one");
        assert_eq!(owner.inbox(id(2)).await.unwrap(), [], "another run's is not mine");

        let taken = vec![instruction(3).id, instruction(1).id];
        let event = || vec![Event::GateApproved { step: "gate".into(), by: "me@here".to_owned(), open: true }];
        let stale = Append { run: id(1), after: 0, epoch: 0, at: at(0), events: event(), taken: taken.clone() };
        assert!(owner.append(stale).await.is_err());
        assert_eq!(owner.inbox(id(1)).await.unwrap().len(), 3, "an append that is refused takes nothing");

        let commits = owner.commits();
        owner.append(Append { run: id(1), after: 1, epoch: 0, at: at(0), events: event(), taken }).await.unwrap();
        assert_eq!(owner.commits() - commits, 1, "taken with the events, in one transaction");
        assert_eq!(owner.inbox(id(1)).await.unwrap(), [instruction(2)]);
    });
}

#[test]
fn an_empty_inbox_is_looked_into_again_after_any_commit() {
    let place = Place::new();
    let (owner, operator) = (place.open(), place.open());
    wait(async {
        create(&owner, id(1)).await;
        for number in 1..20 {
            assert_eq!(owner.inbox(id(1)).await.unwrap(), []);
            // By another process, then by this one.
            let sender = if number % 2 == 0 { &owner } else { &operator };
            sender.instruct(id(1), instruction(number)).await.unwrap();
            assert_eq!(owner.inbox(id(1)).await.unwrap(), [instruction(number)]);
            let (after, taken) = (number as u64, vec![instruction(number).id]);
            owner.append(Append { run: id(1), after, epoch: 0, at: at(0), events: vec![succeeded("a")], taken }).await.unwrap();
        }
    });
}

#[test]
fn a_run_that_is_not_there_has_no_inbox_to_write_to() {
    let place = Place::new();
    let error = wait(place.open().instruct(id(9), instruction(1))).unwrap_err();
    assert!(error.to_string().starts_with(&format!("there is no run {} in ", id(9))), "{error}");
}
