//! What was found of each object, put together as outputs.
//!
//! Must not ask anything. Invariant: an Application is listed once, with all of its objects.

use serde_json::{Value, json};

use crate::actions::kubernetes::argocd::foretold::{ARGOCD, Foretold, Stand, Syncs};

/// What was found.
#[derive(Default)]
pub(super) struct Findings {
    applications: Vec<(Foretold, Vec<String>)>,
    puts_back: Vec<String>,
    to_pause: Vec<String>,
    ignored: Vec<String>,
    unknown: Vec<String>,
}

impl Findings {
    /// Adds what is foretold of an object; null is nothing.
    pub(super) fn add(&mut self, object: &str, foretold: &Value) {
        let Some(foretold) = Foretold::read(&json!({ ARGOCD: foretold })) else { return };
        if let Some(unknown) = foretold.unknown {
            self.unknown.push(unknown);
            return;
        }
        let name = foretold.application.clone().unwrap_or_default();
        let put_back: Vec<String> = foretold.put_back().iter().map(|field| format!("{field} of {object}, by {name}")).collect();
        if !put_back.is_empty() && !self.to_pause.contains(&name) {
            self.to_pause.push(name);
        }
        self.puts_back.extend(put_back);
        let alone = foretold.fields.iter().filter(|(_, stand)| **stand != Stand::Kept);
        self.ignored.extend(alone.map(|(field, _)| format!("{field} of {object}")));
        match self.applications.iter_mut().find(|(known, _)| known.application == foretold.application) {
            Some((_, objects)) => objects.push(object.to_owned()),
            None => self.applications.push((foretold, vec![object.to_owned()])),
        }
    }

    fn summary(&self, asked: &str) -> String {
        let of = |(foretold, objects): &(Foretold, Vec<String>)| {
            let name = foretold.application.as_deref().unwrap_or_default();
            let how = match (foretold.syncs, &foretold.frozen_until) {
                (Syncs::Heals, Some(until)) => format!("heals itself, but is denied to sync until {until}"),
                (Syncs::Heals, None) => "heals itself".to_owned(),
                (Syncs::ByCommit, _) => "syncs when its repository changes".to_owned(),
                (Syncs::ByHand, _) => "syncs by hand".to_owned(),
                (Syncs::Not, _) => "is not reconciled".to_owned(),
            };
            format!("the Application {name} owns {} and {how}", objects.join(", "))
        };
        let mut parts: Vec<String> = self.applications.iter().map(of).collect();
        if !self.puts_back.is_empty() {
            parts.push(format!("it would put back {}", self.puts_back.join("; ")));
        }
        parts.extend(self.unknown.iter().cloned());
        if parts.is_empty() { format!("no Argo CD Application owns {asked}") } else { parts.join("; ") }
    }

    /// The outputs.
    pub(super) fn outputs(&self, asked: &str) -> Value {
        let applications: Vec<Value> = self
            .applications
            .iter()
            .map(|(foretold, objects)| {
                json!({
                    "application": foretold.application, "project": foretold.project, "syncs": foretold.syncs,
                    "frozen_until": foretold.frozen_until, "objects": objects,
                })
            })
            .collect();
        json!({
            "applications": applications,
            "puts_back": self.puts_back,
            "to_pause": self.to_pause,
            "ignored": self.ignored,
            "unknown": self.unknown,
            "summary": self.summary(asked),
        })
    }
}
