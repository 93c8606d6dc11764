//! One session: statements by the simple and the extended protocol, until it ends or falls silent.
//!
//! It must not change the world but for the counts of faults. Invariant: every wait for the client has an end.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};

use super::super::connections::held;
use super::super::fault::Act;
use super::super::platform::Platform;
use super::super::routes;
use super::log_in::{Began, log_in};
use super::sql::{self, Answer, Refusal};
use super::tables::Server;
use super::wire::{self, Fields, Message, Out};
use super::{HOST, Place};

/// How long the start may take.
const START_WITHIN: Duration = Duration::from_secs(10);
/// How long a session may say nothing.
pub(super) const SILENT_FOR: Duration = Duration::from_secs(300);
/// How long a client may take to read what it asked for.
const WRITE_WITHIN: Duration = Duration::from_secs(30);
/// How many prepared statements and portals a session may have.
const MOST_PREPARED: usize = 64;

/// Serves one session; returns when it has ended.
pub(crate) async fn serve(mut stream: impl AsyncRead + AsyncWrite + Unpin, platform: Arc<Platform>) {
    platform.activity().touch();
    let Some(place) = platform.sessions().enter() else {
        let mut out = Out::default();
        out.error("FATAL", "53300", "sorry, too many clients already");
        let _told = send(&mut stream, &mut out).await;
        return;
    };
    let ended = async {
        match tokio::time::timeout(START_WITHIN, log_in(&mut stream, &platform, &place)).await {
            Ok(Ok(Began::In)) => {
                Session {
                    platform: &platform,
                    place: &place,
                    statements: BTreeMap::new(),
                    portals: BTreeMap::new(),
                    skips: false,
                    inside: false,
                }
                .run(&mut stream)
                .await
            }
            Ok(Ok(Began::Console(console))) => console.run(&mut stream).await,
            Ok(Ok(Began::Refused)) => Ok(()),
            Ok(Err(error)) => Err(error),
            Err(_) => Err(io::Error::from(io::ErrorKind::TimedOut)),
        }
    };
    if let Err(error) = ended.await {
        tracing::debug!(%error, "a PostgreSQL session ended early");
    }
}

pub(super) async fn send(stream: &mut (impl AsyncWrite + Unpin), out: &mut Out) -> io::Result<()> {
    let bytes = std::mem::take(&mut out.0);
    let sent = async {
        stream.write_all(&bytes).await?;
        stream.flush().await
    };
    tokio::time::timeout(WRITE_WITHIN, sent).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

/// What the faults do to a start or a statement.
pub(super) enum Met {
    Nothing,
    Refused,
    Cut,
    CutAfter,
}

pub(super) async fn met(platform: &Arc<Platform>, method: &str) -> Met {
    let mut met = Met::Nothing;
    for act in routes::faults(platform, method, "/postgres", HOST).await {
        match act {
            Act::Delay { ms } => tokio::time::sleep(Duration::from_millis(ms)).await,
            Act::CutBefore => return Met::Cut,
            Act::Refuse { .. } => return Met::Refused,
            Act::CutAfter => met = Met::CutAfter,
        }
    }
    met
}

struct Portal {
    statement: String,
    params: Vec<Option<String>>,
    /// One for all columns, or one for each.
    formats: Vec<u16>,
}

impl Portal {
    fn binary(&self, at: usize) -> bool {
        match self.formats.as_slice() {
            [] => false,
            [all] => *all == 1,
            each => each.get(at) == Some(&1),
        }
    }
}

struct Session<'a> {
    platform: &'a Arc<Platform>,
    place: &'a Place,
    statements: BTreeMap<String, String>,
    portals: BTreeMap<String, Portal>,
    /// After an error, everything up to the next Sync is skipped.
    skips: bool,
    /// Whether a transaction was begun that has not ended: its portals last as long.
    inside: bool,
}

impl Session<'_> {
    async fn run(mut self, stream: &mut (impl AsyncRead + AsyncWrite + Unpin)) -> io::Result<()> {
        let mut out = Out::default();
        loop {
            let message = tokio::select! {
                read = tokio::time::timeout(SILENT_FOR, wire::message(stream)) => match read {
                    Ok(read) => read?,
                    Err(_) => {
                        out.error("FATAL", "57P05", "terminating connection due to idle-session timeout");
                        return send(stream, &mut out).await;
                    }
                },
                () = self.platform.stopping() => {
                    out.error("FATAL", "57P01", "terminating connection due to administrator command");
                    return send(stream, &mut out).await;
                }
            };
            self.platform.activity().touch();
            if message.kind == b'X' {
                return Ok(());
            }
            let asks = matches!(message.kind, b'Q' | b'E') && !self.skips;
            let met = if asks { met(self.platform, "QUERY").await } else { Met::Nothing };
            match met {
                Met::Cut => return Ok(()),
                Met::Refused => {
                    out.error("FATAL", "57P01", "terminating connection due to administrator command");
                    return send(stream, &mut out).await;
                }
                Met::Nothing | Met::CutAfter => {}
            }
            self.take(&message, &mut out)?;
            if matches!(met, Met::CutAfter) {
                return Ok(());
            }
            // Whoever waits for an answer has sent one of these; what was not asked for yet is bounded all the same.
            if matches!(message.kind, b'Q' | b'S' | b'H') || out.0.len() > wire::LONGEST {
                send(stream, &mut out).await?;
            }
        }
    }

    fn server(&self) -> Server {
        let world = self.platform.read();
        Server {
            pid: self.place.pid,
            held: held(&world.store, &world.connections, &world.bouncers),
            sessions: self.platform.sessions().logged_in(),
        }
    }

    fn take(&mut self, message: &Message, out: &mut Out) -> io::Result<()> {
        let mut fields = Fields(&message.body);
        match message.kind {
            b'Q' => {
                match fields.text() {
                    Some(text) => self.simple(text, out),
                    None => out.error("ERROR", "08P01", "invalid message format"),
                }
                out.ready_within(self.inside);
            }
            b'S' => {
                self.skips = false;
                if !self.inside {
                    self.portals.clear();
                }
                out.ready_within(self.inside);
            }
            b'H' => {}
            b'P' | b'B' | b'D' | b'E' | b'C' if self.skips => {}
            b'P' | b'B' | b'D' | b'E' | b'C' => {
                if let Err(refusal) = self.extended(message.kind, &mut fields, out) {
                    out.error("ERROR", refusal.code, &refusal.message);
                    self.skips = true;
                }
            }
            _ => return Err(io::Error::new(io::ErrorKind::InvalidData, "a message of a kind that is not taken")),
        }
        Ok(())
    }

    fn simple(&mut self, text: &str, out: &mut Out) {
        let server = self.server();
        let statements = sql::split(text);
        if statements.is_empty() {
            out.add(b'I', &[]);
        }
        for statement in statements {
            match sql::answer(statement, &server, &[]) {
                Ok(Answer { table, tag }) => {
                    match tag.as_str() {
                        "BEGIN" => self.inside = true,
                        "COMMIT" | "ROLLBACK" => self.inside = false,
                        _ => {}
                    }
                    if let Some(table) = table {
                        out.columns(&table, |_| false);
                        out.rows(&table, |_| false);
                    }
                    out.complete(&tag);
                }
                Err(refusal) => return out.error("ERROR", refusal.code, &refusal.message),
            }
        }
    }

    fn extended(&mut self, kind: u8, fields: &mut Fields<'_>, out: &mut Out) -> Result<(), Refusal> {
        let broken = || Refusal { code: "08P01", message: "invalid message format".to_owned() };
        let full = || Refusal { code: "54000", message: format!("this sandbox keeps at most {MOST_PREPARED} prepared statements") };
        let absent = |what: &str| Refusal { code: "26000", message: format!("{what} does not exist") };
        match kind {
            b'P' => {
                let (name, text) = (fields.text().ok_or_else(broken)?, fields.text().ok_or_else(broken)?);
                sql::answer(text, &self.server(), &vec![Some(String::new()); sql::parameters(text)?])?;
                if self.statements.len() >= MOST_PREPARED && !self.statements.contains_key(name) {
                    return Err(full());
                }
                self.statements.insert(name.to_owned(), text.to_owned());
                out.add(b'1', &[]);
            }
            b'B' => {
                let (portal, name) = (fields.text().ok_or_else(broken)?, fields.text().ok_or_else(broken)?);
                let statement = self.statements.get(name).ok_or_else(|| absent("the prepared statement"))?.clone();
                let given: Option<Vec<u16>> = (0..fields.short().ok_or_else(broken)?).map(|_| fields.short()).collect();
                if given.ok_or_else(broken)?.iter().any(|format| *format != 0) {
                    return Err(Refusal { code: "0A000", message: "this sandbox takes parameters as texts alone".to_owned() });
                }
                let params: Option<Vec<Option<String>>> = (0..fields.short().ok_or_else(broken)?).map(|_| fields.value()).collect();
                let params = params.ok_or_else(broken)?;
                if params.len() != sql::parameters(&statement)? {
                    return Err(Refusal { code: "08P01", message: "bind message supplies another number of parameters".to_owned() });
                }
                let formats: Option<Vec<u16>> = (0..fields.short().ok_or_else(broken)?).map(|_| fields.short()).collect();
                if self.portals.len() >= MOST_PREPARED && !self.portals.contains_key(portal) {
                    return Err(full());
                }
                self.portals.insert(portal.to_owned(), Portal { statement, params, formats: formats.ok_or_else(broken)? });
                out.add(b'2', &[]);
            }
            b'D' => {
                let what = fields.byte().ok_or_else(broken)?;
                let name = fields.text().ok_or_else(broken)?;
                let portal = if what == b'P' { Some(self.portals.get(name).ok_or_else(|| absent("the portal"))?) } else { None };
                let statement = match portal {
                    Some(portal) => &portal.statement,
                    None => self.statements.get(name).ok_or_else(|| absent("the prepared statement"))?,
                };
                let count = sql::parameters(statement)?;
                let unknown = vec![Some(String::new()); count];
                let answer = sql::answer(statement, &self.server(), portal.map_or(&unknown, |portal| &portal.params))?;
                if portal.is_none() {
                    // Each of them is taken as a text.
                    let types = std::iter::repeat_n(25_u32.to_be_bytes(), count).flatten();
                    let count = u16::try_from(count).unwrap_or(0).to_be_bytes();
                    out.add(b't', &count.into_iter().chain(types).collect::<Vec<u8>>());
                }
                match answer.table {
                    Some(table) => out.columns(&table, |at| portal.is_some_and(|portal| portal.binary(at))),
                    None => out.add(b'n', &[]),
                }
            }
            b'E' => {
                let name = fields.text().ok_or_else(broken)?;
                let portal = self.portals.get(name).ok_or_else(|| absent("the portal"))?;
                let Answer { table, tag } = sql::answer(&portal.statement, &self.server(), &portal.params)?;
                if let Some(table) = table {
                    out.rows(&table, |at| portal.binary(at));
                }
                out.complete(&tag);
            }
            _ => {
                let what = fields.byte().ok_or_else(broken)?;
                let name = fields.text().ok_or_else(broken)?;
                if what == b'S' {
                    self.statements.remove(name);
                } else {
                    self.portals.remove(name);
                }
                out.add(b'3', &[]);
            }
        }
        Ok(())
    }
}
