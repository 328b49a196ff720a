//! The folder of a cgroup.
//!
//! `ch07-exercise CONTROLLER PID` prints one line: the folder of the cgroup in which process PID is
//! for CONTROLLER, be it one of v1 or of v2. `/proc/PID/cgroup` names the cgroup, from the root of
//! its hierarchy. `/proc/self/mountinfo` tells where hierarchies are mounted: anywhere, more than
//! once, or only from some cgroup on (`Mount::root`); and what is mounted later may hide what was
//! there. A hierarchy of v2 has the controllers that `cgroup.controllers` at its mount point lists.
//! If no hierarchy has the controller, or no mount shows the cgroup, that is an error, with status
//! 125 and no line. Take the parser of mounts from chapter 0, and do the rest yourself.

use std::io::{Write, stdout};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use ch00_ground::refusal::{Refusal, Refused};
use ch00_ground::{files, mountinfo, refusal};
use clap::Parser;

/// Prints the folder of a process's cgroup.
#[derive(Parser)]
struct Args {
    controller: String,
    pid: u32,
}

fn main() -> ExitCode {
    refusal::main(|| run(&Args::parse()))
}

fn run(args: &Args) -> Result<u8> {
    let path = format!("/proc/{}/cgroup", args.pid);
    let cgroups = files::read(&path).refused(|| format!("open({path:?})"), &[])?;
    let mounts = mountinfo::read()?;
    // Your turn. This knows where most machines have the root of v2, and does not look at the rest.
    _ = (cgroups, mounts);
    let folder = Some(PathBuf::from("/sys/fs/cgroup"));
    let Some(folder) = folder else {
        let Args { controller, pid } = args;
        let what = format!("no folder shows the cgroup of process {pid} for {controller}");
        return Err(Refusal::ours(what).into());
    };
    writeln!(stdout(), "{}", folder.display())?;
    Ok(0)
}
