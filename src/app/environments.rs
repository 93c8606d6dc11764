//! The environments of the root at a glance, and the draft of a new one.
//!
//! Must not overwrite a file. Invariant: a draft names the UID that the cluster itself told, now.

use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

use serde::Serialize;

use super::{App, AppError};
use crate::environment::{Connections, KubeconfigOptions, KubernetesAccess, Login};
use crate::model::environment::{ClusterAccount, EnvironmentDefinition, SANDBOX};
use crate::playbook::LoadError;

/// An environment in a list.
#[derive(Clone, Debug, Serialize)]
pub struct ListedEnvironment {
    /// Its name.
    pub name: String,
    /// One line for people.
    pub summary: String,
    /// Its file; `None` for the sandbox.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<PathBuf>,
    /// The kubeconfig's context; `None` where it has none.
    pub context: Option<String>,
    /// Where steps act that name no namespace.
    pub namespace: Option<String>,
    /// How a run in it is confirmed; `None`: not at all.
    pub confirm: Option<&'static str>,
    /// What is wrong with its file, in one line.
    pub problem: Option<String>,
}

/// What a draft is made of.
#[derive(Clone, Debug)]
pub struct DraftOptions {
    /// The name.
    pub name: String,
    /// The kubeconfig's context; `None`: the current one.
    pub context: Option<String>,
    /// The kubeconfig; `None`: those of `KUBECONFIG`, else `~/.kube/config`.
    pub kubeconfig: Option<PathBuf>,
    /// The namespace; `None`: the context's.
    pub namespace: Option<String>,
}

/// A drafted environment.
#[derive(Clone, Debug, Serialize)]
pub struct Draft {
    /// Its name.
    pub name: String,
    /// The file it belongs in.
    pub file: PathBuf,
    /// The same for people: from the root on.
    #[serde(skip)]
    pub shown: String,
    /// The file's text.
    pub text: String,
    /// The context.
    pub context: String,
    /// The API server.
    pub server: String,
    /// The namespace.
    pub namespace: String,
    /// What the cluster says it is.
    pub cluster_uid: String,
}

impl App {
    /// The environments of the root, and the sandbox. Reaches nothing.
    ///
    /// # Errors
    /// When their folder cannot be read.
    pub fn list_environments(&self) -> Result<Vec<ListedEnvironment>, AppError> {
        let mut listed: Vec<ListedEnvironment> = self.environments()?.iter().map(|name| self.listed(name)).collect();
        listed.push(ListedEnvironment {
            name: SANDBOX.to_owned(),
            summary: "The simulated platform: changes nothing outside itself".to_owned(),
            file: None,
            context: None,
            namespace: crate::sandbox::target_values()
                .get("kubernetes")
                .and_then(|kubernetes| kubernetes.get("namespace")?.as_str().map(str::to_owned)),
            confirm: None,
            problem: None,
        });
        Ok(listed)
    }

    fn listed(&self, name: &str) -> ListedEnvironment {
        let empty = ListedEnvironment {
            name: name.to_owned(),
            summary: String::new(),
            file: Some(self.environment_file(name)),
            context: None,
            namespace: None,
            confirm: None,
            problem: None,
        };
        match self.environment_definition(name) {
            Ok(EnvironmentDefinition { summary, confirm, kubernetes, .. }) => ListedEnvironment {
                summary,
                confirm: Some(confirm.as_str()),
                context: kubernetes.as_ref().map(|kubernetes| match &kubernetes.account {
                    ClusterAccount::Context { name, .. } => name.clone(),
                    ClusterAccount::InCluster => "in cluster".to_owned(),
                }),
                namespace: kubernetes.map(|kubernetes| kubernetes.namespace),
                ..empty
            },
            Err(AppError::Load(LoadError::Invalid(problems))) => {
                let problem = problems.problems.first().map(|first| match first.line {
                    0 => first.message.clone(),
                    line => format!("line {line}: {}", first.message),
                });
                ListedEnvironment { problem, ..empty }
            }
            Err(error) => ListedEnvironment { problem: Some(error.to_string()), ..empty },
        }
    }

    /// Drafts an environment from a context of the kubeconfig: asks the cluster for its UID. Writes nothing.
    ///
    /// # Errors
    /// When the name cannot be one, the kubeconfig gives no way to the cluster, or the cluster does not tell.
    pub fn draft_environment(&self, options: &DraftOptions) -> Result<Draft, AppError> {
        let DraftOptions { name, .. } = options;
        let good = name.starts_with(|c: char| c.is_ascii_lowercase())
            && name.len() <= 63
            && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-');
        if !good || name == SANDBOX {
            let why = if good {
                "it is the built-in environment's"
            } else {
                "it begins with a letter and has lower-case letters, digits and `-` only"
            };
            return Err(AppError::Refused { why: format!("`{name}` cannot be the name of an environment: {why}") });
        }
        let login = Login::from_kubeconfig(&KubeconfigOptions {
            context: options.context.clone(),
            file: options.kubeconfig.clone(),
            proxy: None,
            exec_timeout: Duration::from_secs(60),
        })?;
        let (context, server) = (login.context().unwrap_or_default().to_owned(), login.url().to_owned());
        let namespace = options.namespace.clone().unwrap_or_else(|| login.namespace().to_owned());
        let connections = Connections::new().with_kubernetes(KubernetesAccess::Login(Box::new(login)));
        let cluster_uid = self.runtime()?.block_on(connections.cluster_uid())?;
        let absolute = |file: &PathBuf| std::path::absolute(file).unwrap_or_else(|_| file.clone());
        let kubeconfig = options.kubeconfig.as_ref().map(absolute);
        let text = text(name, &context, kubeconfig.as_deref(), &namespace, &cluster_uid);
        let file = self.environment_file(name);
        Ok(Draft { name: name.clone(), shown: self.shown(&file), file, text, context, server, namespace, cluster_uid })
    }

    /// Writes a draft where no file is yet.
    ///
    /// # Errors
    /// When there is one already, or it cannot be written.
    pub fn write_draft(&self, draft: &Draft) -> Result<(), AppError> {
        let failed = |error: std::io::Error| match error.kind() {
            std::io::ErrorKind::AlreadyExists => AppError::Refused {
                why: format!("{} is there already, and stays as it is; `--stdout` prints the draft", self.shown(&draft.file)),
            },
            _ => AppError::System { what: format!("{} cannot be written", draft.file.display()), why: error.to_string() },
        };
        std::fs::create_dir_all(self.environments_folder()).map_err(failed)?;
        let mut file = std::fs::OpenOptions::new().write(true).create_new(true).open(&draft.file).map_err(failed)?;
        file.write_all(draft.text.as_bytes()).and_then(|()| file.sync_all()).map_err(failed)
    }
}

/// A text as YAML: as it stands where that is safe, else in quotes.
fn scalar(text: &str) -> String {
    let plain = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '/')
        && text.chars().all(|c| c.is_ascii_alphanumeric() || "-_./@".contains(c))
        && !matches!(text.to_ascii_lowercase().as_str(), "true" | "false" | "null");
    if plain { text.to_owned() } else { serde_json::Value::from(text).to_string() }
}

fn text(name: &str, context: &str, kubeconfig: Option<&std::path::Path>, namespace: &str, uid: &str) -> String {
    let kubeconfig = kubeconfig.map(|file| format!("  kubeconfig: {}\n", scalar(&file.display().to_string()))).unwrap_or_default();
    let (context, namespace, uid) = (scalar(context), scalar(namespace), scalar(uid));
    format!(
        "\
environment: {name}
summary: \"\"
confirm: name  # a run is confirmed by typing the environment's name; `yes`: by a y
kubernetes:
  context: {context}
{kubeconfig}  namespace: {namespace}
  cluster_uid: {uid}  # as the cluster told it

# Where Argo CD is that rolls out what is here; playbooks read it as target.argocd.
# argocd:
#   namespace: argocd

# The database whose connections are counted before anything grows; playbooks read it as target.postgres.
# postgres:
#   host: postgres.example
#   database: tickettoken
#   user: runsheet  # one that may only read; `GRANT pg_read_all_stats` lets it count every client's connections
#   password: {{ env: PGPASSWORD }}
#   tls: verify-full

# Where secrets come from; their texts never stand here.
# secrets:
#   service_token: {{ env: SERVICE_TOKEN }}

# Whom to tell: started, waiting, failed, stuck, finished, owed.
# notify:
#   - on: [failed, stuck, waiting]
#     webhook: {{ url: {{ env: CHAT_WEBHOOK }} }}

# What playbooks read as target.NAME.
# values:
#   ticket_service: {{ url: https://ticket-service.example }}
#   capacity:  # replicas and requests a second of each level, as the scaling procedure has them
#     low: {{ replicas: 2, rps: 500 }}
#     medium: {{ replicas: 4, rps: 1000 }}
#     high: {{ replicas: 8, rps: 2000 }}
#     critical: {{ replicas: 16, rps: 4000 }}
"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_draft_is_a_valid_environment_whatever_the_context_is_called() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("staging.yaml");
        for context in ["staging", "arn:aws:eks:eu-central-1:123456789012:cluster/staging", "it's \"quoted\": # {x}", "true", "12"] {
            std::fs::write(&file, text("staging", context, Some(std::path::Path::new("/a b/config")), "12", "0190")).unwrap();
            let definition = crate::playbook::load_environment(&file, None).unwrap_or_else(|problems| panic!("{problems}"));
            let kubernetes = definition.kubernetes.unwrap();
            let account = ClusterAccount::Context { name: context.to_owned(), kubeconfig: Some("/a b/config".into()) };
            assert_eq!((kubernetes.account, kubernetes.namespace.as_str(), kubernetes.cluster_uid.as_str()), (account, "12", "0190"));
        }
    }

    #[test]
    fn what_a_draft_only_suggests_is_valid_too() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("staging.yaml");
        let suggested: String = text("staging", "a", None, "b", "c")
            .lines()
            .filter(|line| !line.starts_with("# W") && !line.starts_with("# The "))
            .map(|line| format!("{}\n", line.strip_prefix("# ").unwrap_or(line)))
            .collect();
        std::fs::write(&file, suggested).unwrap();
        let definition = crate::playbook::load_environment(&file, None).unwrap_or_else(|problems| panic!("{problems}"));
        assert_eq!((definition.secrets.len(), definition.notify.len(), definition.values.len()), (1, 1, 2));
        let postgres = definition.postgres.unwrap();
        assert_eq!((postgres.port, postgres.tls), (5432, crate::model::environment::TlsMode::VerifyFull));
        let replicas: Vec<u64> = ["low", "medium", "high", "critical"]
            .iter()
            .filter_map(|level| definition.values["capacity"][level]["replicas"].as_u64())
            .collect();
        assert_eq!(replicas, [2, 4, 8, 16]);
    }
}
