//! Where a mount shows: `mount_namespaces(7)`, "Shared subtrees".

use std::io::{Write, stdout};

use anyhow::{Context, Result};
use ch00_ground::mountinfo::{self, Mount};
use ch00_ground::refusal::{Help, Refused};
use ch02_ipc::unshare;
use nix::errno::Errno;
use nix::mount::{MsFlags, mount};
use nix::sched::CloneFlags;

// ANCHOR: make_private
/// Cuts every mount of the caller's mount namespace off from its peers: what is mounted or
/// unmounted from here on shows nowhere else, and nothing of elsewhere shows here.
///
/// # Errors
///
/// EPERM without CAP_SYS_ADMIN in the user namespace that owns the mount namespace; EINVAL when the
/// caller's `/` is not the root of a mount, as after a `chroot`.
pub fn make_private() -> Result<()> {
    // MS_REC: `/` alone would leave /proc, /home and all the others shared.
    set(MsFlags::MS_REC | MsFlags::MS_PRIVATE, "MS_REC | MS_PRIVATE")
        .context("cannot make the mounts private")
}
// ANCHOR_END: make_private

/// A mount namespace that is to its children what a machine with systemd is: every mount is shared
/// with them. Whatever they do to it shows here, and no further.
pub struct Stage {
    before: Vec<Mount>,
}

impl Stage {
    // ANCHOR: enter_stage
    /// Enters such a namespace.
    ///
    /// # Errors
    ///
    /// As for [`unshare`] and [`make_private`].
    pub fn enter() -> Result<Stage> {
        unshare(CloneFlags::CLONE_NEWNS)?;
        // First the peers outside are left, then the mounts become open to new ones.
        make_private()?;
        set(MsFlags::MS_REC | MsFlags::MS_SHARED, "MS_REC | MS_SHARED")
            .context("cannot make the mounts shared")?;
        Ok(Stage { before: mountinfo::read()? })
    }
    // ANCHOR_END: enter_stage

    /// Prints what is mounted here that was not when it was entered.
    ///
    /// # Errors
    ///
    /// When nobody reads it.
    pub fn tell(&self) -> Result<()> {
        let leaks: Vec<_> =
            mountinfo::read()?.into_iter().filter(|mount| !self.before.contains(mount)).collect();
        if leaks.is_empty() {
            writeln!(stdout(), "\nback outside: nothing is mounted that was not before")?;
        }
        for Mount { file_system, mount_point, .. } in leaks {
            writeln!(
                stdout(),
                "\nback outside: there is a {file_system} on {}",
                mount_point.display()
            )?;
        }
        Ok(())
    }
}

fn set(flags: MsFlags, names: &str) -> Result<()> {
    let none = None::<&str>;
    mount(none, "/", none, flags, none).refused(|| format!("mount(\"/\", {names})"), HELP)
}

const HELP: Help = &[
    (Errno::EPERM, "it takes a mount namespace that is yours: CLONE_NEWNS, or root"),
    (Errno::EINVAL, "/ is no mount here, as after chroot; run outside of it"),
];
