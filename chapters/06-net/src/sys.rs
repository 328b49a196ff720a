//! The files that tell of a network: `sysfs(5)`.

use anyhow::Result;
use ch04_mount::Attribute::{NoDev, NoExec, NoSuid, ReadOnly};
use ch04_mount::{Root, Tree};

// ANCHOR: mount_sys
/// Mounts `/sys` in `root`, read-only. Below `/sys/class/net` it lists the interfaces of the network
/// namespace that it was mounted in, as `/proc` lists the processes of its PID namespace.
///
/// # Errors
///
/// EPERM without CAP_SYS_ADMIN in the user namespace that owns the network namespace, and inside an
/// outer container that hides a part of `/sys`.
pub fn mount_sys(root: &Root) -> Result<()> {
    Tree::new("sysfs", &[], &[ReadOnly, NoSuid, NoDev, NoExec])?.attach(root.make_folder("sys")?)
}
// ANCHOR_END: mount_sys

/// The same for who is in the network namespace of the machine, and so gets no `/sys` of their own:
/// that of the machine, read-only.
///
/// # Errors
///
/// As for [`Tree::bind`].
pub fn bind_sys(root: &Root) -> Result<()> {
    let sys = Tree::bind("/sys".as_ref(), &[ReadOnly, NoSuid, NoDev, NoExec])?;
    sys.attach(root.make_folder("sys")?)
}
