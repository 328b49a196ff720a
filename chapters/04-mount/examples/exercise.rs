//! A quiet corner.
//!
//! The arguments are a command. Run it in a mount namespace of its own, where `/etc` is read-only, and
//! all that is mounted below `/etc` too, and where `/tmp` is a new tmpfs, empty, of mode 1777. The
//! command starts in that `/tmp`. Outside no mount appears, goes or changes, even if every mount of
//! the machine is shared. The other namespaces and the status are as ever. The check plays the
//! machine on a stage of its own: until it is content, do not try your program by hand as root.

use std::env::args_os;
use std::ffi::OsString;
use std::process::ExitCode;

use anyhow::Result;
use ch00_ground::{refusal, rootless};
use ch01_uts::{exec, spawn};
use nix::sched::CloneFlags;

fn main() -> ExitCode {
    refusal::main(|| {
        rootless::enter(true)?;
        run(&args_os().skip(1).collect::<Vec<_>>())
    })
}

fn run(command: &[OsString]) -> Result<u8> {
    // Your turn. This gives the command a mount namespace, and leaves it as it was born.
    let child = spawn(CloneFlags::CLONE_NEWNS, || exec(command))?;
    child.wait()
}
