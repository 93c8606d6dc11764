//! Whoever is to be told is told, by real requests and real commands; and whatever happens to them, a run does not wait.

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use runsheet::environment::{Connections, SecretValues};
use runsheet::model::event::{Event, Record};
use runsheet::model::id::RunId;
use runsheet::model::notification::{NotifyRule, NotifyTo, Occasion, SecretRef, WebhookUrl};
use runsheet::model::status::RunStatus;
use runsheet::notify::{Describe, Given, Limits, News, Next, Notice, Notifier, Settings, Telling};
use runsheet::ports::observer::Observer;
use serde_json::{Value, json};
use wiremock::matchers::{header, method, path};
use wiremock::{Mock, MockServer, ResponseTemplate};

const RUN: &str = "019ab000-0000-7000-8000-00003fa9c1d2";

fn run_id() -> RunId {
    RUN.parse().unwrap()
}

/// A folder, and what was said that could not be told.
struct Desk {
    folder: tempfile::TempDir,
    warned: Arc<Mutex<Vec<String>>>,
    secrets: SecretValues,
    limits: Limits,
}

impl Desk {
    fn new() -> Self {
        let limits = Limits { pause: Duration::from_millis(5), ..Limits::default() };
        Self { folder: tempfile::tempdir().unwrap(), warned: Arc::default(), secrets: SecretValues::new(), limits }
    }

    fn settings(&self, rules: Vec<NotifyRule>) -> Settings {
        let warned = Arc::clone(&self.warned);
        Settings {
            rules,
            connections: Arc::new(Connections::new()),
            secrets: self.secrets.clone(),
            supervisor: env!("CARGO_BIN_EXE_runsheet").into(),
            cwd: self.folder.path().to_owned(),
            files: self.folder.path().join("files"),
            warn: Arc::new(move |what: &str| warned.lock().unwrap().push(what.to_owned())),
            limits: self.limits,
        }
    }

    /// Tells these, waits for the end, and gives the warnings.
    async fn tell(&self, rules: Vec<NotifyRule>, notices: &[Notice]) -> Vec<String> {
        let notifier = Notifier::start(&self.settings(rules), &tokio::runtime::Handle::current());
        notices.iter().for_each(|notice| notifier.tell(notice));
        notifier.finish().await;
        self.warned.lock().unwrap().clone()
    }

    fn text(&self, name: &str) -> String {
        std::fs::read_to_string(self.folder.path().join(name)).unwrap_or_default()
    }
}

fn notice(occasions: &[Occasion]) -> Notice {
    Notice {
        occasions: occasions.to_vec(),
        seq: 7,
        at: "2026-11-23T19:00:00Z".parse().unwrap(),
        run: run_id(),
        playbook: "pre-event".to_owned(),
        environment: Some("staging".to_owned()),
        status: RunStatus::Waiting,
        step: Some("go_live".into()),
        message: "pre-event 3fa9c1d2 on staging: step go_live waits for an approval".to_owned(),
        owed: vec![Given {
            what: "deployment/ticket-service: replicas 8 → 2".to_owned(),
            steps: vec!["scale".into()],
            undo_by_hand: vec!["kubectl scale deployment/ticket-service --replicas=2".to_owned()],
        }],
        next: vec![Next { command: "runsheet approve 3fa9c1d2 go_live".to_owned(), what: "open the gate".to_owned() }],
        host: "web-1".to_owned(),
        operator: "ana@web-1".to_owned(),
    }
}

fn webhook(on: &[Occasion], url: String) -> NotifyRule {
    NotifyRule { on: on.to_vec(), to: NotifyTo::Webhook { url: WebhookUrl::Plain(url), bearer: None } }
}

fn command(on: &[Occasion], script: &str) -> NotifyRule {
    NotifyRule { on: on.to_vec(), to: NotifyTo::Command { argv: ["sh", "-c", script].map(str::to_owned).to_vec() } }
}

async fn server_answering(status: u16) -> MockServer {
    let server = MockServer::start().await;
    Mock::given(method("POST")).respond_with(ResponseTemplate::new(status)).mount(&server).await;
    server
}

async fn bodies(server: &MockServer) -> Vec<Value> {
    server.received_requests().await.unwrap().iter().map(|request| serde_json::from_slice(&request.body).unwrap()).collect()
}

fn secret_file(desk: &Desk, text: &str) -> SecretRef {
    let file = desk.folder.path().join("token");
    std::fs::write(&file, text).unwrap();
    SecretRef::File(file)
}

#[tokio::test]
async fn a_webhook_gets_the_document_as_its_page_describes_it() {
    let (server, desk) = (server_answering(200).await, Desk::new());
    assert!(desk.tell(vec![webhook(&[Occasion::Waiting], server.uri())], &[notice(&[Occasion::Waiting])]).await.is_empty());
    let message = "pre-event 3fa9c1d2 on staging: step go_live waits for an approval";
    let expected = json!({
        "version": 1,
        "id": format!("{RUN}/7/waiting"),
        "occasion": "waiting",
        "message": message,
        "text": message,
        "run": RUN,
        "short_id": "3fa9c1d2",
        "playbook": "pre-event",
        "environment": "staging",
        "status": "waiting",
        "step": "go_live",
        "at": "2026-11-23T19:00:00Z",
        "owed": [{
            "what": "deployment/ticket-service: replicas 8 → 2",
            "steps": ["scale"],
            "undo_by_hand": ["kubectl scale deployment/ticket-service --replicas=2"],
        }],
        "owed_count": 1,
        "next": [{ "command": "runsheet approve 3fa9c1d2 go_live", "what": "open the gate" }],
        "host": "web-1",
        "operator": "ana@web-1",
    });
    assert_eq!(bodies(&server).await, std::slice::from_ref(&expected));
    let request = &server.received_requests().await.unwrap()[0];
    assert_eq!(request.headers["content-type"], "application/json");
    let page = include_str!("../../src/notify/payload.md");
    for field in expected.as_object().unwrap().keys() {
        assert!(page.contains(&format!("`{field}`")), "the page does not name {field}");
    }
}

#[tokio::test]
async fn each_is_told_only_what_it_wants_and_only_once() {
    let (both, owed, desk) = (server_answering(200).await, server_answering(200).await, Desk::new());
    let rules = vec![
        webhook(&[Occasion::Owed, Occasion::Finished], both.uri()),
        webhook(&[Occasion::Owed], owed.uri()),
        webhook(&[Occasion::Stuck], both.uri()),
    ];
    let notices = [notice(&[Occasion::Started]), notice(&[Occasion::Finished, Occasion::Owed])];
    assert!(desk.tell(rules, &notices).await.is_empty());
    assert_eq!(bodies(&both).await.iter().map(|body| body["occasion"].clone()).collect::<Vec<_>>(), ["finished"]);
    assert_eq!(bodies(&owed).await.iter().map(|body| body["occasion"].clone()).collect::<Vec<_>>(), ["owed"]);
}

#[tokio::test]
async fn a_server_error_is_tried_again_and_a_refusal_is_not() {
    let (flaky, desk) = (MockServer::start().await, Desk::new());
    Mock::given(method("POST")).respond_with(ResponseTemplate::new(503)).up_to_n_times(2).mount(&flaky).await;
    Mock::given(method("POST")).respond_with(ResponseTemplate::new(204)).mount(&flaky).await;
    assert!(desk.tell(vec![webhook(&[Occasion::Failed], flaky.uri())], &[notice(&[Occasion::Failed])]).await.is_empty());
    let told = bodies(&flaky).await;
    assert_eq!(told.len(), 3);
    assert!(told.iter().all(|body| body["id"] == told[0]["id"]), "each try has the same id");

    for (status, tries, said) in [
        (404, 1, "it answered with status 404"),
        (302, 1, "it answered with status 302, and redirects are not followed"),
        (500, 3, "it answered with status 500 (tried 3 times)"),
    ] {
        let (server, desk) = (server_answering(status).await, Desk::new());
        let warned = desk
            .tell(vec![webhook(&[Occasion::Failed], format!("{}/services/T0/hook-key", server.uri()))], &[notice(&[Occasion::Failed])])
            .await;
        assert_eq!(warned, [format!("`failed` was not told by webhook {}: {said}", server.uri())]);
        assert_eq!(bodies(&server).await.len(), tries, "{status}");
    }
}

#[tokio::test]
async fn nobody_there_is_said_without_the_webhooks_path() {
    let desk = Desk::new();
    // A port that was free a moment ago.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let warned =
        desk.tell(vec![webhook(&[Occasion::Failed], format!("http://127.0.0.1:{port}/hook-key"))], &[notice(&[Occasion::Failed])]).await;
    assert_eq!(warned.len(), 1);
    assert!(warned[0].contains("(tried 3 times)") && warned[0].contains(&format!("webhook http://127.0.0.1:{port}: ")), "{warned:?}");
    assert!(!warned[0].contains("hook-key") && !warned[0].contains("os error"), "{warned:?}");
}

#[tokio::test]
async fn a_bearer_is_sent_and_no_secret_is_told() {
    let (server, mut desk) = (MockServer::start().await, Desk::new());
    Mock::given(method("POST"))
        .and(path("/notify"))
        .and(header("authorization", "Bearer bearer-s3cret"))
        .respond_with(ResponseTemplate::new(200))
        .mount(&server)
        .await;
    desk.secrets.insert("service_token", "hunter2hunter2".to_owned().into());
    let bearer = Some(secret_file(&desk, "bearer-s3cret\n"));
    let url = WebhookUrl::Plain(format!("{}/notify", server.uri()));
    let rule = NotifyRule { on: vec![Occasion::Failed], to: NotifyTo::Webhook { url, bearer } };
    let mut notice = notice(&[Occasion::Failed]);
    notice.message = "401 for Bearer hunter2hunter2 and bearer-s3cret".to_owned();
    notice.owed[0].what = "password hunter2hunter2".to_owned();
    let also = command(&[Occasion::Failed], r#"cat > told.json; env > told.env"#);
    assert_eq!(desk.tell(vec![rule, also], &[notice]).await, [""; 0]);
    let told = bodies(&server).await[0].clone();
    assert_eq!(told["text"], "401 for Bearer [secret service_token] and [secret webhook_bearer]");
    assert_eq!(told["owed"][0]["what"], "password [secret service_token]");
    let said = format!("{}{}", desk.text("told.json"), desk.text("told.env"));
    assert!(said.contains("RUNSHEET_MESSAGE=401 for Bearer [secret service_token]") && !said.contains("hunter2hunter2"), "{said}");
}

#[tokio::test]
async fn a_webhook_whose_url_is_a_secret_is_named_nowhere() {
    let (server, desk) = (server_answering(403).await, Desk::new());
    let url = WebhookUrl::Secret(secret_file(&desk, &format!("{}/services/T0/hook-key", server.uri())));
    let rule = NotifyRule { on: vec![Occasion::Failed], to: NotifyTo::Webhook { url, bearer: None } };
    let warned = desk.tell(vec![rule], &[notice(&[Occasion::Failed])]).await;
    assert_eq!(bodies(&server).await.len(), 1);
    assert!(warned[0].contains("status 403") && !warned[0].contains("hook-key"), "{warned:?}");
}

#[tokio::test]
async fn a_rule_that_cannot_work_is_said_at_once() {
    let desk = Desk::new();
    let missing = NotifyTo::Webhook {
        url: WebhookUrl::Plain("https://hooks.example/x".to_owned()),
        bearer: Some(SecretRef::Env("RUNSHEET_TEST_UNSET".to_owned())),
    };
    let rules = vec![
        NotifyRule { on: vec![Occasion::Failed, Occasion::Stuck], to: missing },
        webhook(&[Occasion::Owed], "ftp://hooks.example/x".to_owned()),
        NotifyRule { on: vec![Occasion::Started], to: NotifyTo::Command { argv: Vec::new() } },
    ];
    let warned = desk.tell(rules, &[]).await;
    assert_eq!(warned.len(), 3, "{warned:?}");
    assert!(warned[0].starts_with("nobody will be told of `failed`, `stuck`: "), "{}", warned[0]);
    assert!(warned[0].contains("the environment variable RUNSHEET_TEST_UNSET is not set"), "{}", warned[0]);
    assert!(warned[1].contains("`owed`") && warned[1].contains("https://"), "{}", warned[1]);
    assert!(warned[2].contains("names no program"), "{}", warned[2]);
}

#[tokio::test]
async fn a_command_gets_the_document_and_variables_and_leaves_nothing_behind() {
    let desk = Desk::new();
    let script = r#"cat > told.json; printf '%s\n' "$RUNSHEET_OCCASION" "$RUNSHEET_SHORT_ID" "$RUNSHEET_PLAYBOOK" "$RUNSHEET_ENVIRONMENT" "$RUNSHEET_STATUS" "$RUNSHEET_STEP" "$RUNSHEET_RUN" > told.env"#;
    assert_eq!(desk.tell(vec![command(&[Occasion::Waiting], script)], &[notice(&[Occasion::Waiting])]).await, [""; 0]);
    let told: Value = serde_json::from_str(&desk.text("told.json")).unwrap();
    assert_eq!((&told["occasion"], &told["version"]), (&json!("waiting"), &json!(1)));
    assert_eq!(desk.text("told.env"), format!("waiting\n3fa9c1d2\npre-event\nstaging\nwaiting\ngo_live\n{RUN}\n"));
    assert_eq!(files_in(&desk.folder.path().join("files")), 0);
}

fn files_in(folder: &Path) -> usize {
    std::fs::read_dir(folder).map_or(0, Iterator::count)
}

#[tokio::test]
async fn a_command_that_fails_or_hangs_or_is_not_there_is_said() {
    let mut desk = Desk::new();
    desk.limits.command = Duration::from_secs(1);
    let rules = vec![
        command(&[Occasion::Failed], "echo 'no session bus' >&2; exit 3"),
        command(&[Occasion::Stuck], "echo begun > begun; sleep 600"),
        NotifyRule { on: vec![Occasion::Owed], to: NotifyTo::Command { argv: vec!["no-such-program-here".to_owned()] } },
    ];
    let mut warned = desk.tell(rules, &[notice(&[Occasion::Failed]), notice(&[Occasion::Stuck]), notice(&[Occasion::Owed])]).await;
    warned.sort();
    assert_eq!(warned[0], "`failed` was not told by the command `sh`: it ended with exit code 3: no session bus");
    assert!(warned[1].starts_with("`owed` was not told by the command `no-such-program-here`: the program"), "{}", warned[1]);
    assert_eq!(warned[2], "`stuck` was not told by the command `sh`: it was ended after 1 s");
    assert_eq!(desk.text("begun"), "begun\n");
    assert_eq!(files_in(&desk.folder.path().join("files")), 0);
}

/// Describes each as the notice above.
struct AsAbove;

impl Describe for AsAbove {
    fn apply(&mut self, _: &Record) {}

    fn describe(&self, news: &News) -> Notice {
        Notice { occasions: news.occasions.clone(), seq: news.seq, owed: Vec::new(), ..notice(&[]) }
    }
}

fn record(seq: u64, event: Event) -> Record {
    Record { seq, epoch: 1, at: Timestamp::UNIX_EPOCH, event }
}

fn owned() -> Event {
    Event::RunOwned { pid: 1, host: "web-1".to_owned(), by: "ana@web-1".to_owned() }
}

fn status(status: RunStatus) -> Event {
    Event::RunStatusChanged { status, reason: None }
}

#[tokio::test]
async fn what_happened_before_is_not_told_again_and_nothing_owed_is_not_told_as_owed() {
    let (server, desk) = (server_answering(200).await, Desk::new());
    let notifier = Notifier::start(&desk.settings(vec![webhook(&Occasion::ALL, server.uri())]), &tokio::runtime::Handle::current());
    let known = [record(1, owned()), record(2, status(RunStatus::Stuck))];
    let telling = Telling::new(run_id(), &known, AsAbove, notifier);
    telling.committed(run_id(), &[record(2, status(RunStatus::Stuck)), record(3, owned()), record(4, status(RunStatus::RollingBack))]);
    telling.committed(RunId::generate(), &[record(5, status(RunStatus::Stuck))]);
    telling.committed(run_id(), &[record(5, status(RunStatus::RolledBack))]);
    telling.finish().await;
    let told: Vec<Value> = bodies(&server).await;
    assert_eq!(
        told.iter().map(|body| (body["occasion"].clone(), body["id"].clone())).collect::<Vec<_>>(),
        [(json!("finished"), json!(format!("{RUN}/5/finished")))]
    );
    let (owed, desk) = (server_answering(200).await, Desk::new());
    let notifier = Notifier::start(&desk.settings(vec![webhook(&[Occasion::Owed], owed.uri())]), &tokio::runtime::Handle::current());
    let telling = Telling::new(run_id(), &[], AsAbove, notifier);
    telling.committed(run_id(), &[record(1, status(RunStatus::Succeeded))]);
    telling.finish().await;
    assert!(bodies(&owed).await.is_empty());
}

#[tokio::test]
async fn a_webhook_that_hangs_neither_delays_a_run_nor_its_end_for_long_and_holds_up_nobody_else() {
    let (hanging, other) = (MockServer::start().await, server_answering(200).await);
    let answer = ResponseTemplate::new(200).set_delay(Duration::from_secs(600));
    Mock::given(method("POST")).respond_with(answer).mount(&hanging).await;
    let mut desk = Desk::new();
    desk.limits = Limits { drain: Duration::from_millis(300), queue: 4, ..desk.limits };
    let rules = vec![webhook(&Occasion::ALL, hanging.uri()), webhook(&[Occasion::Finished], other.uri())];
    let notifier = Notifier::start(&desk.settings(rules), &tokio::runtime::Handle::current());
    let telling = Telling::new(run_id(), &[], AsAbove, notifier);
    let begun = Instant::now();
    for seq in 1..=1000 {
        let event = if seq % 2 == 0 { status(RunStatus::Stuck) } else { status(RunStatus::RollingBack) };
        telling.committed(run_id(), &[record(seq, event)]);
    }
    telling.committed(run_id(), &[record(1001, status(RunStatus::RolledBack))]);
    assert!(begun.elapsed() < Duration::from_secs(60), "the run waited {:?}", begun.elapsed());
    let begun = Instant::now();
    telling.finish().await;
    assert!(begun.elapsed() < Duration::from_secs(60), "the end waited {:?}", begun.elapsed());
    assert_eq!(bodies(&other).await.len(), 1);
    let warned = desk.warned.lock().unwrap().clone();
    assert_eq!(warned.len(), 2, "{warned:?}");
    assert!(warned[0].ends_with("takes too long: some of what happens is not told there"), "{warned:?}");
    assert!(warned[1].contains("notifications were not told in time by webhook"), "{warned:?}");
}

#[tokio::test]
async fn a_try_that_gets_no_answer_is_cut_off() {
    let (hanging, mut desk) = (MockServer::start().await, Desk::new());
    let answer = ResponseTemplate::new(200).set_delay(Duration::from_secs(600));
    Mock::given(method("POST")).respond_with(answer).mount(&hanging).await;
    desk.limits = Limits { webhook: Duration::from_millis(50), ..desk.limits };
    let warned = desk.tell(vec![webhook(&[Occasion::Failed], hanging.uri())], &[notice(&[Occasion::Failed])]).await;
    assert_eq!(warned, [format!("`failed` was not told by webhook {}: no answer within 50 ms (tried 3 times)", hanging.uri())]);
}
