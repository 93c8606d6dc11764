//! Makes the nodes of a run: of its playbook at the start, of a called one when it is called, of a `for_each` when it expands.

use std::sync::Arc;

use serde_json::Value;

use super::node::{Kind, Node, Stage};
use super::state::{NodeId, Scope, State};
use crate::model::id::StepPath;
use crate::model::status::StepStatus;
use crate::model::step::Uses;

impl State {
    pub(super) fn open_scope(&mut self, playbook: &str, call: Option<NodeId>, params: Value, vars: Value) -> u32 {
        let number = u32::try_from(self.scopes.len()).unwrap_or(u32::MAX);
        let first = u32::try_from(self.nodes.len()).unwrap_or(u32::MAX);
        let definition = Arc::clone(&self.definition);
        let steps = &definition.playbooks[playbook].steps;
        self.scopes.push(Scope {
            playbook: playbook.into(),
            call,
            params: Arc::new(params),
            vars: Arc::new(vars),
            first,
            open: u32::try_from(steps.len()).unwrap_or(u32::MAX),
        });
        let (base, item) = match call {
            Some(call) => (Some(self.node(call).path.clone()), self.node(call).item.clone()),
            None => (None, None),
        };
        self.nodes.reserve(steps.len());
        for (at, step) in (0_u32..).zip(steps) {
            let path = base.as_ref().map_or_else(|| StepPath::new(step.id.as_str()), |base| base.child(&step.id));
            let kind = match (&step.for_each, &step.uses) {
                (Some(_), _) | (None, Uses::Monitor(_)) => Kind::Each { first: 0, count: 0, open: 0, busy: 0, expanded: false },
                (None, Uses::Playbook { .. }) => Kind::Call { scope: None },
                (None, Uses::Action { .. } | Uses::Wait(_) | Uses::Approve(_)) => Kind::Leaf,
            };
            let open_needs = self.graphs.get(playbook).needs[at as usize].len();
            self.add_node(path, number, at, call, item.clone(), kind, u32::try_from(open_needs).unwrap_or(u32::MAX));
        }
        if steps.is_empty()
            && let Some(call) = call
        {
            self.concludable.insert(call);
        }
        number
    }

    pub(super) fn expand(&mut self, id: NodeId, items: &[(String, Value)]) {
        let first = u32::try_from(self.nodes.len()).unwrap_or(u32::MAX);
        let count = u32::try_from(items.len()).unwrap_or(u32::MAX);
        let (path, scope, step) = (self.node(id).path.clone(), self.node(id).scope, self.node(id).step);
        let (call, monitor) = (matches!(self.step(id).uses, Uses::Playbook { .. }), matches!(self.step(id).uses, Uses::Monitor(_)));
        for (key, item) in items {
            let kind = if call || (monitor && !super::monitor::samples(key)) { Kind::Call { scope: None } } else { Kind::Leaf };
            self.add_node(path.instance(key), scope, step, Some(id), Some(Arc::new((key.clone(), item.clone()))), kind, 0);
        }
        self.node_mut(id).kind = Kind::Each { first, count, open: count, busy: 0, expanded: true };
        if count == 0 {
            self.concludable.insert(id);
        }
    }

    #[expect(clippy::too_many_arguments, reason = "a constructor with no meaning of its own")]
    fn add_node(
        &mut self,
        path: StepPath,
        scope: u32,
        step: u32,
        parent: Option<NodeId>,
        item: Option<Arc<(String, Value)>>,
        kind: Kind,
        open_needs: u32,
    ) {
        let id = u32::try_from(self.nodes.len()).unwrap_or(u32::MAX);
        self.by_path.insert(path.clone(), id);
        self.nodes.push(Node {
            path,
            scope,
            step,
            parent,
            item,
            kind,
            status: StepStatus::Pending,
            stage: Stage::Idle,
            open_needs,
            skip: None,
            detail: None,
        });
        if open_needs == 0 {
            self.considerable.insert(id);
        }
    }
}
