//! A root file system that can be written to and stays as it is: `overlayfs.rst` of the kernel's
//! documentation.

use std::os::fd::{AsFd, AsRawFd};

use anyhow::Result;
use ch00_ground::refusal::Refused;
use nix::sys::stat::{Mode, mkdirat};

use crate::root::Root;
use crate::tree::{Attribute, Tree};

// ANCHOR: overlay
impl Root {
    /// The root file system `lower`, under a layer in memory that takes what is written, and is gone
    /// with the mount namespace.
    ///
    /// # Errors
    ///
    /// ENODEV when this kernel has no overlay; EPERM before kernel 5.11 in a user namespace.
    pub fn overlay(lower: Tree) -> Result<Root> {
        // An overlay takes its layers by path, and only from mounts that hang somewhere.
        let lower = Root::of_tree(lower)?;
        let memory = Tree::new("tmpfs", &[("mode", "755")], &[Attribute::NoDev])?;
        let memory = Root::of_tree(memory)?;
        for name in ["upper", "work"] {
            mkdirat(&memory, name, Mode::from_bits_truncate(0o755))
                .refused(|| format!("mkdirat({name:?})"), &[])?;
        }
        let path = |root: &Root| format!("/proc/self/fd/{}", root.as_fd().as_raw_fd());
        let options = [
            ("lowerdir", path(&lower)),
            ("upperdir", format!("{}/upper", path(&memory))),
            ("workdir", format!("{}/work", path(&memory))),
            // Its own notes go where an ordinary user may write them.
            ("userxattr", String::new()),
        ];
        let options = options.each_ref().map(|(key, value)| (*key, value.as_str()));
        Root::fresh(Tree::new("overlay", &options, &[Attribute::NoDev])?)
    }
}
// ANCHOR_END: overlay
