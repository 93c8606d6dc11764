//! Label and field selectors: `a=b,c!=d,e in (f,g),!h` and `metadata.name=x,status.phase!=Running`.
//!
//! It must not read the store. Invariant: a selector that cannot be understood is an error, never one that matches everything.

use serde_json::Value;

use super::resource::Resource;

/// One requirement on a label or field.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Requirement {
    In(String, Vec<String>),
    NotIn(String, Vec<String>),
    Exists(String),
    Missing(String),
}

/// A conjunction of requirements on labels and fields.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Selector {
    labels: Vec<Requirement>,
    fields: Vec<Requirement>,
}

impl Selector {
    /// Parses the `labelSelector` and `fieldSelector` of a request for a kind; the error says what is wrong with which text.
    pub(crate) fn parse(resource: Resource, labels: &str, fields: &str) -> Result<Self, String> {
        let labels = split(labels).into_iter().map(requirement).collect::<Result<Vec<_>, _>>()?;
        let fields = split(fields).into_iter().map(requirement).collect::<Result<Vec<_>, _>>()?;
        for field in &fields {
            match field {
                Requirement::In(name, _) | Requirement::NotIn(name, _)
                    if matches!(name.as_str(), "metadata.name" | "metadata.namespace") || fields_of(resource).contains(&name.as_str()) => {}
                other => return Err(format!("field label not supported: {}", other.key())),
            }
        }
        Ok(Self { labels, fields })
    }

    /// Whether there is no requirement at all.
    pub(crate) fn is_empty(&self) -> bool {
        self.labels.is_empty() && self.fields.is_empty()
    }

    /// Whether the object meets every requirement.
    pub(crate) fn matches(&self, object: &Value) -> bool {
        let label = |key: &str| object.pointer("/metadata/labels").and_then(|labels| labels.get(key)).and_then(Value::as_str);
        let field = |key: &str| match object.pointer(&format!("/{}", path(key).replace('.', "/"))) {
            Some(Value::String(text)) => Some(text.clone()),
            Some(Value::Null) | None => Some(absent(key).to_owned()),
            Some(other) => Some(other.to_string()),
        };
        let label = |key: &str| label(key).map(str::to_owned);
        self.labels.iter().all(|requirement| requirement.holds(label)) && self.fields.iter().all(|requirement| requirement.holds(field))
    }
}

impl Requirement {
    fn key(&self) -> &str {
        match self {
            Self::In(key, _) | Self::NotIn(key, _) | Self::Exists(key) | Self::Missing(key) => key,
        }
    }

    fn holds(&self, value: impl Fn(&str) -> Option<String>) -> bool {
        let found = value(self.key());
        match self {
            Self::In(_, values) => found.is_some_and(|found| values.contains(&found)),
            Self::NotIn(_, values) => found.is_none_or(|found| !values.contains(&found)),
            Self::Exists(_) => found.is_some(),
            Self::Missing(_) => found.is_none(),
        }
    }
}

/// The fields that a kind can be selected by, besides its name and namespace.
fn fields_of(resource: Resource) -> &'static [&'static str] {
    match resource {
        Resource::Pods => &[
            "spec.nodeName",
            "spec.restartPolicy",
            "spec.schedulerName",
            "spec.serviceAccountName",
            "spec.hostNetwork",
            "status.phase",
            "status.podIP",
            "status.nominatedNodeName",
        ],
        Resource::Events => &[
            "involvedObject.kind",
            "involvedObject.namespace",
            "involvedObject.name",
            "involvedObject.uid",
            "involvedObject.apiVersion",
            "involvedObject.resourceVersion",
            "involvedObject.fieldPath",
            "reason",
            "reportingComponent",
            "source",
            "type",
        ],
        Resource::Namespaces => &["status.phase"],
        Resource::Nodes => &["spec.unschedulable"],
        Resource::Jobs => &["status.successful"],
        Resource::ReplicaSets => &["status.replicas"],
        _ => &[],
    }
}

/// Where the value of a field is.
fn path(field: &str) -> &str {
    // The only name of a field that is not its path: an Event's source is known by its component.
    if field == "source" { "source.component" } else { field }
}

/// What an absent field is compared as.
fn absent(field: &str) -> &'static str {
    match field {
        "spec.unschedulable" | "spec.hostNetwork" => "false",
        "status.successful" | "status.replicas" => "0",
        _ => "",
    }
}

/// A label selector of an object as text: `app=ticket-service,tier in (a,b)`.
pub(crate) fn label_selector_text(selector: &Value) -> String {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let labels = selector["matchLabels"].as_object();
    let mut parts: Vec<String> = labels.into_iter().flatten().map(|(key, value)| format!("{key}={}", text(value))).collect();
    for expression in selector["matchExpressions"].as_array().into_iter().flatten() {
        let key = text(&expression["key"]);
        let values: Vec<String> = expression["values"].as_array().into_iter().flatten().map(text).collect();
        parts.push(match expression["operator"].as_str().unwrap_or_default() {
            "In" => format!("{key} in ({})", values.join(",")),
            "NotIn" => format!("{key} notin ({})", values.join(",")),
            "DoesNotExist" => format!("!{key}"),
            _ => key,
        });
    }
    parts.sort();
    parts.join(",")
}

/// Splits at the commas that are outside parentheses.
fn split(text: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let (mut depth, mut start) = (0_u32, 0);
    for (at, character) in text.char_indices() {
        match character {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            ',' if depth == 0 => {
                parts.push(&text[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&text[start..]);
    parts.into_iter().map(str::trim).filter(|part| !part.is_empty()).collect()
}

fn requirement(text: &str) -> Result<Requirement, String> {
    let bad = || format!("unable to parse requirement: '{text}'");
    let valid = |key: &str| !key.is_empty() && key.chars().all(|c| c.is_ascii_alphanumeric() || "-_./".contains(c));
    let (key, wanted, negative) = if let Some((key, value)) = text.split_once("!=") {
        (key, vec![value.trim().to_owned()], true)
    } else if let Some((key, value)) = text.split_once("==").or_else(|| text.split_once('=')) {
        (key, vec![value.trim().to_owned()], false)
    } else if let Some(rest) = text.strip_suffix(')') {
        let (head, values) = rest.split_once('(').ok_or_else(bad)?;
        let (key, operator) = head.trim().rsplit_once(char::is_whitespace).ok_or_else(bad)?;
        let negative = match operator {
            "in" => false,
            "notin" => true,
            _ => return Err(bad()),
        };
        (key, values.split(',').map(|value| value.trim().to_owned()).collect(), negative)
    } else if let Some(key) = text.strip_prefix('!') {
        let key = key.trim();
        return if valid(key) { Ok(Requirement::Missing(key.to_owned())) } else { Err(bad()) };
    } else {
        return if valid(text) { Ok(Requirement::Exists(text.to_owned())) } else { Err(bad()) };
    };
    let key = key.trim();
    if !valid(key) || wanted.iter().any(|value| !value.is_empty() && !valid(value)) {
        return Err(bad());
    }
    Ok(if negative { Requirement::NotIn(key.to_owned(), wanted) } else { Requirement::In(key.to_owned(), wanted) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn selectors_choose_what_they_name() {
        let pod =
            json!({ "metadata": { "name": "a", "labels": { "app": "ticket-service", "tier": "web" } }, "status": { "phase": "Running" } });
        for (labels, fields, expected) in [
            ("", "", true),
            ("app=ticket-service", "", true),
            ("app==ticket-service,tier!=db", "", true),
            ("app in (other, ticket-service),tier", "", true),
            ("app notin (ticket-service)", "", false),
            ("!app", "", false),
            ("!missing,missing!=x", "", true),
            ("missing=x", "", false),
            ("", "status.phase=Running,metadata.name=a", true),
            ("", "status.phase!=Running", false),
        ] {
            assert_eq!(Selector::parse(Resource::Pods, labels, fields).unwrap().matches(&pod), expected, "{labels} {fields}");
        }
    }

    #[test]
    fn what_cannot_be_understood_is_an_error() {
        for (labels, fields) in
            [("a in b)", ""), ("=x", ""), ("a b", ""), ("a within (b)", ""), ("", "spec.nodeNam=x"), ("", "status.phase")]
        {
            assert!(Selector::parse(Resource::Pods, labels, fields).is_err(), "{labels} {fields}");
        }
    }
}
