//! A stand-in for a PostgreSQL server, for tests: simple queries over plain text, and the faults that a server or a network has.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::super::connections::Connections;
use super::{PostgresAccess, TlsMode};

/// The answer to a statement: the names of the columns and the rows.
pub(crate) type Table = (Vec<String>, Vec<Vec<Option<String>>>);

/// What the server does to whoever comes.
#[derive(Clone, Debug, Default)]
pub(crate) enum Manner {
    /// It lets them in.
    #[default]
    Serves,
    /// It ends the start with this code and text.
    Refuses(&'static str, &'static str),
    /// It wants this password.
    Wants(&'static str),
    /// It never answers.
    IsSilent,
    /// It closes the connection in the middle of the answer to a statement.
    CutsAnswers,
    /// It never answers a statement.
    Ponders,
    /// It sends rows without end.
    Floods,
}

/// What it holds, and what it was asked.
#[derive(Default)]
pub(crate) struct Held {
    /// The answer to each statement that holds this text.
    pub(crate) answers: Vec<(&'static str, Table)>,
    pub(crate) manner: Manner,
    /// Each statement, and the parameters of each start.
    pub(crate) asked: Vec<String>,
}

/// A running stand-in; it ends with the test's runtime.
pub(crate) struct PostgresStandIn {
    pub(crate) held: Arc<Mutex<Held>>,
    pub(crate) address: SocketAddr,
}

impl PostgresStandIn {
    pub(crate) async fn start(manner: Manner, answers: Vec<(&'static str, Table)>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let held = Arc::new(Mutex::new(Held { answers, manner, asked: Vec::new() }));
        tokio::spawn({
            let held = Arc::clone(&held);
            async move {
                while let Ok((stream, _)) = listener.accept().await {
                    tokio::spawn(serve(stream, Arc::clone(&held)));
                }
            }
        });
        Self { held, address }
    }

    /// How it is reached, as `tickettoken at db.example:5432`.
    pub(crate) fn access(&self, password: Option<&str>) -> PostgresAccess {
        PostgresAccess {
            host: "db.example".to_owned(),
            port: 5432,
            user: "runsheet".to_owned(),
            database: "tickettoken".to_owned(),
            tls: TlsMode::Disable,
            ca_file: None,
            password: password.map(|password| password.to_owned().into()),
        }
    }

    /// These connections with a way to it.
    pub(crate) fn reached_by(&self, connections: Connections, password: Option<&str>) -> Connections {
        connections.with_host("db.example", self.address).with_postgres("main", self.access(password))
    }
}

pub(crate) fn message(tag: u8, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len() + 4).unwrap();
    [&[tag][..], &length.to_be_bytes(), body].concat()
}

fn error(code: &str, text: &str) -> Vec<u8> {
    message(b'E', format!("SFATAL\0VFATAL\0C{code}\0M{text}\0\0").as_bytes())
}

fn row(columns: &[Option<String>]) -> Vec<u8> {
    let mut body = u16::try_from(columns.len()).unwrap().to_be_bytes().to_vec();
    for column in columns {
        match column {
            None => body.extend((-1_i32).to_be_bytes()),
            Some(text) => {
                body.extend(i32::try_from(text.len()).unwrap().to_be_bytes());
                body.extend(text.as_bytes());
            }
        }
    }
    message(b'D', &body)
}

fn columns(names: &[String]) -> Vec<u8> {
    let mut head = u16::try_from(names.len()).unwrap().to_be_bytes().to_vec();
    for name in names {
        head.extend(name.as_bytes());
        head.extend([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 25, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0]);
    }
    message(b'T', &head)
}

fn answer((names, rows): &Table) -> Vec<u8> {
    let mut bytes = columns(names);
    rows.iter().for_each(|columns| bytes.extend(row(columns)));
    bytes.extend(message(b'C', b"SELECT\0"));
    bytes
}

async fn serve(mut stream: TcpStream, held: Arc<Mutex<Held>>) {
    let manner = held.lock().unwrap().manner.clone();
    if matches!(manner, Manner::IsSilent) {
        std::future::pending::<()>().await;
    }
    let mut start = vec![0; usize::try_from(stream.read_u32().await.unwrap()).unwrap() - 4];
    stream.read_exact(&mut start).await.unwrap();
    if start == 80_877_103_u32.to_be_bytes() {
        // It has no TLS.
        stream.write_all(b"N").await.unwrap();
        return;
    }
    held.lock().unwrap().asked.push(String::from_utf8_lossy(&start).replace('\0', " "));
    if let Manner::Refuses(code, text) = manner {
        stream.write_all(&error(code, text)).await.unwrap();
        return;
    }
    if let Manner::Wants(password) = manner {
        stream.write_all(&message(b'R', &3_u32.to_be_bytes())).await.unwrap();
        let Ok(b'p') = stream.read_u8().await else { return };
        let mut given = vec![0; usize::try_from(stream.read_u32().await.unwrap()).unwrap() - 4];
        stream.read_exact(&mut given).await.unwrap();
        let given = String::from_utf8(given).unwrap().trim_end_matches('\0').to_owned();
        if given != password {
            stream.write_all(&error("28P01", &format!("password authentication failed, you sent {given}"))).await.unwrap();
            return;
        }
    }
    stream.write_all(&message(b'R', &0_u32.to_be_bytes())).await.unwrap();
    stream.write_all(&message(b'Z', b"I")).await.unwrap();
    while let Ok(b'Q') = stream.read_u8().await {
        let mut text = vec![0; usize::try_from(stream.read_u32().await.unwrap()).unwrap() - 4];
        stream.read_exact(&mut text).await.unwrap();
        let text = String::from_utf8(text).unwrap().trim_end_matches('\0').to_owned();
        let found = held.lock().unwrap().answers.iter().find(|(part, _)| text.contains(part)).map(|(_, table)| answer(table));
        held.lock().unwrap().asked.push(text);
        let mut bytes = found.unwrap_or_else(|| message(b'E', b"SERROR\0VERROR\0C42601\0Msyntax error\0\0"));
        match manner {
            Manner::CutsAnswers => {
                let _cut = stream.write_all(&bytes[..bytes.len() / 2]).await;
                return;
            }
            Manner::Ponders => std::future::pending().await,
            Manner::Floods => {
                let large = row(&[Some("x".repeat(1 << 20))]);
                let _sent = stream.write_all(&columns(&["a".to_owned()])).await;
                while stream.write_all(&large).await.is_ok() {}
                return;
            }
            _ => {}
        }
        bytes.extend(message(b'Z', b"I"));
        stream.write_all(&bytes).await.unwrap();
    }
}
