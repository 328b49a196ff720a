//! A budget of processor time.
//!
//! `ch09-exercise SECONDS COMMAND...` gives the command, and all that it starts, so much processor
//! time together. Who has ended by then counts as well; time in which nobody runs does not. Look ten
//! times a second. When the budget is spent, everything in the cgroup is killed, and the status is
//! 137; a command that ends before that has its own. Either way no process and no cgroup is left.
//! `Child::wait_beside`, of chapter 1, is a `wait` that comes back after some time.

use std::ffi::OsString;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use ch00_ground::refusal;
use ch01_uts::exec;
use ch07_cgroup_hierarchy::{Group, hierarchy_of};
use ch08_cgroup_memory::seconds;
use ch09_cgroup_cpu::spawn_in;
use clap::Parser;
use nix::sched::CloneFlags;

/// Runs a command until all of it has used so much processor time.
#[derive(Parser)]
struct Args {
    #[arg(value_name = "SECONDS", value_parser = seconds)]
    budget: Duration,
    #[arg(trailing_var_arg = true, required = true)]
    command: Vec<OsString>,
}

fn main() -> ExitCode {
    refusal::main(|| run(&Args::parse()))
}

fn run(args: &Args) -> Result<u8> {
    // Two on v1, mostly in one hierarchy.
    let is_v1 = hierarchy_of("cpu")?.version == 1;
    let group = Group::create("ch09", if is_v1 { &["cpu", "cpuacct"] } else { &["cpu"] })?;
    let _keeper = group.keep()?;
    let child = spawn_in(&group, CloneFlags::empty(), || exec(&args.command))?;
    // Your turn. This lets it have as much as it wants.
    _ = args.budget;
    child.wait()
}
