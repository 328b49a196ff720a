//! A `/dev` of the container's own: `null(4)`, `random(4)`, `pts(4)`, `shm_overview(7)`.

use std::ffi::CStr;
use std::os::fd::OwnedFd;
use std::path::Path;

use anyhow::Result;
use ch00_ground::refusal::Refused;
use nix::sys::stat::{Mode, SFlag, mkdirat, mknodat};
use nix::unistd::symlinkat;

use crate::tree::{Attribute, Tree};

/// The devices that every program may count on, and that give away nothing of the machine.
const DEVICES: [&CStr; 6] = [c"full", c"null", c"random", c"tty", c"urandom", c"zero"];

/// Names that lead into `/proc`, and to the terminals of the container.
const LINKS: [(&str, &str); 5] = [
    ("fd", "/proc/self/fd"),
    ("stdin", "/proc/self/fd/0"),
    ("stdout", "/proc/self/fd/1"),
    ("stderr", "/proc/self/fd/2"),
    ("ptmx", "pts/ptmx"),
];

// ANCHOR: mount
/// Mounts a new `/dev` on `place`.
pub fn mount(place: OwnedFd) -> Result<()> {
    use Attribute::{NoDev, NoExec, NoSuid};
    let dev = Tree::new("tmpfs", &[("mode", "755"), ("size", "64k")], &[NoSuid, NoDev, NoExec])?;
    dev.attach(place)?;
    let call = |call: &str, name: &CStr| format!("{call}(\"/dev/{}\")", name.to_string_lossy());
    for name in DEVICES {
        // In a user namespace mknod(2) is refused: who could make a device could read any disk. But
        // a device that is there can be bound, on a file of any kind.
        let host = Tree::bind(&Path::new("/dev").join(name.to_str()?), &[NoSuid, NoExec])?;
        mknodat(&dev, name, SFlag::S_IFREG, Mode::from_bits_truncate(0o644), 0)
            .refused(|| call("mknodat", name), &[])?;
        host.attach_in(&dev, name)?;
    }
    for (name, target) in LINKS {
        symlinkat(target, &dev, name).refused(|| format!("symlinkat(\"/dev/{name}\")"), &[])?;
    }
    let closed = &[NoSuid, NoDev, NoExec];
    for (name, kind, options, attributes) in [
        // A terminal is a device that must work.
        (c"pts", "devpts", &[("ptmxmode", "666"), ("mode", "620")][..], &[NoSuid, NoExec][..]),
        (c"shm", "tmpfs", &[("mode", "1777"), ("size", "64m")], closed),
        (c"mqueue", "mqueue", &[], closed),
    ] {
        mkdirat(&dev, name, Mode::from_bits_truncate(0o755))
            .refused(|| call("mkdirat", name), &[])?;
        Tree::new(kind, options, attributes)?.attach_in(&dev, name)?;
    }
    Ok(())
}
// ANCHOR_END: mount
