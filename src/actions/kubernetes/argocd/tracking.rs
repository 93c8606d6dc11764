//! The marks by which an object names the Argo CD Application that owns it.
//!
//! Must not ask anything. Invariant: a tracking id that was copied from another object (as controllers do to what they make) marks nothing.

use serde_json::Value;

use super::settings::{Settings, Tracking};

/// The annotation: `APPLICATION:GROUP/KIND:NAMESPACE/NAME`.
const TRACKING_ID: &str = "argocd.argoproj.io/tracking-id";
/// Argo CD's own label.
const OWN_LABEL: &str = "argocd.argoproj.io/instance";
/// The label that Argo CD takes where nothing else is said. Helm sets it too.
pub(super) const COMMON_LABEL: &str = "app.kubernetes.io/instance";

/// An object, with what a list leaves out of it.
#[derive(Clone, Copy, Debug)]
pub(in crate::actions::kubernetes) struct Thing<'a> {
    /// `apps`; empty for the core group.
    pub(in crate::actions::kubernetes) group: &'a str,
    /// `Deployment`
    pub(in crate::actions::kubernetes) kind: &'a str,
    /// The object as it is.
    pub(in crate::actions::kubernetes) object: &'a Value,
}

impl<'a> Thing<'a> {
    /// An object that says itself what it is.
    pub(in crate::actions::kubernetes) fn of(object: &'a Value) -> Self {
        let text = |key: &str| object.get(key).and_then(Value::as_str).unwrap_or_default();
        let group = text("apiVersion").split_once('/').map_or("", |(group, _)| group);
        Self { group, kind: text("kind"), object }
    }

    /// A part of its metadata.
    pub(super) fn metadata(&self, key: &str) -> &'a str {
        self.object.get("metadata").and_then(|metadata| metadata.get(key)).and_then(Value::as_str).unwrap_or_default()
    }

    fn marked(&self, part: &str, key: &str) -> Option<&'a str> {
        self.object.get("metadata")?.get(part)?.get(key)?.as_str().filter(|text| !text.is_empty())
    }
}

/// By what an object is marked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum By {
    /// The tracking annotation.
    Annotation,
    /// This label.
    Label(&'static str),
}

/// A mark.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mark {
    /// The namespace of an Application that is not in Argo CD's own.
    pub(super) namespace: Option<String>,
    /// The Application's name.
    pub(super) application: String,
    /// What bears it.
    pub(super) by: By,
}

impl Mark {
    /// Whether nobody but Argo CD sets it.
    pub(super) fn is_argo_cds(&self) -> bool {
        self.by != By::Label(COMMON_LABEL)
    }

    /// Whether it is the annotation, which names the object too.
    pub(super) fn is_annotation(&self) -> bool {
        self.by == By::Annotation
    }

    /// Whether an installation with these settings goes by it. Where it does not say which marks it goes by, that depends on its version (labels before
    /// 3.0), so that both count.
    pub(super) fn counts(&self, settings: &Settings) -> bool {
        match (&settings.tracking, &self.by) {
            (Tracking::NotSaid, _) | (Tracking::Annotation | Tracking::Both, By::Annotation) => true,
            (Tracking::Label, By::Label(key)) => settings.label.as_deref().unwrap_or(COMMON_LABEL) == *key,
            (Tracking::Label, By::Annotation) | (Tracking::Annotation | Tracking::Both, By::Label(_)) => false,
        }
    }
}

/// All marks, the surest first.
pub(super) fn marks(thing: &Thing<'_>) -> Vec<Mark> {
    let by_id = thing.marked("annotations", TRACKING_ID).and_then(|id| of_id(thing, id));
    let by_label = [OWN_LABEL, COMMON_LABEL].into_iter().filter_map(|key| {
        let application = thing.marked("labels", key)?.to_owned();
        Some(Mark { namespace: None, application, by: By::Label(key) })
    });
    by_id.into_iter().chain(by_label).collect()
}

fn of_id(thing: &Thing<'_>, id: &str) -> Option<Mark> {
    let mut parts = id.splitn(3, ':');
    let (application, kind, name) = (parts.next()?, parts.next()?, parts.next()?);
    let own = (kind.split_once('/')?, name.split_once('/')?);
    let ((group, kind), (namespace, name)) = own;
    let here = thing.metadata("namespace");
    let same = group == thing.group && kind == thing.kind && name == thing.metadata("name") && (here.is_empty() || namespace == here);
    // An Application outside of Argo CD's namespace is called NAMESPACE_NAME; neither may hold the `_` itself.
    let (namespace, application) = match application.split_once('_') {
        Some((namespace, name)) => (Some(namespace.to_owned()), name),
        None => (None, application),
    };
    (same && !application.is_empty()).then(|| Mark { namespace, application: application.to_owned(), by: By::Annotation })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn object(annotations: Value, labels: Value) -> Value {
        json!({ "apiVersion": "apps/v1", "kind": "Deployment", "metadata": { "name": "x", "namespace": "production", "annotations": annotations, "labels": labels } })
    }

    #[test]
    fn a_tracking_id_marks_the_object_that_it_names_and_no_other() {
        for (id, found) in [
            ("shop:apps/Deployment:production/x", Some((None, "shop"))),
            ("team_shop:apps/Deployment:production/x", Some((Some("team"), "shop"))),
            ("shop:apps/Deployment:production/y", None),
            ("shop:apps/ReplicaSet:production/x", None),
            ("shop:apps/Deployment:staging/x", None),
            ("shop:/Deployment:production/x", None),
            (":apps/Deployment:production/x", None),
            ("shop", None),
        ] {
            let object = object(json!({ TRACKING_ID: id }), json!({}));
            let marks = marks(&Thing::of(&object));
            let told = marks.first().map(|mark| (mark.namespace.as_deref(), mark.application.as_str()));
            assert_eq!(told, found, "{id}");
        }
        let map = json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "m", "namespace": "n", "annotations": { TRACKING_ID: "shop:/ConfigMap:n/m" } } });
        assert_eq!(marks(&Thing::of(&map)).len(), 1);
    }

    #[test]
    fn an_installation_says_which_marks_it_goes_by() {
        let object =
            object(json!({ TRACKING_ID: "shop:apps/Deployment:production/x" }), json!({ COMMON_LABEL: "release", OWN_LABEL: "shop" }));
        let all = marks(&Thing::of(&object));
        let counted = |tracking: Tracking, label: Option<&str>| -> Vec<By> {
            let settings = Settings { tracking, label: label.map(str::to_owned), ..Settings::default() };
            all.iter().filter(|mark| mark.counts(&settings)).map(|mark| mark.by.clone()).collect()
        };
        assert_eq!(counted(Tracking::NotSaid, None), [By::Annotation, By::Label(OWN_LABEL), By::Label(COMMON_LABEL)]);
        assert_eq!(counted(Tracking::Annotation, None), [By::Annotation]);
        assert_eq!(counted(Tracking::Both, None), [By::Annotation]);
        assert_eq!(counted(Tracking::Label, None), [By::Label(COMMON_LABEL)]);
        assert_eq!(counted(Tracking::Label, Some(OWN_LABEL)), [By::Label(OWN_LABEL)]);
        assert!(counted(Tracking::Label, Some("example.com/app")).is_empty());
    }
}
