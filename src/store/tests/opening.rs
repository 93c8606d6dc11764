//! What can be opened, how it lies on the disk, and what people are told where it cannot.

use std::os::unix::fs::PermissionsExt;

use super::*;

fn error(file: &Path, access: Access) -> JournalError {
    open(file, access).err().expect("it cannot be opened")
}

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).expect("it is there").permissions().mode() & 0o777
}

#[test]
fn a_new_database_is_for_its_owner_alone() {
    let place = Place::new();
    let file = place.folder.path().join("new/state/runsheet.db");
    let store = open(&file, Access::ReadWrite).unwrap();
    wait(create(&store, id(1)));
    assert_eq!(mode(&file), 0o600);
    assert_eq!(mode(&file.with_file_name("runsheet.db-wal")), 0o600);
    assert_eq!(mode(&file.with_file_name("runsheet.db-shm")), 0o600);
    assert_eq!((mode(file.parent().unwrap()), mode(&place.folder.path().join("new"))), (0o700, 0o700));
}

#[test]
fn it_is_durable_and_strict() {
    let place = Place::new();
    let store = place.open();
    let raw = place.raw();
    let text = |pragma: &str| raw.pragma_query_value(None, pragma, |row| row.get::<_, String>(0)).unwrap();
    assert_eq!(text("journal_mode"), "wal");
    let connection = super::super::connection::open_writer(store.file(), &Options::default()).unwrap();
    let synchronous: i64 = connection.pragma_query_value(None, "synchronous", |row| row.get(0)).unwrap();
    assert_eq!(synchronous, 2, "FULL");
    let lax: i64 = raw
        .query_row(
            "SELECT count(*) FROM pragma_table_list WHERE type = 'table' AND schema = 'main' AND strict = 0 AND name NOT LIKE 'sqlite%'",
            [],
            |row| row.get(0),
        )
        .unwrap();
    assert_eq!(lax, 0, "tables that are not STRICT");
}

#[test]
fn several_processes_may_make_it_at_once() {
    let place = Place::new();
    let file = place.file();
    let barrier = std::sync::Barrier::new(6);
    std::thread::scope(|scope| {
        let opened: Vec<_> = (0..6_u128)
            .map(|number| {
                let (file, barrier) = (&file, &barrier);
                scope.spawn(move || {
                    barrier.wait();
                    let store = Store::open_with(file, Access::ReadWrite, Options::default())?;
                    wait(store.create(id(number), &definition(), at(0), vec![created()]))
                })
            })
            .collect();
        for opened in opened {
            opened.join().unwrap().unwrap();
        }
    });
    assert_eq!(place.open().runs(10, &super::super::Filter::default()).unwrap().runs.len(), 6);
}

#[test]
fn a_newer_database_is_refused_and_left_as_it_is() {
    let place = Place::new();
    drop(place.open());
    place.raw().pragma_update(None, "user_version", 99).unwrap();
    for access in [Access::ReadWrite, Access::ReadOnly] {
        let error = error(&place.file(), access);
        assert!(matches!(error, JournalError::Newer { found: 99, known: 1, .. }), "{error:?}");
        assert!(error.to_string().contains("written by a newer runsheet (schema 99; this one knows up to 1)"), "{error}");
    }
    let version: i64 = place.raw().pragma_query_value(None, "user_version", |row| row.get(0)).unwrap();
    assert_eq!(version, 99);
}

#[test]
fn a_database_of_another_program_is_refused_and_left_as_it_is() {
    let place = Place::new();
    place.raw().execute_batch("CREATE TABLE theirs (a)").unwrap();
    let before = std::fs::read(place.file()).unwrap();
    let text = error(&place.file(), Access::ReadWrite).to_string();
    assert!(text.contains("a SQLite database of another program"), "{text}");
    assert_eq!(std::fs::read(place.file()).unwrap(), before);
}

#[test]
fn what_cannot_be_opened_is_said_in_words() {
    let place = Place::new();
    let text = error(place.folder.path(), Access::ReadWrite).to_string();
    assert!(text.contains("it is a folder"), "{text}");
    let text = error(&place.file(), Access::ReadOnly).to_string();
    assert!(text.contains("does not exist"), "{text}");
    assert!(!place.file().exists(), "a reader makes nothing");
    std::fs::write(place.file(), "").unwrap();
    let text = error(&place.file(), Access::ReadOnly).to_string();
    assert!(text.contains("it is empty"), "{text}");
    let below = place.file().join("runsheet.db");
    let text = error(&below, Access::ReadWrite).to_string();
    assert!(text.contains("a part of the path is a file") && !text.contains("os error"), "{text}");
}

#[test]
fn a_folder_that_cannot_be_written_is_said_in_words() {
    let place = Place::new();
    let folder = place.folder.path().join("theirs");
    std::fs::create_dir(&folder).unwrap();
    std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o500)).unwrap();
    // Permissions do not bind root, but nobody can make a file in `/proc`.
    let file = if rustix::process::geteuid().is_root() { PathBuf::from("/proc/runsheet.db") } else { folder.join("runsheet.db") };
    let text = error(&file, Access::ReadWrite).to_string();
    assert!(text.contains("it cannot be made in") && !text.contains("os error"), "{text}");
}

#[test]
fn numbers_in_the_environment_must_be_numbers() {
    // Through a second process: changing this one's environment would disturb other tests.
    let output = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "store::tests::opening::options_of_the_environment", "--nocapture"])
        .env("RUNSHEET_TEST_OPTIONS", "1")
        .env("RUNSHEET_BUSY_TIMEOUT_MS", "250")
        .env("RUNSHEET_MAX_PAGES", "many")
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}

/// What the test above runs with an environment of its own. Without one, the defaults hold.
#[test]
fn options_of_the_environment() {
    if std::env::var_os("RUNSHEET_TEST_OPTIONS").is_some() {
        assert_eq!(
            Options::from_env().unwrap_err(),
            "RUNSHEET_MAX_PAGES is `many`, and must be a whole number: correct it, or leave it out"
        );
        let text = Store::open(&Place::new().file(), Access::ReadWrite).err().expect("it is no number").to_string();
        assert!(text.contains("RUNSHEET_MAX_PAGES is `many`"), "{text}");
    } else {
        assert_eq!(Options::default().busy_timeout, Duration::from_secs(5));
    }
}

/// Each schema that was ever released is kept as a database, and opens. To add one: `RUNSHEET_WRITE_FIXTURE=tests/fixtures/databases/vN.db`.
#[test]
fn databases_of_every_schema_open() {
    if let Some(file) = std::env::var_os("RUNSHEET_WRITE_FIXTURE") {
        write_fixture(Path::new(&file));
    }
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/databases");
    for schema in 1..=super::super::schema::KNOWN {
        let place = Place::new();
        std::fs::copy(fixtures.join(format!("v{schema}.db")), place.file()).unwrap();
        let store = place.open();
        let listed = store.runs(10, &super::super::Filter::default()).unwrap();
        assert_eq!((listed.runs.len(), listed.damaged.len()), (1, 0));
        let run = listed.runs[0].run;
        assert_eq!((listed.runs[0].playbook.as_str(), listed.runs[0].owed, listed.runs[0].events), ("pre-event", 1, 4));
        assert_eq!(store.verify(run).unwrap(), 4);
        let epoch = wait(store.own(run)).unwrap();
        wait(append(&store, run, (4, epoch), vec![succeeded("after")])).expect("it goes on");
        assert_eq!(wait(store.inbox(run)).unwrap().len(), 1);
        assert_eq!(store.rebuild().unwrap().runs, 1);
    }
}

fn write_fixture(file: &Path) {
    let store = open(file, Access::ReadWrite).expect("it can be written");
    wait(async {
        create(&store, id(1)).await;
        let epoch = store.own(id(1)).await.unwrap();
        let owned = Event::RunOwned { pid: 1, host: "here".to_owned(), by: "me@here".to_owned() };
        append(&store, id(1), (1, epoch), vec![owned, scaling("scale", 1, 2, 8), succeeded("scale")]).await.unwrap();
        store.instruct(id(1), inbox::instruction(1)).await.unwrap();
    });
}
