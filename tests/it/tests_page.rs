//! The tests' own page, held: each action is in its table, and the tests that the table names are there.

use std::path::Path;

const HEAD: &str = "| action | tests | real server |";

/// The words in backticks of a cell.
fn quoted(cell: &str) -> Vec<&str> {
    cell.split('`').skip(1).step_by(2).collect()
}

/// Whether there is a module of this path, as a file or as a folder.
fn is_module(path: &str) -> bool {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it").join(path.replace("::", "/"));
    file.with_extension("rs").is_file() || file.join("mod.rs").is_file()
}

#[test]
fn every_action_is_in_the_table_with_tests_that_are_there() {
    let page = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/README.md")).expect("the page");
    let rows: Vec<Vec<&str>> = page
        .lines()
        .skip_while(|line| *line != HEAD)
        .skip(2)
        .take_while(|line| line.starts_with('|'))
        .map(|line| line.trim_matches('|').split('|').collect())
        .collect();
    let named: Vec<&str> = rows.iter().flat_map(|row| quoted(row[0])).collect();
    let catalogue = runsheet::app::catalogue().expect("the actions");
    for action in catalogue.iter().map(|entry| entry.name.as_str()).chain(["k6.run"]) {
        assert!(named.contains(&action), "tests/README.md says nowhere what `{action}` is tried against");
    }
    for row in &rows {
        let tests = quoted(row[1]);
        assert!(!tests.is_empty() && !row[2].trim().is_empty(), "{row:?}");
        for test in tests {
            assert!(is_module(test), "tests/README.md names `{test}`, and there is no such module in tests/it");
        }
    }
}
