//! What people read when something cannot be done: what happened, to what, where, and what to do. Here is how it is looked at; a file for each
//! kind of error beside this one.
//!
//! Invariant: each text that a test looks at goes through [`Told::of`], which holds all of them to the same rules.

use regex::Regex;

use super::support::{Ran, Stage};

/// What must stand in nothing that is printed: the system's and the language's own words, which tell a person nothing.
const NEVER: [&str; 17] = [
    "untagged enum",
    r"os error \d+",
    r"(?i)\bpanicked\b",
    "RUST_BACKTRACE",
    "runsheet itself failed",
    r"\bSome\(",
    r"\bErr\(",
    r"\bOk\(",
    r"\b[A-Z][A-Za-z]+ \{ [a-z_]+: ",
    r"\b[A-Z][A-Za-z]+Error\b",
    r"\bErrorKind\b",
    r"Utf8Error|ParseIntError|io::Error",
    r"\breqwest::|\bhyper::|\brusqlite::|\bkube::",
    r"\.rs:\d+",
    r"(?i)error code \d+: ",
    "\u{1b}",
    "\0",
];

/// What a command told, made comparable: the stage's root is `ROOT`, its folder `STAGE`, ids and ports and times have no digits.
pub struct Told {
    /// Standard error.
    pub err: String,
    /// Standard output.
    pub out: String,
}

impl Told {
    /// Of a command that ended with this exit code.
    #[track_caller]
    pub fn of(stage: &Stage, ran: Ran, code: i32) -> Self {
        let ran = ran.code(code);
        keeps_the_rules(&ran);
        Self { err: plain(stage, &ran.stderr), out: plain(stage, &ran.stdout) }
    }
}

/// That neither stream has words that tell a person nothing, and that an error says what to do.
#[track_caller]
pub fn keeps_the_rules(ran: &Ran) {
    for never in NEVER {
        let never = Regex::new(never).expect("a pattern");
        for text in [&ran.stderr, &ran.stdout] {
            assert!(!never.is_match(text), "`{never}` is in what people read: {ran}");
        }
    }
    if ran.stderr.starts_with("error: ") {
        assert!(ran.stderr.contains("\n hint: "), "an error says what to do: {ran}");
    }
}

/// What differs from run to run, by a word.
fn plain(stage: &Stage, text: &str) -> String {
    let root = stage.root();
    let folder = root.parent().expect("the stage's folder");
    let mut text = text.replace(&*root.to_string_lossy(), "ROOT").replace(&*folder.to_string_lossy(), "STAGE");
    for (pattern, word) in [
        (r"\b[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}\b", "RUN-ID"),
        (r"\b(run|resume|status|cancel|skip|retry|approve|reject|mark-done|rollback|logs|verify) [0-9a-f]{8}\b", "$1 RUN"),
        (r"\b\d\d:\d\d:\d\d\b", "TIME"),
        (r"\b\d{4}-\d\d-\d\dTTIMEZ\b", "WHEN"),
        (r"\b127\.0\.0\.1:\d+", "127.0.0.1:PORT"),
        (r"\bprocess \d+\b", "process PID"),
        (r"\b\d+ ms\b", "N ms"),
    ] {
        text = Regex::new(pattern).expect("a pattern").replace_all(&text, word).into_owned();
    }
    text.trim_end().to_owned()
}

/// That the command ends with this exit code, and tells on standard error just this.
#[track_caller]
pub fn tells(stage: &Stage, args: &[&str], code: i32, wanted: &str) {
    let told = Told::of(stage, stage.run(args), code);
    same(&told.err, wanted, args);
}

/// That the command ends with this exit code, with these lines somewhere in what it tells.
#[track_caller]
pub fn tells_of(stage: &Stage, args: &[&str], code: i32, wanted: &[&str]) {
    let told = Told::of(stage, stage.run(args), code);
    for line in wanted {
        assert!(
            told.err.contains(line) || told.out.contains(line),
            "`{line}` is not told by `runsheet {}`:\n--- stdout\n{}\n--- stderr\n{}",
            args.join(" "),
            told.out,
            told.err
        );
    }
}

#[track_caller]
fn same(told: &str, wanted: &str, args: &[&str]) {
    assert!(told == wanted, "`runsheet {}` tells\n{told}\n--- and should tell\n{wanted}\n", args.join(" "));
}

/// A playbook that does nothing.
pub const OK: &str = "playbook: ok\nsummary: Nothing\nsteps:\n  - { id: first, uses: noop }\n";
/// A playbook that waits at a gate.
pub const GATE: &str =
    "playbook: gate\nsummary: A gate\nsteps:\n  - { id: go_live, uses: approve }\n  - { id: after, needs: [go_live], uses: noop }\n";
