//! Text in, the checked tree out: the one place that calls the `cel` crate.
//!
//! Its parser recurses, and panics on some texts; so it runs on a thread of its own with a large stack, behind `catch_unwind`, and only on
//! texts that passed [`limits::check`]. Invariant: nothing that a person writes can end that thread.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Sender, channel};
use std::sync::{LazyLock, Mutex};

use cel::common::ast::{Expr, SourceInfo};
use cel::{Env, IdedExpr};

use super::compile::Compiler;
use super::expression::ParseError;
use super::limits;
use super::tree::Node;

/// Address space only: pages are used as the parser recurses.
const STACK: usize = 256 << 20;

struct Job {
    text: String,
    answer: Sender<Result<Node, ParseError>>,
}

static PARSER: LazyLock<Mutex<Option<Sender<Job>>>> = LazyLock::new(|| Mutex::new(start()));

fn start() -> Option<Sender<Job>> {
    let (sender, jobs) = channel::<Job>();
    let run = move || {
        for job in jobs {
            let parsed = catch_unwind(AssertUnwindSafe(|| parse_here(&job.text))).unwrap_or_else(|_| Err(unreadable()));
            // Whoever asked may have gone.
            let _ = job.answer.send(parsed);
        }
    };
    std::thread::Builder::new().name("expressions".to_owned()).stack_size(STACK).spawn(run).ok().map(|_| sender)
}

fn unreadable() -> ParseError {
    ParseError { message: "this cannot be read as an expression".to_owned(), offset: 0, length: 1, hint: None }
}

/// Parses and checks a text.
pub(super) fn parse(text: &str) -> Result<Node, ParseError> {
    limits::check(text)?;
    let (answer, result) = channel();
    let parser = PARSER.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone();
    let job = Job { text: text.to_owned(), answer };
    let sent = parser.is_some_and(|parser| parser.send(job).is_ok());
    if !sent {
        let message = "the thread that parses expressions could not be started: the system is out of memory or threads".to_owned();
        return Err(ParseError { message, offset: 0, length: 1, hint: None });
    }
    result.recv().unwrap_or_else(|_| Err(unreadable()))
}

fn parse_here(text: &str) -> Result<Node, ParseError> {
    // An environment without macros: comprehensions and `has` stay calls, as written.
    let parsed = Env::default().with_optional_support(false).parser().parse_with_source_info(text);
    match parsed {
        Ok((expression, positions)) => {
            if let Some(id) = too_deep(&expression, limits::DEPTH) {
                let offset = positions.offset_for(id).map_or(0, |(start, _)| start as usize);
                let message = format!("the expression is nested more than {} deep", limits::DEPTH);
                let hint = Some("give its parts names in `vars`, and use those".to_owned());
                return Err(ParseError { message, offset, length: 1, hint });
            }
            Compiler::new(text, &positions).compile(&expression)
        }
        Err(errors) => Err(syntax_error(text, errors.errors.first())),
    }
}

/// The parser's first complaint, in our words: its own names tokens.
fn syntax_error(text: &str, error: Option<&cel::ParseError>) -> ParseError {
    let count = text.chars().count();
    let Some(error) = error else { return unreadable() };
    let (line, column) = error.pos;
    let before: usize = text.split_inclusive('\n').take(usize::try_from(line - 1).unwrap_or(0)).map(|line| line.chars().count()).sum();
    // Columns count from 0 in the lexer's complaints and from 1 elsewhere; both are kept within the text.
    let offset = (before + usize::try_from(column - 1).unwrap_or(0)).min(count);
    let message = if error.msg.contains("recursion") {
        "the expression is nested too deeply".to_owned()
    } else if text.trim().is_empty() {
        "the expression is empty".to_owned()
    } else if offset >= count {
        "the expression ends too early".to_owned()
    } else {
        let found: String = text.chars().skip(offset).take_while(|c| !c.is_whitespace()).take(20).collect();
        format!("`{found}` does not belong here")
    };
    ParseError { message, offset: offset.min(count.saturating_sub(1)), length: 1, hint: None }
}

/// The first node deeper than `limit`. Runs on the parser's stack.
fn too_deep(node: &IdedExpr, limit: usize) -> Option<u64> {
    if limit == 0 {
        return Some(node.id);
    }
    let deeper = |node: &IdedExpr| too_deep(node, limit - 1);
    match &node.expr {
        Expr::Call(call) => call.target.iter().find_map(|target| deeper(target)).or_else(|| call.args.iter().find_map(deeper)),
        Expr::Select(select) => deeper(&select.operand),
        Expr::List(list) => list.elements.iter().find_map(deeper),
        Expr::Map(map) => map.entries.iter().find_map(|entry| match &entry.expr {
            cel::common::ast::EntryExpr::MapEntry(entry) => deeper(&entry.key).or_else(|| deeper(&entry.value)),
            cel::common::ast::EntryExpr::StructField(field) => deeper(&field.value),
        }),
        Expr::Struct(fields) => fields.entries.first().map(|entry| entry.id),
        Expr::Comprehension(_) | Expr::Ident(_) | Expr::Literal(_) | Expr::Unspecified => None,
    }
}

/// Where a node stands in the text, in characters: offset and length.
pub(super) fn place(text: &str, positions: &SourceInfo, id: u64) -> (usize, usize) {
    let count = text.chars().count();
    positions.offset_for(id).map_or((0, 1), |(start, stop)| {
        let start = (start as usize).min(count.saturating_sub(1));
        (start, (stop as usize + 1).saturating_sub(start).clamp(1, (count - start).max(1)))
    })
}
