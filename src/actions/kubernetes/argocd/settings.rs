//! What an installation of Argo CD says in its ConfigMap `argocd-cm`: by which marks it tracks, and which differences it ignores everywhere.
//!
//! Must not change anything. Invariant: what cannot be read is as if it were not said.

use serde_json::Value;

use super::ignore::{Rule, RuleText};
use super::tracking::Thing;
use crate::actions::kubernetes::api::Api;
use crate::actions::kubernetes::errors::Trouble;
use crate::actions::kubernetes::swap_fields::Place;
use crate::model::outcome::Failure;

/// Its name.
pub(super) const NAME: &str = "argocd-cm";
/// What the keys begin with under which differences are ignored, for a kind or for `all`.
const IGNORES: &str = "resource.customizations.ignoreDifferences.";

/// By which marks an installation knows its objects.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Tracking {
    /// It does not say: that depends on its version.
    #[default]
    NotSaid,
    /// By the annotation.
    Annotation,
    /// By a label.
    Label,
    /// By the annotation; the label is set for others.
    Both,
}

/// What it says.
#[derive(Debug, Default)]
pub(super) struct Settings {
    pub(super) tracking: Tracking,
    /// The label, where it is another than usual.
    pub(super) label: Option<String>,
    /// The whole ConfigMap.
    pub(super) data: Value,
}

impl Settings {
    /// Reads it. Who may not read it, or finds none, goes by what is usual.
    ///
    /// # Errors
    /// A read that failed for another reason.
    pub(super) async fn read(api: &Api, namespace: &str) -> Result<Self, Failure> {
        let place = place(namespace);
        match api.get(&place.path).await {
            Ok(map) => Ok(Self::of(&map)),
            Err(Trouble::Refused { status: 403 | 404, .. }) => Ok(Self::default()),
            Err(trouble) => Err(trouble.failure(place.asked("get"))),
        }
    }

    fn of(map: &Value) -> Self {
        let text = |key: &str| map.get("data")?.get(key)?.as_str().map(str::trim).filter(|text| !text.is_empty());
        let tracking = match text("application.resourceTrackingMethod") {
            Some("annotation") => Tracking::Annotation,
            Some("label") => Tracking::Label,
            Some("annotation+label") => Tracking::Both,
            _ => Tracking::NotSaid,
        };
        let label = text("application.instanceLabelKey").map(str::to_owned);
        Self { tracking, label, data: map.get("data").cloned().unwrap_or_default() }
    }

    /// The differences that it ignores in objects of this kind, whatever Application they are of.
    pub(super) fn ignores(&self, thing: &Thing<'_>) -> Vec<Rule> {
        let kind = if thing.group.is_empty() { thing.kind.to_owned() } else { format!("{}_{}", thing.group, thing.kind) };
        let read = |key: &str| {
            let text = self.data.get(format!("{IGNORES}{key}"))?.as_str()?;
            serde_saphyr::from_str::<RuleText>(text).ok().map(Rule::of_all)
        };
        ["all", &kind].into_iter().filter_map(read).collect()
    }
}

/// Where it is.
fn place(namespace: &str) -> Place {
    Place {
        path: format!("/api/v1/namespaces/{namespace}/configmaps/{NAME}"),
        resource: "configmaps".to_owned(),
        shown: format!("configmap/{NAME}"),
        name: NAME.to_owned(),
        namespace: namespace.to_owned(),
        uid: None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn it_says_how_it_tracks_and_what_it_ignores() {
        let settings = Settings::of(&json!({ "data": {
            "application.resourceTrackingMethod": "annotation+label",
            "application.instanceLabelKey": "argocd.argoproj.io/instance",
            "resource.customizations.ignoreDifferences.all": "managedFieldsManagers:\n- kube-controller-manager\n",
            "resource.customizations.ignoreDifferences.apps_Deployment": "jsonPointers:\n- /spec/replicas\n",
            "resource.customizations.ignoreDifferences.autoscaling_HorizontalPodAutoscaler": "no: [map",
        } }));
        assert_eq!((settings.tracking, settings.label.as_deref()), (Tracking::Both, Some("argocd.argoproj.io/instance")));
        let count = |group: &str, kind: &str| settings.ignores(&Thing { group, kind, object: &Value::Null }).len();
        assert_eq!(count("apps", "Deployment"), 2);
        assert_eq!(
            (count("apps", "StatefulSet"), count("autoscaling", "HorizontalPodAutoscaler")),
            (1, 1),
            "what cannot be read says nothing"
        );
        assert_eq!(Settings::of(&json!({ "data": null })).tracking, Tracking::NotSaid);
    }
}
