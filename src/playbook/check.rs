//! What no single step can tell: ids, needs, and what expressions refer to.
//!
//! Must not change the model. Invariant: an expression that passes refers only to what exists and has a value where it is evaluated.

use std::collections::{BTreeSet, HashMap};

use super::diagnostics::did_you_mean;
use super::graph::Graph;
use super::header::Named;
use super::reader::{Reader, is_name};
use super::source::Span;
use super::step::Drafted;
use super::template::{Occurrence, SECRET};
use crate::expr::{Expression, Fact, Root, Use};
use crate::model::playbook::{Param, SecretDeclaration};

/// What a file declares.
pub(super) struct Declared<'d> {
    pub(super) params: &'d [Param],
    pub(super) secrets: &'d [SecretDeclaration],
    pub(super) vars: &'d [Named],
    pub(super) steps: &'d [Drafted],
}

/// The use of a called playbook's output, to be checked when that one has been read.
#[derive(Debug)]
pub(super) struct OutputUse {
    pub(super) step: usize,
    pub(super) output: String,
    pub(super) span: Span,
}

struct StepUse {
    owner: Option<usize>,
    step: usize,
    one: Use,
    span: Span,
    /// Whether null does no harm here.
    null: bool,
}

/// Checks everything that spans more than one step. Returns uses of outputs that only another file can tell about.
pub(super) fn check(reader: &mut Reader<'_>, declared: &Declared<'_>) -> Vec<OutputUse> {
    let mut ids: HashMap<&str, usize> = HashMap::with_capacity(declared.steps.len());
    for (index, drafted) in declared.steps.iter().enumerate() {
        let id = drafted.step.id.as_str();
        if id.is_empty() {
            continue;
        }
        if let Some(first) = ids.get(id) {
            let line = declared.steps[*first].id.line;
            reader.problems.hint(
                "duplicate-id",
                drafted.id,
                format!("there are two steps `{id}`"),
                format!("the first is in line {line}; rename one"),
            );
        } else {
            ids.insert(id, index);
        }
    }
    check_needs(reader, declared.steps, &ids);
    let graph = Graph::new(declared.steps, &ids);
    for cycle in graph.cycles() {
        show_cycle(reader, declared.steps, &cycle);
    }
    let facts: Vec<BTreeSet<Fact>> = declared
        .steps
        .iter()
        .map(|drafted| {
            let when = drafted.step.when.as_ref().and_then(|when| Expression::parse(&when.text).ok());
            when.map(|when| when.facts_when_true()).unwrap_or_default()
        })
        .collect();
    // A `when` that looks at the item is evaluated for each instance, after whatever concerns the step as a whole.
    let by_item: Vec<bool> = declared
        .steps
        .iter()
        .map(|drafted| {
            let when = drafted.step.when.as_ref().and_then(|when| Expression::parse(&when.text).ok());
            when.is_some_and(|when| when.references().roots.contains(&Root::Item))
        })
        .collect();
    let mut uses = Vec::new();
    let nothing = BTreeSet::new();
    let occurrences = std::mem::take(&mut reader.occurrences);
    for occurrence in &occurrences {
        let known = match occurrence.scope.owner {
            Some(owner) if !occurrence.scope.before_when && (occurrence.scope.item || !by_item[owner]) => &facts[owner],
            _ => &nothing,
        };
        for one in occurrence.expression.uses(known) {
            let span = occurrence.place.part(reader.file, one.offset, one.length);
            check_use(reader, declared, &ids, occurrence, one, span, &mut uses);
        }
    }
    reader.occurrences = occurrences;
    only_the_id(reader, &ids);
    check_steps(reader, declared.steps, &graph, uses)
}

fn check_needs(reader: &mut Reader<'_>, steps: &[Drafted], ids: &HashMap<&str, usize>) {
    for drafted in steps {
        for (need, span) in drafted.step.needs.iter().zip(&drafted.needs) {
            if !ids.contains_key(need.step.as_str()) {
                unknown_step(reader, steps, ids, &need.step, *span);
            }
        }
    }
}

/// That there is no such step. Where a step's own id cannot be read, that one may be meant, and that it cannot be read is told: only what is near to
/// another's id is a mistake of its own.
fn unknown_step(reader: &mut Reader<'_>, steps: &[Drafted], ids: &HashMap<&str, usize>, id: &str, span: Span) {
    let near = did_you_mean(id, ids.keys().copied());
    if near.is_none() && steps.iter().any(|drafted| drafted.step.id.is_empty()) {
        return;
    }
    let hint = near.unwrap_or_else(|| "steps are named by their `id`".to_owned());
    reader.problems.hint("unknown-step", span, format!("there is no step `{id}`"), hint);
}

/// Takes back what was found in expressions about a step whose id is no name, `steps.scale-up.outputs`: that the id is none is told, and mended first.
fn only_the_id(reader: &mut Reader<'_>, ids: &HashMap<&str, usize>) {
    let wrong: Vec<String> = ids.keys().filter(|id| !is_name(id, '_')).map(|id| format!("steps.{id}")).collect();
    if wrong.is_empty() {
        return;
    }
    let file = reader.file;
    reader.problems.forget(|code, line, column| {
        let at = column.saturating_sub(1) as usize;
        let within = |wanted: &String| {
            let text = file.line(line);
            text.match_indices(wanted.as_str()).any(|(byte, _)| {
                let from = text[..byte].chars().count();
                (from..from + wanted.chars().count()).contains(&at)
            })
        };
        matches!(code, "expression" | "unknown-step") && wrong.iter().any(within)
    });
}

fn show_cycle(reader: &mut Reader<'_>, steps: &[Drafted], cycle: &[usize]) {
    let Some((first, rest)) = cycle.split_first() else { return };
    let next = rest.first().unwrap_or(first);
    let drafted = &steps[*first];
    let wanted = &steps[*next].step.id;
    let span =
        drafted.step.needs.iter().position(|need| need.step == *wanted).and_then(|at| drafted.needs.get(at).copied()).unwrap_or(drafted.id);
    let mut names: Vec<&str> = cycle.iter().take(12).map(|step| steps[*step].step.id.as_str()).collect();
    if cycle.len() > 12 {
        names.push("…");
    }
    names.push(drafted.step.id.as_str());
    let message = if cycle.len() == 1 {
        format!("`{}` needs itself", drafted.step.id)
    } else {
        format!("these steps wait for each other: {}", names.join(" → "))
    };
    reader.problems.hint("cycle", span, message, "remove one of these needs");
}

fn check_use(
    reader: &mut Reader<'_>,
    declared: &Declared<'_>,
    ids: &HashMap<&str, usize>,
    occurrence: &Occurrence,
    one: Use,
    span: Span,
    uses: &mut Vec<StepUse>,
) {
    let scope = occurrence.scope;
    let first = one.keys.first().map(String::as_str);
    let out_of_place = |reader: &mut Reader<'_>, hint: &str| {
        reader.problems.hint("scope", span, format!("`{}` has no value in {}", one.root.as_str(), scope.what), hint);
    };
    match one.root {
        Root::Params => {
            let there = |name: &str| declared.params.iter().any(|param| param.name == name) || reader.misdeclared.contains(name);
            if let Some(name) = first.filter(|name| !there(name)) {
                unknown(reader, span, "parameter", name, declared.params.iter().map(|param| param.name.as_str()), "`params:`");
            }
        }
        Root::Vars => {
            if let Some(name) = first.filter(|name| !declared.vars.iter().any(|var| var.name == *name)) {
                unknown(reader, span, "variable", name, declared.vars.iter().map(|var| var.name.as_str()), "`vars:`");
            }
        }
        Root::Target => reader.needs_target = true,
        Root::Secrets => {
            if scope.what != SECRET {
                let hint = "a secret is given whole (`${{ secrets.NAME }}`) to an input that is typed secret, and goes nowhere else";
                reader.problems.hint("secret", span, format!("a secret may not be used in {}", scope.what), hint);
            } else if let Some(name) = first.filter(|name| !declared.secrets.iter().any(|secret| secret.name == *name)) {
                unknown(reader, span, "secret", name, declared.secrets.iter().map(|secret| secret.name.as_str()), "`secrets:`");
            }
        }
        Root::Item if !scope.item => out_of_place(reader, "`item` is what a step with `for_each` is repeated for"),
        Root::Result if !scope.result => out_of_place(reader, "`result` is the latest reading, in `check` and in a step's own `outputs`"),
        Root::Prior if !scope.prior => {
            out_of_place(reader, "`prior` is what was there before, in `check.after`, `rollback` and a step's own `outputs`")
        }
        Root::Item | Root::Result | Root::Prior => {}
        Root::Steps => {
            if !scope.steps {
                return out_of_place(reader, "it is worked out before any step has run");
            }
            let Some(id) = first else { return };
            let Some(step) = ids.get(id).copied() else { return unknown_step(reader, declared.steps, ids, id, span) };
            if let Some(key) = one.keys.get(1).filter(|key| !["status", "outputs"].contains(&key.as_str())) {
                let named = declared.steps[step].outputs.as_ref().is_some_and(|outputs| outputs.contains(key));
                let hint = if named {
                    format!("write `steps.{id}.outputs.{key}`")
                } else {
                    did_you_mean(key, ["status", "outputs"]).unwrap_or_else(|| "a step has `status` and `outputs`".to_owned())
                };
                return reader.problems.hint("unknown-output", span, format!("a step has no `{key}`"), hint);
            }
            let null = one.guarded || (scope.null && occurrence.whole && occurrence.expression.is_path());
            uses.push(StepUse { owner: scope.owner, step, one, span, null });
        }
    }
}

fn unknown<'n>(reader: &mut Reader<'_>, span: Span, what: &str, name: &str, known: impl Iterator<Item = &'n str>, place: &str) {
    let known: Vec<&str> = known.collect();
    let hint = did_you_mean(name, known.iter().copied()).unwrap_or_else(|| {
        if known.is_empty() {
            format!("declare it under {place}")
        } else {
            format!("there are: {}; others are declared under {place}", known.join(", "))
        }
    });
    reader.problems.hint("unknown-reference", span, format!("there is no {what} `{name}`"), hint);
}

fn check_steps(reader: &mut Reader<'_>, steps: &[Drafted], graph: &Graph, uses: Vec<StepUse>) -> Vec<OutputUse> {
    let pairs: BTreeSet<(usize, usize)> = uses.iter().filter_map(|one| Some((one.owner?, one.step))).collect();
    let ancestry = graph.ancestry(&pairs);
    let mut deferred = Vec::new();
    for StepUse { owner, step, one, span, null } in uses {
        let id = &steps[step].step.id;
        let (ancestor, certain) = match (owner, &ancestry) {
            (Some(owner), Some(ancestry)) => ancestry.get(&(owner, step)).copied().unwrap_or_default(),
            // In a playbook's own outputs every step has ended, in whatever way.
            (None, _) => (true, false),
            // Within a cycle nobody can say.
            (Some(_), None) => (true, true),
        };
        if !ancestor {
            let hint = match owner {
                Some(owner) if owner == step => "a step's own values are `result` (in `check` and `outputs`)".to_owned(),
                Some(owner) => format!("add `{id}` to the needs of `{}`", steps[owner].step.id),
                None => String::new(),
            };
            reader.problems.hint("not-an-ancestor", span, format!("`{id}` need not have run when this is evaluated"), hint);
            continue;
        }
        let Some(name) = one.keys.get(2).filter(|_| one.keys.get(1).is_some_and(|key| key == "outputs")) else { continue };
        match &steps[step].outputs {
            None => deferred.push(OutputUse { step, output: name.clone(), span }),
            Some(_) if steps[step].step.for_each.is_some() => {
                let hint = "each of its instances has its own outputs, and none stands for all";
                reader.problems.hint("unknown-output", span, format!("`{id}` has `for_each`, so it has no outputs as a whole"), hint);
                continue;
            }
            Some(known) if !known.contains(name) => {
                let hint = did_you_mean(name, known.iter().map(String::as_str)).unwrap_or_else(|| {
                    if known.is_empty() {
                        "it has none; name one under its `outputs:`".to_owned()
                    } else {
                        format!("it has: {}", known.join(", "))
                    }
                });
                reader.problems.hint("unknown-output", span, format!("`{id}` has no output `{name}`"), hint);
                continue;
            }
            Some(_) => {}
        }
        if !certain && !null {
            let path = format!("steps.{id}.outputs.{name}");
            let hint = format!(
                "guard it: `{path} != null ? {path} : …`, or `steps.{id}.status == \"succeeded\" && …`{}",
                match owner {
                    Some(_) => format!("; or need `{id}` itself, with success alone accepted"),
                    None => String::new(),
                }
            );
            reader.problems.hint(
                "may-be-null",
                span,
                format!("`{path}` is null where `{id}` has not succeeded, and here it may not have"),
                hint,
            );
        }
    }
    deferred
}

/// The order in which each variable finds those it refers to; those in a cycle are reported and left as written.
pub(super) fn order_vars(reader: &mut Reader<'_>, vars: &[Named]) -> Vec<usize> {
    let nothing = BTreeSet::new();
    let index: HashMap<&str, usize> = vars.iter().enumerate().map(|(at, var)| (var.name.as_str(), at)).collect();
    let refers: Vec<BTreeSet<usize>> = vars
        .iter()
        .map(|var| {
            let uses = reader.occurrences[var.occurrences.clone()].iter().flat_map(|occurrence| occurrence.expression.uses(&nothing));
            uses.filter(|one| one.root == Root::Vars).filter_map(|one| index.get(one.keys.first()?.as_str()).copied()).collect()
        })
        .collect();
    let mut order = Vec::with_capacity(vars.len());
    let mut done = vec![false; vars.len()];
    let mut waits: Vec<usize> = refers.iter().map(BTreeSet::len).collect();
    let mut users: Vec<Vec<usize>> = vec![Vec::new(); vars.len()];
    for (var, refers) in refers.iter().enumerate() {
        refers.iter().for_each(|other| users[*other].push(var));
    }
    let mut ready: BTreeSet<usize> = (0..vars.len()).filter(|var| waits[*var] == 0).collect();
    while let Some(var) = ready.pop_first() {
        done[var] = true;
        order.push(var);
        for user in &users[var] {
            waits[*user] -= 1;
            if waits[*user] == 0 {
                ready.insert(*user);
            }
        }
    }
    if let Some(first) = (0..vars.len()).find(|var| !done[*var]) {
        let mut path = vec![first];
        while let Some(next) = path.last().and_then(|last| refers[*last].iter().find(|other| !done[**other])) {
            if let Some(start) = path.iter().position(|at| at == next) {
                path = path.split_off(start);
                break;
            }
            path.push(*next);
        }
        let mut names: Vec<&str> = path.iter().map(|at| vars[*at].name.as_str()).collect();
        names.extend(path.first().map(|at| vars[*at].name.as_str()));
        let span = path.first().map_or(vars[first].span, |at| vars[*at].span);
        reader.problems.hint(
            "cycle",
            span,
            format!("these variables refer to each other: {}", names.join(" → ")),
            "one of them needs a value of its own",
        );
        order.extend((0..vars.len()).filter(|var| !done[*var]));
    }
    order
}
