//! One capability for an ordinary user.
//!
//! Here the command is user 1000 of a user namespace of its own, not root, and what is executed by
//! a user has no capabilities: their own do not pass `execve`. Let the command have CAP_SYS_CHROOT
//! all the same, and its children too, whatever they execute. In `/proc/PID/status` of the command
//! each of the five sets has this capability and no other, CapInh, CapPrm, CapEff, CapBnd and
//! CapAmb; and NoNewPrivs is 1. The map and the user stay as they are: `chroot / id -u`, which is
//! refused so far, prints 1000. capabilities(7) tells what `execve` does to each of the sets.

use std::env::args_os;
use std::ffi::OsString;
use std::process::ExitCode;

use anyhow::Result;
use ch00_ground::refusal;
use ch01_uts::{exec, spawn};
use ch05_user::{Gate, Maps, Range};
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
        // Your turn. This process has all capabilities in its user namespace, and the command none.
        exec(command)
    })?;
    maps.write(child.pid())?;
    gate.open()?;
    child.wait()
}
