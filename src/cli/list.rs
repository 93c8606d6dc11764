//! `list`: the playbooks of the root.

use serde_json::json;

use super::context::Context;
use super::exit_code;
use super::failure::Failure;
use crate::report::{ListRow, list_table};

/// Lists the playbooks.
///
/// # Errors
/// When their folder cannot be read.
pub fn run(cx: &Context) -> Result<u8, Failure> {
    let app = cx.app()?;
    let listed = app.list()?;
    let catalogue = app.catalogue()?;
    let rows: Vec<ListRow> = listed
        .iter()
        .map(|listed| {
            let mut row =
                ListRow { name: listed.name.clone(), summary: listed.summary.clone(), params: Vec::new(), problem: listed.problem.clone() };
            if row.problem.is_none() {
                match app.load(&listed.path, &catalogue) {
                    Ok(playbook) => {
                        let word = |param: &crate::model::playbook::Param| {
                            format!("{}{}", param.name, if param.default.is_some() { "?" } else { "" })
                        };
                        row.params = playbook.params.iter().map(word).collect();
                    }
                    Err(problems) => row.problem = problems.problems.first().map(|first| format!("line {}: {}", first.line, first.message)),
                }
            }
            row
        })
        .collect();
    if cx.output.is_text() {
        cx.output.page(&list_table(&rows, &cx.output.out));
    } else {
        let entries = rows.iter().zip(&listed).map(|(row, listed)| {
            json!({ "name": row.name, "summary": row.summary, "path": listed.path, "params": row.params, "problem": row.problem })
        });
        cx.output.list(entries.collect());
    }
    Ok(exit_code::SUCCEEDED)
}
