//! Killing at every point: each commit and each effect, before and after.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

/// The kinds of points at which the engine can be killed.
pub const KINDS: [&str; 4] = ["commit", "before-commit", "effect", "before-effect"];
/// More of one kind than any run of a test has: reached, the test would not end.
const MOST: u32 = 200;

/// Calls it with `commit:1`, `commit:2`, … until it says that nothing was killed any more, and so for each kind of point, some at once. How many points
/// of each kind there were.
pub fn at_every_point(width: usize, was_killed: impl Fn(&str) -> bool + Sync) -> BTreeMap<&'static str, u32> {
    at_points(KINDS, width, was_killed)
}

/// As [`at_every_point`], without the points before commits: what lies between one commit and the next is an effect, which has points of its own,
/// or nothing that is left behind.
pub fn at_every_commit_and_effect(width: usize, was_killed: impl Fn(&str) -> bool + Sync) -> BTreeMap<&'static str, u32> {
    at_points(["commit", "effect", "before-effect"], width, was_killed)
}

fn at_points<const N: usize>(
    kinds: [&'static str; N],
    width: usize,
    was_killed: impl Fn(&str) -> bool + Sync,
) -> BTreeMap<&'static str, u32> {
    let next: [AtomicU32; N] = std::array::from_fn(|_| AtomicU32::new(1));
    let over: [AtomicBool; N] = std::array::from_fn(|_| AtomicBool::new(false));
    let killed = Mutex::new(BTreeMap::from(kinds.map(|kind| (kind, 0))));
    std::thread::scope(|scope| {
        let (next, over, killed, was_killed) = (&next, &over, &killed, &was_killed);
        for first in 0..width {
            scope.spawn(move || {
                // Each begins with another kind, so that few are at the end of one when it is found.
                while let Some(kind) = (0..N).map(|kind| (first + kind) % N).find(|kind| !over[*kind].load(Ordering::SeqCst)) {
                    let count = next[kind].fetch_add(1, Ordering::SeqCst);
                    assert!(count <= MOST, "there seem to be more than {MOST} points of kind {}", kinds[kind]);
                    if was_killed(&format!("{}:{count}", kinds[kind])) {
                        *killed.lock().expect("no panic while it is held").entry(kinds[kind]).or_default() += 1;
                    } else {
                        over[kind].store(true, Ordering::SeqCst);
                    }
                }
            });
        }
    });
    killed.into_inner().expect("no panic while it was held")
}
