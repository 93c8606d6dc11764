//! The undos that are left, as lines for a person's hands.
//!
//! Invariant: they stand in the order in which a rollback would take the steps back, and one that must wait for another says for which: typed too
//! early, it would do harm (larger pools before the pods are gone).

use std::collections::{BTreeSet, HashSet};

use super::section::limited;
use super::step_view::StepView;
use super::style::{Role, Style};
use super::text;
use super::view::RunView;
use crate::model::change::ObjectRef;
use crate::model::status::StepStatus;
use crate::model::step::Need;

/// The most undos that are told.
pub const UNDOS: usize = 100;
/// The most steps that are looked through for what one undo waits for.
const LOOKED_AT: usize = 500;
/// How many of those are named.
const NAMED: usize = 3;

/// What one step's undo is, and what must come first.
pub struct Undo<'a> {
    /// The step.
    pub step: &'a StepView,
    /// The steps that must be put back before it, and are not: at most a few.
    pub after: Vec<&'a StepView>,
}

impl RunView {
    /// The undos that are left, in the order in which a rollback takes them; the first [`UNDOS`].
    pub fn undos(&self) -> Vec<Undo<'_>> {
        let owed: HashSet<_> = self.owed().into_iter().flat_map(|owed| owed.steps).collect();
        let left: Vec<&StepView> =
            self.open.iter().rev().map(|(_, at)| &self.steps[*at as usize]).filter(|step| owed.contains(&step.path)).collect();
        left.iter().take(UNDOS).map(|step| Undo { step, after: self.before(step, &left) }).collect()
    }

    /// What must be put back before a step, and is not.
    fn before<'a>(&'a self, step: &StepView, left: &[&'a StepView]) -> Vec<&'a StepView> {
        let held = self
            .with_status(StepStatus::RollbackFailed)
            .chain(self.with_status(StepStatus::Kept).filter(|step| step.kept.as_ref().is_some_and(|kept| kept.blocks)))
            .chain(self.with_status(StepStatus::RollingBack));
        let mut seen = BTreeSet::new();
        held.chain(left.iter().copied())
            .take(LOOKED_AT)
            .filter(|other| other.path != step.path && seen.insert(&other.path))
            .filter(|other| self.relies_on(other, step) || (other.intent_seq > step.intent_seq && same_field(other, step)))
            .take(NAMED)
            .collect()
    }

    /// Whether a step, or what it is in, needs the other or what the other is in, directly or through others.
    fn relies_on(&self, step: &StepView, other: &StepView) -> bool {
        let around = |step: &StepView| {
            let mut around = Vec::new();
            let mut at = self.index.get(&step.path).copied();
            while let Some(place) = at {
                around.push(place);
                at = self.steps[place as usize].parent;
            }
            around
        };
        let targets = around(other);
        let shared: Vec<u32> = around(step);
        let mut queue: Vec<u32> = shared.into_iter().filter(|at| !targets.contains(at)).collect();
        let mut seen: HashSet<u32> = queue.iter().copied().collect();
        while let Some(at) = queue.pop() {
            for need in self.needs_of(at) {
                if targets.contains(&need) {
                    return true;
                }
                if seen.insert(need) {
                    queue.push(need);
                }
            }
        }
        false
    }

    /// The places of the steps that a step needs; an instance of a `for_each` needs what the whole does.
    fn needs_of(&self, at: u32) -> Vec<u32> {
        let step = &self.steps[at as usize];
        let Some(outline) = step.outline.as_ref().filter(|_| !step.name().starts_with('[')) else { return Vec::new() };
        let base = step.parent.map(|parent| &self.steps[parent as usize].path);
        let place = |need: &Need| match base {
            Some(base) => self.index.get(&base.child(&need.step)).copied(),
            None => self.index.get(need.step.as_str()).copied(),
        };
        outline.needs.iter().filter_map(place).collect()
    }
}

fn same_field(one: &StepView, other: &StepView) -> bool {
    let fields = |step: &StepView| -> HashSet<(ObjectRef, String)> {
        step.intent.iter().flat_map(|intent| &intent.changes).map(|change| (change.object.clone(), change.field.clone())).collect()
    };
    !fields(one).is_disjoint(&fields(other))
}

impl Undo<'_> {
    /// `pool_size, only once scale is put back: 2 pods are still terminating`; `None`: nothing must come first.
    pub fn only_once(&self) -> Option<String> {
        let names: Vec<String> = self.after.iter().map(|step| text::clean(step.path.as_str())).collect();
        let (last, others) = names.split_last()?;
        let (names, are) = if others.is_empty() { (last.clone(), "is") } else { (format!("{} and {last}", others.join(", ")), "are") };
        let why = self.after.iter().find_map(|step| match (&step.kept, &step.failure) {
            (Some(kept), _) => Some(kept.reason.as_str()),
            (None, Some(failure)) => Some(failure.message.as_str()),
            (None, None) => None,
        });
        let why = why.map(|why| format!(" ({})", text::clean(why))).unwrap_or_default();
        Some(format!("{}, only once {names} {are} put back and the platform has followed{why}", text::clean(self.step.path.as_str())))
    }
}

/// The lines for a shell, of each undo that is left, in their order; what is no command is a comment.
pub fn commands(view: &RunView) -> Vec<String> {
    let run = format!("run {} of {}", view.run().short(), text::clean(view.playbook()));
    let lines = lines(view, &Style::plain(jiff::Timestamp::UNIX_EPOCH));
    let first = match lines.is_empty() {
        true => format!("# {run} owes nothing that a person could put back by a command"),
        false => format!("# what {run} owes, in the order in which it goes back:"),
    };
    std::iter::once(first).chain(places(view, &lines)).chain(lines).collect()
}

/// Where the lines belong, which is said before them.
fn places(view: &RunView, lines: &[String]) -> Vec<String> {
    // To a real account they would do there what was done here.
    let account = (view.is_sandbox() && lines.iter().any(|line| line.contains("aws "))).then(|| {
        "# first `eval \"$(runsheet sandbox shell)\"`, which leads aws to the sandbox; without it every command would go to a real account".to_owned()
    });
    account.into_iter().chain(cluster(view).filter(|_| of_cluster(lines))).collect()
}

fn of_cluster(lines: &[String]) -> bool {
    lines.iter().any(|line| line.contains("kubectl"))
}

/// The lines, for each undo that is left; a remark before those of one that must wait.
fn lines(view: &RunView, style: &Style) -> Vec<String> {
    let undos = view.undos();
    // Two steps may have the same undo: then it is typed once, when the later of its turns has come.
    let mut seen = HashSet::new();
    let all = undos.iter().flat_map(|undo| {
        let new: Vec<&String> = undo.step.intent.iter().flat_map(|intent| &intent.undo_by_hand).filter(|line| seen.insert(*line)).collect();
        let remark = undo.only_once().filter(|_| !new.is_empty()).map(|words| style.paint(Role::Attention, &format!("# {words}:")));
        remark.into_iter().chain(new.into_iter().map(|line| style.paint(Role::Command, &text::clean(line)))).collect::<Vec<_>>()
    });
    all.collect()
}

/// The first of these lines, with where they belong.
pub(super) fn by_hand(view: &RunView, style: &Style) -> Vec<String> {
    let mut lines = limited(lines(view, style).into_iter(), |line| vec![line]);
    let places: Vec<String> = places(view, &lines).iter().map(|place| style.paint(Role::Quiet, &text::clean(place))).collect();
    lines.splice(..0, places);
    lines
}

/// Where the lines belong: a terminal's current context may be of another cluster.
fn cluster(view: &RunView) -> Option<String> {
    if view.is_sandbox() {
        return Some(
            "# first `runsheet sandbox kubeconfig > sandbox.kubeconfig`, then kubectl with --kubeconfig=sandbox.kubeconfig".to_owned(),
        );
    }
    let target = view.spec()?.target.as_ref()?;
    let uid = target.identity.get("kubernetes")?.as_str()?;
    let environment = &target.environment;
    let look = "kubectl get namespace kube-system -o jsonpath='{.metadata.uid}'";
    Some(format!("# only where {look} prints {uid}: that is {environment}"))
}
