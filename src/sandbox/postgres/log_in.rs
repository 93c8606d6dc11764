//! The start of a session: its parameters, the password, and whether there is room.
//!
//! Invariant: before the password is right nothing is told.

use std::io;
use std::sync::Arc;

use sha2::{Digest, Sha256};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};

use super::super::connections::{Held, LIMIT, RESERVED, held};
use super::super::platform::Platform;
use super::super::pooler;
use super::console::{self, Console};
use super::session::{Met, met, send};
use super::wire::{self, Fields, Out};
use super::{DATABASE, Place, USER, VERSION};

const SSL_REQUEST: u32 = 80_877_103;
const GSS_REQUEST: u32 = 80_877_104;
const VERSION_3: u32 = 196_608;

/// What came of a start.
pub(super) enum Began<'a> {
    In,
    Refused,
    /// It is for PgBouncer.
    Console(Console<'a>),
}

/// Ends the start with an error.
async fn refuse<'a>(stream: &mut (impl AsyncWrite + Unpin), code: &str, message: &str) -> io::Result<Began<'a>> {
    let mut out = Out::default();
    out.error("FATAL", code, message);
    send(stream, &mut out).await?;
    Ok(Began::Refused)
}

/// The start of a session.
pub(super) async fn log_in<'a>(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    platform: &'a Arc<Platform>,
    place: &Place,
) -> io::Result<Began<'a>> {
    let mut asked = 0;
    let parameters = loop {
        match wire::start(stream).await? {
            // There is no TLS on loopback.
            (SSL_REQUEST | GSS_REQUEST, _) if asked < 2 => {
                asked += 1;
                stream.write_all(b"N").await?;
            }
            (VERSION_3, parameters) => break parameters,
            (code, _) => {
                let message = format!("unsupported frontend protocol {}.{}: server supports 3.0", code >> 16, code & 0xffff);
                return refuse(stream, "0A000", &message).await;
            }
        }
    };
    let Some(parameters) = wire::parameters(&parameters) else {
        return refuse(stream, "08P01", "invalid startup packet layout").await;
    };
    let parameter = |name: &str| parameters.iter().find(|(known, _)| *known == name).map_or("", |(_, value)| *value);
    let user: String = parameter("user").chars().take(64).collect();
    if user.is_empty() {
        return refuse(stream, "28000", "no PostgreSQL user name specified in startup packet").await;
    }
    if parameter("database") == pooler::CONSOLE && platform.read().bouncers.is_there() {
        return Ok(console::log_in(stream, platform, &parameters).await?.map_or(Began::Refused, Began::Console));
    }
    let database: String = Some(parameter("database")).filter(|name| !name.is_empty()).unwrap_or(&user).chars().take(64).collect();
    let mut out = Out::default();
    out.add(b'R', &3_u32.to_be_bytes());
    send(stream, &mut out).await?;
    let given = wire::message(stream).await?;
    let password = Fields(&given.body).text().unwrap_or_default().to_owned();
    let right = given.kind == b'p' && user == USER && same(&password, &platform.identity().postgres_password);
    if !right {
        return refuse(stream, "28P01", &format!("password authentication failed for user \"{user}\"")).await;
    }
    if database != DATABASE {
        return refuse(stream, "3D000", &format!("database \"{database}\" does not exist")).await;
    }
    match met(platform, "CONNECT").await {
        Met::Nothing => {}
        Met::Refused => return refuse(stream, "57P03", "the database system is starting up").await,
        Met::Cut | Met::CutAfter => return Ok(Began::Refused),
    }
    let name: String = parameter("application_name").chars().take(64).collect();
    let me = Held { database, user, address: Some("127.0.0.1".to_owned()), application: name.clone(), bouncer: None };
    let most = usize::try_from(LIMIT - RESERVED).unwrap_or(usize::MAX);
    let world = platform.read();
    if !place.log_in(me, held(&world.store, &world.connections, &world.bouncers).len(), most) {
        return refuse(stream, "53300", "remaining connection slots are reserved for non-replication superuser connections").await;
    }
    out.add(b'R', &0_u32.to_be_bytes());
    for (name, value) in [
        ("application_name", name.as_str()),
        ("client_encoding", "UTF8"),
        ("DateStyle", "ISO, MDY"),
        ("default_transaction_read_only", "on"),
        ("in_hot_standby", "off"),
        ("integer_datetimes", "on"),
        ("IntervalStyle", "postgres"),
        ("is_superuser", "off"),
        ("server_encoding", "UTF8"),
        ("server_version", VERSION),
        ("session_authorization", USER),
        ("standard_conforming_strings", "on"),
        ("TimeZone", "UTC"),
    ] {
        out.parameter(name, value);
    }
    // Nothing can be cancelled, so the key opens nothing.
    out.add(b'K', &[place.pid.to_be_bytes(), [0; 4]].concat());
    out.ready();
    send(stream, &mut out).await?;
    Ok(Began::In)
}

/// Compares without telling how much was right.
pub(super) fn same(given: &str, wanted: &str) -> bool {
    Sha256::digest(given) == Sha256::digest(wanted)
}
