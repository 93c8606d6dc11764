//! Argo CD, by its own objects in the Kubernetes API: which Application owns an object and what it would put back, how it is paused, and how its
//! project is frozen.
//!
//! Must not sync anything: that is Argo CD's. Invariant: what a repository says is never changed here; what is changed in an Application or an AppProject
//! is put back as it was.

mod application;
mod cron;
mod foretold;
mod ignore;
mod jq;
mod pause_sync;
mod read;
mod set;
mod settings;
mod sync_window;
mod tracking;
mod window;

pub(super) use self::foretold::{ARGOCD, REPLICAS, foretell, foretell_pods, judge, tell};
pub(super) use self::tracking::Thing;

use std::sync::Arc;

use serde_json::Value;

use super::permissions::{Asking, On};
use super::reading::Reader;
use super::swap_fields::Place;
use super::workload::is_name;
use crate::environment::Connections;
use crate::model::outcome::Failure;
use crate::model::permission::{Extent, Needs, Purpose};
use crate::model::run::TargetSpec;
use crate::ports::action::Action;

/// The group of its objects.
const GROUP: &str = "argoproj.io";
/// Where it is where the environment does not say.
const NAMESPACE: &str = "argocd";
/// What nobody knows who may not read its objects.
const UNTOLD: Extent = Extent::Without("whether Argo CD puts it back");

/// The actions on it.
pub(super) fn builtin(connections: &Arc<Connections>) -> Vec<Arc<dyn Action>> {
    vec![
        Arc::new(Reader::<read::ApplicationReading>::new(connections)),
        Arc::new(pause_sync::PauseSync::new(Arc::clone(connections))),
        Arc::new(sync_window::SyncWindow::new(Arc::clone(connections))),
    ]
}

/// The namespace of its ConfigMap, its AppProjects and, unless they say otherwise, its Applications.
fn namespace(target: Option<&TargetSpec>) -> String {
    let said = || target?.values.get("argocd")?.get("namespace")?.as_str();
    said().filter(|name| is_name(name)).unwrap_or(NAMESPACE).to_owned()
}

fn place(namespace: &str, plural: &str, kind: &str, name: &str) -> Place {
    Place {
        path: format!("/apis/{GROUP}/v1alpha1/namespaces/{namespace}/{plural}/{name}"),
        resource: plural.to_owned(),
        shown: format!("{kind}.{GROUP}/{name}"),
        name: name.to_owned(),
        namespace: namespace.to_owned(),
        uid: None,
    }
}

/// Where an Application is.
fn application_place(namespace: &str, name: &str) -> Place {
    place(namespace, "applications", "application", name)
}

/// Where an AppProject is.
fn appproject_place(namespace: &str, name: &str) -> Place {
    place(namespace, "appprojects", "appproject", name)
}

/// An Application as a step names it: `NAME`, or `NAMESPACE/NAME` where it is not in Argo CD's own.
///
/// # Errors
/// Where it is no name.
fn named(text: &str, target: Option<&TargetSpec>) -> Result<Place, Failure> {
    let (namespace, name) = match text.split_once('/') {
        Some((namespace, name)) => (namespace.to_owned(), name),
        None => (namespace(target), text),
    };
    if is_name(&namespace) && is_name(name) {
        return Ok(application_place(&namespace, name));
    }
    Err(Failure::permanent(format!("`{}` is not an Application's name", text.chars().take(120).collect::<String>()))
        .hint("`NAME`, or `NAMESPACE/NAME` for one outside of Argo CD's own namespace"))
}

/// What whoever changes an object reads of Argo CD, where it can: added to the needs of the change.
pub(super) fn reads(needs: &mut Needs, target: Option<&TargetSpec>) {
    let mut asking = Asking::within(Some(&namespace(target)));
    for on in [On::any(GROUP, "applications"), On::any("", "configmaps").named(settings::NAME), On::any(GROUP, "appprojects")] {
        asking.add(Purpose::Reads, UNTOLD, "get", &on);
    }
    asking.needs().all.into_iter().for_each(|need| needs.add(need));
}

/// The text of an input, where it is one.
fn text<'a>(inputs: &'a Value, key: &str) -> Option<&'a str> {
    super::permissions::text(inputs, key)
}
