//! Two containers and one cable.
//!
//! Two processes have a network namespace each, and nothing joins them: one becomes the command,
//! and the other, its neighbour, sleeps until the command has ended. Lay one cable from the one
//! namespace into the other. Both of its ends are called `eth0` and are up; the command's has the
//! address 10.9.0.1/30, the neighbour's 10.9.0.2/30. `lo` is up in both. All this is done before
//! the command begins, so that `ping -c 1 10.9.0.2` is answered. The network in which the program
//! was started has no part in it: it works for ordinary users too.

use std::env::args_os;
use std::ffi::OsString;
use std::process::ExitCode;

use anyhow::Result;
use ch00_ground::{refusal, rootless};
use ch01_uts::{exec, spawn};
use ch05_user::Gate;
use nix::sched::CloneFlags;

fn main() -> ExitCode {
    refusal::main(|| {
        rootless::enter(true)?;
        run(&args_os().skip(1).collect::<Vec<_>>())
    })
}

fn run(command: &[OsString]) -> Result<u8> {
    let gate = Gate::new()?;
    let first = spawn(CloneFlags::CLONE_NEWNET, || {
        gate.pass()?;
        exec(command)
    })?;
    let neighbour = spawn(CloneFlags::CLONE_NEWNET, || exec(&["sleep".into(), "infinity".into()]))?;
    // Your turn. Each of the two, `first.pid()` and `neighbour.pid()`, has nothing but `lo`, and it
    // is down. The first one waits.
    gate.open()?;
    let status = first.wait();
    // Which ends it.
    drop(neighbour);
    status
}
