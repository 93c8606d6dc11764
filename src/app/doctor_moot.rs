//! What a step could read of an API that the cluster does not have, and can do without: nobody lacks the permission for that.
//!
//! Must not take a silent server for one without the API. Invariant: what a step cannot do without is never left out.

use std::collections::BTreeSet;

use super::doctor_access::TIMEOUT;
use crate::environment::{Environment, KubeCall};
use crate::model::permission::{Extent, Need};
use crate::planner::StepNeeds;

/// The group of a need that the step can do without.
fn optional(need: &Need) -> Option<&str> {
    let group = need.permission.group.as_str();
    // Groups of others' definitions bear a domain's name.
    (matches!(need.extent, Extent::Without(_)) && group.contains('.')).then_some(group)
}

/// The groups of these steps that the cluster does not have, of those that they can do without.
pub(super) async fn missing_groups<'s>(environment: &Environment, steps: impl Iterator<Item = &'s StepNeeds>) -> BTreeSet<String> {
    let groups: BTreeSet<&str> = steps.flat_map(|step| &step.needs.all).filter_map(optional).collect();
    let mut missing = BTreeSet::new();
    let Ok(client) = environment.connections.kube_client() else { return missing };
    for group in groups {
        let asked = KubeCall::get(format!("/apis/{group}"), TIMEOUT).send(&client).await;
        if asked.is_ok_and(|reply| reply.status == 404) {
            missing.insert(group.to_owned());
        }
    }
    missing
}

/// The step without what it could read of these groups, and without whatever else it reads for the same end.
pub(super) fn without_moot(mut step: StepNeeds, missing: &BTreeSet<String>) -> StepNeeds {
    let moot: Vec<Extent> = step
        .needs
        .all
        .iter()
        .filter(|need| optional(need).is_some_and(|group| missing.contains(group)))
        .map(|need| need.extent.clone())
        .collect();
    step.needs.all.retain(|need| !moot.contains(&need.extent));
    step
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::id::StepPath;
    use crate::model::permission::{Needs, Permission, Purpose};

    #[test]
    fn only_what_leaves_the_same_open_goes_with_a_group_that_is_not_there() {
        let need = |group: &str, resource: &str, extent: Extent| Need {
            permission: Permission::new("get", group, resource, Some("argocd")),
            purpose: Purpose::Reads,
            extent,
        };
        let back = Extent::Without("whether Argo CD puts it back");
        let all = vec![
            need("apps", "deployments", Extent::Always),
            need("argoproj.io", "applications", back.clone()),
            need("", "configmaps", back),
            need("", "nodes", Extent::Without("zones")),
            need("argoproj.io", "appprojects", Extent::Always),
        ];
        let step = StepNeeds { path: StepPath::new("scale"), uses: "k8s.scale".to_owned(), needs: Needs { all, untold: Vec::new() } };
        let left = |missing: &[&str]| -> Vec<String> {
            let missing = missing.iter().map(|group| (*group).to_owned()).collect();
            without_moot(step.clone(), &missing).needs.all.into_iter().map(|need| need.permission.resource).collect()
        };
        assert_eq!(left(&[]).len(), 5);
        assert_eq!(left(&["argoproj.io"]), ["deployments", "nodes", "appprojects"]);
    }
}
