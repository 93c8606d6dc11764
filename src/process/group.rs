//! All that a program started: found and ended.
//!
//! On Linux the supervisor is a subreaper: whatever the program starts, however it detaches itself, ends up as the supervisor's own child when its parent
//! dies. So "no child left" means "nothing left", told by the kernel. Elsewhere only the process group is known.

#[cfg(target_os = "linux")]
use std::collections::HashMap;
use std::collections::HashSet;

use rustix::process::{Pid, Signal};

/// What a program started.
pub(super) struct Group {
    leader: Pid,
    told: HashSet<Pid>,
}

impl Group {
    pub(super) fn new(leader: Pid) -> Self {
        Self { leader, told: HashSet::new() }
    }

    /// Asks each process to end, once: a second SIGTERM means "at once" to some. `leader_lives`: it was not reaped, so that its number is its own.
    pub(super) fn terminate(&mut self, leader_lives: bool) {
        let found = descendants();
        for process in &found {
            if self.told.insert(*process) {
                let _ = rustix::process::kill_process(*process, Signal::TERM);
                let _ = rustix::process::kill_process(*process, Signal::CONT);
            }
        }
        // Where there is no `/proc`, the group is all that is known.
        let by_number = cfg!(not(target_os = "linux")) || (leader_lives && found.is_empty());
        if by_number && self.told.insert(self.leader) {
            let _ = rustix::process::kill_process_group(self.leader, Signal::TERM);
            let _ = rustix::process::kill_process_group(self.leader, Signal::CONT);
            if leader_lives {
                // It may not lead its group yet.
                let _ = rustix::process::kill_process(self.leader, Signal::TERM);
            }
        }
    }

    /// Kills each process.
    pub(super) fn kill(&self, leader_lives: bool) {
        // A group is hit at once, which those that start others all the time cannot outrun; without its leader, its number may be another's.
        if leader_lives || cfg!(not(target_os = "linux")) {
            let _ = rustix::process::kill_process_group(self.leader, Signal::KILL);
        }
        if leader_lives {
            let _ = rustix::process::kill_process(self.leader, Signal::KILL);
        }
        for process in descendants() {
            let _ = rustix::process::kill_process(process, Signal::KILL);
        }
    }

    /// Whether nothing is left, where the kernel does not tell by "no child left".
    pub(super) fn is_gone(&self, no_child_left: bool) -> bool {
        no_child_left && (cfg!(target_os = "linux") || rustix::process::test_kill_process_group(self.leader).is_err())
    }
}

/// Makes this process the parent of every descendant whose parent dies.
pub(super) fn adopt_descendants() {
    #[cfg(target_os = "linux")]
    // Any value but none means "yes"; it cannot fail on a kernel that can run this binary.
    let _ = rustix::process::set_child_subreaper(Some(rustix::process::getpid()));
}

/// Every process below this one, dead ones that nobody has reaped included.
#[cfg(target_os = "linux")]
fn descendants() -> Vec<Pid> {
    let mut children: HashMap<i32, Vec<i32>> = HashMap::new();
    for entry in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(process) = entry.file_name().to_str().and_then(|name| name.parse::<i32>().ok()) else { continue };
        let Ok(stat) = std::fs::read_to_string(entry.path().join("stat")) else { continue };
        // `PID (NAME) STATE PPID …`, and the name may hold brackets and blanks.
        let parent = stat.rsplit_once(')').and_then(|(_, rest)| rest.split_ascii_whitespace().nth(1)).and_then(|text| text.parse().ok());
        if let Some(parent) = parent {
            children.entry(parent).or_default().push(process);
        }
    }
    let mut found = Vec::new();
    let mut open = vec![rustix::process::getpid().as_raw_nonzero().get()];
    while let Some(parent) = open.pop() {
        for child in children.remove(&parent).unwrap_or_default() {
            found.extend(Pid::from_raw(child));
            open.push(child);
        }
    }
    found
}

#[cfg(not(target_os = "linux"))]
fn descendants() -> Vec<Pid> {
    Vec::new()
}
