//! What is not as it was written is never handed out as if it were, and harms no other run.

use super::*;

/// Two runs of five events each.
fn two_runs() -> (Place, Vec<RunId>) {
    let place = Place::new();
    let store = place.open();
    let runs = vec![id(1), id(2)];
    wait(async {
        for run in &runs {
            create(&store, *run).await;
            let events = vec![scaling("scale", 1, 2, 8), succeeded("scale"), scaling("more", 1, 8, 9), succeeded("more")];
            append(&store, *run, (1, 0), events).await.unwrap();
        }
    });
    (place, runs)
}

#[test]
fn every_way_to_change_a_journal_is_noticed() {
    let of = "run_id = x'00000000000000000000000000000001'";
    for (change, expected) in [
        (format!("UPDATE events SET body = replace(body, '8', '9') WHERE {of} AND seq = 2"), "event 2 is not as it was written"),
        (format!("UPDATE events SET body = body || ' ' WHERE {of} AND seq = 3"), "event 3 is not as it was written"),
        (format!("UPDATE events SET at = at + 1 WHERE {of} AND seq = 4"), "event 4 is not as it was written"),
        (format!("UPDATE events SET epoch = 7 WHERE {of} AND seq = 4"), "event 4 is not as it was written"),
        (format!("UPDATE events SET kind = 'step_failed' WHERE {of} AND seq = 3"), "event 3 is not as it was written"),
        (format!("UPDATE events SET version = 0 WHERE {of} AND seq = 3"), "event 3 is not as it was written"),
        (format!("UPDATE events SET hash = zeroblob(32) WHERE {of} AND seq = 3"), "event 3 is not as it was written"),
        (format!("UPDATE events SET hash = randomblob(32) WHERE {of} AND seq = 5"), "event 5 is not as it was written"),
        (format!("DELETE FROM events WHERE {of} AND seq = 1"), "event 1 is missing"),
        (format!("DELETE FROM events WHERE {of} AND seq = 3"), "event 3 is missing"),
        (format!("DELETE FROM events WHERE {of} AND seq = 5"), "its last events are missing: 5 were written, and 4 are there"),
        (format!("DELETE FROM events WHERE {of}"), "its last events are missing: 5 were written, and 0 are there"),
        (
            format!(
                "UPDATE events SET seq = 99 WHERE {of} AND seq = 3; UPDATE events SET seq = 3 WHERE {of} AND seq = 5; \
                 UPDATE events SET seq = 5 WHERE {of} AND seq = 99"
            ),
            "event 3 is not as it was written",
        ),
        (
            format!(
                "INSERT INTO events (run_id, seq, epoch, at, kind, version, body, hash) \
                 SELECT run_id, 6, epoch, at, kind, version, body, hash FROM events WHERE {of} AND seq = 5"
            ),
            "event 6 is not as it was written",
        ),
        (
            format!("UPDATE runs SET head_hash = zeroblob(32) WHERE id = x'{:032x}'", 1),
            "event 5, its last, is not the one that was written",
        ),
        // The other run's events in this one's place.
        (
            format!(
                "DELETE FROM events WHERE {of}; INSERT INTO events (run_id, seq, epoch, at, kind, version, body, hash) \
                 SELECT x'{:032x}', seq, epoch, at, kind, version, body, hash FROM events WHERE run_id = x'{:032x}'",
                1, 2
            ),
            "event 1 is not as it was written",
        ),
    ] {
        let (place, runs) = two_runs();
        let raw = place.raw();
        raw.pragma_update(None, "foreign_keys", false).unwrap();
        raw.execute_batch(&change).unwrap();
        let store = place.open();
        let error = store.verify(runs[0]).expect_err(&change);
        assert!(matches!(error, JournalError::Damaged { .. }), "{change}: {error:?}");
        let text = error.to_string();
        assert!(text.contains(expected) && text.contains(&runs[0].to_string()) && text.contains("runsheet.db"), "{change}: {text}");
        assert!(wait(store.read(runs[0], 0)).is_err(), "{change}: it was handed out");
        assert_eq!(store.verify(runs[1]).unwrap(), 5, "{change}: the other run is sound");
        wait(append(&store, runs[1], (5, 0), vec![succeeded("z")])).expect("the other run goes on");
        let rebuilt = store.rebuild().unwrap();
        assert_eq!(rebuilt.runs, 1);
        assert_eq!(rebuilt.damaged.iter().map(|damaged| damaged.run).collect::<Vec<_>>(), [runs[0]], "{change}");
    }
}

#[test]
fn an_append_to_a_run_whose_head_is_wrong_stops_neither_the_writer_nor_other_runs() {
    let (place, runs) = two_runs();
    place.raw().execute("UPDATE runs SET head_seq = 3 WHERE id = ?1", [runs[0].0.as_bytes().as_slice()]).unwrap();
    let store = std::sync::Arc::new(Store::open_with(&place.file(), Access::ReadWrite, Options::default()).unwrap());
    wait(async {
        store.instruct(runs[0], inbox::instruction(1)).await.unwrap();
        // Alone, and then with others in one transaction.
        for round in 0..2_u64 {
            let lock = place.raw();
            lock.execute_batch(if round == 0 { "" } else { "BEGIN IMMEDIATE" }).unwrap();
            let send = |run, after| {
                let store = std::sync::Arc::clone(&store);
                let taken = vec![inbox::instruction(1).id];
                let append = Append { run, after, epoch: 0, at: at(0), events: vec![succeeded("z")], taken };
                tokio::spawn(async move { store.append(append).await })
            };
            let (first, damaged, last) = (send(runs[1], 5 + 2 * round), send(runs[0], 3), send(runs[1], 6 + 2 * round));
            tokio::task::yield_now().await;
            lock.execute_batch(if round == 0 { "" } else { "ROLLBACK" }).unwrap();
            let error = damaged.await.unwrap().unwrap_err();
            assert!(matches!(error, JournalError::Damaged { .. }), "{error:?}");
            first.await.unwrap().expect("the other run goes on");
            last.await.unwrap().expect("the other run goes on");
            assert_eq!(store.inbox(runs[0]).await.unwrap().len(), 1, "what failed took nothing out of the inbox");
        }
    });
}

#[test]
fn a_definition_that_was_changed_is_not_handed_out() {
    let (place, _) = two_runs();
    place.raw().execute("UPDATE definitions SET body = replace(body, 'event', 'tnvee')", []).unwrap();
    let error = wait(place.open().definition(&definition_hash(&definition()))).unwrap_err();
    assert!(error.to_string().contains("is not as it was written"), "{error}");
}

#[test]
fn a_run_whose_row_cannot_be_read_is_listed_apart() {
    let (place, runs) = two_runs();
    place.raw().execute("UPDATE runs SET status = 'dancing' WHERE id = ?1", [runs[0].0.as_bytes().as_slice()]).unwrap();
    let listed = place.open().runs(10, &super::super::Filter::default()).unwrap();
    assert_eq!(listed.runs.iter().map(|run| run.run).collect::<Vec<_>>(), [runs[1]]);
    assert_eq!(listed.damaged.len(), 1);
    assert!(listed.damaged[0].what.contains("`dancing` is no status"), "{:?}", listed.damaged);
}

#[test]
fn a_file_that_is_no_database_and_one_whose_pages_are_overwritten_are_damaged() {
    let place = Place::new();
    std::fs::write(place.file(), "name,date\n".repeat(500)).unwrap();
    let error = open(&place.file(), Access::ReadWrite).err().expect("it is text");
    assert!(matches!(error, JournalError::Damaged { .. }) && error.to_string().contains("runsheet.db is damaged"), "{error}");

    let (place, runs) = two_runs();
    let mut bytes = std::fs::read(place.file()).unwrap();
    for page in bytes.chunks_mut(4096).skip(1) {
        page.fill(0xA5);
    }
    std::fs::write(place.file(), bytes).unwrap();
    let error = match open(&place.file(), Access::ReadWrite) {
        Ok(store) => store.verify(runs[0]).unwrap_err(),
        Err(error) => error,
    };
    assert!(matches!(error, JournalError::Damaged { .. }), "{error:?}");
    assert!(error.hint().contains("keep a copy"));
}
