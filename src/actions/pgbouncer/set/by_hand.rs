//! `pgbouncer.set` as lines for a person's hands, and the statement that they and the action send.
//!
//! Must not ask anything. Invariant: a value is quoted so that it stays one.

use serde_json::{Value, json};

use super::super::psql;
use crate::environment::PgBouncerAccess;
use crate::model::by_hand::{ByHand, quoted};
use crate::model::change::Change;
use crate::model::run::TargetSpec;

/// `SET name = value`, as PgBouncer's console takes it.
pub(super) fn statement(name: &str, value: &str) -> String {
    let bare = !value.is_empty() && value.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    if bare { format!("SET {name} = {value}") } else { format!("SET {name} = '{}'", value.replace('\'', "''")) }
}

pub(super) fn by_hand(inputs: &Value, _: Option<&TargetSpec>) -> ByHand {
    let (look, lines) = psql(inputs.get("pooler").unwrap_or(&Value::Null));
    let settings: Vec<(&String, String)> = inputs
        .get("settings")
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
        .map(|(name, value)| (name, value.as_str().map_or_else(|| value.to_string(), str::to_owned)))
        .collect();
    let mut hands = ByHand { look, ..ByHand::default() };
    for line in lines {
        hands.look.push(format!("{line} -c 'SHOW CONFIG'"));
        for (name, value) in &settings {
            hands.act.push(format!("{line} -c {}", quoted(&statement(name, value))));
            hands.undo.push(format!("{line} -c 'SET {name} = FORMER'"));
        }
    }
    if !hands.undo.is_empty() {
        hands.undo.insert(0, "# FORMER: what SHOW CONFIG showed on that instance".to_owned());
    }
    hands
}

/// One line for each change.
pub(super) fn lines(access: &PgBouncerAccess, changes: &[Change], after: bool) -> Vec<String> {
    let line = |change: &Change| {
        let (at, name) = split(&change.field)?;
        let value = if after { &change.after } else { &change.prior };
        let (_, lines) = psql(&json!({ "instances": [at], "user": access.target.user, "database": access.target.database }));
        Some(format!("{} -c {}", lines.first()?, quoted(&statement(name, value.as_str()?))))
    };
    changes.iter().filter_map(line).collect()
}

/// `HOST:PORT/NAME`
pub(super) fn split(field: &str) -> Option<(&str, &str)> {
    field.rsplit_once('/')
}
