//! A domain name beside the host name.
//!
//! A UTS namespace holds two names, and this chapter has set one of them. Run a command in a
//! namespace of its own, where the host name is `box` and the NIS domain name is `example.org`.
//! Outside both stay what they are. `/proc/sys/kernel/domainname` shows the second one.

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
    // Your turn. This runs the command with the names that are here.
    let child = spawn(CloneFlags::empty(), || exec(command))?;
    child.wait()
}
