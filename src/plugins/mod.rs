//! External actions: what a plugin says of itself, how it is talked with, and how the engine sees it.
//!
//! Architecture invariant: a plugin is a stranger. Nothing here believes what it writes before it has been looked at, and nothing that it does reaches
//! farther than its own step. `docs/plugins.md` tells authors the same from their side.
//!
//! | file | what it does |
//! |---|---|
//! | `manifest`, `page`, `problem` | `plugin.yaml` to a [`Manifest`], or what is wrong with it and where |
//! | `content`, `folder` | a plugin by the hash of its files; the copy that a run keeps of it |
//! | `needs` | programs that it needs on this machine |
//! | `message`, `session`, `fault` | JSON-RPC, line by line, with a process that may do anything |
//! | `answer`, `host` | its answers as outcomes, verdicts and plans; its actions as the engine's |
//! | `ways` | private hosts that its questions name |
//! | `check`, `skeleton` | `plugin check` and `plugin new` |

mod answer;
mod check;
mod content;
mod fault;
mod folder;
mod host;
mod manifest;
mod message;
mod needs;
mod page;
mod problem;
mod session;
mod skeleton;
mod ways;

pub use check::{Checked, check};
pub use folder::{BrokenPlugin, Plugin, Plugins};
pub use host::{HostedAction, PluginSettings, actions};
pub use manifest::{FILE, Manifest, Need, PROTOCOL, PluginAction};
pub use needs::{Missing, missing};
pub use problem::Problem;
pub use skeleton::{SkeletonError, write_skeleton};
pub use ways::{Opened, Ways};
