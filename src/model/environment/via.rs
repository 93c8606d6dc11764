//! The ways to hosts that cannot be reached from here, as an environment's file says them.
//!
//! Invariant: what is written as a way reads the same when it is shown again.

use std::fmt;

use serde::{Serialize, Serializer};

/// A host, or one port of it, and the way that leads there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Via {
    /// The host, as playbooks and systems name it; in lower case, without brackets.
    pub host: String,
    /// The only port that the way is for; `None`: all of the host.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// The way.
    pub way: Way,
}

impl Via {
    /// `HOST` or `HOST:PORT`, as it stands in the file.
    pub fn key(&self) -> String {
        let host = if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() };
        self.port.map_or_else(|| host.clone(), |port| format!("{host}:{port}"))
    }
}

/// How a host is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Way {
    /// A port-forward by the environment's cluster.
    PortForward {
        /// The namespace.
        namespace: String,
        /// What the pod is found by.
        end: ForwardEnd,
        /// The port of the Service or pod; `None`: the one that is asked for.
        port: Option<PortName>,
    },
    /// Another machine that is logged in to with OpenSSH, and connects from there.
    Ssh {
        /// The account, where the user's own configuration is not to say.
        user: Option<String>,
        /// The machine, or its name in the user's configuration; an IPv6 address without brackets.
        host: String,
        /// Its port, where the user's own configuration is not to say.
        port: Option<u16>,
    },
}

/// What a port-forward leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ForwardEnd {
    /// A ready pod behind the Service of this name.
    Service(String),
    /// The pod of this name.
    Pod(String),
}

/// A port, by its number or its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PortName {
    /// By its number.
    Number(u16),
    /// By its name.
    Name(String),
}

impl fmt::Display for PortName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => write!(f, "{number}"),
            Self::Name(name) => f.write_str(name),
        }
    }
}

impl fmt::Display for ForwardEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Service(name) => write!(f, "service/{name}"),
            Self::Pod(name) => write!(f, "pod/{name}"),
        }
    }
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PortForward { namespace, end, port } => {
                write!(f, "k8s:{namespace}/{end}")?;
                port.as_ref().map_or(Ok(()), |port| write!(f, ":{port}"))
            }
            Self::Ssh { user, host, port } => {
                f.write_str("ssh:")?;
                if let Some(user) = user {
                    write!(f, "{user}@")?;
                }
                match port {
                    Some(port) if host.contains(':') => write!(f, "[{host}]:{port}"),
                    Some(port) => write!(f, "{host}:{port}"),
                    None if host.contains(':') => write!(f, "[{host}]"),
                    None => f.write_str(host),
                }
            }
        }
    }
}

impl Serialize for Way {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}
