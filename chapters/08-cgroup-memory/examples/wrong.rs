//! What a command took: three answers that are none.

use std::ffi::OsString;
use std::process::ExitCode;

use anyhow::{Result, bail};
use ch00_ground::refusal::{self, say};
use ch01_uts::{exec, spawn};
use ch07_cgroup_hierarchy::Group;
use ch08_cgroup_memory::{Memory, size};
use clap::Parser;
use nix::sched::CloneFlags;
use nix::sys::resource::{UsageWho, getrusage};

/// Runs a command under a limit on its memory, and tells what it took.
#[derive(Parser)]
struct Args {
    which: u8,
    #[arg(value_parser = size)]
    limit: u64,
    #[arg(trailing_var_arg = true, required = true)]
    command: Vec<OsString>,
}

fn main() -> ExitCode {
    refusal::main(|| {
        let args = Args::parse();
        match args.which {
            1 => by_the_status(&args),
            2 => too_late(&args),
            3 => the_greatest_process(&args),
            _ => bail!("say which: 1, 2 or 3"),
        }
    })
}

/// The status tells that SIGKILL ended the command, and not who sent it. Nor does it tell of a
/// process that the OOM killer took from the command's side.
fn by_the_status(args: &Args) -> Result<u8> {
    let group = limited(args)?;
    let _keeper = group.keep()?;
    let child = spawn(CloneFlags::empty(), || {
        group.enter()?;
        exec(&args.command)
    })?;
    let status = child.wait()?;
    tell(&peak(&group)?, status == 137);
    Ok(status)
}

/// The limit does hold a moment later. What the command does before that is outside.
fn too_late(args: &Args) -> Result<u8> {
    let child = spawn(CloneFlags::empty(), || exec(&args.command))?;
    let group = limited(args)?;
    group.of("memory")?.add(child.pid())?;
    let status = child.wait()?;
    tell(&peak(&group)?, is_killed(&group)?);
    Ok(status)
}

/// `getrusage(2)` has the most that any one process had, not what they had together; and of that
/// only what was mapped.
fn the_greatest_process(args: &Args) -> Result<u8> {
    let group = limited(args)?;
    let _keeper = group.keep()?;
    let child = spawn(CloneFlags::empty(), || {
        group.enter()?;
        exec(&args.command)
    })?;
    let status = child.wait()?;
    // In KiB.
    let peak = getrusage(UsageWho::RUSAGE_CHILDREN)?.max_rss() * 1024;
    tell(&peak.to_string(), is_killed(&group)?);
    Ok(status)
}

fn limited(args: &Args) -> Result<Group> {
    let group = Group::create("ch08", &Memory::CONTROLLERS)?;
    let memory =
        Memory { max: args.limit, max_with_swap: args.limit, high: None, oom_group: false };
    memory.limit(&group)?;
    Ok(group)
}

fn peak(group: &Group) -> Result<String> {
    let cgroup = group.of("memory")?;
    cgroup.read(if cgroup.version() == 1 { "memory.max_usage_in_bytes" } else { "memory.peak" })
}

fn is_killed(group: &Group) -> Result<bool> {
    let cgroup = group.of("memory")?;
    let events = if cgroup.version() == 1 { "memory.oom_control" } else { "memory.events" };
    Ok(cgroup.number(events, "oom_kill")? > 0)
}

fn tell(peak: &str, killed: bool) {
    say(&format!("peak {peak}, killed {}", if killed { "yes" } else { "no" }));
}
