//! Playbooks that call others, and folders of playbooks.

use std::fs;
use std::path::Path;

use super::*;

fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (name, text) in files {
        fs::write(dir.path().join(name), text).unwrap();
    }
    dir
}

fn invalid(dir: &Path, name: &str) -> Vec<(String, u32, u32, String, String)> {
    match load_definition(dir, name, &catalogue()) {
        Err(LoadError::Invalid(found)) => found
            .problems
            .iter()
            .map(|one| {
                let file = Path::new(&one.path).file_name().unwrap().to_string_lossy().into_owned();
                (file, one.line, one.column, one.message.clone(), one.hint.clone().unwrap_or_default())
            })
            .collect(),
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("this was accepted"),
    }
}

fn calling(name: &str, called: &str, more: &str) -> String {
    format!("playbook: {name}\nsummary: s\nsteps:\n  - id: a\n    uses: playbook\n    with:\n      name: {called}\n{more}")
}

const CALLED: &str = "playbook: called\nsummary: s\nparams:\n  level: { type: string, enum: [low, high] }\n  n: { type: integer, help: How many }\nsteps:\n  - { id: a, uses: k8s.get, with: { object: x } }\noutputs:\n  size: 1\n";

#[test]
fn a_definition_holds_all_that_is_called() {
    let more = "      params: { level: low, n: \"${{ 1 }}\" }\n  - id: b\n    needs: [a]\n    uses: noop\n    when: ${{ steps.a.outputs.size > 0 }}\n";
    let dir = folder(&[("outer.yaml", &calling("outer", "called", more)), ("called.yaml", CALLED)]);
    let definition = load_definition(dir.path(), "outer", &catalogue()).unwrap();
    assert_eq!(definition.playbooks.keys().collect::<Vec<_>>(), ["called", "outer"]);
    assert!(definition.root().needs_target, "what it calls needs one");
    assert_eq!(definition.sources["called"], CALLED);
}

#[test]
fn calls_are_checked_against_what_is_called() {
    let more = "      params:\n        level: hihg\n        leevl: low\n  - id: b\n    needs: [a]\n    uses: noop\n    when: ${{ steps.a.outputs.sise > 0 }}\n";
    let dir = folder(&[("outer.yaml", &calling("outer", "called", more)), ("called.yaml", CALLED)]);
    assert_eq!(
        invalid(dir.path(), "outer"),
        [
            ("outer.yaml".to_owned(), 9, 9, "playbook `called` needs `n` (How many)".to_owned(), "give it under `params:`".to_owned()),
            (
                "outer.yaml".to_owned(),
                9,
                16,
                "parameter `level` of `called` cannot be `hihg`".to_owned(),
                "did you mean `high`?".to_owned()
            ),
            ("outer.yaml".to_owned(), 10, 9, "playbook `called` has no parameter `leevl`".to_owned(), "did you mean `level`?".to_owned()),
            ("outer.yaml".to_owned(), 14, 15, "playbook `called` has no output `sise`".to_owned(), "did you mean `size`?".to_owned()),
        ]
    );
}

#[test]
fn playbooks_that_call_themselves_are_shown_the_way_round() {
    let dir = folder(&[
        ("self.yaml", &calling("self", "self", "")),
        ("a.yaml", &calling("a", "b", "")),
        ("b.yaml", &calling("b", "c", "")),
        ("c.yaml", &calling("c", "a", "")),
    ]);
    let found = invalid(dir.path(), "self");
    assert_eq!((found[0].1, found[0].2, found[0].3.as_str()), (7, 13, "`self` calls itself"));
    let found = invalid(dir.path(), "a");
    assert_eq!(found.len(), 1);
    assert_eq!((found[0].0.as_str(), found[0].3.as_str()), ("c.yaml", "these playbooks call each other: a → b → c → a"));
}

#[test]
fn unknown_playbooks_come_with_a_suggestion() {
    let dir = folder(&[("outer.yaml", &calling("outer", "caled", "")), ("called.yaml", CALLED)]);
    let found = invalid(dir.path(), "outer");
    assert_eq!((found[0].1, found[0].2, found[0].4.as_str()), (7, 13, "did you mean `called`?"));
    match load_definition(dir.path(), "outr", &catalogue()) {
        Err(LoadError::Unknown { hint, .. }) => assert_eq!(hint, "did you mean `outer`?"),
        other => panic!("{other:?}"),
    }
    for name in ["../outer", "", "outer.yaml", "/etc/passwd"] {
        assert!(matches!(load_definition(dir.path(), name, &catalogue()), Err(LoadError::Unknown { .. })), "{name}");
    }
}

#[test]
fn a_problem_in_a_called_playbook_names_its_file() {
    let dir = folder(&[
        ("outer.yaml", &calling("outer", "called", "      params: { level: low, n: 1 }\n")),
        ("called.yaml", &CALLED.replace("k8s.get", "k8s.got")),
    ]);
    let found = invalid(dir.path(), "outer");
    assert_eq!((found[0].0.as_str(), found[0].1, found[0].2), ("called.yaml", 7, 20));
    assert_eq!((found[0].3.as_str(), found[0].4.as_str()), ("there is no action `k8s.got`", "did you mean `k8s.get`?"));
}

#[cfg(unix)]
#[test]
fn links_and_folders_in_place_of_files_are_refused() {
    let outside = folder(&[("secret.yaml", CALLED)]);
    let dir = folder(&[]);
    std::os::unix::fs::symlink(outside.path().join("secret.yaml"), dir.path().join("called.yaml")).unwrap();
    std::os::unix::fs::symlink("gone.yaml", dir.path().join("broken.yaml")).unwrap();
    fs::create_dir(dir.path().join("folder.yaml")).unwrap();
    assert!(invalid(dir.path(), "called")[0].3.contains("is a symbolic link that leads out of the playbooks' folder"));
    assert!(invalid(dir.path(), "broken")[0].3.contains("is a symbolic link to a file that is not there"));
    assert!(invalid(dir.path(), "folder")[0].3.contains("is a directory, not a playbook"));
}

#[test]
fn a_folder_is_listed_by_name_with_what_is_broken() {
    let dir = folder(&[
        ("b.yaml", "playbook: b\nsummary: The second\nsteps: [\n"),
        ("a.yaml", "summary: >\n  The first\nplaybook: a\n"),
        ("c.yaml", "playbook: d\nsummary: x\n"),
        ("e.yaml", "a: b: c\n"),
        ("f.yml", ""),
        ("notes.txt", ""),
    ]);
    let listed = list(dir.path()).unwrap();
    let shown: Vec<_> =
        listed.iter().map(|one| (one.name.as_str(), one.summary.as_str(), one.problem.as_deref().unwrap_or_default())).collect();
    assert_eq!(shown[0], ("a", "The first", ""));
    assert_eq!(shown[1], ("b", "The second", ""));
    assert_eq!(shown[2], ("c", "x", "it is called `d`, and its file c.yaml"));
    assert!(shown[3].2.starts_with("line 1: it is not YAML"), "{:?}", shown[3]);
    assert_eq!(shown[4].2, "rename it to f.yaml: playbooks end in `.yaml`");
    assert_eq!(shown.len(), 5);
    assert!(list(&dir.path().join("nowhere")).unwrap().is_empty());
}
