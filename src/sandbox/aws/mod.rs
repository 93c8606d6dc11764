//! AWS: STS, ElastiCache and RDS, as far as playbooks call them: the query protocol, each service at its own host.
//!
//! It must not check a signature's bytes: the access key, the service and the region in its scope are what tells a stranger. Invariants: whatever
//! takes time in AWS takes time here, in the same states; a node type that waits for its window stands at the members, and the group stays `available`.

mod db;
mod elasticache;
mod groups;
mod query;
mod rds;
mod window;
mod xml;

use std::sync::Arc;

use axum::body::Body;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use self::db::Databases;
use self::groups::Groups;
pub(crate) use self::query::action_of;
use self::query::{Query, Refused};
use self::xml::Xml;
use super::call::{Call, Caller};
use super::cluster::controller::Moment;
use super::platform::{Platform, Refusal};
use super::world::World;

/// The account's number.
pub(crate) const ACCOUNT: &str = "123456789012";
/// The region.
pub(crate) const REGION: &str = "eu-central-1";
/// The id of the access key that is taken; its secret is the password of every other system here.
pub(crate) const ACCESS_KEY: &str = "SANDBOXACCESSKEY0000";

/// What it remembers.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Aws {
    groups: Groups,
    databases: Databases,
}

impl Aws {
    /// Does what is due; whether anything changed, and when the next thing is.
    pub(crate) fn advance(&mut self, moment: Moment) -> (bool, Option<u64>) {
        let changed = self.groups.advance(moment) | self.databases.advance(moment);
        (changed, self.groups.due().into_iter().chain(self.databases.due()).min())
    }

    /// Whether an object's name is one of here: `aws/elasticache/ticket-redis`.
    pub(crate) fn has(object: &str) -> bool {
        object.starts_with("aws/")
    }

    /// Somebody beside the run changes a field, at once.
    ///
    /// # Errors
    /// What is wrong with the object, the field or the value.
    pub(crate) fn meddle(world: &mut World, caller: &Caller, object: &str, field: &str, value: &Value) -> Result<(), String> {
        let name = object.strip_prefix("aws/elasticache/").ok_or_else(|| format!("there is no object {object} that could be changed"))?;
        let from = world.aws.groups.meddle(name, field, value)?;
        world.effects.record(caller, object, field, from, value.clone());
        Ok(())
    }
}

/// The service that a host is, in the region of here.
pub(crate) fn service_of(host: &str) -> Option<&'static str> {
    let (service, rest) = host.split_once('.')?;
    let known = ["sts", "elasticache", "rds"].into_iter().find(|known| *known == service)?;
    rest.strip_suffix(".amazonaws.com").filter(|region| *region == REGION).map(|_| known)
}

/// Answers one request to a service.
pub(crate) async fn answer(platform: &Arc<Platform>, call: &Call, service: &'static str) -> Response {
    let query = Query::of(&call.body);
    let answered = match authorized(call, service) {
        Ok(()) => act(platform, call, service, &query).await,
        Err(refused) => Err(refused),
    };
    match answered {
        Ok(result) => response(200, &xml::answer(service, &query.action, &result)),
        Err(refused) => response(refused.status, &xml::error(service, &refused)),
    }
}

/// What a fault of the sandbox answers in a service's place.
pub(crate) fn refuse(service: &'static str, status: u16, retry_after: Option<u32>) -> Response {
    let (code, message) = match status {
        403 => ("AccessDenied", "User is not authorized to perform this action: refused by a fault of the sandbox"),
        400 | 429 => ("Throttling", "Rate exceeded"),
        503 => ("ServiceUnavailable", "Service is unavailable: a fault of the sandbox"),
        401..=499 => ("InvalidParameterValue", "refused by a fault of the sandbox"),
        _ => ("InternalFailure", "The request processing has failed: a fault of the sandbox"),
    };
    let mut response = response(status, &xml::error(service, &Refused::new(status, code, message)));
    if let Some(seconds) = retry_after {
        response.headers_mut().insert(http::header::RETRY_AFTER, seconds.into());
    }
    response
}

/// What a body that is too large is answered.
pub(crate) fn too_large(service: &'static str) -> Response {
    response(413, &xml::error(service, &Refused::new(413, "RequestEntityTooLarge", "the body is too large")))
}

fn response(status: u16, text: &str) -> Response {
    let mut response = Response::new(Body::from(text.to_owned()));
    *response.status_mut() = http::StatusCode::from_u16(status).unwrap_or(http::StatusCode::INTERNAL_SERVER_ERROR);
    response.headers_mut().insert(http::header::CONTENT_TYPE, http::HeaderValue::from_static("text/xml"));
    response
}

/// Whether the request is signed with the sandbox's key, for this service and region.
fn authorized(call: &Call, service: &str) -> Result<(), Refused> {
    let given = call.authorization();
    let scope = given.strip_prefix("AWS4-HMAC-SHA256 ").and_then(|rest| {
        let credential = rest.split(',').find_map(|part| part.trim().strip_prefix("Credential="))?;
        let parts: Vec<&str> = credential.split('/').collect();
        match parts.as_slice() {
            [key, _, region, service, "aws4_request"] => Some(((*key).to_owned(), (*region).to_owned(), (*service).to_owned())),
            _ => None,
        }
    });
    let Some((key, region, signed_for)) = scope else {
        return Err(Refused::new(403, "MissingAuthenticationToken", "Request is missing Authentication Token"));
    };
    if key != ACCESS_KEY {
        return Err(Refused::new(403, "InvalidClientTokenId", "The security token included in the request is invalid."));
    }
    if region != REGION || signed_for != service {
        let message = format!("Credential should be scoped to correct service: '{service}' and region '{REGION}'.");
        return Err(Refused::new(403, "SignatureDoesNotMatch", message));
    }
    Ok(())
}

async fn act(platform: &Arc<Platform>, call: &Call, service: &'static str, query: &Query) -> Result<Xml, Refused> {
    let moment = platform.moment();
    match (service, query.action.as_str()) {
        ("sts", "GetCallerIdentity") => Ok(Xml::new()
            .text("Arn", format!("arn:aws:iam::{ACCOUNT}:user/sandbox"))
            .text("UserId", "AIDASANDBOX")
            .text("Account", ACCOUNT)),
        ("elasticache", "DescribeReplicationGroups") => elasticache::describe(&platform.read().aws.groups, query),
        ("elasticache", "DescribeCacheClusters") => elasticache::members(&platform.read().aws.groups, query),
        ("elasticache", "ListAllowedNodeTypeModifications") => elasticache::allowed(&platform.read().aws.groups, query),
        ("elasticache", "ModifyReplicationGroup" | "IncreaseReplicaCount" | "DecreaseReplicaCount") => {
            change(platform, call, query, moment, elasticache::change).await
        }
        ("rds", "DescribeDBInstances") => rds::describe(&platform.read().aws.databases, query),
        ("rds", "CreateDBInstanceReadReplica" | "DeleteDBInstance") => change(platform, call, query, moment, rds::change).await,
        (_, action) => Err(Refused::new(400, "InvalidAction", format!("Could not find operation {action} for this version"))),
    }
}

type Changing = fn(&mut World, &Caller, &Query, Moment) -> Result<Xml, Refused>;

async fn change(platform: &Arc<Platform>, call: &Call, query: &Query, moment: Moment, act: Changing) -> Result<Xml, Refused> {
    let (query, mut caller) = (query.clone(), call.caller.clone());
    caller.request = format!("POST /{}", query.action);
    let changing = Arc::clone(platform);
    // A task of its own: a client that goes away meanwhile must not keep what it has changed from being taken up.
    let changed = tokio::spawn(async move {
        let changed = changing.change(move |world| act(world, &caller, &query, moment)).await;
        changing.wake();
        changed
    });
    match changed.await {
        Ok(changed) => changed.map_err(|refusal| match refusal {
            Refusal::Refused(refused) => refused,
            Refusal::Storage(error) => Refused::new(500, "InternalFailure", error.to_string()),
        }),
        Err(error) => Err(Refused::new(500, "InternalFailure", error.to_string())),
    }
}
