//! How a person's `kubectl` is led to the cluster of the environment, and how they see that it is that one.
//!
//! Must not ask anything. Invariant: no command is left to whatever context happens to be the current one without that being said first.

use crate::model::by_hand::quoted;
use crate::model::environment::{ClusterAccount, KubernetesTarget, SANDBOX};
use crate::model::sheet::{HandCluster, Sheet};

/// The programs that the sandbox's functions lead there.
const LED: [&str; 4] = ["psql ", "curl ", "redis-cli ", "aws "];
/// What makes them known to a shell.
const SHELL: &str = r#"eval "$(runsheet sandbox shell)""#;

/// Says so in a sheet that has anything for `kubectl`, and in the sandbox for other programs too. `kubernetes` is what the environment's file says, where
/// one is named.
pub fn lead_to_cluster(sheet: &mut Sheet, kubernetes: Option<&KubernetesTarget>) {
    let uses = |program: &str| {
        sheet.steps.iter().any(|step| {
            let checks = step.before.iter().chain(&step.after).flat_map(|check| &check.look);
            step.look.iter().chain(&step.act).chain(&step.undo).chain(checks).any(|line| line.contains(program))
        })
    };
    let led = sheet.environment.as_deref() == Some(SANDBOX) && LED.iter().any(|program| uses(program));
    let mut found = uses("kubectl").then(|| cluster(sheet.environment.as_deref(), kubernetes));
    if led {
        let must = "without this every command would go to a real system of that name, or to none".to_owned();
        let cluster = found.get_or_insert_with(|| HandCluster { lines: Vec::new(), must });
        cluster.lines.insert(0, SHELL.to_owned());
        // The shell has the sandbox's token by that.
        sheet.variables.retain(|variable| variable.name != "SERVICE_TOKEN");
    }
    sheet.cluster = found;
}

fn cluster(environment: Option<&str>, kubernetes: Option<&KubernetesTarget>) -> HandCluster {
    // A function of the shell, so that it holds in loops, in pipes and in `$(…)` as well.
    let with = |options: &str| format!("kubectl() {{ command kubectl{options} \"$@\"; }}");
    let uid = "kubectl get namespace kube-system -o jsonpath='{.metadata.uid}{\"\\n\"}'".to_owned();
    match (environment, kubernetes) {
        (Some(name), Some(KubernetesTarget { account, cluster_uid, .. })) => {
            let must = format!("it must print {cluster_uid}, or this is another cluster than {name}: stop there");
            match account {
                ClusterAccount::Context { name: context, kubeconfig } => {
                    let file = kubeconfig.as_ref().map(|file| format!(" --kubeconfig={}", quoted(&file.display().to_string())));
                    let options = format!("{} --context={}", file.unwrap_or_default(), quoted(context));
                    HandCluster { lines: vec![with(&options), uid], must }
                }
                ClusterAccount::InCluster => HandCluster { lines: vec![uid], must },
            }
        }
        (Some(SANDBOX), _) => HandCluster {
            lines: vec!["runsheet sandbox kubeconfig > sandbox.kubeconfig".to_owned(), with(" --kubeconfig=sandbox.kubeconfig"), uid],
            must: "without these every command would go to a real cluster, whichever is current".to_owned(),
        },
        _ => HandCluster {
            lines: vec!["kubectl config current-context".to_owned()],
            must: "no environment is named, so every kubectl goes there; `--env NAME` prints the lines for that environment's cluster"
                .to_owned(),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::duration::Span;
    use crate::model::sheet::{HandStep, Variable};

    fn on(account: ClusterAccount) -> KubernetesTarget {
        KubernetesTarget {
            account,
            namespace: "production".to_owned(),
            cluster_uid: "6f2c".to_owned(),
            cluster_uid_line: 1,
            proxy: None,
            exec_timeout: Span::seconds(60),
        }
    }

    #[test]
    fn every_command_goes_to_the_context_that_the_environment_names() {
        let context = |name: &str, kubeconfig: Option<&str>| {
            on(ClusterAccount::Context { name: name.to_owned(), kubeconfig: kubeconfig.map(Into::into) })
        };
        for (kubernetes, wanted) in [
            (context("live", None), "kubectl() { command kubectl --context=live \"$@\"; }"),
            (context("my live", Some("/a b/c")), "kubectl() { command kubectl --kubeconfig='/a b/c' --context='my live' \"$@\"; }"),
        ] {
            let said = cluster(Some("live"), Some(&kubernetes));
            assert_eq!(said.lines[0], wanted);
            assert!(said.lines[1].contains("kube-system") && said.must.contains("must print 6f2c"), "{said:?}");
        }
        let said = cluster(Some("live"), Some(&on(ClusterAccount::InCluster)));
        assert!(said.lines.len() == 1 && said.must.contains("must print 6f2c"), "{said:?}");
    }

    #[test]
    fn the_sandbox_has_its_own_and_no_environment_is_said_to_be_the_current_context() {
        let sandbox = cluster(Some(SANDBOX), None);
        assert_eq!(sandbox.lines[1], "kubectl() { command kubectl --kubeconfig=sandbox.kubeconfig \"$@\"; }");
        let nowhere = cluster(None, None);
        assert_eq!(nowhere.lines, ["kubectl config current-context"]);
    }

    #[test]
    fn a_sheet_without_kubectl_leads_nowhere() {
        let mut sheet = Sheet {
            playbook: "p".to_owned(),
            summary: String::new(),
            environment: None,
            cluster: None,
            variables: Vec::new(),
            steps: vec![HandStep { act: vec!["true".to_owned()], ..HandStep::default() }],
        };
        lead_to_cluster(&mut sheet, None);
        assert_eq!(sheet.cluster, None);
        sheet.steps[0].undo = vec!["kubectl get pods".to_owned()];
        lead_to_cluster(&mut sheet, None);
        assert!(sheet.cluster.is_some());
        // In the sandbox, other programs are led there as well; nowhere else.
        sheet.steps[0].undo = vec!["aws elasticache describe-replication-groups".to_owned()];
        lead_to_cluster(&mut sheet, None);
        assert_eq!(sheet.cluster, None);
        sheet.environment = Some(SANDBOX.to_owned());
        sheet.variables = vec![Variable { name: "SERVICE_TOKEN".to_owned(), from: "secret service_token".to_owned() }];
        lead_to_cluster(&mut sheet, None);
        assert_eq!(sheet.cluster.unwrap().lines, [SHELL]);
        assert!(sheet.variables.is_empty());
    }
}
