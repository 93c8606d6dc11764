//! The checked form of an expression, which the evaluator walks.
//!
//! Must not evaluate anything. Invariant: a tree is no deeper than [`limits::DEPTH`](super::limits::DEPTH), names only known roots, types,
//! functions and bound variables, and names steps literally.

use super::bindings::Root;

/// One node, with where it stands in the expression's text (in characters).
#[derive(Debug)]
pub(super) struct Node {
    pub(super) kind: Kind,
    pub(super) offset: usize,
    pub(super) length: usize,
}

/// What a node is.
#[derive(Debug)]
pub(super) enum Kind {
    Null,
    Bool(bool),
    Int(i64),
    Double(f64),
    Text(String),
    /// The name of a type, as `type(x)` gives it.
    Type(&'static str),
    Root(Root),
    /// A variable that an enclosing comprehension binds.
    Local(String),
    Select(Box<Node>, String),
    /// `has(x.key)`
    Has(Box<Node>, String),
    Index(Box<Node>, Box<Node>),
    List(Vec<Node>),
    Map(Vec<(Node, Node)>),
    Not(Box<Node>),
    Negate(Box<Node>),
    And(Box<Node>, Box<Node>),
    Or(Box<Node>, Box<Node>),
    Condition(Box<[Node; 3]>),
    Binary(Operator, Box<Node>, Box<Node>),
    /// A method's receiver is the first argument.
    Call(Function, Vec<Node>),
    Each(Box<Each>),
}

/// A comprehension: `range.all(variable, body)` and its kin.
#[derive(Debug)]
pub(super) struct Each {
    pub(super) what: Comprehension,
    pub(super) range: Node,
    pub(super) variable: String,
    /// The second argument of `map` where it has three.
    pub(super) filter: Option<Node>,
    pub(super) body: Node,
}

/// The comprehensions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Comprehension {
    All,
    Exists,
    ExistsOne,
    Map,
    Filter,
}

/// The operators on two values that evaluate both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operator {
    Add,
    Subtract,
    Multiply,
    Divide,
    Modulo,
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    In,
}

impl Operator {
    /// As written.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Add => "+",
            Self::Subtract => "-",
            Self::Multiply => "*",
            Self::Divide => "/",
            Self::Modulo => "%",
            Self::Equal => "==",
            Self::NotEqual => "!=",
            Self::Less => "<",
            Self::LessOrEqual => "<=",
            Self::Greater => ">",
            Self::GreaterOrEqual => ">=",
            Self::In => "in",
        }
    }
}

macro_rules! functions {
    ($($variant:ident = $name:literal, $min:literal ..= $max:expr, $style:ident;)*) => {
        /// The functions.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(super) enum Function { $($variant,)* }

        impl Function {
            /// Every function.
            pub(super) const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// As written.
            pub(super) fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// How many arguments it takes, the receiver included.
            pub(super) fn arguments(self) -> std::ops::RangeInclusive<usize> {
                match self { $(Self::$variant => $min..=$max,)* }
            }

            /// How it is called.
            pub(super) fn style(self) -> Style {
                match self { $(Self::$variant => Style::$style,)* }
            }
        }
    };
}

/// How a function is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Style {
    /// `f(x)`
    Global,
    /// `x.f()`
    Method,
    /// Either.
    Both,
}

functions! {
    Size = "size", 1..=1, Both;
    String = "string", 1..=1, Global;
    Int = "int", 1..=1, Global;
    Double = "double", 1..=1, Global;
    Bool = "bool", 1..=1, Global;
    Type = "type", 1..=1, Global;
    Dyn = "dyn", 1..=1, Global;
    Timestamp = "timestamp", 1..=1, Global;
    Duration = "duration", 1..=1, Global;
    Min = "min", 1..=usize::MAX, Global;
    Max = "max", 1..=usize::MAX, Global;
    Ceil = "ceil", 1..=1, Global;
    Floor = "floor", 1..=1, Global;
    Matches = "matches", 2..=2, Both;
    Contains = "contains", 2..=2, Method;
    StartsWith = "startsWith", 2..=2, Method;
    EndsWith = "endsWith", 2..=2, Method;
    FullYear = "getFullYear", 1..=2, Method;
    Month = "getMonth", 1..=2, Method;
    Date = "getDate", 1..=2, Method;
    DayOfMonth = "getDayOfMonth", 1..=2, Method;
    DayOfWeek = "getDayOfWeek", 1..=2, Method;
    DayOfYear = "getDayOfYear", 1..=2, Method;
    Hours = "getHours", 1..=2, Method;
    Minutes = "getMinutes", 1..=2, Method;
    Seconds = "getSeconds", 1..=2, Method;
    Milliseconds = "getMilliseconds", 1..=2, Method;
}

/// The names of types, as `type(x)` gives them.
pub(super) const TYPES: [&str; 9] = ["bool", "int", "double", "string", "list", "map", "null_type", "timestamp", "duration"];

impl Node {
    /// Calls `visit` for each direct child.
    pub(super) fn children<'n>(&'n self, visit: &mut dyn FnMut(&'n Node)) {
        match &self.kind {
            Kind::Null
            | Kind::Bool(_)
            | Kind::Int(_)
            | Kind::Double(_)
            | Kind::Text(_)
            | Kind::Type(_)
            | Kind::Root(_)
            | Kind::Local(_) => {}
            Kind::Select(of, _) | Kind::Has(of, _) | Kind::Not(of) | Kind::Negate(of) => visit(of),
            Kind::Index(left, right) | Kind::And(left, right) | Kind::Or(left, right) | Kind::Binary(_, left, right) => {
                visit(left);
                visit(right);
            }
            Kind::List(items) | Kind::Call(_, items) => items.iter().for_each(visit),
            Kind::Map(entries) => entries.iter().for_each(|(key, value)| {
                visit(key);
                visit(value);
            }),
            Kind::Condition(parts) => parts.iter().for_each(visit),
            Kind::Each(each) => {
                visit(&each.range);
                each.filter.iter().for_each(&mut *visit);
                visit(&each.body);
            }
        }
    }

    /// The value's path, where the node is one: a root and literal keys.
    pub(super) fn path(&self) -> Option<(Root, Vec<&str>)> {
        match &self.kind {
            Kind::Root(root) => Some((*root, Vec::new())),
            Kind::Select(of, key) => {
                let (root, mut keys) = of.path()?;
                keys.push(key);
                Some((root, keys))
            }
            Kind::Index(of, index) => match &index.kind {
                Kind::Text(key) => {
                    let (root, mut keys) = of.path()?;
                    keys.push(key);
                    Some((root, keys))
                }
                _ => None,
            },
            _ => None,
        }
    }

    /// The node as people would write it, shortened where it is not a path.
    pub(super) fn describe(&self) -> String {
        match &self.kind {
            Kind::Root(root) => root.as_str().to_owned(),
            Kind::Local(name) => name.clone(),
            Kind::Text(text) => format!("{text:?}"),
            Kind::Int(number) => number.to_string(),
            Kind::Select(of, key) => format!("{}.{key}", of.describe()),
            Kind::Index(of, index) => format!("{}[{}]", of.describe(), index.describe()),
            Kind::Call(function, _) => format!("{}(…)", function.as_str()),
            _ => "…".to_owned(),
        }
    }
}
