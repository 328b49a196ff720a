//! What the root of a user namespace can do, and what only the machine's root can.

use std::fs::{self, File, OpenOptions};

use anyhow::{Error, Result};
use ch00_ground::refusal::Refused;
use ch01_uts::{hostname, set_hostname};
use ch04_mount::Tree;
use nix::errno::Errno;
use nix::kmod::{ModuleInitFlags, finit_module};
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::stat::{Mode, SFlag, makedev, mknod};
use nix::time::{ClockId, clock_gettime, clock_settime};
use nix::unistd::{Uid, chroot, fchown};

/// Something that takes a capability, and the kernel's answer.
pub struct Attempt {
    /// What was tried.
    pub what: &'static str,
    /// By which call.
    pub call: &'static str,
    /// `None` when the kernel let it be done.
    pub refused: Option<Errno>,
}

type Call = fn() -> Result<()>;

// ANCHOR: attempts
/// Tries each of these. None does harm, not even if the caller is the machine's root: what is set
/// is what was set a moment before, and the module is an empty file.
pub fn attempt_all() -> Vec<Attempt> {
    let attempts: [(&str, &str, Call); 9] = [
        ("set the host name", "sethostname", || set_hostname(&hostname()?)),
        ("mount a tmpfs", "fsmount", || Tree::new("tmpfs", &[], &[]).map(drop)),
        ("change the root", "chroot", || Ok(chroot("/")?)),
        ("give a file to user 1", "fchown", || {
            Ok(fchown(memfd_create("file", MFdFlags::empty())?, Some(Uid::from_raw(1)), None)?)
        }),
        ("read the machine's passwords", "open", || {
            File::open("/etc/shadow").refused(String::new, &[]).map(drop)
        }),
        ("change a kernel setting", "open", || {
            let setting = OpenOptions::new().write(true).open("/proc/sys/kernel/panic");
            setting.refused(String::new, &[]).map(drop)
        }),
        ("make a device", "mknod", || {
            mknod("/tmp/null", SFlag::S_IFCHR, Mode::S_IRUSR, makedev(1, 3))?;
            fs::remove_file("/tmp/null").refused(String::new, &[])
        }),
        ("load a module", "finit_module", || {
            let empty = memfd_create("module", MFdFlags::empty())?;
            Ok(finit_module(empty, c"", ModuleInitFlags::empty())?)
        }),
        ("set the clock", "clock_settime", || {
            let clock = ClockId::CLOCK_REALTIME;
            Ok(clock_settime(clock, clock_gettime(clock)?)?)
        }),
    ];
    let errno =
        |error: Error| error.root_cause().downcast_ref().copied().unwrap_or(Errno::UnknownErrno);
    attempts
        .into_iter()
        .map(|(what, call, attempt)| Attempt { what, call, refused: attempt().err().map(errno) })
        .collect()
}
// ANCHOR_END: attempts
