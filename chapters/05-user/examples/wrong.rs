//! One capability for an ordinary user: three answers that are none.

use std::convert::Infallible;
use std::env::args_os;
use std::ffi::OsString;
use std::process::ExitCode;

use anyhow::{Result, bail};
use ch00_ground::refusal::Refused;
use ch00_ground::{capability, refusal};
use ch01_uts::{exec, spawn};
use ch05_user::{Gate, Maps, Range, keep_only, no_new_privileges};
use libc::c_ulong;
use nix::errno::Errno;
use nix::sched::CloneFlags;
use nix::unistd::{getegid, geteuid};

fn main() -> ExitCode {
    refusal::main(|| {
        let mut args = args_os().skip(1);
        let which = args.next().unwrap_or_default();
        let command: Vec<_> = args.collect();
        match which.to_str() {
            Some("1") => run(|| lost_by_exec(&command)),
            Some("2") => run(|| within_reach(&command)),
            Some("3") => run(|| inherited(&command)),
            _ => bail!("say which: 1, 2 or 3"),
        }
    })
}

fn run(body: impl FnOnce() -> Result<Infallible>) -> Result<u8> {
    let only = |outside| [Range { inside: 1000, outside, count: 1 }];
    let maps = Maps::new(&only(geteuid().as_raw()), &only(getegid().as_raw()))?;
    let gate = Gate::new()?;
    let child = spawn(CloneFlags::CLONE_NEWUSER, || {
        gate.pass()?;
        body()
    })?;
    maps.write(child.pid())?;
    gate.open()?;
    child.wait()
}

/// What is enough for root: it gets its bounding set by `execve`. A user gets nothing from there,
/// and what was there before is gone.
fn lost_by_exec(command: &[OsString]) -> Result<Infallible> {
    keep_only(&["sys_chroot"])?;
    no_new_privileges()?;
    exec(command)
}

/// The command has this one capability and no other. But its bounding set is full: that bounds
/// nothing, and no_new_privs alone stands between a file with capabilities and who executes it.
fn within_reach(command: &[OsString]) -> Result<Infallible> {
    set(1 << SYS_CHROOT, 1 << SYS_CHROOT)?;
    raise(SYS_CHROOT)?;
    no_new_privileges()?;
    exec(command)
}

/// Everything is made inheritable, since one of all has to be. But the inheritable set is cut down
/// neither with the bounding set nor by `execve`, and a file that may inherit gets from it what the
/// bounding set would deny.
fn inherited(command: &[OsString]) -> Result<Infallible> {
    let all = capability::effective()?;
    set(all, all)?;
    raise(SYS_CHROOT)?;
    for number in (0..capability::NAMES.len() as c_ulong).filter(|number| *number != SYS_CHROOT) {
        // SAFETY: two numbers go in, and no memory.
        let answer = unsafe { libc::prctl(libc::PR_CAPBSET_DROP, number) };
        // EINVAL: this kernel is older than the capability.
        if answer != 0 && Errno::last() != Errno::EINVAL {
            Errno::result(answer).refused(|| format!("prctl(PR_CAPBSET_DROP, {number})"), &[])?;
        }
    }
    no_new_privileges()?;
    exec(command)
}

/// Its number in `linux/capability.h`.
const SYS_CHROOT: c_ulong = 18;

/// What the caller has, and what of it is inheritable.
fn set(own: u64, inheritable: u64) -> Result<()> {
    let halves = [own, own, inheritable].map(|bits| (bits as u32, (bits >> 32) as u32));
    let [low, high] = [halves.map(|(low, _)| low), halves.map(|(_, high)| high)];
    let sets = [low, high];
    // SAFETY: the header says that two times three numbers follow, and both live until the call
    // returns.
    let answer =
        unsafe { libc::syscall(libc::SYS_capset, capability::HEADER.as_ptr(), sets.as_ptr()) };
    Errno::result(answer).map(drop).refused(|| "capset()".into(), &[])
}

fn raise(number: c_ulong) -> Result<()> {
    let [raise, none] = [libc::PR_CAP_AMBIENT_RAISE as c_ulong, 0];
    // SAFETY: numbers go in, and no memory.
    let answer = unsafe { libc::prctl(libc::PR_CAP_AMBIENT, raise, number, none, none) };
    Errno::result(answer).map(drop).refused(|| "prctl(PR_CAP_AMBIENT_RAISE)".into(), &[])
}
