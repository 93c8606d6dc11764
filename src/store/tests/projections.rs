//! The projections are a function of the events, however these were divided into appends.

use proptest::prelude::*;

use super::*;
use crate::model::event::{ResetTo, Waiting};
use crate::model::outcome::{Applied, Failure, Verdict};
use crate::model::status::RunStatus;

/// Any event, of one of a few steps, with values that meet each other.
fn event() -> impl Strategy<Value = Event> {
    let step = prop::sample::select(vec!["a", "b", "c", "d"]);
    (step, 1..4_u32, 0..4_i64, 0..24_u8).prop_map(|(step, number, value, which)| {
        let failure = || Failure::transient(format!("refused {value} ü {}", "é".repeat(usize::try_from(value).unwrap_or(0) * 400)));
        let (path, attempt) = (step.into(), number);
        match which {
            0 => Event::RunOwned { pid: number, host: format!("web-{value}"), by: "me".to_owned() },
            1 => Event::RunStatusChanged {
                status: RunStatus::ALL[usize::try_from(value).unwrap_or(0)],
                reason: (value > 1).then(|| "why".to_owned()),
            },
            2 | 3 => scaling(step, number, value, value + 1),
            4 => Event::StepStarted { step: path, occurrence: number, inputs: ResolvedInputs::default(), intent: None },
            5..=8 => Event::AttemptStarted { step: path, attempt, intent: Box::new(intent(value, value + 1)) },
            9 => Event::AttemptEnded { step: path, attempt, outcome: Applied::NotApplied { failure: failure() } },
            10 => Event::AttemptEnded { step: path, attempt, outcome: Applied::Unknown { failure: failure() } },
            11 => Event::AttemptEnded { step: path, attempt, outcome: Applied::Applied { outputs: Value::Null } },
            12 => Event::Verified { step: path, attempt, verdict: Verdict::Absent },
            13 => Event::Verified { step: path, attempt, verdict: Verdict::Present { outputs: Value::Null } },
            14 => Event::RetryScheduled { step: path, attempt, until: at(value), failure: failure() },
            15 => succeeded(step),
            16 => Event::StepFailed { step: path, failure: failure(), applied: true },
            17 => Event::StepReset { step: path, to: ResetTo::Pending },
            18 => Event::StepReset { step: path, to: ResetTo::NextOccurrence },
            19 => Event::StepRolledBack { step: path, note: None },
            20 => Event::StepKept { step: path, reason: "it cannot be undone".to_owned(), blocks: false },
            21 => Event::StepWaiting { step: path, wait: Waiting::Time { until: at(value) } },
            22 => Event::RevertStarted { step: path },
            _ => Event::GateApproved { step: path, by: "me".to_owned(), open: true },
        }
    })
}

/// Every row of every projection, as text.
fn rows(connection: &rusqlite::Connection) -> Vec<String> {
    let mut rows = Vec::new();
    for query in
        ["SELECT * FROM runs ORDER BY id", "SELECT * FROM steps ORDER BY run_id, path", "SELECT * FROM changes ORDER BY position, nth"]
    {
        let mut statement = connection.prepare(query).unwrap();
        let columns = statement.column_count();
        let mut found = statement.query([]).unwrap();
        while let Some(row) = found.next().unwrap() {
            rows.push((0..columns).map(|column| format!("{:?} ", row.get_ref(column).unwrap())).collect());
        }
    }
    rows
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn rebuilding_arrives_at_the_same_rows(appends in prop::collection::vec((0..3_u128, prop::collection::vec(event(), 1..8)), 1..16)) {
        let place = Place::new();
        let store = place.open();
        let mut known = [1_u64; 3];
        wait(async {
            for run in 0..3 {
                create(&store, id(run)).await;
            }
            for (run, events) in appends {
                let after = &mut known[usize::try_from(run).unwrap()];
                let count = events.len() as u64;
                append(&store, id(run), (*after, 0), events).await.unwrap();
                *after += count;
            }
        });
        let raw = place.raw();
        let written = rows(&raw);
        raw.execute_batch(
            "DELETE FROM changes; UPDATE steps SET status = 'pending', message = 'wrong', attempt = 77; \
             UPDATE runs SET status = 'stuck', playbook = 'wrong', owner_pid = NULL, owner_host = NULL, owner_by = NULL, reason = 'wrong'",
        ).unwrap();
        prop_assert_ne!(&rows(&raw), &written);
        let rebuilt = store.rebuild().unwrap();
        prop_assert_eq!((rebuilt.runs, rebuilt.damaged.len()), (3, 0));
        prop_assert_eq!(rows(&raw), written);
        for run in 0..3 {
            prop_assert_eq!(store.verify(id(run)).unwrap(), known[usize::try_from(run).unwrap()]);
        }
    }
}
