//! Faults from the words of a command line.
//!
//! It must not print. Invariant: what [`std::fmt::Display`] writes for a fault is parsed back to the same fault.

use serde_json::Value;

use super::{Act, Fault, Route};

/// The words of a fault, for a person.
pub const USAGE: &str = "\
refuse 'METHOD PATH' --status CODE [--retry-after SECONDS]
delay 'METHOD PATH' --ms MILLISECONDS
cut-before 'METHOD PATH'
cut-after 'METHOD PATH'
unready DEPLOYMENT [--pods N]
stall-terminating
image DEPLOYMENT
crash DEPLOYMENT [--pods N]
connections N
change NAMESPACE/KIND/NAME FIELD VALUE
Those with a path also take [--host HOST] and [--times N|forever].

What they do, with an example of each:
refuse             an answer with an error, and no effect
                   refuse 'PATCH */scale' --status 503 --retry-after 2
delay              an answer that comes late
                   delay 'GET *' --ms 500 --times forever
cut-before         a connection that ends before the effect
                   cut-before 'POST /internal/cache/warm'
cut-after          a connection that ends between the effect and the answer
                   cut-after 'PATCH */scale'
unready            pods that run and do not get ready
                   unready ticket-service --pods 2
stall-terminating  pods that do not go away
image              new pods that cannot pull their image (ImagePullBackOff)
                   image ticket-service
crash              containers that crash (CrashLoopBackOff); a job's pods fail
                   crash ticket-service --pods 1
connections        other clients of the database take up to N more, and keep
                   them: connections 150
change             somebody else changes a field, now
                   change production/deployment/ticket-service spec.replicas 5";

/// Why words are no fault.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FaultError {
    /// No word, or one that names no fault.
    #[error("`{0}` is no fault")]
    Unknown(String),
    /// A word is missing.
    #[error("{0} is missing")]
    Missing(&'static str),
    /// A word that the fault does not take.
    #[error("`{0}` is not understood here")]
    Unexpected(String),
    /// A route without a method and a path.
    #[error("`{0}` is no route: write the method and the path in one word, such as 'PATCH */scale'")]
    Route(String),
    /// A number out of its range.
    #[error("{name} cannot be `{value}`: {expected}")]
    Number {
        /// The option.
        name: &'static str,
        /// What was given.
        value: String,
        /// What may be given.
        expected: &'static str,
    },
}

/// The words, split into plain ones and options.
struct Words {
    plain: Vec<String>,
    options: Vec<(String, String)>,
}

impl Words {
    fn new(words: &[String]) -> Result<Self, FaultError> {
        let mut split = Self { plain: Vec::new(), options: Vec::new() };
        let mut words = words.iter();
        while let Some(word) = words.next() {
            match word.strip_prefix("--") {
                None => split.plain.push(word.clone()),
                Some(option) => {
                    let (name, value) = match option.split_once('=') {
                        Some((name, value)) => (name, value.to_owned()),
                        None => (option, words.next().cloned().ok_or(FaultError::Missing("the value of the last option"))?),
                    };
                    split.options.push((name.to_owned(), value));
                }
            }
        }
        split.plain.reverse();
        Ok(split)
    }

    fn next(&mut self, what: &'static str) -> Result<String, FaultError> {
        self.plain.pop().ok_or(FaultError::Missing(what))
    }

    fn option(&mut self, name: &str) -> Option<String> {
        let at = self.options.iter().position(|(option, _)| option == name)?;
        Some(self.options.remove(at).1)
    }

    fn number<T: std::str::FromStr>(&mut self, name: &'static str, expected: &'static str) -> Result<Option<T>, FaultError> {
        let Some(value) = self.option(name.trim_start_matches('-')) else { return Ok(None) };
        value.parse().map(Some).map_err(|_| FaultError::Number { name, value, expected })
    }

    fn end(&self) -> Result<(), FaultError> {
        let left = self.plain.last().cloned().or_else(|| self.options.first().map(|(name, _)| format!("--{name}")));
        left.map_or(Ok(()), |word| Err(FaultError::Unexpected(word)))
    }
}

impl Fault {
    /// Reads a fault from the words of a command line, as [`USAGE`] lists them. A fault of requests meets one request unless `--times`
    /// says otherwise.
    ///
    /// # Errors
    /// [`FaultError`], which says which word is wrong.
    pub fn parse<S: AsRef<str>>(words: &[S]) -> Result<Self, FaultError> {
        let words: Vec<String> = words.iter().map(|word| word.as_ref().to_owned()).collect();
        let mut words = Words::new(&words)?;
        let name = words.next("the kind of fault")?;
        let fault = match name.as_str() {
            "refuse" => {
                let status: u16 = words.number("--status", "a number from 400 to 599")?.ok_or(FaultError::Missing("--status"))?;
                if !(400..=599).contains(&status) {
                    return Err(FaultError::Number { name: "--status", value: status.to_string(), expected: "a number from 400 to 599" });
                }
                let retry_after = words.number("--retry-after", "a number of seconds")?;
                request(&mut words, Act::Refuse { status, retry_after })?
            }
            "delay" => {
                let ms = words.number("--ms", "a number of milliseconds")?.ok_or(FaultError::Missing("--ms"))?;
                request(&mut words, Act::Delay { ms })?
            }
            "cut-before" => request(&mut words, Act::CutBefore)?,
            "cut-after" => request(&mut words, Act::CutAfter)?,
            "unready" => {
                let pods = words.number("--pods", "a number of pods")?.unwrap_or(1);
                Self::Unready { deployment: words.next("the name of the deployment")?, pods }
            }
            "stall-terminating" => Self::StallTerminating,
            "image" => Self::Image { deployment: words.next("the name of the deployment")? },
            "crash" => {
                let pods = words.number("--pods", "a number of pods")?.unwrap_or(1);
                Self::Crash { deployment: words.next("the name of the deployment")?, pods }
            }
            "connections" => {
                let count = words.next("how many connections")?;
                let expected = "a number from 1";
                let number = count.parse().ok().filter(|count| *count > 0);
                Self::Connections { count: number.ok_or(FaultError::Number { name: "connections", value: count, expected })? }
            }
            "change" => {
                let object = words.next("the object, NAMESPACE/KIND/NAME")?;
                let field = words.next("the field, such as spec.replicas")?;
                let value = words.next("the new value")?;
                // What is no JSON is meant as text.
                let value = serde_json::from_str(&value).unwrap_or(Value::String(value));
                Self::Change { object, field, value }
            }
            _ => return Err(FaultError::Unknown(name)),
        };
        words.end()?;
        Ok(fault)
    }
}

fn request(words: &mut Words, act: Act) -> Result<Fault, FaultError> {
    let text = words.next("the route, such as 'PATCH */scale',")?;
    let (method, path) = text.split_once(' ').ok_or_else(|| FaultError::Route(text.clone()))?;
    let known = method == "*" || (!method.is_empty() && method.chars().all(|c| c.is_ascii_alphabetic()));
    let path = path.trim();
    if !known || !path.starts_with(['/', '*']) {
        return Err(FaultError::Route(text.clone()));
    }
    let times = match words.option("times") {
        None => Some(1),
        Some(word) if word == "forever" => None,
        Some(word) => match word.parse() {
            Ok(times) if times > 0 => Some(times),
            _ => return Err(FaultError::Number { name: "--times", value: word, expected: "a number from 1, or forever" }),
        },
    };
    let route = Route { method: method.to_ascii_uppercase(), path: path.to_owned(), host: words.option("host") };
    Ok(Fault::Request { route, act, times })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Splits as a shell does, with single quotes only.
    fn shell(text: &str) -> Vec<String> {
        let mut words = vec![String::new()];
        let mut quoted = false;
        for character in text.chars() {
            match character {
                '\'' => quoted = !quoted,
                ' ' if !quoted => words.push(String::new()),
                other => words.last_mut().unwrap().push(other),
            }
        }
        words
    }

    #[test]
    fn what_is_shown_is_parsed_back() {
        for text in [
            "refuse 'PATCH */scale' --status 503 --retry-after 2 --times 3",
            "delay '* *' --ms 250 --times forever",
            "cut-before 'POST /internal/cache/warm' --host ticket-service.production --times 1",
            "cut-after 'PATCH */scale' --times 1",
            "unready ticket-service --pods 2",
            "stall-terminating",
            "image ticket-service",
            "crash ticket-service --pods 3",
            "connections 150",
            "change production/deployment/ticket-service spec.replicas '5'",
        ] {
            assert_eq!(Fault::parse(&shell(text)).unwrap().to_string(), text);
        }
    }

    #[test]
    fn a_mistake_is_named() {
        for (text, expected) in [
            ("explode", "`explode` is no fault"),
            ("refuse 'GET /'", "--status is missing"),
            ("refuse 'GET /' --status 200", "--status cannot be `200`: a number from 400 to 599"),
            ("cut-after PATCH", "`PATCH` is no route"),
            ("cut-after 'PATCH x'", "`PATCH x` is no route"),
            ("cut-after 'GET /' --times 0", "--times cannot be `0`"),
            ("cut-after 'GET /' --tims 1", "`--tims` is not understood here"),
            ("unready", "the name of the deployment is missing"),
            ("image", "the name of the deployment is missing"),
            ("crash ticket-service --pods x", "--pods cannot be `x`: a number of pods"),
            ("connections", "how many connections is missing"),
            ("connections 0", "connections cannot be `0`: a number from 1"),
            ("stall-terminating now", "`now` is not understood here"),
        ] {
            let message = Fault::parse(&shell(text)).unwrap_err().to_string();
            assert!(message.starts_with(expected), "{text}: {message}");
        }
    }
}
