//! Clocks of one's own: `time_namespaces(7)`.

use std::fs;

use anyhow::{Context, Result};
use ch00_ground::namespace::CLONE_NEWTIME;
use ch00_ground::refusal::{Help, Refused};
use nix::errno::Errno;
use nix::time::{ClockId, clock_gettime};

/// How far the clocks of a time namespace are ahead of the machine's, in seconds.
#[derive(Clone, Copy)]
pub struct Offsets {
    /// Of `CLOCK_MONOTONIC`, which stands still while the machine is suspended.
    pub monotonic: i64,
    /// Of `CLOCK_BOOTTIME`, which does not: the one that `uptime` shows.
    pub boottime: i64,
}

// ANCHOR: unshare_time
/// Makes a new time namespace for the children of the calling process, its clocks set off by
/// `offsets`. The caller stays where it is. The wall clock, `CLOCK_REALTIME`, has no namespace.
///
/// # Errors
///
/// Of `unshare`: EPERM without CAP_SYS_ADMIN, EINVAL before kernel 5.6. Of the write: ERANGE when a
/// clock would show less than zero or more than 146 years; EACCES when a process is in the
/// namespace already.
pub fn unshare_time(offsets: Offsets) -> Result<()> {
    ch02_ipc::unshare(CLONE_NEWTIME)?;
    let path = "/proc/self/timens_offsets";
    let lines = format!("monotonic {} 0\nboottime {} 0\n", offsets.monotonic, offsets.boottime);
    fs::write(path, &lines)
        .refused(|| format!("write({path:?}, {lines:?})"), HELP)
        .context("cannot set the clocks of the time namespace")
}
// ANCHOR_END: unshare_time

const HELP: Help = &[
    (
        Errno::ERANGE,
        "a clock must show from 0 s to 146 years: `cat /proc/uptime` shows how far back you can go",
    ),
    (Errno::EPERM, "setting clocks takes CAP_SYS_TIME"),
];

/// Whole seconds since boot, as the calling process's time namespace has it.
///
/// # Errors
///
/// None that the kernel documents for this clock.
pub fn since_boot() -> Result<i64> {
    let time = clock_gettime(ClockId::CLOCK_BOOTTIME)
        .refused(|| "clock_gettime(CLOCK_BOOTTIME)".into(), &[])?;
    Ok(time.tv_sec())
}
