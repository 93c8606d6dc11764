//! The page of an action whose plugin brings none: what the manifest tells.

use crate::model::catalogue::ActionEntry;
use crate::model::step::Effect;

/// The page, in Markdown.
pub(super) fn of(entry: &ActionEntry) -> String {
    let effect = match entry.effect {
        Effect::Read => "read: it changes nothing.",
        Effect::Idempotent => "idempotent: doing it again changes nothing more.",
        Effect::Once => "once: it is never done again by itself.",
    };
    let rollback = match (entry.effect, entry.reverts) {
        (Effect::Read, _) => "there is nothing to take back.",
        (_, true) => "the plugin puts back each field that it changed.",
        (_, false) => "it has none of its own: a rollback keeps and lists it.",
    };
    format!("# {}\n\n{}.\n\n**Effect class.** {effect}\n\n**Rollback.** {rollback}\n", entry.name, entry.summary.trim_end_matches('.'))
}
