//! Ends what outlived its supervisor.
//!
//! A supervisor that is killed takes the program with it (see `exec`), but not what the program started. These processes have inherited the
//! attempt's lock. They are known by nothing but that, so that no other process can be hit by mistake: the kernel says which open files hold which lock.

use rustix::process::Pid;
#[cfg(target_os = "linux")]
use rustix::process::{PidfdFlags, Signal};

use super::files::Files;

/// Kills every process that holds the attempt's lock, unless its supervisor is among them. Returns how many were killed.
#[cfg(target_os = "linux")]
pub(super) fn end(files: &Files, supervisor: Option<i32>) -> usize {
    use std::os::unix::fs::MetadataExt;

    let Ok(lock) = std::fs::metadata(files.lock_file()) else { return 0 };
    let own = rustix::process::getpid();
    let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let mut holders = Vec::new();
    for process in processes {
        let Some(pid) = process.file_name().to_str().and_then(|name| name.parse().ok()).and_then(Pid::from_raw) else { continue };
        if pid == own {
            continue;
        }
        // Opened before it is looked at: the number cannot pass to another process in between.
        let Ok(handle) = rustix::process::pidfd_open(pid, PidfdFlags::empty()) else { continue };
        let holds = std::fs::read_dir(process.path().join("fd")).into_iter().flatten().flatten().any(|open| {
            std::fs::metadata(open.path()).is_ok_and(|found| (found.dev(), found.ino()) == (lock.dev(), lock.ino()))
                && std::fs::read_to_string(process.path().join("fdinfo").join(open.file_name()))
                    .is_ok_and(|text| text.lines().any(|line| line.starts_with("lock:") && line.contains("FLOCK")))
        });
        if holds {
            if Some(pid.as_raw_nonzero().get()) == supervisor {
                return 0;
            }
            holders.push(handle);
        }
    }
    holders.iter().filter(|handle| rustix::process::pidfd_send_signal(handle, Signal::KILL).is_ok()).count()
}

/// Elsewhere nothing tells them apart: they are waited for.
#[cfg(not(target_os = "linux"))]
pub(super) fn end(_: &Files, _: Option<i32>) -> usize {
    0
}
