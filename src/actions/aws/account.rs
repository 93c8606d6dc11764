//! The account and region that a step acts in: those that its run recorded, and no others.

use serde_json::Value;

use crate::actions::support::{not_connected, target};
use crate::environment::{AWS, Aws, Connections};
use crate::model::change::ObjectRef;
use crate::model::outcome::Failure;
use crate::model::run::TargetSpec;
use crate::ports::action::Context;

/// The way to the account, where it is the one that the run recorded.
///
/// # Errors
/// Where there is none, or it is another by now.
pub(super) fn account(action: &str, connections: &Connections, cx: &Context) -> Result<Aws, Failure> {
    let target = target(action, cx.target.as_ref())?;
    let aws = connections.aws().map_err(|error| not_connected(&error))?;
    let access = aws.access();
    let recorded = |value: Option<&Value>| value.and_then(Value::as_str).map(str::to_owned);
    let Some(account) = recorded(target.identity.get(AWS)) else {
        return Err(Failure::permanent("this run was started where its environment had no AWS account").hint("start a new run"));
    };
    let region = recorded(target.values.get("aws").and_then(|aws| aws.get("region")));
    if account != access.account || region.as_deref() != Some(access.region.as_str()) {
        let meant = format!("account {account} in {}", region.unwrap_or_default());
        let message = format!("this run was started for {meant}, and its environment leads to {} by now", access.place());
        return Err(Failure::permanent(message).hint("a run never moves to another account or region: start a new run"));
    }
    Ok(aws)
}

/// What is touched, by the account's own number: `aws:123456789012:eu-central-1/elasticache/ticket-redis`.
pub(super) fn object_ref(target: &TargetSpec, service: &str, name: &str) -> Option<ObjectRef> {
    let values = target.values.get("aws");
    let value = |key: &str| values.and_then(|aws| aws.get(key)).and_then(Value::as_str);
    let account = target.identity.get(AWS).and_then(Value::as_str).or_else(|| value("account"))?;
    Some(ObjectRef(format!("aws:{account}:{}/{service}/{name}", value("region")?)))
}

/// The object that an input names, as a step's locks need it.
pub(super) fn touched(inputs: &Value, target: Option<&TargetSpec>, service: &str, input: &str) -> Vec<ObjectRef> {
    let object = || object_ref(target?, service, inputs.get(input)?.as_str()?);
    object().into_iter().collect()
}

/// A name as ElastiCache and RDS keep it: in lower case.
///
/// # Errors
/// When it cannot be one.
pub(super) fn identifier(input: &str, name: &str) -> Result<String, Failure> {
    let lower = name.to_ascii_lowercase();
    let good = (1..=63).contains(&lower.len())
        && lower.starts_with(|c: char| c.is_ascii_lowercase())
        && lower.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
        && !lower.ends_with('-')
        && !lower.contains("--");
    if good && lower == name {
        return Ok(lower);
    }
    Err(Failure::permanent(format!("`{input}` cannot be `{name}`"))
        .hint("lower-case letters, digits and single hyphens; it begins with a letter and has at most 63 characters"))
}
