//! The protocol: JSON-RPC 2.0, one message a line.
//!
//! Must not send anything. Invariant: a line that is not exactly one message of those that a plugin may write is told as what is wrong with it.

use serde_json::{Map, Value, json};

/// What a plugin is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Method {
    Describe,
    Observe,
    Plan,
    Apply,
    Verify,
    Revert,
}

impl Method {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Describe => "describe",
            Self::Observe => "observe",
            Self::Plan => "plan",
            Self::Apply => "apply",
            Self::Verify => "verify",
            Self::Revert => "revert",
        }
    }
}

/// A question, as a line.
pub(super) fn question(id: u64, method: &str, params: &Value) -> String {
    json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params }).to_string()
}

/// That a question needs no answer any more, as a line.
pub(super) fn cancel(id: u64) -> String {
    json!({ "jsonrpc": "2.0", "method": "cancel", "params": { "id": id } }).to_string()
}

/// What a plugin writes.
#[derive(Debug, PartialEq)]
pub(super) enum Message {
    /// The answer to a question.
    Result { id: u64, result: Value },
    /// That a question could not be answered.
    Error { id: Option<u64>, code: i64, message: String },
    /// A part of a whole.
    Progress { done: u64, total: u64, message: String },
    /// A line for people.
    Log(String),
    /// Something that a later version of the protocol may know.
    Other(String),
}

impl Message {
    /// Reads a line.
    ///
    /// # Errors
    /// What is wrong with it, as the end of a sentence that begins with "it".
    pub(super) fn read(line: &str) -> Result<Self, String> {
        let value: Value = serde_json::from_str(line).map_err(|_| "is no JSON".to_owned())?;
        let Value::Object(mut message) = value else { return Err("is no JSON object".to_owned()) };
        if message.get("jsonrpc") != Some(&Value::from("2.0")) {
            return Err("has no `\"jsonrpc\": \"2.0\"`".to_owned());
        }
        match (message.remove("method"), message.remove("id")) {
            (Some(Value::String(method)), None) => notification(&method, message.remove("params")),
            (Some(Value::String(method)), Some(_)) => Err(format!("asks for `{}`, and a plugin may not ask", cut(&method))),
            (Some(_), _) => Err("has a method that is no text".to_owned()),
            (None, id) => answer(id, message),
        }
    }
}

fn notification(method: &str, params: Option<Value>) -> Result<Message, String> {
    let params = params.unwrap_or_default();
    let text = |key: &str| params[key].as_str().map(str::to_owned);
    match method {
        "log" => text("line").map(Message::Log).ok_or_else(|| "is a `log` without a `line`".to_owned()),
        "progress" => match (params["done"].as_u64(), params["total"].as_u64()) {
            (Some(done), Some(total)) => Ok(Message::Progress { done, total, message: text("message").unwrap_or_default() }),
            _ => Err("is a `progress` without whole numbers `done` and `total`".to_owned()),
        },
        other => Ok(Message::Other(cut(other))),
    }
}

fn answer(id: Option<Value>, mut message: Map<String, Value>) -> Result<Message, String> {
    let id = match id {
        Some(Value::Null) => None,
        Some(id) => Some(id.as_u64().ok_or_else(|| "has an id that is none of runsheet's".to_owned())?),
        None => return Err("is neither an answer nor a notification: it has no `id` and no `method`".to_owned()),
    };
    match (id, message.remove("result"), message.remove("error")) {
        (Some(id), Some(result), None) => Ok(Message::Result { id, result }),
        (id, None, Some(error)) => {
            let (Some(code), Some(text)) = (error["code"].as_i64(), error["message"].as_str()) else {
                return Err("has an `error` without a `code` and a `message`".to_owned());
            };
            Ok(Message::Error { id, code, message: text.to_owned() })
        }
        (None, Some(_), None) => Err("answers with the id `null`".to_owned()),
        (_, Some(_), Some(_)) => Err("has both a `result` and an `error`".to_owned()),
        (_, None, None) => Err("has neither a `result` nor an `error`".to_owned()),
    }
}

fn cut(text: &str) -> String {
    text.chars().take(60).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_message_of_a_plugin_is_read() {
        let read = |line: &str| Message::read(line).unwrap();
        assert_eq!(read(r#"{"jsonrpc":"2.0","id":2,"result":null}"#), Message::Result { id: 2, result: Value::Null });
        let error = Message::Error { id: None, code: -32700, message: "what?".into() };
        assert_eq!(read(r#"{"jsonrpc":"2.0","id":null,"error":{"code":-32700,"message":"what?"}}"#), error);
        assert_eq!(read(r#"{"jsonrpc":"2.0","method":"log","params":{"line":"a"}}"#), Message::Log("a".into()));
        let progress = Message::Progress { done: 1, total: 2, message: String::new() };
        assert_eq!(read(r#"{"jsonrpc":"2.0","method":"progress","params":{"done":1,"total":2}}"#), progress);
        assert_eq!(read(r#"{"jsonrpc":"2.0","method":"hum"}"#), Message::Other("hum".into()));
    }

    #[test]
    fn whatever_else_it_writes_is_told_as_what_is_wrong() {
        for (line, wanted) in [
            ("hello", "is no JSON"),
            ("[]", "is no JSON object"),
            (r#"{"id":1,"result":1}"#, "has no `\"jsonrpc\": \"2.0\"`"),
            (r#"{"jsonrpc":"2.0","id":1,"method":"read"}"#, "asks for `read`, and a plugin may not ask"),
            (r#"{"jsonrpc":"2.0","id":"x","result":1}"#, "has an id that is none of runsheet's"),
            (r#"{"jsonrpc":"2.0","id":1}"#, "has neither a `result` nor an `error`"),
            (r#"{"jsonrpc":"2.0","id":1,"result":1,"error":{}}"#, "has both a `result` and an `error`"),
            (r#"{"jsonrpc":"2.0","id":null,"result":1}"#, "answers with the id `null`"),
            (r#"{"jsonrpc":"2.0","id":1,"error":{"code":"x"}}"#, "has an `error` without a `code` and a `message`"),
            (r#"{"jsonrpc":"2.0","method":"progress","params":{"done":-1}}"#, "is a `progress` without whole numbers `done` and `total`"),
            (r#"{"jsonrpc":"2.0","result":1}"#, "is neither an answer nor a notification: it has no `id` and no `method`"),
        ] {
            assert_eq!(Message::read(line).unwrap_err(), wanted, "{line}");
        }
    }
}
