//! Whether the database's folder is on a disk of this machine. SQLite's WAL needs shared memory and locks that network file systems
//! do not keep: there, two machines would damage the journal.
//!
//! Must not refuse what it does not know: only file systems known to be of the network are named.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// The magic numbers of `statfs(2)`, with the names people know.
const NETWORK: &[(u32, &str)] = &[
    (0x6969, "NFS"),
    (0x517B, "SMB"),
    (0xFE53_4D42, "SMB"),
    (0xFF53_4D42, "CIFS"),
    (0x5346_414F, "AFS"),
    (0x6B41_4653, "AFS"),
    (0x00C3_6400, "Ceph"),
    (0x564C, "NCP"),
    (0x7375_7245, "Coda"),
    (0x0BD0_0BD0, "Lustre"),
    (0x4750_4653, "GPFS"),
];

/// `statfs` says no more than this for any FUSE mount; the mount table tells which.
const FUSE: u32 = 0x6573_5546;

/// FUSE file systems that are of the network, as the mount table names them.
const NETWORK_FUSE: &[&str] = &[
    "fuse.sshfs",
    "fuse.s3fs",
    "fuse.gcsfuse",
    "fuse.rclone",
    "fuse.glusterfs",
    "fuse.ceph-fuse",
    "fuse.davfs",
    "fuse.smbnetfs",
    "fuse.juicefs",
    "fuse.mount-s3",
];

/// The network file system that this folder is on, if it is.
pub(super) fn network_file_system(folder: &Path) -> Option<&'static str> {
    let found = rustix::fs::statfs(folder).ok()?;
    // The field's width differs between architectures; the magic numbers are 32 bits wide.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "magic numbers are 32 bits wide")]
    let magic = found.f_type as u32;
    let mount = (magic == FUSE).then(|| std::fs::read_to_string("/proc/self/mountinfo").ok()).flatten();
    let device = folder.metadata().ok()?.dev();
    classify(magic, mount.as_deref(), (rustix::fs::major(device), rustix::fs::minor(device)))
}

fn classify(magic: u32, mounts: Option<&str>, (major, minor): (u32, u32)) -> Option<&'static str> {
    if let Some((_, name)) = NETWORK.iter().find(|(of, _)| *of == magic) {
        return Some(name);
    }
    let device = format!("{major}:{minor}");
    mounts?.lines().find_map(|line| {
        // `36 35 0:52 / /mnt rw - fuse.sshfs host: rw`
        let (mount, kind) = line.split_once(" - ")?;
        let kind = kind.split(' ').next()?;
        (mount.split(' ').nth(2)? == device).then(|| NETWORK_FUSE.iter().find(|name| **name == kind).copied()).flatten()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn network_file_systems_are_recognised_and_local_ones_are_not() {
        assert_eq!(classify(0x6969, None, (0, 50)), Some("NFS"));
        assert_eq!(classify(0xEF53, None, (254, 0)), None);
        let mounts = "22 1 254:0 / / rw,relatime - ext4 /dev/vda rw\n36 22 0:52 / /mnt/far rw shared:1 - fuse.sshfs host:/srv rw\n37 22 0:53 / /mnt/overlay rw - fuse.fuse-overlayfs x rw\n";
        assert_eq!(classify(FUSE, Some(mounts), (0, 52)), Some("fuse.sshfs"));
        assert_eq!(classify(FUSE, Some(mounts), (0, 53)), None);
        assert_eq!(network_file_system(&std::env::temp_dir()), None);
    }
}
