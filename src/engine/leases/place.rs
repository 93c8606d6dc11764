//! Where the Lease of an object is: its namespace and its name.

use crate::model::change::ObjectRef;
use crate::model::id::ContentHash;

/// As much of the object as its Lease's name shows.
const READABLE: usize = 100;

/// A Lease's place in the cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub namespace: String,
    /// `runsheet-deployment-ticket-service-0b5c9e1f2a3d4c5b`
    pub name: String,
}

impl Place {
    /// The place for an object; none for one that is not of this cluster. What is in no namespace is locked in the one that is given.
    pub fn of(object: &ObjectRef, uid: &str, namespace: &str) -> Option<Self> {
        let rest = object.0.strip_prefix("k8s:")?.strip_prefix(uid)?.strip_prefix('/')?;
        let (namespace, readable) = match rest.split_once('/') {
            Some((own, named)) if named.contains('/') => (own, named),
            Some(_) => (namespace, rest),
            None => return None,
        };
        let mut shown = String::new();
        for character in readable.chars().take(READABLE) {
            if character.is_ascii_alphanumeric() {
                shown.push(character.to_ascii_lowercase());
            } else if !shown.is_empty() && !shown.ends_with('-') {
                shown.push('-');
            }
        }
        // Two objects may look alike; the digest tells them apart.
        let digest = &ContentHash::of(object.0.as_bytes()).0[..16];
        let name =
            if shown.is_empty() { format!("runsheet-{digest}") } else { format!("runsheet-{}-{digest}", shown.trim_end_matches('-')) };
        Some(Self { namespace: namespace.to_owned(), name })
    }

    /// The path of all Leases of its namespace.
    pub fn collection(&self) -> String {
        format!("/apis/coordination.k8s.io/v1/namespaces/{}/leases", self.namespace)
    }

    /// The path of the Lease.
    pub fn path(&self) -> String {
        format!("{}/{}", self.collection(), self.name)
    }
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(object: &str) -> Option<Place> {
        Place::of(&ObjectRef(object.to_owned()), "0b5c", "default-one")
    }

    #[test]
    fn each_object_of_the_cluster_has_one_place_and_no_other_object_has() {
        let place = of("k8s:0b5c/production/deployment/ticket-service").unwrap();
        assert_eq!(place.namespace, "production");
        let digest = place.name.strip_prefix("runsheet-deployment-ticket-service-").expect("it is readable");
        assert!(digest.len() == 16 && digest.chars().all(|c| c.is_ascii_hexdigit()), "{digest}");
        assert_eq!(of("k8s:0b5c/node/web-1").unwrap().namespace, "default-one", "what is in no namespace");
        for other in ["k8s:0b5d/production/deployment/x", "k8s:0b5cc/production/deployment/x", "k8s:0b5c/x", "postgres:1/x/y", "k8s:"] {
            assert_eq!(of(other), None, "{other}");
        }
        assert_ne!(of("k8s:0b5c/production/deployment/a.b"), of("k8s:0b5c/production/deployment/a-b"), "they only look alike");
    }

    #[test]
    fn its_name_is_one_that_the_api_takes() {
        for object in
            ["k8s:0b5c/p/Odd_Kind/--..", "k8s:0b5c/p/scaledobject.keda.sh/a.b", &format!("k8s:0b5c/p/deployment/{}", "x.".repeat(126))]
        {
            let name = of(object).unwrap().name;
            assert!(name.len() <= 253 && !name.ends_with('-'), "{name}");
            assert!(name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-'), "{name}");
        }
    }
}
