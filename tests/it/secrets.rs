//! A secret is never written: not in the store, a log, an error, a process list or what is printed, whoever repeats it and however encoded.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use super::errors::keeps_the_rules;
use super::support::{Ran, Stage, until};

/// With what URLs, base64 and JSON write otherwise.
const SECRET: &str = "hunter2/of+the \"tests\"=8c41";
/// Another, which only goes over standard input.
const SECOND: &str = "swordfish-of-the-tests-77b2";

/// What must be nowhere: the values, and what stays of them encoded.
fn forms() -> BTreeMap<String, &'static str> {
    let mut forms = BTreeMap::new();
    for secret in [SECRET, SECOND] {
        forms.insert(secret.to_owned(), "plain");
        forms.insert(serde_json::Value::String(secret.to_owned()).to_string().trim_matches('"').to_owned(), "as JSON");
        forms.insert(STANDARD.encode(secret), "base64");
        forms.insert(URL_SAFE_NO_PAD.encode(secret), "base64 of URLs");
        // In the middle of something else: without the characters that its neighbours share.
        for before in [" ", "  "] {
            let encoded = STANDARD.encode(format!("{before}{secret}"));
            forms.insert(encoded[4..encoded.len() - 4].to_owned(), "base64 within another");
        }
        forms.insert(utf8_percent_encode(secret, NON_ALPHANUMERIC).to_string(), "percent-encoded");
        forms.insert(secret.replace('/', "%2F").replace('+', "%2B").replace(' ', "%20").replace('"', "%22").replace('=', "%3D"), "URL");
    }
    forms
}

/// A server that answers with all that it was told, in every form, and fails.
fn repeats() -> (u16, std::thread::JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let serving = std::thread::spawn(move || {
        let mut heard = Vec::new();
        while heard.len() < 2 {
            let (stream, _) = listener.accept().unwrap();
            heard.push(repeat(stream));
        }
        heard
    });
    (port, serving)
}

fn repeat(mut stream: TcpStream) -> String {
    let mut text = Vec::new();
    let mut part = [0; 4096];
    while !text.windows(4).any(|end| end == b"\r\n\r\n") {
        let read = stream.read(&mut part).unwrap();
        assert!(read > 0, "the request ended early");
        text.extend_from_slice(&part[..read]);
    }
    let heard = String::from_utf8(text).unwrap();
    let value = heard.lines().find_map(|line| line.strip_prefix("authorization: Bearer ")).unwrap_or(SECRET).to_owned();
    let all = [
        value.clone(),
        STANDARD.encode(&value),
        STANDARD.encode(format!("ana:{value}")),
        utf8_percent_encode(&value, NON_ALPHANUMERIC).to_string(),
        heard.replace("\r\n", " | "),
    ];
    let body = serde_json::json!({ "message": format!("refused: {}", all.join(" ")), value.clone(): all }).to_string();
    let answer = format!(
        "HTTP/1.1 422 No\r\ncontent-type: application/json\r\nx-repeated: {value}\r\nlocation: /?token={}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
        all[3],
        body.len()
    );
    stream.write_all(answer.as_bytes()).unwrap();
    heard
}

fn playbook(port: u16) -> String {
    format!(
        r#"playbook: leaky
summary: Everybody repeats what they were told
secrets:
  token: {{ env: API_TOKEN }}
  second: {{ env: SECOND_TOKEN }}
steps:
  - id: loud
    uses: command
    with:
      shell: true
      env: {{ TOKEN: "${{{{ secrets.token }}}}" }}
      stdin: ${{{{ secrets.second }}}}
      script: |
        echo "plain $TOKEN"; echo "base64 $(printf %s "$TOKEN" | base64)" >&2; printf %s "x:$TOKEN" | base64
        second=$(cat); echo "second $second and $(printf %s "$second" | base64)"
        printf '%s\n' "{{\"token\": \"$second\"}}"
        echo "could not log in with $TOKEN" >&2; exit 3
    on_failure: continue
  - id: bearer
    uses: http.request
    with: {{ method: POST, url: "http://127.0.0.1:{port}/login", bearer: "${{{{ secrets.token }}}}", json: {{ a: 1 }} }}
    on_failure: continue
  - id: headers
    needs: [{{ step: bearer, accept: [succeeded, failed] }}]
    uses: http.request
    with:
      url: http://127.0.0.1:{port}/whoami
      secret_headers: {{ X-Token: "${{{{ secrets.token }}}}" }}
      basic: {{ username: ana, password: "${{{{ secrets.token }}}}" }}
    on_failure: continue
"#
    )
}

#[track_caller]
fn holds_none(what: &str, bytes: &[u8]) {
    for (form, how) in forms() {
        let found = bytes.windows(form.len()).position(|window| window == form.as_bytes());
        if let Some(at) = found {
            let around = &bytes[at.saturating_sub(60)..(at + form.len() + 20).min(bytes.len())];
            panic!("a secret ({how}) is in {what}: …{}…", String::from_utf8_lossy(around));
        }
    }
}

/// Every file below, and how many.
fn files_hold_none(folder: &Path) -> usize {
    let mut count = 0;
    for entry in std::fs::read_dir(folder).unwrap().flatten() {
        let path = entry.path();
        holds_none("a file's name", path.as_os_str().as_encoded_bytes());
        if entry.file_type().unwrap().is_dir() {
            count += files_hold_none(&path);
        } else {
            holds_none(&path.display().to_string(), &std::fs::read(&path).unwrap());
            count += 1;
        }
    }
    count
}

#[track_caller]
fn prints_none(ran: Ran) -> Ran {
    holds_none("standard output", ran.stdout.as_bytes());
    holds_none("standard error", ran.stderr.as_bytes());
    ran
}

#[test]
fn a_secret_that_everybody_repeats_is_nowhere() {
    let (port, serving) = repeats();
    let stage = Stage::new().playbook("leaky", &playbook(port)).env("API_TOKEN", SECRET).env("SECOND_TOKEN", SECOND);
    let ran = prints_none(stage.run(&["run", "leaky"]).code(1));
    keeps_the_rules(&ran);
    // It was there, and what hides it says whose it was.
    let heard = serving.join().unwrap();
    assert!(heard[0].contains(&format!("authorization: Bearer {SECRET}")), "{}", heard[0]);
    assert!(heard[1].contains(&format!("x-token: {SECRET}")), "{}", heard[1]);
    assert!(ran.stdout.contains("could not log in with [secret token]"), "{ran}");
    let run = stage.status_json()["id"].as_str().unwrap().to_owned();
    for args in [
        &["status"][..],
        &["status", "-o", "json"],
        &["status", "--follow", "-o", "jsonl"],
        &["logs"],
        &["logs", &run, "loud"],
        &["runs", "-o", "json"],
        &["show", "leaky"],
    ] {
        let _ = prints_none(stage.run(args).code(0));
    }
    // Again, as programs see it, with the database copied while its WAL is full.
    let (port, serving) = repeats();
    stage.write_playbook("leaky", &playbook(port));
    let ran = prints_none(stage.run(&["run", "leaky", "-o", "jsonl"]).code(1));
    assert!(ran.json_lines().len() > 10, "{ran}");
    serving.join().unwrap();
    // With a shell's own trace, and everything that the program can say of itself.
    let (port, serving) = repeats();
    stage.write_playbook("leaky", &playbook(port));
    let _ = prints_none(stage.run_with(&["run", "leaky"], &[("RUNSHEET_LOG", "trace")]).code(1));
    serving.join().unwrap();
    let read = files_hold_none(&stage.path(""));
    assert!(read > 10, "{read} files were looked at");
}

/// The text of a file of `/proc`, with blanks for NULs.
fn proc_text(pid: &str, name: &str) -> String {
    let bytes = std::fs::read(format!("/proc/{pid}/{name}")).unwrap_or_default();
    String::from_utf8_lossy(&bytes).replace('\0', " ")
}

#[test]
fn the_process_list_of_the_supervisor_holds_no_secret() {
    let stage = Stage::new().env("API_TOKEN", SECRET).env("SECOND_TOKEN", SECOND);
    let (supervisor, go) = (stage.path("supervisor"), stage.path("go"));
    stage.write_playbook(
        "held",
        &format!(
            "playbook: held\nsummary: h\nsecrets:\n  token: {{ env: API_TOKEN }}\n  second: {{ env: SECOND_TOKEN }}\nsteps:\n  - id: hold\n    uses: command\n    with:\n      \
             shell: true\n      env: {{ TOKEN: \"${{{{ secrets.token }}}}\" }}\n      stdin: ${{{{ secrets.second }}}}\n      \
             script: \"echo $PPID >{0}.part; mv {0}.part {0}; while [ ! -e {1} ]; do sleep 0.02; done\"\n",
            supervisor.display(),
            go.display()
        ),
    );
    let live = stage.start(&["run", "held"]);
    until("the command runs", || supervisor.exists());
    let pid = stage.text("supervisor").trim().to_owned();
    let (cmdline, environ) = (proc_text(&pid, "cmdline"), proc_text(&pid, "environ"));
    assert!(cmdline.contains("__supervise"), "the supervisor: {cmdline}");
    assert!(environ.contains("PATH="), "it can be read: {environ}");
    holds_none("the supervisor's arguments", cmdline.as_bytes());
    holds_none("the supervisor's environment", environ.as_bytes());
    holds_none("the engine's arguments", proc_text(&live.pid().to_string(), "cmdline").as_bytes());
    files_hold_none(&stage.path(""));
    std::fs::write(&go, "").unwrap();
    let _ = prints_none(live.wait().code(0));
    files_hold_none(&stage.path(""));
}

#[test]
fn a_secret_where_none_may_be_is_refused_at_load() {
    let stage = Stage::new().env("API_TOKEN", SECRET);
    for (name, with) in [("argument", "argv: [echo, \"${{ secrets.token }}\"]"), ("folder", "argv: [echo], cwd: \"${{ secrets.token }}\"")]
    {
        stage.write_playbook(
            name,
            &format!(
                "playbook: {name}\nsummary: s\nsecrets:\n  token: {{ env: API_TOKEN }}\nsteps:\n  - {{ id: a, uses: command, with: {{ {with} }} }}\n"
            ),
        );
        let ran = prints_none(stage.run(&["run", name]).code(3));
        assert!(ran.stderr.contains(&format!("{name}.yaml:6:")) && ran.stderr.contains("secret"), "{ran}");
    }
}
