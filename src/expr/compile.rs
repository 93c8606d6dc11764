//! From the `cel` crate's syntax tree to ours, refusing what the language does not have.
//!
//! Must not evaluate. Invariant: what comes out names only known roots, functions and bound variables, and steps literally.

use cel::IdedExpr;
use cel::common::ast::{CallExpr, EntryExpr, Expr, LiteralValue, SourceInfo, operators};

use super::bindings::Root;
use super::expression::ParseError;
use super::limits;
use super::parse::place;
use super::tree::{Comprehension, Each, Function, Kind, Node, Operator, Style, TYPES};

/// The names that a near miss is compared with.
const CLOSE: f64 = 0.75;

pub(super) struct Compiler<'a> {
    text: &'a str,
    positions: &'a SourceInfo,
    bound: Vec<String>,
}

impl<'a> Compiler<'a> {
    pub(super) fn new(text: &'a str, positions: &'a SourceInfo) -> Self {
        Self { text, positions, bound: Vec::new() }
    }

    pub(super) fn compile(&mut self, from: &IdedExpr) -> Result<Node, ParseError> {
        let kind = match &from.expr {
            Expr::Literal(value) => self.literal(from, value)?,
            Expr::Ident(name) => self.name(from, name)?,
            Expr::Select(select) => Kind::Select(Box::new(self.owner(&select.operand)?), select.field.clone()),
            Expr::List(list) => Kind::List(list.elements.iter().map(|item| self.compile(item)).collect::<Result<_, _>>()?),
            Expr::Map(map) => {
                let mut entries = Vec::with_capacity(map.entries.len());
                for entry in &map.entries {
                    let EntryExpr::MapEntry(entry) = &entry.expr else {
                        return self.refuse(from.id, "this is not an entry of a map", None);
                    };
                    entries.push((self.compile(&entry.key)?, self.compile(&entry.value)?));
                }
                Kind::Map(entries)
            }
            Expr::Call(call) => self.call(from, call)?,
            Expr::Struct(fields) => {
                let message = format!("there are no message types here, so `{} {{…}}` has no meaning", fields.type_name);
                return self.refuse(from.id, message, Some("write a map: `{\"key\": value}`".to_owned()));
            }
            Expr::Comprehension(_) | Expr::Unspecified => return self.refuse(from.id, "this cannot be read as an expression", None),
        };
        let (offset, length) = place(self.text, self.positions, from.id);
        Ok(self.widened(Node { kind, offset, length }))
    }

    /// A path begins where its root does and spans its text.
    fn widened(&self, mut node: Node) -> Node {
        if let Kind::Select(of, key) = &node.kind {
            node.offset = of.offset;
            let dotted = of.length + 1 + key.chars().count();
            let written: String = self.text.chars().skip(of.offset).take(dotted).collect();
            node.length = if written.ends_with(&format!(".{key}")) { dotted } else { of.length };
        } else if let Kind::Index(of, index) = &node.kind {
            node.offset = of.offset;
            node.length = (index.offset + index.length + 1).saturating_sub(of.offset).max(of.length);
        }
        node
    }

    /// What a key is taken from: the one place where `steps` may stand.
    fn owner(&mut self, from: &IdedExpr) -> Result<Node, ParseError> {
        match &from.expr {
            Expr::Ident(name) if name == "steps" && !self.bound.iter().any(|bound| bound == name) => {
                let (offset, length) = place(self.text, self.positions, from.id);
                Ok(Node { kind: Kind::Root(Root::Steps), offset, length })
            }
            _ => self.compile(from),
        }
    }

    fn literal(&self, from: &IdedExpr, value: &LiteralValue) -> Result<Kind, ParseError> {
        Ok(match value {
            LiteralValue::Boolean(value) => Kind::Bool(*value.inner()),
            LiteralValue::Int(value) => Kind::Int(*value.inner()),
            LiteralValue::Double(value) => Kind::Double(*value.inner()),
            LiteralValue::String(value) => Kind::Text(value.inner().to_owned()),
            LiteralValue::Null => Kind::Null,
            LiteralValue::UInt(value) => {
                return self.refuse(from.id, "there are no unsigned integers here", Some(format!("write `{}`", value.inner())));
            }
            LiteralValue::Bytes(_) => return self.refuse(from.id, "there are no bytes here", Some("write a string".to_owned())),
        })
    }

    fn name(&self, from: &IdedExpr, name: &str) -> Result<Kind, ParseError> {
        if self.bound.iter().any(|bound| bound == name) {
            return Ok(Kind::Local(name.to_owned()));
        }
        if name == "steps" {
            let hint = "name the step: `steps.<id>.outputs.<name>` or `steps.<id>.status`".to_owned();
            return self.refuse(from.id, "`steps` cannot be used as a whole", Some(hint));
        }
        if let Some(root) = Root::ALL.into_iter().find(|root| root.as_str() == name) {
            return Ok(Kind::Root(root));
        }
        if let Some(name) = TYPES.iter().find(|known| **known == name) {
            return Ok(Kind::Type(name));
        }
        let hint = match name {
            "now" => Some("an expression gives the same value whenever it is evaluated; take a time from a parameter".to_owned()),
            "env" => Some("take the value from a parameter, from `target` or from `secrets`".to_owned()),
            _ => nearest(name, Root::ALL.iter().map(|root| root.as_str())).map(|near| format!("did you mean `{near}`?")).or_else(|| {
                let roots: Vec<_> = Root::ALL.iter().map(|root| root.as_str()).collect();
                Some(format!("a text is written in quotes; values begin with one of: {}", roots.join(", ")))
            }),
        };
        self.refuse(from.id, format!("`{name}` is not known here"), hint)
    }

    fn call(&mut self, from: &IdedExpr, call: &CallExpr) -> Result<Kind, ParseError> {
        use operators as op;
        let name = call.func_name.as_str();
        if call.target.is_none() {
            let operator = match name {
                op::ADD => Some(Operator::Add),
                op::SUBSTRACT => Some(Operator::Subtract),
                op::MULTIPLY => Some(Operator::Multiply),
                op::DIVIDE => Some(Operator::Divide),
                op::MODULO => Some(Operator::Modulo),
                op::EQUALS => Some(Operator::Equal),
                op::NOT_EQUALS => Some(Operator::NotEqual),
                op::LESS => Some(Operator::Less),
                op::LESS_EQUALS => Some(Operator::LessOrEqual),
                op::GREATER => Some(Operator::Greater),
                op::GREATER_EQUALS => Some(Operator::GreaterOrEqual),
                op::IN => Some(Operator::In),
                _ => None,
            };
            match (name, call.args.as_slice()) {
                (_, [left, right]) if operator.is_some() => {
                    let operator = operator.unwrap_or(Operator::Add);
                    return Ok(Kind::Binary(operator, Box::new(self.compile(left)?), Box::new(self.compile(right)?)));
                }
                (op::LOGICAL_AND, [left, right]) => return Ok(Kind::And(Box::new(self.compile(left)?), Box::new(self.compile(right)?))),
                (op::LOGICAL_OR, [left, right]) => return Ok(Kind::Or(Box::new(self.compile(left)?), Box::new(self.compile(right)?))),
                (op::LOGICAL_NOT, [value]) => return Ok(Kind::Not(Box::new(self.compile(value)?))),
                (op::NEGATE, [value]) => return Ok(Kind::Negate(Box::new(self.compile(value)?))),
                (op::CONDITIONAL, [condition, then, otherwise]) => {
                    let parts = [self.compile(condition)?, self.compile(then)?, self.compile(otherwise)?];
                    return Ok(Kind::Condition(Box::new(parts)));
                }
                (op::INDEX, [of, index]) => return self.index(of, index),
                (op::HAS, [field]) => {
                    let Expr::Select(select) = &field.expr else {
                        return self.refuse(from.id, "`has` looks whether a key is there", Some("write `has(map.key)`".to_owned()));
                    };
                    return Ok(Kind::Has(Box::new(self.owner(&select.operand)?), select.field.clone()));
                }
                _ => {}
            }
        }
        if let Some(target) = &call.target
            && let Some(each) = self.comprehension(from, name, target, &call.args)?
        {
            return Ok(each);
        }
        self.function(from, call)
    }

    fn index(&mut self, of: &IdedExpr, index: &IdedExpr) -> Result<Kind, ParseError> {
        let owner = self.owner(of)?;
        let index = self.compile(index)?;
        if matches!(owner.kind, Kind::Root(Root::Steps)) && !matches!(index.kind, Kind::Text(_)) {
            let message = "a step can only be named, not computed".to_owned();
            let hint = Some("write `steps.<id>` or `steps[\"id\"]`: what a step refers to is checked before anything runs".to_owned());
            return Err(ParseError { message, offset: owner.offset, length: owner.length, hint });
        }
        Ok(Kind::Index(Box::new(owner), Box::new(index)))
    }

    fn comprehension(
        &mut self,
        from: &IdedExpr,
        name: &str,
        target: &IdedExpr,
        arguments: &[IdedExpr],
    ) -> Result<Option<Kind>, ParseError> {
        let what = match name {
            "all" => Comprehension::All,
            "exists" => Comprehension::Exists,
            "exists_one" | "existsOne" => Comprehension::ExistsOne,
            "map" => Comprehension::Map,
            "filter" => Comprehension::Filter,
            _ => return Ok(None),
        };
        let (variable, filter, body) = match arguments {
            [variable, body] => (variable, None, body),
            [variable, filter, body] if what == Comprehension::Map => (variable, Some(filter), body),
            _ => {
                let hint = Some(format!("write `list.{name}(x, expression with x)`"));
                return self.refuse(from.id, format!("`{name}` takes a name and an expression"), hint);
            }
        };
        let Expr::Ident(variable_name) = &variable.expr else {
            return self.refuse(
                variable.id,
                format!("the first argument of `{name}` is a name"),
                Some(format!("write `list.{name}(x, …)`")),
            );
        };
        let range = self.compile(target)?;
        self.bound.push(variable_name.clone());
        if self.bound.len() > limits::COMPREHENSIONS {
            let message = format!("`{name}` is nested more than {} deep", limits::COMPREHENSIONS);
            return self.refuse(from.id, message, None);
        }
        let filter = filter.map(|filter| self.compile(filter)).transpose()?;
        let body = self.compile(body)?;
        self.bound.pop();
        Ok(Some(Kind::Each(Box::new(Each { what, range, variable: variable_name.clone(), filter, body }))))
    }

    fn function(&mut self, from: &IdedExpr, call: &CallExpr) -> Result<Kind, ParseError> {
        let name = call.func_name.as_str();
        let names =
            || Function::ALL.iter().map(|function| function.as_str()).chain(["all", "exists", "exists_one", "map", "filter", "has"]);
        let Some(function) = Function::ALL.iter().copied().find(|function| function.as_str() == name) else {
            let hint = nearest(name, names())
                .map_or_else(|| format!("there are: {}", names().collect::<Vec<_>>().join(", ")), |near| format!("did you mean `{near}`?"));
            let hint = if name == "now" {
                "an expression gives the same value whenever it is evaluated; take a time from a parameter".to_owned()
            } else {
                hint
            };
            return self.refuse_named(from.id, name, format!("there is no function `{name}`"), Some(hint));
        };
        let fits = match function.style() {
            Style::Global => call.target.is_none(),
            Style::Method => call.target.is_some(),
            Style::Both => true,
        };
        if !fits {
            let right = if call.target.is_some() { format!("{name}(x)") } else { format!("x.{name}(…)") };
            return self.refuse_named(from.id, name, format!("`{name}` is not called like this"), Some(format!("write `{right}`")));
        }
        let given = call.args.len() + usize::from(call.target.is_some());
        if !function.arguments().contains(&given) {
            let receiver = usize::from(call.target.is_some());
            let wanted = function.arguments().start() - receiver.min(*function.arguments().start());
            let message = format!("`{name}` takes {wanted} argument{}, not {}", if wanted == 1 { "" } else { "s" }, call.args.len());
            return self.refuse_named(from.id, name, message, None);
        }
        let arguments = call
            .target
            .iter()
            .map(AsRef::as_ref)
            .chain(&call.args)
            .map(|argument| self.compile(argument))
            .collect::<Result<Vec<_>, _>>()?;
        if let (Function::Matches, Some(Kind::Text(pattern))) = (function, arguments.get(1).map(|pattern| &pattern.kind)) {
            super::functions::regex(pattern).map_err(|message| {
                let pattern = &arguments[1];
                ParseError { message, offset: pattern.offset, length: pattern.length, hint: None }
            })?;
        }
        Ok(Kind::Call(function, arguments))
    }

    fn refuse<T>(&self, id: u64, message: impl Into<String>, hint: Option<String>) -> Result<T, ParseError> {
        let (offset, length) = place(self.text, self.positions, id);
        Err(ParseError { message: message.into(), offset, length, hint })
    }

    /// Points at a name near the node: a call's own place is its bracket.
    fn refuse_named<T>(&self, id: u64, name: &str, message: String, hint: Option<String>) -> Result<T, ParseError> {
        let (offset, _) = place(self.text, self.positions, id);
        let chars: Vec<char> = self.text.chars().collect();
        let wanted: Vec<char> = name.chars().collect();
        let starts = (0..chars.len()).filter(|at| chars[*at..].starts_with(&wanted));
        let offset = starts.min_by_key(|at| (at + wanted.len()).abs_diff(offset).min(at.abs_diff(offset))).unwrap_or(offset);
        Err(ParseError { message, offset, length: wanted.len().max(1), hint })
    }
}

/// The nearest of some names, where one is near.
pub(super) fn nearest<'n>(name: &str, among: impl Iterator<Item = &'n str>) -> Option<&'n str> {
    among
        .map(|other| (strsim::jaro_winkler(name, other), other))
        .filter(|(near, _)| *near >= CLOSE)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, other)| other)
}
