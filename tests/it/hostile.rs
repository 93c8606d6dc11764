//! Playbooks, parameters and data that are meant to hurt, through the binary: a clear text, soon, in bounded memory, and nothing outside the
//! run's folder.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::errors::{Told, keeps_the_rules};
use super::support::{Ran, Stage, step_of};

/// A second is what is promised; a build without optimisation on a busy machine gets more.
const SOON: Duration = Duration::from_secs(5);
/// The most address space that the binary gets: stacks that are reserved and never touched count too.
const MEMORY: &str = "--as=268435456";

/// The binary with so much memory and no more, where the system can hold it to that.
fn bounded(stage: &Stage, args: &[&str]) -> Ran {
    let plain = stage.command(args);
    let limits = Command::new("prlimit").arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok();
    let mut command = if limits {
        let mut command = Command::new("prlimit");
        command.arg(MEMORY).arg(plain.get_program()).args(plain.get_args());
        command.current_dir(stage.root()).env_clear();
        command.envs(plain.get_envs().filter_map(|(name, value)| Some((name.to_owned(), value?.to_owned()))));
        command
    } else {
        plain
    };
    let output = command.stdin(Stdio::null()).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("what is printed is UTF-8");
    Ran::new(&args.join(" "), output.status, text(output.stdout), text(output.stderr))
}

/// That the playbook is refused soon, with a text that has this, by `run` and by `validate`.
#[track_caller]
fn refused(stage: &Stage, name: &str, wanted: &str) {
    for args in [&["run", name][..], &["validate", name]] {
        let began = Instant::now();
        let ran = bounded(stage, args);
        let took = began.elapsed();
        assert!(took < SOON, "{name} took {took:?}");
        let told = Told::of(stage, ran, 3);
        let text = format!("{}{}", told.out, told.err);
        assert!(text.contains(wanted), "{name}: `{wanted}` is not told:\n{}", text.chars().take(3000).collect::<String>());
        assert!(text.len() < 200_000, "{name}: {} bytes are told", text.len());
    }
    assert!(!stage.root().join("state").exists(), "nothing is recorded");
}

#[track_caller]
fn refused_text(name: &str, yaml: &str, wanted: &str) {
    let stage = Stage::new().playbook(name, yaml);
    refused(&stage, name, wanted);
}

fn with_expression(expression: &str) -> String {
    format!("playbook: cel\nsummary: s\nsteps:\n  - {{ id: a, uses: noop, when: \"${{{{ {expression} }}}}\" }}\n")
}

#[test]
fn an_alias_bomb() {
    let mut bomb = String::from("playbook: bomb\nsummary: s\nl0: &l0 [x]\n");
    for level in 1..40 {
        let _ = writeln!(bomb, "l{level}: &l{level} [{}]", vec![format!("*l{}", level - 1); 10].join(","));
    }
    refused_text("bomb", &bomb, "anchors (`&name`) are not part of the language");
}

#[test]
fn a_hundred_thousand_brackets() {
    refused_text("brackets", &"[".repeat(100_000), "nested more than 64 deep");
    refused_text("braces", &format!("playbook: braces\nsteps: {}", "{a: ".repeat(100_000)), "nested more than 64 deep");
}

#[test]
fn fifty_megabytes() {
    let stage = Stage::new();
    stage.write_playbook("huge", "playbook: huge\nsummary: s\nsteps:\n  - { id: a, uses: noop }\n#");
    let file = std::fs::OpenOptions::new().append(true).open(stage.root().join("playbooks/huge.yaml")).unwrap();
    file.set_len(50 << 20).unwrap();
    refused(&stage, "huge", "a playbook has at most 1048576");
}

#[test]
fn expressions_without_end() {
    refused_text("cel", &with_expression(&"(".repeat(100_000)), "at most 4096 are allowed");
    refused_text("cel", &with_expression(&vec!["1"; 50_000].join(" + ")), "at most 4096 are allowed");
    refused_text("cel", &with_expression(&format!("{}1{}", "(".repeat(1500), ")".repeat(1500))), "cel.yaml:4:");
    refused_text("cel", &with_expression(&vec!["1"; 1000].join("+")), "cel.yaml:4:");
}

#[test]
fn playbooks_that_call_themselves() {
    let calls = |name: &str, other: &str| {
        format!("playbook: {name}\nsummary: s\nsteps:\n  - {{ id: again, uses: playbook, with: {{ name: {other} }} }}\n")
    };
    refused_text("me", &calls("me", "me"), "`me` calls itself");
    let stage = Stage::new().playbook("one", &calls("one", "two")).playbook("two", &calls("two", "one"));
    refused(&stage, "one", "these playbooks call each other: ");
}

#[test]
fn bytes_that_are_no_text() {
    let stage = Stage::new();
    let file = stage.root().join("playbooks/latin.yaml");
    std::fs::write(&file, b"playbook: latin\nsummary: caf\xe9 open\nsteps: []\n").unwrap();
    refused(&stage, "latin", "the file is not UTF-8");
    std::fs::write(&file, b"playbook: latin\nsummary: a\0b\nsteps: []\n").unwrap();
    refused(&stage, "latin", "a NUL character");
    std::fs::write(&file, b"playbook: latin\nsummary: \x1b[31mred\nsteps: []\n").unwrap();
    refused(&stage, "latin", "control character U+001B");
    refused_text("tag", "playbook: tag\nsummary: s\nsteps:\n  - { id: a, uses: !x }\n", "tags (`!x`) are not part of the language");
    refused_text("tag", "!x", "tags (`!x`) are not part of the language");
}

#[test]
fn ids_that_lead_elsewhere_are_no_ids() {
    for id in ["../../etc", "a/b", "..", "/tmp/x", "a\\nb", "A", ""] {
        refused_text("path", &format!("playbook: path\nsummary: s\nsteps:\n  - {{ id: \"{id}\", uses: noop }}\n"), "path.yaml:4:11");
    }
}

#[test]
fn a_playbook_that_leads_out_of_the_folder() {
    let stage = Stage::new();
    let outside = stage.path("outside.yaml");
    std::fs::write(&outside, "playbook: link\nsummary: s\nsteps:\n  - { id: a, uses: noop }\n").unwrap();
    std::os::unix::fs::symlink(&outside, stage.root().join("playbooks/link.yaml")).unwrap();
    refused(&stage, "link", "is a symbolic link that leads out of the playbooks' folder");
}

/// A run's files, below the state's folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_type().unwrap().is_dir() {
            found.extend(files(&entry.path()));
        } else {
            found.push(entry.path());
        }
    }
    found
}

#[test]
fn data_is_never_evaluated() {
    let stage = Stage::new().env("API_TOKEN", "hunter2-of-the-tests").playbook(
        "data",
        r#"playbook: data
summary: Text stays text
params:
  text: { type: string }
secrets:
  token: { env: API_TOKEN }
steps:
  - id: first
    uses: command
    with: { argv: [printf, "%s\n", "${{ params.text }}"], env: { TOKEN: "${{ secrets.token }}" } }
  - id: second
    needs: [first]
    uses: command
    with: { argv: [printf, "%s\n", "${{ steps.first.outputs.stdout }}"] }
  - id: third
    needs: [second]
    uses: noop
    when: ${{ steps.second.outputs.stdout == params.text }}
"#,
    );
    for text in
        ["${{ secrets.token }}", "${{ 1 + 1 }}", "$(touch hacked); `touch hacked`", "'; touch hacked #", "{{ x }} %s\\n !x &a *a", "-n"]
    {
        let ran = stage.run(&["run", "data", "-p", &format!("text={text}")]).code(0);
        keeps_the_rules(&ran);
        let status = stage.status_json();
        assert_eq!(status["params"]["text"], text);
        for step in ["first", "second"] {
            assert_eq!(step_of(&status, step)["outputs"]["stdout"], text, "{step}: {status}");
        }
        assert_eq!(step_of(&status, "third")["status"], "succeeded", "{status}");
        let _ = ran.has_nowhere("hunter2");
    }
    assert!(!stage.root().join("hacked").exists());
}

#[test]
fn items_that_would_lead_elsewhere_stay_in_the_runs_folder() {
    let stage = Stage::new().playbook(
        "each",
        "playbook: each\nsummary: s\nparams:\n  items: { type: list }\nsteps:\n  - id: say\n    for_each: { items: \"${{ params.items }}\" }\n    uses: command\n    \
         with: { argv: [printf, \"%s\", \"${{ item }}\"] }\n",
    );
    let long = "k".repeat(5000);
    let items =
        ["../../../escaped", "/tmp/escaped", "..", ".", "a/b", "new\nline", "nul-free\ttab", "ünï", "]", "[x]", "~", long.as_str(), ""];
    let before = files(&stage.path("")).into_iter().filter(|path| !path.starts_with(stage.root().join("state"))).collect::<Vec<_>>();
    let ran = stage.run(&["run", "each", "-p", &format!("items={}", serde_json::json!(items))]).code(0);
    keeps_the_rules(&ran);
    let status = stage.status_json();
    let steps: Vec<_> = status["steps"].as_array().unwrap().iter().filter(|step| step["path"] != "say").collect();
    assert_eq!(steps.len(), items.len(), "{status}");
    assert!(steps.iter().all(|step| step["status"] == "succeeded"));
    let mut printed: Vec<String> = files(&stage.root().join("state"))
        .iter()
        .filter(|path| path.extension().is_some_and(|extension| extension == "stdout"))
        .map(|path| std::fs::read_to_string(path).unwrap())
        .collect();
    printed.sort();
    let mut wanted = items.map(str::to_owned);
    wanted.sort();
    assert_eq!(printed, wanted, "each has a file of its own");
    let after = files(&stage.path("")).into_iter().filter(|path| !path.starts_with(stage.root().join("state"))).collect::<Vec<_>>();
    assert_eq!(before.len(), after.len(), "nothing was made elsewhere: {after:?}");
}
