//! A budget of processor time: an answer.

use std::ffi::OsString;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use ch00_ground::refusal;
use ch01_uts::exec;
use ch07_cgroup_hierarchy::{Group, hierarchy_of};
use ch08_cgroup_memory::seconds;
use ch09_cgroup_cpu::{seconds_used, spawn_in};
use clap::Parser;
use nix::poll::PollTimeout;
use nix::sched::CloneFlags;

/// Runs a command until all of it has used so much processor time.
#[derive(Parser)]
struct Args {
    #[arg(value_name = "SECONDS", value_parser = seconds)]
    budget: Duration,
    #[arg(trailing_var_arg = true, required = true)]
    command: Vec<OsString>,
}

/// How long it may go on with nobody looking, in milliseconds.
const UNSEEN: u8 = 100;

fn main() -> ExitCode {
    refusal::main(|| run(&Args::parse()))
}

fn run(args: &Args) -> Result<u8> {
    // Two on v1, mostly in one hierarchy.
    let is_v1 = hierarchy_of("cpu")?.version == 1;
    let group = Group::create("ch09", if is_v1 { &["cpu", "cpuacct"] } else { &["cpu"] })?;
    let _keeper = group.keep()?;
    let mut child = spawn_in(&group, CloneFlags::empty(), || exec(&args.command))?;
    // The kernel does not tell when a counter gets somewhere: whoever wants to know has to look.
    while seconds_used(&group)? < args.budget.as_secs_f64() {
        if let Some(status) = child.wait_beside(&[], PollTimeout::from(UNSEEN))? {
            return Ok(status);
        }
    }
    // With all that is in it.
    drop(group);
    child.wait()
}
