//! Lists in pages.

use k8s_openapi::api::core::v1::Pod;
use kube::api::{ListParams, ObjectList};

use super::super::Options;
use super::{Sandbox, eventually, options, status};

fn names(list: &ObjectList<Pod>) -> Vec<String> {
    list.items.iter().filter_map(|pod| pod.metadata.name.clone()).collect()
}

fn token(list: &ObjectList<Pod>) -> String {
    list.metadata.continue_.clone().expect("another page")
}

#[tokio::test]
async fn the_next_page_is_of_the_list_as_it_was_at_the_first() {
    let sandbox = Sandbox::start().await;
    let pods = sandbox.pods();
    let before = sandbox.pod_names().await;
    let first = pods.list(&ListParams::default().limit(1)).await.unwrap();
    sandbox.scale(0).await.unwrap();
    eventually("the pods to be gone", || async { sandbox.pod_names().await.is_empty() }).await;
    let second = pods.list(&ListParams::default().limit(1).continue_token(&token(&first))).await.unwrap();
    assert_eq!([names(&first), names(&second)].concat(), before);
    assert_eq!(first.metadata.resource_version, second.metadata.resource_version);
}

#[tokio::test]
async fn a_page_that_is_kept_no_more_is_gone() {
    let sandbox = Sandbox::with(Options { history: 2, ..options() }).await;
    let pods = sandbox.pods();
    let first = pods.list(&ListParams::default().limit(1)).await.unwrap();
    for replicas in 3..6 {
        sandbox.scale(replicas).await.unwrap();
    }
    let (code, reason, message) = status(pods.list(&ListParams::default().limit(1).continue_token(&token(&first))).await);
    assert_eq!((code, reason.as_str()), (410, "Expired"));
    assert!(message.starts_with("The provided continue parameter is too old to display a consistent list result."), "{message}");
    for wrong in ["nonsense", "e30", "eyJ2IjoibWV0YS5rOHMuaW8vdjEiLCJydiI6MCwic3RhcnQiOiJ4XHUwMDAwIn0"] {
        let (code, _, message) = status(pods.list(&ListParams::default().limit(1).continue_token(wrong)).await);
        assert!(code == 400 && message.starts_with("invalid continue token: continue key is not valid"), "{wrong}: {message}");
    }
}
