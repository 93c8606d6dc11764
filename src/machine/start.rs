//! The first event of a run.

use serde_json::{Map, Value};

use crate::expr::{Bindings, Root, resolve};
use crate::model::event::Event;
use crate::model::playbook::Playbook;
use crate::model::run::{RunSpec, TargetSpec};

/// Parameters with defaults, and the `vars` worked out from them.
pub type Bound = (Map<String, Value>, Map<String, Value>);

/// Binds parameters and works out `vars`.
///
/// # Errors
/// What is missing, unknown, or has no value.
pub fn bind(playbook: &Playbook, mut given: Map<String, Value>, target: Option<&TargetSpec>) -> Result<Bound, String> {
    let mut params = Map::new();
    for param in &playbook.params {
        match given.remove(&param.name).filter(|value| !value.is_null()).or_else(|| param.default.clone()) {
            Some(value) => {
                params.insert(param.name.clone(), value);
            }
            None => return Err(format!("parameter `{}` is missing", param.name)),
        }
    }
    if let Some(unknown) = given.keys().next() {
        return Err(format!("there is no parameter `{unknown}`"));
    }
    let mut vars = Map::new();
    for (name, template) in &playbook.vars {
        let mut bindings = Bindings::new().with(Root::Params, Value::Object(params.clone())).with(Root::Vars, Value::Object(vars.clone()));
        if let Some(target) = target {
            bindings = bindings.with(Root::Target, Value::Object(target.values.clone()));
        }
        let value = resolve(template, &bindings).map_err(|error| format!("var `{name}`: {error}"))?;
        vars.insert(name.clone(), value);
    }
    Ok((params, vars))
}

/// The events with which a run begins. `spec.params` and `spec.vars` come from [`bind`].
pub fn start(spec: RunSpec) -> Vec<Event> {
    vec![Event::RunCreated(Box::new(spec))]
}
