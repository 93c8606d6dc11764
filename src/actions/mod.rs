//! Built-in actions, a file or folder for each system.
//!
//! Architecture invariant: an action knows its target and its own inputs; it knows no journal, no terminal, no playbook and no other action.
//! Reads never change anything, and whoever applies says whether the target has it, has it not, or whether nobody knows.

pub mod assert;
pub mod aws;
pub mod command;
pub mod http;
pub mod kubernetes;
pub mod noop;
pub mod pgbouncer;
pub mod postgres;
pub mod prometheus;
pub mod rabbitmq;
mod reading;
pub mod redis;
mod server;
mod support;
#[cfg(test)]
mod trial;

use std::sync::Arc;

use crate::environment::Connections;
use crate::ports::action::Action;

/// The actions that reach systems by way of these connections.
pub fn builtin(connections: &Arc<Connections>) -> Vec<Arc<dyn Action>> {
    [
        aws::builtin(connections),
        http::builtin(connections),
        kubernetes::builtin(connections),
        pgbouncer::builtin(connections),
        postgres::builtin(connections),
        redis::builtin(connections),
        rabbitmq::builtin(connections),
        prometheus::builtin(connections),
    ]
    .concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_entry_is_complete() {
        let actions = builtin(&Arc::new(Connections::new()));
        assert!(actions.len() >= 19, "{}", actions.len());
        for action in actions {
            let entry = action.entry();
            let name = &entry.name;
            assert!(entry.page.starts_with(&format!("# {name}\n")), "{name}");
            for part in ["**Effect class.**", "**Rollback.**", "Reference: <https://", "```yaml"] {
                assert!(entry.page.contains(part), "{name}: {part}");
            }
            if entry.effect != crate::model::step::Effect::Read {
                assert!(entry.page.contains("**Guarded.**") || entry.page.contains("**Unguarded window.**"), "{name}");
            }
            jsonschema::meta::validate(&entry.inputs).unwrap();
            assert_eq!(entry.inputs["additionalProperties"], false, "{name}");
            for (input, schema) in entry.inputs["properties"].as_object().unwrap() {
                assert!(schema["description"].as_str().is_some_and(|help| !help.is_empty()), "{name}: {input}");
            }
            for output in &entry.outputs {
                assert!(
                    ["integer", "string", "number", "boolean", "map", "list", "any"].contains(&output.kind.as_str()),
                    "{name}: {output:?}"
                );
            }
        }
    }
}
