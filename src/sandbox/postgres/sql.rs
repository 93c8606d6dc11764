//! The few statements that the simulated server takes.
//!
//! It must not guess: what it does not know is an error. Invariant: a statement is read once, from left to right, without recursion.

use super::tables::{Cell, Kind, Server, Table, settings};

/// Why a statement is refused: SQLSTATE and text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) code: &'static str,
    pub(super) message: String,
}

/// The answer to a statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Answer {
    /// None for a statement without rows.
    pub(super) table: Option<Table>,
    /// `SELECT 3`, `SET`.
    pub(super) tag: String,
}

const KNOWN: &str = "this sandbox knows: SELECT of columns, * or count(*) FROM pg_settings or pg_stat_activity, with WHERE of column =, <> or IN and \
     AND, and parameters there; SELECT version(), pg_backend_pid(), current_database() or a number; SHOW of a setting; SET, BEGIN, COMMIT, ROLLBACK";

fn unknown() -> Refusal {
    Refusal { code: "0A000", message: KNOWN.to_owned() }
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    /// In lower case.
    Word(String),
    Text(String),
    Number(i64),
    /// `$1` is 0.
    Parameter(usize),
    Sign(&'static str),
}

/// How many parameters are taken.
const MOST_PARAMETERS: usize = 64;
const SIGNS: [&str; 8] = ["<>", "!=", "=", ",", "(", ")", "*", "::"];

fn tokens(statement: &str) -> Result<Vec<Token>, Refusal> {
    let mut found = Vec::new();
    let mut rest = statement.trim_start();
    while let Some(first) = rest.chars().next() {
        if let Some(text) = rest.strip_prefix('\'') {
            let end = text.find('\'').ok_or_else(|| Refusal { code: "42601", message: "unterminated quoted string".to_owned() })?;
            found.push(Token::Text(text[..end].to_owned()));
            rest = &text[end + 1..];
        } else if let Some(number) = rest.strip_prefix('$') {
            let end = number.find(|c: char| !c.is_ascii_digit()).unwrap_or(number.len());
            let at: usize = number[..end].parse().map_err(|_| unknown())?;
            found.push(Token::Parameter(at.checked_sub(1).filter(|at| *at < MOST_PARAMETERS).ok_or_else(unknown)?));
            rest = &number[end..];
        } else if first.is_ascii_alphanumeric() || first == '_' {
            let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && !"_.".contains(c)).unwrap_or(rest.len());
            let word = rest[..end].to_ascii_lowercase();
            found.push(match word.parse() {
                Ok(number) => Token::Number(number),
                Err(_) => Token::Word(word.strip_prefix("pg_catalog.").map_or_else(|| word.clone(), str::to_owned)),
            });
            rest = &rest[end..];
        } else {
            let sign = SIGNS.into_iter().find(|sign| rest.starts_with(sign)).ok_or_else(unknown)?;
            found.push(Token::Sign(sign));
            rest = &rest[sign.len()..];
        }
        rest = rest.trim_start();
    }
    Ok(found)
}

/// The statements of a text, by its semicolons outside of quotes.
pub(super) fn split(text: &str) -> Vec<&str> {
    let mut quoted = false;
    let parts = text.split(|c: char| {
        quoted ^= c == '\'';
        c == ';' && !quoted
    });
    parts.map(str::trim).filter(|part| !part.is_empty()).collect()
}

/// How many parameters a statement has.
pub(super) fn parameters(statement: &str) -> Result<usize, Refusal> {
    let most = tokens(statement)?.into_iter().filter_map(|token| match token {
        Token::Parameter(at) => Some(at + 1),
        _ => None,
    });
    Ok(most.max().unwrap_or(0))
}

/// Answers one statement, with these parameters.
pub(super) fn answer(statement: &str, server: &Server, params: &[Option<String>]) -> Result<Answer, Refusal> {
    let tokens = tokens(statement)?;
    let mut reader = Reader { tokens: &tokens, params };
    let Some(Token::Word(verb)) = reader.next() else { return Err(unknown()) };
    let done = |tag: &str| Ok(Answer { table: None, tag: tag.to_owned() });
    match verb.as_str() {
        "begin" | "start" => done("BEGIN"),
        "commit" | "end" => done("COMMIT"),
        "rollback" => done("ROLLBACK"),
        "set" => done("SET"),
        "show" => show(&mut reader),
        "select" => select(&mut reader, server),
        "insert" | "update" | "delete" | "create" | "drop" | "alter" | "truncate" => {
            let message = format!("cannot execute {} in a read-only transaction", verb.to_uppercase());
            Err(Refusal { code: "25006", message })
        }
        _ => Err(unknown()),
    }
}

struct Reader<'a> {
    tokens: &'a [Token],
    params: &'a [Option<String>],
}

impl<'a> Reader<'a> {
    fn next(&mut self) -> Option<&'a Token> {
        let (first, rest) = self.tokens.split_first()?;
        self.tokens = rest;
        Some(first)
    }

    fn takes(&mut self, wanted: &Token) -> bool {
        let there = self.tokens.first() == Some(wanted);
        if there {
            self.next();
        }
        there
    }

    fn sign(&mut self, sign: &'static str) -> bool {
        self.takes(&Token::Sign(sign))
    }

    fn word(&mut self, word: &str) -> bool {
        self.takes(&Token::Word(word.to_owned()))
    }

    /// `()`, where it is there.
    fn call(&mut self) -> bool {
        matches!(self.tokens, [Token::Sign("("), Token::Sign(")"), ..]) && self.sign("(") && self.sign(")")
    }
}

fn show(reader: &mut Reader<'_>) -> Result<Answer, Refusal> {
    let (Some(Token::Word(name)), None) = (reader.next(), reader.next()) else { return Err(unknown()) };
    let found = settings().into_iter().find(|(known, _)| known == name);
    let (_, setting) =
        found.ok_or_else(|| Refusal { code: "42704", message: format!("unrecognized configuration parameter \"{name}\"") })?;
    let table = Table { columns: vec![(name.clone(), Kind::Text)], rows: vec![vec![Cell::Text(setting)]] };
    Ok(Answer { table: Some(table), tag: "SHOW".to_owned() })
}

/// What is selected.
enum Item {
    All,
    Count,
    Column(String),
    Value(Kind, Cell, String),
}

fn items(reader: &mut Reader<'_>, server: &Server) -> Result<Vec<Item>, Refusal> {
    let mut items = Vec::new();
    loop {
        items.push(match reader.next() {
            Some(Token::Sign("*")) => Item::All,
            Some(Token::Number(number)) => Item::Value(Kind::Int8, Cell::Number(*number), "?column?".to_owned()),
            Some(Token::Word(word)) if word == "count" && reader.sign("(") => {
                if !(reader.sign("*") && reader.sign(")")) {
                    return Err(unknown());
                }
                Item::Count
            }
            Some(Token::Word(word)) => match server.scalar(word) {
                Some((kind, cell)) if reader.call() || word.starts_with("current") => Item::Value(kind, cell, word.clone()),
                _ => Item::Column(word.clone()),
            },
            _ => return Err(unknown()),
        });
        if !reader.sign(",") {
            return Ok(items);
        }
    }
}

fn select(reader: &mut Reader<'_>, server: &Server) -> Result<Answer, Refusal> {
    let items = items(reader, server)?;
    let view = if reader.word("from") {
        let Some(Token::Word(name)) = reader.next() else { return Err(unknown()) };
        let view =
            server.view(name).ok_or_else(|| Refusal { code: "42P01", message: format!("relation \"{name}\" does not exist; {KNOWN}") })?;
        Some(filtered(view, reader, server)?)
    } else {
        None
    };
    if reader.next().is_some() {
        return Err(unknown());
    }
    let table = match view {
        None => constants(items)?,
        Some(view) => projected(view, &items)?,
    };
    let tag = format!("SELECT {}", table.rows.len());
    Ok(Answer { table: Some(table), tag })
}

fn constants(items: Vec<Item>) -> Result<Table, Refusal> {
    let mut table = Table { columns: Vec::new(), rows: vec![Vec::new()] };
    for item in items {
        let Item::Value(kind, cell, name) = item else { return Err(unknown()) };
        table.columns.push((name, kind));
        table.rows.iter_mut().for_each(|row| row.push(cell.clone()));
    }
    Ok(table)
}

fn column(table: &Table, name: &str) -> Result<usize, Refusal> {
    let found = table.columns.iter().position(|(known, _)| known == name);
    found.ok_or_else(|| Refusal { code: "42703", message: format!("column \"{name}\" does not exist; {KNOWN}") })
}

fn filtered(mut view: Table, reader: &mut Reader<'_>, server: &Server) -> Result<Table, Refusal> {
    if !reader.word("where") {
        return Ok(view);
    }
    loop {
        let Some(Token::Word(name)) = reader.next() else { return Err(unknown()) };
        let at = column(&view, name)?;
        let (equal, wanted) = match reader.next() {
            Some(Token::Sign("=")) => (true, vec![value(reader, server)?]),
            Some(Token::Sign("<>" | "!=")) => (false, vec![value(reader, server)?]),
            Some(Token::Word(word)) if word == "in" && reader.sign("(") => {
                let mut wanted = vec![value(reader, server)?];
                while reader.sign(",") {
                    wanted.push(value(reader, server)?);
                }
                if !reader.sign(")") {
                    return Err(unknown());
                }
                (true, wanted)
            }
            _ => return Err(unknown()),
        };
        // As in SQL, null is neither equal nor unequal to anything.
        let knows = equal || wanted.iter().all(Option::is_some);
        view.rows.retain(|row| row.get(at).and_then(Cell::text).is_some_and(|text| knows && wanted.contains(&Some(text)) == equal));
        if !reader.word("and") {
            return Ok(view);
        }
    }
}

fn value(reader: &mut Reader<'_>, server: &Server) -> Result<Option<String>, Refusal> {
    match reader.next() {
        Some(Token::Text(text)) => Ok(Some(text.clone())),
        Some(Token::Number(number)) => Ok(Some(number.to_string())),
        Some(Token::Parameter(at)) => reader.params.get(*at).cloned().ok_or_else(unknown),
        Some(Token::Word(word)) => match server.scalar(word) {
            Some((_, cell)) if reader.call() || word.starts_with("current") => Ok(cell.text()),
            _ => Err(unknown()),
        },
        _ => Err(unknown()),
    }
}

fn projected(view: Table, items: &[Item]) -> Result<Table, Refusal> {
    match items {
        [Item::All] => Ok(view),
        [Item::Count] => {
            let count = i64::try_from(view.rows.len()).unwrap_or(i64::MAX);
            Ok(Table { columns: vec![("count".to_owned(), Kind::Int8)], rows: vec![vec![Cell::Number(count)]] })
        }
        _ => {
            let mut wanted = Vec::new();
            for item in items {
                let Item::Column(name) = item else { return Err(unknown()) };
                wanted.push(column(&view, name)?);
            }
            let columns = wanted.iter().filter_map(|at| view.columns.get(*at).cloned()).collect();
            let rows = view.rows.iter().map(|row| wanted.iter().filter_map(|at| row.get(*at).cloned()).collect()).collect();
            Ok(Table { columns, rows })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::connections::Held;
    use super::*;

    fn server() -> Server {
        let held = |database: &str, user: &str| Held {
            database: database.to_owned(),
            user: user.to_owned(),
            address: None,
            application: String::new(),
            bouncer: None,
        };
        Server {
            pid: 7,
            held: vec![held("tickettoken", "a"), held("analytics", "b")],
            sessions: vec![(7, held("tickettoken", "runsheet"))],
        }
    }

    fn rows(statement: &str) -> Vec<Vec<Option<String>>> {
        let answer = answer(statement, &server(), &[]).unwrap_or_else(|refusal| panic!("{statement}: {refusal:?}"));
        answer.table.unwrap().rows.iter().map(|row| row.iter().map(Cell::text).collect()).collect()
    }

    #[test]
    fn what_it_knows_is_answered() {
        let one = |text: &str| vec![vec![Some(text.to_owned())]];
        assert_eq!(rows("SHOW max_connections"), one("200"));
        assert_eq!(rows("select count(*) from pg_stat_activity where datname = 'tickettoken'"), one("2"));
        assert_eq!(
            rows("SELECT count(*) FROM pg_catalog.pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"),
            one("2")
        );
        assert_eq!(rows("SELECT setting FROM pg_settings WHERE name IN ('max_connections', 'reserved_connections')"), one("200"));
        assert_eq!(rows("SELECT 1"), one("1"));
        assert_eq!(rows("SELECT pg_backend_pid()"), one("7"));
        assert_eq!(
            rows("SELECT usename, datname FROM pg_stat_activity WHERE pid = 7"),
            [[Some("runsheet".into()), Some("tickettoken".into())]]
        );
        assert_eq!(rows("SELECT * FROM pg_stat_activity").len(), 5);
        let with = |given: Option<&str>| {
            let found = answer("SELECT usename FROM pg_stat_activity WHERE datname = $1", &server(), &[given.map(str::to_owned)]).unwrap();
            found.table.unwrap().rows.len()
        };
        assert_eq!((with(Some("analytics")), with(Some("none")), with(None)), (1, 0, 0));
        assert_eq!(parameters("SELECT usename FROM pg_stat_activity WHERE datname = $1 AND pid <> $2"), Ok(2));
        assert_eq!(split("SELECT 1; SELECT ';' ;;"), ["SELECT 1", "SELECT ';'"]);
    }

    #[test]
    fn what_it_does_not_know_is_refused() {
        for (statement, code) in [
            ("EXPLAIN SELECT 1", "0A000"),
            ("SELECT $1", "0A000"),
            ("SELECT", "0A000"),
            ("SELECT count(1) FROM pg_settings", "0A000"),
            ("SELECT name, count(*) FROM pg_settings", "0A000"),
            ("SELECT name FROM pg_settings GROUP BY name", "0A000"),
            ("SELECT name FROM pg_settings WHERE name", "0A000"),
            ("SELECT nothing FROM pg_settings", "42703"),
            ("SELECT a FROM tickets", "42P01"),
            ("SELECT 'a", "42601"),
            ("SHOW nothing", "42704"),
            ("DELETE FROM tickets", "25006"),
            ("é", "0A000"),
        ] {
            assert_eq!(answer(statement, &server(), &[]).unwrap_err().code, code, "{statement}");
        }
    }
}
