//! The key `aws` of an environment.

use super::super::yaml::{Kind, Node};
use super::reading::EnvironmentReader;
use crate::model::environment::AwsTarget;

impl EnvironmentReader<'_> {
    pub(super) fn aws(&mut self, node: &Node) -> Option<AwsTarget> {
        let what = "`aws`";
        self.inner.map(node, what, &["region", "account", "endpoint", "profile"])?;
        let region = self.needed(node, what, "region", "the region that is acted in: `eu-central-1`");
        let region = region.filter(|region| self.region(region, node));
        let account = self.account_number(node, what);
        let endpoint = node.get("endpoint").and_then(|at| self.endpoint(at));
        let profile = node.get("profile").and_then(|at| self.inner.text(at, "`profile`").filter(|text| self.filled(text, at, "`profile`")));
        let account_line = node.get("account").map_or(node.span.line, |at| at.span.line);
        Some(AwsTarget { region: region?, account: account?, account_line, endpoint, profile })
    }

    fn region(&mut self, region: &str, node: &Node) -> bool {
        let good =
            region.len() <= 32 && region.contains('-') && region.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-');
        if let Some(at) = node.get("region").filter(|_| !good) {
            self.inner.problems.hint("wrong-value", at.span, "`region` is not the name of one", "such as `eu-central-1`");
        }
        good
    }

    fn account_number(&mut self, node: &Node, what: &str) -> Option<String> {
        let hint =
            "its number, 12 digits in quotes: it keeps a run from acting in another account. `aws sts get-caller-identity` prints it";
        let Some(at) = node.get("account") else {
            self.inner.missing(node.span, what, "account", hint);
            return None;
        };
        if matches!(at.kind, Kind::Int(_)) {
            // YAML reads the digits as a number, and a leading zero would be lost.
            self.inner.problems.hint("wrong-type", at.span, "`account` is a number", "write its 12 digits in quotes");
            return None;
        }
        let text = self.inner.text(at, "`account`")?;
        let good = text.len() == 12 && text.chars().all(|c| c.is_ascii_digit());
        if !good {
            self.inner.problems.hint("wrong-value", at.span, "`account` is not the number of an AWS account", hint);
        }
        good.then_some(text)
    }

    /// A URL; without TLS only on this machine.
    fn endpoint(&mut self, at: &Node) -> Option<String> {
        let text = self.url(at, "`endpoint`")?;
        let parsed = url::Url::parse(&text).ok()?;
        let near = parsed.host_str().is_some_and(|host| {
            host == "localhost" || host.trim_matches(['[', ']']).parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
        });
        if parsed.scheme() == "http" && !near {
            let hint = "write `https://`, or leave it out: the region's own endpoints are known";
            self.inner.problems.hint("wrong-value", at.span, "`endpoint` without TLS is on another machine", hint);
            return None;
        }
        Some(text)
    }
}
