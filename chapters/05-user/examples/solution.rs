//! One capability for an ordinary user: an answer.

use std::env::args_os;
use std::ffi::OsString;
use std::process::ExitCode;

use anyhow::Result;
use ch00_ground::refusal::Refused;
use ch00_ground::{capability, refusal};
use ch01_uts::{exec, spawn};
use ch05_user::{Gate, Maps, Range, keep_only, no_new_privileges};
use libc::c_ulong;
use nix::errno::Errno;
use nix::sched::CloneFlags;
use nix::unistd::{getegid, geteuid};

fn main() -> ExitCode {
    refusal::main(|| run(&args_os().skip(1).collect::<Vec<_>>()))
}

fn run(command: &[OsString]) -> Result<u8> {
    let only = |outside| [Range { inside: 1000, outside, count: 1 }];
    let maps = Maps::new(&only(geteuid().as_raw()), &only(getegid().as_raw()))?;
    let gate = Gate::new()?;
    let child = spawn(CloneFlags::CLONE_NEWUSER, || {
        gate.pass()?;
        // First, as long as there is CAP_SETPCAP: the bounding set takes it.
        keep_only(&["sys_chroot"])?;
        pass_on("sys_chroot")?;
        no_new_privileges()?;
        exec(command)
    })?;
    maps.write(child.pid())?;
    gate.open()?;
    child.wait()
}

/// Has a program keep this capability though who executes it is not root. The caller has this one
/// and no other.
///
/// `execve` gives such a program what its file may have, which is nothing as a rule, and the
/// ambient set. Into that a capability can only be raised when it is permitted and inheritable, and
/// [`keep_only`] has left nothing inheritable.
fn pass_on(name: &str) -> Result<()> {
    let number = capability::NAMES.iter().position(|known| *known == name).unwrap_or(usize::MAX);
    let bits = 1_u64 << number;
    // Effective, permitted, inheritable: the lower 32 bits of each, and then the upper ones.
    let (low, high) = (bits as u32, (bits >> 32) as u32);
    let sets = [low, low, low, high, high, high];
    // SAFETY: the header says that two times three numbers follow, and both live until the call
    // returns.
    let answer =
        unsafe { libc::syscall(libc::SYS_capset, capability::HEADER.as_ptr(), sets.as_ptr()) };
    Errno::result(answer).refused(|| "capset()".into(), &[])?;
    // All of them as wide as the kernel reads them, which wants the last two to be 0.
    let [raise, number, none] = [libc::PR_CAP_AMBIENT_RAISE as c_ulong, number as c_ulong, 0];
    // SAFETY: numbers go in, and no memory.
    let answer = unsafe { libc::prctl(libc::PR_CAP_AMBIENT, raise, number, none, none) };
    let call = || format!("prctl(PR_CAP_AMBIENT_RAISE, CAP_{})", name.to_uppercase());
    Errno::result(answer).map(drop).refused(call, &[])
}
