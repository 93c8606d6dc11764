//! Why a kubeconfig gives no way to a cluster.
//!
//! Must not repeat a credential. Invariant: each error names the files that were looked at.

use std::path::PathBuf;

/// Why a kubeconfig gives no way to a cluster.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KubeconfigError {
    /// There is no file.
    #[error("there is no kubeconfig{}", tried_text(tried))]
    NoFile {
        /// Where it was looked for.
        tried: Vec<PathBuf>,
    },
    /// A file cannot be read, or is no kubeconfig.
    #[error("the kubeconfig {} cannot be used: {why}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// It has no such context.
    #[error("the kubeconfig {from} has no context `{context}`")]
    NoContext {
        /// The context.
        context: String,
        /// The files.
        from: String,
        /// Those that there are.
        known: Vec<String>,
    },
    /// None was named, and none is the current one.
    #[error("the kubeconfig {from} has no current context, and none was named")]
    NoCurrentContext {
        /// The files.
        from: String,
        /// Those that there are.
        known: Vec<String>,
    },
    /// What the context leads to cannot be used.
    #[error("the kubeconfig {from}, context `{context}`: {what}")]
    Wrong {
        /// The files.
        from: String,
        /// The context.
        context: String,
        /// What is wrong.
        what: String,
    },
    /// This process is not in a Pod with an account.
    #[error("the environment uses the account of a Pod (`in_cluster: true`), and this process has none: {why}")]
    NotInCluster {
        /// What is missing.
        why: String,
    },
    /// The proxy's URL cannot be used.
    #[error("the proxy {proxy} cannot be used: {why}")]
    Proxy {
        /// Where it was said, or its URL without credentials.
        proxy: String,
        /// Why.
        why: String,
    },
}

fn tried_text(tried: &[PathBuf]) -> String {
    match tried {
        [] => ": neither KUBECONFIG nor HOME is set".to_owned(),
        [only] => format!(": {} is not there", only.display()),
        several => {
            let names: Vec<String> = several.iter().map(|path| path.display().to_string()).collect();
            format!(": none of {} is there", names.join(", "))
        }
    }
}

impl KubeconfigError {
    /// What to do about it.
    pub fn hint(&self) -> String {
        let there = |known: &[String]| match known {
            [] => "it has none at all: log in to the cluster first".to_owned(),
            known => {
                let more = if known.len() > 20 { format!(", … {} more", known.len() - 20) } else { String::new() };
                format!("there are: {}{more}", known.iter().take(20).cloned().collect::<Vec<_>>().join(", "))
            }
        };
        match self {
            Self::NoFile { .. } => {
                "log in to the cluster first, or name the file: `kubeconfig` in the environment, or KUBECONFIG".to_owned()
            }
            Self::Unreadable { .. } => "see what `kubectl config view` says of it".to_owned(),
            Self::NoContext { known, .. } => there(known),
            Self::NoCurrentContext { known, .. } => format!("name one; {}", there(known)),
            Self::Wrong { .. } => "mend it there, or log in to the cluster again".to_owned(),
            Self::NotInCluster { .. } => "name a `context` of a kubeconfig where runsheet runs outside the cluster".to_owned(),
            Self::Proxy { .. } => {
                "write an `http://HOST:PORT` URL: `proxy` in the environment, `proxy-url` in the kubeconfig, or HTTPS_PROXY".to_owned()
            }
        }
    }
}
