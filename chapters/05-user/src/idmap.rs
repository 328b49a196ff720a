//! A mount on which files belong to somebody else: `mount_setattr(2)`, "ID-mapped mounts".

use std::fs::File;
use std::os::fd::AsRawFd;

use anyhow::{Context, Result};
use ch00_ground::refusal::{Help, Refused};
use ch04_mount::Tree;
use nix::errno::Errno;
use nix::unistd::Pid;

// ANCHOR: idmap
/// Makes what belongs to an id on this tree belong to that id in the user namespace of process `pid`,
/// whose maps are written: files of root to the container's root. Nothing changes on the disk, and
/// what the container's root writes through this mount belongs to root there, with its set-user-ID
/// bit: nobody else may be able to reach such a folder.
///
/// # Errors
///
/// EPERM for who has no CAP_SYS_ADMIN in the user namespace in which the file system was mounted;
/// EINVAL when it cannot be done with this type of file system, or before kernel 5.12.
pub fn idmap(tree: &Tree, pid: Pid) -> Result<()> {
    let path = format!("/proc/{pid}/ns/user");
    let namespace = File::open(&path).refused(|| format!("open({path:?})"), &[])?;
    let change = libc::mount_attr {
        attr_set: libc::MOUNT_ATTR_IDMAP,
        attr_clr: 0,
        propagation: 0,
        userns_fd: namespace.as_raw_fd() as u64,
    };
    tree.change("MOUNT_ATTR_IDMAP", &change, HELP).context("cannot map the owners of the files")
}
// ANCHOR_END: idmap

const HELP: Help = &[
    (
        Errno::EINVAL,
        "this file system, or one mounted below it, cannot do it: an overlay never, a tmpfs since Linux 6.3; \
         as they are (ch05-user --no-idmap), its files belong to nobody inside",
    ),
    (
        Errno::EPERM,
        "the file system was mounted outside of this user namespace; as they are (ch05-user --no-idmap), its files belong to nobody inside",
    ),
];
