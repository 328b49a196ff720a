//! A mount on which files belong to somebody else: `mount_setattr(2)`, "ID-mapped mounts".

use std::fs::File;
use std::os::fd::AsRawFd;

use anyhow::{Context, Result};
use ch00_ground::refusal::{Help, Refused};
use ch01_uts::spawn;
use ch04_mount::Tree;
use nix::errno::Errno;
use nix::sched::CloneFlags;
use nix::unistd::pause;

use crate::Maps;

// ANCHOR: idmap
/// Makes what belongs to an id inside `maps` belong to that id in a container with these maps: files
/// of root to the container's root. Nothing changes on the disk, and what the container's root
/// writes through this mount belongs to root there, with its set-user-ID bit: nobody else may be
/// able to reach such a folder.
///
/// # Errors
///
/// EPERM for who has no CAP_SYS_ADMIN in the user namespace in which the file system was mounted;
/// EINVAL when it cannot be done with this type of file system, or before kernel 5.12.
pub fn idmap(tree: &Tree, maps: &Maps) -> Result<()> {
    // The kernel takes the maps from a user namespace. One that lives as long as this call will do.
    let holder = spawn(CloneFlags::CLONE_NEWUSER, || {
        loop {
            pause();
        }
    })?;
    maps.write(holder.pid())?;
    let path = format!("/proc/{}/ns/user", holder.pid());
    let namespace = File::open(&path).refused(|| format!("open({path:?})"), &[])?;
    let change = libc::mount_attr {
        attr_set: libc::MOUNT_ATTR_IDMAP,
        attr_clr: 0,
        propagation: 0,
        userns_fd: namespace.as_raw_fd() as u64,
    };
    tree.change("MOUNT_ATTR_IDMAP", &change, HELP)
        .context("cannot map the owners of the root file system")
}
// ANCHOR_END: idmap

const HELP: Help = &[
    (
        Errno::EINVAL,
        "this file system, or one mounted below it, cannot do it; with --no-idmap its files belong to nobody inside",
    ),
    (Errno::EPERM, "the file system was mounted outside of this user namespace; use --no-idmap"),
];
