//! The experiment: a host name and message queues of one's own, through each of the three doors.

use std::ffi::OsString;
use std::io::{Write, stdout};
use std::process::{self, ExitCode};

use anyhow::Result;
use ch00_ground::facts::Facts;
use ch00_ground::{refusal, rootless};
use ch01_uts::{exec, hostname, set_hostname, spawn};
use ch02_ipc::objects::OBJECTS;
use ch02_ipc::{Target, join, unshare};
use clap::Parser;
use nix::sched::CloneFlags;

/// Runs a command in a UTS and an IPC namespace of its own, or in those of another process.
#[derive(Parser)]
#[command(version)]
struct Args {
    /// The host name inside.
    #[arg(long, value_name = "NAME", default_value = "box")]
    hostname: String,
    /// Go in oneself instead of starting a child there: the process id stays.
    #[arg(long)]
    unshare: bool,
    /// Join the namespaces of a process, or the one that a file of /proc/PID/ns stands for.
    #[arg(long, value_name = "PID|FILE", conflicts_with_all = ["unshare", "hostname"])]
    join: Option<Target>,
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
const FLAGS: CloneFlags = CloneFlags::CLONE_NEWUTS.union(CloneFlags::CLONE_NEWIPC);

fn run(args: &Args) -> Result<u8> {
    if args.join.is_none() {
        rootless::enter(args.quiet)?;
    }
    let outside = facts()?;
    let become_command = || {
        if !args.quiet {
            writeln!(stdout(), "{}\n", outside.beside(&facts()?))?;
        }
        exec(&args.command)
    };

    if let Some(target) = &args.join {
        join(target, FLAGS)?;
        match become_command()? {}
    }
    if args.unshare {
        unshare(FLAGS)?;
        set_hostname(&args.hostname)?;
        match become_command()? {}
    }
    let child = spawn(FLAGS, || {
        set_hostname(&args.hostname)?;
        become_command()
    })?;
    child.wait()
}
// ANCHOR_END: run

fn facts() -> Result<Facts> {
    let mut facts = Facts::take()?;
    for object in OBJECTS.into_iter().rev() {
        facts = facts.with(object.name(), if object.exists()? { "here" } else { "-" });
    }
    Ok(facts.with("host name", hostname()?).with("process", process::id()))
}
