//! The eight kinds of namespace, and how to read which ones a process is in: `namespaces(7)`.

use std::fmt::Display;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::sched::CloneFlags;

use crate::refusal::{Help, Refused};

/// nix has no name for it. The old `clone(2)` keeps the
/// signal of the child's death in the same low byte, so it does not know this flag.
pub const CLONE_NEWTIME: CloneFlags = CloneFlags::from_bits_retain(libc::CLONE_NEWTIME);

/// One kind of namespace: a resource that the kernel can hold more than once.
pub struct Kind {
    /// The name of its file in `/proc/PID/ns`.
    pub name: &'static str,
    /// The flag that asks `clone3`, `unshare` or `setns` for it.
    pub flag: CloneFlags,
    /// The kernel that had it complete.
    pub since: &'static str,
    /// The chapter that teaches it.
    pub chapter: u8,
}

// ANCHOR: kinds
/// All eight, in the order of `ls /proc/self/ns`.
pub const KINDS: [Kind; 8] = [
    kind("cgroup", CloneFlags::CLONE_NEWCGROUP, "4.6", 7),
    kind("ipc", CloneFlags::CLONE_NEWIPC, "2.6.19", 2),
    kind("mnt", CloneFlags::CLONE_NEWNS, "2.4.19", 4),
    kind("net", CloneFlags::CLONE_NEWNET, "2.6.29", 6),
    kind("pid", CloneFlags::CLONE_NEWPID, "2.6.24", 3),
    kind("time", CLONE_NEWTIME, "5.6", 3),
    kind("user", CloneFlags::CLONE_NEWUSER, "3.8", 5),
    kind("uts", CloneFlags::CLONE_NEWUTS, "2.6.19", 1),
];
// ANCHOR_END: kinds

const fn kind(name: &'static str, flag: CloneFlags, since: &'static str, chapter: u8) -> Kind {
    Kind { name, flag, since, chapter }
}

impl Kind {
    /// The flag's name, as the manual pages write it. Only the mount namespace, the first of them,
    /// is not named after its file.
    pub fn flag_name(&self) -> String {
        let name = if self.name == "mnt" { "ns" } else { self.name };
        format!("CLONE_NEW{}", name.to_uppercase())
    }
}

/// The flags of the kinds with these names.
pub fn flags(names: &[&str]) -> CloneFlags {
    KINDS.iter().filter(|kind| names.contains(&kind.name)).map(|kind| kind.flag).collect()
}

/// The flags of all kinds but those.
pub fn all_but(names: &[&str]) -> CloneFlags {
    flags(&KINDS.map(|kind| kind.name)) - flags(names)
}

/// The names of `flags`, as they stand in C.
pub fn flag_names(flags: CloneFlags) -> String {
    let names: Vec<_> =
        KINDS.iter().filter(|kind| flags.contains(kind.flag)).map(Kind::flag_name).collect();
    names.join(" | ")
}

// ANCHOR: of
/// The inode numbers of the eight namespaces that process `pid` is in, in the order of [`KINDS`];
/// `pid` may be `"self"`. Two processes share a namespace exactly when the numbers are equal.
/// `None` where this kernel has no such kind.
///
/// # Errors
///
/// ENOENT when there is no such process; EACCES when it is another user's and you are not root,
/// since reading the links takes the right to trace it: `ptrace(2)`, "access mode checking".
pub fn of(pid: impl Display) -> Result<[Option<u64>; 8]> {
    let mut inodes = [None; 8];
    for (inode, kind) in inodes.iter_mut().zip(&KINDS) {
        *inode = inode_of(&pid, kind.name)?;
    }
    Ok(inodes)
}

/// The inode number of one link of `/proc/PID/ns`. There are more links than kinds:
/// `pid_for_children` and `time_for_children` tell where the *next* child will be born.
///
/// # Errors
///
/// As for [`of`].
pub fn inode_of(pid: impl Display, link: &str) -> Result<Option<u64>> {
    // The link reads `uts:[4026531838]`.
    let path = PathBuf::from(format!("/proc/{pid}/ns/{link}"));
    match fs::read_link(&path) {
        Ok(target) => {
            Ok(target.to_str().and_then(|text| text.split(['[', ']']).nth(1)?.parse().ok()))
        }
        // Of a process that has ended and waits to be reaped, the links are there and lead nowhere.
        Err(error)
            if error.kind() == std::io::ErrorKind::NotFound
                && (!Path::new("/proc/self/ns").join(link).is_symlink()
                    || link.ends_with("_for_children")) =>
        {
            Ok(None)
        }
        Err(error) => Err(error)
            .refused(|| format!("readlink({path:?})"), HELP)
            .with_context(|| format!("cannot read the namespaces of process {pid}")),
    }
}
// ANCHOR_END: of

/// What helps when a new namespace is refused, by whichever call.
pub const TAKES_CAPABILITY: (Errno, &str) = (
    Errno::EPERM,
    "new namespaces take CAP_SYS_ADMIN; `cargo run -p ch00-ground` shows what is allowed here",
);
/// The same, when there are too many.
pub const LIMIT_REACHED: (Errno, &str) =
    (Errno::ENOSPC, "a limit is reached: `sysctl user` shows them, one for each kind of namespace");

const HELP: Help = &[
    (Errno::ENOENT, "there is no such process, or it has ended; `ps -e` lists those there are"),
    (Errno::EACCES, "this process is not yours to look into; ask as root, or for one of your own"),
];
