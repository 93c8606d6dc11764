//! What each action declares that an account must be allowed, held to the requests that it makes; and what each account meets that lacks some of it.
//!
//! The tests know a [`crate::support::Bench`] and no rules: what an account may do is what the cluster says of it (SelfSubjectAccessReview).

use std::collections::BTreeSet;

use http::Method;
use runsheet::environment::KubeCall;
use runsheet::model::outcome::{Applied, Failure};
use runsheet::model::permission::{Extent, Need, Permission, Purpose};
use runsheet::model::step::Effect;
use serde_json::json;

use crate::permission_trials::{Stage, Trial, furnish, trials};
use crate::support::{Bench, On, PATIENCE, Step, deployment};

const APPS: &str = "/apis/apps/v1/namespaces/production/deployments";

async fn any_pod(bench: &Bench) -> String {
    let pods = bench.list("/api/v1/namespaces/production/pods").await;
    pods[0]["metadata"]["name"].as_str().expect("a pod").to_owned()
}

fn needs(bench: &Bench, trial: &Trial) -> Vec<Need> {
    let catalogue = bench.catalogue();
    let needs = (catalogue.get(trial.action).expect("an entry").permissions)(&trial.inputs, Some(&bench.cluster.target()));
    assert_eq!(needs.untold, Vec::<String>::new(), "{}: all is known", trial.action);
    needs.all
}

/// A request as access rules name it; none for what is no resource.
fn asked(method: &str, path: &str) -> Option<Permission> {
    let segments: Vec<&str> = path.trim_matches('/').split('/').collect();
    let (group, rest) = match segments.as_slice() {
        ["api", "v1", rest @ ..] => ("", rest),
        ["apis", group, _, rest @ ..] => (*group, rest),
        _ => return None,
    };
    let (namespace, rest) = match rest {
        ["namespaces", namespace, rest @ ..] if !rest.is_empty() => (Some(*namespace), rest),
        rest => (None, rest),
    };
    let (resource, name) = match rest {
        [] => return None,
        [resource] => ((*resource).to_owned(), None),
        [resource, name] => ((*resource).to_owned(), Some(*name)),
        [resource, name, part, ..] => (format!("{resource}/{part}"), Some(*name)),
    };
    let verb = match (method, name) {
        ("GET" | "HEAD", Some(_)) => "get",
        ("GET", None) => "list",
        ("POST", _) => "create",
        ("PUT", _) => "update",
        ("PATCH", _) => "patch",
        ("DELETE", Some(_)) => "delete",
        other => panic!("{other:?} {path}"),
    };
    Some(Permission::new(verb, group, &resource, namespace).of(name))
}

fn covers(declared: &Permission, made: &Permission) -> bool {
    let bare = |permission: &Permission| permission.clone().of(None);
    bare(declared) == bare(made) && (declared.name.is_none() || declared.name == made.name)
}

/// What the API was asked since.
fn since(bench: &Bench, so_far: usize) -> Vec<Permission> {
    let requests = bench.cluster.requests().expect("a cluster that tells its requests");
    let made = requests[so_far..].iter().filter_map(|(method, path)| asked(method, path));
    // Who opens a stream by a GET needs `create`, too.
    let streams = |made: &Permission| matches!(made.subresource.as_str(), "exec" | "portforward");
    made.flat_map(|made| {
        let create = streams(&made).then(|| Permission { verb: "create".to_owned(), ..made.clone() });
        [Some(made), create].into_iter().flatten()
    })
    .collect()
}

/// Does a step to its end, and what came of it.
async fn done(step: &Step) -> Result<runsheet::model::intent::Intent, Failure> {
    let intent = step.try_plan().await?.intent;
    match step.apply(&intent).await {
        Applied::Applied { .. } => Ok(intent),
        Applied::NotApplied { failure } | Applied::FailedWithEffect { failure, .. } => Err(failure),
        Applied::Unknown { failure } => panic!("{}: nobody knows: {failure}", step.action.entry().name),
    }
}

/// Promise: an account that is allowed what an action declares can do it, since it asks for nothing else.
async fn every_request_of_every_action_is_declared_and_nothing_is_declared_for_nothing(on: On) {
    let first = Bench::start(on).await;
    let all = trials(&first, "x").len();
    drop(first);
    let mut used: BTreeSet<(String, Permission)> = BTreeSet::new();
    let mut declared: BTreeSet<(String, Permission)> = BTreeSet::new();
    let mut tried: BTreeSet<String> = BTreeSet::new();
    for nth in 0..all {
        let bench = Bench::start(on).await;
        let pod = any_pod(&bench).await;
        let trial = trials(&bench, &pod).remove(nth);
        furnish(&bench, trial.stage).await;
        let told = format!("{} {} on {:?}", trial.action, trial.inputs, trial.stage);
        let step = bench.step(trial.action, trial.inputs.clone());
        let needs = needs(&bench, &trial);
        let requests = |so_far| since(&bench, so_far);
        let count = || bench.cluster.requests().expect("the requests").len();

        let before = count();
        let outcome = done(&step).await;
        if let Ok(intent) = &outcome {
            let verified = step.action.verify(&step.cx, &step.inputs, intent).await;
            verified.unwrap_or_else(|failure| panic!("{told}: {failure}"));
            step.live(intent).await;
            // What a new autoscaler makes of the replicas is part of what is taken back.
            if trial.action == "k8s.autoscaler"
                && let Some(min) = trial.inputs["min"].as_i64()
            {
                let raised =
                    || async { (bench.get(&format!("{APPS}/ticket-service")).await?["spec"]["replicas"].as_i64()? >= min).then_some(()) };
                bench.until("the autoscaler is at its floor", raised).await;
            }
        } else {
            // The sandbox knows no CronJobs: it is asked for one all the same.
            assert_eq!(trial.inputs["from"], "cronjob/nightly", "{told}: {outcome:?}");
        }
        let forth = requests(before);
        assert!(!forth.is_empty(), "{told}: it asks something");
        for made in &forth {
            let reads = matches!(made.verb.as_str(), "get" | "list") && made.subresource != "proxy";
            let fits = |need: &&Need| {
                let purpose = if reads { need.purpose != Purpose::Reverts } else { need.purpose == Purpose::Changes || made.verb == "get" };
                purpose && covers(&need.permission, made)
            };
            assert!(
                needs.iter().any(|need| fits(&need)),
                "{told}: it asks to {made} ({:?}), which it does not declare:\n{needs:#?}",
                made.name
            );
        }
        let middle = count();
        if let Ok(intent) = outcome
            && step.action.entry().effect != Effect::Read
            && step.action.entry().reverts
        {
            let reverted = step.revert(&intent).await;
            assert!(matches!(reverted, Applied::Applied { .. }), "{told}: {reverted:?}");
            step.until_followed(&intent).await;
        }
        let back = requests(middle);
        for made in &back {
            assert!(
                needs.iter().any(|need| covers(&need.permission, made)),
                "{told}: its rollback asks to {made} ({:?}), which it does not declare:\n{needs:#?}",
                made.name
            );
        }
        for need in &needs {
            let made = forth.iter().chain(&back).any(|made| covers(&need.permission, made));
            // Each trial has a namespace of its own.
            let anywhere = Permission { namespace: None, ..need.permission.clone().of(None) };
            let of = (trial.action.to_owned(), anywhere);
            if made {
                used.insert(of.clone());
            }
            // Where the trial ends early, what comes later was not asked.
            assert!(
                made || need.extent != Extent::Always || trial.inputs["from"] == "cronjob/nightly",
                "{told}: it declares to {} and never asks it",
                need.permission
            );
            declared.insert(of);
        }
        tried.insert(trial.action.to_owned());
    }
    // KEDA puts the replicas back itself, unless its HPA sets them once more at that very moment.
    declared.retain(|(action, permission)| action != "k8s.keda" || permission.subresource != "scale");
    let never: Vec<_> = declared.difference(&used).map(|(action, permission)| format!("{action}: {permission}")).collect();
    assert!(never.is_empty(), "declared, and asked in no trial: {never:#?}");
    // What no trial has is held by nothing: an action that asks a cluster has to be tried.
    let bench = Bench::start(on).await;
    let untried: Vec<String> = bench
        .catalogue()
        .iter()
        .filter(|entry| {
            entry.name.starts_with("k8s.")
                || !(entry.permissions)(&json!({ "workload": "deployment/x" }), Some(&bench.cluster.target())).all.is_empty()
        })
        .map(|entry| entry.name.clone())
        .filter(|name| !tried.contains(name))
        .collect();
    assert_eq!(untried, Vec::<String>::new());
}

/// Whether the cluster says that an account may do it.
async fn may(bench: &Bench, account: &str, permission: &Permission) -> bool {
    let Permission { group, resource, subresource, verb, namespace, name, .. } = permission;
    let attributes =
        json!({ "group": group, "resource": resource, "subresource": subresource, "verb": verb, "namespace": namespace, "name": name });
    let review =
        json!({ "apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview", "spec": { "resourceAttributes": attributes } });
    let call = KubeCall {
        method: Method::POST,
        path: "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews".to_owned(),
        body: Some(("application/json", review)),
        timeout: PATIENCE,
    };
    let client = bench.cluster.connections_as(account).kube_client().expect("a client");
    let reply = call.send(&client).await.expect("an answer");
    reply.body["status"]["allowed"].as_bool().unwrap_or_else(|| panic!("{permission}: {}", reply.body))
}

/// That a refusal names what is missing, and that it is one of these.
#[track_caller]
fn assert_names(told: &str, failure: &Failure, lacking: &[&Need]) {
    let named = |need: &&&Need| {
        let Permission { resource, subresource, verb, namespace, .. } = &need.permission;
        let resource = if subresource.is_empty() { resource.clone() } else { format!("{resource}/{subresource}") };
        let place = namespace.as_ref().is_none_or(|namespace| failure.message.contains(&format!("in namespace {namespace}")));
        let hint = failure.hint.as_deref().unwrap_or_default();
        failure.message.contains(&format!("{verb} {resource}")) && place && hint.contains(&format!("`{verb}` on `{resource}`"))
    };
    assert!(!failure.transient, "{told}: trying again does not help: {failure:?}");
    assert!(lacking.iter().any(|need| named(&need)), "{told}: the refusal does not name what is missing: {failure:?}\n{lacking:#?}");
}

/// As each account every action works, or is refused with the verb, the resource and the namespace that are missing; and which of both it is could
/// be told before.
async fn each_account_is_told_what_it_lacks_as_its_declaration_foretells(on: On, account: &str) {
    let (mut refused, mut worked) = (BTreeSet::new(), BTreeSet::new());
    let first = Bench::start(on).await;
    let all = trials(&first, "x").len();
    drop(first);
    for nth in 0..all {
        let bench = Bench::start(on).await;
        let pod = any_pod(&bench).await;
        let trial = trials(&bench, &pod).remove(nth);
        if trial.inputs["from"] == "cronjob/nightly" {
            continue;
        }
        furnish(&bench, trial.stage).await;
        let told = format!("{account}: {} {} on {:?}", trial.action, trial.inputs, trial.stage);
        let mut lacking = Vec::new();
        let needs = needs(&bench, &trial);
        for need in &needs {
            if !may(&bench, account, &need.permission).await {
                lacking.push(need);
            }
        }
        let forth: Vec<&Need> = lacking.iter().copied().filter(|need| need.purpose != Purpose::Reverts).collect();
        let certain = forth.iter().any(|need| need.extent == Extent::Always);
        let possible = forth.iter().any(|need| !matches!(need.extent, Extent::Without(_)));
        let changes = bench.cluster.changes();
        match done(&bench.step_as(account, trial.action, trial.inputs.clone())).await {
            Ok(_) => {
                assert!(!certain, "{told}: it worked, and was foretold not to: {forth:#?}");
                worked.insert(trial.action);
            }
            Err(failure) => {
                assert!(possible, "{told}: it was foretold to work: {failure:?}");
                assert_names(&told, &failure, &forth);
                assert_eq!(bench.cluster.changes(), changes, "{told}: what is refused changes nothing");
                refused.insert(trial.action);
                if step_reverts(&bench, &trial) {
                    revert_refused(&bench, account, &trial, &lacking).await;
                }
            }
        }
    }
    let writes = ["k8s.set_env", "k8s.set_resources", "k8s.patch", "k8s.rollout_restart", "k8s.autoscaler", "k8s.apply", "k8s.job"];
    let expected: &[&str] = match account {
        "viewer" => &[&["k8s.scale"][..], &writes].concat(),
        "scaler" => &[&["k8s.endpoints", "k8s.events", "k8s.http", "k8s.logs"][..], &writes].concat(),
        _ => &["k8s.get"],
    };
    for action in expected {
        assert!(refused.contains(action), "{account}: {action} was not refused: {refused:?}");
    }
    let expected: &[&str] = match account {
        "viewer" => &["k8s.get", "k8s.pods", "k8s.logs", "postgres.connection_budget"],
        "scaler" => &["k8s.scale", "k8s.pods", "k8s.rollout_status", "postgres.connection_budget"],
        _ => &[&["k8s.scale", "k8s.distribution", "k8s.http"][..], &writes].concat(),
    };
    for action in expected {
        assert!(worked.contains(action), "{account}: {action} did not work: {worked:?}");
    }
}

fn step_reverts(bench: &Bench, trial: &Trial) -> bool {
    bench.catalogue().get(trial.action).is_some_and(|entry| entry.reverts)
}

/// What the administrator did, the account may not take back either, and is told so.
async fn revert_refused(bench: &Bench, account: &str, trial: &Trial, lacking: &[&Need]) {
    let told = format!("{account}: the rollback of {} {}", trial.action, trial.inputs);
    let step = bench.step(trial.action, trial.inputs.clone());
    let intent = done(&step).await.unwrap_or_else(|failure| panic!("{told}: {failure}"));
    let changes = bench.cluster.changes();
    match bench.step_as(account, trial.action, trial.inputs.clone()).revert(&intent).await {
        Applied::NotApplied { failure } => {
            assert_names(&told, &failure, lacking);
            assert_eq!(bench.cluster.changes(), changes, "{told}: what is refused changes nothing");
        }
        other => panic!("{told}: {other:?}"),
    }
}

async fn a_kind_that_is_written_in_full_is_the_same_resource(on: On) {
    let bench = Bench::start(on).await;
    bench.create(APPS, deployment("other", 1, "registry.example/app:1", "10m")).await;
    let trial = Trial { action: "k8s.get", inputs: json!({ "object": "apps/v1/Deployment/other" }), stage: Stage::Plain };
    assert_eq!(needs(&bench, &trial).len(), 1, "it is known without a look into the cluster");
    assert!(done(&bench.step_as("scaler", trial.action, trial.inputs.clone())).await.is_ok());
}

macro_rules! on {
    ($module:ident, $on:expr) => {
        mod $module {
            use super::*;

            #[tokio::test(flavor = "multi_thread")]
            async fn every_request_of_every_action_is_declared_and_nothing_is_declared_for_nothing() {
                super::every_request_of_every_action_is_declared_and_nothing_is_declared_for_nothing($on).await;
            }

            #[tokio::test(flavor = "multi_thread")]
            async fn a_viewer_is_told_what_it_lacks_as_declared() {
                each_account_is_told_what_it_lacks_as_its_declaration_foretells($on, "viewer").await;
            }

            #[tokio::test(flavor = "multi_thread")]
            async fn a_scaler_is_told_what_it_lacks_as_declared() {
                each_account_is_told_what_it_lacks_as_its_declaration_foretells($on, "scaler").await;
            }

            #[tokio::test(flavor = "multi_thread")]
            async fn a_deployer_is_told_what_it_lacks_as_declared() {
                each_account_is_told_what_it_lacks_as_its_declaration_foretells($on, "deployer").await;
            }

            #[tokio::test(flavor = "multi_thread")]
            async fn a_kind_that_is_written_in_full_is_the_same_resource() {
                super::a_kind_that_is_written_in_full_is_the_same_resource($on).await;
            }
        }
    };
}

on!(sandbox, On::Sandbox);
on!(real_cluster, On::Real);
