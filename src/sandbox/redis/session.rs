//! One session: who it is, and what it asks.
//!
//! It must not answer a command that it does not know as if it did. Invariant: each command meets the faults once.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use sha2::{Digest, Sha256};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, BufReader};

use super::HOST;
use super::info::{VERSION, info};
use super::resp::{self, Received, Reply};
use crate::sandbox::fault::Act;
use crate::sandbox::platform::Platform;
use crate::sandbox::routes;

/// How long a session may say nothing.
const SILENT_FOR: Duration = Duration::from_secs(300);
/// How long a client may take to read what it asked for.
const WRITE_WITHIN: Duration = Duration::from_secs(30);
/// Who may log in, all by the same password.
const USERS: [&str; 2] = ["default", "runsheet"];

struct Session {
    platform: Arc<Platform>,
    known: bool,
    version: u8,
}

/// Serves one session; returns when it has ended.
pub(crate) async fn serve(stream: impl AsyncRead + AsyncWrite + Unpin, platform: Arc<Platform>) {
    let session = Session { platform, known: false, version: 2 };
    if let Err(error) = session.run(BufReader::new(stream)).await {
        tracing::debug!(%error, "a Redis session ended early");
    }
}

impl Session {
    async fn run(mut self, mut stream: BufReader<impl AsyncRead + AsyncWrite + Unpin>) -> io::Result<()> {
        loop {
            let received = tokio::select! {
                received = tokio::time::timeout(SILENT_FOR, resp::command(&mut stream)) => received.unwrap_or(Ok(Received::End))?,
                () = self.platform.stopping() => return Ok(()),
            };
            self.platform.activity().touch();
            let words = match received {
                Received::End => return Ok(()),
                Received::Wrong(what) => {
                    return self.send(&mut stream, &Reply::Error(format!("ERR Protocol error: {what}"))).await;
                }
                Received::Command(words) => words,
            };
            let Some((name, arguments)) = words.split_first() else { continue };
            let name = name.to_ascii_uppercase();
            let mut cut = false;
            let mut refused = false;
            for act in routes::faults(&self.platform, &name, "/redis", HOST).await {
                match act {
                    Act::Delay { ms } => tokio::time::sleep(Duration::from_millis(ms)).await,
                    Act::CutBefore => return Ok(()),
                    Act::Refuse { .. } => refused = true,
                    Act::CutAfter => cut = true,
                }
            }
            let reply = if refused {
                Reply::Error("LOADING Redis is loading the dataset in memory".to_owned())
            } else {
                self.answer(&name, arguments)
            };
            if cut {
                return Ok(());
            }
            self.send(&mut stream, &reply).await?;
            if name == "QUIT" {
                return Ok(());
            }
        }
    }

    async fn send(&self, stream: &mut BufReader<impl AsyncRead + AsyncWrite + Unpin>, reply: &Reply) -> io::Result<()> {
        let mut bytes = Vec::new();
        reply.write(self.version, &mut bytes);
        let sent = async {
            stream.get_mut().write_all(&bytes).await?;
            stream.get_mut().flush().await
        };
        tokio::time::timeout(WRITE_WITHIN, sent).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
    }

    fn answer(&mut self, name: &str, arguments: &[String]) -> Reply {
        match name {
            "QUIT" => Reply::Simple("OK"),
            "AUTH" => match arguments {
                [password] => self.log_in("default", password),
                [user, password] => self.log_in(user, password),
                _ => Reply::Error("ERR wrong number of arguments for 'auth' command".to_owned()),
            },
            "HELLO" => self.hello(arguments),
            _ if !self.known => Reply::Error("NOAUTH Authentication required.".to_owned()),
            "PING" => arguments.first().map_or(Reply::Simple("PONG"), |text| Reply::Bulk(text.clone())),
            "INFO" => Reply::Bulk(info(&self.platform.read(), arguments)),
            "CLIENT" if arguments.first().is_some_and(|word| word.to_ascii_uppercase().starts_with("SET")) => Reply::Simple("OK"),
            "COMMAND" => Reply::List(Vec::new()),
            _ => {
                let shown: String = name.to_lowercase().chars().take(128).collect();
                let begins: String = arguments.iter().map(|argument| format!("'{argument}' ")).collect();
                let begins: String = begins.chars().take(128).collect();
                Reply::Error(format!("ERR unknown command '{shown}', with args beginning with: {begins}"))
            }
        }
    }

    fn log_in(&mut self, user: &str, password: &str) -> Reply {
        // Compared without telling how much was right.
        let right = Sha256::digest(password) == Sha256::digest(&self.platform.identity().postgres_password);
        if right && USERS.contains(&user) {
            self.known = true;
            return Reply::Simple("OK");
        }
        Reply::Error("WRONGPASS invalid username-password pair or user is disabled.".to_owned())
    }

    fn hello(&mut self, arguments: &[String]) -> Reply {
        let mut version = self.version;
        let mut words = arguments.iter();
        if let Some(asked) = words.next() {
            version = match asked.as_str() {
                "2" => 2,
                "3" => 3,
                _ => return Reply::Error("NOPROTO unsupported protocol version".to_owned()),
            };
        }
        while let Some(option) = words.next() {
            match (option.to_ascii_uppercase().as_str(), words.next(), words.next()) {
                ("AUTH", Some(user), Some(password)) => {
                    let reply = self.log_in(user, password);
                    if !self.known {
                        return reply;
                    }
                }
                _ => return Reply::Error(format!("ERR Syntax error in HELLO option '{option}'")),
            }
        }
        if !self.known {
            let text = "NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO <proto> AUTH <user> <pass> option can \
                        be used to authenticate the client and select the RESP protocol version at the same time";
            return Reply::Error(text.to_owned());
        }
        self.version = version;
        Reply::Map(vec![
            ("server", Reply::Bulk("redis".to_owned())),
            ("version", Reply::Bulk(VERSION.to_owned())),
            ("proto", Reply::Number(u64::from(version))),
            ("id", Reply::Number(1)),
            ("mode", Reply::Bulk("standalone".to_owned())),
            ("role", Reply::Bulk("master".to_owned())),
            ("modules", Reply::List(Vec::new())),
        ])
    }
}
