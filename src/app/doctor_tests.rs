//! What a step lacks, by the answers of a cluster.

use super::*;
use crate::model::id::StepPath;
use crate::model::permission::Needs;

const OWNED: Extent = Extent::Where("an autoscaler owns the replicas");

fn permission(verb: &str, resource: &str) -> Permission {
    Permission::new(verb, "apps", resource, Some("production"))
}

fn step(needs: &[(Purpose, Extent, &str, &str)]) -> StepNeeds {
    let need = |(purpose, extent, verb, resource): &(Purpose, Extent, &str, &str)| Need {
        permission: permission(verb, resource),
        purpose: *purpose,
        extent: extent.clone(),
    };
    let needs = Needs { all: needs.iter().map(need).collect(), untold: Vec::new() };
    StepNeeds { path: StepPath::new("scale"), uses: "k8s.scale".to_owned(), needs }
}

/// What is denied; all else is allowed.
fn lacks(step: &StepNeeds, denied: &[(&str, &str)]) -> Vec<(Verdict, String)> {
    let denied: Vec<Permission> = denied.iter().map(|(verb, resource)| permission(verb, resource)).collect();
    let answers = step.needs.all.iter().map(|need| (need.permission.clone(), !denied.contains(&need.permission))).collect();
    judged(step, &answers).lacks.into_iter().map(|lack| (lack.verdict, lack.text)).collect()
}

#[test]
fn what_is_surely_needed_refuses_and_what_may_be_is_told() {
    let scale = step(&[
        (Purpose::Reads, Extent::Always, "get", "deployments"),
        (Purpose::Reads, Extent::Without("zones"), "list", "nodes"),
        (Purpose::Changes, Extent::Where("none does"), "patch", "deployments/scale"),
        (Purpose::Changes, OWNED, "patch", "autoscalers"),
        (Purpose::Reverts, Extent::Always, "get", "deployments"),
        (Purpose::Reverts, Extent::Always, "list", "pods"),
    ]);
    assert_eq!(lacks(&scale, &[]), []);
    let of = |verdict, text: &str| (verdict, text.to_owned());
    assert_eq!(
        lacks(&scale, &[("get", "deployments")]),
        [of(Verdict::Refused, "may not get deployments in namespace production")],
        "once, though the way back needs it too"
    );
    assert_eq!(
        lacks(&scale, &[("list", "nodes"), ("list", "pods")]),
        [
            of(Verdict::Notice, "may not list nodes in namespace production; it can do without, and leaves open: zones"),
            of(Verdict::Notice, "its rollback may not list pods in namespace production"),
        ]
    );
    let owned = "may not patch autoscalers in namespace production, needed where an autoscaler owns the replicas";
    assert_eq!(lacks(&scale, &[("patch", "autoscalers")]), [of(Verdict::Notice, owned)], "it may not be needed");
    assert_eq!(
        lacks(&scale, &[("patch", "autoscalers"), ("patch", "deployments/scale")]),
        [
            of(Verdict::Refused, "may not patch deployments/scale in namespace production, needed where none does"),
            of(Verdict::Refused, owned),
        ],
        "one of them is needed for sure"
    );
}

#[test]
fn what_was_not_answered_is_not_taken_for_allowed() {
    let scale = step(&[(Purpose::Changes, Extent::Always, "patch", "deployments/scale")]);
    let lacks = judged(&scale, &Answers::new()).lacks;
    assert_eq!(lacks[0].text, "whether it may patch deployments/scale in namespace production was not answered");
    assert_eq!(lacks[0].verdict, Verdict::Notice);
}

#[test]
fn a_lease_that_may_not_be_taken_is_told_with_its_verbs() {
    let leases = ["get", "create"].map(|verb| Permission::new(verb, "coordination.k8s.io", "leases", Some("production")));
    let answers = |allowed: bool| leases.iter().map(|lease| (lease.clone(), allowed)).collect::<Answers>();
    let told = locks(&leases, &answers(false)).unwrap();
    assert_eq!(told.text, "may not get, create leases.coordination.k8s.io in namespace production: locks hold on this machine only");
    assert_eq!(locks(&leases, &answers(true)).unwrap().verdict, Verdict::Good);
    assert!(locks(&leases, &Answers::new()).is_none(), "what was not answered is told elsewhere");
    assert!(locks(&[], &answers(false)).is_none());
}
