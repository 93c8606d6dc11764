//! Who needs whom: cycles, ancestors, and which ancestors have certainly succeeded.
//!
//! Must not know expressions. Invariant: cost and memory grow with steps times the ancestors asked for, in slices of [`SLICE`].

use std::collections::{BTreeSet, HashMap};

use petgraph::graph::{DiGraph, NodeIndex};

use super::step::Drafted;
use crate::model::step::Accept;

/// How many ancestors are looked at in one pass: bounds the memory.
const SLICE: usize = 4096;

/// The graph of the needs that name a step.
pub(super) struct Graph {
    /// For each step, the steps it needs, with whether success alone is accepted.
    needs: Vec<Vec<(usize, bool)>>,
    /// Every step after those it needs; `None` where there is a cycle.
    order: Option<Vec<usize>>,
}

impl Graph {
    pub(super) fn new(steps: &[Drafted], ids: &HashMap<&str, usize>) -> Self {
        let needs: Vec<Vec<(usize, bool)>> = steps
            .iter()
            .map(|drafted| {
                let step = &drafted.step;
                let found = step
                    .needs
                    .iter()
                    .filter_map(|need| Some((*ids.get(need.step.as_str())?, need.accept == [Accept::Succeeded] && !step.always)));
                found.collect()
            })
            .collect();
        let order = petgraph::algo::toposort(&digraph(&needs), None).ok().map(|order| order.into_iter().map(NodeIndex::index).collect());
        Self { needs, order }
    }

    /// The cycles: for each, the steps in the order in which each needs the next.
    pub(super) fn cycles(&self) -> Vec<Vec<usize>> {
        if self.order.is_some() {
            return Vec::new();
        }
        let mut cycles = Vec::new();
        // Kosaraju's algorithm as petgraph has it does not recurse; Tarjan's does.
        for part in petgraph::algo::kosaraju_scc(&digraph(&self.needs)) {
            let members: BTreeSet<usize> = part.iter().map(|node| node.index()).collect();
            let Some(first) = members.first().copied() else { continue };
            if members.len() == 1 && !self.needs[first].iter().any(|(need, _)| *need == first) {
                continue;
            }
            let mut path = vec![first];
            let mut places: HashMap<usize, usize> = HashMap::from([(first, 0)]);
            while let Some((next, _)) = path.last().and_then(|last| self.needs[*last].iter().find(|(need, _)| members.contains(need))) {
                if let Some(start) = places.get(next) {
                    cycles.push(path.split_off(*start));
                    break;
                }
                places.insert(*next, path.len());
                path.push(*next);
            }
        }
        cycles.sort();
        cycles
    }

    /// For each pair of a step and another: whether the other is an ancestor, and whether it has certainly succeeded when the step starts. `None`
    /// where there is a cycle, so that nobody knows.
    pub(super) fn ancestry(&self, pairs: &BTreeSet<(usize, usize)>) -> Option<HashMap<(usize, usize), (bool, bool)>> {
        let order = self.order.as_ref()?;
        let mut found = HashMap::with_capacity(pairs.len());
        let mut columns: Vec<usize> = Vec::new();
        for (step, other) in pairs {
            match self.needs[*step].iter().find(|(need, _)| need == other) {
                Some((_, true)) => {
                    found.insert((*step, *other), (true, true));
                }
                _ => columns.push(*other),
            }
        }
        columns.sort_unstable();
        columns.dedup();
        for slice in columns.chunks(SLICE) {
            self.slice(order, slice, pairs, &mut found);
        }
        Some(found)
    }

    fn slice(&self, order: &[usize], slice: &[usize], pairs: &BTreeSet<(usize, usize)>, found: &mut HashMap<(usize, usize), (bool, bool)>) {
        let words = slice.len().div_ceil(64);
        let column: HashMap<usize, usize> = slice.iter().enumerate().map(|(at, step)| (*step, at)).collect();
        // Two rows of bits for each step: its ancestors, and those that have certainly succeeded.
        let mut bits = vec![0_u64; self.needs.len() * words * 2];
        for step in order {
            let mut row = vec![0_u64; words * 2];
            for (need, certain) in &self.needs[*step] {
                let from = need * words * 2;
                for word in 0..words {
                    row[word] |= bits[from + word];
                    if *certain {
                        row[words + word] |= bits[from + words + word];
                    }
                }
                if let Some(at) = column.get(need) {
                    row[at / 64] |= 1 << (at % 64);
                    if *certain {
                        row[words + at / 64] |= 1 << (at % 64);
                    }
                }
            }
            bits[step * words * 2..(step + 1) * words * 2].copy_from_slice(&row);
        }
        for pair in pairs {
            let Some(at) = column.get(&pair.1) else { continue };
            let row = pair.0 * words * 2;
            let is_set = |offset: usize| bits[row + offset + at / 64] >> (at % 64) & 1 == 1;
            found.entry(*pair).or_insert((is_set(0), is_set(words)));
        }
    }
}

fn digraph(needs: &[Vec<(usize, bool)>]) -> DiGraph<(), (), usize> {
    let mut graph = DiGraph::with_capacity(needs.len(), needs.len());
    for _ in needs {
        graph.add_node(());
    }
    for (step, needs) in needs.iter().enumerate() {
        for (need, _) in needs {
            graph.add_edge(NodeIndex::new(*need), NodeIndex::new(step), ());
        }
    }
    graph
}
