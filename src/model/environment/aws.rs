//! An AWS account in a region, as an environment's file says which it is.

use serde::Serialize;

/// An AWS account, reached in one region.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AwsTarget {
    /// The region: `eu-central-1`.
    pub region: String,
    /// The account's number, 12 digits: what it says it is.
    pub account: String,
    /// The line of the file that says so, 1-based.
    pub account_line: u32,
    /// Where every call goes in the place of the region's own endpoints.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    /// The profile of `~/.aws/config` that credentials come from; `None`: as the standard chain finds them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub profile: Option<String>,
}
