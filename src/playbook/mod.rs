//! Text in, `Playbook` and diagnostics out; and the language's JSON Schema.
//!
//! Architecture invariant: this module starts nothing and writes nothing; the only files it reads are playbooks and environments. Nothing outside it knows YAML.
//!
//! | file | what it does |
//! |---|---|
//! | `source`, `yaml` | bytes to text, text to a tree with places |
//! | `reader`, `header`, `step`, `construct`, `template`, `inputs`, `input_schema` | the tree to the model, key by key |
//! | `check`, `graph` | what spans more than one step |
//! | `load`, `definition`, `list` | one file, a file with all it calls, a folder at a glance |
//! | `bind` | what was given to the parameters of a run |
//! | `diagnostics`, `render` | what is wrong, and how people see it |
//! | `schema` | the language for editors |
//! | `environment_file` | the files of environments, read with the same parts |

mod bind;
mod check;
mod construct;
mod definition;
mod diagnostics;
mod environment_file;
mod gated;
mod graph;
mod header;
mod input_schema;
mod inputs;
mod list;
mod load;
mod monitor;
mod reader;
mod render;
mod schema;
mod source;
mod step;
mod template;
mod yaml;

#[cfg(test)]
mod tests;

pub use bind::{BindError, bind, bind_values};
pub use definition::{LoadError, load_definition};
pub use diagnostics::{Diagnostic, Diagnostics, did_you_mean};
pub use environment_file::{DraftedEnvironment, NO_UID, draft_environment, environment_schema, load_environment};
pub use list::{Listed, list};
pub use load::{load, load_text};
pub use render::render;
pub use schema::schema;
