//! Who needs whom, worked out once for each playbook of a definition.

use std::collections::HashMap;

use crate::model::definition::Definition;

/// The graphs of every playbook, by name.
#[derive(Debug)]
pub(super) struct Graphs(HashMap<String, Graph>);

/// The graph of one playbook; steps are their places in it.
#[derive(Debug, Default)]
pub(super) struct Graph {
    pub ids: HashMap<String, u32>,
    pub needs: Vec<Vec<u32>>,
    pub dependents: Vec<Vec<u32>>,
}

impl Graphs {
    pub fn of(definition: &Definition) -> Self {
        Self(
            definition
                .playbooks
                .iter()
                .map(|(name, playbook)| {
                    let ids: HashMap<String, u32> = playbook.steps.iter().zip(0..).map(|(step, at)| (step.id.clone(), at)).collect();
                    let mut graph = Graph { needs: Vec::new(), dependents: vec![Vec::new(); playbook.steps.len()], ids };
                    for (step, at) in playbook.steps.iter().zip(0_u32..) {
                        let needs: Vec<u32> = step.needs.iter().filter_map(|need| graph.ids.get(&need.step).copied()).collect();
                        for need in &needs {
                            graph.dependents[*need as usize].push(at);
                        }
                        graph.needs.push(needs);
                    }
                    (name.clone(), graph)
                })
                .collect(),
        )
    }

    pub fn get(&self, playbook: &str) -> &Graph {
        &self.0[playbook]
    }
}
