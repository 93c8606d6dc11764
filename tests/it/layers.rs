//! The layer table of the design, held: every `crate::` path in `src` leads to a module that its own module may use.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Who may use whom. `expr` stands on `model`'s templates and durations; `app` wires everything together.
const LAYERS: &[(&str, &[&str])] = &[
    ("model", &[]),
    ("expr", &["model"]),
    ("playbook", &["model", "expr"]),
    ("machine", &["model", "expr"]),
    ("ports", &["model"]),
    ("environment", &["model", "expr"]),
    ("process", &[]),
    ("store", &["model", "ports"]),
    ("actions", &["model", "expr", "ports", "environment", "process"]),
    ("plugins", &["model", "ports", "process"]),
    ("sandbox", &[]),
    ("planner", &["model", "expr", "playbook", "machine", "ports"]),
    ("engine", &["model", "machine", "ports", "environment"]),
    ("report", &["model"]),
    ("notify", &["model", "ports", "environment", "process"]),
    (
        "app",
        &[
            "model",
            "expr",
            "playbook",
            "machine",
            "ports",
            "environment",
            "process",
            "store",
            "actions",
            "plugins",
            "sandbox",
            "planner",
            "engine",
            "report",
            "notify",
        ],
    ),
    ("server", &["app", "report", "model", "ports"]),
    ("cli", &["app", "server", "report", "model"]),
];

fn rust_files(folder: &Path, found: &mut Vec<PathBuf>) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for path in entries.filter_map(Result::ok).map(|entry| entry.path()) {
        if path.is_dir() {
            rust_files(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// The modules that a text's `crate::` paths lead to, `use crate::{a, b}` included; comments are left out.
fn uses(text: &str) -> BTreeSet<String> {
    let code: String = text.lines().map(|line| line.split("//").next().unwrap_or_default()).collect::<Vec<_>>().join("\n");
    let name = |text: &str| text.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect::<String>();
    let mut found = BTreeSet::new();
    for (at, _) in code.match_indices("crate::") {
        let rest = &code[at + "crate::".len()..];
        match rest.strip_prefix('{') {
            None => {
                found.insert(name(rest));
            }
            Some(list) => {
                let mut depth = 0;
                let mut start = true;
                for (at, c) in list.char_indices() {
                    match c {
                        '{' => depth += 1,
                        '}' if depth == 0 => break,
                        '}' => depth -= 1,
                        ',' if depth == 0 => start = true,
                        c if start && !c.is_whitespace() => {
                            found.insert(name(&list[at..]));
                            start = false;
                        }
                        _ => {}
                    }
                }
            }
        }
    }
    found
}

#[test]
fn every_module_uses_only_what_its_layer_may() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let layers: BTreeMap<&str, &[&str]> = LAYERS.iter().copied().collect();
    let mut files = Vec::new();
    rust_files(&source, &mut files);
    assert!(files.len() > 100, "the source was not found");
    let mut wrong = Vec::new();
    for file in files {
        let inside = file.strip_prefix(&source).unwrap();
        let module = inside.components().next().unwrap().as_os_str().to_string_lossy().trim_end_matches(".rs").to_owned();
        if module == "lib" || module == "main" {
            continue;
        }
        let Some(allowed) = layers.get(module.as_str()) else {
            wrong.push(format!("{}: the module `{module}` is not in the table", inside.display()));
            continue;
        };
        for used in uses(&std::fs::read_to_string(&file).unwrap()) {
            if used != module && !allowed.contains(&used.as_str()) {
                wrong.push(format!("{}: `{module}` may not use `{used}`", inside.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_machine_reads_no_clock_and_draws_no_randomness() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut wrong = Vec::new();
    for (folder, forbidden) in [
        ("machine", &["Timestamp::now", "SystemTime", "Instant", "now_v7", "new_v4", "rand::", "std::fs", "tokio", "async fn"][..]),
        ("model", &["Timestamp::now", "SystemTime", "Instant", "std::fs", "tokio", "rusqlite", "async fn"][..]),
        ("report", &["std::fs", "rusqlite", "tokio"][..]),
    ] {
        let mut files = Vec::new();
        rust_files(&source.join(folder), &mut files);
        for file in files {
            let text = std::fs::read_to_string(&file).unwrap();
            for word in forbidden {
                if text.contains(word) {
                    wrong.push(format!("{}: {word}", file.strip_prefix(&source).unwrap().display()));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn only_their_modules_know_the_outside() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    rust_files(&source, &mut files);
    let mut wrong = Vec::new();
    for (word, homes) in [
        ("rusqlite::", &["store"][..]),
        ("granit_parser::", &["playbook"][..]),
        ("cel::", &["expr"][..]),
        ("axum::", &["sandbox", "server"][..]),
    ] {
        for file in &files {
            let inside = file.strip_prefix(&source).unwrap();
            let home = inside.components().next().unwrap().as_os_str().to_string_lossy().into_owned();
            let tests = inside.to_string_lossy().contains("test") || inside.to_string_lossy().contains("stand_in");
            let text = std::fs::read_to_string(file).unwrap();
            let named = text.lines().map(|line| line.split("//").next().unwrap_or_default()).any(|line| {
                line.match_indices(word).any(|(at, _)| !line[..at].ends_with(|c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':'))
            });
            if named && !homes.contains(&home.as_str()) && !tests {
                wrong.push(format!("{}: {word}", inside.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
