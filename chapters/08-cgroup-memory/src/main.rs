//! The experiment: a command that may have so much memory, and no more.

use std::ffi::OsString;
use std::fs;
use std::io::{Write, stdout};
use std::process::ExitCode;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread::scope;
use std::time::Duration;

use anyhow::Result;
use ch00_ground::facts::Facts;
use ch00_ground::refusal;
use ch01_uts::{Child, exec, spawn};
use ch07_cgroup_hierarchy::{Cgroup, Group, hierarchy_of};
use ch08_cgroup_memory::{Memory, Usage, seconds, size};
use clap::Parser;
use nix::sched::CloneFlags;

/// Runs a command under a limit on its memory, and tells what came of it.
#[derive(Parser)]
#[command(version)]
struct Args {
    /// How much memory it may have, with k, M, G or T for 1024, its square, and so on.
    #[arg(long, value_name = "SIZE", value_parser = size, default_value = "64M", allow_negative_numbers = true)]
    memory: u64,
    /// How much memory and swap together. [default: as --memory, so no swap]
    #[arg(long, value_name = "SIZE", value_parser = size, allow_negative_numbers = true)]
    memory_swap: Option<u64>,
    /// Beyond how much it is slowed down, and not killed (v2).
    #[arg(long, value_name = "SIZE", value_parser = size, allow_negative_numbers = true)]
    memory_high: Option<u64>,
    /// Kill all of it when one of it is to be killed (v2).
    #[arg(long)]
    oom_group: bool,
    /// The wrong order: let the command run for so long, and only then move it under the limit.
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    late: Option<Duration>,
    /// Print nothing but what the command prints.
    #[arg(long)]
    quiet: bool,
    /// The command and its arguments.
    #[arg(trailing_var_arg = true, default_value = "/bin/sh")]
    command: Vec<OsString>,
}

fn main() -> ExitCode {
    refusal::main(|| run(&Args::parse()))
}

// ANCHOR: run
fn run(args: &Args) -> Result<u8> {
    let memory = Memory {
        max: args.memory,
        max_with_swap: args.memory_swap.unwrap_or(args.memory),
        high: args.memory_high,
        oom_group: args.oom_group,
    };
    let group = Group::create("ch08", &Memory::CONTROLLERS)?;
    memory.limit(&group)?;
    let _keeper = group.keep()?;
    let outside = facts()?;

    let child = spawn(CloneFlags::empty(), || {
        if args.late.is_none() {
            group.enter()?;
        }
        if !args.quiet {
            writeln!(stdout(), "{}\n", outside.beside(&facts()?))?;
        }
        exec(&args.command)
    })?;
    let status = match args.late {
        None => child.wait()?,
        Some(time) => wait_and_add(child, time, group.of("memory")?)?,
    };
    if !args.quiet {
        writeln!(stdout(), "\n{}", Usage::of(&group)?)?;
    }
    Ok(status)
}
// ANCHOR_END: run

/// Waits for a child, and meanwhile moves it into a cgroup, if it lives for so long.
fn wait_and_add(child: Child, time: Duration, cgroup: &Cgroup) -> Result<u8> {
    let (ended, has_ended) = channel::<()>();
    let pid = child.pid();
    scope(|scope| {
        let late = scope.spawn(move || match has_ended.recv_timeout(time) {
            Err(RecvTimeoutError::Timeout) => cgroup.add(pid),
            _ => Ok(()),
        });
        let status = child.wait();
        drop(ended);
        late.join().expect("it does not panic")?;
        status
    })
}

/// Where the calling process is, and under which limit.
fn facts() -> Result<Facts> {
    let hierarchy = hierarchy_of("memory")?;
    let file = if hierarchy.version == 1 { "memory.limit_in_bytes" } else { "memory.max" };
    let folder = hierarchy.folder(&hierarchy.your_cgroup);
    // The root of v2 has no such file, since it has no limit.
    let limit = fs::read_to_string(folder.join(file)).unwrap_or("-".into());
    Ok(Facts::default().with(file, limit.trim()).with("cgroup", hierarchy.your_cgroup.display()))
}
