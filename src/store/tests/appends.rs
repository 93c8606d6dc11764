//! What is answered is committed, by its owner alone, in one transaction with what else waits.

use std::sync::Arc;
use std::time::Duration;

use super::*;

#[test]
fn what_was_appended_is_read_back_in_order() {
    let place = Place::new();
    let store = place.open();
    wait(async {
        create(&store, id(1)).await;
        let epoch = store.own(id(1)).await.unwrap();
        let first = append(&store, id(1), (1, epoch), vec![scaling("scale", 1, 2, 8), succeeded("scale")]).await.unwrap();
        let second = append(&store, id(1), (3, epoch), vec![succeeded("other")]).await.unwrap();
        assert_eq!(first.iter().chain(&second).map(|record| record.seq).collect::<Vec<_>>(), [2, 3, 4]);
        let read = store.read(id(1), 0).await.unwrap();
        assert_eq!(read[0], Record { seq: 1, epoch: 0, at: at(1_000), event: created() });
        assert_eq!(read[1..], [first, second].concat());
        assert_eq!(store.read(id(1), 3).await.unwrap(), read[3..]);
        assert_eq!(store.read(id(1), 4).await.unwrap(), []);
        assert_eq!(store.read_page(id(1), 1, 2).unwrap(), read[1..3]);
        assert_eq!(store.definition(&definition_hash(&definition())).await.unwrap(), definition());
    });
    drop(store);
    assert_eq!(place.open().verify(id(1)).unwrap(), 4);
}

#[test]
fn nothing_is_answered_as_done_that_went_into_a_file_that_was_deleted() {
    for gone in ["", "-wal"] {
        let place = Place::new();
        let store = place.open();
        wait(async {
            create(&store, id(1)).await;
            append(&store, id(1), (1, 0), vec![succeeded("a")]).await.unwrap();
            let mut file = place.file().into_os_string();
            file.push(gone);
            std::fs::remove_file(file).unwrap();
            let error = append(&store, id(1), (2, 0), vec![succeeded("b")]).await.unwrap_err().to_string();
            assert!(error.contains("was deleted or replaced while it was in use"), "{error}");
            // Nor anything after it, though another may have put a file there.
            append(&store, id(1), (2, 0), vec![succeeded("b")]).await.unwrap_err();
        });
    }
}

#[test]
fn one_append_is_one_commit() {
    let place = Place::new();
    let store = place.open();
    wait(async {
        create(&store, id(1)).await;
        let before = store.commits();
        append(&store, id(1), (1, 0), (0..50).map(|step| succeeded(&format!("step{step}"))).collect()).await.unwrap();
        assert_eq!(store.commits() - before, 1);
    });
}

#[test]
fn what_waits_shares_a_commit_and_one_that_is_fenced_harms_no_other() {
    let place = Place::new();
    let store = Arc::new(Store::open_with(&place.file(), Access::ReadWrite, Options::default()).unwrap());
    wait(async {
        for run in 0..20 {
            create(&store, id(run)).await;
        }
        let before = store.commits();
        let lock = place.raw();
        lock.execute_batch("BEGIN IMMEDIATE").unwrap();
        let asked: Vec<_> = (0..20)
            .map(|run| {
                let store = Arc::clone(&store);
                let epoch = u64::from(run == 7);
                tokio::spawn(async move { append(&store, id(run), (1, epoch), vec![succeeded("a")]).await })
            })
            .collect();
        // Each task now runs until it waits for its answer: all are in the queue.
        tokio::task::yield_now().await;
        assert_eq!(store.commits(), before, "somebody else holds the database");
        lock.execute_batch("ROLLBACK").unwrap();
        for (run, answer) in (0..).zip(asked) {
            let answer = answer.await.unwrap();
            match run {
                7 => assert!(matches!(answer, Err(JournalError::Fenced { .. })), "{answer:?}"),
                _ => assert_eq!(answer.unwrap().len(), 1),
            }
            assert_eq!(store.verify(id(run)).unwrap(), if run == 7 { 1 } else { 2 });
        }
        // The first may have been alone; all the others waited together.
        assert!((1..=2).contains(&(store.commits() - before)), "{} commits", store.commits() - before);
    });
}

#[test]
fn who_lost_the_run_writes_nothing() {
    let place = Place::new();
    let (first, second) = (place.open(), place.open());
    wait(async {
        create(&first, id(1)).await;
        let old = first.own(id(1)).await.unwrap();
        append(&first, id(1), (1, old), vec![succeeded("a")]).await.unwrap();
        let new = second.own(id(1)).await.unwrap();
        assert_eq!(new, old + 1);
        let error = append(&first, id(1), (2, old), vec![succeeded("b")]).await.unwrap_err();
        assert!(matches!(&error, JournalError::Fenced { run, .. } if *run == id(1)), "{error}");
        assert!(error.to_string().contains("another process took it over (epoch 2, and this one has 1)"), "{error}");
        append(&second, id(1), (2, new), vec![succeeded("c")]).await.unwrap();
        assert_eq!(second.verify(id(1)).unwrap(), 3);
    });
}

#[test]
fn who_does_not_know_the_latest_event_writes_nothing() {
    let place = Place::new();
    let store = place.open();
    wait(async {
        create(&store, id(1)).await;
        append(&store, id(1), (1, 0), vec![succeeded("a")]).await.unwrap();
        for after in [0, 1, 3] {
            let error = append(&store, id(1), (after, 0), vec![succeeded("b")]).await.unwrap_err();
            assert!(error.to_string().contains(&format!("has 2 events, and this process knows {after}")), "{error}");
        }
        assert_eq!(store.verify(id(1)).unwrap(), 2);
    });
}

#[test]
fn an_unknown_run_and_a_run_created_twice_are_refused() {
    let place = Place::new();
    let store = place.open();
    wait(async {
        assert!(matches!(append(&store, id(9), (0, 0), vec![succeeded("a")]).await, Err(JournalError::NoSuchRun { .. })));
        assert!(matches!(store.own(id(9)).await, Err(JournalError::NoSuchRun { .. })));
        assert!(matches!(store.read(id(9), 0).await, Err(JournalError::NoSuchRun { .. })));
        create(&store, id(1)).await;
        assert!(matches!(store.create(id(1), &definition(), at(0), vec![created()]).await, Err(JournalError::Fenced { .. })));
        assert!(matches!(store.create(id(2), &definition(), at(0), vec![succeeded("a")]).await, Err(JournalError::Fenced { .. })));
        let other = Definition { root: "other".to_owned(), ..definition() };
        assert!(matches!(store.create(id(2), &other, at(0), vec![created()]).await, Err(JournalError::Unusable { .. })));
        assert!(matches!(store.read(id(2), 0).await, Err(JournalError::NoSuchRun { .. })));
    });
}

#[test]
fn a_locked_database_is_waited_for_only_so_long_and_used_once_it_is_free() {
    let place = Place::new();
    let store = place.open();
    wait(async {
        create(&store, id(1)).await;
        let lock = place.raw();
        lock.execute_batch("BEGIN EXCLUSIVE").unwrap();
        let error = append(&store, id(1), (1, 0), vec![succeeded("a")]).await.unwrap_err();
        assert!(matches!(error, JournalError::Locked { waited_ms: 90..=5_000, .. }), "{error:?}");
        assert!(error.to_string().contains("runsheet.db is locked by another process"), "{error}");
        assert_eq!(store.read(id(1), 0).await.unwrap().len(), 1, "reading does not need the lock");
        lock.execute_batch("ROLLBACK").unwrap();
        append(&store, id(1), (1, 0), vec![succeeded("a")]).await.unwrap();
        assert_eq!(store.verify(id(1)).unwrap(), 2);
    });
}

#[test]
fn a_full_disk_loses_nothing_that_was_answered_and_stops_the_writer() {
    let place = Place::new();
    let options = Options { max_pages: Some(40), ..Options::default() };
    let store = Store::open_with(&place.file(), Access::ReadWrite, options).unwrap();
    let committed = wait(async {
        create(&store, id(1)).await;
        let mut after = 1;
        let error = loop {
            let reason = "x".repeat(3_000);
            match append(&store, id(1), (after, 0), vec![Event::StepUnknown { step: "a".into(), reason }]).await {
                Ok(_) => after += 1,
                Err(error) => break error,
            }
            assert!(after < 200, "40 pages never filled");
        };
        assert!(matches!(error, JournalError::Full { .. }), "{error:?}");
        assert!(error.to_string().contains("is full: nothing more can be written to") && error.hint().contains("make room"));
        let commits = store.commits();
        let again = append(&store, id(1), (after, 0), vec![Event::RollbackEnded { complete: true }]).await.unwrap_err();
        assert!(matches!(again, JournalError::Full { .. }), "the first error is said again: {again:?}");
        assert_eq!(store.commits(), commits);
        after
    });
    drop(store);
    let store = place.open();
    assert_eq!(store.verify(id(1)).unwrap(), committed);
    wait(append(&store, id(1), (committed, 0), vec![succeeded("a")])).expect("there is room again");
}

#[test]
fn reading_goes_on_while_another_writes() {
    let place = Place::new();
    let (writer, reader) = (place.open(), open(&place.file(), Access::ReadOnly));
    assert!(reader.is_ok(), "a database that was just made can be read");
    let reader = reader.unwrap();
    wait(create(&writer, id(1)));
    let writing = std::thread::spawn(move || {
        wait(async {
            for after in 1..200 {
                append(&writer, id(1), (after, 0), vec![succeeded("a")]).await.unwrap();
            }
        });
        writer
    });
    let deadline = std::time::Instant::now() + Duration::from_secs(30);
    let mut seen = 0;
    while seen < 200 {
        assert!(std::time::Instant::now() < deadline, "only {seen} events became visible");
        // Each reading is a snapshot: its chain is whole up to its own head.
        let read = reader.verify(id(1)).unwrap();
        assert!(read >= seen, "{read} after {seen}");
        seen = read;
    }
    drop(writing.join().unwrap());
}

#[test]
fn a_reader_cannot_write() {
    let place = Place::new();
    wait(create(&place.open(), id(1)));
    let reader = open(&place.file(), Access::ReadOnly).unwrap();
    let error = wait(append(&reader, id(1), (1, 0), vec![succeeded("a")])).unwrap_err();
    assert!(error.to_string().contains("opened only to be read"), "{error}");
}
