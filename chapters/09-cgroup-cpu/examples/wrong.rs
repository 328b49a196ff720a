//! A budget of processor time: three answers that are none.

use std::ffi::OsString;
use std::fs;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use ch00_ground::refusal::{self, Refused};
use ch01_uts::{Child, exec};
use ch07_cgroup_hierarchy::{Group, hierarchy_of};
use ch08_cgroup_memory::seconds;
use ch09_cgroup_cpu::spawn_in;
use clap::Parser;
use nix::poll::PollTimeout;
use nix::sched::CloneFlags;
use nix::sys::resource::{Resource, setrlimit};
use nix::unistd::{SysconfVar, sysconf};

/// Runs a command until all of it has used so much processor time.
#[derive(Parser)]
struct Args {
    which: u8,
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
    let is_v1 = hierarchy_of("cpu")?.version == 1;
    let group = Group::create("ch09", if is_v1 { &["cpu", "cpuacct"] } else { &["cpu"] })?;
    let _keeper = group.keep()?;
    match args.which {
        1 => by_the_clock(args, group),
        2 => one_each(args, &group),
        3 => the_commands_own(args, group),
        _ => bail!("say which: 1, 2 or 3"),
    }
}

/// That is how long it takes. Asleep, or waiting for a processor that others have, it uses nothing.
fn by_the_clock(args: &Args, group: Group) -> Result<u8> {
    let mut child = spawn_in(&group, CloneFlags::empty(), || exec(&args.command))?;
    let started = Instant::now();
    while started.elapsed() < args.budget {
        if let Some(status) = child.wait_beside(&[], PollTimeout::from(UNSEEN))? {
            return Ok(status);
        }
    }
    drop(group);
    child.wait()
}

/// A limit of `setrlimit(2)` is inherited, and counts for each process anew. Whoever forks has the
/// budget once more.
fn one_each(args: &Args, group: &Group) -> Result<u8> {
    let budget = args.budget.as_secs().max(1);
    let child = spawn_in(group, CloneFlags::empty(), || {
        setrlimit(Resource::RLIMIT_CPU, budget, budget)
            .refused(|| format!("setrlimit(RLIMIT_CPU, {budget})"), &[])?;
        exec(&args.command)
    })?;
    child.wait()
}

/// What the kernel has counted for the command, and for those of its children that it has waited
/// for. Those that are running are not in there, nor is who ran away from it.
fn the_commands_own(args: &Args, group: Group) -> Result<u8> {
    let mut child = spawn_in(&group, CloneFlags::empty(), || exec(&args.command))?;
    while own_seconds(&child)? < args.budget.as_secs_f64() {
        if let Some(status) = child.wait_beside(&[], PollTimeout::from(UNSEEN))? {
            return Ok(status);
        }
    }
    drop(group);
    child.wait()
}

/// The four times of `proc_pid_stat(5)`. The name before them may have anything in it.
fn own_seconds(child: &Child) -> Result<f64> {
    let path = format!("/proc/{}/stat", child.pid());
    let stat = fs::read_to_string(&path).refused(|| format!("open({path:?})"), &[])?;
    let (_, fields) = stat.rsplit_once(") ").context("no name")?;
    let times = fields.split(' ').skip(11).take(4);
    let ticks: f64 = times.filter_map(|time| time.parse::<f64>().ok()).sum();
    Ok(ticks / sysconf(SysconfVar::CLK_TCK)?.context("no ticks")? as f64)
}
