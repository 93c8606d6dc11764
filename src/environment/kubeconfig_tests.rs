//! What a kubeconfig gives, and what is told of one that gives nothing.

use std::path::PathBuf;

use super::*;

const TWO: &str = "\
apiVersion: v1
kind: Config
current-context: staging
clusters:
  - { name: one, cluster: { server: 'https://127.0.0.1:6443' } }
  - { name: two, cluster: { server: 'https://127.0.0.1:6444', certificate-authority: ca.pem } }
  - { name: none, cluster: {} }
contexts:
  - { name: staging, context: { cluster: one, user: ana, namespace: shop } }
  - { name: production, context: { cluster: two, user: ana } }
  - { name: bare, context: { cluster: none, user: ana } }
  - { name: lost, context: { cluster: gone, user: ana } }
  - { name: nobody, context: { cluster: one, user: gone } }
  - { name: legacy, context: { cluster: one, user: legacy } }
  - { name: file, context: { cluster: one, user: file } }
  - { name: plugin, context: { cluster: one, user: plugin } }
  - { name: certificate, context: { cluster: one, user: certificate } }
users:
  - { name: ana, user: { token: hunter2hunter2 } }
  - { name: legacy, user: { auth-provider: { name: gcp } } }
  - { name: file, user: { tokenFile: token } }
  - { name: plugin, user: { exec: { apiVersion: client.authentication.k8s.io/v1, command: ./login, interactiveMode: Never } } }
  - { name: certificate, user: { client-certificate: gone.pem, client-key: gone.key } }
";

fn options(file: PathBuf, context: Option<&str>) -> KubeconfigOptions {
    KubeconfigOptions { context: context.map(str::to_owned), file: Some(file), proxy: None, exec_timeout: Duration::from_secs(60) }
}

fn login(context: Option<&str>) -> (Result<Login, KubeconfigError>, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("config");
    std::fs::write(&file, TWO).unwrap();
    (Login::from_kubeconfig(&options(file, context)), folder)
}

#[track_caller]
fn refused(context: &str, text: &str) -> KubeconfigError {
    let (login, folder) = login(Some(context));
    let error = login.unwrap_err();
    let told = error.to_string().replace(&*folder.path().to_string_lossy(), "FOLDER");
    assert_eq!(told, text);
    error
}

#[test]
fn a_context_leads_to_its_cluster() {
    let (login, _folder) = login(None);
    let login = login.unwrap();
    assert_eq!((login.url(), login.context(), login.user()), ("https://127.0.0.1:6443", Some("staging"), Some("ana")));
    assert_eq!(login.namespace(), "shop");
    assert!(!login.config.default_retry && login.config.proxy_url.is_none(), "no retries, and no proxy to loopback");
    assert!(!format!("{login:?}").contains("hunter2"));
}

#[test]
fn credentials_that_are_renewed_are_taken_from_the_client() {
    let (file, folder) = login(Some("file"));
    let file = file.unwrap();
    assert!(file.config.auth_info.token_file.is_none());
    assert!(matches!(&file.source, CredentialSource::TokenFile(path) if *path == folder.path().join("token")));
    let (plugin, folder) = login(Some("plugin"));
    let plugin = plugin.unwrap();
    assert!(plugin.config.auth_info.exec.is_none());
    let CredentialSource::Plugin(found) = &plugin.source else { panic!("{:?}", plugin.source) };
    assert_eq!(found.name(), folder.path().join("./login").to_string_lossy(), "a path is relative to the kubeconfig");
}

#[test]
fn what_is_wrong_is_said_with_its_context() {
    let error = refused("stagin", "the kubeconfig FOLDER/config has no context `stagin`");
    assert_eq!(error.hint(), "there are: bare, certificate, file, legacy, lost, nobody, plugin, production, staging");
    refused("lost", "the kubeconfig FOLDER/config, context `lost`: its cluster `gone` is not there");
    refused("nobody", "the kubeconfig FOLDER/config, context `nobody`: its user `gone` is not there");
    refused("bare", "the kubeconfig FOLDER/config, context `bare`: its cluster `none` has no `server` that is a URL");
    refused(
        "legacy",
        "the kubeconfig FOLDER/config, context `legacy`: its user has the auth-provider `gcp`, which Kubernetes 1.26 dropped: write an `exec` \
         plugin in its place",
    );
    refused(
        "production",
        "the kubeconfig FOLDER/config, context `production`: `certificate-authority` of its cluster: FOLDER/ca.pem is not there",
    );
    refused(
        "certificate",
        "the kubeconfig FOLDER/config, context `certificate`: `client-certificate` of its user: FOLDER/gone.pem is not there",
    );
}

#[test]
fn a_file_that_is_no_kubeconfig_is_not_quoted() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("config");
    for text in ["users: [{ name: a, user: { token: [hunter2] } }]\n", "users: hunter2\n", "token: hunter2: x\n", "\thunter2"] {
        std::fs::write(&file, text).unwrap();
        let error = Login::from_kubeconfig(&options(file.clone(), None)).unwrap_err().to_string();
        assert!(error.contains("it is not the YAML of a kubeconfig") && !error.contains("hunter2"), "{error}");
    }
    std::fs::write(&file, "").unwrap();
    let error = Login::from_kubeconfig(&options(file.clone(), None)).unwrap_err();
    assert!(matches!(&error, KubeconfigError::NoCurrentContext { .. }), "{error}");
    std::fs::remove_file(&file).unwrap();
    let error = Login::from_kubeconfig(&options(file.clone(), None)).unwrap_err().to_string();
    assert_eq!(error, format!("there is no kubeconfig: {} is not there", file.display()));
}

#[test]
fn outside_a_pod_there_is_no_account_of_one() {
    let error = Login::in_cluster(None).unwrap_err();
    assert!(matches!(error, KubeconfigError::NotInCluster { .. }), "{error}");
}

#[test]
fn a_login_within_the_servers_url_is_used_where_there_is_no_other_and_never_shown() {
    for (user, uses_it) in [("{}", true), ("{ token: hunter2hunter2 }", false)] {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("config");
        let text = format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: a\nclusters: [{{ name: c, cluster: {{ server: 'http://ana:swordfish%2F1@127.0.0.1:6443' }} \
             }}]\ncontexts: [{{ name: a, context: {{ cluster: c, user: u }} }}]\nusers: [{{ name: u, user: {user} }}]\n"
        );
        std::fs::write(&file, text).unwrap();
        let login = Login::from_kubeconfig(&options(file, None)).unwrap();
        assert_eq!(login.url(), "http://127.0.0.1:6443");
        assert!(!login.config.cluster_url.to_string().contains("swordfish") && !format!("{login:?}").contains("swordfish"));
        let password = login.config.auth_info.password.as_ref().map(|password| secrecy::ExposeSecret::expose_secret(password).to_owned());
        assert_eq!(password, uses_it.then(|| "swordfish/1".to_owned()));
    }
}
