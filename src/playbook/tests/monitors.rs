//! The construct `monitor`: what it takes, and what is wrong with one.

use super::*;
use crate::model::duration::Span;
use crate::model::step::{Otherwise, Uses};

const GROW: &str = "playbook: grow\nsummary: Grow\nparams:\n  to: { type: integer, help: How many }\nsteps:\n  - id: a\n    uses: noop\n";

fn during(with: &str) -> String {
    format!("playbook: during\nsummary: Watch\nsteps:\n  - id: watch\n    uses: monitor\n    with:\n{with}")
}

fn load(with: &str) -> Result<crate::model::definition::Definition, Vec<(u32, String, String)>> {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("during.yaml"), during(with)).unwrap();
    std::fs::write(dir.path().join("grow.yaml"), GROW).unwrap();
    load_definition(dir.path(), "during", &catalogue()).map_err(|error| match error {
        LoadError::Invalid(found) => {
            found.problems.iter().map(|one| (one.line, one.message.clone(), one.hint.clone().unwrap_or_default())).collect()
        }
        other => panic!("{other}"),
    })
}

#[test]
fn a_monitor_is_read_with_its_defaults() {
    let with = "      duration: 2h\n      samples:\n        pods: { uses: noop }\n      series:\n        cpu: ${{ result.pods.cpu }}\n      alerts:\n        - { name: crowded, when: \"${{ result.pods.cpu > 80 }}\", for: 1m, playbook: grow, params: { to: 16 } }\n        - { name: empty, when: \"${{ result.pods.cpu < 5 }}\", playbook: grow, params: { to: \"${{ item.firing }}\" }, approve: false, max_firings: 3 }\n";
    let definition = load(with).unwrap();
    assert!(definition.playbooks.contains_key("grow"), "what an alert starts is a part of the definition");
    let Uses::Monitor(monitor) = &definition.root().steps[0].uses else { panic!() };
    assert_eq!((monitor.every, monitor.samples.len(), monitor.series.len()), (Span::seconds(15), 1, 1));
    let [crowded, empty] = monitor.alerts.as_slice() else { panic!() };
    assert_eq!((crowded.max_firings, crowded.cooldown, crowded.hold), (1, Span::seconds(600), Some(Span::seconds(60))));
    assert_eq!(crowded.approve.as_ref().map(|gate| (gate.count, gate.otherwise)), Some((1, Otherwise::Skip)));
    assert_eq!(
        (empty.approve.is_none(), empty.firings().collect::<Vec<_>>()),
        (true, vec!["empty".into(), "empty-2".into(), "empty-3".to_owned()])
    );
}

#[test]
fn what_is_wrong_with_a_monitor_is_found_at_load() {
    let wrong = |with: &str| load(with).unwrap_err().into_iter().map(|(line, message, _)| (line, message)).collect::<Vec<_>>();
    assert_eq!(wrong("      samples: { pods: { uses: noop } }\n"), [(7, "nothing ends this `monitor`".to_owned())]);
    let sample = "      duration: 1h\n      samples: { pods: { uses: noop } }\n";
    assert_eq!(wrong("      duration: 1h\n"), [(7, "`monitor` needs `samples`".to_owned())]);
    assert_eq!(
        wrong("      duration: 1h\n      samples: { pods: { uses: command, with: { run: [date] } } }\n"),
        [(8, "`command` may change something, and a monitor only reads".to_owned())]
    );
    assert_eq!(
        wrong(&format!("{sample}      series: {{ x: \"${{{{ 1 + 1 }}}}\" }}\n")),
        [(9, "this number never changes: it does not look at the `result`".to_owned())]
    );
    assert_eq!(wrong(&format!("{sample}      evry: 1s\n")), [(9, "`monitor` has no key `evry`".to_owned())]);
    let alert = |rest: &str| format!("{sample}      alerts:\n        - {{ when: \"${{{{ result.pods.x > 1 }}}}\", {rest} }}\n");
    assert_eq!(
        wrong(&alert("name: samples, playbook: grow, params: { to: 1 }")),
        [(10, "`samples` is what the samples themselves are called".to_owned())]
    );
    assert_eq!(wrong(&alert("name: a, playbook: grow")), [(10, "playbook `grow` needs `to` (How many)".to_owned())]);
    assert_eq!(wrong(&alert("name: a, playbook: grwo, params: { to: 1 }")).len(), 1);
    assert_eq!(
        wrong(&alert("name: a, playbook: grow, params: { to: 1 }, max_firings: 21")),
        [(10, "`max_firings` is at most 20".to_owned())]
    );
    let twice = format!(
        "{}        - {{ name: a, when: \"${{{{ result.pods.x > 2 }}}}\", playbook: grow, params: {{ to: 1 }} }}\n",
        alert("name: a, playbook: grow, params: { to: 1 }")
    );
    assert_eq!(wrong(&twice), [(11, "two alerts of this monitor are called `a`".to_owned())]);
}
