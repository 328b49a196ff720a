//! The way out of `chroot(2)`: its manual page, "NOTES".

use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt;

use anyhow::{Result, ensure};
use ch00_ground::refusal::{Help, Refused};
use nix::errno::Errno;
use nix::unistd::{chdir, chroot};

// ANCHOR: escape
/// Climbs out of a root that `chroot` has made, and makes the folder where nothing is above any
/// more the caller's new root.
///
/// # Errors
///
/// EPERM without CAP_SYS_CHROOT; and when there is nothing above, as after `pivot_root`.
pub fn escape() -> Result<()> {
    chdir("/").refused(|| "chdir(\"/\")".into(), &[])?;
    let inside = here()?;
    // The root goes down, the working directory stays: it is outside of the root now. And `..`
    // stops at the root alone.
    chroot("dev").refused(|| "chroot(\"dev\")".into(), CHROOT)?;
    let mut below = inside.clone();
    loop {
        chdir("..").refused(|| "chdir(\"..\")".into(), &[])?;
        let now = here()?;
        if is_same(&now, &below) {
            break;
        }
        below = now;
    }
    ensure!(!is_same(&below, &inside), "cannot escape: above this root there is nothing");
    chroot(".").refused(|| "chroot(\".\")".into(), CHROOT)
}

fn here() -> Result<Metadata> {
    fs::metadata(".").refused(|| "stat(\".\")".into(), &[])
}

fn is_same(one: &Metadata, other: &Metadata) -> bool {
    (one.dev(), one.ino()) == (other.dev(), other.ino())
}
// ANCHOR_END: escape

const CHROOT: Help = &[
    (Errno::EPERM, "it takes CAP_SYS_CHROOT, which root has inside a chapter's container"),
    (Errno::ENOENT, "there is no /dev here to go down to"),
];
