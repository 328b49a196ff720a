//! A child that was never outside of its cgroup: `CLONE_INTO_CGROUP`, `clone(2)`.

use std::convert::Infallible;

use anyhow::Result;
use ch01_uts::{Child, spawn_into};
use ch02_ipc::unshare;
use ch07_cgroup_hierarchy::Group;
use nix::sched::CloneFlags;

// ANCHOR: spawn_in
/// Starts a child as [`ch01_uts::spawn`] does, in `group` before `body` begins.
///
/// On v2 it is born there. On v1 it goes there first of all, by itself: no one else can be quicker,
/// and for a process that moves itself the kernel need not wait until it stands still.
///
/// If `flags` ask for a cgroup namespace, its root is the group.
///
/// # Errors
///
/// Those of [`spawn_into`], and of [`Group::enter`] in the child.
pub fn spawn_in(
    group: &Group,
    flags: CloneFlags,
    body: impl FnOnce() -> Result<Infallible>,
) -> Result<Child> {
    let birthplace = group.birthplace();
    // A cgroup namespace begins at the cgroup that one is in when it is made.
    let (at_once, inside) = match birthplace {
        Some(_) => (flags, CloneFlags::empty()),
        None => (flags - CloneFlags::CLONE_NEWCGROUP, flags & CloneFlags::CLONE_NEWCGROUP),
    };
    spawn_into(birthplace, at_once, || {
        if birthplace.is_none() {
            group.enter()?;
            if !inside.is_empty() {
                unshare(inside)?;
            }
        }
        body()
    })
}
// ANCHOR_END: spawn_in
