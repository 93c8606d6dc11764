//! The admin console of the simulated PgBouncer, on PostgreSQL's protocol: it is told by its database.
//!
//! It must not let in whoever lacks the password. Invariant: it speaks the simple protocol alone, as PgBouncer does, with PgBouncer's own words; which instance
//! is meant is told by the name of the application, `runsheet at HOST:PORT`, since all share one port; else it is the first.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tokio::io::{AsyncRead, AsyncWrite};

use super::super::call::Caller;
use super::super::connections::accounts;
use super::super::fault::Act;
use super::super::platform::{Platform, Refusal as Refused};
use super::super::pooler::{CONSOLE, HOSTS, PORT};
use super::super::routes;
use super::USER;
use super::log_in::same;
use super::session::{SILENT_FOR, send};
use super::shown::{config, databases, links, lists, pools, table, text};
use super::tables::{Cell, Kind, Table};
use super::wire::{self, Fields, Out};

fn error(out: &mut Out, severity: &str, message: &str) {
    let message = message.replace('\0', " ");
    out.add(b'E', format!("S{severity}\0C08P01\0M{message}\0\0").as_bytes());
}

/// The instance that a start is for.
fn instance(application: &str) -> usize {
    HOSTS.iter().position(|host| application.ends_with(&format!("at {host}:{PORT}"))).unwrap_or(0)
}

/// Ends the start with an error.
async fn refuse<T>(stream: &mut (impl AsyncWrite + Unpin), message: &str) -> io::Result<Option<T>> {
    let mut out = Out::default();
    error(&mut out, "FATAL", message);
    send(stream, &mut out).await?;
    Ok(None)
}

/// The start of a session, from its parameters on; none where it is refused.
pub(super) async fn log_in<'a>(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    platform: &'a Arc<Platform>,
    parameters: &[(&str, &str)],
) -> io::Result<Option<Console<'a>>> {
    const TAKEN: [&str; 8] = [
        "user",
        "database",
        "application_name",
        "client_encoding",
        "DateStyle",
        "TimeZone",
        "standard_conforming_strings",
        "extra_float_digits",
    ];
    let parameter = |name: &str| parameters.iter().find(|(known, _)| *known == name).map_or("", |(_, value)| *value);
    let mut out = Out::default();
    if let Some((name, _)) = parameters.iter().find(|(name, _)| !TAKEN.contains(name)) {
        return refuse(stream, &format!("unsupported startup parameter: {name}")).await;
    }
    out.add(b'R', &3_u32.to_be_bytes());
    send(stream, &mut out).await?;
    let given = wire::message(stream).await?;
    let password = Fields(&given.body).text().unwrap_or_default().to_owned();
    if given.kind != b'p' || parameter("user") != USER || !same(&password, &platform.identity().postgres_password) {
        return refuse(stream, "password authentication failed").await;
    }
    let application: String = parameter("application_name").chars().take(128).collect();
    let at = instance(&application);
    match met(platform, "CONNECT", at).await {
        Met::Nothing => {}
        Met::Refused => return refuse(stream, "no more connections allowed (max_client_conn)").await,
        Met::Cut | Met::CutAfter => return Ok(None),
    }
    out.add(b'R', &0_u32.to_be_bytes());
    for (name, value) in [
        ("server_version", "1.18.0/bouncer"),
        ("client_encoding", "UTF8"),
        ("server_encoding", "UTF8"),
        ("DateStyle", "ISO"),
        ("TimeZone", "GMT"),
        ("standard_conforming_strings", "on"),
        ("is_superuser", "on"),
    ] {
        out.parameter(name, value);
    }
    // Nothing can be cancelled, so the key opens nothing.
    out.add(b'K', &[0; 8]);
    out.ready();
    send(stream, &mut out).await?;
    Ok(Some(Console { platform, at, application }))
}

enum Met {
    Nothing,
    Refused,
    Cut,
    CutAfter,
}

async fn met(platform: &Arc<Platform>, method: &str, at: usize) -> Met {
    let mut met = Met::Nothing;
    for act in routes::faults(platform, method, "/pgbouncer", HOSTS.get(at).copied().unwrap_or_default()).await {
        match act {
            Act::Delay { ms } => tokio::time::sleep(Duration::from_millis(ms)).await,
            Act::CutBefore => return Met::Cut,
            Act::Refuse { .. } => return Met::Refused,
            Act::CutAfter => met = Met::CutAfter,
        }
    }
    met
}

/// A session that is in.
pub(super) struct Console<'a> {
    platform: &'a Arc<Platform>,
    at: usize,
    application: String,
}

impl Console<'_> {
    /// Answers until it ends or falls silent.
    pub(super) async fn run(self, stream: &mut (impl AsyncRead + AsyncWrite + Unpin)) -> io::Result<()> {
        let mut out = Out::default();
        loop {
            let message = tokio::select! {
                read = tokio::time::timeout(SILENT_FOR, wire::message(stream)) => match read {
                    Ok(read) => read?,
                    Err(_) => return Ok(()),
                },
                () = self.platform.stopping() => return Ok(()),
            };
            self.platform.activity().touch();
            match message.kind {
                b'X' => return Ok(()),
                b'Q' => {
                    let text = Fields(&message.body).text().unwrap_or_default().trim().trim_end_matches(';').trim().to_owned();
                    let verb = text.split_whitespace().next().unwrap_or_default().to_ascii_uppercase();
                    let met = met(self.platform, &verb, self.at).await;
                    match met {
                        Met::Cut => return Ok(()),
                        Met::Refused => {
                            error(&mut out, "FATAL", "server closed the connection unexpectedly");
                            return send(stream, &mut out).await;
                        }
                        Met::Nothing | Met::CutAfter => {}
                    }
                    self.answer(&text, &mut out).await;
                    if matches!(met, Met::CutAfter) {
                        return Ok(());
                    }
                    out.ready();
                    send(stream, &mut out).await?;
                }
                _ => {
                    error(&mut out, "FATAL", "extended query protocol not supported by admin console");
                    return send(stream, &mut out).await;
                }
            }
        }
    }

    async fn answer(&self, text: &str, out: &mut Out) {
        let words: Vec<&str> = text.split_whitespace().collect();
        let invalid = |out: &mut Out| error(out, "ERROR", &format!("invalid command '{text}', use SHOW HELP;"));
        match words.as_slice() {
            [verb, what] if verb.eq_ignore_ascii_case("show") => match self.shown(&what.to_ascii_uppercase()) {
                Some(table) => {
                    out.columns(&table, |_| false);
                    out.rows(&table, |_| false);
                    out.complete("SHOW");
                }
                None => invalid(out),
            },
            [verb] if verb.eq_ignore_ascii_case("reload") => {
                self.reload().await;
                out.complete("RELOAD");
            }
            [verb, ..] if verb.eq_ignore_ascii_case("set") => {
                let Some((name, value)) = assignment(text) else { return invalid(out) };
                if self.set(&name, &value, text).await {
                    out.complete(&format!("SET {name}={value}"));
                } else {
                    error(out, "ERROR", "SET failed");
                }
            }
            _ => invalid(out),
        }
    }

    fn caller(&self, request: &str) -> Caller {
        Caller { request: request.to_owned(), user_agent: self.application.clone(), idempotency_key: None }
    }

    async fn set(&self, name: &str, value: &str, request: &str) -> bool {
        let (at, caller, name, value) = (self.at, self.caller(request), name.to_owned(), value.to_owned());
        let set = self.platform.change(move |world| {
            let former = world.bouncers.set(at, &name, &value).ok_or(())?;
            if former != value {
                world.effects.record(&caller, &object(at), &name, json!(former), json!(value));
            }
            Ok::<_, ()>(())
        });
        match set.await {
            Ok(()) => true,
            Err(Refused::Refused(())) => false,
            Err(Refused::Storage(error)) => {
                tracing::error!(%error, "a setting could not be kept");
                false
            }
        }
    }

    async fn reload(&self) {
        let (at, caller) = (self.at, self.caller("RELOAD"));
        let reloaded = self.platform.change(move |world| {
            for (name, former, value) in world.bouncers.reload(at) {
                world.effects.record(&caller, &object(at), name, json!(former), json!(value));
            }
            Ok::<_, ()>(())
        });
        if let Err(refusal) = reloaded.await {
            tracing::error!(?refusal, "a reload could not be kept");
        }
    }

    fn shown(&self, what: &str) -> Option<Table> {
        let world = self.platform.read();
        let account = accounts(&world.store, &world.connections, &world.bouncers);
        Some(match what {
            "VERSION" => table(&[("version", Kind::Text)], vec![vec![text("PgBouncer 1.18.0")]]),
            "CONFIG" => config(&world.bouncers, self.at),
            "DATABASES" => databases(&world.bouncers, self.at, &account),
            "POOLS" => pools(&world.bouncers, self.at, &account),
            "LISTS" => lists(self.at, &account),
            "CLIENTS" => links('C', self.at, &account),
            "SERVERS" => links('S', self.at, &account),
            "USERS" => {
                let rows = [CONSOLE, USER, "ticket_service"].map(|name| vec![text(name), Cell::Null]);
                table(&[("name", Kind::Text), ("pool_mode", Kind::Text)], rows.to_vec())
            }
            _ => return None,
        })
    }
}

/// What an instance is called in the effect log.
fn object(at: usize) -> String {
    format!("pgbouncer/{}", HOSTS.get(at).copied().unwrap_or_default())
}

/// `SET name = value`, `SET name = 'value'`.
fn assignment(text: &str) -> Option<(String, String)> {
    let rest = text.get(3..)?;
    let (name, value) = rest.split_once('=')?;
    let (name, value) = (name.trim(), value.trim());
    let plain = |text: &str| !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || "_.".contains(c));
    let value = match value.strip_prefix('\'').and_then(|value| value.strip_suffix('\'')) {
        Some(quoted) => quoted.replace("''", "'"),
        None if plain(value) => value.to_owned(),
        None => return None,
    };
    plain(name).then(|| (name.to_owned(), value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_assignment_is_read_as_pgbouncer_reads_it() {
        let of = |text: &str| assignment(text).map(|(name, value)| format!("{name}|{value}"));
        assert_eq!(of("SET default_pool_size = 30").as_deref(), Some("default_pool_size|30"));
        assert_eq!(of("set a='it''s'").as_deref(), Some("a|it's"));
        for wrong in ["SET a", "SET a = -1", "SET a = 1; SET b = 2", "SET = 1"] {
            assert_eq!(of(wrong), None, "{wrong}");
        }
        assert_eq!(instance("runsheet at pgbouncer-1.pgbouncer.production:6432"), 1);
        assert_eq!(instance("psql"), 0);
    }
}
