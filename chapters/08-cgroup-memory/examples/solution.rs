//! What a command took: an answer.

use std::ffi::OsString;
use std::process::ExitCode;

use anyhow::Result;
use ch00_ground::refusal::{self, say};
use ch01_uts::{exec, spawn};
use ch07_cgroup_hierarchy::Group;
use ch08_cgroup_memory::{Memory, size};
use clap::Parser;
use nix::sched::CloneFlags;

/// Runs a command under a limit on its memory, and tells what it took.
#[derive(Parser)]
struct Args {
    #[arg(value_parser = size)]
    limit: u64,
    #[arg(trailing_var_arg = true, required = true)]
    command: Vec<OsString>,
}

fn main() -> ExitCode {
    refusal::main(|| run(&Args::parse()))
}

fn run(args: &Args) -> Result<u8> {
    let group = Group::create("ch08", &Memory::CONTROLLERS)?;
    // No swap: both together may be no more than memory alone.
    let memory =
        Memory { max: args.limit, max_with_swap: args.limit, high: None, oom_group: false };
    memory.limit(&group)?;
    let _keeper = group.keep()?;
    // What was touched before somebody moved the command would be on another account.
    let child = spawn(CloneFlags::empty(), || {
        group.enter()?;
        exec(&args.command)
    })?;
    let status = child.wait()?;
    // The counters are files of the cgroup, and go with it.
    let cgroup = group.of("memory")?;
    let (peak, events) = match cgroup.version() {
        1 => ("memory.max_usage_in_bytes", "memory.oom_control"),
        _ => ("memory.peak", "memory.events"),
    };
    let peak = cgroup.read(peak)?;
    let killed = if cgroup.number(events, "oom_kill")? > 0 { "yes" } else { "no" };
    say(&format!("peak {peak}, killed {killed}"));
    Ok(status)
}
