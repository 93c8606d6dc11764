//! Whether the AWS account that an environment names is the one that the credentials lead to.
//!
//! Must not ask more than that: what an account may do there is told when it is tried. Invariant: no credential is shown.

use std::time::Instant;

use super::{EnvironmentCheck, Verdict};
use crate::environment::{AwsError, Environment, IdentityError, Recorded};
use crate::model::environment::EnvironmentDefinition;

/// Asks whose the credentials are.
pub(super) async fn account(check: &mut EnvironmentCheck, definition: &EnvironmentDefinition, file: &str) {
    let what = "aws";
    let Some(aws) = &definition.aws else { return };
    // A kubeconfig that is wrong says nothing of the account.
    let Ok(environment) = Environment::of(EnvironmentDefinition { kubernetes: None, ..definition.clone() }) else { return };
    let begun = Instant::now();
    let asked = async { environment.connections.aws().map_err(AwsError::from)?.caller_account().await };
    match asked.await {
        Ok(live) if live == aws.account => {
            let took = begun.elapsed().as_millis().max(1);
            let from = aws.profile.as_ref().map(|profile| format!(" of the profile {profile}")).unwrap_or_default();
            let at = aws.endpoint.as_ref().map(|endpoint| format!(", at {endpoint}")).unwrap_or_default();
            check.good(
                what,
                format!("the credentials{from} lead to account {live}, the one that is meant, in {} ({took} ms){at}", aws.region),
            );
        }
        Ok(live) => {
            let by = Recorded::InFile(format!("{file}:{}", aws.account_line));
            let error = IdentityError::OtherAccount { recorded: aws.account.clone(), live, by };
            check.add(what, Verdict::Refused, error.to_string(), Some(error.hint()));
        }
        Err(error) => check.add(what, Verdict::Refused, error.to_string(), Some(error.hint())),
    }
}
