//! A request of the query protocol, and why one is refused.

use std::collections::BTreeMap;

/// A request's action and parameters.
#[derive(Debug, Clone, Default)]
pub(super) struct Query {
    pub(super) action: String,
    params: BTreeMap<String, String>,
}

/// The action that a body asks for; empty where it names none.
pub(crate) fn action_of(body: &[u8]) -> String {
    url::form_urlencoded::parse(body).find(|(key, _)| key == "Action").map(|(_, action)| action.into_owned()).unwrap_or_default()
}

impl Query {
    pub(super) fn of(body: &[u8]) -> Self {
        let params: BTreeMap<String, String> = url::form_urlencoded::parse(body).into_owned().collect();
        Self { action: params.get("Action").cloned().unwrap_or_default(), params }
    }

    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.params.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    pub(super) fn needed(&self, name: &str) -> Result<&str, Refused> {
        self.get(name).ok_or_else(|| Refused::new(400, "MissingParameter", format!("The request must contain the parameter {name}")))
    }

    pub(super) fn number(&self, name: &str) -> Result<u32, Refused> {
        let text = self.needed(name)?;
        text.parse().map_err(|_| Refused::invalid(format!("{name} must be a number, not {text}")))
    }

    pub(super) fn is_true(&self, name: &str) -> bool {
        self.get(name).is_some_and(|value| value.eq_ignore_ascii_case("true"))
    }

    /// The values of a list: `NAME.member.1`, or by the name of its members, `NAME.Tag.1`.
    pub(super) fn list(&self, name: &str) -> Vec<String> {
        let begins = format!("{name}.");
        self.params.iter().filter(|(key, _)| key.starts_with(&begins)).map(|(_, value)| value.clone()).collect()
    }

    /// Tags, `Tags.Tag.1.Key` and `Tags.Tag.1.Value`.
    pub(super) fn tags(&self) -> BTreeMap<String, String> {
        let keys = self.params.iter().filter(|(name, _)| name.starts_with("Tags."));
        let pair = |(name, key): (&String, &String)| {
            let value = self.params.get(&format!("{}.Value", name.strip_suffix(".Key")?)).cloned();
            Some((key.clone(), value.unwrap_or_default()))
        };
        keys.filter_map(pair).collect()
    }
}

/// Why a request is refused.
#[derive(Debug, Clone)]
pub(super) struct Refused {
    pub(super) status: u16,
    pub(super) code: &'static str,
    pub(super) message: String,
}

impl Refused {
    pub(super) fn new(status: u16, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into() }
    }

    pub(super) fn invalid(message: impl Into<String>) -> Self {
        Self::new(400, "InvalidParameterValue", message)
    }
}
