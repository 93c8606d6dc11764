//! Faults: what the sandbox does wrong on purpose.
//!
//! It must not act on requests itself (the router does) nor on Pods (the controller does). Invariant: a fault with a count acts on exactly
//! that many requests, over restarts of the sandbox too.

mod parse;

pub use parse::{FaultError, USAGE};

use std::fmt;
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::client;
use super::error::SandboxError;

/// Which requests a fault meets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Route {
    /// The method in capitals; `*` for any.
    pub method: String,
    /// The path, in which `*` stands for any text, slashes too.
    pub path: String,
    /// The host; any when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
}

/// What a fault does to a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "act", rename_all = "snake_case")]
pub enum Act {
    /// Answers with an error and does nothing.
    Refuse {
        /// The HTTP status, 400 to 599.
        status: u16,
        /// Seconds for the `Retry-After` header.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        retry_after: Option<u32>,
    },
    /// Waits before the request is carried out.
    Delay {
        /// Milliseconds.
        ms: u64,
    },
    /// Closes the connection before the request has an effect.
    CutBefore,
    /// Carries the request out, then closes the connection without an answer.
    CutAfter,
}

/// A fault.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "fault", rename_all = "snake_case")]
pub enum Fault {
    /// Meets requests.
    Request {
        /// Which requests.
        route: Route,
        /// What it does to them.
        act: Act,
        /// How many requests it meets; all when absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        times: Option<u32>,
    },
    /// Keeps Pods that are not ready yet from getting ready, until it is cleared.
    Unready {
        /// The name of the Deployment.
        deployment: String,
        /// How many of its Pods.
        pods: u32,
    },
    /// Keeps terminating Pods from going away, until it is cleared.
    StallTerminating,
    /// Keeps new Pods from pulling their image, until it is cleared.
    Image {
        /// The name of the Deployment, or of another workload.
        deployment: String,
    },
    /// Makes the containers of Pods crash again and again, until it is cleared; a Job's Pods fail.
    Crash {
        /// The name of the Deployment, or of another workload.
        deployment: String,
        /// How many of its Pods.
        pods: u32,
    },
    /// Other clients of the database take connections as they come free, and keep them, until it is cleared.
    Connections {
        /// How many more than they hold all the time, at most.
        count: u64,
    },
    /// Somebody else changes a field, now; nothing of it stands afterwards.
    Change {
        /// `NAMESPACE/KIND/NAME`.
        object: String,
        /// `spec.replicas`.
        field: String,
        /// The new value.
        value: Value,
    },
}

/// A fault that stands, with its number.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Standing {
    /// Its number, for people; the order of adding.
    pub id: u64,
    /// The fault; its `times` is what is left of the count.
    pub fault: Fault,
}

/// All standing faults.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct FaultSet {
    last: u64,
    standing: Vec<Standing>,
}

/// How many faults may stand.
const MOST: usize = 100;

impl Route {
    /// Whether a request is on this route.
    pub(crate) fn meets(&self, method: &str, path: &str, host: &str) -> bool {
        (self.method == "*" || self.method == method)
            && self.host.as_deref().is_none_or(|wanted| wanted == host)
            && glob(self.path.as_bytes(), path.as_bytes())
    }
}

/// `*` stands for any text. Linear but for going back to the last star.
fn glob(pattern: &[u8], text: &[u8]) -> bool {
    let (mut p, mut t) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while t < text.len() {
        if p < pattern.len() && pattern[p] == b'*' {
            star = Some((p, t));
            p += 1;
        } else if p < pattern.len() && pattern[p] == text[t] {
            p += 1;
            t += 1;
        } else if let Some((at, from)) = star {
            star = Some((at, from + 1));
            p = at + 1;
            t = from + 1;
        } else {
            return false;
        }
    }
    pattern[p..].iter().all(|rest| *rest == b'*')
}

impl FaultSet {
    /// Adds a fault; none when too many stand.
    pub(crate) fn add(&mut self, fault: Fault) -> Option<Standing> {
        if self.standing.len() >= MOST {
            return None;
        }
        self.last += 1;
        let standing = Standing { id: self.last, fault };
        self.standing.push(standing.clone());
        Some(standing)
    }

    /// The faults that stand.
    pub(crate) fn standing(&self) -> impl Iterator<Item = &Fault> {
        self.standing.iter().map(|standing| &standing.fault)
    }

    /// The faults that stand, with their numbers.
    pub(crate) fn list(&self) -> &[Standing] {
        &self.standing
    }

    /// How many connections others take.
    pub(crate) fn connections(&self) -> u64 {
        let counts = self.standing().map(|fault| if let Fault::Connections { count } = fault { *count } else { 0 });
        counts.fold(0, u64::saturating_add)
    }

    /// Ends all faults; how many there were.
    pub(crate) fn clear(&mut self) -> usize {
        std::mem::take(&mut self.standing).len()
    }

    /// Whether any fault meets the request.
    pub(crate) fn meets(&self, method: &str, path: &str, host: &str) -> bool {
        self.standing().any(|fault| matches!(fault, Fault::Request { route, .. } if route.meets(method, path, host)))
    }

    /// What happens to a request, and one off the counts of the faults that do it: every delay, and the first other fault.
    pub(crate) fn take(&mut self, method: &str, path: &str, host: &str) -> Vec<Act> {
        let mut acts = Vec::new();
        let mut decided = false;
        for standing in &mut self.standing {
            let Fault::Request { route, act, times } = &mut standing.fault else { continue };
            let delay = matches!(act, Act::Delay { .. });
            if !route.meets(method, path, host) || (decided && !delay) {
                continue;
            }
            decided |= !delay;
            acts.push(act.clone());
            if let Some(left) = times {
                *left = left.saturating_sub(1);
            }
        }
        self.standing.retain(|standing| !matches!(standing.fault, Fault::Request { times: Some(0), .. }));
        acts
    }
}

/// Adds a fault to the running sandbox in `dir`; the fault with its number, or none for a change, which is done at once.
///
/// # Errors
/// [`SandboxError::NotRunning`]; [`SandboxError::Refused`] when the sandbox cannot do it, with the reason.
pub async fn add(dir: &Path, fault: &Fault) -> Result<Option<Standing>, SandboxError> {
    let body = serde_json::to_value(fault).map_err(SandboxError::encoding)?;
    let answer = client::ask(dir, "POST", "/sandbox/faults", Some(&body)).await?;
    serde_json::from_value(answer).map_err(SandboxError::encoding)
}

/// The faults that stand in the running sandbox in `dir`.
///
/// # Errors
/// [`SandboxError::NotRunning`] and those of the connection.
pub async fn list(dir: &Path) -> Result<Vec<Standing>, SandboxError> {
    let answer = client::ask(dir, "GET", "/sandbox/faults", None).await?;
    serde_json::from_value(answer).map_err(SandboxError::encoding)
}

/// Ends all faults of the running sandbox in `dir`; how many there were.
///
/// # Errors
/// [`SandboxError::NotRunning`] and those of the connection.
pub async fn clear(dir: &Path) -> Result<usize, SandboxError> {
    let answer = client::ask(dir, "DELETE", "/sandbox/faults", None).await?;
    serde_json::from_value(answer).map_err(SandboxError::encoding)
}

impl fmt::Display for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "'{} {}'", self.method, self.path)?;
        match &self.host {
            Some(host) => write!(f, " --host {host}"),
            None => Ok(()),
        }
    }
}

/// The words that [`Fault::parse`] understands, quoted for a shell.
impl Fault {
    /// The name of the Deployment (or of the Job) whose pods it is about.
    #[must_use]
    pub fn deployment(&self) -> Option<&str> {
        match self {
            Self::Unready { deployment, .. } | Self::Image { deployment } | Self::Crash { deployment, .. } => Some(deployment),
            _ => None,
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Request { route, act, times } => {
                match act {
                    Act::Refuse { status, retry_after } => {
                        write!(f, "refuse {route} --status {status}")?;
                        if let Some(seconds) = retry_after {
                            write!(f, " --retry-after {seconds}")?;
                        }
                    }
                    Act::Delay { ms } => write!(f, "delay {route} --ms {ms}")?,
                    Act::CutBefore => write!(f, "cut-before {route}")?,
                    Act::CutAfter => write!(f, "cut-after {route}")?,
                }
                match times {
                    Some(times) => write!(f, " --times {times}"),
                    None => write!(f, " --times forever"),
                }
            }
            Self::Unready { deployment, pods } => write!(f, "unready {deployment} --pods {pods}"),
            Self::StallTerminating => write!(f, "stall-terminating"),
            Self::Image { deployment } => write!(f, "image {deployment}"),
            Self::Crash { deployment, pods } => write!(f, "crash {deployment} --pods {pods}"),
            Self::Connections { count } => write!(f, "connections {count}"),
            Self::Change { object, field, value } => write!(f, "change {object} {field} '{value}'"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_any_text() {
        for (pattern, text, expected) in [
            ("*/scale", "/apis/apps/v1/namespaces/production/deployments/ticket-service/scale", true),
            ("*/scale", "/apis/apps/v1/scale/x", false),
            ("*", "", true),
            ("/a*b*c", "/axxbyyc", true),
            ("/a*b*c", "/axxbyy", false),
            ("/a", "/a", true),
            ("/a", "/ab", false),
        ] {
            assert_eq!(glob(pattern.as_bytes(), text.as_bytes()), expected, "{pattern} {text}");
        }
    }

    #[test]
    fn a_count_is_used_up() {
        let mut faults = FaultSet::default();
        faults.add(Fault::parse(&["refuse", "PATCH */scale", "--status", "503", "--times", "2"]).unwrap());
        assert_eq!(faults.take("GET", "/x/scale", "h"), []);
        assert_eq!(faults.take("PATCH", "/x/scale", "h").len(), 1);
        assert_eq!(faults.take("PATCH", "/x/scale", "h").len(), 1);
        assert_eq!(faults.take("PATCH", "/x/scale", "h"), []);
        assert!(faults.list().is_empty());
    }
}
