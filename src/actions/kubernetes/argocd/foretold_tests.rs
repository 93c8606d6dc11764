//! What is told and what is refused of a change, and what becomes of an API server that does not let it be found out.

use std::sync::Arc;
use std::time::Duration;

use wiremock::matchers::{method, path};
use wiremock::{Mock, MockServer, ResponseTemplate};

use super::*;
use crate::actions::trial;
use crate::environment::{Connections, KubernetesAccess};
use crate::model::change::ObjectRef;

const APPLICATION: &str = "/apis/argoproj.io/v1alpha1/namespaces/argocd/applications/shop";

fn change(field: &str) -> Change {
    let object = ObjectRef("k8s:uid-1/production/deployment/x".to_owned());
    Change { object, field: field.to_owned(), label: field.to_owned(), prior: json!(2), after: json!(8) }
}

fn prior(syncs: Syncs, stand: Stand, frozen_until: Option<&str>, respects: bool) -> Value {
    let foretold = Foretold {
        application: Some("argocd/shop".to_owned()),
        project: "default".to_owned(),
        syncs,
        frozen_until: frozen_until.map(str::to_owned),
        respects,
        fields: BTreeMap::from([("spec.replicas".to_owned(), stand)]),
        untold: true,
        unknown: None,
    };
    json!({ ARGOCD: foretold })
}

#[test]
fn only_what_would_be_put_back_now_is_refused() {
    let until = Some("2026-12-05T20:00:00Z");
    let refused = judge(&prior(Syncs::Heals, Stand::Kept, None, true), &[change("spec.replicas")]).unwrap_err();
    assert!(
        refused.message.starts_with("spec.replicas of production/deployment/x belongs to the Argo CD Application argocd/shop, which heals"),
        "{refused}"
    );
    assert!(refused.message.contains("no plain paths") && !refused.transient && refused.hint.unwrap().contains("`application: shop`"));
    for (syncs, stand, frozen, respects, told) in [
        (Syncs::Heals, Stand::Kept, until, true, "denies it to sync until 2026-12-05T20:00:00Z"),
        (Syncs::Heals, Stand::Ignored, None, false, "lack RespectIgnoreDifferences=true"),
        (Syncs::Heals, Stand::Ignored, None, true, ""),
        (Syncs::Heals, Stand::NotNamed, None, false, ""),
        (Syncs::ByCommit, Stand::Kept, None, true, "the next commit puts spec.replicas of production/deployment/x back"),
        (Syncs::ByHand, Stand::Kept, None, true, "whoever syncs it by hand"),
        (Syncs::Not, Stand::Kept, None, true, ""),
    ] {
        let found = judge(&prior(syncs, stand, frozen, respects), &[change("spec.replicas")]).unwrap();
        let text = found.as_str().unwrap_or_default();
        assert_eq!((text.contains(told), text.is_empty()), (true, told.is_empty()), "{syncs:?} {stand:?}: {text}");
    }
    assert_eq!(
        judge(&prior(Syncs::Heals, Stand::Kept, None, true), &[change("spec.paused")]).unwrap(),
        Value::Null,
        "it was not asked about"
    );
    assert_eq!(judge(&prior(Syncs::Heals, Stand::Kept, None, true), &[]).unwrap(), Value::Null, "nothing is changed");
    assert_eq!(judge(&json!({ ARGOCD: null }), &[change("spec.replicas")]).unwrap(), Value::Null, "nobody owns it");
}

/// What is foretold of a marked Deployment by a server that answers so when it is asked for its Application.
async fn by(answer: ResponseTemplate, marks: Value) -> Result<Value, Failure> {
    let server = MockServer::start().await;
    Mock::given(method("GET")).and(path(APPLICATION)).respond_with(answer).mount(&server).await;
    Mock::given(method("GET")).respond_with(ResponseTemplate::new(200).set_body_json(json!({ "kind": "Namespace" }))).mount(&server).await;
    let access = KubernetesAccess::Token { url: server.uri(), token: "a-token".to_owned().into() };
    let connections = Arc::new(Connections::new().with_kubernetes(access));
    let (cx, _) = trial::context(Some(trial::target("uid-1")), &[]);
    let api = Api::new(&connections, &cx).unwrap().within(Duration::from_secs(5));
    let mut object = json!({ "apiVersion": "apps/v1", "kind": "Deployment", "metadata": { "name": "x", "namespace": "production" }, "spec": { "replicas": 2 } });
    object["metadata"].as_object_mut().unwrap().extend(marks.as_object().unwrap().clone());
    foretell(&api, cx.target.as_ref(), Thing::of(&object), ["spec.replicas"]).await
}

#[tokio::test]
async fn what_may_not_be_read_is_told_and_gone_on_without() {
    let own = || json!({ "annotations": { "argocd.argoproj.io/tracking-id": "shop:apps/Deployment:production/x" } });
    let helm = || json!({ "labels": { "app.kubernetes.io/instance": "shop" } });
    let refusal = |status: u16, reason: &str| ResponseTemplate::new(status).set_body_json(json!({ "reason": reason, "message": "no" }));
    for (answer, told) in [
        (refusal(403, "Forbidden"), "this account may not get applications.argoproj.io `shop` in namespace argocd"),
        (refusal(404, "NotFound"), "which is not in namespace argocd of this cluster"),
        (ResponseTemplate::new(404).set_body_string("404 page not found\n"), "this cluster knows no Applications"),
    ] {
        let foretold = json!({ ARGOCD: by(answer, own()).await.unwrap() });
        let found = judge(&foretold, &[change("spec.replicas")]).unwrap();
        assert!(found.as_str().is_some_and(|text| text.contains(told)), "{told}: {found}");
    }
    // Helm's own label is no mark of Argo CD's where there is none.
    for answer in [refusal(404, "NotFound"), ResponseTemplate::new(404).set_body_string("404 page not found\n")] {
        assert_eq!(by(answer, helm()).await.unwrap(), Value::Null);
    }
    let found = by(refusal(403, "Forbidden"), helm()).await.unwrap();
    assert!(found["unknown"].is_string(), "{found}");
    for status in [429, 500, 503] {
        let failure = by(refusal(status, "Some"), own()).await.unwrap_err();
        assert!(failure.transient && failure.message.contains("applications `shop` in namespace argocd"), "{status}: {failure}");
    }
}
